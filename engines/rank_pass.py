"""Rank ICs of a large panel by compiled loops, a few dates at a time so that everything stays in the processor's cache."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_BLOCK_CELLS = 1 << 16


def compiled_rank_ics(
    signal: NDArray[np.float64], labels: Sequence[NDArray[np.float64]], mask: NDArray[np.bool_], min_names: int
) -> NDArray[np.float64]:
    """What engines.ic.rank_ics says, (K, T), by the compiled kernels.

    Each value becomes an integer of 32 bits that sorts nearly as it does and carries its column in the lowest bits; these are sorted by their digits, without
    a comparison, and the few values that come out side by side undecided are put in order afterwards.
    """
    n_dates, n_names = signal.shape
    result = np.full((len(labels), n_dates), np.nan)
    block = _RankBlock(max(1, _BLOCK_CELLS // max(1, n_names)), n_names)
    for first in range(0, n_dates, block.n_rows):
        rows = slice(first, min(first + block.n_rows, n_dates))
        block.correlate(
            np.ascontiguousarray(signal[rows], dtype=np.float64),
            np.ascontiguousarray(mask[rows]),
            [np.ascontiguousarray(label[rows], dtype=np.float64) for label in labels],
            min_names,
            result[:, rows],
        )
    return result


class _RankBlock:
    """The scratch of a few dates, laid out once and used for every block."""

    def __init__(self, n_rows: int, n_names: int) -> None:
        self.n_rows = n_rows
        self._paired = np.empty((n_rows, n_names), dtype=bool)
        self._signal_units = np.empty((n_rows, n_names))
        self._label_units = np.empty((n_rows, n_names))

    def correlate(
        self,
        signal: NDArray[np.float64],
        mask: NDArray[np.bool_],
        labels: Sequence[NDArray[np.float64]],
        min_names: int,
        result: NDArray[np.float64],
    ) -> None:
        """Write the IC of each label and date to `result` (K, R)."""
        from engines import kernels

        n_rows = signal.shape[0]
        paired, units, label_units = self._paired[:n_rows], self._signal_units[:n_rows], self._label_units[:n_rows]
        counts = np.empty(n_rows, dtype=np.int64)
        kernels.pair_counts(signal, labels[0], mask, paired, counts)
        counts[counts < min_names] = 0
        if not counts.any():
            return
        squares, label_squares, products = np.empty((3, n_rows))
        kernels.unit_ranks(signal, paired, counts, units, squares)
        for k, label in enumerate(labels):
            kernels.unit_ranks(label, paired, counts, label_units, label_squares)
            kernels.row_products(units, label_units, products)
            result[k] = np.where((squares > 0.0) & (label_squares > 0.0), np.clip(products, -1.0, 1.0), np.nan)
