"""Rank IC including forward returns, against a bare sort of the two matrices and against the field's libraries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from benchmarks.frame import Bar, Row, Run, alternate, timed_row
from benchmarks.market import FloatArray, draw_panel
from engines.forward import forward_returns
from engines.ic import rank_ic
from engines.panel import Panel

WORK: Final = "rank IC incl. forward returns"
DELAY_DAYS: Final = 1
HORIZON_DAYS: Final = 21
MIN_NAMES: Final = 50
SORT_BARS: Final = {"large": Bar("<=", 2.8, stretch=1.5)}


def measure(run: Run) -> Iterator[Row]:
    """One row a peer."""
    panel = draw_panel(run.size)
    signal, mask = momentum(panel), np.isfinite(panel.close)

    def ours() -> FloatArray:
        labels = forward_returns(panel, DELAY_DAYS, HORIZON_DAYS, "open")
        return rank_ic(signal, labels, mask, MIN_NAMES)

    labels = forward_returns(panel, DELAY_DAYS, HORIZON_DAYS, "open")
    timing = alternate(ours, lambda: (np.sort(signal, axis=1), np.sort(labels, axis=1)), rounds=run.rounds)
    yield timed_row(WORK, run, "np.sort of both matrices", timing, relation="<=", bar=SORT_BARS.get(run.size.name))


def momentum(panel: Panel, lookback_days: int = 252, skip_days: int = 21) -> FloatArray:
    """Past return of each name, (T, N): the signal that every benchmark uses."""
    scores = np.full(panel.close.shape, np.nan)
    past = panel.close[: panel.n_dates - lookback_days]
    scores[lookback_days:] = panel.close[lookback_days - skip_days : panel.n_dates - skip_days] / past - 1.0
    return scores
