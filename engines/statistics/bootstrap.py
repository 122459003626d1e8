"""Resampling in blocks, so that what is drawn keeps the dependence of what was observed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from engines.errors import StatisticsError
from engines.statistics.samples import FloatArray, IntArray, is_constant, observed

BlockScheme = Literal["stationary", "circular", "moving_block"]
MIN_OBSERVATIONS_FOR_BLOCK_LENGTH = 20


@dataclass(frozen=True, slots=True)
class BootstrapInterval:
    """Percentile interval of a statistic, in the statistic's own unit, per period."""

    estimate: float
    lower: float
    upper: float
    standard_error: float
    confidence: float
    block_length: float
    n_resamples: int

    def bounds(self, factor: float = 1.0) -> tuple[float, float]:
        """(lower, upper) times `factor`, for instance sqrt(252) for an annualised Sharpe ratio."""
        return factor * self.lower, factor * self.upper


def politis_white_block_length(
    series: npt.ArrayLike, scheme: Literal["stationary", "circular"] = "stationary"
) -> float:
    """How long should bootstrap blocks be for this much autocorrelation?

    The length that minimises the mean squared error of the bootstrap variance of the mean, from a flat-top
    kernel estimate of the spectrum at 0, with the correction of Patton, Politis & White. Computed by
    arch.bootstrap.optimal_block_length. Long memory and breaks make it too short.

    Args:
        series: shape (T,). NaN are left out and the rest taken as adjacent.
        scheme: for the stationary bootstrap (mean length) or the circular block bootstrap (fixed length).

    Returns:
        Block length in observations, not rounded; NaN for fewer than 20 observations or a constant series.

    Raises:
        StatisticsError: infinite values, or not one-dimensional.

    Reference: Politis & White (2004), Econometric Reviews 23(1); Patton, Politis & White (2009), 28(4).
    """
    sample = observed(series, "series")
    if sample.size < MIN_OBSERVATIONS_FOR_BLOCK_LENGTH or is_constant(sample):
        return math.nan
    from arch.bootstrap import optimal_block_length

    return float(optimal_block_length(sample)[scheme].iloc[0])


