"""Measures a price file: one DataQuality from its rows, the rows of the panel, and the breaches of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np

from engines.candidate import NUMERIC_COLUMNS, PRICE_COLUMNS
from engines.contract import ROW, Rule, breaches, unreadable
from engines.long_table import BoolArray, FloatArray, IntArray, LongTable, PanelRows
from engines.quality import EXTREME_RETURN, MAX_LISTED_MOVES, SPLIT_TOLERANCE, Bars, DataQuality, Lives, Move
from engines.reading import Example
from engines.reference import References

COMMON_DAYS: Final = 60
SPLIT_TERMS: Final = (
    (2, 1),
    (3, 1),
    (3, 2),
    (4, 1),
    (5, 1),
    (5, 2),
    (6, 1),
    (7, 1),
    (8, 1),
    (10, 1),
    (15, 1),
    (20, 1),
    (25, 1),
    (50, 1),
    (100, 1),
)
"""Terms of splits that occur, new shares for old: a price falls by old / new. Reverse splits are their inverses."""

_MISSING, _UNPARSEABLE, _INFINITE, _NON_POSITIVE = "missing", "unparseable", "infinite", "non-positive"
_BAR_RULES: Final = ("high_not_below_low", "open_in_range", "close_in_range")

Defects = dict[tuple[str, str], IntArray]
"""(defect, column or "") -> rows of the file's table, in the order of the file."""


def measure_quality(
    table: LongTable, rows: PanelRows, close: FloatArray, as_of: date, references: References
) -> DataQuality:
    """Count what S1 judges.

    table, rows: the file's rows, and those that make the panel; close: (T, N) closes of the panel; references: what was found in the other files.
    """
    broken = breaches(table, as_of)
    defects = _defects(table, broken)
    moves = _extreme_moves(rows)
    return DataQuality(
        as_of=as_of,
        n_rows=table.n_rows + table.file.n_ragged,
        n_symbols=len(rows.symbols),
        n_dates=len(rows.dates),
        first_date=rows.dates[0].item(),
        last_date=rows.dates[-1].item(),
        missing=_by_column(defects, _MISSING),
        unparseable=_by_column(defects, _UNPARSEABLE),
        infinite=_by_column(defects, _INFINITE),
        non_positive=_by_column(defects, _NON_POSITIVE),
        ragged=table.file.n_ragged,
        after_as_of=len(defects["after as_of", "date"]),
        out_of_order=len(defects["out of order", "date"]),
        duplicate_exact=len(defects["exact duplicate", ""]),
        duplicate_conflicting=len(defects["conflicting duplicate", ""]),
        bars=_bars(rows, defects),
        lives=_lives(close),
        zero_volume=int((rows.values["volume"] == 0).sum()),
        extreme_returns=len(moves),
        extreme_moves=tuple(_move(table, rows, place) for place in moves[:MAX_LISTED_MOVES]),
        identical_series=identical_series(close, rows.symbols),
        missing_member_ratio=references.missing_member_ratio,
        reference=references.quality,
        examples=_examples(table, defects),
    )


def _defects(table: LongTable, broken: Mapping[Rule, IntArray]) -> Defects:
    def breaking(column: str, rule: str) -> IntArray:
        return broken.get(Rule(column, rule), np.empty(0, dtype=np.int64))

    missing = {"date": table.dates.missing, "symbol": table.symbols.missing} | {
        name: numbers.missing for name, numbers in table.numbers.items()
    }
    defects: Defects = {(_MISSING, name): np.flatnonzero(mask) for name, mask in missing.items()}
    defects |= {(_UNPARSEABLE, name): np.flatnonzero(mask) for name, mask in unreadable(table).items()}
    defects |= {(_INFINITE, name): breaking(name, "finite") for name in NUMERIC_COLUMNS}
    defects |= {
        (_NON_POSITIVE, name): breaking(name, "positive" if name in PRICE_COLUMNS else "not_negative")
        for name in NUMERIC_COLUMNS
    }
    defects |= {(rule, ""): breaking(ROW, rule) for rule in _BAR_RULES}
    duplicates = breaking(ROW, "unique_key")
    same = _same_as_first(table, duplicates)
    defects |= {("exact duplicate", ""): duplicates[same], ("conflicting duplicate", ""): duplicates[~same]}
    return defects | {
        ("out of order", "date"): _out_of_order(table),
        ("after as_of", "date"): breaking("date", "not_after_as_of"),
    }


