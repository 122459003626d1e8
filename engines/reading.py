"""Files to columns: csv, csv.gz and parquet, only the declared columns, nothing interpreted yet.

A csv is read as text throughout, so that a symbol NA, 00123 or 1e5 stays what it is; engines.parsing says what text means.
"""

from __future__ import annotations

import csv
import gzip
import io
import stat
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from engines.candidate_errors import nearest
from engines.errors import DataError

HEADER_ROWS: Final = 1000
MAX_EXAMPLES: Final = 10
MAX_ROWS: Final = 200_000_000
BATCH_ROWS: Final = 1 << 18
MAX_EXPANSION_RATIO: Final = 100
"""A csv.gz beyond FREE_EXPANSION_BYTES may not grow by more than this: prices compress some 3 to 10 times, a bomb a thousand times."""
FREE_EXPANSION_BYTES: Final = 64 << 20

_CHUNK_BYTES: Final = 1 << 20
_MEND_FILE: Final = "name a readable csv, csv.gz or parquet file"


@dataclass(frozen=True, slots=True)
class Example:
    """One place in a file where a defect shows. row: number of the data row, from 1; 0 when it is not about one row."""

    row: int
    date: str
    symbol: str
    column: str
    value: str


@dataclass(frozen=True, slots=True)
class FileColumns:
    """The declared columns of a file.

    columns      our name -> pyarrow Array, as the file has it (csv: text)
    row_numbers  (M,) number of each row in the file, from 1, the header not counted
    n_ragged     csv rows with more or fewer cells than the header: left out of the columns
    ragged       the first of them
    """

    columns: Mapping[str, Any]
    row_numbers: np.ndarray[Any, np.dtype[np.int64]]
    n_ragged: int = 0
    ragged: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class FileHeader:
    """A file as its first rows show it: every column's name and type, and the declared columns of up to 1000 rows."""

    columns: tuple[str, ...]
    dtypes: Mapping[str, str]
    first_rows: FileColumns


def read_columns(path: Path, columns: Mapping[str, str], *, where: str, optional: tuple[str, ...] = ()) -> FileColumns:
    """The columns `columns` (our name -> the file's) of a file; those of `optional` that the file lacks are left out.

    Raises:
        DataError: the file is missing, no regular file, unreadable, damaged or too large, holds no row, or lacks a declared column or holds it twice.

    """
    with _refusing(path, where):
        _check_regular(path, where)
        names = _csv_header(path, where) if _is_csv(path) else _parquet_names(path)
        wanted = _choose(names, columns, optional, where)
        found = _read_csv(path, wanted, where) if _is_csv(path) else _read_parquet(path, wanted, where)
    if not len(found.row_numbers) and not found.n_ragged:
        raise DataError(f"{path.name} holds no row", where=where, remedy="name a file with data")
    return found


def read_first_rows(
    path: Path, columns: Mapping[str, str], *, where: str, optional: tuple[str, ...] = ()
) -> FileHeader:
    """The names, types and first rows of a file, without reading the rest; raises as `read_columns` does."""
    with _refusing(path, where):
        _check_regular(path, where)
        header = (
            _first_csv_rows(path, columns, optional, where)
            if _is_csv(path)
            else _first_parquet_rows(path, columns, optional, where)
        )
    if not len(header.first_rows.row_numbers) and not header.first_rows.n_ragged:
        raise DataError(f"{path.name} holds no row", where=where, remedy="name a file with data")
    return header


def read_batches(path: Path, columns: Mapping[str, str], *, where: str) -> Iterator[FileColumns]:
    """The declared columns of a file of any length, BATCH_ROWS at a time, so that memory does not grow with the file.

    row_numbers run on from batch to batch. n_ragged and ragged of a batch count what its reader met since the one before. Text that a parquet file
    keeps as a dictionary stays one. Raises as `read_columns` does, also while the batches are taken.
    """
    n_rows = 0
    with _refusing(path, where):
        _check_regular(path, where)
        names = _csv_header(path, where) if _is_csv(path) else _parquet_names(path)
        wanted = _choose(names, columns, (), where)
        for batch in (_csv_batches if _is_csv(path) else _parquet_batches)(path, wanted, where):
            n_rows += len(batch.row_numbers) + batch.n_ragged
            _check_rows(n_rows, where)
            yield batch
    if not n_rows:
        raise DataError(f"{path.name} holds no row", where=where, remedy="name a file with data")


