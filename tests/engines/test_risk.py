"""Risk figures worked by hand or against a second way of computing them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from engines.risk import (
    LARGEST_CAPACITY_RATIO,
    Books,
    capacity_ratio,
    cvar99_to_gaussian,
    hhi_times_names,
    industry_coverage,
    measure_risk,
    size_correlation,
    turnover_overlap,
)
from engines.walk_forward import OutOfSample, Window
from tests.engines.panels import business_days

N_DAYS = 400


def series(**changes) -> OutOfSample:
    """One window of random returns with a known exposure to the market and known costs."""
    rng = np.random.default_rng(1)
    market = rng.normal(0, 0.01, N_DAYS)
    gross = 0.001 + 0.4 * market + rng.normal(0, 0.004, N_DAYS)
    flat = np.zeros(N_DAYS)
    plain = OutOfSample(
        windows=(Window(0, 1, (0, 100), (110, 110 + N_DAYS)),),
        chosen=("declared",),
        rows=np.arange(110, 110 + N_DAYS),
        dates=business_days(110 + N_DAYS)[110:],
        window_of_day=np.zeros(N_DAYS, dtype=np.int64),
        gross=gross,
        spread_cost=flat,
        impact_cost=flat,
        borrow_cost=flat,
        turnover=flat,
        market=market,
        daily_ic=flat,
        daily_net_ics=np.zeros((1, N_DAYS)),
        multipliers=(1.0,),
        horizon_days=5,
        long_only=False,
    )
    return replace(plain, **changes)


WEIGHTS = np.array([[0.5, 0.5, 0.0, -1.0], [0.5, 0.0, 0.5, -1.0]])


def books(**changes) -> Books:
    plain = Books(
        weights=WEIGHTS,
        previous=np.array([[0.0, 0.0, 0.0, 0.0], WEIGHTS[0]]),
        signal=np.array([[3.0, 2.0, 1.0, 0.0]] * 2),
        mask=np.ones((2, 4), dtype=bool),
        market_cap=np.array([[4e9, 3e9, 2e9, 1e9]] * 2),
        sector=np.array([[0, 1, 2, 0], [0, 1, 2, 0]], dtype=np.int16),
        participation=np.array([0.01, 0.02, 0.03]),
    )
    return replace(plain, **changes)


def test_beta_is_the_slope_on_the_market_and_for_long_only_that_of_the_return_over_it():
    found = measure_risk(series(), books(), long_fraction=0.2)
    walk = series()
    assert found.beta == pytest.approx(stats.linregress(walk.market, walk.gross).slope)
    assert measure_risk(series(long_only=True), books(), 0.2).beta == pytest.approx(found.beta - 1.0)


def test_drawdown_in_units_of_annual_volatility():
    gross = np.zeros(N_DAYS)
    gross[:4] = [0.1, -0.2, 0.05, -0.1]
    found = measure_risk(series(gross=gross), books(), 0.2)
    assert found.max_drawdown == pytest.approx(1 - 0.8 * 1.05 * 0.9)
    assert found.drawdown_in_volatilities == pytest.approx(found.max_drawdown / (gross.std(ddof=1) * math.sqrt(252)))


def test_the_tail_ratio_is_one_for_a_normal_sample_and_larger_for_a_crash():
    normal = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000) * 0.01
    assert cvar99_to_gaussian(normal) == pytest.approx(1.0, abs=1e-3)
    crash = np.where(np.arange(1000) % 100 == 0, -0.2, 0.001)
    assert cvar99_to_gaussian(crash) > 2.5
    assert math.isnan(cvar99_to_gaussian(np.array([0.01])))


def test_overlap_is_what_is_kept_of_what_was_held():
    assert turnover_overlap(WEIGHTS, np.array([[0.0] * 4, WEIGHTS[0]])) == pytest.approx(0.5)
    assert math.isnan(turnover_overlap(WEIGHTS[:1], np.zeros((1, 4))))


def test_size_correlation_is_a_mean_of_rank_correlations_with_its_sign():
    signal = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    caps = np.array([[1.0, 2.0, 3.0]] * 3)
    assert size_correlation(signal, caps, np.ones((3, 3), dtype=bool)) == pytest.approx(1 / 3)


def test_industry_coverage_counts_sectors_of_the_universe_that_are_held():
    sector = np.array([[0, 1, 2, -1], [0, 0, 1, 2]], dtype=np.int16)
    mask = np.array([[True] * 4, [True, True, True, False]])
    weights = np.array([[0.5, 0.0, 0.0, -0.5], [0.5, 0.0, 0.5, 0.0]])
    assert industry_coverage(weights, sector, mask) == pytest.approx((1 / 3 + 1.0) / 2)
    assert math.isnan(industry_coverage(weights, np.full((2, 4), -1, dtype=np.int16), mask))


def test_concentration_is_one_for_equal_weights():
    assert hhi_times_names(np.array([[0.5, 0.5, -0.5, -0.5]])) == pytest.approx(1.0)
    assert hhi_times_names(np.array([[0.9, 0.1]])) == pytest.approx(2 * (0.81 + 0.01))
    assert math.isnan(hhi_times_names(np.zeros((2, 3))))


def test_inputs_that_are_not_declared_leave_their_figure_out():
    found = measure_risk(series(), books(market_cap=None, sector=None), 0.2)
    assert found.size_correlation is None
    assert found.industry_coverage is None


def test_a_trade_of_unknown_liquidity_counts_as_the_largest():
    found = measure_risk(series(), books(participation=np.array([0.01, 0.02, np.nan])), 0.2)
    assert found.participation_median == 0.02
    assert found.participation_p95 == math.inf


def test_capacity_is_where_half_the_net_sharpe_is_left():
    walk = series(impact_cost=np.full(N_DAYS, 1e-4), spread_cost=np.full(N_DAYS, 1e-4))
    ratio = capacity_ratio(walk)

    def sharpe(returns):
        return returns.mean() / returns.std(ddof=1)

    assert sharpe(walk.net_returns_at_aum(ratio)) == pytest.approx(0.5 * sharpe(walk.net_returns(1.0)), rel=1e-6)
    net = walk.net_returns(1.0).mean()
    assert ratio == pytest.approx((1 + 0.5 * net / 1e-4) ** 2, rel=1e-6)  # constant costs: the mean alone falls


def test_capacity_at_its_ends():
    assert capacity_ratio(series()) == LARGEST_CAPACITY_RATIO
    assert capacity_ratio(series(gross=series().gross - 0.01)) == 0.0
