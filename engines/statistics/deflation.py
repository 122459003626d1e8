"""Sharpe ratios after a search: the best of many trials is high by luck alone, and these say by how much."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from engines.errors import StatisticsError
from engines.statistics.samples import complete_matrix, observed
from engines.statistics.sharpe import lo_ar1_annualisation_factor, probabilistic_sharpe_ratio

MONTHS_PER_YEAR = 12


MOST_TRIALS = 10**12


@dataclass(frozen=True, slots=True)
class HaircutSharpe:
    """A Sharpe ratio after a multiple-testing haircut.

    Ratios are annual, `haircut` is the share of the ratio taken away (0.3 = 30 %).
    """

    p_single: float
    p_adjusted: float
    sharpe_adjusted_annual: float
    haircut: float


def expected_max_sharpe(n_trials: float, sharpe_std: float = 1.0, mean: float = 0.0) -> float:
    """How high is the best Sharpe ratio of N worthless, independent trials expected to be?

    E[max] = mean + std ((1 - gamma) z(1 - 1/N) + gamma z(1 - 1/(N e))), gamma = 0.5772..., z the normal
    quantile. One trial is no search: its expected maximum is `mean`, where the approximation would say minus
    infinity.

    Args:
        n_trials: N >= 1; need not be whole (an effective number of trials).
        sharpe_std: standard deviation of the trials' Sharpe ratios, in the unit wanted back.
        mean: mean of the trials' Sharpe ratios under the null, normally 0.

    Returns:
        In the unit of `sharpe_std`; NaN for NaN arguments. Against expected_max_normal_exact: -8 % at N = 2,
        +2.3 % at 10, +0.9 % at 100.

    Raises:
        StatisticsError: n_trials < 1 or a negative standard deviation.

    Reference: Bailey & Lopez de Prado (2014), The Deflated Sharpe Ratio, Journal of Portfolio Management
    40(5), eq. 1.
    """
    from scipy.special import ndtri

    if n_trials < 1 or sharpe_std < 0:
        raise StatisticsError(
            f"{n_trials:g} trials with a Sharpe standard deviation of {sharpe_std:g}",
            remedy="count at least the trial itself; a standard deviation is not negative",
        )
    if n_trials == 1:
        return mean
    upper = (1.0 - np.euler_gamma) * ndtri(1.0 - 1.0 / n_trials) + np.euler_gamma * ndtri(
        1.0 - 1.0 / (n_trials * math.e)
    )
    return float(mean + sharpe_std * np.maximum(0.0, upper))


def expected_max_normal_exact(n_trials: int) -> float:
    """How large is the largest of N independent standard normals on average, without an approximation?

    E[max] = integral of x N phi(x) Phi(x)^(N-1) dx, by the trapezoidal rule on [-40, 40], which converges
    geometrically for an integrand this smooth (absolute error below 1e-12).

    Args:
        n_trials: N >= 1.

    Returns:
        The expected maximum in standard deviations; 0 for one trial.

    Raises:
        StatisticsError: n_trials < 1.

    Reference: David & Nagaraja, Order Statistics, 3rd ed., section 3.1.
    """
    from scipy.special import log_ndtr

    if n_trials < 1:
        raise StatisticsError(f"the maximum of {n_trials} trials is not defined", remedy="count at least one trial")
    x = np.linspace(-40.0, 40.0, 80 * 256 + 1)
    log_density = math.log(n_trials) - 0.5 * x**2 - 0.5 * math.log(2.0 * math.pi) + (n_trials - 1) * log_ndtr(x)
    return float(np.trapezoid(x * np.exp(log_density), x))


def trial_sharpe_std(trial_sharpes: npt.ArrayLike) -> float:
    """How widely do the Sharpe ratios of a family's trials spread?

    std = sqrt(mean((SR_i - mean SR)^2)), ddof = 0, the convention of the published figures (with ddof = 1 the
    DSR of SR 1.14 against trials 3.5, 1.01, 1.02 is 0.152 instead of 0.958).

    Args:
        trial_sharpes: shape (N,), per period. NaN (a trial that never produced returns) are left out.

    Returns:
        Standard deviation per period; NaN when no trial was observed.

    Raises:
        StatisticsError: infinite values, or not one-dimensional.
    """
    sharpes = observed(trial_sharpes, "trial_sharpes")
    return float(np.std(sharpes)) if sharpes.size else math.nan


def null_trial_std(other_trial_sharpes: npt.ArrayLike, n_obs: int, *, min_others: int = 5) -> float:
    """Which spread of trial Sharpe ratios does the deflation of one candidate use?

    The spread of the *other* trials when at least `min_others` are on record, else sqrt(1/(T - 1)), the
    sampling error of a Sharpe ratio of zero. The candidate stays out: with itself among the trials a good
    candidate raises its own hurdle.

    Args:
        other_trial_sharpes: shape (K,), per period, without the candidate. NaN are left out.
        n_obs: T, number of the candidate's returns.
        min_others: below this count the record says too little.

    Returns:
        Standard deviation per period; NaN when T < 2 has to decide.

    Raises:
        StatisticsError: infinite values, or not one-dimensional.
    """
    others = observed(other_trial_sharpes, "other_trial_sharpes")
    if others.size >= min_others:
        return trial_sharpe_std(others)
    return math.sqrt(1.0 / (n_obs - 1)) if n_obs >= 2 else math.nan


def deflated_sharpe_ratio(
    sharpe: float, n_obs: int, skew: float = 0.0, kurtosis: float = 3.0, *, n_trials: float, trial_std: float
) -> float:
    """How probable is it that the true Sharpe ratio is positive, given how many were tried?

    DSR = PSR(SR* = E[max of N trials]), E[max] as expected_max_sharpe with standard deviation `trial_std`.

    Args:
        sharpe: observed, per period.
        n_obs: T, number of returns.
        skew: third standardised moment.
        kurtosis: raw, 3 for a normal (the excess would give 0.9018 for 0.9004 in the paper's example).
        n_trials: N, every variant tried in the family, this one included.
        trial_std: standard deviation of the trials' Sharpe ratios, per period (null_trial_std,
            trial_sharpe_std).

    Returns:
        Probability in [0, 1]; NaN for n_obs < 2 or NaN arguments. With one trial it is PSR against 0.

    Raises:
        StatisticsError: n_trials < 1, negative trial_std, or impossible moments.

    Reference: Bailey & Lopez de Prado (2014), Journal of Portfolio Management 40(5), eq. 2.
    """
    hurdle = expected_max_sharpe(n_trials, trial_std)
    return probabilistic_sharpe_ratio(sharpe, n_obs, skew, kurtosis, benchmark=hurdle)


def trials_survived(
    sharpe: float,
    n_obs: int,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    *,
    trial_std: float,
    probability: float = 0.95,
) -> float:
    """How many trials could the family have made before this Sharpe ratio stopped being believed?

    The largest N with deflated_sharpe_ratio(N) >= probability; the ratio falls as N grows.

    Args:
        sharpe, n_obs, skew, kurtosis, trial_std: as deflated_sharpe_ratio.
        probability: the bound the deflated ratio must keep.

    Returns:
        N as a whole number; 0 when even a single trial is not believed, inf beyond 1e12 (or when trials do not
        spread at all). NaN for NaN arguments.

    Raises:
        StatisticsError: as deflated_sharpe_ratio.
    """

    def believed(n_trials: float) -> bool:
        deflated = deflated_sharpe_ratio(sharpe, n_obs, skew, kurtosis, n_trials=n_trials, trial_std=trial_std)
        return deflated >= probability

    if math.isnan(deflated_sharpe_ratio(sharpe, n_obs, skew, kurtosis, n_trials=1, trial_std=trial_std)):
        return math.nan
    if not believed(1):
        return 0.0
    low, high = 1, 2
    while believed(high):
        low, high = high, 2 * high
        if high > MOST_TRIALS:
            return math.inf
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if believed(middle) else (low, middle)
    return float(low)


def min_backtest_length_years(n_trials: float, target_annual_sharpe: float = 1.0) -> float:
    """How many years of data before the best of N worthless trials is no longer expected to reach the target?

    MinBTL = (E[max of N standard normals] / target)^2: over y years a null annual Sharpe ratio has standard
    deviation 1/sqrt(y).

    Args:
        n_trials: N >= 1.
        target_annual_sharpe: annual Sharpe ratio that would be believed.

    Returns:
        Years; inf for a target <= 0, which luck always reaches.

    Raises:
        StatisticsError: n_trials < 1.

    Reference: Bailey, Borwein, Lopez de Prado & Zhu (2014), Pseudo-Mathematics and Financial Charlatanism,
    Notices of the AMS 61(5), Theorem 1.
    """
    luck = expected_max_sharpe(n_trials)
    return math.inf if target_annual_sharpe <= 0 else (luck / target_annual_sharpe) ** 2


def haircut_sharpe_bonferroni(
    annual_sharpe: float, n_months: int, n_tests: int, autocorrelation: float = 0.0
) -> HaircutSharpe:
    """What remains of an annual Sharpe ratio once its p-value is multiplied by the number of tests?

    SR_a = SR eta(rho) with Lo's AR(1) factor at 12 periods a year; t = SR_a sqrt(n/12); p = 2 (1 - F_t(|t|; n
    - 1)); p' = min(1, M p); the haircut ratio is the one whose t has the two-sided p-value p', with the sign
    of SR.

    Args:
        annual_sharpe: sqrt(12)-annualised ratio of monthly returns.
        n_months: number of monthly returns, >= 2.
        n_tests: M, tests in the family, this one included.
        autocorrelation: lag-one autocorrelation of the monthly returns.

    Returns:
        HaircutSharpe; `haircut` = 1 - adjusted / SR_a (NaN for SR = 0); all NaN for a NaN Sharpe ratio.

    Raises:
        StatisticsError: fewer than 2 months, no test, or autocorrelation outside (-1, 1).

    Reference: Harvey & Liu (2015), Backtesting, Journal of Portfolio Management 42(1).
    """
    from scipy.special import stdtr, stdtrit

    if n_months < 2 or n_tests < 1:
        raise StatisticsError(f"a haircut needs 2 months and 1 test, found {n_months} months and {n_tests} tests")
    sharpe = annual_sharpe * lo_ar1_annualisation_factor(autocorrelation, MONTHS_PER_YEAR)
    years = n_months / MONTHS_PER_YEAR
    p_single = 2.0 * float(stdtr(n_months - 1, -abs(sharpe) * math.sqrt(years)))
    p_adjusted = min(1.0, n_tests * p_single) if not math.isnan(p_single) else math.nan
    if p_adjusted == 0.0:  # below the smallest double: no number of tests in reach takes anything away
        return HaircutSharpe(p_single, p_adjusted, sharpe, 0.0)
    t_adjusted = -float(stdtrit(n_months - 1, p_adjusted / 2.0))
    adjusted = math.copysign(t_adjusted / math.sqrt(years), sharpe)
    return HaircutSharpe(p_single, p_adjusted, adjusted, 1.0 - adjusted / sharpe if sharpe else math.nan)


def effective_number_of_trials(
    correlation: npt.ArrayLike, method: Literal["average_correlation", "participation_ratio"] = "average_correlation"
) -> float:
    """How many independent trials are M correlated ones worth?

    average_correlation: N = rho + (1 - rho) M with rho the mean off-diagonal correlation, at least 1 and at
        most M.
    participation_ratio: N = (sum of eigenvalues)^2 / sum of squared eigenvalues = M^2 / sum of all squared
        correlations; finds clusters (two blocks of identical trials are 2, where the average says M/2), and
        is lowered by sampling noise in the correlations.

    Args:
        correlation: shape (M, M), symmetric, unit diagonal.
        method: the larger N deflates more; the default is that of the DSR paper.

    Returns:
        Effective number of trials in [1, M].

    Raises:
        StatisticsError: not a correlation matrix, or any NaN.

    Reference: Bailey & Lopez de Prado (2014), appendix A.3; Bretherton et al. (1999), Journal of Climate
    12(7) for the participation ratio.
    """
    matrix = complete_matrix(correlation, "correlation")
    n = matrix.shape[0]
    square = matrix.shape == (n, n) and np.allclose(matrix, matrix.T, atol=1e-8)
    if not square or not np.allclose(np.diag(matrix), 1.0, atol=1e-8) or np.abs(matrix).max() > 1.0 + 1e-8:
        raise StatisticsError(
            f"a matrix of shape {matrix.shape} is no correlation matrix",
            remedy="pass numpy.corrcoef of the trials' returns",
        )
    if method == "participation_ratio":
        return float(n**2 / np.sum(matrix**2))
    if n == 1:
        return 1.0
    average = (matrix.sum() - n) / (n * (n - 1))
    return float(np.clip(average + (1.0 - average) * n, 1.0, n))
