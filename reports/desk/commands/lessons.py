"""Commands by which a desk learns from what failed: one tag on a page, patterns over all of them. They read, never write."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from reports.desk.command_line import Answer, CommandLine, of, place_of, workspace_of

if TYPE_CHECKING:
    from reports.desk.account import CellAccount, StageAccount
    from reports.desk.explain import Explanation, Succession
    from reports.desk.failures import Pattern

CELLS_SHOWN: Final = 8
"""Failing cells of a run that are spelled out; the report and --json have all."""


def add_commands(line: CommandLine) -> None:
    """explain, failures."""
    line.add_tagged("explain", explain_tag, "what failed, where, how far from passing, and what changed")
    line.add("failures", show_failures, "what fails again and again, and which root causes followed")


def explain_tag(arguments: argparse.Namespace) -> Answer:
    """Say why a tag ended as it did."""
    from reports.desk.explain import explain
    from reports.record.registry import Registry

    workspace = workspace_of(arguments)
    found = explain(workspace, Registry(workspace.root).rows(), arguments.tag)
    return {"schema": 1, **asdict(found)}, explanation_lines(found, place_of(arguments)), 0


def explanation_lines(found: Explanation, place: str) -> list[str]:
    """The page: the runs, what came before, what would have to be true, what to do."""
    lines = [f"{found.tag}  {found.candidate} ({found.family}), {found.owner}"]
    lines += [f"revoked: {found.revoked}"] if found.revoked else []
    lines += (
        [f"superseded by {found.superseded_by}: stagegate explain {found.superseded_by}{place}"]
        if found.superseded_by
        else []
    )
    lines += [line for run in found.runs for line in account_lines(run)]
    lines += succession_lines(found.succession) if found.succession else []
    failing = [cell for run in found.runs for cell in run.failing]
    return [*lines, *to_pass_lines(failing), *what_to_do_lines(failing)]


def account_lines(run: StageAccount) -> list[str]:
    """One run of an explanation."""
    lines = [f"{run.stage} {run.state}{'' if run.official else ' (unofficial)'}  run {run.run_id}, {run.utc}"]

    def add(label: str, items: Sequence[str | CellAccount]) -> None:
        lines.extend(f"    {label if number == 0 else '':<11} {item}" for number, item in enumerate(items))

    shown = [line for cell in run.failing[:CELLS_SHOWN] for line in failing_lines(cell)]
    hidden = len(run.failing) - CELLS_SHOWN
    add("failed", [*shown, *([f"and {hidden} more cells; see the report"] if hidden > 0 else [])])
    add("besides", run.messages)
    add("warning", run.notes)
    add("diagnostic", run.diagnostics)
    add("absent", run.absent)
    add("weakest", [run.weakest] if run.weakest and not run.failing else [])
    add("report", [run.report] if run.report else [])
    return lines


def failing_lines(cell: CellAccount) -> Iterator[str]:
    """A cell, and below it where it failed."""
    yield str(cell)
    dates = f"test dates {cell.first_date} to {cell.last_date}" if cell.first_date else ""
    names = f"least from {', '.join(map(str, cell.names))}" if cell.names else ""
    if dates or names:
        yield "  " + "; ".join(part for part in (dates, names) if part)


def succession_lines(found: Succession) -> list[str]:
    """What stands between the tag and the one it supersedes."""
    lines = [f"since {found.supersedes} ({found.ended or 'unknown'}), root cause {found.root_cause or 'not named'}"]
    lines += [f"    changed     {change}" for change in found.changes] or [
        f"    changed     {found.fault or 'nothing'}"
    ]
    for cell in found.moved:
        now = "not measured again" if cell.now is None else f"{cell.now:.6g} {cell.outcome}"
        before = "not measured" if cell.before is None else f"{cell.before:.6g}"
        lines.append(f"    measured    {cell.gate} [{cell.cell}]: {before} -> {now}")
    return lines


def to_pass_lines(failing: Sequence[CellAccount]) -> list[str]:
    """What would have to be true, condition by condition; the same condition of two runs stands once."""
    told = list(dict.fromkeys(sentence for cell in failing for sentence in cell.to_pass))
    more = [f"    and {len(told) - CELLS_SHOWN} more"] if len(told) > CELLS_SHOWN else []
    return ["to pass, all of this must hold", *(f"    {each}" for each in told[:CELLS_SHOWN]), *more] if told else []


def what_to_do_lines(failing: Sequence[CellAccount]) -> list[str]:
    """Likely causes and commands, once each, in the order of the report, and what a rerun needs first."""
    causes = dict.fromkeys((cell.gate, cell.likely_cause, cell.look_closer) for cell in failing if cell.likely_cause)
    lines = [line for gate, cause, look in causes for line in (f"    {gate}: {cause}", f"        {look}")]
    needs = next((cell.rerun_needs for cell in failing if cell.rerun_needs), "")
    return ["likely, and where to look", *lines, f"a rerun needs {needs}"] if lines else []


def show_failures(arguments: argparse.Namespace) -> Answer:
    """Patterns of failure over all tags."""
    from reports.desk.failures import failures
    from reports.record.registry import Registry

    workspace = workspace_of(arguments)
    found = failures(workspace, Registry(workspace.root).rows())
    lines = [line for pattern in found for line in pattern_lines(pattern)]
    return {"schema": 1, "patterns": [asdict(pattern) for pattern in found]}, lines or ["no failure on record"], 0


def pattern_lines(pattern: Pattern) -> Iterator[str]:
    """One pattern."""
    counts = ", ".join((of(pattern.tags, "tag"), of(pattern.candidates, "candidate"), of(pattern.cells, "cell")))
    unofficial = f", {of(pattern.unofficial, 'unofficial run')}" if pattern.unofficial else ""
    yield f"{pattern.fingerprint}  {pattern.gate or 'the run'}: {counts}{unofficial}; last {pattern.last_tag}, {pattern.last_utc}"
    yield f"    {pattern.message}"
    for each in pattern.followed:
        yield f"    followed by {each.root_cause}: {of(each.tags, 'tag')}, {each.passed} got past the stage; {'; '.join(each.words)}"