def _by_column(defects: Defects, defect: str) -> dict[str, int]:
    return {column: len(rows) for (name, column), rows in defects.items() if name == defect}


def _same_as_first(table: LongTable, duplicates: IntArray) -> BoolArray:
    """Whether each duplicate row has the values of the first row of its key, missing values being equal."""
    if not len(duplicates):
        return np.empty(0, dtype=bool)
    keyed = np.flatnonzero(table.has_key)
    keys = table.key(keyed)
    distinct, first = np.unique(keys, return_index=True)
    firsts = keyed[first[np.searchsorted(distinct, keys[np.searchsorted(keyed, duplicates)])]]
    same = np.ones(len(duplicates), dtype=bool)
    for numbers in table.numbers.values():
        same &= (numbers.values[duplicates] == numbers.values[firsts]) | (
            np.isnan(numbers.values[duplicates]) & np.isnan(numbers.values[firsts])
        )
    return same


def _out_of_order(table: LongTable) -> IntArray:
    """Rows dated before the row of the same symbol that precedes them in the file."""
    keyed = np.flatnonzero(table.has_key)
    codes = table.symbols.codes[keyed]
    by_symbol = np.argsort(codes, kind="stable")
    days, codes = table.dates.values[keyed[by_symbol]], codes[by_symbol]
    earlier = (days[1:] < days[:-1]) & (codes[1:] == codes[:-1])
    return np.sort(keyed[by_symbol[1:][earlier]])


def _bars(rows: PanelRows, defects: Defects) -> Bars:
    complete = np.logical_and.reduce([np.isfinite(rows.values[name]) for name in PRICE_COLUMNS])
    violating = np.isin(rows.rows, np.concatenate([defects[rule, ""] for rule in _BAR_RULES]))
    high_below_low, open_outside, close_outside = (len(defects[rule, ""]) for rule in _BAR_RULES)
    return Bars(int(complete.sum()), int((complete & violating).sum()), high_below_low, open_outside, close_outside)


def _lives(close: FloatArray) -> Lives:
    has_close = np.isfinite(close)
    alive = has_close.any(axis=0)
    first = has_close[:, alive].argmax(axis=0)
    last = len(close) - 1 - has_close[::-1, alive].argmax(axis=0)
    gaps = (last - first + 1) - has_close[:, alive].sum(axis=0)
    return Lives(
        symbol_days=int((last - first + 1).sum()),
        interior_gaps=int(gaps.sum()),
        names_with_gaps=int((gaps > 0).sum()),
        late_names=int((first > 0).sum()),
        ended_names=int((last < len(close) - 1).sum()),
        empty_names=int((~alive).sum()),
    )


@dataclass(frozen=True, slots=True)
class _MovePlace:
    """Positions in PanelRows of a close and of the name's previous close."""

    before: int
    after: int


def _extreme_moves(rows: PanelRows) -> list[_MovePlace]:
    """Moves beyond EXTREME_RETURN between consecutive closes of a name, ordered by symbol, then date."""
    close = rows.values["close"]
    priced = np.flatnonzero(np.isfinite(close))
    before, after = priced[:-1], priced[1:]
    move = np.abs(close[after] / close[before] - 1)
    extreme = np.flatnonzero((rows.symbol_of[after] == rows.symbol_of[before]) & (move > EXTREME_RETURN))
    return [_MovePlace(int(before[place]), int(after[place])) for place in extreme]


def _move(table: LongTable, rows: PanelRows, place: _MovePlace) -> Move:
    close = rows.values["close"]
    previous, latest = float(close[place.before]), float(close[place.after])
    row = int(table.file.row_numbers[rows.rows[place.after]])
    day, symbol = str(rows.dates[rows.date_of[place.after]]), str(rows.symbols[rows.symbol_of[place.after]])
    return Move(row, day, symbol, previous, latest, latest / previous, split_terms(latest / previous))


