"""Compiled loops over a cross-section. Serial, float64, no fast arithmetic: each gives the bits of the plain numpy it stands for.

Importing this module loads their machine code, or compiles it once per machine (engines.compiled). Arrays are C-ordered; inputs may be read-only.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import float64, int64, types, uint32, void
from numpy.typing import NDArray

from engines.compiled import kernel_folder, machine_code

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Keys = NDArray[np.uint32]
Bools = NDArray[np.bool_]

_values = types.Array(float64, 2, "C", readonly=True)
_mask = types.Array(types.boolean, 2, "C", readonly=True)
_keys = types.Array(uint32, 2, "C")
_counts = types.Array(int64, 1, "C")
_out = types.Array(float64, 2, "C")
_out_1d = types.Array(float64, 1, "C")

_SIGN_FLIP = np.int64(0x7FFFFFFFFFFFFFFF)
_LAST = np.int64(0x7FFFFFFFFFFFFFFF)
_LAST_KEY = np.uint32(0xFFFFFFFF)


def pair_counts(signal: Floats, labels: Floats, mask: Bools, paired: Bools, counts: Ints) -> None:
    """paired (R, N): in the mask, with a signal and a label; counts (R,): how many there are."""
    for row in range(signal.shape[0]):
        count = 0
        for column in range(signal.shape[1]):
            is_pair = mask[row, column] and np.isfinite(signal[row, column]) and np.isfinite(labels[row, column])
            paired[row, column] = is_pair
            count += is_pair
        counts[row] = count


def order_keys(values: Floats, paired: Bools, column_bits: int, keys: Keys) -> None:
    """keys (R, N): whole numbers of 32 bits that sort as the values do, with the column in the lowest bits; what is not paired comes last.

    Above the column stands how far the value lies above the row's smallest, as the order of floats goes, in as many bits as are left: values that share
    them come out in the order of their columns, side by side.
    """
    bits = values.view(np.int64)
    room = np.uint64(1) << np.uint64(32 - column_bits)
    for row in range(values.shape[0]):
        smallest, largest = _LAST, ~_LAST
        for column in range(values.shape[1]):
            if paired[row, column]:
                key = np.int64(0) if values[row, column] == 0.0 else bits[row, column]  # one zero
                key ^= (key >> 63) & _SIGN_FLIP
                smallest, largest = min(smallest, key), max(largest, key)
        shift = np.uint64(0)
        while (np.uint64(largest) - np.uint64(smallest)) >> shift >= room and smallest <= largest:
            shift += np.uint64(1)
        for column in range(values.shape[1]):
            if paired[row, column]:
                key = np.int64(0) if values[row, column] == 0.0 else bits[row, column]
                key ^= (key >> 63) & _SIGN_FLIP
                above = (np.uint64(key) - np.uint64(smallest)) >> shift
                keys[row, column] = np.uint32((above << np.uint64(column_bits)) | np.uint64(column))
            else:
                keys[row, column] = _LAST_KEY


def unit_ranks(values: Floats, counts: Ints, low: int, keys: Keys, units: Floats, squares_of: Floats) -> None:
    """units (R, N): centred average ranks scaled to unit length, from each row's sorted keys; 0 where not paired.

    squares_of (R,): the squared length before scaling, 0 where all values are equal.
    """
    for row in range(values.shape[0]):
        n_names = counts[row]
        units[row, :] = 0.0
        middle = 0.5 * (n_names + 1)
        squares = 0.0  # a sum of multiples of 1/4: exact, in whatever order
        first = 0
        while first < n_names:
            last = first + 1
            while last < n_names and (keys[row, last] & ~low) == (keys[row, first] & ~low):
                last += 1
            if last - first == 1:
                centred = (first + 1.0) - middle
                units[row, keys[row, first] & low] = centred
                squares += centred * centred
            elif last - first == 2:
                one, other = keys[row, first] & low, keys[row, first + 1] & low
                step = 0.5 * (values[row, one] < values[row, other]) - 0.5 * (values[row, one] > values[row, other])
                centred = (first + 1.5) - middle
                units[row, one], units[row, other] = centred - step, centred + step
                squares += (centred - step) * (centred - step) + (centred + step) * (centred + step)
            else:
                squares += _rank_alike(values[row], keys[row], first, last, low, middle, units[row])
            first = last
        squares_of[row] = squares
        if squares > 0.0:
            length = np.sqrt(squares)
            for column in range(values.shape[1]):
                units[row, column] /= length


def _rank_alike(values: Floats, keys: Keys, first: int, last: int, low: int, middle: float, units: Floats) -> float:
    """Rank places first .. last, whose keys agree above the column: order them by value (Shell sort), then share the places of ties."""
    for place in range(first, last):
        keys[place] &= low
    gap = 1
    while 3 * gap < last - first:
        gap = 3 * gap + 1
    while gap > 0:
        for place in range(first + gap, last):
            column = keys[place]
            before = place - gap
            while before >= first and values[keys[before]] > values[column]:
                keys[before + gap] = keys[before]
                before -= gap
            keys[before + gap] = column
        gap //= 3
    squares = 0.0
    start = first
    while start < last:
        stop = start + 1
        while stop < last and values[keys[stop]] == values[keys[start]]:
            stop += 1
        centred = 0.5 * (start + stop - 1) + 1.0 - middle
        for place in range(start, stop):
            units[keys[place]] = centred
            squares += centred * centred
        start = stop
    return squares


def row_products(one: Floats, other: Floats, products: Floats) -> None:
    """products (R,): the sum over each row of one x other, added in the order in which numpy.einsum adds on x86: two lanes, blocks of eight, last pair first."""
    n_columns = one.shape[1]
    whole = n_columns - n_columns % 8
    for row in range(one.shape[0]):
        even, odd = 0.0, 0.0
        for block in range(0, whole, 8):
            for pair in (6, 4, 2, 0):
                even += one[row, block + pair] * other[row, block + pair]
                odd += one[row, block + pair + 1] * other[row, block + pair + 1]
        for column in range(whole, n_columns, 2):
            even += one[row, column] * other[row, column]
            if column + 1 < n_columns:
                odd += one[row, column + 1] * other[row, column + 1]
        products[row] = even + odd


with machine_code(kernel_folder()) as _kept:
    _rank_alike = numba.njit(
        float64(
            types.Array(float64, 1, "C", readonly=True),
            types.Array(uint32, 1, "C"),
            int64,
            int64,
            int64,
            float64,
            types.Array(float64, 1, "C"),
        ),
        cache=_kept,
    )(_rank_alike)
    pair_counts = numba.njit(void(_values, _values, _mask, types.Array(types.boolean, 2, "C"), _counts), cache=_kept)(
        pair_counts
    )
    order_keys = numba.njit(void(_values, _mask, int64, _keys), cache=_kept)(order_keys)
    unit_ranks = numba.njit(
        void(_values, types.Array(int64, 1, "C", readonly=True), int64, _keys, _out, _out_1d), cache=_kept
    )(unit_ranks)
    row_products = numba.njit(void(_values, _values, _out_1d), cache=_kept)(row_products)
