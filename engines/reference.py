"""Reference tables: what is known of a name beside its prices.

Each is joined as the last value known on or before each date, never backwards: before the first value a name's market
cap is NaN, its sector -1, and it is no member. Of several rows with one key the first of the file stands. Names that
are not in the panel are left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engines.candidate import REFERENCE_COLUMNS, Candidate, ReferenceSpec
from engines.errors import DataError
from engines.panel import DEFAULT_DELISTING_RETURN, BoolArray, DateArray, FloatArray, IntArray, TextArray
from engines.parsing import Numbers, parse_dates, parse_numbers, parse_symbols
from engines.quality import ReferenceQuality
from engines.reading import FileColumns, read_columns, read_first_rows

OPTIONAL_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "sector": ("date",),
    "delistings": ("date", "reason", "return"),
}
MERGER_REASONS: Final = frozenset({"merger", "merged", "acquired", "acquisition"})
"""Words in a delisting's reason that say its holders were paid: return 0 when the table gives none."""

MAX_SECTORS: Final = int(np.iinfo(np.int16).max)


@dataclass(frozen=True, slots=True, eq=False)
class References:
    """The declared tables on the panel's axes, by the names of Panel's fields, and what was found in each by its own.

    missing_member_ratio: mean over dates of the share of the day's members whose symbol the panel does not hold; None
    without a membership table.
    """

    arrays: Mapping[str, np.ndarray[Any, Any]]
    sector_names: tuple[str, ...]
    quality: Mapping[str, ReferenceQuality]
    missing_member_ratio: float | None


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """A table and those of its rows that can be placed on the panel's axes, `dates` (T,) and `symbols` (N,).

    rows: positions in the table, sorted by date and then backwards through the file, so that of equal keys the first of
    the file is written last; date_of: first date of the panel on or after the row's own, T for none; symbol_of: index
    into the panel's symbols. A table without a date column holds on all dates, one without symbols for symbol 0.
    """

    table: FileColumns
    dates: DateArray
    symbols: TextArray
    rows: IntArray
    date_of: IntArray
    symbol_of: IntArray
    unusable_rows: int
    symbols_outside: int

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.dates), len(self.symbols)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Joined:
    """What one table adds to a panel."""

    arrays: dict[str, np.ndarray[Any, Any]]
    unusable_values: int = 0
    sector_names: tuple[str, ...] = ()
    missing_member_ratio: float | None = None


def check_reference_headers(candidate: Candidate) -> None:
    """Look at the first rows of every declared reference table.

    Raises:
        DataError: a table cannot be read, is empty or lacks a declared column.

    """
    for name, spec in candidate.data.reference.items():
        columns, optional = _wanted_columns(name, spec)
        read_first_rows(candidate.reference_path(name), columns, where=spec.path, optional=optional)


def read_references(candidate: Candidate, dates: DateArray, symbols: TextArray) -> References:
    """Read every declared reference table and join it to a panel's axes: `dates` (T,), `symbols` (N,).

    Raises:
        DataError: a table cannot be read, is empty, lacks a declared column, or names more than 32767 sectors.

    """
    arrays: dict[str, np.ndarray[Any, Any]] = {"delisting_return": np.full(len(symbols), DEFAULT_DELISTING_RETURN)}
    quality: dict[str, ReferenceQuality] = {}
    sector_names: tuple[str, ...] = ()
    missing_member_ratio: float | None = None
    for name, spec in candidate.data.reference.items():
        columns, optional = _wanted_columns(name, spec)
        table = read_columns(candidate.reference_path(name), columns, where=spec.path, optional=optional)
        placed = _place(table, dates, symbols)
        joined = _JOINS[name](placed)
        arrays |= joined.arrays
        sector_names = joined.sector_names or sector_names
        missing_member_ratio = joined.missing_member_ratio if name == "membership" else missing_member_ratio
        quality[name] = ReferenceQuality(
            len(table.row_numbers) + table.n_ragged,
            placed.unusable_rows + table.n_ragged,
            joined.unusable_values,
            placed.symbols_outside,
        )
    return References(arrays, sector_names, quality, missing_member_ratio)


def _wanted_columns(name: str, spec: ReferenceSpec) -> tuple[dict[str, str], tuple[str, ...]]:
    """Our name -> the file's, and those that the file may lack: optional ones that the candidate does not map itself."""
    columns = {ours: spec.columns.get(ours, ours) for ours in REFERENCE_COLUMNS[name]}
    return columns, tuple(ours for ours in OPTIONAL_COLUMNS.get(name, ()) if ours not in spec.columns)


def _place(table: FileColumns, dates: DateArray, symbols: TextArray) -> _Placed:
    count = len(table.row_numbers)
    day = parse_dates(table.columns["date"]).values if "date" in table.columns else np.full(count, dates[0])
    usable = ~np.isnat(day)
    symbol_of, outside = np.zeros(count, dtype=np.int64), 0
    if "symbol" in table.columns:
        parsed = parse_symbols(table.columns["symbol"])
        index = {symbol: number for number, symbol in enumerate(symbols.tolist())}
        of_name = np.array([index.get(name, -1) for name in parsed.names] + [-1], dtype=np.int64)
        symbol_of, outside = of_name[parsed.codes], int((of_name[:-1] < 0).sum())
        usable &= parsed.codes >= 0
    rows = np.flatnonzero(usable & (symbol_of >= 0))
    rows = rows[np.lexsort((-rows, day[rows]))]
    date_of = np.searchsorted(dates, day[rows])
    return _Placed(table, dates, symbols, rows, date_of, symbol_of[rows], int((~usable).sum()), outside)


