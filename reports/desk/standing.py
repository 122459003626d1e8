"""Where every tag stands: which stage it reached, how that ended, what it waits for and what to type next. Reads, never writes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from reports.committee.signoff import signoff_of
from reports.pack.packet import check_human_parts
from reports.record.chain import Row
from reports.record.durable import read_regular
from reports.record.errors import RecordError
from reports.record.registry import revocation
from reports.record.workspace import Workspace, next_stage
from reports.verification.verify import dead_runs

WORKER_STAGES: Final = ("s2", "s3")
"""Stages that are worth eight workers."""

CLOSED: Final = ("FINISHED", "ABANDONED")


@dataclass(frozen=True, slots=True)
class TagStanding:
    """One tag. stage and state: the last official stage and how it ended (PASS, FAIL, INCOMPLETE, ABANDONED, RUNNING, INTERRUPTED)."""

    tag: str
    candidate: str
    family: str
    owner: str
    stage: str
    state: str
    utc: str
    unofficial: tuple[str, ...]
    waits_for: str
    next_command: str


@dataclass(frozen=True, slots=True)
class Placing:
    """One tag on the leaderboard. margin: of the weakest hard gate, in steps of its scale; None when nothing was measured."""

    rank: int
    tag: str
    candidate: str
    family: str
    verdict: str
    marks: tuple[str, ...]
    weakest_gate: str
    margin: float | None
    net_sharpe_x1_5: float | None
    deflated_sharpe: float | None


def standings(workspace: Workspace, rows: Sequence[Row], at: datetime, place: str) -> tuple[TagStanding, ...]:
    """Every tag of the registry, in the order of its first row. `place` is the --workspace option as it was typed, or empty."""
    tags = dict.fromkeys(row["decision_tag"] for row in rows)
    dead = dead_runs(workspace, rows)
    return tuple(_standing(workspace, rows, tag, dead, at, place) for tag in tags)


def _standing(
    workspace: Workspace, rows: Sequence[Row], tag: str, dead: frozenset[str], at: datetime, place: str
) -> TagStanding:
    mine = [row for row in rows if row["decision_tag"] == tag]
    last = next(
        (row for row in reversed(mine) if row["official"] == "true" and row["event"] in (*CLOSED, "STARTED")), mine[0]
    )
    state = state_of(last, dead)
    unofficial = [
        f"{row['stage']} {row['verdict']}" for row in mine if row["official"] != "true" and row["event"] == "FINISHED"
    ]
    waits_for, command = _next_step(workspace, rows, last, state, at)
    return TagStanding(
        tag=tag,
        candidate=last["candidate"],
        family=last["family"],
        owner=last["owner"],
        stage=last["stage"],
        state=state,
        utc=last["utc"],
        unofficial=tuple(unofficial),
        waits_for=waits_for,
        next_command=f"{command}{place}" if command else "",
    )


def state_of(row: Row, dead: frozenset[str]) -> str:
    """How a run stands by its last row: its verdict, ABANDONED, RUNNING, or INTERRUPTED when it is among the dead runs."""
    if row["event"] == "STARTED":
        return "INTERRUPTED" if row["run_id"] in dead else "RUNNING"
    return row["verdict"] or row["event"]


def _next_step(workspace: Workspace, rows: Sequence[Row], last: Row, state: str, at: datetime) -> tuple[str, str]:
    """(what the tag waits for, the command without --workspace); both empty when nothing is left to do."""
    tag, stage = last["decision_tag"], last["stage"]
    revoked = revocation(rows, tag)
    if revoked is not None:
        return f"nothing: revoked in row {revoked.seq}, {revoked['detail']}", ""
    heir = next((row["decision_tag"] for row in rows if row["supersedes"] == tag), "")
    if heir:
        return f"nothing: superseded by {heir}", ""
    if state == "RUNNING":
        return f"run {last['run_id']} to end", ""
    if state == "INTERRUPTED":
        return f"recovery: run {last['run_id']} ended without a word", "stagegate recover"
    if last["official"] != "true":
        return f"an official run of {stage}", _run_command(tag, stage)
    if state != "PASS":
        wanted = "CLASS" if state == "FAIL" else "environment"
        return (
            f'a new tag from s0 with --supersedes {tag} --root-cause {wanted}:"what was wrong"',
            f"stagegate explain {tag}",
        )
    following = next_stage(stage)
    return _before(workspace, last, following, at) if following else ("nothing: ready for deployment", "")


def _before(workspace: Workspace, last: Row, stage: str, at: datetime) -> tuple[str, str]:
    """What stands between a PASS and the start of the next stage."""
    tag = last["decision_tag"]
    if stage == "s4":
        signoff = signoff_of(workspace, tag, at)
        if not signoff.complete:
            return f"signatures: {signoff.note}", f"stagegate sign {tag} --role ROLE --key KEY"
    try:
        text = read_regular(workspace.packet(tag, stage)).decode("utf-8", "replace")
    except RecordError:
        return f"the packet of {stage}", f"stagegate packet {tag} {stage}"
    problems = check_human_parts(text, tag, stage)
    if problems:
        return (
            f"the packet of {stage} to be written: {problems[0]}",
            f"edit {workspace.packet(tag, stage)}; then {_run_command(tag, stage)}",
        )
    return _deployment_files(workspace, last) if stage == "s4" else (f"the run of {stage}", _run_command(tag, stage))


def _deployment_files(workspace: Workspace, last: Row) -> tuple[str, str]:
    from reports.deployment.readiness import (
        unwritten_files,  # numpy and scipy: not for a status that does not need them
    )

    tag = last["decision_tag"]
    faults = unwritten_files(workspace, tag, last["freeze_sha256"])
    if not faults:
        return "the run of s4", _run_command(tag, "s4")
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"the deployment files: {faults[0]}{more}", f"stagegate packet {tag} s4"


def _run_command(tag: str, stage: str) -> str:
    workers = " -n 8" if stage in WORKER_STAGES else ""
    return f"pytest gates/{stage}{workers} --decision-tag {tag}"


def leaderboard(rows: Sequence[Row], stage: str = "s3") -> tuple[Placing, ...]:
    """The tags that finished `stage`, by the margin of their weakest hard gate, widest first; what was not measured comes last.

    Each tag counts once, with its official run where it has one. Failing, unofficial, superseded and revoked tags are marked.
    """
    finished: dict[str, Row] = {}
    for row in rows:
        known = finished.get(row["decision_tag"])
        if (row["stage"], row["event"]) == (stage, "FINISHED") and (known is None or known["official"] != "true"):
            finished[row["decision_tag"]] = row
    ordered = sorted(finished.values(), key=lambda row: -_margin_or_less(row))
    superseded = {row["supersedes"] for row in rows}
    return tuple(
        Placing(
            rank=rank,
            tag=row["decision_tag"],
            candidate=row["candidate"],
            family=row["family"],
            verdict=row["verdict"],
            marks=_marks(rows, row, superseded),
            weakest_gate=row["weakest_gate"],
            margin=_metric(row, "weakest_margin"),
            net_sharpe_x1_5=_metric(row, "net_sharpe_x1_5"),
            deflated_sharpe=_metric(row, "deflated_sharpe"),
        )
        for rank, row in enumerate(ordered, 1)
    )


def _marks(rows: Sequence[Row], row: Row, superseded: set[str]) -> tuple[str, ...]:
    tag = row["decision_tag"]
    found = {
        "failing": row["verdict"] != "PASS",
        "unofficial": row["official"] != "true",
        "superseded": tag in superseded,
        "revoked": revocation(rows, tag) is not None,
    }
    return tuple(mark for mark, holds in found.items() if holds)


def _metric(row: Row, column: str) -> float | None:
    """A metric cell as a number; None when it is empty, not finite or no number."""
    try:
        value = float(row[column])
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _margin_or_less(row: Row) -> float:
    margin = _metric(row, "weakest_margin")
    return -math.inf if margin is None else margin
