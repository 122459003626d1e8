"""Live files: read strictly, refused by name where they are not what they must be, never mended or guessed.

returns      date, return [, cost, turnover, market]      one row a trading day, decimals of capital
positions    date, symbol, weight [, signal]              the book at the close of a date of the returns
data         the candidate's own price file as it has grown, under the column names that were frozen
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engines.candidate import Candidate
from engines.digest import sha256_file
from engines.errors import DataError
from engines.forward import forward_returns
from engines.ic import rank_ic
from engines.monitoring import Book, Reference, Returns
from engines.panel import Panel, load_panel
from engines.quality import DataQuality
from engines.store import ArrayStore

LARGEST_SCALE_RATIO: Final = 20.0
"""Live days that are typically this many times larger, or smaller, than those out of sample are in another unit: percent is 100."""

DENSITY_TOLERANCE: Final = 0.10
FEWEST_DAYS_FOR_SCALE: Final = 5
FEWEST_DAYS_FOR_DENSITY: Final = 21
LISTED: Final = 3

RETURN_COLUMNS: Final = ("date", "return")
OPTIONAL_COLUMNS: Final = ("cost", "turnover", "market")
POSITION_COLUMNS: Final = ("date", "symbol", "weight")

_MEND: Final = "correct the file at its source; nothing here fills, sorts or rescales it"
_UNITS: Final = "write decimals of capital (1 % is 0.01); nothing here rescales them"

Dates = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True)
class LiveFiles:
    """The files a monitoring is given."""

    returns: Path
    positions: Path | None = None
    data: Path | None = None

    def hashes(self) -> dict[str, dict[str, str] | None]:
        """Name and content hash of each file, for the answer."""
        given = {"returns": self.returns, "positions": self.positions, "data": self.data}
        return {
            name: None if path is None else {"path": str(path), "sha256": f"sha256:{sha256_file(path)}"}
            for name, path in given.items()
        }


@dataclass(frozen=True, slots=True, eq=False)
class NewData:
    """The price file as it has grown: its panel, and what is wrong with it."""

    panel: Panel
    quality: DataQuality


def read_book(path: Path, candidate: Candidate, reference: Reference, today: date) -> Book:
    """The live book of a returns file. DataError says what is wrong, in which row."""
    columns = _columns(path, RETURN_COLUMNS, OPTIONAL_COLUMNS)
    dates = _dates(columns, path)
    _demand_order(dates, path)
    numbers = {name: _numbers(columns, name, path) for name in columns if name != "date"}
    _demand_days(dates, candidate, reference.book.dates, today, path)
    _demand_returns(numbers, reference.book, path)
    net = numbers["return"]
    if candidate.portfolio.is_long_only:
        if "market" not in numbers:
            raise DataError(
                "a long-only book is judged by its return over the market, and the file has no column market",
                where=str(path),
                remedy="add the market's daily return, of the benchmark that was frozen",
            )
        net = net - numbers["market"]
    return Book(dates, net, numbers.get("market"), numbers.get("cost"), numbers.get("turnover"))


def read_data(path: Path, candidate: Candidate, last: np.datetime64) -> NewData:
    """The candidate's price file as it lies now, up to the last live date. DataError when it is not of the declared form."""
    config = candidate.config()
    grown = {"path": str(path.resolve()), "as_of": str(last), "reference": {}, "absent": {}}
    config["data"] = {**config["data"], **grown}
    config["signal"] = {**config["signal"], "neutralise": []}
    with TemporaryDirectory(prefix="stagegate-live-") as folder:
        return NewData(*load_panel(Candidate.from_config(config, candidate.base_dir), ArrayStore(Path(folder))))


def known_symbols(candidate: Candidate) -> NDArray[np.str_]:
    """Every symbol of the price file that was frozen, (N,) text. DataError when it cannot be read."""
    from engines.parsing import parse_symbols
    from engines.reading import read_columns

    names = {"symbol": candidate.data.file_columns["symbol"]}
    found = read_columns(candidate.data_path, names, where=str(candidate.data_path))
    return np.array(parse_symbols(found.columns["symbol"]).names)


def demand_calendar(book: Book, panel: Panel, path: Path) -> None:
    """DataError when the live dates are not exactly the market's between the first and the last of them."""
    inside = panel.dates[(panel.dates >= book.dates[0]) & (panel.dates <= book.dates[-1])]
    for found, what in (
        (np.setdiff1d(inside, book.dates), "lacks dates on which the market traded"),
        (np.setdiff1d(book.dates, inside), "has dates on which the market did not trade"),
    ):
        if found.size:
            raise DataError(f"the file {what}: {_listed(found)}", where=str(path), remedy=_MEND)


