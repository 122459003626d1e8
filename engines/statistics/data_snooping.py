"""Does the best of many strategies beat the benchmark, or only the luck of having looked at many?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engines.errors import StatisticsError
from engines.statistics.bootstrap import BlockScheme, resample_counts
from engines.statistics.samples import ROUNDING, FloatArray, complete_matrix

MIN_PERIODS = 10


@dataclass(frozen=True, slots=True)
class SuperiorPredictiveAbility:
    """p-values of the studentised test under three recentrings; `p_consistent` decides, the others bound it."""

    statistic: float
    p_lower: float
    p_consistent: float
    p_upper: float


def white_reality_check_pvalue(
    excess_returns: npt.ArrayLike,
    block_length: float,
    *,
    n_resamples: int = 5000,
    seed: int,
    scheme: BlockScheme = "stationary",
) -> float:
    """How often would luck make the best of K strategies look this good?

    V = max_k mean_k, unstudentised; p = share of block-bootstrap resamples with max_k (mean*_k - mean_k) >= V,
    every strategy recentred. One volatile or one terrible strategy costs power; superior_predictive_ability
    mends both.

    Args:
        excess_returns: shape (T, K), return over the benchmark (the negative loss differential), on common
            dates. NaN is refused.
        block_length: mean block length in periods.
        n_resamples: bootstrap samples.
        seed: of the generator.
        scheme: how blocks are drawn.

    Returns:
        p-value in [0, 1].

    Raises:
        StatisticsError: NaN or infinite cells, fewer than 10 periods, or a block length outside [1, T].

    Reference: White (2000), A Reality Check for Data Snooping, Econometrica 68(5).
    """
    matrix = _excess_matrix(excess_returns)
    means = matrix.mean(axis=0)
    counts = resample_counts(matrix.shape[0], block_length, n_resamples, np.random.default_rng(seed), scheme)
    largest = np.max(counts @ (matrix - means), axis=1) / matrix.shape[0]
    return float(np.mean(largest >= means.max()))


def superior_predictive_ability(
    excess_returns: npt.ArrayLike, block_length: float, *, n_resamples: int = 5000, seed: int
) -> SuperiorPredictiveAbility:
    """Does the best of K strategies beat the benchmark, each measured against its own uncertainty?

    T = max(0, max_k sqrt(T) mean_k / w_k), w_k^2 the long-run variance that the stationary bootstrap itself
    has (Hansen's kernel). Resamples are recentred by mean_k (upper), by mean_k where it is above -w_k sqrt(2
    log log T / T) and 0 elsewhere (consistent), or by max(0, mean_k) (lower). Written out here: arch 8.0.0
    computes w_k and then compares unstudentised means, so its studentize=True changes nothing but the
    recentring.

    Args:
        excess_returns: shape (T, K), return over the benchmark, on common dates. NaN is refused.
        block_length: mean block length of the stationary bootstrap, in periods.
        n_resamples: bootstrap samples.
        seed: of the generator.

    Returns:
        SuperiorPredictiveAbility with p_lower <= p_consistent <= p_upper.

    Raises:
        StatisticsError: NaN or infinite cells, fewer than 10 periods, a strategy without any variation, or a
        block length below 1.

    Reference: Hansen (2005), A Test for Superior Predictive Ability, Journal of Business & Economic
    Statistics 23(4).
    """
    matrix = _excess_matrix(excess_returns)
    n_obs = matrix.shape[0]
    means = matrix.mean(axis=0)
    counts = resample_counts(n_obs, block_length, n_resamples, np.random.default_rng(seed))
    long_run = _stationary_long_run_variance(matrix - means, block_length)
    if not np.all(long_run > ROUNDING * np.mean(matrix**2, axis=0)):
        raise StatisticsError(
            "a strategy's excess return does not vary", remedy="leave out a column that equals the benchmark"
        )
    errors = np.sqrt(long_run / n_obs)
    statistic = max(0.0, float(np.max(means / errors)))
    resampled = counts @ matrix / n_obs
    near = means >= -errors * math.sqrt(2.0 * math.log(math.log(n_obs)))
    recentrings = (np.maximum(means, 0.0), np.where(near, means, 0.0), means)
    p_values = [
        float(np.mean(np.max((resampled - centre) / errors, axis=1, initial=0.0) >= statistic))
        for centre in recentrings
    ]
    return SuperiorPredictiveAbility(statistic, *p_values)


def _excess_matrix(excess_returns: npt.ArrayLike) -> FloatArray:
    matrix = complete_matrix(excess_returns, "excess_returns")
    if matrix.shape[0] < MIN_PERIODS:
        raise StatisticsError(
            f"{matrix.shape[0]} periods are too few to resample", remedy=f"give at least {MIN_PERIODS}"
        )
    return matrix


def _stationary_long_run_variance(deviations: FloatArray, block_length: float) -> FloatArray:
    """Variance of sqrt(T) times the stationary-bootstrap mean, shape (K,): g_0 + 2 sum of kappa_i g_i (Hansen 2005)."""
    n_obs = deviations.shape[0]
    stay = 1.0 - 1.0 / block_length
    lags = np.arange(1, n_obs)
    kappa = (1.0 - lags / n_obs) * stay**lags + lags / n_obs * stay ** (n_obs - lags)
    variance: FloatArray = np.mean(deviations**2, axis=0)
    for lag, weight in zip(lags, kappa, strict=True):
        variance = variance + 2.0 * weight * np.sum(deviations[:-lag] * deviations[lag:], axis=0) / n_obs
    return variance
