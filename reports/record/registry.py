"""gate_registry.csv on disk: one locked, verified, fsynced append at a time.

An append, in this order: take the lock, in the order of asking for it; read and verify every row (what this process
verified before and still stands there byte for byte is not parsed again); ask the witnesses of the head; ask the rules
of the record; write one line in one call; fsync; release; tell the witnesses. A row is acknowledged by the return of
`append`. A crash before leaves the file as it was, a whole row, or a torn last line that `stagegate recover` sets
aside; a witness that was not told yet is told by the next append or by recovery.
"""

from __future__ import annotations

import difflib
import fcntl
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

from reports.record.anchor import AnchorUnreachableError, Head, Witness, witnesses
from reports.record.chain import (
    CHAIN_COLUMNS,
    COLUMNS,
    HEADER,
    NUMBER_COLUMNS,
    REGISTRY_BYTES_LIMIT,
    Chain,
    Row,
    cell_text,
    link,
    read_chain,
)
from reports.record.clock import iso, utc_now
from reports.record.durable import (
    LOCK_POLL_SECONDS,
    explained,
    in_turn,
    is_locked,
    is_there,
    locked,
    locked_if_free,
    read_descriptor,
    read_regular,
    replace,
    write_fully,
)
from reports.record.errors import RecordError, RequestRefused
from reports.record.ledger import RUN_ID, Ledger
from reports.record.workspace import Workspace

__all__ = ["AnchorLagWarning", "HeldRegistry", "Registry", "Row", "official_pass", "revocation"]

Check = Callable[[tuple[Row, ...]], None]
"""A further condition of an append, asked under the lock with the rows so far; raises when it does not hold."""

RUN_LOCK_TIMEOUT_SECONDS: Final = 5.0
SETTLE_SECONDS: Final = 10.0
TELLING_PATIENCE_SECONDS: Final = 30.0

_CLAIMED_COLUMNS: Final = tuple(column for column in COLUMNS if column not in CHAIN_COLUMNS)
_RECOVER: Final = "run `stagegate recover`; it sets the bytes aside and deletes nothing"
_TAMPERED: Final = "run `stagegate verify`, and restore gate_registry.csv from a backup"


class AnchorLagWarning(UserWarning):
    """A row is recorded, but a witness of the head could not be told.

    The next append or `stagegate recover` tells it.
    """


