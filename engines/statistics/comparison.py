"""Is one strategy's Sharpe ratio different from another's on the same dates?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engines.statistics.samples import ROUNDING, FloatArray, is_constant, observed_pairs

MIN_PAIRED_OBSERVATIONS = 10


@dataclass(frozen=True, slots=True)
class SharpeDifference:
    """First Sharpe ratio minus second, per period, with its HAC standard error and two-sided p-value."""

    n_obs: int
    difference: float
    standard_error: float
    p_two_sided: float


def ledoit_wolf_sharpe_difference_hac(first: npt.ArrayLike, second: npt.ArrayLike) -> SharpeDifference:
    """Do two strategies measured on the same dates have different Sharpe ratios?

    difference = SR_1 - SR_2 (ddof = 0). Standard error by the delta method over v = (mu_1, mu_2, E r_1^2, E
    r_2^2): SE = sqrt(grad' Psi grad / T), Psi the Parzen-kernel long-run covariance with Andrews' AR(1)
    bandwidth 2.6614 (a T)^(1/5) and the factor T/(T - 4), no prewhitening. p = 2 Phi(-|difference|/SE). With
    under some 60 observations or strong dependence the test rejects too often; the studentised bootstrap of
    the same paper is then the better one.

    Args:
        first: shape (T,), returns of the challenger.
        second: shape (T,), returns of the champion on the same dates. A date with NaN in either is left out.

    Returns:
        SharpeDifference; difference, error and p are NaN with fewer than 10 common dates or where a series is
        constant; error and p are NaN where one series is a multiple of the other, whose difference is
        rounding.

    Raises:
        StatisticsError: shapes that differ, or infinite values.

    Reference: Ledoit & Wolf (2008), Robust Performance Hypothesis Testing with the Sharpe Ratio, Journal of
    Empirical Finance 15(5), section 3.1.
    """
    from scipy.special import ndtr

    left, right = observed_pairs(first, second, ("first", "second"))
    if left.size < MIN_PAIRED_OBSERVATIONS or is_constant(left) or is_constant(right):
        return SharpeDifference(left.size, math.nan, math.nan, math.nan)
    pair = np.column_stack([left, right])
    mean, second_moment = pair.mean(axis=0), np.mean(pair**2, axis=0)
    variance = pair.var(axis=0)
    difference = float(mean[0] / math.sqrt(variance[0]) - mean[1] / math.sqrt(variance[1]))
    sides = np.array([1.0, -1.0])
    gradient = np.concatenate([sides * second_moment, -0.5 * sides * mean]) / np.tile(variance**1.5, 2)
    influence = np.column_stack([pair - mean, pair**2 - second_moment])
    asymptotic_variance = float(gradient @ _parzen_long_run(influence) @ gradient)
    if not asymptotic_variance > ROUNDING:
        return SharpeDifference(left.size, difference, math.nan, math.nan)
    standard_error = math.sqrt(asymptotic_variance / left.size)
    return SharpeDifference(left.size, difference, standard_error, 2.0 * float(ndtr(-abs(difference) / standard_error)))


def _parzen_long_run(influence: FloatArray) -> FloatArray:
    """Long-run covariance of the rows, shape (k, k), Parzen weights up to the automatic bandwidth."""
    n_obs, n_columns = influence.shape
    bandwidth = _parzen_bandwidth(influence)
    total: FloatArray = influence.T @ influence / n_obs
    for lag in range(1, math.ceil(bandwidth)):
        cross = influence[lag:].T @ influence[:-lag] / n_obs
        total = total + _parzen_weight(lag / bandwidth) * (cross + cross.T)
    return np.asarray(total * n_obs / (n_obs - n_columns))


def _parzen_bandwidth(influence: FloatArray) -> float:
    """2.6614 (a T)^(1/5), a from an AR(1) fitted to each column by least squares with an intercept (Andrews 1991)."""
    n_obs = len(influence)
    earlier, later = influence[:-1] - influence[:-1].mean(axis=0), influence[1:] - influence[1:].mean(axis=0)
    energy = np.sum(earlier**2, axis=0)
    rho = np.sum(earlier * later, axis=0) / np.where(energy > 0.0, energy, 1.0)
    innovation_variance = np.mean((later - rho * earlier) ** 2, axis=0)
    numerator = float(np.sum(4.0 * rho**2 * innovation_variance**2 / (1.0 - rho) ** 8))
    denominator = float(np.sum(innovation_variance**2 / (1.0 - rho) ** 4))
    if not 0.0 < denominator < math.inf:
        return n_obs - 1.0
    return min(2.6614 * math.pow(numerator / denominator * n_obs, 0.2), n_obs - 1.0)


def _parzen_weight(ratio: float) -> float:
    """Parzen kernel at 0 <= ratio <= 1."""
    return 1.0 - 6.0 * ratio**2 + 6.0 * ratio**3 if ratio <= 0.5 else 2.0 * (1.0 - ratio) ** 3
