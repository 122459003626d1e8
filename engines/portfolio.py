"""From a signal to target weights: which names, how much of each, and the book that overlapping holdings make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.ranks import row_order

if TYPE_CHECKING:
    from engines.candidate import PortfolioSpec


def rebalance_rows(
    eligible: NDArray[np.bool_], rebalance_days: int, min_names: int, first_rebalance: int | None = None
) -> NDArray[np.int64]:
    """On which dates is the portfolio formed? Panel indices of the one rebalance grid, (R,).

    Every `rebalance_days`-th date from the first date with at least `min_names` eligible names ((T, N): in the universe, with a
    signal). With `first_rebalance` the grid is anchored there instead and starts at its first date that is not before that first date,
    so that variants which need more history trade on the same dates as the rest. Empty when no date has enough names.
    """
    enough = np.flatnonzero(eligible.sum(axis=1) >= min_names)
    if enough.size == 0:
        return np.empty(0, dtype=np.int64)
    anchor = int(enough[0]) if first_rebalance is None else first_rebalance
    steps = max(0, -(-(int(enough[0]) - anchor) // rebalance_days))
    return np.arange(anchor + steps * rebalance_days, eligible.shape[0], rebalance_days, dtype=np.int64)


def target_weights(
    signal: NDArray[np.float64], mask: NDArray[np.bool_], portfolio: PortfolioSpec
) -> NDArray[np.float64]:
    """What would the rule hold? Weights as fractions of capital, (R, N), for R signal dates; 0 = not held.

    The n names that are in the mask and have a signal are ranked upwards, ties in the order of the symbols. The top
    floor(long_fraction n) share +1 and the bottom floor(short_fraction n) share -1, each leg equally, by the distance of the rank from
    the middle rank, or by the distance of the signal from the median signal. A leg without names, or without any distance to share
    by, is empty or equal respectively.
    """
    eligible = mask & np.isfinite(signal)
    order = row_order(np.where(eligible, signal, np.nan))
    n_names = eligible.sum(axis=1)
    position = np.arange(signal.shape[1])
    n_long = np.floor(portfolio.long_fraction * n_names).astype(np.int64)
    n_short = np.floor(portfolio.short_fraction * n_names).astype(np.int64)
    in_long = (position >= (n_names - n_long)[:, None]) & (position < n_names[:, None])
    in_short = position < n_short[:, None]
    distance = _distance_from_middle(signal, order, n_names, portfolio.weighting)
    ordered = _shares(distance, in_long) - _shares(distance, in_short)
    weights = np.empty_like(ordered)
    np.put_along_axis(weights, order, ordered, axis=1)
    return weights


def mean_of_last(targets: NDArray[np.float64], n_targets: int) -> NDArray[np.float64]:
    """What does the whole book hold when each target is kept for several rebalances? (R, N).

    Row k is the mean of targets k - n_targets + 1 .. k; the first rows are the mean of those that exist so far.
    """
    if n_targets == 1:
        return targets
    book = targets.copy()
    for lag in range(1, min(n_targets, targets.shape[0])):
        book[lag:] += targets[:-lag]
    held = np.minimum(np.arange(1, targets.shape[0] + 1), n_targets)
    return book / held[:, None]


def targets_held(portfolio: PortfolioSpec) -> int:
    """How many targets make the book: ceil(horizon_days / rebalance_days)."""
    return -(-portfolio.horizon_days // portfolio.rebalance_days)


def _distance_from_middle(
    signal: NDArray[np.float64], order: NDArray[np.int64], n_names: NDArray[np.int64], weighting: str
) -> NDArray[np.float64]:
    """Non-negative share of each ranked position, before the leg is scaled to 1; anything behind the n names."""
    if weighting == "equal":
        return np.ones(signal.shape)
    if weighting == "rank":
        from_middle: NDArray[np.float64] = np.abs(np.arange(signal.shape[1]) - 0.5 * (n_names[:, None] - 1))
        return from_middle
    ranked = np.take_along_axis(signal, order, axis=1)
    rows = np.arange(signal.shape[0])
    lower = ranked[rows, np.maximum(n_names - 1, 0) // 2]
    upper = ranked[rows, np.minimum(n_names // 2, np.maximum(n_names - 1, 0))]
    from_median: NDArray[np.float64] = np.abs(ranked - (0.5 * (lower + upper))[:, None])
    return from_median


def _shares(distance: NDArray[np.float64], in_leg: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The leg's distances scaled to sum 1; equal where all of them are 0; 0 outside the leg."""
    shares = np.where(in_leg, distance, 0.0)
    flat = in_leg.any(axis=1) & (shares.sum(axis=1) == 0.0)
    shares[flat] = in_leg[flat]
    total = shares.sum(axis=1, keepdims=True)
    scaled: NDArray[np.float64] = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0.0)
    return scaled
