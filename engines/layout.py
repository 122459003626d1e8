"""Rows of a price file into dense (dates x symbols) arrays, batch by batch; the first row of each key stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any, Final

import numpy as np

from engines.axes import Axes, TextArray
from engines.candidate import NUMERIC_COLUMNS, PRICE_COLUMNS
from engines.defects import INFINITE, NON_POSITIVE, DefectCount
from engines.long_table import BoolArray, IntArray, LongTable

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
Allocate = Callable[[str, tuple[int, int], Any], np.ndarray[Any, Any]]
"""(name, shape, dtype) -> an array of a file, so that a panel need not fit into memory."""

STRETCH_ROWS: Final = 128


class PanelLayout:
    """The panel while the file goes by. Until `finish` the cells hold the first row of each key as it was parsed, with its infinities and signs."""

    def __init__(self, axes: Axes, as_of: date, allocate: Allocate) -> None:
        self.axes = axes
        self.defects = DefectCount(as_of)
        self._allocate = allocate
        kind = "" if axes.is_panel else "whole "
        self._cells: dict[str, FloatArray] = {}
        for name in NUMERIC_COLUMNS:
            self._cells[name] = allocate(f"{kind}{name}", axes.shape, np.float64)
            self._cells[name][:] = np.nan
        self._row_number = np.zeros(axes.shape, dtype=np.int32)  # of the row that stands in each cell; 0: none
        self._last_day = np.full(len(axes.symbols), np.datetime64("0000-01-01", "D"))  # of each symbol so far

    def add(self, table: LongTable) -> None:
        """Lay out a batch of rows and count what is wrong with them."""
        keyed = np.flatnonzero(table.has_key)
        days = table.dates.values[keyed].astype("datetime64[D]")
        columns = self.axes.columns_of(table.symbols)[table.symbols.codes[keyed]]
        cells = self.axes.cells_of(days, columns)
        repeated = self._claim(cells, table.file.row_numbers[keyed].astype(np.int32))
        for name, numbers in table.numbers.items():
            self._cells[name].reshape(-1)[cells[~repeated]] = numbers.values[keyed[~repeated]]
        repeats, same = np.zeros((2, table.n_rows), dtype=bool)
        repeats[keyed] = repeated
        if repeated.any():
            same[keyed[repeated]] = self._equals_first(table, keyed[repeated], cells[repeated])
        self.defects.add(table, repeats, same, keyed[self._earlier(days, columns)])

    def _claim(self, cells: IntArray, numbers: np.ndarray[Any, np.dtype[np.int32]]) -> BoolArray:
        """Give each free cell to the first of the rows that name it; which rows came too late."""
        owner = self._row_number.reshape(-1)
        free = np.flatnonzero(owner[cells] == 0)[::-1]  # backwards, so that the first of equals is written last
        owner[cells[free]] = numbers[free]
        late: BoolArray = owner[cells] != numbers
        return late

    def _equals_first(self, table: LongTable, rows: IntArray, cells: IntArray) -> BoolArray:
        """Whether each of `rows` has the values of the row that stands in its cell, missing values being equal."""
        same = np.ones(len(rows), dtype=bool)
        for name, numbers in table.numbers.items():
            here, first = numbers.values[rows], self._cells[name].reshape(-1)[cells]
            same &= (here == first) | (np.isnan(here) & np.isnan(first))
        return same

    def _earlier(self, days: np.ndarray[Any, np.dtype[np.datetime64]], columns: IntArray) -> IntArray:
        """Places of the rows dated before the row of the same symbol that precedes them in the file."""
        if not len(days):
            return np.empty(0, dtype=np.int64)
        narrow = columns.astype(np.int16) if len(self.axes.symbols) <= np.iinfo(np.int16).max else columns
        by_symbol = np.argsort(narrow, kind="stable")
        days, columns = days[by_symbol], columns[by_symbol]
        starts = np.concatenate([[True], columns[1:] != columns[:-1]])
        before = np.concatenate([days[:1], days[:-1]])
        before[starts] = self._last_day[columns[starts]]
        ends = np.concatenate([starts[1:], [True]])
        self._last_day[columns[ends]] = days[ends]
        return np.sort(by_symbol[days < before])

    def finish(self) -> tuple[dict[str, FloatArray], np.ndarray[Any, np.dtype[np.int32]], TextArray]:
        """The columns (T, N), NaN where the file has no number, an infinity, a price <= 0 or a volume < 0; the row number behind each cell; the symbols."""
        axes, cells, numbers = self.axes, self._cells, self._row_number
        if not axes.is_panel:
            cells = {name: self._cut(name) for name in NUMERIC_COLUMNS}
            numbers = numbers[: axes.n_dates, axes.in_panel]
        for name in NUMERIC_COLUMNS:
            if self.defects.count(INFINITE, name) or self.defects.count(NON_POSITIVE, name):
                _clean(cells[name], is_price=name in PRICE_COLUMNS)
        return cells, numbers, axes.symbols[axes.in_panel]

    def _cut(self, name: str) -> FloatArray:
        """The panel's part of a column that holds more."""
        n_symbols = int(self.axes.in_panel.sum())
        part: FloatArray = self._allocate(name, (self.axes.n_dates, n_symbols), np.float64)
        for rows in stretches(self.axes.n_dates):
            part[rows] = self._cells[name][rows][:, self.axes.in_panel]
        return part


def stretches(n_dates: int) -> list[slice]:
    """Rows of a panel a few at a time, so that what is computed of them stays small."""
    return [slice(first, min(first + STRETCH_ROWS, n_dates)) for first in range(0, n_dates, STRETCH_ROWS)]


def _clean(values: FloatArray, *, is_price: bool) -> None:
    for rows in stretches(len(values)):
        part = values[rows]
        usable = np.isfinite(part) & (part > 0 if is_price else part >= 0)
        part[~usable] = np.nan