def split_terms(ratio: float) -> str:
    """ "new:old" shares of the split whose price ratio old / new lies within 2 % of `ratio`, or "" when none does. 0.51 is "2:1", 9.9 is "1:10"."""
    terms = SPLIT_TERMS + tuple((old, new) for new, old in SPLIT_TERMS)
    near = [(abs(ratio * new / old - 1), new, old) for new, old in terms]
    distance, new, old = min(near)
    return f"{new}:{old}" if distance <= SPLIT_TOLERANCE else ""


def identical_series(close: FloatArray, symbols: np.ndarray[Any, np.dtype[np.str_]]) -> tuple[tuple[str, str], ...]:
    """Pairs (first, copy) of symbols whose closes (T, N) are equal on COMMON_DAYS dates in a row, or on all dates of both and at least so many.

    Each window of closes is reduced to one number by a polynomial over the 64-bit pattern of the closes, so that equal windows are neighbours after
    sorting; candidates are then compared close by close. A symbol that copies several is paired with the one before it in order.
    """
    finite = np.isfinite(close)
    pattern = np.where(finite, np.ascontiguousarray(close).view(np.uint64), np.uint64(0))
    odd = np.random.default_rng(COMMON_DAYS).integers(1, 1 << 63, size=(len(close), 1), dtype=np.uint64) | np.uint64(1)
    running = np.cumsum(pattern * odd, axis=0, dtype=np.uint64)
    counts = np.cumsum(finite, axis=0)
    window, window_counts = running.copy(), counts.copy()
    window[COMMON_DAYS:] -= running[:-COMMON_DAYS]
    window_counts[COMMON_DAYS:] -= counts[:-COMMON_DAYS]
    places = _equal_neighbours(window, window_counts == COMMON_DAYS) | _equal_neighbours(
        running[-1:], counts[-1:] >= COMMON_DAYS
    )
    pairs = sorted(pair for pair in places if _share_closes(close[:, pair[0]], close[:, pair[1]]))
    first_of = {copy: first for first, copy in reversed(pairs)}
    return tuple((str(symbols[first]), str(symbols[copy])) for copy, first in sorted(first_of.items()))


def _equal_neighbours(values: np.ndarray[Any, np.dtype[np.uint64]], valid: BoolArray) -> set[tuple[int, int]]:
    """Pairs of columns, in order, that hold the same valid value in some row and are neighbours among the columns that do."""
    order = np.argsort(values, axis=1, kind="stable")
    ranked, usable = np.take_along_axis(values, order, axis=1), np.take_along_axis(valid, order, axis=1)
    row, place = np.nonzero((ranked[:, 1:] == ranked[:, :-1]) & usable[:, 1:] & usable[:, :-1])
    pairs = np.unique(order[row, place] * values.shape[1] + order[row, place + 1])
    return {divmod(int(pair), values.shape[1]) for pair in pairs}


def _share_closes(first: FloatArray, copy: FloatArray) -> bool:
    """Whether two series (T,) are equal on COMMON_DAYS dates in a row, or on all dates that either has and at least so many."""
    both = np.isfinite(first) & np.isfinite(copy)
    equal = both & (first == copy)
    breaks = np.flatnonzero(np.concatenate([[True], ~equal, [True]]))
    whole = bool((equal | ~(np.isfinite(first) | np.isfinite(copy))).all())
    return bool(np.diff(breaks).max() - 1 >= COMMON_DAYS) or (whole and int(both.sum()) >= COMMON_DAYS)


def _examples(table: LongTable, defects: Defects) -> dict[str, tuple[Example, ...]]:
    places = {
        f"{defect} {column}".strip(): table.examples(rows, column)
        for (defect, column), rows in defects.items()
        if len(rows)
    }
    return places | ({"ragged": table.file.ragged} if table.file.ragged else {})
