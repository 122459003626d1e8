"""How many trials a Sharpe ratio survives, and monthly returns."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.statistics import deflated_sharpe_ratio, monthly_returns, trials_survived


@given(sharpe=st.floats(0.0, 0.3), n_obs=st.integers(50, 3000), spread=st.floats(0.005, 0.1))
def test_the_last_trial_survived_is_believed_and_the_next_is_not(sharpe, n_obs, spread):
    survived = trials_survived(sharpe, n_obs, trial_std=spread)
    if math.isinf(survived):
        return
    if survived > 0:
        assert deflated_sharpe_ratio(sharpe, n_obs, n_trials=survived, trial_std=spread) >= 0.95
    assert deflated_sharpe_ratio(sharpe, n_obs, n_trials=survived + 1, trial_std=spread) < 0.95


def test_the_published_example_survives_fewer_than_its_hundred_trials():
    """Bailey & Lopez de Prado (2014): DSR 0.9004 at N = 100, and 0.95 is kept up to 46 (their section 'a numerical example')."""
    shape = {
        "sharpe": 2.5 / math.sqrt(250),
        "n_obs": 1250,
        "skew": -3.0,
        "kurtosis": 10.0,
        "trial_std": math.sqrt(0.5 / 250),
    }
    assert trials_survived(**shape) == 46


@pytest.mark.parametrize(("sharpe", "expected"), [(-0.1, 0.0), (0.0, 0.0)])
def test_a_sharpe_at_or_below_zero_survives_nothing(sharpe, expected):
    assert trials_survived(sharpe, 1000, trial_std=0.03) == expected


def test_an_unknown_sharpe_survives_an_unknown_number():
    assert math.isnan(trials_survived(math.nan, 1000, trial_std=0.03))


def test_months_are_compounded():
    dates = np.array(["2024-01-30", "2024-01-31", "2024-02-01", "2024-04-01"], dtype="datetime64[D]")
    np.testing.assert_allclose(monthly_returns(dates, [0.1, 0.1, -0.5, 0.02]), [0.21, -0.5, 0.02])
