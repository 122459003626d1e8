"""Does a report json say one thing?

Its own numbers are judged again, so that a hand-written PASS contradicts its cells. Pure and total.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from reports.criteria.evidence import HOLDS
from reports.record.chain import cell_text

REPORT_KEYS: Final = (
    *(
        "schema",
        "stage",
        "decision_tag",
        "run_id",
        "candidate",
        "family",
        "owner",
        "official",
        "overall_pass",
        "verdict",
    ),
    *("started_utc", "finished_utc", "inputs", "freeze", "gates", "failures", "artifacts", "registry"),
)
CELL_KEYS: Final = (
    "id",
    "shard",
    "cost_multiplier",
    "outcome",
    "measured",
    "relation",
    "bound",
    "margin",
    "unit",
    "n_obs",
)
IDENTITY_SHARED: Final = ("stage", "decision_tag", "run_id", "candidate", "family", "owner", "official")
SHARED_WITH_ROW: Final = (*IDENTITY_SHARED, "verdict", "overall_pass")
FREEZE_SHARED_WITH_ROW: Final = {
    "sha256": "freeze_sha256",
    "config_sha256": "config_sha256",
    "data_sha256": "data_sha256",
    "git_commit": "git_commit",
}


def contradictions(report: Any) -> Iterator[str]:
    """Every way in which a parsed report json contradicts itself or lacks what it must hold."""
    if not isinstance(report, dict):
        yield "is no JSON object"
        return
    yield from (f"lacks {key}" for key in REPORT_KEYS if key not in report)
    gates = report.get("gates")
    if not isinstance(gates, dict):
        yield "gates is no JSON object"
        return
    failed = []
    for key, gate in gates.items():
        if not isinstance(gate, dict):
            yield f"{key} is no JSON object"
            continue
        yield from (f"{key}: {fault}" for fault in _gate_contradictions(gate))
        if gate.get("level") == "hard" and not _all_passed(gate):
            failed.append(key)
    overall = report.get("overall_pass")
    if overall is not (report.get("verdict") == "PASS"):
        yield f"overall_pass is {overall} beside verdict {report.get('verdict')!r}"
    if overall is True and failed:
        yield f"overall_pass is true although hard gates did not pass: {', '.join(failed)}"
    if overall is True and not gates:
        yield "overall_pass is true without a gate"


def _gate_contradictions(gate: Mapping[str, Any]) -> Iterator[str]:
    cells = gate.get("cells")
    if not isinstance(cells, list) or not cells:
        yield "has no cell"
        return
    for cell in cells:
        if not isinstance(cell, dict):
            yield "holds a cell that is no JSON object"
            continue
        yield from (f"cell {cell.get('id')} lacks {key}" for key in CELL_KEYS if key not in cell)
        if cell.get("outcome") == "passed" and not _holds(cell):
            yield f"cell {cell.get('id')} passed with {cell.get('measured')} {cell.get('relation')} {cell.get('bound')}"
    if gate.get("level") == "hard" and gate.get("passed") is True and not _all_passed(gate):
        yield "passed with a cell that did not"


def _holds(cell: Mapping[str, Any]) -> bool:
    measured, bound, relation = cell.get("measured"), cell.get("bound"), cell.get("relation")
    if isinstance(measured, bool) or isinstance(bound, bool) or not isinstance(relation, str) or relation not in HOLDS:
        return False
    if not isinstance(measured, (int, float)) or not isinstance(bound, (int, float)):
        return False
    return -math.inf < measured < math.inf and HOLDS[relation](measured, bound)


def _all_passed(gate: Mapping[str, Any]) -> bool:
    cells = gate.get("cells")
    return isinstance(cells, list) and all(
        isinstance(cell, dict) and cell.get("outcome") in ("passed", "absent") for cell in cells
    )


def differences(
    report: Mapping[str, Any],
    row: Mapping[str, str],
    started: Mapping[str, str] | None,
    keys: Sequence[str] = SHARED_WITH_ROW,
) -> Iterator[str]:
    """Every way in which a report tells another story than a row of its run and, where given, its STARTED row."""
    for key in keys:
        yield from _differing(key, report.get(key), row[key])
    freeze = report.get("freeze")
    for key, column in FREEZE_SHARED_WITH_ROW.items():
        value = freeze.get(key) if isinstance(freeze, dict) else None
        if value is not None and row[column] and _bare(value) != _bare(row[column]):
            yield f"freeze.{key} is {value!r}, the registry's {column} is {row[column]!r}"
    place = report.get("registry")
    if started is not None:
        place = place if isinstance(place, dict) else {}
        yield from _differing("registry.seq", place.get("seq"), started["seq"])
        yield from _differing("registry.prev_hash", place.get("prev_hash"), started["prev_hash"])


def _differing(name: str, value: Any, recorded: str) -> Iterator[str]:
    text = cell_text(value) if isinstance(value, (str, int, type(None))) else repr(value)
    if text != recorded:
        yield f"{name} is {text!r}, the registry says {recorded!r}"


def _bare(value: Any) -> str:
    return str(value).removeprefix("sha256:").removeprefix("git:")
