"""A price file, or a batch of it, as parsed rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engines.candidate import NUMERIC_COLUMNS
from engines.parsing import Dates, Numbers, Symbols, parse_dates, parse_numbers, parse_symbols
from engines.reading import MAX_EXAMPLES, Example, FileColumns

IntArray = np.ndarray[Any, np.dtype[np.int64]]
BoolArray = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True, eq=False)
class LongTable:
    """Rows of the price file, parsed and not yet judged; M rows in the order of the file."""

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

    def repeats(self) -> BoolArray:
        """(M,) whether an earlier row of this table has the row's key."""
        keyed = np.flatnonzero(self.has_key)
        repeated = np.zeros(self.n_rows, dtype=bool)
        repeated[keyed] = True
        repeated[keyed[np.unique(self.key(keyed), return_index=True)[1]]] = False
        return repeated

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


def parse_long_table(file: FileColumns) -> LongTable:
    """Parse the seven columns of rows of a price file. Nothing is refused: what does not parse is marked."""
    numbers = {name: parse_numbers(file.columns[name]) for name in NUMERIC_COLUMNS}
    return LongTable(file, parse_dates(file.columns["date"]), parse_symbols(file.columns["symbol"]), numbers)
