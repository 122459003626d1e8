"""A verdict as the report json, and how its numbers are spelled wherever a person reads them: page, markdown, terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reports.criteria.evidence import Evidence
from reports.criteria.verdict import CellResult, Verdict

SCHEMA: Final = 1
LINES: Final[dict[str, str]] = {
    "PASS": "Every required gate passed in every cell.",
    "FAIL": "At least one hard gate did not pass; every cell came back.",
    "INCOMPLETE": "Something did not come back, so nothing is known: this is not a pass.",
}


@dataclass(frozen=True, slots=True)
class ReportHeader:
    """Everything of a report that the verdict does not hold."""

    stage: str
    decision_tag: str
    run_id: str
    candidate: str
    family: str
    owner: str
    official: bool
    official_reasons: tuple[str, ...]
    started_utc: str
    finished_utc: str
    inputs: Mapping[str, Any]
    freeze: Mapping[str, Any]
    registry: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def cell_json(result: CellResult) -> dict[str, Any]:
    """A cell as the report holds it: its weakest condition in front, every condition under `evidence`."""
    weakest = result.weakest
    threshold = weakest.threshold if weakest else result.cell.thresholds[0]
    return {
        "id": result.cell.id,
        "shard": result.cell.shard,
        "cost_multiplier": result.cell.cost_multiplier,
        "outcome": result.outcome,
        "measured": weakest.to_json()["value"] if weakest else None,
        "relation": threshold.relation,
        "bound": threshold.bound,
        "margin": weakest.margin if weakest else None,
        "steps": steps(weakest) if weakest else None,
        "unit": threshold.unit,
        "n_obs": weakest.n_obs if weakest else None,
        "note": (weakest.to_json()["note"] if weakest else "") or result.message,
        "interval": weakest.to_json()["interval"] if weakest else None,
        "evidence": [evidence_json(entry) for entry in result.evidence],
    }


def steps(entry: Evidence) -> float | None:
    """Margin in steps of the threshold's scale, what makes two gates comparable; None when nothing was measured."""
    return None if entry.margin is None else entry.comfort


def evidence_json(entry: Evidence) -> dict[str, Any]:
    """One condition with what was measured."""
    return {
        "threshold": entry.threshold.id,
        "holds": entry.holds,
        "measured": entry.to_json()["value"],
        "relation": entry.threshold.relation,
        "bound": entry.threshold.bound,
        "margin": entry.margin,
        "steps": steps(entry),
        "unit": entry.threshold.unit,
        "n_obs": entry.n_obs,
        "note": entry.to_json()["note"],
        "interval": entry.to_json()["interval"],
    }


def by_gate(cells: Iterable[CellResult]) -> dict[str, list[CellResult]]:
    """The cells of each gate, in the order of the freeze."""
    gates: dict[str, list[CellResult]] = {}
    for result in cells:
        gates.setdefault(result.cell.gate, []).append(result)
    return gates


def worst(results: Sequence[CellResult]) -> CellResult:
    """The cell of a gate nearest to failing, or failing most; a cell that did not come back is worse than any."""
    order = {"missing": 0, "failed": 1, "passed": 2, "absent": 3}
    return min(results, key=lambda result: (order[result.outcome], result.weakest.comfort if result.weakest else 0.0))


def gate_json(results: Sequence[CellResult]) -> dict[str, Any]:
    """A gate as the report holds it."""
    outcomes = {result.outcome for result in results}
    return {
        "level": results[0].cell.level,
        "passed": None if outcomes == {"absent"} else outcomes <= {"passed", "absent"},
        "measured_worst": cell_json(worst(results))["measured"],
        "cells": [cell_json(result) for result in results],
    }


def failures(verdict: Verdict) -> list[dict[str, str]]:
    """Everything that kept the run from passing, each naming its gate and cell where it has one."""
    found = [
        {"gate": result.cell.gate, "cell": result.cell.id, "message": result.message}
        for result in verdict.cells
        if result.decides_against
    ]
    found.extend({"gate": "", "cell": "", "message": message} for message in (*verdict.incomplete, *verdict.unexpected))
    return found


