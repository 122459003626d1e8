"""Does the signal order the cross-section? Daily rank information coefficients, gross and net of cost, and their null by permutation.

Shapes are (T dates, N symbols); NaN means absent and takes a name out of that date's cross-section.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.compiled import is_worth_compiling
from engines.costs import impact_rate, spread_rate
from engines.liquidity import Liquidity
from engines.portfolio import target_weights
from engines.rank_pass import compiled_rank_ics
from engines.ranks import centred_ranks, unit_ranks

if TYPE_CHECKING:
    from engines.candidate import CostSpec, PortfolioSpec


_STRETCH_ROWS = 256


@dataclass(frozen=True, slots=True)
class Placebo:
    """What the mean IC looks like when the names are exchanged for one another."""

    observed: float
    permuted: NDArray[np.float64]  # (B,)
    p_value: float


def rank_ic(
    signal: NDArray[np.float64], forward: NDArray[np.float64], mask: NDArray[np.bool_], min_names: int
) -> NDArray[np.float64]:
    """Does a higher signal go with a higher forward return? Spearman correlation of each date with average ranks, (T,).

    Over the names of the mask with both a signal and a label; NaN on dates with fewer than `min_names` of them, and where all signals
    or all labels are equal. Reference: Grinold and Kahn (2000), Active Portfolio Management, ch. 10; Spearman (1904).
    """
    daily: NDArray[np.float64] = rank_ics(signal, (forward,), mask, min_names)[0]
    return daily


def rank_ics(
    signal: NDArray[np.float64], forwards: Sequence[NDArray[np.float64]], mask: NDArray[np.bool_], min_names: int
) -> NDArray[np.float64]:
    """The daily rank IC against each of several labels of the same names, (K, T); see `rank_ic`.

    The labels must be absent on the same dates and names (a gross label and the same label after costs are), so that the signal is
    ranked once. A large panel goes through compiled loops, a small one through numpy; both give the same bits.
    """
    compute = compiled_rank_ics if is_worth_compiling(signal.size) else _rank_ics
    return compute(signal, forwards, mask, min_names)


def _rank_ics(
    signal: NDArray[np.float64], forwards: Sequence[NDArray[np.float64]], mask: NDArray[np.bool_], min_names: int
) -> NDArray[np.float64]:
    paired = mask & np.isfinite(signal) & np.isfinite(forwards[0])
    rows = np.flatnonzero(paired.sum(axis=1) >= max(min_names, 2))
    result = np.full((len(forwards), signal.shape[0]), np.nan)
    paired = paired[rows]
    signal_ranks = unit_ranks(np.where(paired, signal[rows], np.nan))
    for k, forward in enumerate(forwards):
        label_ranks = unit_ranks(np.where(paired, forward[rows], np.nan))
        defined = signal_ranks.any(axis=1) & label_ranks.any(axis=1)
        correlation = np.einsum("ij,ij->i", signal_ranks, label_ranks)
        result[k, rows] = np.where(defined, np.clip(correlation, -1.0, 1.0), np.nan)
    return result


def net_forward_returns(
    forward: NDArray[np.float64],
    signal: NDArray[np.float64],
    mask: NDArray[np.bool_],
    liquidity: Liquidity,
    portfolio: PortfolioSpec,
    costs: CostSpec,
    multipliers: Sequence[float],
) -> list[NDArray[np.float64]]:
    """What is left of each name's forward return once the trades the signal asks of it are paid? One (T, N) label per multiplier.

    net = forward - multiplier x round_trip_cost x realised_turnover x sign(centred signal rank), for date t and name i, where

    - W(t) is what the portfolio rule would target at close t (`target_weights`: equal, rank or signal legs), and 0 before the first date;
    - realised_turnover = |W(t) - W(t-h)| / (2 max(|W(t)|, |W(t-h)|)), h = horizon_days: round trips of the name in [0, 1], which is 1/2
      for a name that enters or leaves, 1 for one that changes sides, 0 for one that is neither held now nor was before;
    - round_trip_cost = 2 (half_spread_bps + fee_bps) / 1e4 + 2 x impact rate of the order |W(t) - W(t-h)| at target_aum;
    - the centred signal rank is over the names of the mask with a signal on that date: costs lower the upper half's labels and raise
      the lower half's, so that they hurt each side. A cost common to all names would change no rank.

    NaN exactly where `forward` is NaN.
    """
    weights = target_weights(signal, mask, portfolio)
    before = np.zeros_like(weights)
    before[portfolio.horizon_days :] = weights[: -portfolio.horizon_days]
    change = weights - before
    largest = np.maximum(np.abs(weights), np.abs(before))
    turnover = np.divide(np.abs(change), 2.0 * largest, out=np.zeros_like(change), where=largest > 0.0)
    impact = impact_rate(change, liquidity.daily_volatility, liquidity.adv_usd, costs, portfolio.target_aum)
    side = np.sign(centred_ranks(np.where(mask, signal, np.nan)))
    charge = 2.0 * (spread_rate(costs) + impact) * turnover * side
    return [forward - multiplier * charge for multiplier in multipliers]


def measured_ics(
    forward: NDArray[np.float64],
    signal: NDArray[np.float64],
    mask: NDArray[np.bool_],
    liquidity: Liquidity,
    portfolio: PortfolioSpec,
    costs: CostSpec,
    multipliers: Sequence[float],
    min_names: int,
) -> NDArray[np.float64]:
    """Daily rank IC against the gross label, then against the net label of each multiplier, (1 + K, T).

    As `rank_ics` of `net_forward_returns`, a stretch of dates at a time, so that no label of the whole panel is ever laid out.
    """
    result = np.empty((1 + len(multipliers), forward.shape[0]))
    for first in range(0, forward.shape[0], _STRETCH_ROWS):
        last = min(first + _STRETCH_ROWS, forward.shape[0])
        begin = max(0, first - portfolio.horizon_days)
        known = slice(begin, last)  # with the dates whose targets the first ones of the stretch replace
        traded = Liquidity(liquidity.adv_usd[known], liquidity.daily_volatility[known])
        net = net_forward_returns(forward[known], signal[known], mask[known], traded, portfolio, costs, multipliers)
        labels = (forward[first:last], *(label[first - begin :] for label in net))
        result[:, first:last] = rank_ics(signal[first:last], labels, mask[first:last], min_names)
    return result


def non_overlapping(ic: NDArray[np.float64], horizon_days: int) -> NDArray[np.float64]:
    """Which daily ICs share no label? Every `horizon_days`-th date from the first finite one, without those that are NaN, (n,)."""
    finite = np.flatnonzero(np.isfinite(ic))
    if finite.size == 0:
        return np.empty(0)
    sample = ic[int(finite[0]) :: horizon_days]
    return sample[np.isfinite(sample)]


def coverage(signal: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """For what share of the universe does the signal have an opinion? Names with a signal / names, (T,); NaN on an empty universe."""
    n_names = mask.sum(axis=1)
    n_opinions = (mask & np.isfinite(signal)).sum(axis=1)
    ratio: NDArray[np.float64] = np.divide(n_opinions, n_names, out=np.full(n_names.shape, np.nan), where=n_names > 0)
    return ratio


def placebo(
    signal: NDArray[np.float64],
    forward: NDArray[np.float64],
    mask: NDArray[np.bool_],
    min_names: int,
    *,
    seed: int,
    permutations: int = 999,
) -> Placebo:
    """Could a signal that belongs to other names have done as well? Permutation test of the mean IC.

    One permutation of the symbols is applied to all dates, so that a permuted signal keeps its persistence (permuting each date on its own
    does not, and then noise passes). With unit ranks s, f of each date's pairs, the mean IC under a permutation p is
    sum_i M[p(i), i], M = s' f / n_dates: one matrix product serves all permutations. p = (1 + #{permuted >= observed}) / (B + 1).
    A permuted name that lacks a signal or a label on a date adds nothing to that date. NaN when no date has `min_names` pairs.

    Reference: Phipson and Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9(1), for the + 1.
    """
    paired = mask & np.isfinite(signal) & np.isfinite(forward)
    rows = np.flatnonzero(paired.sum(axis=1) >= max(min_names, 2))
    if rows.size == 0:
        return Placebo(np.nan, np.full(permutations, np.nan), np.nan)
    paired = paired[rows]
    signal_ranks = unit_ranks(np.where(paired, signal[rows], np.nan))
    label_ranks = unit_ranks(np.where(paired, forward[rows], np.nan))
    products = signal_ranks.T @ label_ranks / rows.size
    names = np.arange(products.shape[0])
    generator = np.random.default_rng(seed)
    observed = float(products[names, names].sum())
    permuted = np.array([products[generator.permutation(names), names].sum() for _ in range(permutations)])
    return Placebo(observed, permuted, float((1 + np.count_nonzero(permuted >= observed)) / (permutations + 1)))
