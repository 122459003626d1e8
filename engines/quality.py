"""Data quality: what was counted in a price file, with the rows where each defect shows. Measures only; the gates of S1 judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from typing import Any, Final, Self

from engines.reading import Example

EXTREME_RETURN: Final = 0.5
SPLIT_TOLERANCE: Final = 0.02
MAX_LISTED_MOVES: Final = 1000


@dataclass(frozen=True, slots=True)
class Move:
    """A close-to-close move of a name between two of its own rows. ratio: close / previous close; split: "1:2" and the like when it is near one, else ""."""

    row: int
    date: str
    symbol: str
    previous_close: float
    close: float
    ratio: float
    split: str


@dataclass(frozen=True, slots=True)
class ReferenceQuality:
    """What was found in one reference table. Unusable rows and values are unknown to the panel; they decide no gate by themselves.

    n_rows             rows of the table, ragged csv rows included
    unusable_rows      without a readable date or symbol, or ragged
    unusable_values    that do not parse, are infinite, or are no possible value (a market cap or benchmark <= 0, a return < -1)
    symbols_outside    symbols that the panel does not hold
    """

    n_rows: int
    unusable_rows: int
    unusable_values: int
    symbols_outside: int


@dataclass(frozen=True, slots=True)
class Bars:
    """How the prices of a day agree.

    complete    rows of the panel with open, high, low and close; violations of these break low <= open, close <= high
    high_below_low, open_outside, close_outside   rows of the file whose high < low, whose open or close lies outside [low, high]
    """

    complete: int
    violations: int
    high_below_low: int
    open_outside: int
    close_outside: int


@dataclass(frozen=True, slots=True)
class Lives:
    """From each name's first to its last close on the panel's calendar.

    symbol_days   days of all lives; interior_gaps of these have no close, in names_with_gaps names
    late_names    names whose first close is after the panel's first date; ended_names: whose last is before its last; empty_names: without a close
    """

    symbol_days: int
    interior_gaps: int
    names_with_gaps: int
    late_names: int
    ended_names: int
    empty_names: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataQuality:
    """Counts over a price file of n_rows data rows.

    Columns go by our names. Rows of the panel are those with a key, up to as_of, the first of each key.

    missing          column -> cells that hold nothing
    unparseable      column -> cells that hold something that is no date, symbol or number
    infinite         column -> infinite numbers
    non_positive     column -> finite prices <= 0, volumes < 0
    ragged           csv rows with another number of cells than the header
    after_as_of      rows dated after as_of
    out_of_order     rows dated before an earlier row of their symbol in the file
    duplicate_exact, duplicate_conflicting   rows whose key an earlier row has, with the same values or with others
    zero_volume      rows of the panel with volume 0
    extreme_returns  moves with abs(close / previous close of the name - 1) > 0.5; extreme_moves lists the first 1000
    identical_series pairs of symbols that share the same closes over 60 common days: each copy with the first symbol it copies
    missing_member_ratio   mean share of the day's members that the panel lacks; None without a membership table
    examples         defect -> up to ten places
    """

    as_of: date
    n_rows: int
    n_symbols: int
    n_dates: int
    first_date: date
    last_date: date
    missing: Mapping[str, int]
    unparseable: Mapping[str, int]
    infinite: Mapping[str, int]
    non_positive: Mapping[str, int]
    ragged: int
    after_as_of: int
    out_of_order: int
    duplicate_exact: int
    duplicate_conflicting: int
    bars: Bars
    lives: Lives
    zero_volume: int
    extreme_returns: int
    extreme_moves: tuple[Move, ...]
    identical_series: tuple[tuple[str, str], ...]
    missing_member_ratio: float | None
    reference: Mapping[str, ReferenceQuality]
    examples: Mapping[str, tuple[Example, ...]]

    def missing_ratio(self, column: str) -> float:
        """Cells of `column` that hold nothing / rows."""
        return self.missing[column] / self.n_rows

    @property
    def empty_columns(self) -> tuple[str, ...]:
        """Columns without a single value that can be used as what the column is."""
        unusable = {name: self.missing[name] + self.unparseable[name] + self.ragged for name in self.missing}
        return tuple(name for name, count in unusable.items() if count >= self.n_rows)

    @property
    def duplicate_ratio(self) -> float:
        """Rows whose key an earlier row has / rows."""
        return (self.duplicate_exact + self.duplicate_conflicting) / self.n_rows

    @property
    def numeric_fault_count(self) -> int:
        """Infinite, non-positive and unparseable values of the numeric columns, and rows that could not be split into cells."""
        return sum(self._numeric_faults().values())

    @property
    def numeric_fault_note(self) -> str:
        """The parts of `numeric_fault_count` that are not 0."""
        return ", ".join(f"{name} {count}" for name, count in self._numeric_faults().items() if count)

    def _numeric_faults(self) -> dict[str, int]:
        faults = {f"infinite {name}": count for name, count in self.infinite.items()}
        faults |= {f"non-positive {name}": count for name, count in self.non_positive.items()}
        faults |= {f"unparseable {name}": count for name, count in self.unparseable.items() if name in self.infinite}
        return {**faults, "ragged rows": self.ragged}

    @property
    def days_to_as_of(self) -> int:
        """Calendar days from the last date of the panel to as_of; never negative, rows after as_of are not in the panel."""
        return (self.as_of - self.last_date).days

    @property
    def ohlc_consistent_ratio(self) -> float:
        """Share of the complete bars with low <= open, close <= high; 0 when there is none."""
        return 1 - self.bars.violations / self.bars.complete if self.bars.complete else 0.0

    @property
    def extreme_return_ratio(self) -> float:
        """Extreme returns / rows."""
        return self.extreme_returns / self.n_rows

    @property
    def split_like(self) -> tuple[Move, ...]:
        """Extreme moves whose ratio lies within 2 % of a simple split ratio."""
        return tuple(move for move in self.extreme_moves if move.split)

    @property
    def calendar_fault_count(self) -> int:
        """Rows without a readable date or a usable symbol, out of order, or after as_of."""
        keyless = sum(self.missing[name] + self.unparseable[name] for name in ("date", "symbol"))
        return keyless + self.out_of_order + self.after_as_of

    @property
    def interior_gap_ratio(self) -> float:
        """Symbol-days inside a name's life without a close / symbol-days of all lives; 1 when no name has a close."""
        return self.lives.interior_gaps / self.lives.symbol_days if self.lives.symbol_days else 1.0

    def to_json(self) -> dict[str, Any]:
        """JSON-able values; `from_json` is the inverse."""
        return {name: value.isoformat() if isinstance(value, date) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`, also after a trip through JSON text."""
        values = {field.name: record[field.name] for field in fields(cls)}
        values |= {name: date.fromisoformat(record[name]) for name in ("as_of", "first_date", "last_date")}
        values |= {"bars": Bars(**record["bars"]), "lives": Lives(**record["lives"])}
        values["extreme_moves"] = tuple(Move(**move) for move in record["extreme_moves"])
        values["identical_series"] = tuple((first, second) for first, second in record["identical_series"])
        values["reference"] = {name: ReferenceQuality(**found) for name, found in record["reference"].items()}
        values["examples"] = {
            name: tuple(Example(**example) for example in found) for name, found in record["examples"].items()
        }
        return cls(**values)

    def to_markdown(self) -> str:
        """The data quality report for a person: counts, then moves, copies and the first places of each defect."""
        return "\n".join([*self._summary(), *self._tables(), ""])

    def _summary(self) -> list[str]:
        bars, lives = self.bars, self.lives
        lacking = (
            ""
            if self.missing_member_ratio is None
            else f"- Members of the day that the panel lacks: {self.missing_member_ratio:.2%}"
        )
        return [
            "# Data quality",
            "",
            f"- {self.n_rows} rows, {self.n_symbols} symbols, {self.n_dates} dates, {self.first_date} to {self.last_date}; as of {self.as_of}",
            f"- Duplicates: {self.duplicate_exact} exact, {self.duplicate_conflicting} conflicting",
            f"- Order: {self.out_of_order} rows out of order, {self.after_as_of} after as_of, {self.ragged} ragged",
            f"- Bars: {bars.violations} of {bars.complete} complete ones inconsistent "
            f"(high below low {bars.high_below_low}, open outside {bars.open_outside}, close outside {bars.close_outside})",
            f"- Lives: {lives.interior_gaps} gaps in {lives.symbol_days} symbol-days, in {lives.names_with_gaps} names; "
            f"{lives.late_names} names start late, {lives.ended_names} end early, {lives.empty_names} have no close",
            f"- Moves beyond {EXTREME_RETURN:.0%}: {self.extreme_returns}, of these split-like {len(self.split_like)}; zero volume on {self.zero_volume} rows",
            *([lacking] if lacking else []),
        ]

    def _tables(self) -> list[str]:
        numbers = [
            [
                name,
                self.missing[name],
                self.unparseable[name],
                self.infinite.get(name, ""),
                self.non_positive.get(name, ""),
            ]
            for name in self.missing
        ]
        moves = [
            [move.date, move.symbol, move.previous_close, move.close, f"{move.ratio - 1:+.1%}", move.split, move.row]
            for move in self.extreme_moves
        ]
        found = [
            [name, e.row, e.date, e.symbol, e.column, e.value]
            for name, examples in self.examples.items()
            for e in examples
        ]
        tables = [
            [name, q.n_rows, q.unusable_rows, q.unusable_values, q.symbols_outside]
            for name, q in self.reference.items()
        ]
        return [
            *_table("Columns", ["column", "missing", "unparseable", "infinite", "non-positive"], numbers),
            *_table(
                "Extreme moves", ["date", "symbol", "previous close", "close", "return", "split-like", "row"], moves
            ),
            *_table(
                "Symbols that share a series",
                ["symbol", "copies"],
                [[second, first] for first, second in self.identical_series],
            ),
            *_table(
                "Reference tables",
                ["table", "rows", "unusable rows", "unusable values", "symbols outside the panel"],
                tables,
            ),
            *_table("First places", ["defect", "row", "date", "symbol", "column", "value"], found),
        ]


def _table(title: str, header: list[str], rows: list[list[Any]]) -> list[str]:
    """A markdown section with a table, or nothing without rows. Text of the file is shown as code, so that it cannot pass for markup."""
    if not rows:
        return []
    lines = ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return ["", f"## {title}", "", "| " + " | ".join(header) + " |", "|" + " --- |" * len(header), *lines]


def _cell(value: Any) -> str:
    if not isinstance(value, str):
        return str(value)
    text = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in value)
    return "`" + text.replace("`", "'").replace("|", "\N{FULLWIDTH VERTICAL LINE}") + "`" if text else ""
