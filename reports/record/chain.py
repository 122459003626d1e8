"""gate_registry.csv as bytes: the columns, one line, and the chain of hashes through them.

Pure: no file is opened here.

    header                              sha256(header) = prev_hash of row 1
    seq,event,...,prev_hash,row_hash    row_hash = sha256(prev_hash as ascii + its line's raw bytes before ",row_hash")
    seq,event,...,prev_hash,row_hash    its prev_hash is the row_hash above

Raw bytes are hashed, never parsed values, so that two spellings of one value are two different lines. A chain alone
cannot show that its tail was dropped or that all of it was rebuilt; reports.record.anchor remembers its head elsewhere for
that.
"""

from __future__ import annotations

import csv
import io
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from engines.digest import sha256_bytes
from reports.record.clock import iso
from reports.record.errors import RecordError

SCHEMA: Final = "1"
COLUMNS: Final = (
    *(
        "seq",
        "event",
        "stage",
        "decision_tag",
        "run_id",
        "candidate",
        "family",
        "owner",
        "official",
        "verdict",
        "overall_pass",
        "utc",
    ),
    *("config_sha256", "data_sha256", "git_commit", "freeze_sha256", "manifest_sha256", "supersedes", "root_cause"),
    *(
        "ic_mean",
        "ic_t",
        "net_sharpe_x1_5",
        "net_sharpe_x2_0",
        "wf_ic_mean",
        "wf_pos_ratio",
        "deflated_sharpe",
        "n_trials",
    ),
    *("weakest_gate", "weakest_margin", "report", "schema", "detail", "prev_hash", "row_hash"),
)
NUMBER_COLUMNS: Final = (*COLUMNS[COLUMNS.index("ic_mean") : COLUMNS.index("weakest_gate")], "weakest_margin")
CHAIN_COLUMNS: Final = ("seq", "event", "schema", "prev_hash", "row_hash")
"""Columns the registry itself fills in."""

HEADER: Final = ",".join(COLUMNS).encode()
GENESIS: Final = sha256_bytes(HEADER)
LINE_BYTES_LIMIT: Final = 64 * 2**10
REGISTRY_BYTES_LIMIT: Final = 256 * 2**20
FAULTS_LISTED: Final = 100

_POSITION: Final = {column: number for number, column in enumerate(COLUMNS)}
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NUMBER: Final = re.compile(r"-\d+(\.\d+)?(e-?\d+)?")
_EXECUTABLE: Final = re.compile(r"[' ]*[=+@\-\uff1d\uff0b\uff20\uff0d]")
_MASKED: Final = re.compile(r"'[' ]*[=+@\-\uff1d\uff0b\uff20\uff0d]")


@dataclass(frozen=True, slots=True)
class Row(Mapping[str, str]):
    """One line of the registry.

    `row["decision_tag"]` is the cell's text as it was given, whatever a spreadsheet would make of it.
    """

    raw: bytes
    cells: tuple[str, ...]

    @property
    def seq(self) -> int:
        """Position in the registry, from 1."""
        return int(self["seq"])

    @property
    def row_hash(self) -> str:
        """Head of the chain when this row is the last."""
        return self["row_hash"]

    def __getitem__(self, column: str) -> str:
        return self.cells[_POSITION[column]]

    def __iter__(self) -> Iterator[str]:
        return iter(COLUMNS)

    def __len__(self) -> int:
        return len(COLUMNS)


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that is not what the registry's writer leaves. `line` counts from 1, the header."""

    line: int
    what: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.what}"


@dataclass(frozen=True, slots=True)
class Chain:
    """What the bytes of a registry say.

    rows: the rows from the first on, up to the first fault. torn_tail: bytes after the last newline, what an append
    that was cut short leaves; no part of the rows. head: row_hash of the last row, or the header's hash.
    """

    rows: tuple[Row, ...]
    faults: tuple[Fault, ...]
    torn_tail: bytes

    @property
    def head(self) -> str:
        """Hash that the next row continues."""
        return self.rows[-1].row_hash if self.rows else GENESIS

    @property
    def completed_rows(self) -> tuple[Row, ...]:
        """The rows, with the torn line as the last one when it lacks nothing but its newline."""
        found = parse_line(self.torn_tail)
        whole = isinstance(found, Row) and not _broken_link(found, len(self.rows) + 1, self.head)
        return (*self.rows, found) if isinstance(found, Row) and whole and not self.faults else self.rows


