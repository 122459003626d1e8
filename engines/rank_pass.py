"""Rank ICs of a large panel: numpy sorts, compiled loops do the rest, a few dates at a time so that everything stays in the processor's cache."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_BLOCK_CELLS = 1 << 16


def compiled_rank_ics(
    signal: NDArray[np.float64], labels: Sequence[NDArray[np.float64]], mask: NDArray[np.bool_], min_names: int
) -> NDArray[np.float64]:
    """What engines.ic.rank_ics says, (K, T), by the compiled kernels.

    Each value becomes an integer of 32 bits that sorts nearly as it does and carries its column in the lowest bits: numpy sorts these many times faster
    than it sorts indices, with the processor's vector instructions, and the few values that come out side by side undecided are put in order afterwards.
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
        self.column_bits = max(1, (n_names - 1).bit_length())
        self.low = (1 << self.column_bits) - 1
        self._paired = np.empty((n_rows, n_names), dtype=bool)
        self._keys = np.empty((n_rows, n_names), dtype=np.uint32)
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
        counts = np.empty(n_rows, dtype=np.int64)
        kernels.pair_counts(signal, labels[0], mask, self._paired[:n_rows], counts)
        enough = counts >= max(min_names, 2)
        if not enough.any():
            return
        defined = enough & self._rank(signal, counts, self._signal_units)
        products = np.empty(n_rows)
        for k, label in enumerate(labels):
            both = defined & self._rank(label, counts, self._label_units)
            kernels.row_products(self._signal_units[:n_rows], self._label_units[:n_rows], products)
            result[k] = np.where(both, np.clip(products, -1.0, 1.0), np.nan)

    def _rank(
        self, values: NDArray[np.float64], counts: NDArray[np.int64], units: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Fill `units` with the unit ranks of the paired values; (R,) whether a date's values differ at all."""
        from engines import kernels

        n_rows = values.shape[0]
        keys, squares = self._keys[:n_rows], np.empty(n_rows)
        kernels.order_keys(values, self._paired[:n_rows], self.column_bits, keys)
        keys.sort(axis=1)
        kernels.unit_ranks(values, counts, self.low, keys, units[:n_rows], squares)
        differ: NDArray[np.bool_] = squares > 0.0
        return differ
