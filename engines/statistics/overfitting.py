"""Does picking the best configuration in sample carry over out of sample?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from engines.errors import StatisticsError
from engines.statistics.samples import ROUNDING, FloatArray, complete_matrix, is_constant

_SPLITS_PER_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class LineFit:
    """Least-squares line y = intercept + slope x with its adjusted R squared."""

    intercept: float
    slope: float
    adjusted_r_squared: float


@dataclass(frozen=True, slots=True)
class BacktestOverfitting:
    """Two probabilities, and one array entry per split.

    `in_sample` and `out_of_sample` are the chosen configuration's Sharpe ratios per period, `logits` the
    logit of its relative rank out of sample.
    """

    pbo: float
    loss_probability: float
    in_sample: FloatArray
    out_of_sample: FloatArray
    logits: FloatArray

    @property
    def degradation(self) -> LineFit:
        """Line of out-of-sample on in-sample Sharpe ratio; a slope below zero says that selecting destroys value."""
        return line_fit(self.in_sample, self.out_of_sample)


def pbo_cscv(
    returns: npt.ArrayLike,
    n_blocks: int = 16,
    *,
    loss_threshold: float = 0.0,
    risk_free_per_period: float = 0.0,
    rank_divisor: Literal["n_plus_one", "n"] = "n_plus_one",
) -> BacktestOverfitting:
    """How probable is it that the configuration chosen in sample falls below the median, or loses, out of sample?

    Combinatorially symmetric cross-validation: the periods are cut into S equal blocks; each of the C(S, S/2)
    halves is once the sample in which the configuration with the highest Sharpe ratio (ddof = 1) is chosen,
    and the other half judges it. With w its relative rank there (1 worst), PBO = share of splits with
    log(w/(1 - w)) <= 0, loss probability = share with an out-of-sample Sharpe ratio below `loss_threshold`.
    PBO misleads when configurations are equally good: it is then near 0.5 and no fault; the loss probability
    does not have that defect.

    Args:
        returns: shape (T, N), decimals, one column a configuration, on common dates. NaN is refused. The T
            mod S oldest periods are left out.
        n_blocks: S, even, >= 2; 16 gives 12,870 splits.
        loss_threshold: Sharpe ratio per period.
        risk_free_per_period: subtracted from every return.
        rank_divisor: w = rank/(N + 1) as in the paper, or rank/N as in the R package pbo, which gives the
            best a logit of infinity.

    Returns:
        BacktestOverfitting with arrays of shape (C(S, S/2),). A configuration without dispersion in a half
        ranks below all others there (-inf), never above.

    Raises:
        StatisticsError: fewer than 2 configurations, NaN, S odd, or fewer than 2 periods in a half.

    Reference: Bailey, Borwein, Lopez de Prado & Zhu (2017), The Probability of Backtest Overfitting, Journal
    of Computational Finance 20(4).
    """
    matrix = complete_matrix(returns, "returns", min_columns=2) - risk_free_per_period
    n_periods, n_configurations = matrix.shape
    if n_blocks < 2 or n_blocks % 2 or n_periods // n_blocks * (n_blocks // 2) < 2:
        raise StatisticsError(
            f"{n_periods} periods cannot be cut into {n_blocks} blocks",
            remedy="use an even number of blocks and 2 periods in each half",
        )
    chosen_in, chosen_out, ranks = [], [], []
    for in_sample, out_of_sample in _half_sharpes(matrix, n_blocks):
        splits = np.arange(in_sample.shape[0])
        best = np.argmax(in_sample, axis=1)
        judged = out_of_sample[splits, best]
        below = np.sum(out_of_sample < judged[:, None], axis=1)
        level = np.sum(out_of_sample == judged[:, None], axis=1)
        chosen_in.append(in_sample[splits, best])
        chosen_out.append(judged)
        ranks.append(below + (level + 1.0) / 2.0)
    relative = np.concatenate(ranks) / (n_configurations + (rank_divisor == "n_plus_one"))
    with np.errstate(divide="ignore"):
        logits = np.log(relative) - np.log1p(-relative)
    performance = np.concatenate(chosen_out)
    losses = float(np.mean(performance < loss_threshold))
    return BacktestOverfitting(float(np.mean(logits <= 0.0)), losses, np.concatenate(chosen_in), performance, logits)


def line_fit(x: npt.ArrayLike, y: npt.ArrayLike) -> LineFit:
    """Which straight line relates two series, and how much of the variation does it explain?

    slope = cov(x, y)/var(x); adjusted R^2 = 1 - (1 - R^2)(n - 1)/(n - 2).

    Args:
        x: shape (n,). Positions where either is NaN or infinite are left out.
        y: shape (n,).

    Returns:
        LineFit; all NaN when x is constant, adjusted R^2 NaN when n < 3 or y is constant.
    """
    left, right = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    finite = np.isfinite(left) & np.isfinite(right)
    left, right = left[finite], right[finite]
    if is_constant(left):
        return LineFit(math.nan, math.nan, math.nan)
    slope = float(np.cov(left, right, ddof=0)[0, 1] / np.var(left))
    intercept = float(right.mean() - slope * left.mean())
    if left.size < 3 or is_constant(right):
        return LineFit(intercept, slope, math.nan)
    unexplained = float(np.var(right - intercept - slope * left) / np.var(right))
    return LineFit(intercept, slope, 1.0 - unexplained * (left.size - 1) / (left.size - 2))


def _half_sharpes(matrix: FloatArray, n_blocks: int) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Sharpe ratios of every configuration in each half and its complement, in chunks of shape (splits, N).

    A half's moments are sums of its blocks' moments, so each split costs one row of a matrix product, not a
    pass over the data. Returns are centred first, so that the sums of squares do not cancel.
    """
    block_size = matrix.shape[0] // n_blocks
    kept = matrix[matrix.shape[0] - block_size * n_blocks :]
    centre = kept.mean(axis=0)
    blocks = (kept - centre).reshape(n_blocks, block_size, -1)
    sums, squares = blocks.sum(axis=1), np.sum(blocks**2, axis=1)
    halves = np.array(list(combinations(range(n_blocks), n_blocks // 2)))
    n_obs = block_size * n_blocks // 2
    for start in range(0, len(halves), _SPLITS_PER_CHUNK):
        chunk = halves[start : start + _SPLITS_PER_CHUNK]
        member = np.zeros((len(chunk), n_blocks))
        np.put_along_axis(member, chunk, 1.0, axis=1)
        yield _sharpes(member, sums, squares, centre, n_obs), _sharpes(1.0 - member, sums, squares, centre, n_obs)


def _sharpes(member: FloatArray, sums: FloatArray, squares: FloatArray, centre: FloatArray, n_obs: int) -> FloatArray:
    """Sharpe ratios, shape (splits, N), of the blocks that are members; -inf without dispersion beyond rounding."""
    deviation = member @ sums / n_obs
    mean_square = member @ squares / n_obs
    variance = (mean_square - deviation**2) * n_obs / (n_obs - 1)
    moving = variance > ROUNDING * mean_square
    return np.where(moving, (deviation + centre) / np.sqrt(np.where(moving, variance, 1.0)), -np.inf)