def read_chain(raw: bytes, known: Chain | None = None, known_bytes: int = 0) -> Chain:
    """Which rows hold, and what is wrong with the rest? Total: every byte string has an answer.

    After a line that does not hold nothing behind it is vouched for; the faults behind it are still listed, up to
    FAULTS_LISTED. known: the chain of the first known_bytes of `raw`, without fault or torn tail, which is not read again.
    """
    if len(raw) > REGISTRY_BYTES_LIMIT:
        return Chain(
            (), (Fault(1, f"the registry has {len(raw)} bytes, expected at most {REGISTRY_BYTES_LIMIT}"),), b""
        )
    end = raw.rfind(b"\n") + 1
    if not end:
        return Chain((), (Fault(1, "the header line is missing"),), raw)
    faults = [] if raw.startswith(HEADER + b"\n") else [Fault(1, f"the header is not that of registry schema {SCHEMA}")]
    rows, previous = (list(known.rows), known.head) if known else ([], GENESIS)
    for number, line in enumerate(_lines(raw, known_bytes or raw.index(b"\n") + 1, end), len(rows) + 2):
        found = parse_line(line)
        wrong = found if isinstance(found, str) else _broken_link(found, number - 1, previous)
        if wrong and len(faults) == FAULTS_LISTED:
            faults.append(Fault(number, f"{wrong}; what follows was not read"))
            break
        if wrong:
            faults.append(Fault(number, wrong))
        if isinstance(found, Row):
            previous = found.row_hash
            if not faults:
                rows.append(found)
    return Chain(tuple(rows), tuple(faults), raw[end:])


def _lines(raw: bytes, start: int, end: int) -> Iterator[bytes]:
    """The lines of raw[start:end], which ends in a newline, one at a time: a hostile file is not held twice."""
    while start < end:
        stop = raw.index(b"\n", start)
        yield raw[start:stop]
        start = stop + 1


def parse_line(line: bytes) -> Row | str:
    """The row of a line without its newline, or what is wrong with the line.

    Whether it continues a chain is not asked here.
    """
    if len(line) >= LINE_BYTES_LIMIT:
        return f"has {len(line)} bytes, expected less than {LINE_BYTES_LIMIT}"
    try:
        text = line.decode()
        records = list(csv.reader((text,), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        return f"is not a line of CSV in UTF-8: {error}"
    if _CONTROL.search(text):
        return "holds a control character"
    if len(records) != 1 or len(records[0]) != len(COLUMNS):
        return f"has {len(records[0]) if records else 0} cells, expected {len(COLUMNS)}"
    cells = tuple(map(unmask, records[0]) if "'" in text else records[0])
    if not _HASH.fullmatch(cells[-1]) or line[-65:-64] != b",":
        return "does not end in a row_hash of 64 hexadecimal digits"
    return Row(line, cells)


def _broken_link(row: Row, seq: int, previous: str) -> str:
    """Why `row` is not the row number `seq` after a row whose hash is `previous`; empty when it is."""
    if row["prev_hash"] != previous:
        return (
            f"row {seq} does not continue the chain: prev_hash {row['prev_hash'][:12]}..., expected {previous[:12]}..."
        )
    if row.row_hash != sha256_bytes(previous.encode() + row.raw[:-65]):
        return f"row {seq} was changed: its row_hash does not match its bytes"
    if row["seq"] != str(seq):
        return f"seq is {row['seq']!r}, expected {seq}"
    if row["schema"] != SCHEMA:
        return f"row {seq} has schema {row['schema']!r}, this reader knows {SCHEMA}"
    return ""


def link(cells: Mapping[str, str], seq: int, previous: str) -> Row:
    """The row number `seq` that continues `previous`, from its texts by column; what is not given is empty.

    RecordError when the line would be longer than a reader accepts.
    """
    values = {**cells, "seq": str(seq), "schema": SCHEMA, "prev_hash": previous}
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="").writerow([mask(values.get(column, "")) for column in COLUMNS[:-1]])
    head = buffer.getvalue().encode()
    row = parse_line(head + b"," + sha256_bytes(previous.encode() + head).encode())
    if isinstance(row, str):
        raise RecordError(
            f"a registry row {row}", where=f"row {seq}", remedy="shorten the longest of owner, root cause and detail"
        )
    return row


def cell_text(value: object) -> str:
    """How a value is spelled in a cell: true and false, the shortest exact decimal, otherwise one line of plain text.

    None, NaN and Infinity are empty: a metric that was not measured has no number. Control characters, line
    separators, what reverses the reading direction and halves of characters become spaces.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, float):
        return repr(float(value)).replace("e+", "e") if math.isfinite(value) else ""
    return "".join(" " if unicodedata.category(character) in _UNSEEN else character for character in str(value))


_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def mask(text: str) -> str:
    """`text` with an apostrophe before it when a spreadsheet would execute it; `unmask` undoes it for every text."""
    return f"'{text}" if _EXECUTABLE.match(text) and not _NUMBER.fullmatch(text) else text


def unmask(cell: str) -> str:
    """The text that `mask` was given."""
    return cell[1:] if cell.startswith("'") and _MASKED.match(cell) else cell
