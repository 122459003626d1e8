"""stagegate verify: does the record hold? Reads everything, writes nothing, and has an answer for whatever bytes it
finds.

1. The chain: every line, every hash, and the rules of reports.record.ledger.
2. The head against what the witnesses remember.
3. Every FINISHED row against its pack, every pack against its row.
4. Every tag's freeze against its rows.
5. Whatever else is plugged in (sign-offs).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

from engines.digest import sha256_file
from engines.errors import StageGateError
from reports.record.anchor import AnchorUnreachableError, Head, Witness, witnesses
from reports.record.chain import Chain, Row
from reports.record.clock import iso, utc_now
from reports.record.durable import is_locked
from reports.record.errors import RecordError
from reports.record.ledger import CLOCK_TOLERANCE_SECONDS, RUN_ID, Ledger
from reports.record.registry import demand_known, run_lock_path, settled_chain
from reports.record.workspace import Workspace
from reports.verification.pack_check import Pack, pack_folders, read_pack, row_faults

Kind = Literal["tampered", "recoverable", "unanchored", "note"]
EXIT_BY_KIND: Final[dict[Kind, int]] = {"tampered": 6, "recoverable": 7, "unanchored": 8, "note": 0}
"""Exit status of a finding, in the order of gravity: the gravest finding decides."""

RECOVER: Final = "run `stagegate recover`"
RESTORE: Final = "restore it from a backup; the record is never mended by hand"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that verification found: what, at which row or file, and what to do."""

    kind: Kind
    what: str
    where: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.what}" + (f" To mend: {self.remedy}" if self.remedy else "")


Check = Callable[[Workspace, tuple[Row, ...]], Iterable[Finding]]
"""A further check; it may raise StageGateError, which is reported as tampering."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was verified and what was found.

    exit_code: 0 valid, 6 tampered or mismatched, 7 recoverable, 8 a witness cannot be asked.
    """

    rows: int
    packs: int
    head: str
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """Exit status of the gravest finding."""
        found = {finding.kind for finding in self.findings}
        return next((code for kind, code in EXIT_BY_KIND.items() if kind in found), 0)

    def to_json(self) -> dict[str, Any]:
        """The verification with built-in types only."""
        return {
            "schema": 1,
            **asdict(self),
            "findings": [asdict(finding) for finding in self.findings],
            "exit_code": self.exit_code,
        }


def verify_workspace(workspace: Workspace, tag: str | None = None, checks: Sequence[Check] = ()) -> Verification:
    """Verify the record of a workspace, or the chain and what belongs to one tag.

    Never raises for what it finds on disk.

    Runs may go on meanwhile: packs and remembered heads are read before the chain that must hold them.
    """
    if not workspace.root.is_dir():
        return _unverifiable("there is no such directory", str(workspace.root), "name the workspace")
    try:
        packs = tuple(read_pack(folder) for folder in pack_folders(workspace.gate_results))
        heard, mute = recollect(workspace)
        chain = settled_chain(workspace)
    except RecordError as error:
        return _unverifiable(error.what, error.where, error.remedy)
    findings = [
        *chain_findings(chain, workspace),
        *sequence_findings(chain.rows),
        *mute,
        *witness_findings(chain, heard),
        *_guarded(run_findings, workspace, chain.rows, packs, tag),
        *_guarded(freeze_findings, workspace, chain.rows, tag),
    ]
    for check in checks:
        findings.extend(_guarded(check, workspace, chain.rows))
    return Verification(len(chain.rows), len(packs), chain.head, tuple(findings))


def _unverifiable(what: str, where: str, remedy: str) -> Verification:
    return Verification(0, 0, "", (Finding("tampered", what, where, remedy),))


def _guarded(check: Callable[..., Iterable[Finding]], *arguments: Any) -> Iterator[Finding]:
    """The findings of a check; what it cannot read becomes a finding too."""
    try:
        yield from check(*arguments)
    except StageGateError as error:
        yield Finding("tampered", error.what, error.where, error.remedy)
    except OSError as error:
        yield Finding("tampered", f"cannot be read: {error.strerror}", str(error.filename or ""), RESTORE)


def chain_findings(chain: Chain, workspace: Workspace) -> Iterator[Finding]:
    """Lines that do not hold, and the torn end of an append that was cut short."""
    for fault in chain.faults:
        yield Finding("tampered", str(fault), str(workspace.registry), RESTORE)
    if chain.torn_tail:
        line = len(chain.rows) + 2
        yield Finding(
            "recoverable",
            f"line {line} is torn: {len(chain.torn_tail)} bytes without a newline",
            str(workspace.registry),
            RECOVER,
        )


def sequence_findings(rows: Sequence[Row]) -> Iterator[Finding]:
    """Rows that the rules of the record forbid."""
    ledger = Ledger()
    for row in rows:
        for objection in filter(None, (ledger.objection(row), ledger.backwards(row))):
            yield Finding("tampered", objection, f"registry row {row.seq}", RESTORE)
        ledger.admit(row)
    latest, now = ledger.last_utc, utc_now()
    if latest is not None and latest > now + timedelta(seconds=CLOCK_TOLERANCE_SECONDS):
        yield Finding(
            "tampered",
            f"the last row is of {iso(latest)}, this machine's clock says {iso(now)}",
            "registry",
            "set the clock that is wrong",
        )


