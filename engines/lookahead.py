"""Would the past have looked the same without the future? Decisions recomputed on data cut at seeded dates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.errors import SignalError
from engines.fitting import Refit, fit_state
from engines.portfolio import mean_of_last, target_weights, targets_held
from engines.signals import State, score
from engines.universe import build_universe

if TYPE_CHECKING:
    from engines.candidate import Candidate, Variant
    from engines.panel import Panel
    from engines.study import Study

CUTS = 20
MISSING_COUNTS_AS = 1.0

States = Sequence[tuple[Refit, State]]


@dataclass(frozen=True, slots=True)
class Decisions:
    """What is decided with the data of one panel, on its dates or on the rebalance dates among them."""

    signal: NDArray[np.float64]  # (T, N)
    universe: NDArray[np.float64]  # (T, N) 1 or 0
    target_weights: NDArray[np.float64]  # (R, N)
    fill_prices: NDArray[np.float64]  # (R, N) execution price of each name that is aimed at; NaN otherwise


@dataclass(frozen=True, slots=True)
class TruncationDifference:
    """Largest absolute difference between decisions with and without the data after each cut."""

    cut_rows: tuple[int, ...]  # last row that each cut panel holds
    signal: float
    universe: float
    target_weights: float
    fill_prices: float

    @property
    def largest(self) -> float:
        """The largest of the four; NaN when there was no date to cut at."""
        return float(np.max([self.signal, self.universe, self.target_weights, self.fill_prices]))

    @property
    def n_cuts(self) -> int:
        """How many dates the data were cut at."""
        return len(self.cut_rows)

    @property
    def note(self) -> str:
        """The four differences by name."""
        parts = ("signal", "universe", "target_weights", "fill_prices")
        return ", ".join(f"{name} {getattr(self, name):.3g}" for name in parts)


def truncation_difference(study: Study, *, seed: int, n_cuts: int = CUTS) -> TruncationDifference:
    """Do signal, universe and fills on data cut at seeded dates equal those of the whole sealed panel?

    At each cut the panel is what a file that ends there would give, without any knowledge of later delistings; all its dates are compared. The variants
    take turns over the cuts. A number that appears or disappears counts as a difference of 1, and so does a signal that cannot be computed without the
    rest of the file. A user's function is called in a process that was never given the whole panel. Of a fitted signal the state in force at
    the cut is fitted anew on the cut panel, which holds its whole training window; states before it have theirs from the same rows by construction.
    """
    return _differences(study, seed, n_cuts)[0]


def planted_leak_difference(study: Study, *, seed: int, n_cuts: int = CUTS) -> TruncationDifference:
    """The positive control: the same check of the same signal, moved one day towards the past so that each row shows tomorrow's score."""
    return _differences(study, seed, n_cuts)[1]


def tomorrows(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """A signal with a planted leak, (T, N): row t holds the score of t + 1, the last row its own."""
    return np.vstack([signal[1:], signal[-1:]])


def decide(
    panel: Panel, candidate: Candidate, variant: Variant, first_rebalance: int, states: States = ()
) -> tuple[Decisions, Decisions]:
    """Everything the backtest would decide on the dates of `panel`, with the rebalance grid anchored at `first_rebalance`: as it is, and with the leak.

    `states` are those of a fitted signal's refits.
    """
    mask = build_universe(panel, candidate.universe).mask
    signal = score(panel, candidate, variant, mask, states)
    honest, leaking = (_decided(panel, candidate, first_rebalance, mask, each) for each in (signal, tomorrows(signal)))
    return honest, leaking


def _decided(
    panel: Panel, candidate: Candidate, first_rebalance: int, mask: NDArray[np.bool_], signal: NDArray[np.float64]
) -> Decisions:
    portfolio = candidate.portfolio
    rows = np.arange(first_rebalance, panel.n_dates, portfolio.rebalance_days)
    weights = mean_of_last(target_weights(signal[rows], mask[rows], portfolio), targets_held(portfolio))
    prices = panel.open if portfolio.execution_price == "open" else panel.close
    executed = rows + portfolio.execution_delay_days < panel.n_dates
    fills = np.full(weights.shape, np.nan)
    fills[executed] = prices[rows[executed] + portfolio.execution_delay_days]
    return Decisions(signal, mask.astype(np.float64), weights, np.where(weights != 0.0, fills, np.nan))


@lru_cache(maxsize=1)
def _differences(study: Study, seed: int, n_cuts: int) -> tuple[TruncationDifference, TruncationDifference]:
    """The check and its positive control, of the same cuts: universe and score of a cut panel are computed once for both, and kept for the second gate."""
    panel, candidate, first = study.sealed, study.candidate, study.first_rebalance
    earliest = min(first + candidate.portfolio.execution_delay_days, panel.n_dates - 1)
    usable = np.arange(earliest, panel.n_dates - 1)
    drawn = np.random.default_rng(seed).choice(usable, size=min(n_cuts, usable.size), replace=False)
    cuts = tuple(sorted(drawn.tolist()))
    variants = candidate.variants()
    states = {variant.label: study.states(variant) for variant in variants[: len(cuts)]}
    whole = {
        variant.label: decide(panel, candidate, variant, first, states[variant.label])
        for variant in variants[: len(cuts)]
    }
    found: list[tuple[list[float], ...]] = []
    for turn, cut in enumerate(cuts):
        variant = variants[turn % len(variants)]
        known = panel.as_known_at(cut + 1)
        try:
            parts = decide(known, candidate, variant, first, _as_known(states[variant.label], known, study, variant))
        except SignalError:  # dates that have scores on the whole panel have none without the rest of it
            found.append(([MISSING_COUNTS_AS] * 4,) * 2)
            continue
        pairs = zip(parts, whole[variant.label], strict=True)
        found.append(tuple(_compare(part, all_of_it, cut, first, candidate) for part, all_of_it in pairs))
    largest = np.max(found, axis=0).tolist() if found else [[float("nan")] * 4] * 2
    honest, leaking = (TruncationDifference(cuts, *each) for each in largest)
    return honest, leaking


def _as_known(states: States, known: Panel, study: Study, variant: Variant) -> States:
    """The states in force on the dates of a cut panel, the last of them fitted anew on it."""
    begun = [(refit, state) for refit, state in states if refit.scored[0] < known.n_dates]
    return [*begun[:-1], *((refit, fit_state(known, study.candidate, variant, refit)) for refit, _ in begun[-1:])]


def _compare(part: Decisions, whole: Decisions, cut: int, first: int, candidate: Candidate) -> list[float]:
    """Largest difference of each kind of decision over the dates that the cut panel holds."""
    rows, n_rebalances = cut + 1, part.target_weights.shape[0]
    executions = (
        np.arange(n_rebalances) * candidate.portfolio.rebalance_days + first + candidate.portfolio.execution_delay_days
    )
    executed = executions <= cut
    return [
        _largest(part.signal, whole.signal[:rows]),
        _largest(part.universe, whole.universe[:rows]),
        _largest(part.target_weights, whole.target_weights[:n_rebalances]),
        _largest(part.fill_prices[executed], whole.fill_prices[:n_rebalances][executed]),
    ]


def _largest(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    if first.size == 0:
        return 0.0
    difference = np.abs(first - second)
    one_sided = np.isnan(first) != np.isnan(second)
    return float(np.where(one_sided, MISSING_COUNTS_AS, np.where(np.isnan(difference), 0.0, difference)).max())