@contextmanager
def _refusing(path: Path, where: str) -> Iterator[None]:
    """Whatever a damaged or unreadable file makes of a reader becomes a DataError."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, EOFError, OSError, OverflowError, ValueError, csv.Error, zlib.error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path.name} cannot be read: {reason}", where=where, remedy=_MEND_FILE) from error


def _check_regular(path: Path, where: str) -> None:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise DataError(
            f"{path.name} is a {'directory' if stat.S_ISDIR(mode) else 'special file'}, expected a file",
            where=where,
            remedy=_MEND_FILE,
        )
    if not _is_csv(path) and path.suffix.lower() != ".parquet":
        raise DataError(
            f"{path.name} is of no known kind, expected .csv, .csv.gz or .parquet", where=where, remedy=_MEND_FILE
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path.name} is empty", where=where, remedy="name a file with data")


def _is_csv(path: Path) -> bool:
    return path.name.lower().endswith((".csv", ".csv.gz"))


def _choose(
    names: tuple[str, ...], columns: Mapping[str, str], optional: tuple[str, ...], where: str
) -> dict[str, str]:
    """The part of `columns` to read. DataError when a declared column is missing or stands twice."""
    counts = Counter(names)
    wanted = {ours: theirs for ours, theirs in columns.items() if theirs in counts or ours not in optional}
    for ours, theirs in wanted.items():
        if counts[theirs] == 0:
            raise DataError(
                f"the file has no column {theirs!r} for {ours}{nearest(theirs, names)}; it has {', '.join(map(repr, names[:30]))}",
                where=where,
                remedy=f'declare which column holds it: columns = {{ {ours} = "..." }}',
            )
        if counts[theirs] > 1:
            raise DataError(
                f"the file has {counts[theirs]} columns {theirs!r}", where=where, remedy="name each column once"
            )
    return wanted


def _parquet_names(path: Path) -> tuple[str, ...]:
    import pyarrow.parquet as pq

    return tuple(pq.read_schema(path).names)


def _read_parquet(path: Path, wanted: Mapping[str, str], where: str) -> FileColumns:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        _check_rows(file.metadata.num_rows, where)
        table = file.read(columns=list(wanted.values()))
    return _numbered({ours: table.column(theirs) for ours, theirs in wanted.items()}, np.arange(1, table.num_rows + 1))


def _parquet_batches(path: Path, wanted: Mapping[str, str], where: str) -> Iterator[FileColumns]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = [field.name for field in pq.read_schema(path) if pa.types.is_string(field.type)]
    kept = [name for name in wanted.values() if name in text]
    with pq.ParquetFile(path, page_checksum_verification=True, read_dictionary=kept) as file:
        _check_rows(file.metadata.num_rows, where)
        first = 1
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(wanted.values())):
            columns = {ours: _spelled(batch.column(theirs)) for ours, theirs in wanted.items()}
            yield FileColumns(columns, np.arange(first, first + batch.num_rows))
            first += batch.num_rows


def _spelled(column: Any) -> Any:
    """A column as `_plain` gives it, but a dictionary of text remains one."""
    import pyarrow as pa

    if not (pa.types.is_dictionary(column.type) and pa.types.is_string(column.type.value_type)):
        return _plain(column)
    array = column.cast(pa.dictionary(pa.int32(), pa.large_string()))
    array.validate(full=True)
    return array


def _check_rows(n_rows: int, where: str) -> None:
    if n_rows > MAX_ROWS:
        raise DataError(
            f"the file claims {n_rows} rows, expected at most {MAX_ROWS}",
            where=where,
            remedy="split it, or check that it is what it should be",
        )


def _numbered(
    columns: Mapping[str, Any], row_numbers: np.ndarray[Any, np.dtype[np.int64]], **ragged: Any
) -> FileColumns:
    """FileColumns of chunked columns: one chunk each, dictionaries spelled out, text checked to be UTF-8."""
    return FileColumns({ours: _plain(column) for ours, column in columns.items()}, row_numbers, **ragged)


def _plain(column: Any) -> Any:
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if (
        pa.types.is_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_large_binary(kind)
    ):
        kind = pa.large_string()
    array = column if column.type == kind else column.cast(kind)
    array.validate(full=True)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _first_parquet_rows(path: Path, columns: Mapping[str, str], optional: tuple[str, ...], where: str) -> FileHeader:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        schema = file.schema_arrow
        wanted = _choose(tuple(schema.names), columns, optional, where)
        batches = list(islice(file.iter_batches(batch_size=HEADER_ROWS, columns=list(wanted.values())), 1))
    table = pa.Table.from_batches(batches, schema=None if batches else schema)
    rows = _numbered({ours: table.column(theirs) for ours, theirs in wanted.items()}, np.arange(1, table.num_rows + 1))
    return FileHeader(tuple(schema.names), {field.name: str(field.type) for field in schema}, rows)


@contextmanager
def _csv_stream(path: Path, where: str) -> Iterator[io.BufferedIOBase]:
    """The bytes of a csv, decompressed, never more of them than an honest file would hold."""
    with path.open("rb") as file:
        if path.suffix.lower() != ".gz":
            yield file
            return
        limit = max(FREE_EXPANSION_BYTES, MAX_EXPANSION_RATIO * path.stat().st_size)
        with gzip.GzipFile(fileobj=file) as stream:
            yield io.BufferedReader(_Capped(stream, limit, where), _CHUNK_BYTES)


class _Capped(io.RawIOBase):
    """A stream that refuses to yield more than `limit` bytes."""

    def __init__(self, stream: gzip.GzipFile, limit: int, where: str) -> None:
        super().__init__()
        self._stream, self._left, self._limit, self._where = stream, limit, limit, where

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._stream.readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise DataError(
                f"the compressed file expands to more than {self._limit} bytes",
                where=self._where,
                remedy="check what it is; name the expanded csv if it is honest",
            )
        return count


def _csv_rows(stream: io.BufferedIOBase, count: int) -> list[list[str]]:
    """The first `count` rows within the first megabyte; a row that the megabyte cuts off is left out."""
    data = stream.read(_CHUNK_BYTES)
    whole = data if len(data) < _CHUNK_BYTES else data[: data.rfind(b"\n") + 1]
    reader = csv.reader(io.StringIO(whole.decode("utf-8-sig"), newline=""))
    return [row for row in islice(reader, count) if row]


def _csv_header(path: Path, where: str) -> tuple[str, ...]:
    with _csv_stream(path, where) as stream:
        rows = _csv_rows(stream, 1)
    if not rows:
        raise DataError(
            f"{path.name} does not start with a header line",
            where=where,
            remedy="put the column names into the first line",
        )
    return tuple(rows[0])


def _first_csv_rows(path: Path, columns: Mapping[str, str], optional: tuple[str, ...], where: str) -> FileHeader:
    import pyarrow as pa

    names = _csv_header(path, where)
    wanted = _choose(names, columns, optional, where)
    with _csv_stream(path, where) as stream:
        rows = _csv_rows(stream, HEADER_ROWS + 1)[1:]
    kept = [(number, row) for number, row in enumerate(rows, start=1) if len(row) == len(names)]
    cells = {
        ours: pa.array([row[names.index(theirs)] for _, row in kept], pa.large_string())
        for ours, theirs in wanted.items()
    }
    ragged = [(number, ",".join(row)) for number, row in enumerate(rows, start=1) if len(row) != len(names)]
    first = FileColumns(
        cells, np.array([number for number, _ in kept], dtype=np.int64), len(ragged), _ragged_examples(ragged)
    )
    return FileHeader(names, dict.fromkeys(names, "text"), first)


def _ragged_examples(rows: list[tuple[int, str]]) -> tuple[Example, ...]:
    return tuple(Example(number, "", "", "", text[:80]) for number, text in rows[:MAX_EXAMPLES])


def _read_csv(path: Path, wanted: Mapping[str, str], where: str) -> FileColumns:
    import pyarrow.csv as pa_csv

    ragged, handler = _ragged_collector()
    with _csv_stream(path, where) as stream:
        table = pa_csv.read_csv(stream, **_csv_options(wanted, handler))
    _check_rows(table.num_rows, where)
    numbers = _whole_rows(1, table.num_rows, ragged)
    columns = {ours: table.column(theirs) for ours, theirs in wanted.items()}
    return _numbered(columns, numbers, n_ragged=len(ragged), ragged=_ragged_examples(ragged))


def _csv_batches(path: Path, wanted: Mapping[str, str], where: str) -> Iterator[FileColumns]:
    import pyarrow.csv as pa_csv

    ragged, handler = _ragged_collector()
    with _csv_stream(path, where) as stream:
        told, first = 0, 1
        for batch in pa_csv.open_csv(stream, **_csv_options(wanted, handler)):
            numbers = _whole_rows(first, batch.num_rows, ragged)
            first = int(numbers[-1]) + 1 if len(numbers) else first
            columns = {ours: batch.column(theirs) for ours, theirs in wanted.items()}
            new, told = ragged[told:], len(ragged)
            yield _numbered(columns, numbers, n_ragged=len(new), ragged=_ragged_examples(new))
        if ragged[told:]:
            yield _no_rows(wanted, ragged[told:])


def _no_rows(wanted: Mapping[str, str], ragged: list[tuple[int, str]]) -> FileColumns:
    """The ragged rows behind the last row that could be split."""
    import pyarrow as pa

    columns = {ours: pa.array([], pa.large_string()) for ours in wanted}
    return FileColumns(columns, np.empty(0, dtype=np.int64), len(ragged), _ragged_examples(ragged))


def _csv_options(wanted: Mapping[str, str], handler: Callable[[Any], str]) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    return {
        "read_options": pa_csv.ReadOptions(use_threads=False, block_size=_CHUNK_BYTES * 16),
        "parse_options": pa_csv.ParseOptions(invalid_row_handler=handler, newlines_in_values=True),
        "convert_options": pa_csv.ConvertOptions(
            include_columns=list(wanted.values()),
            column_types=dict.fromkeys(wanted.values(), pa.large_string()),
            null_values=[],
            strings_can_be_null=False,
        ),
    }


def _whole_rows(first: int, count: int, ragged: list[tuple[int, str]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Numbers of the next `count` rows from `first` on that are not ragged."""
    bad = np.array([number for number, _ in ragged if number >= first], dtype=np.int64)
    numbers = np.arange(first, first + count + len(bad))
    return np.setdiff1d(numbers, bad, assume_unique=True)[:count]


def _ragged_collector() -> tuple[list[tuple[int, str]], Callable[[Any], str]]:
    """A list and the handler that puts (row number, text) of each row with too many or too few cells into it."""
    ragged: list[tuple[int, str]] = []

    def skip(row: Any) -> str:
        ragged.append((row.number - 1, row.text[:80]))
        return "skip"

    return ragged, skip
