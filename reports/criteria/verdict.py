"""From what was expected and what came back to PASS, FAIL or INCOMPLETE. Pure, and closed on every side.

The rules, in prose:

1. The expected cells are the frozen ones. A cell has come back when its setup, call and teardown are all there, once.
2. A cell passes when each of its thresholds has exactly one piece of evidence that holds against the frozen bound, the three phases passed and
   nothing was skipped or expected to fail. A test that passes without evidence does not pass; evidence that holds in a test that failed does not either.
3. A cell whose input was declared absent at S0 is absent: it must come back without evidence, and neither passes nor fails.
4. INCOMPLETE: a cell, a worker, the stream's last line or the process did not come back, or the three witnesses (the child's exit, the json report,
   the evidence stream) disagree. What is not known is never a pass and never a plain failure.
5. FAIL: everything came back and a hard cell did not pass, or something ran or was collected that was not expected.
6. PASS: everything came back, every hard cell passed or is absent, and there was at least one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from reports.criteria.evidence import Evidence
from reports.criteria.policy import ExpectedCell
from reports.criteria.stream import Phase, Stream

Outcome = Literal["passed", "failed", "absent", "missing"]
VerdictName = Literal["PASS", "FAIL", "INCOMPLETE"]
EXIT_STATUS: Final[dict[str, int]] = {"PASS": 0, "FAIL": 1, "INCOMPLETE": 2}
PHASES: Final = ("setup", "call", "teardown")


@dataclass(frozen=True, slots=True)
class CellResult:
    """What one expected cell came to."""

    cell: ExpectedCell
    outcome: Outcome
    evidence: tuple[Evidence, ...]
    message: str

    @property
    def weakest(self) -> Evidence | None:
        """The evidence nearest to failing (or failing most); None when there is none."""
        return min(self.evidence, key=lambda entry: (entry.holds, entry.comfort), default=None)

    @property
    def decides_against(self) -> bool:
        """Whether this cell alone keeps the stage from passing."""
        return self.cell.level == "hard" and self.outcome not in ("passed", "absent")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a run with everything that led to it."""

    name: VerdictName
    cells: tuple[CellResult, ...]
    incomplete: tuple[str, ...]
    unexpected: tuple[str, ...]

    @property
    def overall_pass(self) -> bool:
        return self.name == "PASS"

    @property
    def weakest(self) -> CellResult | None:
        """The hard cell with the smallest margin in steps of its scale; exact conditions that hold have no distance and are left out."""
        candidates = [
            result
            for result in self.cells
            if result.cell.level == "hard" and result.weakest is not None and _has_distance(result.weakest)
        ]
        return min(candidates, key=lambda result: result.weakest.comfort if result.weakest else -math.inf, default=None)

    @property
    def weakest_steps(self) -> float | None:
        """Margin of the weakest cell in steps of its scale; None without one, or where it was not measured."""
        evidence = self.weakest.weakest if self.weakest else None
        return evidence.comfort if evidence and math.isfinite(evidence.comfort) else None


@dataclass(frozen=True, slots=True)
class Returned:
    """What came back of the child: its exit status (negative: a signal; None: it never ended by itself), its json report and its stream."""

    exit_status: int | None
    json_report: Mapping[str, Any] | None
    stream: Stream


def _has_distance(evidence: Evidence) -> bool:
    return not (evidence.threshold.relation == "==" and evidence.holds)


def judge(expected: Sequence[ExpectedCell], returned: Returned) -> Verdict:
    """The verdict of a run. Never raises for what came back."""
    cells = judge_cells(expected, returned.stream)
    incomplete = (*_absentees(expected, returned), *_disagreements(returned), *_missing(cells))
    unexpected = _unexpected(expected, returned.stream)
    return Verdict(_name(cells, incomplete, unexpected), cells, incomplete, unexpected)


def judge_cells(expected: Sequence[ExpectedCell], stream: Stream) -> tuple[CellResult, ...]:
    """What each expected cell came to by itself, in order."""
    return tuple(_judge_cell(cell, stream.phases.get(cell.node, [])) for cell in expected)


