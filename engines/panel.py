"""The panel: a long OHLCV file as dense (dates x symbols) arrays, read-only, memory-mapped, keyed by the content of every file behind it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from engines.candidate import Candidate
from engines.digest import sha256_file, sha256_json
from engines.errors import DataError
from engines.file_digests import FileDigests
from engines.quality import DataQuality
from engines.store import ArrayStore, Scratch

if TYPE_CHECKING:
    from engines.reading import FileHeader

DEFAULT_DELISTING_RETURN: Final = -0.30
"""Return of an unexplained delisting; Shumway (1997), The Delisting Bias in CRSP Data, Journal of Finance 52."""

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]
CodeArray = np.ndarray[Any, np.dtype[np.int16]]
BoolArray = np.ndarray[Any, np.dtype[np.bool_]]
DateArray = np.ndarray[Any, np.dtype[np.datetime64]]
TextArray = np.ndarray[Any, np.dtype[np.str_]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Panel:
    """A market on its own calendar: T dates, N symbols.

    dates             (T,) datetime64[D], strictly increasing: the sorted union of the file's dates up to as_of
    symbols           (N,) text, sorted
    open, high, low, close   (T, N) prices > 0 in the file's currency; NaN where the file has none. Nothing is filled
    volume            (T, N) shares >= 0; NaN where the file has none
    last_close        (N,) index of the name's last close in the whole file, -1 when it has none
    delisting_return  (N,) decimal return after the last close, for a name that is delisted
    file_dates        number of dates of the whole file: a name is delisted iff last_close < file_dates - 1
    market_cap        (T, N) in the file's currency, the last value known on each date, NaN before the first; None when not declared
    sector            (T, N) index into sector_names, -1 unknown; None when not declared
    member            (T, N) whether the latest membership list on or before the date holds the name; None when not declared
    benchmark_close   (T,) the last value known on each date, NaN before the first; None when not declared
    content_sha256    what the panel was made from: files, column maps, as_of; another value for a cut panel
    """

    dates: DateArray
    symbols: TextArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    last_close: IntArray
    delisting_return: FloatArray
    file_dates: int
    content_sha256: str
    market_cap: FloatArray | None = None
    sector: CodeArray | None = None
    sector_names: tuple[str, ...] = ()
    member: BoolArray | None = None
    benchmark_close: FloatArray | None = None

    def __post_init__(self) -> None:
        """Make every array read-only. DataError when shapes disagree or the dates are not strictly increasing."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                _check_shape(field.name, value, self.n_dates, self.n_symbols)
                view = value.view()
                view.flags.writeable = False
                object.__setattr__(self, field.name, view)
        if not (self.dates[1:] > self.dates[:-1]).all():
            raise DataError(
                "the dates of a panel must be strictly increasing", where="Panel", remedy="sort and deduplicate them"
            )

    @property
    def n_dates(self) -> int:
        """T."""
        return len(self.dates)

    @property
    def n_symbols(self) -> int:
        """N."""
        return len(self.symbols)

    def index_of(self, day: np.datetime64) -> int:
        """Index of the first date on or after `day`; n_dates when there is none."""
        return int(np.searchsorted(self.dates, day))

    def until(self, stop: int) -> Self:
        """The first `stop` dates, with all that is known of delistings kept: what happened to a name after the cut still stands in last_close.

        Raises:
            DataError: `stop` is outside 1 .. n_dates.

        """
        return self._cut(stop, "until")

    def as_known_at(self, stop: int) -> Self:
        """What a file that ends with date `stop - 1` would give: no trace of a later close, delisting or list.

        Raises:
            DataError: `stop` is outside 1 .. n_dates.

        """
        cut = self._cut(stop, "as_known_at")
        last_close = last_finite_row(cut.close)
        ended = (last_close == self.last_close) & (last_close < stop - 1)
        return replace(
            cut,
            last_close=last_close,
            delisting_return=np.where(ended, self.delisting_return, DEFAULT_DELISTING_RETURN),
            file_dates=stop,
        )

    def _cut(self, stop: int, how: str) -> Self:
        if not 1 <= stop <= self.n_dates:
            raise DataError(
                f"a panel of {self.n_dates} dates cannot be cut to {stop}",
                where="Panel",
                remedy="cut to at least 1 and at most all dates",
            )
        by_date = (
            "dates",
            "open",
            "high",
            "low",
            "close",
            "volume",
            "market_cap",
            "sector",
            "member",
            "benchmark_close",
        )
        parts = {name: value[:stop] for name in by_date if (value := getattr(self, name)) is not None}
        return replace(self, **parts, content_sha256=sha256_json([self.content_sha256, how, stop]))


