"""t-statistics against statsmodels and scipy, and the traps that separate them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import StatisticsError
from engines.statistics import (
    alpha_beta,
    fama_macbeth,
    ledoit_wolf_sharpe_difference_hac,
    newey_west_lags,
    newey_west_tstat,
    newey_west_tstat_of_mean,
    spearman_rank_ic,
    student_t_of_mean,
)

examples = settings(max_examples=40)
RNG = np.random.default_rng(11)
SERIES = np.convolve(RNG.normal(0.1, 1.0, 320), np.ones(21) / 21, mode="valid")


@pytest.mark.parametrize(
    ("n_obs", "horizon_days", "lags"), [(100, 1, 4), (252, 1, 4), (2520, 1, 8), (2520, 21, 20), (60, 1, 3), (1, 5, 4)]
)
def test_lags(n_obs: int, horizon_days: int, lags: int) -> None:
    assert newey_west_lags(n_obs, horizon_days) == lags


@pytest.mark.parametrize("small_sample", [True, False])
@pytest.mark.parametrize("lags", [0, 3, 20, 500])
def test_t_of_mean_is_that_of_statsmodels(lags: int, small_sample: bool) -> None:
    ones = np.ones(SERIES.size)
    reference = sm.OLS(SERIES, ones).fit(cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": small_sample})
    ours = newey_west_tstat_of_mean(SERIES, lags, small_sample=small_sample)
    assert ours == pytest.approx(reference.tvalues[0], rel=1e-10)


def test_regression_reproduces_stata_newey_on_us_macro_data() -> None:
    macro = sm.datasets.macrodata.load_pandas().data
    growth = 400 * np.diff(np.log(macro[["realinv", "realgdp"]].to_numpy()), axis=0)
    regressors = np.column_stack([growth[:, 1], macro["realint"].to_numpy()[:-1]])
    fit = newey_west_tstat(growth[:, 0], regressors, 4)
    np.testing.assert_allclose(fit.standard_errors, [0.331256449, 0.295823476, 1.18593381], atol=1e-8)
    np.testing.assert_allclose(fit.t_stats, [13.2049404, -2.07555187, -7.99511128], atol=1e-7)


def test_a_constant_among_the_regressors_is_the_intercept() -> None:
    x = RNG.normal(size=(80, 1))
    y = 0.3 * x[:, 0] + RNG.normal(size=80)
    given_first = newey_west_tstat(y, np.column_stack([np.ones(80), x]), 3)
    appended = newey_west_tstat(y, x, 3)
    np.testing.assert_allclose(given_first.t_stats[::-1], appended.t_stats, rtol=1e-9)


def test_regression_leaves_incomplete_rows_out_and_refuses_what_it_cannot_fit() -> None:
    x = RNG.normal(size=(40, 2))
    y = RNG.normal(size=40)
    broken = x.copy()
    broken[3, 1] = np.nan
    np.testing.assert_allclose(
        newey_west_tstat(y, broken, 2).t_stats, newey_west_tstat(np.delete(y, 3), np.delete(x, 3, 0), 2).t_stats
    )
    with pytest.raises(StatisticsError, match="collinear"):
        newey_west_tstat(y, np.column_stack([x[:, 0], 2 * x[:, 0]]), 2)
    with pytest.raises(StatisticsError, match="do not share"):
        newey_west_tstat(y, x[:-1], 2)
    with pytest.raises(StatisticsError, match="cannot fit"):
        newey_west_tstat(y[:2], x[:2], 0)
    with pytest.raises(StatisticsError, match="lags"):
        newey_west_tstat(y, x, -1)


@pytest.mark.parametrize("degenerate", [[], [0.3], [0.1] * 40, [np.nan, np.nan, 1.0]])
def test_no_dispersion_gives_no_t_statistic(degenerate: list[float]) -> None:
    assert math.isnan(newey_west_tstat_of_mean(degenerate))
    assert math.isnan(student_t_of_mean(degenerate).t_stat)
    assert math.isnan(student_t_of_mean(degenerate).p_one_sided)
    assert math.isnan(fama_macbeth(degenerate).t_stat)


@examples
@given(st.lists(st.floats(-1, 1).map(lambda v: round(v, 5)), min_size=12, max_size=60), st.floats(0.01, 100))
def test_t_of_mean_ignores_scale_and_reverses_with_sign(values: list[float], scale: float) -> None:
    t_stat = newey_west_tstat_of_mean(values, 2)
    scaled = newey_west_tstat_of_mean([-scale * v for v in values], 2)
    assert scaled == pytest.approx(-t_stat, rel=1e-6, abs=1e-9, nan_ok=True)


def test_student_t_is_that_of_scipy() -> None:
    ours = student_t_of_mean(SERIES[::21])
    reference = scipy.stats.ttest_1samp(SERIES[::21], 0.0, alternative="greater")
    assert (ours.t_stat, ours.p_one_sided) == pytest.approx((reference.statistic, reference.pvalue), rel=1e-10)
    assert student_t_of_mean([*SERIES[::21], math.nan]) == ours


def test_overlap_inflates_newey_west_where_the_non_overlapping_t_keeps_its_size() -> None:
    """The reason the non-overlapping t decides: on noise with 21-day overlap NW exceeds 2.0 about twice as often."""
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(1500, 20 + 1260))
    overlapping = np.lib.stride_tricks.sliding_window_view(noise, 21, axis=1).mean(axis=2)
    newey_west = np.array([newey_west_tstat_of_mean(row, newey_west_lags(row.size, 21)) for row in overlapping])
    student = np.array([student_t_of_mean(row[::21]).t_stat for row in overlapping])
    assert 0.035 < np.mean(newey_west > 2.0) < 0.075
    assert np.mean(student > 2.0) < 0.04


def test_fama_macbeth_of_petersen_data() -> None:
    slopes = [0.9983268341706347, 1.076583514250423, 1.090897593266392, 1.1543529492126923, 1.0908092845167285]
    slopes += [0.8342679337042713, 1.088976701690356, 0.9830492639061802, 0.8966287416877415, 1.1419682194915208]
    result = fama_macbeth(slopes)
    assert (result.mean, result.standard_error, result.t_stat) == pytest.approx(
        (1.0355861, 0.03334159, 31.0598891), abs=5e-7
    )


def test_rank_ic_averages_ties_and_leaves_unpaired_names_out() -> None:
    assert spearman_rank_ic([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]) == pytest.approx(0.8207826816681233, abs=1e-12)
    assert spearman_rank_ic([1, 2, 3, 4, 5, np.nan], [5, 6, 7, 8, 7, 100]) == pytest.approx(
        0.8207826816681233, abs=1e-12
    )
    assert math.isnan(spearman_rank_ic([1, 1, 1], [1, 2, 3]))
    assert math.isnan(spearman_rank_ic([1], [2]))
    with pytest.raises(StatisticsError, match="one length"):
        spearman_rank_ic([1, 2], [1, 2, 3])


@examples
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=4, max_size=40), st.randoms())
def test_rank_ic_ignores_order_and_monotone_transformations(pairs: list[tuple[float, float]], random: object) -> None:
    signal, forward = (np.round(np.array(side), 4) for side in zip(*pairs, strict=True))
    ic = spearman_rank_ic(signal, forward)
    order = np.random.default_rng(len(pairs)).permutation(signal.size)
    assert spearman_rank_ic(signal[order], forward[order]) == pytest.approx(ic, abs=1e-12, nan_ok=True)
    assert spearman_rank_ic(np.exp(3 * signal), forward) == pytest.approx(ic, abs=1e-12, nan_ok=True)
    assert spearman_rank_ic(signal, -forward) == pytest.approx(-ic, abs=1e-12, nan_ok=True)


def test_alpha_beta_is_the_least_squares_line() -> None:
    benchmark = RNG.normal(0.0, 0.01, 300)
    returns = 0.0002 + 0.7 * benchmark + RNG.normal(0.0, 0.001, 300)
    line = scipy.stats.linregress(benchmark, returns)
    result = alpha_beta(returns, benchmark)
    assert result.beta == pytest.approx(line.slope, rel=1e-10)
    assert result.alpha_annual == pytest.approx((1 + line.intercept) ** 252 - 1, rel=1e-9)
    assert math.isnan(alpha_beta(returns, np.full(300, 0.01)).beta)


def sharpe_pair(advantage: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    common = rng.normal(0.0, 0.01, 1000)
    return common + rng.normal(advantage, 0.004, 1000), common + rng.normal(0.0, 0.004, 1000)


def test_sharpe_difference_is_found_where_there_is_one_and_not_where_there_is_none() -> None:
    assert ledoit_wolf_sharpe_difference_hac(*sharpe_pair(0.002)).p_two_sided < 1e-6
    assert ledoit_wolf_sharpe_difference_hac(*sharpe_pair(0.0)).p_two_sided > 0.1


def test_sharpe_difference_is_antisymmetric_and_ignores_leverage() -> None:
    first, second = sharpe_pair(0.001)
    ours, swapped = ledoit_wolf_sharpe_difference_hac(first, second), ledoit_wolf_sharpe_difference_hac(second, first)
    assert swapped.difference == pytest.approx(-ours.difference)
    assert swapped.p_two_sided == pytest.approx(ours.p_two_sided)
    assert ledoit_wolf_sharpe_difference_hac(3 * first, second).difference == pytest.approx(ours.difference)


def test_sharpe_difference_of_a_strategy_with_itself_decides_nothing() -> None:
    first, _ = sharpe_pair(0.001)
    for same in (first, 2 * first):
        assert math.isnan(ledoit_wolf_sharpe_difference_hac(first, same).p_two_sided)
    assert math.isnan(ledoit_wolf_sharpe_difference_hac(first[:5], -first[:5]).p_two_sided)
    assert math.isnan(ledoit_wolf_sharpe_difference_hac(first, np.zeros(1000)).p_two_sided)
    alternating = np.tile([0.01, -0.01], 500)
    assert 0.0 <= ledoit_wolf_sharpe_difference_hac(first, alternating).p_two_sided <= 1.0