def overrule(verdict: Verdict, findings: Iterable[str]) -> Verdict:
    """The same verdict with findings made after the run: any of them turns a PASS into a FAIL."""
    unexpected = (*verdict.unexpected, *findings)
    return replace(verdict, name=_name(verdict.cells, verdict.incomplete, unexpected), unexpected=unexpected)


def _name(cells: Sequence[CellResult], incomplete: Sequence[str], unexpected: Sequence[str]) -> VerdictName:
    if incomplete or not cells:
        return "INCOMPLETE"
    if unexpected or any(result.decides_against for result in cells):
        return "FAIL"
    return "PASS" if any(result.cell.level == "hard" for result in cells) else "FAIL"


def _judge_cell(cell: ExpectedCell, phases: Sequence[Phase]) -> CellResult:
    evidence = tuple(entry for phase in phases for entry in phase.evidence)
    if sorted(phase.when for phase in phases) != sorted(_phases_of(phases)):
        return CellResult(
            cell,
            "missing",
            evidence,
            f"came back as {[phase.when for phase in phases]}, expected {list(PHASES)} once each",
        )
    trouble = _phase_trouble(phases)
    if cell.absent:
        outcome: Outcome = "failed" if trouble or any(entry.value is not None for entry in evidence) else "absent"
        return CellResult(cell, outcome, (), trouble or f"{cell.needs} is absent: {cell.absent}")
    faults = _evidence_faults(cell, evidence)
    judged = tuple(replace(entry, threshold=_frozen(cell, entry)) for entry in evidence)
    holds = not trouble and not faults and all(entry.holds for entry in judged)
    unmeasured = len(judged) < len(cell.thresholds)
    causes = (trouble, *faults) if unmeasured else faults or (trouble,)
    return CellResult(cell, "passed" if holds else "failed", judged, "; ".join(cause for cause in causes if cause))


def _phases_of(phases: Sequence[Phase]) -> tuple[str, ...]:
    """The phases a test must show: all three, or setup and teardown when setup did not pass (then call never ran, which is an answer)."""
    setup_failed = any(phase.when == "setup" and phase.outcome != "passed" for phase in phases)
    return ("setup", "teardown") if setup_failed else PHASES


def _phase_trouble(phases: Sequence[Phase]) -> str:
    for phase in phases:
        if phase.xfail:
            return f"{phase.when} was expected to fail, which is no answer"
        if phase.outcome != "passed":
            return phase.message or f"{phase.when} {phase.outcome}"
    return ""


def _evidence_faults(cell: ExpectedCell, evidence: Sequence[Evidence]) -> tuple[str, ...]:
    faults = []
    for threshold in cell.thresholds:
        entries = [entry for entry in evidence if entry.threshold.id == threshold.id]
        if len(entries) != 1:
            faults.append(f"{threshold.id} was recorded {len(entries)} times, expected once")
        elif not threshold.holds(entries[0].value):
            faults.append(f"{threshold.id} [{cell.id}]: {replace(entries[0], threshold=threshold).describe()}")
    known = {threshold.id for threshold in cell.thresholds}
    faults.extend(
        f"{entry.threshold.id} does not belong to {cell.gate}" for entry in evidence if entry.threshold.id not in known
    )
    return tuple(faults)


def _frozen(cell: ExpectedCell, entry: Evidence) -> Any:
    """The frozen threshold of this entry; the child's own copy only where the freeze has none (which is a fault by itself)."""
    return next((threshold for threshold in cell.thresholds if threshold.id == entry.threshold.id), entry.threshold)


def _missing(cells: Sequence[CellResult]) -> tuple[str, ...]:
    return tuple(
        f"{result.cell.gate} [{result.cell.id}] did not come back: {result.message}"
        for result in cells
        if result.outcome == "missing"
    )