def recollect(workspace: Workspace) -> tuple[tuple[tuple[Witness, tuple[Head, ...]], ...], tuple[Finding, ...]]:
    """What each witness remembers, and a finding for each that cannot say."""
    heard: list[tuple[Witness, tuple[Head, ...]]] = []
    mute: list[Finding] = []
    try:
        remembering = witnesses(workspace)
    except StageGateError as error:
        return (), (Finding("unanchored", error.what, error.where, error.remedy),)
    for witness in remembering:
        try:
            heard.append((witness, witness.heads()))
        except AnchorUnreachableError as error:
            mute.append(Finding("unanchored", error.what, f"{witness.name}: {error.where}", error.remedy))
    return tuple(heard), tuple(mute)


def witness_findings(chain: Chain, heard: Sequence[tuple[Witness, tuple[Head, ...]]]) -> Iterator[Finding]:
    """Remembered heads that the rows do not hold, and witnesses that know nothing although they must."""
    for witness, heads in heard:
        try:
            demand_known(witness, heads, chain.rows)
        except AnchorUnreachableError as error:
            yield Finding("unanchored", error.what, error.where, error.remedy)
        for head in heads:
            told_already = chain.faults and head.seq > len(chain.rows)
            contradiction = "" if told_already else head.contradiction(chain.completed_rows)
            if contradiction:
                yield Finding("tampered", contradiction, witness.name, RESTORE)


def run_findings(
    workspace: Workspace, rows: Sequence[Row], packs: Sequence[Pack], tag: str | None
) -> Iterator[Finding]:
    """Runs and packs that do not vouch for each other, runs that nobody closed, packs that no row names."""
    if tag is not None and all(row["decision_tag"] != tag for row in rows):
        yield Finding(
            "tampered", f"tag {tag} has no row", str(workspace.registry), "name one that `stagegate status` lists"
        )
    ledger = Ledger.of(rows)
    named = {Path(row["report"]).parent.name for row in rows if row["event"] == "FINISHED"}
    for row in rows:
        if row["event"] == "FINISHED" and tag in (None, row["decision_tag"]):
            for fault in row_faults(workspace, row, ledger.started.get(row["run_id"])):
                yield Finding("tampered", fault, f"registry row {row.seq}, {row['report']}", RESTORE)
    dead = dead_runs(workspace, rows)
    for start in ledger.open_runs:
        if tag in (None, start["decision_tag"]):
            yield _open_run_finding(start, dead=start["run_id"] in dead)
    for pack in packs:
        if pack.folder.name not in named and tag in (None, (pack.report or {}).get("decision_tag")):
            yield _unnamed_pack_finding(pack, workspace.relative(pack.folder), ledger, dead)


def _open_run_finding(start: Mapping[str, str], *, dead: bool) -> Finding:
    what, where = f"run {start['run_id']} ({start['stage']} of {start['decision_tag']})", f"registry row {start['seq']}"
    if not dead:
        return Finding("note", f"{what} is running", where)
    return Finding("recoverable", f"{what} was STARTED, never FINISHED, and no process carries it", where, RECOVER)


def _unnamed_pack_finding(pack: Pack, where: str, ledger: Ledger, dead: Container[str]) -> Finding:
    run_id = pack.run_id
    if run_id not in ledger.started:
        return Finding(
            "tampered",
            f"no row announces this pack (run {run_id or 'unknown'}): it was made by hand, or its rows were removed",
            where,
            RESTORE,
        )
    closing = ledger.closed.get(run_id)
    if closing is None:
        alive = run_id not in dead
        return (
            Finding("note", f"run {run_id} is about to be recorded", where)
            if alive
            else Finding("recoverable", f"run {run_id} has a pack and no FINISHED row", where, RECOVER)
        )
    if closing["event"] == "ABANDONED":
        return Finding("note", f"run {run_id} was ABANDONED; its pack counts for nothing", where)
    return Finding("tampered", f"run {run_id} is FINISHED with another pack, {closing['report']}", where, RESTORE)


def dead_runs(workspace: Workspace, rows: Sequence[Row]) -> frozenset[str]:
    """Runs that are open in `rows`, that no process carries, and that were not closed since.

    A process lets go of its run's lock after it has closed the run, so the registry is read again after the locks
    were seen free.
    """
    silent = {start["run_id"] for start in Ledger.of(rows).open_runs if not _is_alive(workspace, start["run_id"])}
    return frozenset(silent - Ledger.of(settled_chain(workspace).rows).closed.keys()) if silent else frozenset()


def _is_alive(workspace: Workspace, run_id: str) -> bool:
    """Whether a process holds the run's lock."""
    return bool(RUN_ID.fullmatch(run_id)) and is_locked(run_lock_path(workspace, run_id))


def freeze_findings(workspace: Workspace, rows: Sequence[Row], tag: str | None) -> Iterator[Finding]:
    """Freezes that are missing or not the ones their rows were written under."""
    for name in dict.fromkeys(row["decision_tag"] for row in rows if tag in (None, row["decision_tag"])):
        mine = [row for row in rows if row["decision_tag"] == name and row["freeze_sha256"]]
        path = workspace.freeze(name)
        if not os.path.lexists(path):
            if any(row["event"] == "FINISHED" for row in mine):
                yield Finding("tampered", f"the freeze of tag {name} is missing", workspace.relative(path), RESTORE)
            continue
        found = "a link" if path.is_symlink() or not path.is_file() else f"sha256:{sha256_file(path)}"
        differing = [row for row in mine if row["freeze_sha256"] != found]
        if differing:
            where = f"registry row {differing[0].seq}, {workspace.relative(path)}"
            yield Finding(
                "tampered",
                f"the freeze was changed: expected {differing[0]['freeze_sha256']}, found {found}",
                where,
                RESTORE,
            )
