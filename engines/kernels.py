"""Compiled loops over a panel. Serial, float64, no fast arithmetic: each gives the bits of the plain numpy it stands for.

Importing this module loads their machine code, or compiles it once per machine (engines.compiled). Arrays are C-ordered; inputs may be read-only.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import float64, int32, int64, types, uint32, void
from numpy.typing import NDArray

from engines.compiled import kernel_folder, machine_code

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Places = NDArray[np.int32]
Keys = NDArray[np.uint32]

_values = types.Array(float64, 2, "C", readonly=True)
_mask = types.Array(types.boolean, 2, "C", readonly=True)
_counts = types.Array(int64, 1, "C", readonly=True)
_out = types.Array(float64, 2, "C")
_mask_out = types.Array(types.boolean, 2, "C")
_counts_out = types.Array(int64, 1, "C")
_row = types.Array(float64, 1, "C", readonly=True)
_row_mask = types.Array(types.boolean, 1, "C", readonly=True)
_row_keys = types.Array(uint32, 1, "C")
_row_out = types.Array(float64, 1, "C")
_places = types.Array(int32, 1, "C")

_REACH = 8.0


def pair_counts(signal: Floats, labels: Floats, mask: Bools, paired: Bools, counts: Ints) -> None:
    """paired (R, N): in the mask, with a signal and a label; counts (R,): how many there are."""
    for row in range(signal.shape[0]):
        count = 0
        for column in range(signal.shape[1]):
            is_pair = mask[row, column] and np.isfinite(signal[row, column]) and np.isfinite(labels[row, column])
            paired[row, column] = is_pair
            count += is_pair
        counts[row] = count


def unit_ranks(values: Floats, paired: Bools, counts: Ints, units: Floats, squares_of: Floats) -> None:
    """units (R, N): centred average ranks of the paired values scaled to unit length; 0 where not paired.

    counts (R,): how many are paired; squares_of (R,): the squared length before scaling, 0 where all values are equal or there are fewer than two.
    """
    n_columns = values.shape[1]
    column_bits = 1
    while (1 << column_bits) < n_columns:
        column_bits += 1
    digit_bits = min(column_bits, (32 - column_bits) // 2)
    keys, spare = np.empty(n_columns, np.uint32), np.empty(n_columns, np.uint32)
    low_places, high_places = np.empty(1 << digit_bits, np.int32), np.empty(1 << digit_bits, np.int32)
    for row in range(values.shape[0]):
        units[row, :] = 0.0
        squares_of[row] = 0.0
        if counts[row] < 2:
            continue
        _order_keys(values[row], paired[row], column_bits, 2 * digit_bits, keys)
        _sort_keys(keys[: counts[row]], column_bits, digit_bits, spare, low_places, high_places)
        squares = _rank_sorted(values[row], keys[: counts[row]], (1 << column_bits) - 1, units[row])
        squares_of[row] = squares
        if squares > 0.0:
            length = np.sqrt(squares)
            for column in range(n_columns):
                units[row, column] /= length


def _order_keys(values: Floats, paired: Bools, column_bits: int, key_bits: int, keys: Keys) -> None:
    """One whole number for each paired value, in the order of the columns: the step of a ladder it stands on, above the column in the lowest bits.

    The 2 ** key_bits steps are even and lie _REACH mean deviations to either side of the mean, both taken from some 500 values; what lies beyond stands on
    the last. A step may hold several values, in the order of their columns: `_rank_sorted` puts those right, so the ladder decides the speed alone.
    """
    stride = max(1, values.shape[0] // 500)
    total, n_seen = 0.0, 0
    for column in range(0, values.shape[0], stride):
        if paired[column]:
            total += values[column]
            n_seen += 1
    middle = total / max(1, n_seen)
    deviation = 0.0
    for column in range(0, values.shape[0], stride):
        if paired[column]:
            deviation += abs(values[column] - middle)
    half = float(1 << (key_bits - 1))
    scale = half * n_seen / (_REACH * deviation) if deviation > 0.0 else 1.0
    if not (0.0 < scale < np.inf and abs(middle) < np.inf):
        middle, scale = 0.0, 1.0
    n_keys = 0
    for column in range(values.shape[0]):
        step = (values[column] - middle) * scale + half
        step = step if step > 0.0 else 0.0  # and where the value is NaN
        step = min(step, 2.0 * half - 1.0)
        keys[n_keys] = (np.int64(step) << column_bits) | column
        n_keys += paired[column]


def _sort_keys(
    keys: Keys, column_bits: int, digit_bits: int, spare: Keys, low_places: Places, high_places: Places
) -> None:
    """Sort by the two digits above the column, the lower first, each in one stable pass over its counts (radix sort)."""
    low_places[:] = 0
    high_places[:] = 0
    low_mask = (1 << digit_bits) - 1
    high_shift = column_bits + digit_bits
    for place in range(keys.shape[0]):
        low_places[(keys[place] >> column_bits) & low_mask] += 1
        high_places[keys[place] >> high_shift] += 1
    before_low, before_high = 0, 0
    for digit in range(low_places.shape[0]):
        n_low, n_high = low_places[digit], high_places[digit]
        low_places[digit], high_places[digit] = before_low, before_high
        before_low += n_low
        before_high += n_high
    for place in range(keys.shape[0]):
        key = keys[place]
        digit = (key >> column_bits) & low_mask
        spare[low_places[digit]] = key
        low_places[digit] += 1
    for place in range(keys.shape[0]):
        key = spare[place]
        digit = key >> high_shift
        keys[high_places[digit]] = key
        high_places[digit] += 1


def _rank_sorted(values: Floats, keys: Keys, low: int, ranks: Floats) -> float:
    """ranks (N,): centred average ranks from a row's sorted keys, `low` being the bits of the column; the sum of their squares."""
    n_names = keys.shape[0]
    middle = 0.5 * (n_names + 1)
    squares = 0.0  # a sum of multiples of 1/4: exact, in whatever order
    first = 0
    while first < n_names:
        step = keys[first] & ~low
        last = first + 1
        while last < n_names and (keys[last] & ~low) == step:
            last += 1
        if last - first == 1:
            centred = (first + 1.0) - middle
            ranks[keys[first] & low] = centred
            squares += centred * centred
        else:
            squares += _rank_alike(values, keys, first, last, low, middle, ranks)
        first = last
    return squares


