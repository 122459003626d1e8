"""Regimes known on the day, and ICs within them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from engines.segments import calendar_years, measure_segments, trend_regimes, volatility_regimes
from tests.engines.test_risk import N_DAYS, series

MARKET = np.random.default_rng(2).normal(0.0003, 0.01, 110 + N_DAYS) * np.where(
    np.arange(110 + N_DAYS) // 90 % 2, 2.0, 1.0
)


def test_volatility_regimes_equal_pandas():
    trailing = pd.Series(MARKET).rolling(63).std()
    found = volatility_regimes(MARKET)
    np.testing.assert_array_equal(found["volatility high"], trailing > trailing.expanding().median())
    assert found["volatility high"].sum() + found["volatility low"].sum() == MARKET.size - 62


def test_trend_regimes_equal_pandas():
    growth = pd.Series(np.log1p(MARKET)).rolling(126).sum()
    found = trend_regimes(MARKET)
    known = growth.abs() > 1e-12
    np.testing.assert_array_equal(found["trend up"][known], (growth > 0)[known])


@settings(max_examples=20)
@given(stop=st.integers(1, MARKET.size), seed=st.integers(0, 1000))
def test_a_regime_does_not_change_with_later_data(stop, seed):
    other = MARKET.copy()
    other[stop:] = np.random.default_rng(seed).normal(0, 0.05, MARKET.size - stop)
    for regimes in (volatility_regimes, trend_regimes):
        for name, members in regimes(MARKET).items():
            np.testing.assert_array_equal(regimes(other)[name][:stop], members[:stop])


def test_a_market_too_short_for_a_regime_is_in_none():
    assert not any(members.any() for members in (volatility_regimes(MARKET[:40]) | trend_regimes(MARKET[:40])).values())


@pytest.mark.parametrize(
    ("first", "last", "names"),
    [
        ("2015-01-01", "2018-12-31", ["year 2015", "year 2016", "year 2017", "year 2018"]),
        ("2014-10-01", "2017-12-31", ["years 2014-2015", "year 2016", "year 2017"]),
        ("2015-01-01", "2017-03-31", ["year 2015", "years 2016-2017"]),
        ("2014-11-01", "2015-02-01", ["years 2014-2015"]),
    ],
)
def test_short_years_join_a_neighbour(first, last, names):
    dates = pd.bdate_range(first, last).to_numpy().astype("datetime64[D]")
    found = calendar_years(dates)
    assert list(found) == names
    np.testing.assert_array_equal(sum(members.astype(int) for members in found.values()), 1)


def test_ics_are_split_without_loss_and_tested_on_the_non_overlapping_grid():
    ic = np.random.default_rng(3).normal(0.02, 0.1, N_DAYS)
    ic[:3], ic[-5:] = np.nan, np.nan
    walk = series(daily_ic=ic)
    found = {segment.name: segment for segment in measure_segments(walk, MARKET).segments}
    high = volatility_regimes(MARKET)["volatility high"][walk.rows]
    assert found["volatility high"].n_days + found["volatility low"].n_days == np.isfinite(ic).sum()
    assert found["volatility high"].mean_ic == pytest.approx(np.nanmean(ic[high]))
    grid = np.zeros(N_DAYS, dtype=bool)
    grid[3::5] = True
    assert found["volatility high"].t == pytest.approx(
        stats.ttest_1samp(ic[grid & high & np.isfinite(ic)], 0.0).statistic
    )


def test_the_worst_segment_is_named():
    walk = series()
    up = trend_regimes(MARKET)["trend up"][walk.rows]
    noise = np.random.default_rng(4).normal(0, 0.02, N_DAYS)
    found = measure_segments(series(daily_ic=np.where(up, 0.1, -0.1) + noise), MARKET)
    assert found.worst_name == "trend down"
    assert found.worst_t < -2
    assert 0 < found.positive_ratio < 1


def test_without_any_ic_nothing_passes():
    found = measure_segments(series(daily_ic=np.full(N_DAYS, np.nan)), MARKET)
    assert found.n_segments == 0
    assert math.isnan(found.positive_ratio)
    assert math.isnan(found.worst_t)
