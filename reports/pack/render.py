"""A verdict as a report: json for programs, markdown for people and pull requests, a table for the terminal. Same numbers in each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reports.criteria.evidence import Evidence
from reports.criteria.verdict import CellResult, Verdict

SCHEMA: Final = 1
_TAG: Final = re.compile(r"<(?=[A-Za-z/!?])")
"""A `<` that a browser would take for markup."""

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
        "unit": threshold.unit,
        "n_obs": weakest.n_obs if weakest else None,
        "note": (weakest.to_json()["note"] if weakest else "") or result.message,
        "interval": weakest.to_json()["interval"] if weakest else None,
        "evidence": [evidence_json(entry) for entry in result.evidence],
    }


def evidence_json(entry: Evidence) -> dict[str, Any]:
    """One condition with what was measured."""
    return {
        "threshold": entry.threshold.id,
        "holds": entry.holds,
        "measured": entry.to_json()["value"],
        "relation": entry.threshold.relation,
        "bound": entry.threshold.bound,
        "margin": entry.margin,
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
        "failures": failures(verdict),
        "artifacts": list(artifacts),
        "registry": dict(header.registry),
        "remediation": list(remediation),
    }


def evidence_lines(verdict: Verdict) -> list[dict[str, Any]]:
    """The evidence of a run without any time, path or worker: the same freeze gives the same bytes, whatever -n."""
    return [{"gate": result.cell.gate, "level": result.cell.level, **cell_json(result)} for result in verdict.cells]


def number(value: float | None) -> str:
    """Six significant digits, or `-`."""
    return "-" if value is None else f"{value:.6g}"


def gate_rows(cells: Iterable[CellResult]) -> list[tuple[str, str, str, str, str, str]]:
    """gate, worst cell, measured, bound, margin, outcome: what a table of gates shows."""
    rows = []
    for gate, results in by_gate(cells).items():
        bad = worst(results)
        cell = cell_json(bad)
        outcome = bad.outcome if bad.cell.level == "hard" or bad.outcome == "absent" else f"{bad.outcome} (diagnostic)"
        where = bad.cell.id if len(results) == 1 else f"{bad.cell.id} of {len(results)}"
        rows.append(
            (
                gate,
                where,
                number(cell["measured"]),
                f"{cell['relation']} {number(cell['bound'])}",
                number(cell["margin"]),
                outcome,
            )
        )
    return rows


HEADINGS: Final = ("gate", "worst cell", "measured", "bound", "margin", "outcome")


def table_text(cells: Iterable[CellResult]) -> str:
    """The table of gates for a terminal, at most 100 columns on the catalogue's names."""
    rows = [HEADINGS, *gate_rows(cells)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = []
    for row in rows:
        texts = [
            text.rjust(width) if column in (2, 3, 4) else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(texts).rstrip())
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _cell(text: object) -> str:
    """Text made inert inside a markdown table."""
    escaped = str(text).replace("\\", "\\\\").replace("|", "\\|").replace("\r", " ").replace("\n", " ")
    return _TAG.sub("&lt;", escaped).replace("[", "\\[").replace("`", "\\`")


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A markdown table with every cell made inert."""
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    lines.extend("| " + " | ".join(_cell(value) for value in row) + " |" for row in rows)
    return "\n".join(lines)


def report_markdown(report: Mapping[str, Any]) -> str:
    """The report for people, from the json and nothing else, so that the two cannot differ."""
    title = f"# {report['verdict']}: {_cell(report['candidate'])}, {report['stage']} of {report['decision_tag']}"
    official = "official" if report["official"] else f"unofficial ({'; '.join(report['official_reasons'])})"
    facts = [
        ("owner", report["owner"]),
        ("family", report["family"]),
        ("run", f"{report['run_id']}, {official}"),
        ("started, finished", f"{report['started_utc']}, {report['finished_utc']}"),
        ("freeze", report["freeze"]["sha256"]),
        ("data", report["freeze"]["data_sha256"]),
        ("code", report["freeze"]["git_commit"]),
        ("cost multipliers judged", ", ".join(f"{value:g}" for value in report["inputs"]["cost_multipliers"])),
        ("registry row", report["registry"]["seq"]),
    ]
    parts = [title, LINES[report["verdict"]]]
    if report["failures"]:
        rows = [(entry["gate"] or "run", entry["cell"] or "-", entry["message"]) for entry in report["failures"]]
        parts += ["## What did not pass", markdown_table(("gate", "cell", "why"), rows)]
    if report["notes"]:
        parts += ["## Notes", "\n".join(f"- {_cell(note)}" for note in report["notes"])]
    parts += ["## Run", markdown_table(("what", "value"), facts), "## Gates", _gates_markdown(report["gates"])]
    if report["windows"]:
        spans = [tuple(window.values()) for window in report["windows"]]
        parts += [
            "## Walk-forward windows",
            markdown_table([name.replace("_", " ") for name in report["windows"][0]], spans),
        ]
    if report["artifacts"]:
        files = [(entry["path"], entry["sha256"]) for entry in report["artifacts"]]
        parts += ["## Files", markdown_table(("file", "sha256"), files)]
    if report["remediation"]:
        parts += ["## What to do", _remediation_markdown(report["remediation"])]
    return "\n\n".join(parts) + "\n"


def _remediation_markdown(steps: Sequence[Mapping[str, str]]) -> str:
    """The ordered list of a run that did not pass; commands are typed in the workspace."""
    lines = []
    for number, step in enumerate(steps, 1):
        where = f"{step['gate']} \\[{step['cell']}\\]" if step["gate"] else "the run"
        lines += [
            f"{number}. {where}: {_cell(step['likely_cause'])}",
            f"   - look closer: `{step['look_closer'].replace('`', '')}`",
            f"   - a rerun needs: {_cell(step['rerun_needs'])}",
        ]
    return "\n".join(lines)


def _gates_markdown(gates: Mapping[str, Any]) -> str:
    rows = [
        row
        for gate, entry in gates.items()
        for cell in entry["cells"]
        for row in _cell_rows(gate, entry["level"], cell)
    ]
    return markdown_table(
        ("threshold", "cell", "measured", "95 %", "bound", "margin", "unit", "n", "outcome", "note"), rows
    )


def _cell_rows(gate: str, level: str, cell: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    """One row a condition of the cell; one for the whole cell where nothing was measured."""
    for shown in cell["evidence"] or [{**cell, "threshold": gate}]:
        outcome = {True: "passed", False: "failed"}.get(shown.get("holds"), cell["outcome"])
        figures = (
            number(shown["measured"]),
            interval_text(shown["interval"]),
            f"{shown['relation']} {number(shown['bound'])}",
        )
        kind = outcome if level == "hard" else f"{outcome} (diagnostic)"
        yield (
            shown["threshold"],
            cell["id"],
            *figures,
            number(shown["margin"]),
            shown["unit"],
            shown["n_obs"] or "-",
            kind,
            shown["note"],
        )


def interval_text(interval: Sequence[float] | None) -> str:
    """`0.51 .. 1.93`, or `-`."""
    return "-" if interval is None else f"{number(interval[0])} .. {number(interval[1])}"