def _check_shape(name: str, array: np.ndarray[Any, Any], n_dates: int, n_symbols: int) -> None:
    expected = {
        "dates": (n_dates,),
        "benchmark_close": (n_dates,),
        "symbols": (n_symbols,),
        "last_close": (n_symbols,),
        "delisting_return": (n_symbols,),
    }.get(name, (n_dates, n_symbols))
    if array.shape != expected:
        raise DataError(
            f"{name} has shape {array.shape}, expected {expected}",
            where="Panel",
            remedy="align it with dates and symbols",
        )


def last_finite_row(values: FloatArray) -> IntArray:
    """(N,) index of the last finite entry of each column of `values` (T, N); -1 where there is none."""
    finite = np.isfinite(values)
    last: IntArray = len(values) - 1 - finite[::-1].argmax(axis=0)
    return np.where(finite.any(axis=0), last, -1)


def load_panel(candidate: Candidate, store: ArrayStore) -> tuple[Panel, DataQuality]:
    """The candidate's panel and what was counted in its file, built once per content of the files behind them and of the code that reads them.

    Defects of the data are counted, never refused: a panel exists whenever the request is sound.

    Raises:
        DataError: a declared file or column is missing, cannot be read, or holds no row with a date and a symbol up to as_of; or a file changed meanwhile.
        StoreError: the store cannot be read or written.

    """
    digests = FileDigests(store)
    content = _content(candidate, digests)

    def build(scratch: Scratch) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
        from engines.panel_build import build_panel

        built = build_panel(candidate, scratch.array)
        if _content(candidate, digests) != content:
            raise DataError(
                "an input file changed while it was read",
                where=candidate.data.path,
                remedy="let no one write to it, then repeat",
            )
        return built

    arrays, meta = store.get_or_build_in_place("panel", {"content": content, "contract": _contract_sha256()}, build)
    quality = DataQuality.from_json(meta["quality"])
    panel = Panel(
        file_dates=quality.n_dates,
        content_sha256=sha256_json(content),
        sector_names=tuple(meta["sector_names"]),
        **arrays,
    )
    return panel, quality


def _content(candidate: Candidate, digests: FileDigests) -> dict[str, Any]:
    """All that decides a panel: the bytes of its files, what their columns are called, and the last day that may be used."""
    data = candidate.data
    paths = {"data": candidate.data_path} | {name: candidate.reference_path(name) for name in data.reference}
    return {
        "files": {name: _hash_input(path, digests) for name, path in paths.items()},
        "kinds": {name: "".join(path.suffixes[-2:]).lower() for name, path in paths.items()},
        "columns": data.file_columns,
        "reference_columns": {name: spec.columns for name, spec in data.reference.items()},
        "as_of": data.as_of.isoformat(),
    }


def _hash_input(path: Path, digests: FileDigests) -> str:
    """sha256 of an input file: its bytes are hashed before anything parses them."""
    try:
        if path.is_file():
            return digests.sha256(path)
        found = "is no regular file" if path.exists() else "does not exist"
    except OSError as error:
        raise DataError(
            f"{path.name} cannot be read: {error.strerror}", where=str(path), remedy="make it readable for this user"
        ) from error
    raise DataError(
        f"{path.name} {found}", where=str(path), remedy="correct the path; it is relative to candidate.toml"
    )


def _contract_sha256() -> str:
    """sha256 over the modules that turn files into a panel and the versions of the packages they do it with: a change of either validates and builds anew."""
    modules = (
        "axes",
        "candidate",
        "contract",
        "defects",
        "layout",
        "long_table",
        "panel",
        "panel_build",
        "parsing",
        "quality",
        "quality_measures",
        "reading",
        "reference",
    )
    sources = {name: sha256_file(Path(__file__).with_name(f"{name}.py")) for name in modules}
    packages = {name: version(name) for name in ("numpy", "pandas", "pandera", "pyarrow")}
    return sha256_json({"sources": sources, "packages": packages})


def read_header(candidate: Candidate) -> FileHeader:
    """The price file's columns, types and first rows, without reading the rest.

    Raises:
        DataError: the file is missing, unreadable or empty, or lacks a declared column.

    """
    from engines.reading import read_first_rows

    return read_first_rows(candidate.data_path, candidate.data.file_columns, where=candidate.data.path)


def contract_faults(candidate: Candidate, header: FileHeader) -> tuple[str, ...]:
    """How the declared contract contradicts the price file's first rows, as sentences; empty when it does not. Looks into the reference tables' headers too.

    Raises:
        DataError: a reference table cannot be read, or lacks a declared column.

    """
    from engines.contract import first_row_faults
    from engines.reference import check_reference_headers

    check_reference_headers(candidate)
    return first_row_faults(header.first_rows, candidate.data.as_of)