def _rank_alike(values: Floats, keys: Keys, first: int, last: int, low: int, middle: float, ranks: Floats) -> float:
    """Rank places first .. last, which stand on one step: order them by value (Shell sort), then share the places of ties."""
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
            ranks[keys[place]] = centred
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


def trailing_medians(values: Floats, n_rows: int, min_rows: int, medians: Floats) -> None:
    """medians (T, N): of what is not NaN among the last n_rows values of each column; NaN where there are fewer than min_rows of them.

    Each column keeps its window in order: the value that leaves is taken out of its place, the one that enters is put into its own.
    """
    n_columns = values.shape[1]
    windows = np.empty((n_columns, n_rows))
    counts = np.zeros(n_columns, np.int64)
    for row in range(values.shape[0]):
        for column in range(n_columns):
            window, count = windows[column], counts[column]
            if row >= n_rows and not np.isnan(values[row - n_rows, column]):
                leaving = values[row - n_rows, column]
                place = 0
                while window[place] != leaving:
                    place += 1
                count -= 1
                while place < count:
                    window[place] = window[place + 1]
                    place += 1
            entering = values[row, column]
            if not np.isnan(entering):
                place = count
                while place > 0 and window[place - 1] > entering:
                    window[place] = window[place - 1]
                    place -= 1
                window[place] = entering
                count += 1
            counts[column] = count
            enough = count >= max(1, min_rows)
            medians[row, column] = 0.5 * (window[(count - 1) // 2] + window[count // 2]) if enough else np.nan


def trailing_deviations(values: Floats, n_rows: int, deviations: Floats) -> None:
    """deviations (T, N): standard deviation (ddof 1) of the last n_rows values of each column, oldest added first; NaN before there are so many."""
    n_columns = values.shape[1]
    mean, squares = np.empty(n_columns), np.empty(n_columns)
    deviations[: n_rows - 1] = np.nan
    for row in range(n_rows - 1, values.shape[0]):
        mean[:] = 0.0
        squares[:] = 0.0
        for other in range(row - n_rows + 1, row + 1):
            for column in range(n_columns):
                mean[column] += values[other, column]
        for column in range(n_columns):
            mean[column] /= n_rows
        for other in range(row - n_rows + 1, row + 1):
            for column in range(n_columns):
                distance = values[other, column] - mean[column]
                squares[column] += distance * distance
        for column in range(n_columns):
            deviations[row, column] = np.sqrt(squares[column] / (n_rows - 1))


with machine_code(kernel_folder()) as _kept:
    _order_keys = numba.njit(void(_row, _row_mask, int64, int64, _row_keys), cache=_kept)(_order_keys)
    _sort_keys = numba.njit(void(_row_keys, int64, int64, _row_keys, _places, _places), cache=_kept)(_sort_keys)
    _rank_alike = numba.njit(float64(_row, _row_keys, int64, int64, int64, float64, _row_out), cache=_kept)(_rank_alike)
    _rank_sorted = numba.njit(float64(_row, _row_keys, int64, _row_out), cache=_kept)(_rank_sorted)
    pair_counts = numba.njit(void(_values, _values, _mask, _mask_out, _counts_out), cache=_kept)(pair_counts)
    unit_ranks = numba.njit(void(_values, _mask, _counts, _out, _row_out), cache=_kept)(unit_ranks)
    row_products = numba.njit(void(_values, _values, _row_out), cache=_kept)(row_products)
    trailing_medians = numba.njit(void(_values, int64, int64, _out), cache=_kept)(trailing_medians)
    trailing_deviations = numba.njit(void(_values, int64, _out), cache=_kept)(trailing_deviations)
