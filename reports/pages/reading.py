"""A parsed report json as pages and markdown may rely on it: every key there, every type right, whatever version wrote it.

An earlier version of this project wrote reports without some keys; those are filled with "nothing" and named. Anything else that is missing or
of another type is refused with its place, so that what renders never meets a surprise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from reports.record.errors import RecordError
from reports.record.workspace import STAGES

Report = dict[str, Any]
Kinds = tuple[type, ...]

TEXT: Final[Kinds] = (str,)
NUMBER: Final[Kinds] = (int, float, type(None))
REQUIRED: Final[dict[str, Kinds]] = {
    **dict.fromkeys(("stage", "decision_tag", "run_id", "candidate", "family", "owner", "verdict"), TEXT),
    **dict.fromkeys(("started_utc", "finished_utc"), TEXT),
    **dict.fromkeys(("inputs", "freeze", "gates", "registry"), (dict,)),
    **dict.fromkeys(("failures", "artifacts"), (list,)),
    "schema": (int,),
    "official": (bool,),
}
LATER: Final[dict[str, Any]] = {
    "official_reasons": [],
    "weakest": None,
    "absent": 0,
    "notes": [],
    "windows": [],
    "remediation": [],
    "figures": {},
}
"""Keys that came after the first reports, and what stands for them."""

CELL: Final[dict[str, Kinds]] = {
    "id": TEXT,
    "outcome": TEXT,
    "relation": TEXT,
    "unit": TEXT,
    "measured": NUMBER,
    "bound": NUMBER,
    "margin": NUMBER,
    "n_obs": NUMBER,
}
CELL_LATER: Final[dict[str, Any]] = {"note": "", "interval": None, "steps": None, "evidence": []}


def current(report: Any, where: str) -> tuple[Report, tuple[str, ...]]:
    """The report with every key of this version, and what it does not hold because an earlier version wrote it.

    Raises RecordError naming the first key that is missing or of another type.
    """
    _check(report, (dict,), "the report", where)
    for key, kinds in REQUIRED.items():
        _check(report.get(key), kinds, key, where)
    if report["stage"] not in STAGES or report["verdict"] not in ("PASS", "FAIL", "INCOMPLETE"):
        raise _malformed(f"stage {report['stage']!r} with verdict {report['verdict']!r}", where)
    gates = {gate: _gate(entry, gate, where) for gate, entry in report["gates"].items()}
    full = {**LATER, **report, "gates": gates}
    full["inputs"] = {"cost_multipliers": [], **report["inputs"]}
    full["freeze"] = {"sha256": "-", "data_sha256": "-", "git_commit": "-", **report["freeze"]}
    full["registry"] = {"seq": "-", **report["registry"]}
    for entry in full["failures"]:
        _check(entry, (dict,), "failures", where)
    full["failures"] = [{"gate": "", "cell": "", "message": "", **entry} for entry in full["failures"]]
    return full, tuple(_lacking(report, gates))


def _lacking(report: Mapping[str, Any], gates: Mapping[str, Any]) -> Iterator[str]:
    if "figures" not in report:
        yield "This report was written before figures were recorded: it shows none."
    if not gates:
        yield "The report holds no gate."


def _gate(entry: Any, gate: str, where: str) -> Report:
    _check(entry, (dict,), gate, where)
    _check(entry.get("level"), TEXT, f"{gate}.level", where)
    _check(entry.get("cells"), (list,), f"{gate}.cells", where)
    if not entry["cells"]:
        raise _malformed(f"{gate} has no cell", where)
    return {"passed": None, **entry, "cells": [_cell(cell, gate, where) for cell in entry["cells"]]}


def _cell(cell: Any, gate: str, where: str) -> Report:
    _check(cell, (dict,), f"{gate}.cells", where)
    for key, kinds in CELL.items():
        _check(cell.get(key), kinds, f"{gate}.{key}", where)
    conditions = cell.get("evidence") or []
    _check(conditions, (list,), f"{gate}.evidence", where)
    for condition in conditions:
        _check(condition, (dict,), f"{gate}.evidence", where)
        for key in ("measured", "bound", "margin"):
            _check(condition.get(key), NUMBER, f"{gate}.evidence.{key}", where)
    whole = [
        {"threshold": gate, "relation": "", "unit": "", "n_obs": None, **CELL_LATER, **each} for each in conditions
    ]
    return {**CELL_LATER, **cell, "evidence": whole}


def _check(value: Any, kinds: Kinds, name: str, where: str) -> None:
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted = " or ".join("nothing" if kind is type(None) else kind.__name__ for kind in kinds)
        raise _malformed(f"{name} is {type(value).__name__}, expected {wanted}", where)


def _malformed(what: str, where: str) -> RecordError:
    return RecordError(
        f"this is no report: {what}", where=where, remedy="run `stagegate verify`; restore the pack from a backup"
    )
