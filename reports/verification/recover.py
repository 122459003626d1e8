"""stagegate recover: close what a crash left open.

Deletes nothing, infers no pass, and can itself be killed anywhere and run again.

1. A torn last line: the bytes are set aside in gate_results/quarantine/ and the file is cut back to its last whole
   line. A line that lacks nothing but its newline is a row, and gets the newline.
2. A run that was STARTED, is not closed and has no living process: its pack, when whole and not a pass, is recorded
   as FINISHED; otherwise the run is ABANDONED. Whether it would have passed nobody saw, so the tag is spent either
   way.
3. Witnesses of the head that lag behind are told.

What a crash does not leave (a changed row, a head that was seen and is gone) is refused: that is for a person with
a backup.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from engines.digest import sha256_bytes
from reports.record.anchor import AnchorUnreachableError, Head, Witness, witnesses
from reports.record.chain import COLUMNS, Row
from reports.record.clock import stamp, utc_now
from reports.record.durable import is_there, locked, replace
from reports.record.errors import RecordError
from reports.record.ledger import Ledger
from reports.record.registry import HeldRegistry, Registry, contradict, knows
from reports.record.workspace import Workspace
from reports.verification.pack_check import Pack, pack_folders, read_pack
from reports.verification.report_check import IDENTITY_SHARED, differences
from reports.verification.verify import dead_runs

QUARANTINE: Final = "quarantine"
_CARRIED: Final = COLUMNS[COLUMNS.index("stage") : COLUMNS.index("ic_mean")]
"""Columns that a closing row takes over from its STARTED row, where the report does not say otherwise."""

Step = Literal["quarantined", "completed", "finished", "abandoned", "told", "untold", "left running"]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that recovery did or left."""

    step: Step
    what: str

    def __str__(self) -> str:
        return f"{self.step}: {self.what}"


@dataclass(frozen=True, slots=True)
class Recovery:
    """What recovery did, in order. Empty when there was nothing to close."""

    actions: tuple[Action, ...]


def recover(workspace: Workspace) -> Recovery:
    """Close what a crash left; of several that recover at once, one at a time. RecordError when the registry is damaged in a way that no crash explains."""
    remembering = witnesses(workspace)
    if not is_there(workspace.registry):
        contradict(remembering, (), workspace.registry, claiming=False)
        return Recovery(())
    with locked(workspace.gate_results / ".recover.lock"):
        return Recovery(tuple(_recover(workspace, Registry(workspace.root), remembering)))


def _recover(workspace: Workspace, registry: Registry, remembering: Sequence[Witness]) -> Iterator[Action]:
    with registry.held() as held:
        yield from _mend_torn_line(workspace, held, remembering)
    yield from _close_runs(workspace, registry)
    with registry.held() as held:
        rows = held.chain.rows
    yield from _tell_lagging(registry, remembering, rows)


def _mend_torn_line(workspace: Workspace, held: HeldRegistry, remembering: Sequence[Witness]) -> Iterator[Action]:
    chain = held.chain
    if chain.faults:
        raise RecordError(
            f"the registry does not hold: {chain.faults[0]}; no crash leaves that",
            where=str(workspace.registry),
            remedy="run `stagegate verify`, and restore gate_registry.csv from a backup",
        )
    contradict(remembering, chain.completed_rows, workspace.registry, claiming=False)
    if len(chain.completed_rows) > len(chain.rows):
        held.end_torn_line()
        yield Action("completed", f"row {held.chain.rows[-1].seq} lacked nothing but its newline")
    elif chain.torn_tail:
        kept = _quarantine(workspace, chain.torn_tail)
        held.cut_torn_line()
        yield Action(
            "quarantined",
            f"{len(chain.torn_tail)} bytes of a torn line after row {len(chain.rows)}, in {workspace.relative(kept)}",
        )