class Registry:
    """The registry of one workspace. Absent means empty; the first append creates it."""

    def __init__(self, workspace_root: Path) -> None:
        self.workspace = Workspace(workspace_root)
        self.path = self.workspace.registry

    def rows(self) -> tuple[Row, ...]:
        """Every row, the whole chain verified.

        RecordError when it does not hold; a torn last line is read again under the lock first.
        """
        chain = settled_chain(self.workspace)
        self._demand_sound(chain)
        return chain.rows

    def latest_finished(self, tag: str, stage: str, official: bool = True) -> Row | None:
        """The last FINISHED row of a tag's stage, None when there is none."""
        wanted = (tag, stage, "FINISHED", cell_text(official))
        found = [
            row for row in self.rows() if (row["decision_tag"], row["stage"], row["event"], row["official"]) == wanted
        ]
        return found[-1] if found else None

    def claim(self, fields: Mapping[str, object]) -> Row:
        """Append STARTED, or refuse: of two that ask at once for one stage of one tag, exactly one gets the row.

        RequestRefused when the stage of the tag is spent, a witness of the head cannot be asked, or this machine's
        clock stands before the last row; RecordError when the registry does not hold. Unofficial starts spend
        nothing.
        """
        return self._append("STARTED", fields, None)

    def append(self, event: str, fields: Mapping[str, object], *, check: Check | None = None) -> Row:
        """Append FINISHED, ABANDONED, SIGNED or REVOKED. RecordError when the rules of reports.record.ledger forbid it.

        `fields` maps columns to values; hashes may come bare or prefixed, utc defaults to now, overall_pass to
        false, the rest to empty.
        """
        return self._append(event, fields, check)

    @contextmanager
    def run_lock(self, run_id: str) -> Iterator[None]:
        """The sign of life of a run: held from before its STARTED row until after the row that closes it."""
        with locked(run_lock_path(self.workspace, run_id), RUN_LOCK_TIMEOUT_SECONDS):
            yield

    def _append(self, event: str, fields: Mapping[str, object], check: Check | None) -> Row:
        cells = {**_cells(fields), "event": event}
        remembering = witnesses(self.workspace)
        with self.held() as chain_file:
            chain = chain_file.chain
            self._demand_sound(chain)
            contradict(remembering, chain.rows, self.path, claiming=event == "STARTED")
            cells["utc"] = cells["utc"] or iso(utc_now())
            _admit(chain_file.ledger, cells)
            if check is not None:
                check(chain.rows)
            row = chain_file.write(cells)
            rows = chain_file.chain.rows
        for complaint in self.tell(remembering, rows):
            warnings.warn(f"row {row.seq} is recorded; {complaint}", AnchorLagWarning, stacklevel=3)
        return row

    def tell(self, remembering: Sequence[Witness], rows: Sequence[Row]) -> tuple[str, ...]:
        """Give every witness the head of `rows`, one process at a time; returns what those say that could not take it.

        Whoever waits while another tells all of them a later row is done.
        """
        deadline = time.monotonic() + TELLING_PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with locked_if_free(telling_lock_path(self.workspace)) as mine:
                if mine:
                    return tell(remembering, rows, self.path)
            time.sleep(LOCK_POLL_SECONDS)
            if _all_know(remembering, Head.of(rows, self.path)):
                return ()
        with locked(telling_lock_path(self.workspace)):
            return tell(remembering, rows, self.path)

    @contextmanager
    def held(self) -> Iterator[HeldRegistry]:
        """The registry file open for appending, alone: under the lock file, and under a lock on the file itself.

        The second lock holds even when somebody deletes the lock file and so lets a second holder in.
        """
        with in_turn(queue_path(self.workspace)), locked(lock_path(self.workspace)):
            self._demand_not_lost()
            if not is_there(self.path):
                replace(self.path, HEADER + b"\n")
            with explained("append to the registry", self.path):
                descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    yield HeldRegistry(descriptor, self.path)
                finally:
                    os.close(descriptor)

    def _demand_not_lost(self) -> None:
        """Before a registry is begun: RecordError when a witness has seen one here."""
        if not is_there(self.path):
            contradict(witnesses(self.workspace), (), self.path, claiming=False)

    def _demand_sound(self, chain: Chain) -> None:
        if chain.faults:
            raise RecordError(f"the registry does not hold: {chain.faults[0]}", where=str(self.path), remedy=_TAMPERED)
        if chain.torn_tail:
            raise RecordError(
                f"the registry ends in a torn line of {len(chain.torn_tail)} bytes",
                where=str(self.path),
                remedy=_RECOVER,
            )


class _Verified:
    """A registry as this process verified it last: bytes, chain and ledger. Only what is new is parsed."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._raw = b""
        self._chain = Chain((), (), b"")
        self.ledger = Ledger()

    def read(self, raw: bytes) -> Chain:
        """`read_chain(raw)`, with `ledger` after its rows."""
        if not self._raw or not raw.startswith(self._raw):
            self._forget()
        known = self._chain
        chain = read_chain(raw, known, len(self._raw))
        for row in chain.rows[len(known.rows) :]:
            self.ledger.admit(row)
        if chain.faults:
            self._raw = b""
        else:
            self._raw, self._chain = raw[: len(raw) - len(chain.torn_tail)], Chain(chain.rows, (), b"")
        return chain


@lru_cache(maxsize=4)
def _verified(_: str) -> _Verified:
    """What this process knows of the registry at a path. Asked under the registry's lock only."""
    return _Verified()


