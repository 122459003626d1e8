"""The axes of a panel: which dates and symbols a price file names, found in a first pass over those two columns alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np

from engines.errors import DataError
from engines.long_table import BoolArray, IntArray
from engines.parsing import Dates, Symbols, parse_dates, parse_symbols
from engines.reading import FileColumns

MAX_PANEL_CELLS: Final = 200_000_000  # dates x symbols: 1.6 GB a column
_CLOSE_DAYS: Final = 1 << 22  # a span of days that a table of flags may cover

DateArray = np.ndarray[Any, np.dtype[np.datetime64]]
TextArray = np.ndarray[Any, np.dtype[np.str_]]


@dataclass(frozen=True, slots=True, eq=False)
class Axes:
    """Every key of a price file on two axes, and the part of them that is the panel.

    dates     (A,) datetime64[D], symbols (S,) text, sorted: of every row with a readable date and a usable symbol
    n_dates   T: the first of the dates, up to as_of
    in_panel  (S,) whether a symbol has a row up to as_of
    where     the file, for messages
    """

    dates: DateArray
    symbols: TextArray
    n_dates: int
    in_panel: BoolArray
    where: str

    @property
    def shape(self) -> tuple[int, int]:
        """(A, S)."""
        return len(self.dates), len(self.symbols)

    @property
    def is_panel(self) -> bool:
        """Whether the file holds nothing that the panel does not."""
        return self.n_dates == len(self.dates) and bool(self.in_panel.all())

    def cells_of(self, days: DateArray, columns: IntArray) -> IntArray:
        """Place of each key in a dense array, row after row. DataError for a key that was not there when the axes were read."""
        rows = np.searchsorted(self.dates, days).clip(max=len(self.dates) - 1)
        if (columns < 0).any() or (self.dates[rows] != days).any():
            raise DataError(
                "an input file changed while it was read", where=self.where, remedy="let no other program write to it"
            )
        found: IntArray = rows * len(self.symbols) + columns
        return found

    def columns_of(self, symbols: Symbols) -> IntArray:
        """(names,) index of each name of a batch; -1 for one that no row with a date uses."""
        names = np.array(symbols.names, dtype=self.symbols.dtype)
        place = np.searchsorted(self.symbols, names).clip(max=len(self.symbols) - 1)
        return np.where(self.symbols[place] == names, place, -1)


def read_axes(batches: Iterable[FileColumns], as_of: date, where: str) -> Axes:
    """Find the axes of a file from its columns date and symbol.

    Raises:
        DataError: no row has a readable date and a symbol, all lie after as_of, or the panel would be larger than MAX_PANEL_CELLS.

    """
    last = np.datetime64(as_of)
    days: set[np.datetime64] = set()
    names: set[str] = set()
    known: set[str] = set()
    for batch in batches:
        dates, symbols = parse_dates(batch.columns["date"]), parse_symbols(batch.columns["symbol"])
        keyed = ~np.isnat(dates.values) & (symbols.codes >= 0)
        days.update(_distinct_days(dates, keyed))
        names.update(_used(symbols, keyed))
        known.update(_used(symbols, keyed & (dates.values <= last)))
    return _checked(np.array(sorted(days), dtype="datetime64[D]"), sorted(names), known, as_of, where)


def _distinct_days(dates: Dates, keyed: BoolArray) -> DateArray:
    days = dates.values[keyed].astype("datetime64[D]")
    if not len(days):
        return days
    numbers = days.view(np.int64)
    first, last = int(numbers.min()), int(numbers.max())
    if last - first > _CLOSE_DAYS:
        return np.unique(days)
    seen = np.zeros(last - first + 1, dtype=bool)
    seen[numbers - first] = True
    return (np.flatnonzero(seen) + first).view("datetime64[D]")


def _used(symbols: Symbols, rows: BoolArray) -> list[str]:
    used = np.bincount(symbols.codes[rows], minlength=len(symbols.names)) > 0
    return [symbols.names[code] for code in np.flatnonzero(used)]


def _checked(days: DateArray, names: list[str], known: set[str], as_of: date, where: str) -> Axes:
    if not len(days):
        raise DataError(
            "no row has both a readable date and a symbol",
            where=where,
            remedy="write dates as YYYY-MM-DD and declare the right columns",
        )
    if not known:
        raise DataError(
            f"every row lies after as_of {as_of}: the first is of {days[0]}", where=where, remedy="correct data.as_of"
        )
    axes = Axes(
        days,
        np.array(names),
        int(np.searchsorted(days, np.datetime64(as_of), side="right")),
        np.array([name in known for name in names]),
        where,
    )
    if axes.n_dates * len(known) > MAX_PANEL_CELLS or len(days) * len(names) > 2 * MAX_PANEL_CELLS:
        raise DataError(
            f"{axes.n_dates} dates x {len(known)} symbols are more than {MAX_PANEL_CELLS} cells",
            where=where,
            remedy="check that date and symbol are the right columns",
        )
    return axes