def with_positions(
    book: Book, path: Path, known: NDArray[Any], candidate: Candidate, panel: Panel | None, reference: Reference
) -> Book:
    """The book with its exposures, and with the ICs of the signals where prices are at hand. `known`: the symbols there are, (N,).

    An IC is the daily rank correlation of the signals in the file with the forward return of the frozen horizon, delay and execution price,
    over at least min_names names, as s3 measured it.
    """
    from engines.parsing import parse_symbols

    columns = _columns(path, POSITION_COLUMNS, ("signal",))
    dates, weights = _dates(columns, path), _numbers(columns, "weight", path)
    symbols = parse_symbols(columns["symbol"])
    names = np.array(symbols.names)
    if (symbols.codes < 0).any():
        raise DataError("a symbol is empty or unusable", where=f"{path}, {_row(symbols.codes < 0)}", remedy=_MEND)
    unknown = sorted(set(symbols.names) - set(known.tolist()))
    if unknown:
        raise DataError(
            f"{len(unknown)} of {len(names)} names are unknown to the market data: {', '.join(unknown[:LISTED])}",
            where=str(path),
            remedy="correct the symbols, or hand over the price file as it has grown with --data",
        )
    day, strange = _place(dates, book.dates)
    if strange.size:
        raise DataError(f"positions of dates without a live return: {_listed(strange)}", where=str(path), remedy=_MEND)
    _demand_single(day, symbols.codes, len(names), path)
    gross = _sums(np.abs(weights), day, book.n_days)
    demand_scale("the gross exposure", gross[np.isfinite(gross)], _given(reference.book.gross_exposure), path)
    priced = "signal" in columns and panel is not None
    return replace(
        book,
        gross_exposure=gross,
        net_exposure=_sums(weights, day, book.n_days),
        ic=_ics(columns, dates, names[symbols.codes], candidate, panel, book.dates, path) if priced and panel else None,
    )


def _ics(
    columns: Mapping[str, Any],
    dates: Dates,
    symbols: NDArray[Any],
    candidate: Candidate,
    panel: Panel,
    live_dates: Dates,
    path: Path,
) -> Returns:
    """Rank IC of each live date, (D,); NaN where there are no signals or their label ends after the data."""
    values = _numbers(columns, "signal", path, optional=True)
    rows = np.searchsorted(panel.dates, dates)
    signal = np.full((panel.n_dates, panel.n_symbols), np.nan)
    signal[rows, np.searchsorted(panel.symbols, symbols)] = values
    portfolio = candidate.portfolio
    forward = forward_returns(panel, portfolio.execution_delay_days, portfolio.horizon_days, portfolio.execution_price)
    daily = rank_ic(signal, forward, np.isfinite(signal), candidate.universe.min_names)
    return daily[np.searchsorted(panel.dates, live_dates)]


def _columns(path: Path, required: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, Any]:
    from engines.reading import read_columns

    names = {name: name for name in (*required, *optional)}
    found = read_columns(path, names, where=str(path), optional=optional)
    if found.n_ragged:
        raise DataError(
            f"{found.n_ragged} rows have another number of cells than the header",
            where=f"{path}, row {found.ragged[0].row}",
            remedy=_MEND,
        )
    return dict(found.columns)


def _dates(columns: Mapping[str, Any], path: Path) -> Dates:
    from engines.parsing import parse_dates

    values = parse_dates(columns["date"]).values
    if np.isnat(values).any():
        raise DataError(
            "a date is missing or unreadable", where=f"{path}, {_row(np.isnat(values))}", remedy="write YYYY-MM-DD"
        )
    return values


def _numbers(columns: Mapping[str, Any], name: str, path: Path, *, optional: bool = False) -> Returns:
    from engines.parsing import parse_numbers

    parsed = parse_numbers(columns[name])
    bad = np.isinf(parsed.values) | parsed.unparseable | (np.zeros_like(parsed.missing) if optional else parsed.missing)
    if bad.any():
        shown = str(columns[name][int(np.flatnonzero(bad)[0])].as_py())[:40]
        raise DataError(f"{name} is {shown!r}, expected a finite number", where=f"{path}, {_row(bad)}", remedy=_MEND)
    return parsed.values


def _demand_order(dates: Dates, path: Path) -> None:
    step = np.diff(dates).astype(np.int64)
    for bad, what in (
        (step == 0, "stands there twice"),
        (step < 0, "comes after a later date: the rows are not sorted"),
    ):
        if bad.any():
            at = int(np.flatnonzero(bad)[0]) + 1
            raise DataError(f"{dates[at]} {what}", where=f"{path}, row {at + 1}", remedy=_MEND)


