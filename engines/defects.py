"""What is wrong with the rows of a price file, counted batch by batch: how often each defect occurs, and the first places where it shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

import numpy as np

from engines.candidate import NUMERIC_COLUMNS, PRICE_COLUMNS
from engines.contract import ROW, Rule, breaches, unreadable
from engines.long_table import BoolArray, IntArray, LongTable
from engines.reading import MAX_EXAMPLES, Example

BAR_RULES: Final = ("high_not_below_low", "open_in_range", "close_in_range")
MISSING, UNPARSEABLE, INFINITE, NON_POSITIVE = "missing", "unparseable", "infinite", "non-positive"


class DefectCount:
    """Counts and first places of each defect over the batches added so far."""

    def __init__(self, as_of: date) -> None:
        self.n_rows = 0
        self.n_ragged = 0
        self._as_of = as_of
        self._counts: dict[tuple[str, str], int] = {}
        self._places: dict[tuple[str, str], tuple[Example, ...]] = {}
        self._ragged: tuple[Example, ...] = ()

    def add(self, table: LongTable, repeats: BoolArray, same_as_first: BoolArray, out_of_order: IntArray) -> None:
        """Count a batch.

        repeats: (M,) rows whose key an earlier row of the file has; same_as_first: (M,) those of them with that row's values; out_of_order: rows
        dated before the row of the same symbol that precedes them.
        """
        self.n_rows += table.n_rows + table.file.n_ragged
        self.n_ragged += table.file.n_ragged
        self._ragged = (*self._ragged, *table.file.ragged)[:MAX_EXAMPLES]
        broken = breaches(table, self._as_of, repeats)
        for defect, rows in _defects(table, broken, same_as_first, out_of_order).items():
            self._counts[defect] = self._counts.get(defect, 0) + len(rows)
            told = self._places.get(defect, ())
            if len(told) < MAX_EXAMPLES and len(rows):
                self._places[defect] = (*told, *table.examples(rows, defect[1]))[:MAX_EXAMPLES]

    def count(self, defect: str, column: str = "") -> int:
        """How often a defect occurs."""
        return self._counts[defect, column]

    def by_column(self, defect: str) -> dict[str, int]:
        """How often a defect occurs in each column that it can occur in."""
        return {column: count for (name, column), count in self._counts.items() if name == defect}

    def examples(self) -> dict[str, tuple[Example, ...]]:
        """The first places of each defect that occurs."""
        places = {
            f"{defect} {column}".strip(): self._places[defect, column]
            for defect, column in self._counts
            if (defect, column) in self._places
        }
        return places | ({"ragged": self._ragged} if self._ragged else {})


def _defects(
    table: LongTable, broken: Mapping[Rule, IntArray], same_as_first: BoolArray, out_of_order: IntArray
) -> dict[tuple[str, str], IntArray]:
    """(defect, column or "") -> rows of the table, in its order."""

    def breaking(column: str, rule: str) -> IntArray:
        return broken.get(Rule(column, rule), np.empty(0, dtype=np.int64))

    missing = {"date": table.dates.missing, "symbol": table.symbols.missing} | {
        name: numbers.missing for name, numbers in table.numbers.items()
    }
    defects = {(MISSING, name): np.flatnonzero(mask) for name, mask in missing.items()}
    defects |= {(UNPARSEABLE, name): np.flatnonzero(mask) for name, mask in unreadable(table).items()}
    defects |= {(INFINITE, name): breaking(name, "finite") for name in NUMERIC_COLUMNS}
    defects |= {
        (NON_POSITIVE, name): breaking(name, "positive" if name in PRICE_COLUMNS else "not_negative")
        for name in NUMERIC_COLUMNS
    }
    defects |= {(rule, ""): breaking(ROW, rule) for rule in BAR_RULES}
    duplicates = breaking(ROW, "unique_key")
    same = same_as_first[duplicates]
    defects |= {("exact duplicate", ""): duplicates[same], ("conflicting duplicate", ""): duplicates[~same]}
    return defects | {
        ("out of order", "date"): out_of_order,
        ("after as_of", "date"): breaking("date", "not_after_as_of"),
    }
