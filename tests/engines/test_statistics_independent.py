"""The statistics against other people's implementations, or the textbook written out once more, on random inputs."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import statsmodels.api as sm
from arch.bootstrap import SPA

from engines import statistics
from engines.statistics.bootstrap import BlockScheme

SEEDS = range(5)


def draw(seed: int, n: int, *, rho: float = 0.0) -> np.ndarray:
    """Fat-tailed returns with first-order autocorrelation, with ties."""
    shocks = 0.01 * np.random.default_rng(seed).standard_t(4, n)
    for t in range(1, n):
        shocks[t] += rho * shocks[t - 1]
    return np.round(shocks + 0.0007, 4)


# ------------------------------------------------------------------------------------------------------------ Sharpe ratios


@pytest.mark.parametrize("seed", SEEDS)
def test_sharpe_inference_from_scipy_moments(seed: int) -> None:
    returns, benchmark = draw(seed, 60 + 90 * seed), 0.01 * seed
    n = returns.size
    sharpe = returns.mean() / returns.std(ddof=1)
    skew, kurtosis = scipy.stats.skew(returns), scipy.stats.kurtosis(returns, fisher=False)
    variance = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    psr = scipy.stats.norm.cdf((sharpe - benchmark) * math.sqrt((n - 1) / variance))
    moments = statistics.return_moments(returns)
    shape = (moments.sharpe, moments.n_obs, moments.skew, moments.kurtosis)
    assert statistics.probabilistic_sharpe_ratio(*shape, benchmark=benchmark) == pytest.approx(psr, rel=1e-9)
    needed = (
        1 + variance * (scipy.stats.norm.ppf(0.9) / (sharpe - benchmark)) ** 2
        if sharpe > max(0, benchmark)
        else math.inf
    )
    found = statistics.min_track_record_length(sharpe, skew, kurtosis, benchmark=benchmark, probability=0.9)
    assert found == pytest.approx(needed, rel=1e-9)
    n_trials, spread = 3 + 40 * seed, 0.02 + 0.01 * seed
    quantile = scipy.stats.norm.ppf
    hurdle = spread * (
        (1 - np.euler_gamma) * quantile(1 - 1 / n_trials) + np.euler_gamma * quantile(1 - 1 / n_trials / math.e)
    )
    dsr = scipy.stats.norm.cdf((sharpe - hurdle) * math.sqrt((n - 1) / variance))
    assert statistics.deflated_sharpe_ratio(*shape, n_trials=n_trials, trial_std=spread) == pytest.approx(dsr, rel=1e-9)


@pytest.mark.parametrize("n_trials", [1, 2, 5, 37, 1000])
def test_expected_maximum_by_quadrature(n_trials: int) -> None:
    def integrand(x: float) -> float:
        return n_trials * x * scipy.stats.norm.pdf(x) * scipy.stats.norm.cdf(x) ** (n_trials - 1)

    exact, _ = scipy.integrate.quad(integrand, -12, 12, epsabs=1e-12, limit=400)
    assert statistics.expected_max_normal_exact(n_trials) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_haircut_from_students_distribution(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sharpe, months, tests, rho = (
        rng.uniform(-1.5, 1.5),
        int(rng.integers(24, 240)),
        int(rng.integers(1, 200)),
        rng.uniform(-0.3, 0.3),
    )
    autocovariances = 12 + 2 * sum((12 - k) * rho**k for k in range(1, 12))
    corrected = (
        sharpe * math.sqrt(12) / math.sqrt(autocovariances)
    )  # Lo (2002): q / sqrt(q + 2 sum (q - k) rho^k), over sqrt(q)
    t_stat = corrected * math.sqrt(months / 12)
    p = 2 * scipy.stats.t.sf(abs(t_stat), months - 1)
    adjusted = min(1.0, tests * p)
    kept = math.copysign(scipy.stats.t.isf(adjusted / 2, months - 1) / math.sqrt(months / 12), sharpe)
    found = statistics.haircut_sharpe_bonferroni(sharpe, months, tests, rho)
    assert (found.p_single, found.p_adjusted) == pytest.approx((p, adjusted), rel=1e-9)
    assert (found.sharpe_adjusted_annual, found.haircut) == pytest.approx(
        (kept, 1 - kept / corrected), rel=1e-7, abs=1e-9
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_effective_trials_from_eigenvalues(seed: int) -> None:
    correlation = np.corrcoef(np.random.default_rng(seed).standard_normal((40, 6)) @ np.ones((6, 6)) * 0.3 + np.random.default_rng(seed + 9).standard_normal((40, 6)), rowvar=False)  # fmt: skip
    eigenvalues = np.linalg.eigvalsh(correlation)
    participation = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    assert statistics.effective_number_of_trials(correlation, "participation_ratio") == pytest.approx(participation)
    average = correlation[np.triu_indices(6, 1)].mean()
    assert statistics.effective_number_of_trials(correlation) == pytest.approx(
        np.clip(average + (1 - average) * 6, 1, 6)
    )


# ------------------------------------------------------------------------------------------------------- means and regressions


@pytest.mark.parametrize("small_sample", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_newey_west_regression_is_that_of_statsmodels(seed: int, small_sample: bool) -> None:
    rng, n = np.random.default_rng(seed), 40 + 30 * seed
    x = rng.standard_normal((n, 1 + seed % 3))
    y = x.sum(axis=1) * 0.3 + draw(seed, n, rho=0.6)
    lags = seed * 2
    fit = sm.OLS(y, np.column_stack([x, np.ones(n)])).fit(
        cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": small_sample}
    )
    found = statistics.newey_west_tstat(y, x, lags, small_sample=small_sample)
    np.testing.assert_allclose(found.coefficients, fit.params, rtol=1e-9)
    np.testing.assert_allclose(found.standard_errors, fit.bse, rtol=1e-9)
    np.testing.assert_allclose(found.t_stats, fit.tvalues, rtol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_sharpe_difference_by_ledoit_and_wolfs_steps(seed: int) -> None:
    pair = np.column_stack([draw(seed, 90 + 40 * seed, rho=0.3), draw(seed + 50, 90 + 40 * seed)])
    n = len(pair)
    means, seconds = pair.mean(axis=0), (pair**2).mean(axis=0)
    deviations = np.column_stack([pair - means, pair**2 - seconds])
    above, below = 0.0, 0.0
    for column in deviations.T:  # Andrews (1991), eq. 6.4, AR(1) without an intercept
        rho = (column[1:] @ column[:-1]) / (column[:-1] @ column[:-1])
        variance = np.sum((column[1:] - rho * column[:-1]) ** 2) / (n - 1)
        above += 4 * rho**2 * variance**2 / (1 - rho) ** 8
        below += variance**2 / (1 - rho) ** 4
    bandwidth = 2.6614 * (above / below * n) ** 0.2
    long_run = deviations.T @ deviations / n
    for lag in range(1, n):
        z = lag / bandwidth
        weight = 1 - 6 * z**2 + 6 * z**3 if z <= 0.5 else 2 * (1 - z) ** 3 if z <= 1 else 0.0
        gamma = deviations[lag:].T @ deviations[:-lag] / n
        long_run = long_run + weight * (gamma + gamma.T)
    long_run *= n / (n - 4)
    gradient = []
    for sign, (m, s) in zip((1, -1), zip(means, seconds, strict=True), strict=True):
        gradient.append((sign * s / (s - m**2) ** 1.5, -sign * 0.5 * m / (s - m**2) ** 1.5))
    order = np.array([gradient[0][0], gradient[1][0], gradient[0][1], gradient[1][1]])
    error = math.sqrt(order @ long_run @ order / n)
    difference = np.diff(-means / pair.std(axis=0))[0]
    found = statistics.ledoit_wolf_sharpe_difference_hac(pair[:, 0], pair[:, 1])
    assert found.difference == pytest.approx(difference, abs=1e-12)
    assert found.standard_error == pytest.approx(error, rel=2e-2)  # variants of the AR(1) fit differ in the bandwidth


# ------------------------------------------------------------------------------------------------------------------ resampling


@pytest.mark.parametrize("scheme", ["stationary", "circular", "moving_block"])
def test_reality_check_is_archs_unstudentised_upper_p(scheme: BlockScheme) -> None:
    rng = np.random.default_rng(8)
    losses = 0.01 * rng.standard_normal((200, 6)) - np.linspace(-0.001, 0.001, 6)
    reference = SPA(
        np.zeros(200), losses, block_size=8, reps=2000, bootstrap=scheme.replace("_", " "), studentize=False, seed=3
    )
    reference.compute()
    found = statistics.white_reality_check_pvalue(-losses, 8, n_resamples=8000, seed=1, scheme=scheme)
    assert found == pytest.approx(reference.pvalues["upper"], abs=0.035)


@pytest.mark.parametrize("rho", [0.0, 0.4, 0.8, -0.3])
def test_block_length_by_the_steps_of_patton_politis_and_white(rho: float) -> None:
    x = draw(4, 800, rho=rho)
    n, centred = x.size, x - x.mean()
    most = math.ceil(math.sqrt(n)) + max(5, math.ceil(math.log10(n)))
    autocovariance = np.array([centred[k:] @ centred[: n - k] / n for k in range(most + 1)])
    correlation, insignificant = autocovariance / autocovariance[0], 2 * math.sqrt(math.log10(n) / n)
    run = max(5, math.ceil(math.log10(n)))
    small = np.abs(correlation[1:]) < insignificant
    first = next((m for m in range(most - run + 1) if small[m : m + run].all()), None)
    assert first is not None
    bandwidth = min(2 * (first + 1), most)  # Patton's own code: twice the first lag of the run, not the last before it
    lags = np.arange(-bandwidth, bandwidth + 1)
    window = np.clip(2 * (1 - np.abs(lags) / bandwidth), 0, 1)
    covariance = autocovariance[np.abs(lags)]
    slope, spectrum = (window * np.abs(lags) * covariance).sum(), (window * covariance).sum()
    longest = math.ceil(min(3 * math.sqrt(n), n / 3))
    for scheme, constant in (("stationary", 2.0), ("circular", 4 / 3)):
        length = min(((2 * slope**2) / (constant * spectrum**2)) ** (1 / 3) * n ** (1 / 3), longest)
        assert statistics.politis_white_block_length(x, scheme) == pytest.approx(length, rel=1e-6)


# ------------------------------------------------------------------------------------------------------- spreads, paths, splits


@pytest.mark.parametrize("seed", SEEDS)
def test_spreads_day_by_day(seed: int) -> None:
    rng = np.random.default_rng(seed)
    paths = 50 * np.exp(np.cumsum(rng.normal(0, 0.004, (40, 30)), axis=None).reshape(40, 30) * (1 + seed))
    high, low, close = paths.max(axis=1), paths.min(axis=1), paths[:, -1]
    k, spreads, squares = 3 - 2 * math.sqrt(2), [], []
    for t in range(1, 40):
        shift = max(0.0, math.log(close[t - 1] / high[t])) + min(0.0, math.log(close[t - 1] / low[t]))
        top, bottom = high[t] * math.exp(shift), low[t] * math.exp(shift)
        beta = math.log(high[t] / low[t]) ** 2 + math.log(high[t - 1] / low[t - 1]) ** 2
        gamma = math.log(max(top, high[t - 1]) / min(bottom, low[t - 1])) ** 2
        alpha = (math.sqrt(2 * beta) - math.sqrt(beta)) / k - math.sqrt(gamma / k)
        spreads.append(2 * (math.exp(alpha) - 1) / (1 + math.exp(alpha)))
        middle = [(math.log(high[s]) + math.log(low[s])) / 2 for s in (t - 1, t)]
        squares.append(4 * (math.log(close[t - 1]) - middle[0]) * (math.log(close[t - 1]) - middle[1]))
    signed = statistics.corwin_schultz_spread(high, low, close, signed=True)
    assert signed == pytest.approx(np.mean(spreads), abs=1e-12)
    assert statistics.corwin_schultz_spread(high, low, close) == abs(signed)
    square = np.mean(squares)
    ranaldo = statistics.abdi_ranaldo_spread(high, low, close, signed=True)
    assert ranaldo == pytest.approx(math.copysign(math.sqrt(abs(square)), square), abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_drawdown_growth_and_tails_by_loops(seed: int) -> None:
    returns = draw(seed, 30 + seed)
    wealth, peak, depths = 1.0, 1.0, []
    for r in returns:
        wealth *= 1 + r
        peak = max(peak, wealth)
        depths.append(wealth / peak - 1)
    assert statistics.max_drawdown(returns) == pytest.approx(min(depths))
    assert statistics.pain_index(returns) == pytest.approx(-np.mean(depths))
    growth = wealth ** (252 / returns.size) - 1
    assert statistics.calmar_ratio(returns, periods_per_year=252) == pytest.approx(growth / -min(depths))
    ordered, cutoff = sorted(returns), 0.07
    place = cutoff * (returns.size - 1)
    below = math.floor(place)
    quantile = ordered[below] + (place - below) * (ordered[below + 1] - ordered[below])
    assert statistics.var_historical(returns, cutoff) == pytest.approx(quantile)
    assert statistics.cvar_historical(returns, cutoff) == pytest.approx(np.mean(ordered[: below + 1]))
    short = [min(0.0, r - 0.001) ** 2 for r in returns]
    deviation = math.sqrt(sum(short) / len(short))
    ratio = statistics.sortino_ratio(returns, minimum_return=0.001, periods_per_year=52)
    assert ratio == pytest.approx((returns.mean() - 0.001) / deviation * math.sqrt(52))


@pytest.mark.parametrize(
    ("n", "folds", "tested", "purge", "embargo"), [(12, 3, 2, 1, 0), (47, 5, 2, 2, 3), (60, 6, 3, 0, 4)]
)
def test_purged_rows_one_by_one(n: int, folds: int, tested: int, purge: int, embargo: int) -> None:
    size = n // folds
    fold_of = [min(row // size, folds - 1) for row in range(n)]
    splits = statistics.cpcv_splits(n, folds, tested, purged_size=purge, embargo_size=embargo)
    for split, chosen in zip(splits, combinations(range(folds), tested), strict=True):
        test_rows = {row for row in range(n) if fold_of[row] in chosen}
        kept = [
            row
            for row in range(n)
            if row not in test_rows
            and not any(row + step in test_rows for step in range(1, purge + 1))
            and not any(row - step in test_rows for step in range(1, purge + embargo + 1))
        ]
        assert split.train.tolist() == kept


# -------------------------------------------------------------------------------------------------- intervals and distances


@pytest.mark.parametrize("seed", SEEDS)
def test_interval_of_a_mean_is_that_of_statsmodels(seed: int) -> None:
    series, lags = draw(seed, 80 + 50 * seed, rho=0.5), 3 + seed
    fit = sm.OLS(series, np.ones(series.size)).fit(
        cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": True}, use_t=False
    )
    found = statistics.newey_west_interval_of_mean(series, lags)
    assert found == pytest.approx(tuple(fit.conf_int()[0]), rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_interval_of_a_ratio_is_where_the_difference_is_not_told_from_zero(seed: int) -> None:
    x = draw(seed, 300, rho=0.2) + 0.002
    y = np.abs(draw(seed + 30, 300)) + 0.001
    lower, upper = statistics.newey_west_interval_of_ratio(x, y, 5)
    assert lower < x.mean() / y.mean() < upper
    edges = [statistics.newey_west_tstat_of_mean(x - bound * y, 5) for bound in (lower, upper)]
    assert edges == pytest.approx([1.959963984540054, -1.959963984540054], rel=1e-9)


def test_an_interval_that_cannot_be_told_is_nan() -> None:
    assert all(math.isnan(bound) for bound in statistics.newey_west_interval_of_mean([0.1, 0.1, 0.1]))
    assert all(math.isnan(bound) for bound in statistics.newey_west_interval_of_mean([]))
    noise = np.random.default_rng(1).standard_normal(50)
    assert all(math.isnan(b) for b in statistics.newey_west_interval_of_ratio(noise, np.zeros(50)))
    assert all(math.isnan(b) for b in statistics.newey_west_interval_of_ratio(noise, noise - noise.mean()))


@pytest.mark.parametrize(("t_stat", "wanted"), [(1.5, 3.0), (4.0, 3.0), (0.3, 2.0)])
def test_so_many_observations_reach_the_t(t_stat: float, wanted: float) -> None:
    needed = statistics.observations_for_t(t_stat, 50, wanted)
    assert t_stat * math.sqrt(needed / 50) >= wanted - 1e-9 > t_stat * math.sqrt((needed - 1) / 50) - 1e-9
    assert statistics.observations_for_t(-t_stat, 50, wanted) == math.inf
    assert math.isnan(statistics.observations_for_t(math.nan, 50, wanted))


def test_interval_of_a_share() -> None:
    exact = scipy.stats.binomtest(7, 10).proportion_ci(0.95, "exact")
    assert statistics.share_interval([True] * 7 + [False] * 3) == pytest.approx((exact.low, exact.high), abs=1e-9)
    assert statistics.share_interval([]) == (0.0, 1.0)
