"""Measures a price file: one DataQuality from the panel it gave and from what was counted in its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, NamedTuple

import numpy as np

from engines.axes import DateArray, TextArray
from engines.candidate import PRICE_COLUMNS
from engines.contract import ROW_RULES
from engines.defects import BAR_RULES, INFINITE, MISSING, NON_POSITIVE, UNPARSEABLE, DefectCount
from engines.layout import FloatArray, stretches
from engines.long_table import BoolArray, IntArray
from engines.quality import EXTREME_RETURN, MAX_LISTED_MOVES, SPLIT_TOLERANCE, Bars, DataQuality, Lives, Move
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


@dataclass(frozen=True, slots=True, eq=False)
class LaidOut:
    """A panel as its file gave it: T dates, N symbols.

    columns       (T, N) by name; NaN where the file has no usable value
    row_number    (T, N) number of the file's row behind each cell, 0 where there is none
    """

    dates: DateArray
    symbols: TextArray
    columns: Mapping[str, FloatArray]
    row_number: np.ndarray[Any, np.dtype[np.int32]]


def measure_quality(panel: LaidOut, defects: DefectCount, as_of: date, references: References) -> DataQuality:
    """Count what S1 judges: in the panel, in the rows of the price file (`defects`), and in the other files (`references`)."""
    moves = _extreme_moves(panel)
    return DataQuality(
        as_of=as_of,
        n_rows=defects.n_rows,
        n_symbols=len(panel.symbols),
        n_dates=len(panel.dates),
        first_date=panel.dates[0].item(),
        last_date=panel.dates[-1].item(),
        missing=defects.by_column(MISSING),
        unparseable=defects.by_column(UNPARSEABLE),
        infinite=defects.by_column(INFINITE),
        non_positive=defects.by_column(NON_POSITIVE),
        ragged=defects.n_ragged,
        after_as_of=defects.count("after as_of", "date"),
        out_of_order=defects.count("out of order", "date"),
        duplicate_exact=defects.count("exact duplicate"),
        duplicate_conflicting=defects.count("conflicting duplicate"),
        bars=_bars(panel, defects),
        lives=_lives(panel.columns["close"]),
        zero_volume=sum(int((panel.columns["volume"][rows] == 0).sum()) for rows in stretches(len(panel.dates))),
        extreme_returns=len(moves),
        extreme_moves=tuple(_move(panel, place) for place in moves[:MAX_LISTED_MOVES]),
        identical_series=identical_series(panel.columns["close"], panel.symbols),
        missing_member_ratio=references.missing_member_ratio,
        reference=references.quality,
        examples=defects.examples(),
    )


def _bars(panel: LaidOut, defects: DefectCount) -> Bars:
    complete, violations = 0, 0
    high_below_low, open_outside, close_outside = (defects.count(rule) for rule in BAR_RULES)
    any_broken = bool(high_below_low or open_outside or close_outside)
    for rows in stretches(len(panel.dates)):
        bar = {name: panel.columns[name][rows] for name in PRICE_COLUMNS}
        whole = np.logical_and.reduce([np.isfinite(values) for values in bar.values()])
        complete += int(whole.sum())
        if any_broken:
            holds = np.logical_and.reduce([rule(bar) for rule in ROW_RULES.values()])
            violations += int((whole & ~holds).sum())
    return Bars(complete, violations, high_below_low, open_outside, close_outside)


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


class _MovePlace(NamedTuple):
    """Where a close lies, by symbol and date, with the name's previous close."""

    name: int
    row: int
    previous: float
    latest: float


def _extreme_moves(panel: LaidOut) -> list[_MovePlace]:
    """Moves beyond EXTREME_RETURN between consecutive closes of a name, ordered by symbol, then date."""
    close = panel.columns["close"]
    previous = np.full(len(panel.symbols), np.nan)
    found: list[_MovePlace] = []
    for row in range(len(panel.dates)):
        latest = np.asarray(close[row])
        moved = np.flatnonzero(np.abs(latest / previous - 1) > EXTREME_RETURN).tolist()
        found += [_MovePlace(name, row, float(previous[name]), float(latest[name])) for name in moved]
        previous = np.where(np.isfinite(latest), latest, previous)
    return sorted(found)


def _move(panel: LaidOut, place: _MovePlace) -> Move:
    number, day = int(panel.row_number[place.row, place.name]), str(panel.dates[place.row])
    symbol, ratio = str(panel.symbols[place.name]), place.latest / place.previous
    return Move(number, day, symbol, place.previous, place.latest, ratio, split_terms(ratio))


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
    windows = _Windows(len(close), close.shape[1])
    places: set[tuple[int, int]] = set()
    for rows in stretches(len(close)):
        window, counts = windows.of(close[rows], rows)
        places |= _equal_neighbours(window, counts == COMMON_DAYS)
    places |= _equal_neighbours(windows.running[-1:], windows.counts[-1:] >= COMMON_DAYS)
    pairs = sorted(pair for pair in places if _share_closes(close[:, pair[0]], close[:, pair[1]]))
    first_of = {copy: first for first, copy in reversed(pairs)}
    return tuple((str(symbols[first]), str(symbols[copy])) for copy, first in sorted(first_of.items()))


class _Windows:
    """The number and the count of the last COMMON_DAYS closes of each name, a stretch of dates after the other."""

    def __init__(self, n_dates: int, n_symbols: int) -> None:
        odd = np.random.default_rng(COMMON_DAYS).integers(1, 1 << 63, size=(n_dates, 1), dtype=np.uint64)
        self._odd = odd | np.uint64(1)
        self.running = np.zeros((COMMON_DAYS, n_symbols), dtype=np.uint64)  # of the last dates so far
        self.counts = np.zeros((COMMON_DAYS, n_symbols), dtype=np.int64)

    def of(self, close: FloatArray, rows: slice) -> tuple[np.ndarray[Any, np.dtype[np.uint64]], IntArray]:
        """Of the next dates."""
        finite = np.isfinite(close)
        pattern = np.where(finite, np.ascontiguousarray(close).view(np.uint64), np.uint64(0))
        running = np.vstack([self.running, self.running[-1] + np.cumsum(pattern * self._odd[rows], axis=0)])
        counts = np.vstack([self.counts, self.counts[-1] + np.cumsum(finite, axis=0)])
        self.running, self.counts = running[-COMMON_DAYS:], counts[-COMMON_DAYS:]
        return running[COMMON_DAYS:] - running[:-COMMON_DAYS], counts[COMMON_DAYS:] - counts[:-COMMON_DAYS]


def _equal_neighbours(values: np.ndarray[Any, np.dtype[np.uint64]], valid: BoolArray) -> set[tuple[int, int]]:
    """Pairs of columns, in order, that hold the same valid value in some row and are neighbours among the columns that do."""
    others = np.random.default_rng(values.shape[1]).integers(0, 1 << 63, size=values.shape[1], dtype=np.uint64)
    ranked = np.sort(np.where(valid, values, others), axis=1)
    rows = np.flatnonzero((ranked[:, 1:] == ranked[:, :-1]).any(axis=1))  # few, so that only they are sorted by index
    values, valid = values[rows], valid[rows]
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