class HeldRegistry:
    """The registry file while this process alone may write it, the chain it holds, and the ledger after its rows."""

    chain: Chain
    ledger: Ledger

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path
        self._read()

    def write(self, cells: Mapping[str, str]) -> Row:
        """Append one row in one call and make it durable."""
        row = link(cells, len(self.chain.rows) + 1, self.chain.head)
        write_fully(self._descriptor, row.raw + b"\n")
        os.fsync(self._descriptor)
        self.chain = Chain((*self.chain.rows, row), (), b"")
        return row

    def end_torn_line(self) -> None:
        """Give the last line the newline that it lacks."""
        write_fully(self._descriptor, b"\n")
        os.fsync(self._descriptor)
        self._read()

    def cut_torn_line(self) -> None:
        """Shorten the file to its last whole line."""
        os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - len(self.chain.torn_tail))
        os.fsync(self._descriptor)
        self._read()

    def _read(self) -> None:
        verified = _verified(os.path.realpath(self._path))
        self.chain = verified.read(read_descriptor(self._descriptor, self._path, REGISTRY_BYTES_LIMIT))
        self.ledger = verified.ledger


def revocation(rows: Sequence[Row], tag: str) -> Row | None:
    """The row that revoked the tag, None when none did."""
    return next((row for row in rows if (row["decision_tag"], row["event"]) == (tag, "REVOKED")), None)


def official_pass(rows: Sequence[Row], tag: str, stage: str) -> Row | None:
    """The FINISHED row of a tag's official PASS of a stage, None when there is none."""
    wanted = (tag, stage, "FINISHED", "true", "PASS")
    columns = ("decision_tag", "stage", "event", "official", "verdict")
    return next((row for row in rows if tuple(row[column] for column in columns) == wanted), None)


def lock_path(workspace: Workspace) -> Path:
    """The lock of the registry."""
    return workspace.gate_results / ".gate_registry.lock"


def queue_path(workspace: Workspace) -> Path:
    """Where those who want to append stand in line."""
    return workspace.gate_results / ".gate_registry.queue"


def telling_lock_path(workspace: Workspace) -> Path:
    """The lock of whoever tells the witnesses."""
    return workspace.gate_results / ".gate_registry.witnesses.lock"


def run_lock_path(workspace: Workspace, run_id: str) -> Path:
    """The lock that shows that a run is alive. RequestRefused when `run_id` cannot name a file."""
    if not RUN_ID.fullmatch(run_id):
        raise RequestRefused(
            f"run id {run_id!r} is not a plain name", remedy="use ASCII letters, digits, '.', '_' and '-'"
        )
    return workspace.gate_results / ".runs" / f"{run_id}.lock"