def _last_known(placed: _Placed, known: BoolArray) -> IntArray:
    """(T, N) which of the placed rows that are `known` is the last on or before each date; -1 before the first.

    Counts the known rows only: 0 is the first of them.
    """
    date_of, symbol_of = placed.date_of[known], placed.symbol_of[known]
    inside = np.flatnonzero(date_of < len(placed.dates))
    latest = np.full(placed.shape, -1)
    latest[date_of[inside], symbol_of[inside]] = inside
    return np.asarray(np.maximum.accumulate(latest, axis=0))


def _positive(placed: _Placed, column: str) -> tuple[FloatArray, int]:
    """(T, N) last known positive value, NaN before the first; and how many values of the table are unusable."""
    numbers = parse_numbers(placed.table.columns[column])
    possible = np.isfinite(numbers.values) & (numbers.values > 0)
    known = possible[placed.rows]
    values = np.append(numbers.values[placed.rows[known]], np.nan)
    return values[_last_known(placed, known)], _unusable(numbers, possible)


def _unusable(numbers: Numbers, possible: BoolArray) -> int:
    return int((~possible & ~numbers.missing).sum())


def _market_caps(placed: _Placed) -> _Joined:
    market_cap, unusable = _positive(placed, "market_cap")
    return _Joined(arrays={"market_cap": market_cap}, unusable_values=unusable)


def _benchmark(placed: _Placed) -> _Joined:
    close, unusable = _positive(placed, "close")
    return _Joined(arrays={"benchmark_close": np.ascontiguousarray(close[:, 0])}, unusable_values=unusable)


def _sectors(placed: _Placed) -> _Joined:
    parsed = parse_symbols(placed.table.columns["sector"])
    if len(parsed.names) > MAX_SECTORS:
        raise DataError(
            f"the table names {len(parsed.names)} sectors, expected at most {MAX_SECTORS}",
            where="[data.reference] sector",
            remedy="declare the column that holds the sector",
        )
    codes = parsed.codes[placed.rows]
    values = np.append(codes[codes >= 0], -1).astype(np.int16)
    unusable = int(((parsed.codes < 0) & ~parsed.missing).sum())
    sector = values[_last_known(placed, codes >= 0)]
    return _Joined(arrays={"sector": sector}, unusable_values=unusable, sector_names=parsed.names)


def _members(placed: _Placed) -> _Joined:
    """Whether the latest list on or before each date holds the name; before the first list nobody is a member."""
    columns = placed.table.columns
    day, symbols = parse_dates(columns["date"]).values, parse_symbols(columns["symbol"])
    usable = ~np.isnat(day) & (symbols.codes >= 0)
    lists, list_of = np.unique(day[usable], return_inverse=True)
    n_names = max(len(symbols.names), 1)
    sizes = np.bincount(np.unique(list_of * n_names + symbols.codes[usable]) // n_names, minlength=len(lists))
    on_list = np.zeros((len(lists) + 1, len(placed.symbols)), dtype=bool)
    on_list[np.searchsorted(lists, day[placed.rows]), placed.symbol_of] = True
    latest = np.searchsorted(lists, placed.dates, side="right") - 1
    known = latest[latest >= 0]
    held = on_list[:-1].sum(axis=1)
    missing = float((1 - held[known] / sizes[known]).mean()) if len(known) else 1.0
    return _Joined(arrays={"member": on_list[latest]}, missing_member_ratio=missing)


def _delisting_returns(placed: _Placed) -> _Joined:
    """The return after the last close: the table's own, 0 for a merger without one, else the default.

    A row dated after the panel's last date is unknown to it.
    """
    columns = placed.table.columns
    count = len(placed.table.row_numbers)
    nothing = Numbers(np.full(count, np.nan), np.ones(count, dtype=bool), np.zeros(count, dtype=bool))
    numbers = parse_numbers(columns["return"]) if "return" in columns else nothing
    possible = np.isfinite(numbers.values) & (numbers.values >= -1)
    reasons = columns["reason"].to_pylist() if "reason" in columns else [""] * count
    merged = [bool(MERGER_REASONS & set(str(reason).casefold().split())) for reason in reasons]
    value = np.where(possible, numbers.values, np.where(merged, 0.0, DEFAULT_DELISTING_RETURN))
    known = placed.date_of < len(placed.dates)
    returns = np.full(len(placed.symbols), DEFAULT_DELISTING_RETURN)
    returns[placed.symbol_of[known]] = value[placed.rows[known]]
    return _Joined(arrays={"delisting_return": returns}, unusable_values=_unusable(numbers, possible))


_JOINS: Final[Mapping[str, Callable[[_Placed], _Joined]]] = {
    "sector": _sectors,
    "market_cap": _market_caps,
    "membership": _members,
    "benchmark": _benchmark,
    "delistings": _delisting_returns,
}