def _quarantine(workspace: Workspace, torn: bytes) -> Path:
    """Keep bytes under their own hash; the same bytes are kept once however often recovery is interrupted."""
    folder = workspace.gate_results / QUARANTINE
    digest = sha256_bytes(torn)
    for kept in folder.glob(f"*-{digest}.bytes"):
        return kept
    path = folder / f"{stamp(utc_now())}-{digest}.bytes"
    replace(path, torn)
    return path


def _close_runs(workspace: Workspace, registry: Registry) -> Iterator[Action]:
    rows = registry.rows()
    ledger = Ledger.of(rows)
    packs = _unrecorded_packs(workspace, rows) if ledger.open_runs else ()
    dead = dead_runs(workspace, rows)
    for start in ledger.open_runs:
        run_id = start["run_id"]
        run = f"run {run_id} ({start['stage']} of {start['decision_tag']})"
        if run_id not in dead:
            yield Action("left running", run)
            continue
        pack = next((pack for pack in packs if pack.run_id == run_id and pack.stage == start["stage"]), None)
        fields = {column: start[column] for column in _CARRIED}
        if pack is not None and _is_recorded_failure(pack, start):
            row = registry.append("FINISHED", {**fields, **_finished_fields(workspace, pack)})
            yield Action("finished", f"{run}, {row['verdict']} as its pack says, row {row.seq}")
        else:
            reason = _abandoned_reason(workspace, pack)
            row = registry.append("ABANDONED", {**fields, "utc": None, "detail": f"closed by recovery; {reason}"})
            yield Action("abandoned", f"{run}, row {row.seq}: {reason}")


def _unrecorded_packs(workspace: Workspace, rows: Sequence[Row]) -> tuple[Pack, ...]:
    """Packs that no row names. RecordError when one cannot be read: it may hold a failure, which must not be lost."""
    named = {Path(row["report"]).parent.name for row in rows if row["report"]}
    packs = tuple(read_pack(folder) for folder in pack_folders(workspace.gate_results) if folder.name not in named)
    for pack in packs:
        if pack.unreadable:
            raise RecordError(
                f"a pack that no row names cannot be read: {pack.faults[0]}",
                where=workspace.relative(pack.folder),
                remedy="make it readable, then run `stagegate recover` again; nothing was closed",
            )
    return packs


def _is_recorded_failure(pack: Pack, start: Mapping[str, str]) -> bool:
    """Whether the pack is whole, of this run, and says that the run did not pass."""
    report: Mapping[str, Any] = pack.report or {}
    same = not any(differences(report, start, start, IDENTITY_SHARED))
    return (
        same
        and not pack.faults
        and report.get("verdict") in ("FAIL", "INCOMPLETE")
        and report.get("overall_pass") is False
    )


def _finished_fields(workspace: Workspace, pack: Pack) -> dict[str, object]:
    report: Mapping[str, Any] = pack.report or {}
    weakest = report.get("weakest")
    weakest = weakest if isinstance(weakest, dict) else {}
    steps = weakest.get("steps")
    return {
        "utc": None,
        "verdict": report.get("verdict"),
        "overall_pass": False,
        "manifest_sha256": pack.manifest_sha256,
        "report": workspace.relative(pack.report_path),
        "weakest_gate": weakest.get("gate"),
        "weakest_margin": steps if isinstance(steps, float) else None,
        "detail": "recorded by recovery from its pack",
    }


def _abandoned_reason(workspace: Workspace, pack: Pack | None) -> str:
    if pack is None:
        return "it left no pack"
    name = workspace.relative(pack.folder)
    return (
        f"its pack {name} is not whole: {pack.faults[0]}"
        if pack.faults
        else f"its pack {name} says PASS, which nobody acknowledged"
    )


def _tell_lagging(registry: Registry, remembering: Sequence[Witness], rows: Sequence[Row]) -> Iterator[Action]:
    for witness in remembering if rows else ():
        try:
            lagging = not knows(witness, Head.of(rows, registry.path))
        except AnchorUnreachableError as error:
            yield Action("untold", str(error))
            continue
        if lagging:
            complaints = registry.tell((witness,), rows)
            yield Action("untold", complaints[0]) if complaints else Action("told", f"{witness.name}: row {len(rows)}")
