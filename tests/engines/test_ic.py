"""Rank ICs against scipy and the published figure; what cost does to them; the null by permutation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from engines.forward import forward_returns
from engines.ic import coverage, net_forward_returns, non_overlapping, placebo, rank_ic, rank_ics
from engines.liquidity import Liquidity, measure_liquidity
from engines.signals import momentum
from engines.statistics import newey_west_tstat_of_mean
from tests.engines.panels import SHARED_DATA, make_candidate, make_panel, random_panel


def test_rank_ic_equals_scipy_over_the_names_with_both():
    rng = np.random.default_rng(3)
    signal, forward = rng.integers(0, 9, (2, 30, 20)).astype(float)
    signal[rng.random(signal.shape) < 0.2] = np.nan
    forward[rng.random(signal.shape) < 0.2] = np.nan
    mask = rng.random(signal.shape) < 0.9
    found = rank_ic(signal, forward, mask, 5)
    for row in range(30):
        both = mask[row] & np.isfinite(signal[row]) & np.isfinite(forward[row])
        assert found[row] == pytest.approx(stats.spearmanr(signal[row, both], forward[row, both]).statistic, abs=1e-12)


def test_too_few_names_and_constant_rows_have_no_ic():
    signal = np.array([[1.0, 2.0, np.nan], [1.0, 1.0, 1.0], [1.0, 2.0, 3.0]])
    forward = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])
    assert np.isnan(rank_ic(signal, forward, np.ones((3, 3), dtype=bool), 3)).all()


def test_published_ic_of_momentum_on_the_real_market():
    path = SHARED_DATA / "sp500_2013_2018.parquet"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside the repository")
    close = pd.read_parquet(path).pivot(index="date", columns="Name", values="close").to_numpy(float)
    panel = make_panel(close)
    ic = rank_ic(momentum(panel, 252, 21), forward_returns(panel, 0, 21, "close"), np.ones(close.shape, dtype=bool), 20)
    ic = ic[np.isfinite(ic)]
    assert ic.size == 986
    assert ic.mean() == pytest.approx(0.012989182085723838, abs=1e-12)
    assert ic.std(ddof=1) == pytest.approx(0.2078491360700793, abs=1e-12)
    assert newey_west_tstat_of_mean(ic, 20, small_sample=False) == pytest.approx(0.5349678880008655, abs=1e-12)


def test_non_overlapping_starts_at_the_first_ic_and_keeps_its_grid_over_gaps():
    ic = np.array([np.nan, 1.0, 2.0, 3.0, np.nan, 5.0, 6.0, 7.0])
    np.testing.assert_array_equal(non_overlapping(ic, 3), [1.0, 7.0])
    assert non_overlapping(np.full(5, np.nan), 3).size == 0


def test_coverage_is_opinions_over_names():
    mask = np.array([[True, True, False], [False, False, False]])
    np.testing.assert_array_equal(coverage(np.array([[1.0, np.nan, 3.0]] * 2), mask), [0.5, np.nan])


HORIZON = 2
PORTFOLIO = {"long_fraction": 0.25, "short_fraction": 0.25, "horizon_days": HORIZON}


def net_of(signal, multipliers=(1.0,), **costs):
    """Net labels of a flat gross label, with impact 0.01 for each whole ADV's square root."""
    candidate = make_candidate(
        portfolio=PORTFOLIO, costs={"half_spread_bps": 10.0, "fee_bps": 0.0, "impact_coefficient": 0.0} | costs
    )
    liquidity = Liquidity(np.full(signal.shape, 1e7), np.full(signal.shape, 0.01))
    mask = np.ones(signal.shape, dtype=bool)
    return net_forward_returns(
        np.zeros(signal.shape), signal, mask, liquidity, candidate.portfolio, candidate.costs, multipliers
    )


