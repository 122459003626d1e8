"""The desk's live book as stagegate.toml declares it: a csv of date and return that a candidate is compared with at s4, pinned by the freeze."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.errors import DataError
from engines.parsing import parse_dates, parse_numbers
from engines.reading import read_columns

MEND = "write one row a trading day: date, return (decimal of capital, after costs), in the order of the dates"


@dataclass(frozen=True, slots=True, eq=False)
class LiveBook:
    """Daily net returns of what runs. D days."""

    dates: NDArray[np.datetime64]  # (D,) increasing
    returns: NDArray[np.float64]  # (D,) decimal


def read_live_book(path: Path) -> LiveBook:
    """Read the live book's file. DataError names the row that is no day of a book."""
    columns = read_columns(path, {"date": "date", "return": "return"}, where=str(path))
    if columns.n_ragged:
        raise DataError("rows have another number of cells than the header", where=str(path), remedy=MEND)
    dates, parsed = parse_dates(columns.columns["date"]).values, parse_numbers(columns.columns["return"])
    unusable = np.isnat(dates) | ~np.isfinite(parsed.values) | (parsed.values <= -1.0)
    unusable[1:] |= dates[1:] <= dates[:-1]
    if unusable.any():
        row = int(np.flatnonzero(unusable)[0])
        shown = f"{dates[row]}, {parsed.values[row]:g}"
        raise DataError(
            f"the live book is not readable, sorted and without repetition: {shown}",
            where=f"{path}, row {row + 1}",
            remedy=MEND,
        )
    return LiveBook(dates, parsed.values)