def _absentees(expected: Sequence[ExpectedCell], returned: Returned) -> tuple[str, ...]:
    """Whatever should have come back and did not: the process, the stream's end, a worker, a worker's full collection."""
    stream, faults = returned.stream, list(returned.stream.faults)
    if returned.exit_status not in (0, 1):
        faults.append(f"the gate process ended with {_spell_exit(returned.exit_status)}, expected 0 or 1")
    if stream.exit is None:
        faults.append("the evidence stream has no last line: the controller did not finish")
    if stream.workers is None:
        faults.append("the evidence stream has no first line: the session did not start")
    wanted = {f"gw{number}" for number in range(stream.workers or 0)} or {"controller"}
    faults.extend(
        f"worker {worker} did not report what it collected" for worker in sorted(wanted - set(stream.collected))
    )
    if stream.workers:
        faults.extend(f"worker {worker} did not come back" for worker in sorted(wanted - set(stream.down)))
    strangers = sorted({*stream.collected, *stream.down} - wanted)
    faults.extend(f"worker {worker} was not among those that started" for worker in strangers)
    faults.extend(f"worker {worker} ended in error: {error}" for worker, error in sorted(stream.down.items()) if error)
    nodes = {cell.node for cell in expected}
    for worker, collected in sorted(stream.collected.items()):
        lacking = sorted(nodes - set(collected))
        if lacking:
            faults.append(
                f"worker {worker} did not collect {lacking[0]}"
                + (f" and {len(lacking) - 1} more" if len(lacking) > 1 else "")
            )
    return tuple(faults)


def _spell_exit(status: int | None) -> str:
    if status is None:
        return "no exit status"
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def _disagreements(returned: Returned) -> tuple[str, ...]:
    """Where the three witnesses contradict each other."""
    stream, faults = returned.stream, []
    if stream.exit is not None and returned.exit_status is not None and stream.exit != returned.exit_status:
        faults.append(
            f"the process ended with {_spell_exit(returned.exit_status)}, the evidence stream says {stream.exit}"
        )
    if returned.json_report is None:
        return (*faults, "the json report is missing or unreadable")
    said = {str(test.get("nodeid")): str(test.get("outcome")) for test in returned.json_report.get("tests", [])}
    saw = {node: _overall(phases) for node, phases in stream.phases.items()}
    faults.extend(
        f"{node}: the json report says {said.get(node, 'nothing')}, the evidence stream {saw.get(node, 'nothing')}"
        for node in sorted(said.keys() | saw.keys())
        if said.get(node) != saw.get(node)
    )
    if returned.json_report.get("exitcode") != returned.exit_status:
        faults.append(
            f"the json report says exit {returned.json_report.get('exitcode')}, the process ended with {_spell_exit(returned.exit_status)}"
        )
    failed = any(outcome not in ("passed", "skipped") for outcome in saw.values())
    if returned.exit_status == 0 and failed:
        faults.append("the process ended with exit status 0 although a test did not pass")
    if returned.exit_status == 1 and not failed:
        faults.append("the process ended with exit status 1 although every test passed")
    return tuple(faults)


def _overall(phases: Sequence[Phase]) -> str:
    """One word for a test, as pytest-json-report says it."""
    for phase in phases:
        if phase.xfail:
            return "xfailed" if phase.outcome == "skipped" else "xpassed"
        if phase.outcome == "skipped":
            return "skipped"
        if phase.outcome == "failed":
            return "failed" if phase.when == "call" else "error"
    return "passed"


def _unexpected(expected: Sequence[ExpectedCell], stream: Stream) -> tuple[str, ...]:
    nodes = {cell.node for cell in expected}
    ran = set(stream.phases) - nodes
    collected = {node for worker in stream.collected.values() for node in worker} - nodes
    return tuple(f"{node} is no expected cell of this stage" for node in sorted(ran | collected))


def read_json_report(path: Path) -> Mapping[str, Any] | None:
    """pytest-json-report's file, or None when it is absent or not a JSON object."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return report if isinstance(report, dict) else None
