"""The data contract: what the values of the long price table must satisfy, as a pandera schema.

    date            not after as_of
    open .. close   finite, positive
    volume          finite, not negative
    row             high >= low; low <= open <= high; low <= close <= high; one row a (symbol, date)

Each rule is stated here and nowhere else; engines.quality counts what breaks it. What a cell must look like to be a date, a symbol or a number at all
is engines.parsing's. pandas and pandera are imported when called: only a build needs them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from engines.candidate import NUMERIC_COLUMNS
from engines.errors import DataError
from engines.long_table import BoolArray, IntArray, LongTable, parse_long_table
from engines.reading import FileColumns

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pandera

ROW: Final = "row"
"""Stands for the column in a rule about several columns of a row."""


ROW_RULES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "high_not_below_low": lambda row: ~(row["high"] < row["low"]),
    "open_in_range": lambda row: ~((row["open"] < row["low"]) | (row["open"] > row["high"])),
    "close_in_range": lambda row: ~((row["close"] < row["low"]) | (row["close"] > row["high"])),
}
"""Whether the prices of each row agree, of anything that holds the four by name; missing values disagree with nothing."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the contract: the column it is about, or ROW, and its name."""

    column: str
    name: str


def breaches(table: LongTable, as_of: date, repeats: BoolArray | None = None) -> dict[Rule, IntArray]:
    """The rows (positions in `table`, in the order of the file) that break each rule; a rule that holds everywhere is absent. Missing values break none.

    repeats: (M,) whether an earlier row of the file has the row's key, for a table that is a batch of it; found in the table itself when left out.
    """
    import pandera.pandas as pandera

    frame = _frame(table, table.repeats() if repeats is None else repeats)
    try:
        with _without_hypothesis():
            _schema(as_of).validate(frame, lazy=True, inplace=True)
    except pandera.errors.SchemaErrors as error:
        return dict(map(_breach, error.schema_errors))
    return {}


@contextmanager
def _without_hypothesis() -> Iterator[None]:
    """pandera's first validation imports hypothesis where that is installed, for strategies that no contract asks for: a third of a second of each build."""
    if "hypothesis" in sys.modules:
        yield
        return
    sys.modules["hypothesis"] = None  # type: ignore[assignment]  # what Python calls a module that is not to be found
    try:
        yield
    finally:
        del sys.modules["hypothesis"]


def _breach(failure: pandera.errors.SchemaError) -> tuple[Rule, IntArray]:
    if failure.check_output is None:
        raise DataError(
            f"the price table has lost its form: {failure}",
            where="data contract",
            remedy="report this with the file's header",
        )
    return Rule(str(failure.schema.name or ROW), str(failure.check.name)), np.flatnonzero(
        ~failure.check_output.to_numpy(dtype=bool)
    )


@cache
def _schema(as_of: date) -> pandera.DataFrameSchema:
    import pandera.pandas as pandera

    as_of_day = np.datetime64(as_of, "s")
    columns = {
        "date": pandera.Column(
            "datetime64[s]", _rule("not_after_as_of", lambda days: ~(days > as_of_day)), nullable=True
        )
    }
    columns |= {name: _numeric_column(lowest_excluded=name != "volume") for name in NUMERIC_COLUMNS}
    rows = [_rule(name, holds) for name, holds in ROW_RULES.items()]
    rows.append(_rule("unique_key", lambda row: ~row["repeats_key"]))
    return pandera.DataFrameSchema(columns | {"repeats_key": pandera.Column("bool")}, checks=rows, strict=True)


def _numeric_column(*, lowest_excluded: bool) -> pandera.Column:
    import pandera.pandas as pandera

    finite = _rule("finite", lambda values: ~np.isinf(values))
    positive = _rule("positive", lambda values: ~((values <= 0) & np.isfinite(values)))
    not_negative = _rule("not_negative", lambda values: ~((values < 0) & np.isfinite(values)))
    return pandera.Column("float64", [finite, positive if lowest_excluded else not_negative], nullable=True)


def _rule(name: str, holds: Callable[[Any], Any]) -> pandera.Check:
    """A vectorised check that calls missing values good. pandera need not list failure cases: a check's mask is complete, and cheap on bad files."""
    import pandera.pandas as pandera

    return pandera.Check(holds, name=name, ignore_na=False, n_failure_cases=1)


def _frame(table: LongTable, repeats: BoolArray) -> pd.DataFrame:
    import pandas as pd

    columns = {name: numbers.values for name, numbers in table.numbers.items()}
    return pd.DataFrame(
        {
            "date": table.dates.values.astype("datetime64[s]"),
            "repeats_key": repeats,
            **columns,
        },
        copy=False,
    )


def first_row_faults(rows: FileColumns, as_of: date) -> tuple[str, ...]:
    """How the first rows of a price file contradict the contract, as sentences; empty when they do not.

    One bad row is a defect that S1 counts. What most of the first rows break is a contradiction: another column, unit or key than declared.
    """
    table = parse_long_table(rows)
    most = (table.n_rows + rows.n_ragged) / 2
    found = [(column, "hold nothing that can be read", int(mask.sum())) for column, mask in unreadable(table).items()]
    found += [
        (rule.column, f"break the rule {rule.name}", len(broken)) for rule, broken in breaches(table, as_of).items()
    ]
    found.append((ROW, "have another number of cells than the header", rows.n_ragged))
    return tuple(
        f"{column}: {count} of the first {2 * most:.0f} rows {what}" for column, what, count in found if count > most
    )


def unreadable(table: LongTable) -> dict[str, BoolArray]:
    """column -> (M,) whether the cell holds something that is no date, usable symbol or number; a missing value is not unreadable."""
    masks = {
        "date": np.isnat(table.dates.values) & ~table.dates.missing,
        "symbol": (table.symbols.codes < 0) & ~table.symbols.missing,
    }
    return masks | {name: numbers.unparseable for name, numbers in table.numbers.items()}
