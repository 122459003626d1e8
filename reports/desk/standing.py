"""Where every tag stands: which stage it reached, how that ended, what it waits for and what to type next. Reads, never writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from reports.committee.signoff import signoff_among
from reports.desk.book import Book, state_of
from reports.pack.packet import check_human_parts
from reports.record.chain import Row
from reports.record.durable import read_regular
from reports.record.errors import RecordError
from reports.record.workspace import Workspace, next_stage
from reports.verification.verify import dead_runs

WORKER_STAGES: Final = ("s2", "s3")
"""Stages that are worth eight workers."""


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


def standings(workspace: Workspace, rows: Sequence[Row], at: datetime, place: str) -> tuple[TagStanding, ...]:
    """Every tag of the registry, in the order of its first row. `place` is the --workspace option as it was typed, or empty."""
    book, dead = Book.of(rows), dead_runs(workspace, rows)
    return tuple(_standing(workspace, book, tag, dead, at, place) for tag in book.tags)


def _standing(
    workspace: Workspace, book: Book, tag: str, dead: frozenset[str], at: datetime, place: str
) -> TagStanding:
    last = book.last(tag)
    state = state_of(last, dead)
    unofficial = [
        f"{row['stage']} {row['verdict']}"
        for row in book.tags[tag]
        if row["official"] != "true" and row["event"] == "FINISHED"
    ]
    waits_for, command = _next_step(workspace, book, last, state, at)
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


def _next_step(workspace: Workspace, book: Book, last: Row, state: str, at: datetime) -> tuple[str, str]:
    """(what the tag waits for, the command without --workspace); both empty when nothing is left to do."""
    tag, stage = last["decision_tag"], last["stage"]
    revoked = book.revoked.get(tag)
    if revoked is not None:
        return f"nothing: revoked in row {revoked.seq}, {revoked['detail']}", ""
    if tag in book.heirs:
        return f"nothing: superseded by {book.heirs[tag]}", ""
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
    if following is None:
        return "its live returns", f"stagegate monitor {tag} --live RETURNS.csv"
    return _before(workspace, book, last, following, at)


def _before(workspace: Workspace, book: Book, last: Row, stage: str, at: datetime) -> tuple[str, str]:
    """What stands between a PASS and the start of the next stage."""
    tag = last["decision_tag"]
    if stage == "s4":
        signed = any(row["event"] == "SIGNED" for row in book.tags[tag])
        signoff = signoff_among(workspace, book.rows if signed else book.tags[tag], tag, at)
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
