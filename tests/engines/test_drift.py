"""The CUSUM against its published run lengths, by hand and by simulation; resampled days against what they must keep."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.drift import (
    cusum_alarm_probability,
    cusum_average_run_days,
    cusum_bound,
    lost_edge_cusum,
    resampled_days,
)
from engines.errors import StatisticsError
from engines.statistics.rates import rate


@pytest.mark.parametrize(("bound", "run_days"), [(4.0, 335.4), (5.0, 930.9)])
def test_run_lengths_are_the_published_ones(bound: float, run_days: float) -> None:
    """Montgomery's table 9.3 for k = 1/2: 168 and 465 days two-sided, so twice that on one side; in nats the bound is k times twice as large."""
    assert cusum_average_run_days(1.0, bound) == pytest.approx(run_days, rel=2e-3)


def test_a_cusum_by_hand() -> None:
    """Mean 1, deviation 2: a day adds (1/2 - r) / 4."""
    found = lost_edge_cusum([0.5, -1.5, 4.5, -3.5, np.nan, 0.5], 1.0, 2.0)
    np.testing.assert_allclose(found, [0.0, 0.5, 0.0, 1.0, 1.0])


def test_without_an_edge_there_is_nothing_to_lose() -> None:
    for mean, std in ((0.0, 1.0), (-1.0, 1.0), (1.0, 0.0), (math.nan, 1.0)):
        assert np.isnan(lost_edge_cusum([0.1, 0.2], mean, std)).all()
    assert math.isnan(cusum_bound(0.0, 252, 0.05))
    assert math.isnan(cusum_bound(-0.1, 252, 0.05))


@pytest.mark.parametrize("edge", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("false_alarm", [0.02, 0.1])
def test_the_stated_rate_of_false_alarms_is_the_simulated_one(edge: float, false_alarm: float) -> None:
    """Years of normal returns with this edge: the stated rate lies in the simulation's exact interval (seeded; 4 sigma wide for six cases)."""
    bound, rng = cusum_bound(edge, 252, false_alarm), np.random.default_rng(5)
    years = rng.normal(edge, 1.0, (4000, 252))
    fired = sum(bool(lost_edge_cusum(year, edge, 1.0).max() > bound) for year in years)
    found = rate(fired, 4000)
    assert found.lower - 0.005 <= false_alarm <= found.upper + 0.005
    assert cusum_alarm_probability(edge, bound, 252) == pytest.approx(false_alarm, abs=1e-5)


def test_a_lost_edge_is_noticed_and_a_kept_one_is_not() -> None:
    rng = np.random.default_rng(1)
    bound, kept = cusum_bound(0.2, 252, 0.02), rng.normal(0.2, 1.0, 252)
    assert lost_edge_cusum(kept, 0.2, 1.0).max() < bound
    assert lost_edge_cusum(kept - 0.2, 0.2, 1.0).max() > bound


@settings(max_examples=25)
@given(st.floats(0.02, 0.5), st.floats(0.5, 8.0), st.integers(1, 100))
def test_a_longer_watch_and_a_lower_bound_alarm_more(edge: float, bound: float, n_days: int) -> None:
    found = cusum_alarm_probability(edge, bound, n_days)
    assert 0.0 <= found <= cusum_alarm_probability(edge, bound, n_days + 50) + 1e-12 <= 1.0 + 1e-9
    assert found <= cusum_alarm_probability(edge, 0.8 * bound, n_days) + 1e-9


@pytest.mark.parametrize(("edge", "bound"), [(0.0, 1.0), (0.1, 0.0), (-1.0, 2.0)])
def test_what_is_not_defined_is_refused(edge: float, bound: float) -> None:
    with pytest.raises(StatisticsError):
        cusum_alarm_probability(edge, bound, 10)
    with pytest.raises(StatisticsError):
        cusum_bound(0.1, 252, 1.0)


@given(st.integers(1, 60), st.integers(1, 90), st.integers(1, 5), st.floats(1.0, 30.0))
def test_resampled_days_are_days_in_blocks(n_obs: int, n_days: int, n_paths: int, block: float) -> None:
    days = resampled_days(n_obs, n_days, n_paths, block, seed=3)
    assert days.shape == (n_paths, n_days)
    assert ((days >= 0) & (days < n_obs)).all()
    np.testing.assert_array_equal(days, resampled_days(n_obs, n_days, n_paths, block, seed=3))


def test_blocks_have_their_mean_length() -> None:
    days = resampled_days(1000, 5000, 20, 21.0, seed=1)
    breaks = np.count_nonzero(np.diff(days, axis=1) % 1000 != 1)
    assert 20 * 5000 / breaks == pytest.approx(21.0, rel=0.05)


def test_impossible_resamples_are_refused() -> None:
    for arguments in ((0, 1, 1, 1.0), (1, 0, 1, 1.0), (1, 1, 0, 1.0), (1, 1, 1, 0.5)):
        with pytest.raises(StatisticsError):
            resampled_days(*arguments, seed=1)