def resample_counts(
    n_obs: int, block_length: float, n_resamples: int, rng: np.random.Generator, scheme: BlockScheme = "stationary"
) -> FloatArray:
    """How often does each observation occur in each block-bootstrap sample?

    stationary: blocks of geometric length with mean b, wrapping around; circular: fixed length b, wrapping;
        moving_block: fixed length, not wrapping. A mean over a resample is then `counts @ x / T`: one matrix
        product for all resamples and columns.

    Args:
        n_obs: T.
        block_length: b >= 1; a mean for the stationary scheme, rounded to whole observations for the others
            and never above T.
        n_resamples: B.
        rng: seeded generator; the same seed gives the same resamples.
        scheme: how blocks are drawn.

    Returns:
        Counts as float64, shape (B, T); every row sums to T.

    Raises:
        StatisticsError: no resample, or a block length outside [1, T].
    """
    if n_resamples < 1 or not 1.0 <= block_length <= n_obs:
        raise StatisticsError(
            f"{n_resamples} resamples of {n_obs} observations in blocks of {block_length:g} are not defined"
        )
    counts = np.empty((n_resamples, n_obs))
    chunk = max(1, 2_000_000 // n_obs)
    for start in range(0, n_resamples, chunk):
        n_rows = min(chunk, n_resamples - start)
        if scheme == "stationary":
            rows = _stationary_rows(n_obs, block_length, n_rows, rng)
        else:
            rows = _fixed_block_rows(n_obs, block_length, n_rows, rng, wrap=scheme == "circular")
        flat = rows + n_obs * np.arange(n_rows)[:, None]
        counts[start : start + n_rows] = np.bincount(flat.ravel(), minlength=n_rows * n_obs).reshape(n_rows, n_obs)
    return counts


def stationary_bootstrap_interval(
    returns: npt.ArrayLike,
    statistic: Literal["mean", "sharpe"] = "mean",
    *,
    confidence: float = 0.95,
    block_length: float | None = None,
    n_resamples: int = 2000,
    seed: int,
) -> BootstrapInterval:
    """Between which bounds does the mean or the Sharpe ratio lie, without assuming independence or normality?

    Percentile interval over stationary-bootstrap resamples. Undercovers by a few points for short or strongly
    skewed series.

    Args:
        returns: shape (T,), decimals per period. NaN are left out.
        statistic: mean, or mean/std(ddof=1), both per period.
        confidence: coverage, inside (0, 1).
        block_length: mean block length; None for politis_white_block_length, at least 1.
        n_resamples: B.
        seed: of the generator; the same seed gives the same interval.

    Returns:
        BootstrapInterval; estimate and bounds are NaN for fewer than 20 observations or constant returns.

    Raises:
        StatisticsError: infinite values, confidence outside (0, 1), or a block length outside [1, T].

    Reference: Politis & Romano (1994), The Stationary Bootstrap, JASA 89(428).
    """
    if not 0.0 < confidence < 1.0:
        raise StatisticsError(f"a confidence of {confidence:g} is outside (0, 1)")
    sample = observed(returns)
    if sample.size < MIN_OBSERVATIONS_FOR_BLOCK_LENGTH or is_constant(sample):
        return BootstrapInterval(math.nan, math.nan, math.nan, math.nan, confidence, math.nan, n_resamples)
    length = max(1.0, politis_white_block_length(sample)) if block_length is None else block_length
    counts = _seeded_counts(sample.size, length, n_resamples, seed)
    draws = _statistic_of_resamples(counts, sample, statistic)
    estimate = _statistic_of_resamples(np.ones((1, sample.size)), sample, statistic)
    tail = (1.0 - confidence) / 2.0
    lower, upper = np.quantile(draws, [tail, 1.0 - tail])
    error = float(np.std(draws, ddof=1)) if n_resamples > 1 else math.nan
    return BootstrapInterval(float(estimate[0]), float(lower), float(upper), error, confidence, length, n_resamples)


@lru_cache(maxsize=1)
def _seeded_counts(n_obs: int, block_length: float, n_resamples: int, seed: int) -> FloatArray:
    """The stationary resamples of one seed, kept for the next series of the same length: a stage asks for several intervals with the same ones."""
    counts = resample_counts(n_obs, block_length, n_resamples, np.random.default_rng(seed))
    counts.flags.writeable = False
    return counts


def _statistic_of_resamples(counts: FloatArray, sample: FloatArray, statistic: Literal["mean", "sharpe"]) -> FloatArray:
    """Statistic of each row of counts; a resample of one repeated value has no Sharpe ratio and counts as 0."""
    n_obs = sample.size
    centre = float(sample.mean())
    deviation = counts @ (sample - centre) / n_obs
    if statistic == "mean":
        return np.asarray(deviation + centre)
    variance = (counts @ (sample - centre) ** 2 / n_obs - deviation**2) * n_obs / (n_obs - 1)
    positive = variance > 0.0
    return np.where(positive, (deviation + centre) / np.sqrt(np.where(positive, variance, 1.0)), 0.0)


def _stationary_rows(n_obs: int, block_length: float, n_rows: int, rng: np.random.Generator) -> IntArray:
    """Indices of stationary-bootstrap samples, shape (n_rows, n_obs): a block starts with probability 1/b."""
    position = np.arange(n_obs)
    starts = rng.random((n_rows, n_obs)) < 1.0 / block_length
    starts[:, 0] = True
    first = rng.integers(0, n_obs, (n_rows, n_obs))
    block_start = np.maximum.accumulate(np.where(starts, position, 0), axis=1)
    return np.asarray((np.take_along_axis(first, block_start, axis=1) + position - block_start) % n_obs)


def _fixed_block_rows(
    n_obs: int, block_length: float, n_rows: int, rng: np.random.Generator, *, wrap: bool
) -> IntArray:
    """Indices of block-bootstrap samples, the last block cut to length, shape (n_rows, n_obs)."""
    length = round(block_length)
    n_starts = n_obs if wrap else n_obs - length + 1
    first = rng.integers(0, n_starts, (n_rows, math.ceil(n_obs / length)))
    rows = (first[:, :, None] + np.arange(length)).reshape(n_rows, -1) % n_obs
    return np.asarray(rows[:, :n_obs])
