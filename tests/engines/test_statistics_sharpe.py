"""Sharpe ratios: published values, the limits where they must refuse to impress, and what may not change them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import StatisticsError
from engines.statistics import (
    adjusted_sharpe_ratio,
    annual_growth,
    deflated_sharpe_ratio,
    effective_number_of_trials,
    expected_max_normal_exact,
    expected_max_sharpe,
    haircut_sharpe_bonferroni,
    lo_ar1_annualisation_factor,
    min_backtest_length_years,
    min_track_record_length,
    min_track_record_length_2025,
    null_trial_std,
    probabilistic_sharpe_ratio,
    probabilistic_sharpe_ratio_2025,
    return_moments,
    sharpe_ratio,
    sharpe_standard_error,
    sharpe_standard_error_lo_iid,
    trial_sharpe_std,
)

examples = settings(max_examples=40)
NORMAL = np.random.default_rng(7).normal(0.001, 0.01, 500)
HEDGE_FUND = {"sharpe": 0.036 / 0.079, "skew": -2.448, "kurtosis": 10.164}

returns_lists = st.lists(st.floats(-0.5, 0.5).map(lambda r: round(r, 6)), min_size=5, max_size=60).filter(
    lambda values: len(set(values)) > 2
)
sharpes = st.floats(-1.0, 1.0)
positive_sharpes = st.floats(0.01, 1.0)
n_observations = st.integers(10, 5000)


def test_published_values() -> None:
    assert probabilistic_sharpe_ratio(0.458, 24) == pytest.approx(0.982, abs=5e-4)
    assert probabilistic_sharpe_ratio(n_obs=24, **HEDGE_FUND) == pytest.approx(0.913, abs=5e-4)
    assert probabilistic_sharpe_ratio_2025(n_obs=24, **HEDGE_FUND) == pytest.approx(0.987, abs=5e-4)
    assert sharpe_standard_error(0.7079, 134, -0.225, 2.957) == pytest.approx(0.1028, abs=5e-5)
    assert sharpe_standard_error_lo_iid(0.4557, 24) == pytest.approx(0.214, abs=5e-4)
    assert min_track_record_length(0.7079, -0.225, 2.957) == pytest.approx(8.5824, abs=6e-4)
    assert min_track_record_length(1.14, benchmark=1.0) == pytest.approx(228.73497, abs=1e-4)
    assert lo_ar1_annualisation_factor(0.1, 12) == pytest.approx(0.912, abs=5e-4)


def test_deflated_sharpe_ratio_of_the_paper_needs_raw_kurtosis_and_250_days() -> None:
    example = {"n_obs": 1250, "skew": -3.0, "n_trials": 100}
    per_day = 1 / math.sqrt(250)
    published = deflated_sharpe_ratio(2.5 * per_day, kurtosis=10.0, trial_std=math.sqrt(0.5) * per_day, **example)
    assert published == pytest.approx(0.9004, abs=5e-5)
    per_day = 1 / math.sqrt(252)
    wrong_year = deflated_sharpe_ratio(2.5 * per_day, kurtosis=10.0, trial_std=math.sqrt(0.5) * per_day, **example)
    assert wrong_year == pytest.approx(0.8997, abs=5e-5)


def test_an_excess_kurtosis_in_place_of_the_raw_one_is_refused_when_no_sample_has_it() -> None:
    with pytest.raises(StatisticsError, match="below 1"):
        probabilistic_sharpe_ratio(0.1, 250, skew=0.0, kurtosis=0.0)
    with pytest.raises(StatisticsError, match="skew squared"):
        probabilistic_sharpe_ratio(1.0, 250, skew=3.0, kurtosis=3.0)


def test_moments_are_those_of_scipy() -> None:
    moments = return_moments(NORMAL)
    assert moments.skew == pytest.approx(scipy.stats.skew(NORMAL), rel=1e-10)
    assert moments.kurtosis == pytest.approx(scipy.stats.kurtosis(NORMAL, fisher=False), rel=1e-10)
    assert moments.std == pytest.approx(NORMAL.std(ddof=1), rel=1e-12)


def test_unknown_arguments_stay_unknown() -> None:
    assert math.isnan(probabilistic_sharpe_ratio(math.nan, 100))
    assert math.isnan(probabilistic_sharpe_ratio(0.1, 100, benchmark=math.nan))
    assert math.isnan(probabilistic_sharpe_ratio(0.1, 1))
    assert math.isnan(min_track_record_length(0.1, skew=math.nan))
    assert math.isnan(deflated_sharpe_ratio(0.1, 100, n_trials=math.nan, trial_std=0.1))
    assert math.isnan(deflated_sharpe_ratio(0.1, 100, n_trials=10, trial_std=math.nan))
    assert math.isnan(haircut_sharpe_bonferroni(math.nan, 120, 10).p_adjusted)


@pytest.mark.parametrize("degenerate", [[], [0.01], [0.1] * 50, [0.1, 0.3 - 0.2, 0.1], [np.nan, 0.02], [None, None]])
def test_no_dispersion_gives_no_sharpe_ratio(degenerate: list[float]) -> None:
    moments = return_moments(degenerate)
    assert math.isnan(sharpe_ratio(degenerate, periods_per_year=252))
    assert math.isnan(adjusted_sharpe_ratio(degenerate, periods_per_year=252))
    assert math.isnan(probabilistic_sharpe_ratio(moments.sharpe, moments.n_obs, moments.skew, moments.kurtosis))
    assert math.isnan(min_track_record_length(moments.sharpe, moments.skew, moments.kurtosis))


def test_an_infinite_return_is_refused_and_located() -> None:
    with pytest.raises(StatisticsError, match="position 1"):
        sharpe_ratio([0.1, math.inf, 0.2])


@examples
@given(returns_lists, st.floats(0.1, 10.0))
def test_sharpe_ratio_ignores_scale_order_and_absent_days(returns: list[float], scale: float) -> None:
    sharpe = sharpe_ratio(returns)
    assert sharpe_ratio([scale * r for r in returns]) == pytest.approx(sharpe, rel=1e-6, abs=1e-9)
    assert sharpe_ratio(returns[::-1]) == pytest.approx(sharpe, rel=1e-6, abs=1e-9)
    assert sharpe_ratio([*returns, math.nan]) == sharpe
    assert sharpe_ratio([-r for r in returns]) == pytest.approx(-sharpe, rel=1e-6, abs=1e-9)


def test_risk_free_rate_and_annualisation() -> None:
    assert sharpe_ratio(NORMAL, risk_free_per_period=0.0004) == pytest.approx(sharpe_ratio(NORMAL - 0.0004))
    assert sharpe_ratio(NORMAL, periods_per_year=252) == pytest.approx(math.sqrt(252) * sharpe_ratio(NORMAL))


def test_growth_compounds_and_ruin_has_no_rate() -> None:
    assert annual_growth([0.1] * 12, periods_per_year=12) == pytest.approx(1.1**12 - 1)
    assert annual_growth([0.1, -1.0], periods_per_year=12) == -1.0
    assert math.isnan(annual_growth([-2.5], periods_per_year=12))


@examples
@given(sharpes, n_observations, st.floats(-0.5, 0.5))
def test_psr_is_a_probability_that_falls_with_the_benchmark(sharpe: float, n_obs: int, benchmark: float) -> None:
    lower = probabilistic_sharpe_ratio(sharpe, n_obs, benchmark=benchmark)
    higher = probabilistic_sharpe_ratio(sharpe, n_obs, benchmark=benchmark + 0.05)
    assert 0.0 <= higher <= lower <= 1.0


@examples
@given(positive_sharpes, st.floats(0.55, 0.99))
def test_min_track_record_length_is_where_psr_reaches_the_confidence(sharpe: float, probability: float) -> None:
    length = min_track_record_length(sharpe, -0.5, 5.0, probability=probability)
    reached = probabilistic_sharpe_ratio(sharpe, math.ceil(length) + 1, -0.5, 5.0)
    assert reached >= probability - 1e-12
    if length > 3:
        assert probabilistic_sharpe_ratio(sharpe, math.floor(length), -0.5, 5.0) <= probability + 1e-12


@examples
@given(st.floats(-2.0, 0.0))
def test_no_record_is_long_enough_for_a_sharpe_ratio_at_or_below_zero(sharpe: float) -> None:
    assert min_track_record_length(sharpe) == math.inf
    assert min_track_record_length(sharpe, benchmark=-3.0) == math.inf
    assert min_track_record_length_2025(sharpe) == math.inf


def test_no_record_is_long_enough_at_or_below_the_benchmark() -> None:
    assert min_track_record_length(0.1, benchmark=0.1) == math.inf
    with pytest.raises(StatisticsError, match=r"\(0\.5, 1\)"):
        min_track_record_length(0.1, probability=0.5)


@examples
@given(st.integers(1, 2000))
def test_more_trials_never_lower_the_hurdle(n_trials: int) -> None:
    assert expected_max_sharpe(n_trials + 1) >= expected_max_sharpe(n_trials) >= 0.0
    assert min_backtest_length_years(n_trials + 1) >= min_backtest_length_years(n_trials)


def test_expected_maximum_against_the_exact_order_statistic() -> None:
    assert expected_max_normal_exact(1) == pytest.approx(0.0, abs=1e-12)
    assert expected_max_normal_exact(2) == pytest.approx(1 / math.sqrt(math.pi), abs=1e-12)
    assert expected_max_normal_exact(3) == pytest.approx(3 / (2 * math.sqrt(math.pi)), abs=1e-12)
    assert expected_max_normal_exact(10) == pytest.approx(1.53875273, abs=1e-8)
    for n_trials, gap in ((2, -0.08), (10, 0.023), (100, 0.009), (1000, 0.004)):
        exact = expected_max_normal_exact(n_trials)
        assert expected_max_sharpe(n_trials) / exact - 1 == pytest.approx(gap, abs=0.005)


def test_one_trial_is_no_search() -> None:
    assert expected_max_sharpe(1, 0.2) == 0.0
    one = deflated_sharpe_ratio(0.1, 500, -0.2, 4.0, n_trials=1, trial_std=0.2)
    assert one == probabilistic_sharpe_ratio(0.1, 500, -0.2, 4.0)
    with pytest.raises(StatisticsError, match="count at least"):
        expected_max_sharpe(0)


@examples
@given(positive_sharpes, st.integers(2, 500), st.floats(0.0, 0.2))
def test_deflation_only_ever_lowers_the_probability(sharpe: float, n_trials: int, trial_std: float) -> None:
    deflated = deflated_sharpe_ratio(sharpe, 750, n_trials=n_trials, trial_std=trial_std)
    assert deflated <= probabilistic_sharpe_ratio(sharpe, 750)
    assert deflated_sharpe_ratio(sharpe, 750, n_trials=n_trials + 1, trial_std=trial_std) <= deflated


def test_spread_of_trials_leaves_the_candidate_out_and_falls_back_on_sampling_error() -> None:
    assert trial_sharpe_std([3.5, 1.01, 1.02]) == pytest.approx(np.std([3.5, 1.01, 1.02]))
    assert null_trial_std([0.1, 0.2, 0.3, 0.4], 101) == pytest.approx(0.1)
    assert null_trial_std([0.1, 0.2, 0.3, 0.4, math.nan], 101) == pytest.approx(0.1)
    assert null_trial_std([0.1, 0.2, 0.3, 0.4, 0.5], 101) == pytest.approx(np.std([0.1, 0.2, 0.3, 0.4, 0.5]))
    assert math.isnan(null_trial_std([], 1))


def test_min_backtest_length_of_the_notices() -> None:
    assert min_backtest_length_years(45) == pytest.approx(5.0, abs=0.005)
    assert min_backtest_length_years(45, 0.0) == math.inf


def test_haircut_of_harvey_and_liu() -> None:
    result = haircut_sharpe_bonferroni(1.0, 120, 100, 0.1)
    assert result.p_adjusted == pytest.approx(0.465, abs=5e-4)
    assert result.haircut == pytest.approx(1 - result.sharpe_adjusted_annual / 0.9122454608, abs=1e-9)


@examples
@given(st.floats(0.05, 4.0), st.integers(12, 240), st.integers(1, 300))
def test_haircut_is_nothing_for_one_test_and_grows_with_more(sharpe: float, n_months: int, n_tests: int) -> None:
    alone = haircut_sharpe_bonferroni(sharpe, n_months, 1)
    among = haircut_sharpe_bonferroni(sharpe, n_months, n_tests)
    assert alone.sharpe_adjusted_annual == pytest.approx(sharpe, rel=1e-6)
    assert -1e-9 <= among.sharpe_adjusted_annual <= sharpe + 1e-6
    assert haircut_sharpe_bonferroni(-sharpe, n_months, n_tests).sharpe_adjusted_annual <= 0.0


def test_haircut_of_an_impossibly_good_record_is_finite() -> None:
    result = haircut_sharpe_bonferroni(400.0, 1200, 10)
    assert (result.p_adjusted, result.sharpe_adjusted_annual, result.haircut) == (0.0, 400.0, 0.0)


def test_effective_number_of_trials() -> None:
    clusters = np.kron(np.eye(2), np.ones((10, 10)))
    for method in ("average_correlation", "participation_ratio"):
        assert effective_number_of_trials(np.eye(20), method) == pytest.approx(20)
        assert effective_number_of_trials(np.ones((20, 20)), method) == pytest.approx(1)
    assert effective_number_of_trials(clusters, "participation_ratio") == pytest.approx(2)
    assert effective_number_of_trials(clusters) == pytest.approx(20 - 19 * 9 / 19)
    assert effective_number_of_trials([[1.0]]) == 1.0
    for broken in ([[1.0, 0.2], [0.3, 1.0]], [[1.0, 2.0], [2.0, 1.0]], [[1.0, np.nan], [np.nan, 1.0]]):
        with pytest.raises(StatisticsError):
            effective_number_of_trials(broken)
