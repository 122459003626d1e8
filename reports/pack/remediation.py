"""What to do about a run that did not pass: an ordered list from its verdict and the reviewed table of remedies.

What did not come back stands first, for nothing else is known before it does; then the failing cells in the order of the policy (data before signal
before costs), the worst cell of a gate first. Pure; decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from reports.criteria.remedies import Remedy, remedy_of
from reports.criteria.verdict import CellResult, Verdict
from reports.pack.render import ReportHeader, by_gate

LOG: Final = "less PACK/run.log"
NOT_BACK: Final = "the process or the worker that ran it did not come back"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that did not pass; gate and cell are empty where it is the run as a whole."""

    gate: str
    cell: str
    likely_cause: str
    look_closer: str
    rerun_needs: str


def remediation(verdict: Verdict, header: ReportHeader, pack: str) -> list[dict[str, str]]:
    """The list as the report holds it; empty for a PASS. `pack`: the pack's folder, relative to the workspace."""
    if verdict.overall_pass:
        return []
    return [asdict(step) for step in _steps(verdict, header, pack)]


def _steps(verdict: Verdict, header: ReportHeader, pack: str) -> Iterator[Step]:
    places = {"PACK": pack, "TAG": header.decision_tag, "CANDIDATE": _candidate(header.inputs)}
    log = filled(LOG, places)
    of_cells = {f"{result.cell.gate} [{result.cell.id}] did not come back" for result in verdict.cells}
    for message in (*verdict.incomplete, *verdict.unexpected):
        if message.partition(":")[0] not in of_cells:
            yield Step("", "", message, log, _needs(verdict, header, None))
    decided = [result for result in verdict.cells if result.decides_against]
    for result in (found for found in decided if found.outcome == "missing"):
        yield Step(result.cell.gate, result.cell.id, NOT_BACK, log, _needs(verdict, header, None))
    measured = by_gate(result for result in decided if result.outcome != "missing")
    for result in (found for results in measured.values() for found in sorted(results, key=_comfort)):
        remedy = remedy_of(result.cell.gate)
        look = filled(remedy.look, places) if remedy else log
        yield Step(result.cell.gate, result.cell.id, _cause(result, remedy), look, _needs(verdict, header, remedy))


def filled(command: str, places: Mapping[str, str]) -> str:
    """A command of the table with its places filled in."""
    for name, value in places.items():
        command = command.replace(name, value)
    return command


def _candidate(inputs: Mapping[str, Any]) -> str:
    return str(inputs.get("candidate", "CANDIDATE")).removeprefix("workspace:").removeprefix("repository:")


def _comfort(result: CellResult) -> float:
    return result.weakest.comfort if result.weakest else -math.inf


def _cause(result: CellResult, remedy: Remedy | None) -> str:
    """The table's cause for what was measured and fell short; the cell's own words for what was not measured."""
    weakest = result.weakest
    if remedy is None or weakest is None or weakest.margin is None:
        return f"it was not measured: {(weakest.note if weakest else '') or result.message}"
    return remedy.cause


def _needs(verdict: Verdict, header: ReportHeader, remedy: Remedy | None) -> str:
    """What a legitimate rerun needs."""
    if not header.official:
        return f"nothing: an unofficial run spends nothing; mend, then run {header.stage} again"
    rerun = f"a new tag from s0 with --supersedes {header.decision_tag} --root-cause"
    if verdict.name == "INCOMPLETE":
        return f'{rerun} environment:"what happened"; nothing need differ'
    if remedy is None:
        return f'{rerun} CLASS:"what was wrong", and something that differs'
    return f'{rerun} {remedy.root_cause}:"what was wrong", and something that differs: {remedy.change}'