def settled_chain(workspace: Workspace) -> Chain:
    """The chain as it stands when no append is under way. Changes nothing. RecordError when the file cannot be read.

    A torn last line is believed when it is the same before and after a moment in which nobody held the lock.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        chain = _read(workspace.registry)
        if not chain.torn_tail or time.monotonic() > deadline:
            return chain
        if not is_locked(lock_path(workspace)) and _read(workspace.registry) == chain:
            return chain
        time.sleep(LOCK_POLL_SECONDS)


def _read(path: Path) -> Chain:
    if not is_there(path):
        return Chain((), (), b"")
    return read_chain(read_regular(path, REGISTRY_BYTES_LIMIT))


def contradict(remembering: Sequence[Witness], rows: Sequence[Row], path: Path, *, claiming: bool) -> None:
    """Compare `rows` with what every witness remembers.

    RecordError when they lack a remembered head. A witness that cannot be asked, or that must know a registry and
    does not, stops a claim (RequestRefused), for nothing is lost yet; what closes a run is recorded all the same.
    """
    for witness in remembering:
        try:
            heads = witness.heads()
            demand_known(witness, heads, rows)
        except AnchorUnreachableError as error:
            if claiming:
                raise RequestRefused(f"{witness.name}: {error.what}", where=error.where, remedy=error.remedy) from error
            continue
        for contradiction in filter(None, (head.contradiction(rows) for head in heads)):
            raise RecordError(
                f"{witness.name} contradicts the registry: {contradiction}", where=str(path), remedy=_LOST
            )


_LOST: Final = (
    "restore gate_registry.csv from a backup; only where a registry was begun anew on purpose, "
    "move aside what was remembered (the file under state_dir, or the anchor)"
)


def demand_known(witness: Witness, heads: Sequence[Head], rows: Sequence[Row]) -> None:
    """AnchorUnreachableError when a witness remembers nothing of a registry that has rows, although it must."""
    if witness.required and rows and not heads:
        raise AnchorUnreachableError(
            f"no head is recorded there, the registry has {len(rows)} rows",
            where=witness.name,
            remedy="if the anchor was configured after the first row, run `stagegate recover`: it records the head",
        )


def knows(witness: Witness, head: Head) -> bool:
    """Whether a witness remembers this head or a later one of the same registry at the same place. AnchorUnreachableError as `heads`."""
    return any(
        (known.registry, known.path) == (head.registry, head.path) and known.seq >= head.seq
        for known in witness.heads()
    )


def _all_know(remembering: Sequence[Witness], head: Head) -> bool:
    """Whether every witness knows the head; one that cannot be asked does not."""
    try:
        return all(knows(witness, head) for witness in remembering)
    except AnchorUnreachableError:
        return False


def tell(remembering: Sequence[Witness], rows: Sequence[Row], path: Path) -> tuple[str, ...]:
    """Give every witness the head of `rows` unless it knows a later one; returns what those say that could not take it."""
    complaints, head = [], Head.of(rows, path)
    for witness in remembering:
        try:
            if not knows(witness, head):
                witness.remember(head)
        except AnchorUnreachableError as error:
            complaints.append(f"{witness.name} could not be told: {error}")
    return tuple(complaints)


def _cells(fields: Mapping[str, object]) -> dict[str, str]:
    """Values as the texts of their columns; every column present.

    RecordError names an unknown column and the nearest one.
    """
    for name in fields:
        if name not in _CLAIMED_COLUMNS:
            near = difflib.get_close_matches(name, _CLAIMED_COLUMNS, n=1)
            raise RecordError(
                f"{name!r} is no column that a caller fills",
                where="registry row",
                remedy=f"use {near[0]}" if near else "see docs/formats.md",
            )
    texts = {column: cell_text(fields.get(column)) for column in COLUMNS}
    for column, text in texts.items():
        if text and column.endswith("_sha256"):
            texts[column] = f"sha256:{text.removeprefix('sha256:')}"
        if text and column in NUMBER_COLUMNS:
            texts[column] = cell_text(_number(column, text))
    if texts["git_commit"]:
        texts["git_commit"] = f"git:{texts['git_commit'].removeprefix('git:')}"
    texts["overall_pass"] = texts["overall_pass"] or "false"
    return texts


def _number(column: str, text: str) -> float | int:
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError as error:
        raise RecordError(
            f"{column} is {text!r}, expected a number", where="registry row", remedy="leave what was not measured empty"
        ) from error


def _admit(ledger: Ledger, cells: Mapping[str, str]) -> None:
    """Raise when `cells` may not follow the rows of `ledger`.

    A clock that was moved stops a claim, never the record of what a run came to.
    """
    objection = ledger.objection(cells)
    if cells["event"] != "STARTED":
        if objection:
            raise RecordError(
                f"{cells['event']} refused: {objection}",
                where="registry",
                remedy="see `stagegate status` for what the tag waits for",
            )
        return
    if objection:
        raise RequestRefused(
            objection,
            where="registry",
            remedy="see `stagegate status`; a stage runs once for a tag, a further attempt needs a new tag from s0",
        )
    if ledger.backwards(cells):
        raise RequestRefused(ledger.backwards(cells), where="this machine's clock", remedy="set the clock, then repeat")