def test_cost_hurts_each_side_by_what_the_name_trades():
    same, flipped = [1.0, 2.0, 3.0, 4.0], [4.0, 2.0, 3.0, 1.0]
    net = net_of(np.array([same, same, same, flipped]))[0]
    half_round_trip, round_trip = 10e-4, 20e-4
    np.testing.assert_allclose(
        net[0], [half_round_trip, 0, 0, -half_round_trip], atol=1e-15
    )  # entered: half a round trip of 2 x 10 bp
    np.testing.assert_allclose(net[2], 0, atol=1e-15)  # held all along: no trade, no cost
    np.testing.assert_allclose(net[3], [-round_trip, 0, 0, round_trip], atol=1e-15)  # changed sides: a whole round trip


def test_impact_joins_the_round_trip_at_the_size_of_the_order():
    signal = np.array([[1.0, 2.0, 3.0, 4.0]])
    net = net_of(signal, half_spread_bps=0.0, impact_coefficient=1.0)[0]
    np.testing.assert_allclose(net[0], [0.01, 0, 0, -0.01], atol=1e-15)  # 2 x (1 x 0.01 x sqrt(1e7 / 1e7)) x 1/2


def test_labels_fall_apart_linearly_in_the_multiplier():
    signal = np.random.default_rng(5).standard_normal((12, 8))
    one, two = net_of(signal, (1.0, 2.0), impact_coefficient=0.8)
    np.testing.assert_allclose(two, 2 * one, atol=1e-15)


def test_net_ic_falls_with_the_multiplier():
    panel = random_panel(9, n_symbols=40)
    candidate = make_candidate(costs={"half_spread_bps": 50.0})
    signal, mask = momentum(panel, 5, 0), np.ones(panel.close.shape, dtype=bool)
    forward = forward_returns(panel, 1, 5, "open")
    net = net_forward_returns(
        forward, signal, mask, measure_liquidity(panel), candidate.portfolio, candidate.costs, (1.0, 2.0, 5.0)
    )
    means = np.nanmean(rank_ics(signal, (forward, *net), mask, 5), axis=1)
    assert (np.diff(means) < 0).all()
    assert all(np.array_equal(np.isnan(label), np.isnan(forward)) for label in net)


def test_placebo_tells_a_true_signal_from_noise_that_persists():
    rng = np.random.default_rng(11)
    edge = rng.standard_normal(40)
    forward = 0.3 * edge + rng.standard_normal((60, 40))
    mask = np.ones(forward.shape, dtype=bool)
    true = placebo(np.tile(edge, (60, 1)), forward, mask, 5, seed=1)
    assert true.p_value == pytest.approx(0.001)
    noise = [
        placebo(np.tile(rng.standard_normal(40), (60, 1)), forward, mask, 5, seed=1, permutations=99).p_value
        for _ in range(60)
    ]
    assert np.mean(np.array(noise) <= 0.1) <= 0.2  # one-day permutations would let about a third of them pass
    assert true.observed == pytest.approx(rank_ic(np.tile(edge, (60, 1)), forward, mask, 5).mean(), abs=1e-12)


def test_placebo_is_the_same_for_the_same_seed_and_undefined_without_pairs():
    rng = np.random.default_rng(12)
    signal, forward = rng.standard_normal((2, 20, 10))
    mask = np.ones(signal.shape, dtype=bool)
    first, again = (placebo(signal, forward, mask, 5, seed=4, permutations=50) for _ in range(2))
    np.testing.assert_array_equal(first.permuted, again.permuted)
    assert np.isnan(placebo(signal, forward, mask, 11, seed=4).p_value)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_any_rising_transformation_leaves_the_ic_alone(seed):
    rng = np.random.default_rng(seed)
    signal, forward = rng.standard_normal((2, 10, 12))
    mask = rng.random(signal.shape) < 0.9
    found = rank_ic(signal, forward, mask, 3)
    np.testing.assert_allclose(rank_ic(np.exp(signal), forward**3, mask, 3), found, atol=1e-13)
    np.testing.assert_allclose(rank_ic(-signal, forward, mask, 3), -found, atol=1e-13)
    assert (np.abs(found[np.isfinite(found)]) <= 1.0).all()