def report_json(
    header: ReportHeader,
    verdict: Verdict,
    artifacts: Sequence[Mapping[str, str]],
    windows: Sequence[Mapping[str, Any]] = (),
    remediation: Sequence[Mapping[str, str]] = (),
    figures: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The report json of formats: docs/formats.md."""
    weakest = verdict.weakest
    return {
        "schema": SCHEMA,
        "stage": header.stage,
        "decision_tag": header.decision_tag,
        "run_id": header.run_id,
        "candidate": header.candidate,
        "family": header.family,
        "owner": header.owner,
        "official": header.official,
        "official_reasons": list(header.official_reasons),
        "overall_pass": verdict.overall_pass,
        "verdict": verdict.name,
        "started_utc": header.started_utc,
        "finished_utc": header.finished_utc,
        "inputs": dict(header.inputs),
        "freeze": dict(header.freeze),
        "gates": {gate: gate_json(results) for gate, results in by_gate(verdict.cells).items()},
        "weakest": None
        if weakest is None
        else {
            "gate": weakest.cell.gate,
            "cell": weakest.cell.id,
            "steps": verdict.weakest_steps,
        },
        "absent": sum(result.outcome == "absent" for result in verdict.cells),
        "notes": list(header.notes),
        "windows": list(windows),
        "figures": dict(figures or {}),
        "failures": failures(verdict),
        "artifacts": list(artifacts),
        "registry": dict(header.registry),
        "remediation": list(remediation),
    }


def evidence_lines(verdict: Verdict) -> list[dict[str, Any]]:
    """The evidence of a run without any time, path or worker: the same freeze gives the same bytes, whatever -n."""
    return [{"gate": result.cell.gate, "level": result.cell.level, **cell_json(result)} for result in verdict.cells]


def number(value: float | None) -> str:
    """A whole number as it is, anything else to four significant digits; `-` for what was not measured."""
    if value is None:
        return "-"
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e12 else f"{value:.4g}"


def interval_text(interval: Sequence[float] | None) -> str:
    """`0.51 .. 1.93`, or `-`."""
    return "-" if interval is None else f"{number(interval[0])} .. {number(interval[1])}"


def reason(report: Mapping[str, Any]) -> str:
    """Why the report says what it says, in one sentence made of its own numbers."""
    hard = {gate: entry for gate, entry in report["gates"].items() if entry["level"] == "hard"}
    cells = [cell for entry in hard.values() for cell in entry["cells"]]
    if report["verdict"] == "INCOMPLETE":
        missing = sum(cell["outcome"] == "missing" for cell in cells)
        first = next((entry["message"] for entry in report["failures"] if not entry["gate"]), "nothing came back")
        what = (
            f"{missing} of {len(cells)} deciding cells did not come back" if missing else "the run did not end in order"
        )
        return f"{what[0].upper()}{what[1:]}, so nothing is known and nothing is promoted: {first}."
    failed = [gate for gate, entry in hard.items() if entry["passed"] is False]
    if report["verdict"] == "FAIL" and failed:
        gate, worst_cell = _furthest(hard, failed)
        return f"{len(failed)} of {len(hard)} deciding gates failed, {gate} furthest beyond its bound: {_told(worst_cell)}."
    if report["verdict"] == "FAIL":
        return f"Every gate held, but the run is no pass: {report['failures'][0]['message'] if report['failures'] else 'see the failures'}."
    nearest = report["weakest"]
    told = f"; nearest to its bound is {nearest['gate']}: {_told(_named(hard, nearest))}" if nearest else ""
    return f"All {len(hard)} deciding gates hold in all {len(cells)} cells{told}."


def _furthest(gates: Mapping[str, Any], failed: Sequence[str]) -> tuple[str, Mapping[str, Any]]:
    """The failed cell with the widest negative distance; one that was not measured is further than any."""
    cells = [
        (gate, cell) for gate in failed for cell in gates[gate]["cells"] if cell["outcome"] not in ("passed", "absent")
    ]
    return min(cells, key=lambda pair: float("-inf") if pair[1].get("steps") is None else float(pair[1]["steps"]))


def _named(gates: Mapping[str, Any], weakest: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(cell for cell in gates[weakest["gate"]]["cells"] if cell["id"] == weakest["cell"])
    return found


def _told(cell: Mapping[str, Any]) -> str:
    """`at wf-2 x2, net Sharpe 0.15 where >= 0.6 is required`, or why there is no figure."""
    where = "" if cell["id"] == "-" else f"at {cell['id']}, "
    if cell["measured"] is None:
        return f"{where}not measured ({cell['note'] or cell['unit']})"
    return (
        f"{where}{cell['unit']} {number(cell['measured'])} where {cell['relation']} {number(cell['bound'])} is required"
    )