def _demand_days(dates: Dates, candidate: Candidate, known: Dates, today: date, path: Path) -> None:
    """Live dates lie after the frozen as_of and not in the future, on weekdays the market knows, as densely as it trades, without a gap."""
    as_of = np.datetime64(candidate.data.as_of)
    if dates[0] <= as_of:
        raise DataError(
            f"the first live date is {dates[0]}, and the research data reach to {as_of}: no day can be both",
            where=str(path),
            remedy="hand over the days on which money was on it",
        )
    if dates[-1] > np.datetime64(today):
        raise DataError(f"the last date is {dates[-1]}, which is after {today}", where=str(path), remedy=_MEND)
    strange = dates[~np.isin(_weekday(dates), _weekday(known))]
    if strange.size:
        raise DataError(
            f"{strange.size} dates fall on weekdays on which the market never traded: {_listed(strange)}",
            where=str(path),
            remedy="this is another calendar than the frozen market's; " + _MEND,
        )
    longest, gaps = int(np.diff(known).astype(np.int64).max()), np.diff(dates).astype(np.int64)
    if (gaps > longest).any():
        at = int(np.flatnonzero(gaps > longest)[0])
        raise DataError(
            f"nothing between {dates[at]} and {dates[at + 1]}: {gaps[at]} days, and the market never paused for more than {longest}",
            where=f"{path}, row {at + 2}",
            remedy="add the missing days; a day without trading has a return too",
        )
    usual, found = (float(each.size / (1 + (each[-1] - each[0]).astype(int))) for each in (known, dates))
    if dates.size >= FEWEST_DAYS_FOR_DENSITY and abs(found / usual - 1.0) > DENSITY_TOLERANCE:
        raise DataError(
            f"{dates.size} dates from {dates[0]} to {dates[-1]} are {found / usual:.2f} times as many as the market has",
            where=str(path),
            remedy="this is another calendar than the frozen market's; " + _MEND,
        )


def _demand_returns(numbers: Mapping[str, Returns], book: Book, path: Path) -> None:
    """Decimals: no day loses everything, costs and turnover are not negative, and no column is typically of another magnitude than out of sample."""
    usual = {"return": book.net, "market": book.market, "cost": book.cost, "turnover": book.turnover}
    for name, values in numbers.items():
        demand_scale(f"column {name}", values, _given(usual[name]), path)
    for name in ("return", "market"):
        if name in numbers and (numbers[name] <= -1.0).any():
            at = int(np.flatnonzero(numbers[name] <= -1.0)[0])
            raise DataError(
                f"{name} is {numbers[name][at]:g}: no day loses more than all",
                where=f"{path}, row {at + 1}",
                remedy=_UNITS,
            )
    for name in ("cost", "turnover"):
        if name in numbers and (numbers[name] < 0.0).any():
            at = int(np.flatnonzero(numbers[name] < 0.0)[0])
            raise DataError(
                f"{name} is {numbers[name][at]:g}, expected at least 0", where=f"{path}, row {at + 1}", remedy=_MEND
            )


def demand_scale(what: str, live: Returns, usual: Returns, path: Path) -> None:
    """DataError when live values are typically of another magnitude than those out of sample: percent or basis points for decimals.

    Medians of the sizes that are not 0; asked when both sides have five of them.
    """
    sizes = [np.abs(series[np.isfinite(series) & (series != 0.0)]) for series in (live, usual)]
    if min(size.size for size in sizes) < FEWEST_DAYS_FOR_SCALE:
        return
    ratio = float(np.median(sizes[0]) / np.median(sizes[1]))
    if not 1.0 / LARGEST_SCALE_RATIO < ratio < LARGEST_SCALE_RATIO:
        raise DataError(
            f"{what} is typically {ratio:.3g} times as large as out of sample, as percent or another unit would be",
            where=str(path),
            remedy=_UNITS,
        )


def _demand_single(day: NDArray[np.int64], codes: NDArray[np.int64], n_names: int, path: Path) -> None:
    keys, first = np.unique(day * n_names + codes, return_index=True)
    if keys.size < day.size:
        repeated = np.setdiff1d(np.arange(day.size), first)
        raise DataError(
            "a name stands there twice on one date", where=f"{path}, row {int(repeated[0]) + 1}", remedy=_MEND
        )


def _place(dates: Dates, known: Dates) -> tuple[NDArray[np.int64], Dates]:
    """Position of each date among `known`, and those that are not there."""
    at = np.minimum(np.searchsorted(known, dates), known.size - 1)
    return at, np.unique(dates[known[at] != dates])


def _sums(weights: Returns, day: NDArray[np.int64], n_days: int) -> Returns:
    total = np.bincount(day, weights=weights, minlength=n_days)
    return np.where(np.bincount(day, minlength=n_days) > 0, total, np.nan)


def _weekday(dates: Dates) -> NDArray[np.int64]:
    return (dates.astype(np.int64) + 3) % 7


def _given(series: Returns | None) -> Returns:
    return np.empty(0) if series is None else series


def _listed(dates: Dates) -> str:
    def shown() -> Iterator[str]:
        yield from map(str, dates[:LISTED])
        if dates.size > LISTED:
            yield f"and {dates.size - LISTED} more"

    return ", ".join(shown())


def _row(bad: NDArray[np.bool_]) -> str:
    return f"row {int(np.flatnonzero(bad)[0]) + 1}"
