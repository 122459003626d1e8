"""Order and ranks within each date's cross-section: exact, with ties in the order of the symbols, NaN last."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SIGN_FLIP = np.int64(0x7FFFFFFFFFFFFFFF)


def row_order(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which columns does each row hold, from its smallest value to its largest? Equal to np.argsort(axis=1, kind="stable"), (R, N)."""
    return _sorted_rows(values)[0]


def average_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where does each value stand in its row? 1 .. n upwards, ties take the mean of their places, NaN stays NaN; (R, N)."""
    order, ordered = _sorted_rows(values)
    places = np.tile(np.arange(1.0, values.shape[1] + 1.0), (values.shape[0], 1))
    tied = ordered[:, 1:] == ordered[:, :-1]
    shared = tied.any(axis=1)
    places[shared] = _mean_places(tied[shared])
    places[np.isnan(ordered)] = np.nan
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, places, axis=1)
    return ranks


def centred_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average ranks minus the middle rank of their row, (R, N); 0 where the value is NaN."""
    present = np.isfinite(values)
    middle = 0.5 * (present.sum(axis=1, keepdims=True) + 1)
    return np.where(present, average_ranks(values) - middle, 0.0)


def unit_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred average ranks of each row scaled to unit length, (R, N); 0 where the value is NaN or the row has no spread."""
    centred = centred_ranks(values)
    length = np.sqrt(np.einsum("ij,ij->i", centred, centred))[:, None]
    unit: NDArray[np.float64] = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0.0)
    return unit


def _sorted_rows(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The stable order of each row and its values in that order.

    numpy sorts integers several times faster than it sorts indices, so each value's bits, whose integer order is that of the floats, carry
    the column in their lowest places. Rows in which two values differ in just those places come out unsorted, and are sorted again in the
    plain way.
    """
    n_columns = values.shape[1]
    low = np.int64((1 << max(1, (n_columns - 1).bit_length())) - 1)
    keys: NDArray[np.int64] = np.where(np.isnan(values), np.nan, values + 0.0).view(np.int64)  # one NaN, one zero
    keys ^= (keys >> 63) & _SIGN_FLIP
    keys &= ~low
    keys |= np.arange(n_columns)
    keys.sort(axis=1)
    order = keys & low
    ordered = np.take_along_axis(values, order, axis=1)
    unsorted = (ordered[:, 1:] < ordered[:, :-1]).any(axis=1)
    if unsorted.any():
        order[unsorted] = np.argsort(values[unsorted], axis=1, kind="stable")
        ordered[unsorted] = np.take_along_axis(values[unsorted], order[unsorted], axis=1)
    return order, ordered


def _mean_places(tied: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean place (from 1) of each sorted position, given whether it ties with the one before it, (R, N - 1)."""
    n_rows, n_places = tied.shape[0], tied.shape[1] + 1
    index = np.broadcast_to(np.arange(n_places), (n_rows, n_places))
    edge = np.ones((n_rows, 1), dtype=bool)
    first = np.maximum.accumulate(np.where(np.hstack([edge, ~tied]), index, 0), axis=1)
    last = np.minimum.accumulate(np.where(np.hstack([~tied, edge]), index, n_places)[:, ::-1], axis=1)[:, ::-1]
    return 0.5 * (first + last) + 1.0
