"""Losses, spreads, impact and splits: published values, signs, and what a degenerate input gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import StatisticsError
from engines.statistics import (
    abdi_ranaldo_spread,
    adjusted_sharpe_ratio,
    calmar_ratio,
    corwin_schultz_spread,
    cpcv_counts,
    cpcv_splits,
    cvar_historical,
    cvar_rockafellar_uryasev,
    downside_deviation,
    drawdowns,
    edge_spread,
    herfindahl_normalised,
    market_impact_athl,
    max_drawdown,
    pain_index,
    sortino_ratio,
    var_historical,
    walk_forward_splits,
)

examples = settings(max_examples=40)
MIXED = [0.01, 0.1, -0.04, 0.02, 0.03, 0.02, 0.01, -0.1]
BACON = [0.003, 0.026, 0.011, -0.01, 0.015, 0.025, 0.016, 0.067, -0.014, 0.04, -0.005, 0.081]
BACON += [0.04, -0.037, -0.061, 0.017, -0.049, -0.022, 0.07, 0.058, -0.065, 0.024, -0.005, -0.009]

returns_lists = st.lists(st.floats(-0.9, 1.0).map(lambda r: round(r, 6)), min_size=1, max_size=60)


def test_bacons_published_values() -> None:
    assert downside_deviation(BACON, minimum_return=0.005) == pytest.approx(0.0255, abs=5e-5)
    assert adjusted_sharpe_ratio(BACON, periods_per_year=12) == pytest.approx(0.7591435, abs=5e-8)
    assert pain_index(BACON) == pytest.approx(0.04, abs=5e-4)


def test_the_first_loss_is_a_drawdown_from_the_money_put_in() -> None:
    assert max_drawdown([-0.1, 0.05]) == pytest.approx(-0.1)
    np.testing.assert_allclose(drawdowns([-0.1, 0.05, 0.2]), [-0.1, -0.055, 0.0])


def test_calmar_does_not_count_an_absent_row_as_time_passed() -> None:
    assert calmar_ratio([0.0, *MIXED], periods_per_year=52) == pytest.approx(2.46908305, abs=1e-8)
    assert calmar_ratio([math.nan, *MIXED], periods_per_year=52) == calmar_ratio(MIXED, periods_per_year=52)
    assert calmar_ratio(MIXED, periods_per_year=52) > calmar_ratio([0.0, *MIXED], periods_per_year=52)
    assert math.isnan(calmar_ratio([0.1, 0.2], periods_per_year=52))


@examples
@given(returns_lists)
def test_drawdown_is_a_loss_no_larger_than_everything(returns: list[float]) -> None:
    depth = max_drawdown(returns)
    assert -1.0 <= depth <= 0.0
    assert pain_index(returns) <= -depth + 1e-12
    assert max_drawdown([*returns, 0.0]) == depth
    assert max_drawdown([*returns, -0.5]) <= depth


def test_sortino_divides_by_all_periods() -> None:
    assert sortino_ratio(MIXED, periods_per_year=252) == pytest.approx(2.605531251673693, abs=1e-8)
    assert sortino_ratio([0.01, 0.02]) == math.inf
    assert math.isnan(sortino_ratio([0.0, 0.0]))
    assert math.isnan(sortino_ratio([0.01]))
    assert sortino_ratio(MIXED, minimum_return=0.005) < sortino_ratio(MIXED)
    assert downside_deviation(MIXED, periods_per_year=4) == pytest.approx(2 * downside_deviation(MIXED))


def test_value_at_risk_and_shortfall() -> None:
    assert [var_historical([1, 81, 82, 83, 84, 85], cutoff) for cutoff in (0.1, 0.2, 0.3)] == [41, 81, 81.5]
    assert cvar_rockafellar_uryasev([0.1, -0.5, -0.3, 0.8, math.nan], 0.95) == pytest.approx(0.5)
    assert cvar_historical([0.1, -0.5, -0.3, 0.8, None], 0.4) == pytest.approx(-0.4)
    assert cvar_rockafellar_uryasev(np.arange(-100.0, 0.0), 0.95) == pytest.approx(98.0)


def test_the_whole_range_of_shares_has_an_answer() -> None:
    assert [var_historical([1.0, 2.0], cutoff) for cutoff in (0.0, 0.3, 1.0)] == pytest.approx([1.0, 1.3, 2.0])
    assert [cvar_historical([1.0, 2.0, 4.5], cutoff) for cutoff in (0.0, 1.0)] == pytest.approx([1.0, 2.5])
    assert cvar_rockafellar_uryasev([1.0, 2.0, 4.5], 0.0) == pytest.approx(-2.5)
    with pytest.raises(StatisticsError, match="no period"):
        cvar_rockafellar_uryasev([1.0, 2.0], 1.0)


@examples
@given(returns_lists, st.floats(0.01, 0.99))
def test_shortfall_is_at_least_as_bad_as_the_quantile_and_falls_as_the_tail_widens(
    returns: list[float], cutoff: float
) -> None:
    assert cvar_historical(returns, cutoff) <= var_historical(returns, cutoff) + 1e-12
    shortfall = cvar_rockafellar_uryasev(returns, 1 - cutoff)
    assert -max(returns) - 1e-12 <= shortfall <= -min(returns) + 1e-12
    assert cvar_rockafellar_uryasev(returns, 1 - cutoff / 2) >= shortfall - 1e-12


@examples
@given(returns_lists, st.floats(0.5, 0.99))
def test_shortfall_is_the_minimum_of_rockafellar_and_uryasevs_function(returns: list[float], beta: float) -> None:
    losses = -np.array(returns)
    values = [a + np.mean(np.maximum(0, losses - a)) / (1 - beta) for a in losses]
    assert cvar_rockafellar_uryasev(returns, beta) == pytest.approx(min(values), abs=1e-9)


@pytest.mark.parametrize(
    "statistic",
    [max_drawdown, pain_index, var_historical, cvar_historical, cvar_rockafellar_uryasev, downside_deviation, sortino_ratio],
)  # fmt: skip
def test_nothing_observed_is_nan_and_an_infinity_is_refused(statistic) -> None:  # type: ignore[no-untyped-def]
    assert math.isnan(statistic([]))
    assert math.isnan(statistic([math.nan]))
    with pytest.raises(StatisticsError, match="infinite"):
        statistic([0.1, -math.inf])


def test_a_percentage_in_place_of_a_share_is_refused() -> None:
    for statistic in (var_historical, cvar_historical, cvar_rockafellar_uryasev):
        with pytest.raises(StatisticsError, match=r"\[0, 1\]"):
            statistic([0.1], 5.0)


def prices_with_spread(spread: float, n_days: int = 2000) -> np.ndarray:
    """Open, high, low and close of a random walk seen through a bid-ask bounce, 200 trades a day."""
    rng = np.random.default_rng(21)
    path = np.cumsum(rng.normal(0.0, 0.01 / math.sqrt(200), (n_days, 200)).ravel()).reshape(n_days, 200)
    seen = np.exp(path + spread / 2 * rng.choice([-1.0, 1.0], (n_days, 200)))
    return np.column_stack([seen[:, 0], seen.max(axis=1), seen.min(axis=1), seen[:, -1]])


def test_spread_estimators_find_the_spread_put_in() -> None:
    open_, high, low, close = prices_with_spread(0.02).T
    assert edge_spread(open_, high, low, close) == pytest.approx(0.02, rel=0.1)
    assert abdi_ranaldo_spread(high, low, close) == pytest.approx(0.02, rel=0.1)
    assert corwin_schultz_spread(high, low, close) == pytest.approx(0.02, rel=0.25)


@examples
@given(st.floats(0.01, 1000.0))
def test_spreads_ignore_the_price_level(level: float) -> None:
    _, high, low, close = prices_with_spread(0.01, 60).T
    scaled = level * high, level * low, level * close
    assert corwin_schultz_spread(*scaled) == pytest.approx(corwin_schultz_spread(high, low, close), abs=1e-9)
    assert abdi_ranaldo_spread(*scaled) == pytest.approx(abdi_ranaldo_spread(high, low, close), abs=1e-9)


def test_spreads_allow_for_overnight_gaps_and_absent_days() -> None:
    _, high, low, close = prices_with_spread(0.02).T
    jumps = np.cumprod(np.where(np.arange(high.size) % 20 == 10, 1.1, 1.0))
    adjusted = corwin_schultz_spread(high * jumps, low * jumps, close * jumps)
    assert adjusted == pytest.approx(corwin_schultz_spread(high, low, close), rel=0.1)
    gap = close.copy()
    gap[50] = np.nan
    assert abdi_ranaldo_spread(high, low, gap) == pytest.approx(abdi_ranaldo_spread(high, low, close), rel=0.05)


def test_spreads_without_information() -> None:
    flat = [17.61, 17.61, 17.61]
    assert math.isnan(edge_spread(flat, [18.21, 17.61, 17.61], flat, flat))
    assert math.isnan(corwin_schultz_spread([1.0], [1.0], [1.0]))
    assert math.isnan(abdi_ranaldo_spread([], [], []))
    trending = np.exp(np.arange(10) * 0.01)
    assert abdi_ranaldo_spread(trending * 1.01, trending, trending * 1.01, signed=True) < 0
    for broken in ([1.0, 0.0], [1.0, math.inf], [1.0]):
        with pytest.raises(StatisticsError):
            abdi_ranaldo_spread([1.0, 1.0], [1.0, 1.0], broken)


def test_market_impact_of_the_published_ibm_order() -> None:
    impacts = [market_impact_athl(656_100, 6_561_000, 1_728e6, 157, days) for days in (0.1, 0.2, 0.5)]
    assert [round(impact.temporary_bps) for impact in impacts] == [22, 15, 8]
    assert [round(impact.realised_bps) for impact in impacts] == [32, 25, 18]
    assert impacts[0].permanent_bps == pytest.approx(19.86, abs=0.01)
    assert market_impact_athl(-656_100, 6_561_000, 1_728e6, 157, 0.1).realised_bps == -impacts[0].realised_bps
    with pytest.raises(StatisticsError, match="positive"):
        market_impact_athl(1, 0, 1, 1, 1)


def test_concentration() -> None:
    assert herfindahl_normalised([1, 1, 0, 0, 3, 0, 2, 0]) == pytest.approx(0.206997, abs=1e-6)
    assert herfindahl_normalised([0.25] * 4) == pytest.approx(0.0)
    assert herfindahl_normalised([-1, 0, 0]) == pytest.approx(1.0)
    assert math.isnan(herfindahl_normalised([0.0, 0.0]))
    with pytest.raises(StatisticsError, match="both signs"):
        herfindahl_normalised([0.5, -0.5])


def test_walk_forward_boundaries() -> None:
    splits = walk_forward_splits(12, 4, 2, purged_size=1)
    assert [(s.train.tolist(), s.test.tolist()) for s in splits] == [
        ([0, 1, 2, 3], [5, 6]),
        ([2, 3, 4, 5], [7, 8]),
        ([4, 5, 6, 7], [9, 10]),
    ]
    expanding = walk_forward_splits(12, 4, 2, purged_size=1, expand_train=True)
    assert [s.train.tolist() for s in expanding] == [list(range(n)) for n in (4, 6, 8)]
    with pytest.raises(StatisticsError, match="at least 7 rows"):
        walk_forward_splits(6, 4, 2, purged_size=1)


def test_combinatorial_boundaries() -> None:
    splits = cpcv_splits(12, 3, 2, purged_size=1)
    assert [s.train.tolist() for s in splits] == [[9, 10, 11], [5, 6], [0, 1, 2]]
    embargoed = cpcv_splits(12, 3, 2, embargo_size=1)
    assert [s.train.tolist() for s in embargoed] == [[9, 10, 11], [5, 6, 7], [0, 1, 2, 3]]
    assert [t.tolist() for t in cpcv_splits(14, 3, 2)[2].tests] == [[4, 5, 6, 7], [8, 9, 10, 11, 12, 13]]
    with pytest.raises(StatisticsError, match="0 training rows"):
        cpcv_splits(12, 3, 2, purged_size=2)


@examples
@given(st.integers(2, 8), st.integers(1, 7), st.integers(0, 3), st.integers(0, 3))
def test_no_training_row_is_tested_or_near_a_test(n_folds: int, n_test: int, purged: int, embargo: int) -> None:
    n_test = min(n_test, n_folds - 1)
    splits = cpcv_splits(n_folds * 12 + 5, n_folds, n_test, purged_size=purged, embargo_size=embargo)
    counts = cpcv_counts(n_folds, n_test)
    assert len(splits) == counts.n_splits
    assert sum(len(split.tests) for split in splits) == counts.n_paths * n_folds
    for split in splits:
        tested = np.concatenate(split.tests)
        ahead = tested[None, :] - split.train[:, None]
        assert not np.any((ahead >= -(purged + embargo)) & (ahead <= purged))
