"""What every statistic agrees on first: which observations count, and when a sample says nothing.

One NaN policy for one-dimensional samples: NaN means "not observed" and is left out; an infinity is a fault
upstream and is refused. A sample without two distinct values has no dispersion to measure against, and each
statistic that divides by one returns NaN for it, which no gate passes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engines.errors import StatisticsError

ROUNDING = 1e-12
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ReturnMoments:
    """What the Sharpe inference of a return series rests on.

    `sharpe` is per period, `kurtosis` raw (3 for a normal).
    """

    n_obs: int
    mean: float
    std: float
    sharpe: float
    skew: float
    kurtosis: float


def observed(values: npt.ArrayLike, name: str = "returns") -> FloatArray:
    """Which values of a one-dimensional sample were observed?

    Args:
        values: shape (n,), any real dtype; None and NaN are absent values.
        name: what to call the sample in an error.

    Returns:
        The values without NaN, shape (m,), m <= n, order kept.

    Raises:
        StatisticsError: the sample is not one-dimensional, or holds an infinity.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1:
        raise StatisticsError(
            f"{name} must be one-dimensional, found shape {sample.shape}", remedy="pass one series at a time"
        )
    _refuse_infinity(sample, name)
    return sample[~np.isnan(sample)]


def observed_pairs(
    first: npt.ArrayLike, second: npt.ArrayLike, names: tuple[str, str] = ("returns", "benchmark")
) -> tuple[FloatArray, FloatArray]:
    """On which positions were both of two aligned samples observed?

    Args:
        first: shape (n,).
        second: shape (n,), aligned with `first`.
        names: what to call the two in an error.

    Returns:
        Both samples on the positions where neither is NaN, each of shape (m,).

    Raises:
        StatisticsError: the lengths differ, a sample is not one-dimensional, or holds an infinity.
    """
    left, right = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if left.ndim != 1 or left.shape != right.shape:
        raise StatisticsError(
            f"{names[0]} and {names[1]} must be series of one length, found shapes {left.shape} and {right.shape}",
            remedy="align both on the same dates first",
        )
    for sample, name in zip((left, right), names, strict=True):
        _refuse_infinity(sample, name)
    both = ~(np.isnan(left) | np.isnan(right))
    return left[both], right[both]


def complete_matrix(values: npt.ArrayLike, name: str, min_columns: int = 1) -> FloatArray:
    """Is this a (periods x columns) matrix with every cell observed?

    Raises:
        StatisticsError: not two-dimensional, fewer than `min_columns` columns, or any NaN or infinity.
    """
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] < min_columns:
        raise StatisticsError(
            f"{name} must be a matrix (periods x at least {min_columns} columns), found shape {matrix.shape}"
        )
    n_absent = int(np.count_nonzero(~np.isfinite(matrix)))
    if n_absent:
        raise StatisticsError(
            f"{name} has {n_absent} NaN or infinite cells of {matrix.size}",
            remedy="give all columns on their common dates",
        )
    return matrix


def is_constant(sample: FloatArray) -> bool:
    """Does the sample lack any dispersion (fewer than two values, or all equal but for rounding)?

    Equal means a range within 1e-12 of the largest value. Returns that should be equal differ in the last digit
    once computed, and a Sharpe ratio over that digit is some 1e15.
    """
    return sample.size < 2 or float(np.ptp(sample)) <= ROUNDING * float(np.max(np.abs(sample)))


def return_moments(returns: npt.ArrayLike) -> ReturnMoments:
    """Which moments does a return series have?

    sharpe = mean / std(ddof=1), per period; skew = m3 / m2^1.5 and kurtosis = m4 / m2^2 with biased central
    moments (ddof=0), raw, so 3 for a normal: the estimators of Bailey & Lopez de Prado (2012).

    Args:
        returns: shape (n,), decimals per period. NaN are left out.

    Returns:
        ReturnMoments; std, sharpe, skew and kurtosis are NaN for a constant series or n < 2.

    Raises:
        StatisticsError: infinite values, or not one-dimensional.
    """
    sample = observed(returns)
    mean = float(sample.mean()) if sample.size else math.nan
    if is_constant(sample):
        return ReturnMoments(sample.size, mean, math.nan, math.nan, math.nan, math.nan)
    span = float(np.ptp(sample))
    scaled = (sample - mean) / span  # powers of the deviations themselves underflow for returns of 1e-80
    variance = float(np.mean(scaled**2))
    std = span * math.sqrt(variance * sample.size / (sample.size - 1))
    skew = float(np.mean(scaled**3)) / variance**1.5
    kurtosis = float(np.mean(scaled**4)) / variance**2
    return ReturnMoments(sample.size, mean, std, mean / std, skew, kurtosis)


def _refuse_infinity(sample: FloatArray, name: str) -> None:
    n_infinite = int(np.count_nonzero(np.isinf(sample)))
    if n_infinite:
        first = int(np.flatnonzero(np.isinf(sample))[0])
        raise StatisticsError(
            f"{name} has {n_infinite} infinite values",
            where=f"first at position {first}",
            remedy="find the price or the weight that made them; they are never rounded away",
        )


def monthly_returns(dates: npt.NDArray[np.datetime64], returns: npt.ArrayLike) -> FloatArray:
    """What did each calendar month earn?

    Args:
        dates: shape (D,), increasing.
        returns: shape (D,), decimals per day.

    Returns:
        Daily returns compounded over each month that has a date, shape (M,), in order. NaN in a month makes it NaN.
    """
    _, first = np.unique(dates.astype("datetime64[M]"), return_index=True)
    growth: FloatArray = np.multiply.reduceat(1.0 + np.asarray(returns, dtype=np.float64), first)
    return growth - 1.0
