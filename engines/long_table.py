"""The price file as parsed rows, and those of its rows that make the panel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np

from engines.candidate import NUMERIC_COLUMNS, PRICE_COLUMNS
from engines.errors import DataError
from engines.parsing import Dates, Numbers, Symbols, parse_dates, parse_numbers, parse_symbols
from engines.reading import MAX_EXAMPLES, Example, FileColumns

MAX_PANEL_CELLS: Final = 200_000_000  # dates x symbols: 1.6 GB a column

IntArray = np.ndarray[Any, np.dtype[np.int64]]
BoolArray = np.ndarray[Any, np.dtype[np.bool_]]
FloatArray = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class LongTable:
    """Every row of the price file, parsed and not yet judged; M rows in the order of the file."""

    file: FileColumns
    dates: Dates
    symbols: Symbols
    numbers: Mapping[str, Numbers]

    @property
    def n_rows(self) -> int:
        """M: the rows with as many cells as the header."""
        return len(self.file.row_numbers)

    @property
    def has_key(self) -> BoolArray:
        """(M,) whether the row has a readable date and a usable symbol."""
        return np.asarray(~np.isnat(self.dates.values) & (self.symbols.codes >= 0))

    def key(self, rows: IntArray) -> IntArray:
        """One number for the (symbol, date) of each of `rows`, which must have a key: increasing in symbol, then in date."""
        days = self.dates.values[rows].astype(np.int64)
        first, last = (int(days.min()), int(days.max())) if len(days) else (0, 0)
        return self.symbols.codes[rows] * (last - first + 1) + (days - first)

    def examples(self, rows: Iterable[int], column: str = "") -> tuple[Example, ...]:
        """The first few of `rows` (positions in this table) as a person finds them in the file."""
        return tuple(self._example(int(row), column) for row, _ in zip(rows, range(MAX_EXAMPLES), strict=False))

    def _example(self, row: int, column: str) -> Example:
        cells = {name: _shown(self.file.columns[name][row]) for name in ("date", "symbol", column) if name}
        return Example(
            int(self.file.row_numbers[row]),
            cells["date"][:80],
            cells["symbol"][:80],
            column,
            cells.get(column, "")[:80],
        )


def _shown(scalar: Any) -> str:
    """A cell as a person reads it; a time that no calendar holds (year 300000) as its number."""
    try:
        return str(scalar.as_py())
    except (OverflowError, ValueError):
        return str(getattr(scalar, "value", "unreadable"))


@dataclass(frozen=True, slots=True, eq=False)
class PanelRows:
    """The rows that make the panel: with a key, up to as_of, the first of each key; sorted by symbol, then date.

    rows      (K,) positions in the long table
    dates     (T,) datetime64[D], symbols (N,) text: the panel's axes
    date_of, symbol_of   (K,) index of each row on the axes
    values    column -> (K,) float64; NaN where the file has no number, an infinity, a price <= 0 or a volume < 0
    """

    rows: IntArray
    dates: np.ndarray[Any, np.dtype[np.datetime64]]
    symbols: np.ndarray[Any, np.dtype[np.str_]]
    date_of: IntArray
    symbol_of: IntArray
    values: Mapping[str, FloatArray]

    def dense(self, column: str) -> FloatArray:
        """(T, N) values of a column, NaN where there is no row."""
        cells = np.full((len(self.dates), len(self.symbols)), np.nan)
        cells[self.date_of, self.symbol_of] = self.values[column]
        return cells


def parse_long_table(file: FileColumns) -> LongTable:
    """Parse the seven columns of a price file. Nothing is refused: what does not parse is marked."""
    numbers = {name: parse_numbers(file.columns[name]) for name in NUMERIC_COLUMNS}
    return LongTable(file, parse_dates(file.columns["date"]), parse_symbols(file.columns["symbol"]), numbers)


def panel_rows(table: LongTable, as_of: date, where: str) -> PanelRows:
    """Choose the rows that make the panel.

    Raises:
        DataError: no row has a readable date and a symbol, all lie after as_of, or the panel would be larger than MAX_PANEL_CELLS.

    """
    keyed = np.flatnonzero(table.has_key)
    if not len(keyed):
        raise DataError(
            "no row has both a readable date and a symbol",
            where=where,
            remedy="write dates as YYYY-MM-DD and declare the right columns",
        )
    known = keyed[table.dates.values[keyed] <= np.datetime64(as_of)]
    if not len(known):
        first = table.dates.values[keyed].min()
        raise DataError(
            f"every row lies after as_of {as_of}: the first is of {first}", where=where, remedy="correct data.as_of"
        )
    _, firsts = np.unique(table.key(known), return_index=True)
    rows = known[firsts]
    dates, date_of = np.unique(table.dates.values[rows], return_inverse=True)
    codes, symbol_of = np.unique(table.symbols.codes[rows], return_inverse=True)
    if len(dates) * len(codes) > MAX_PANEL_CELLS:
        raise DataError(
            f"{len(dates)} dates x {len(codes)} symbols are more than {MAX_PANEL_CELLS} cells",
            where=where,
            remedy="check that date and symbol are the right columns",
        )
    symbols = np.array(table.symbols.names)[codes]
    return PanelRows(
        rows,
        dates,
        symbols,
        date_of,
        symbol_of,
        {name: _clean(table.numbers[name].values[rows], name) for name in NUMERIC_COLUMNS},
    )


def _clean(values: FloatArray, column: str) -> FloatArray:
    usable = np.isfinite(values) & (values > 0 if column in PRICE_COLUMNS else values >= 0)
    return np.where(usable, values, np.nan)
