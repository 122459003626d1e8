"""Why did a tag end as it did? Stage by stage, from the report json files that the registry names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reports.desk.book import CLOSED, state_of
from reports.record.chain import Row
from reports.record.durable import load_json, read_regular
from reports.record.errors import RecordError
from reports.record.workspace import Workspace
from reports.verification.report_check import contradictions
from reports.verification.verify import dead_runs

PASSED: Final = ("passed", "absent")


@dataclass(frozen=True, slots=True)
class CellAccount:
    """One cell of one gate as its report has it."""

    gate: str
    level: str
    cell: str
    outcome: str
    measured: float | None
    relation: str
    bound: float | None
    margin: float | None
    unit: str
    n_obs: int | None
    note: str

    def __str__(self) -> str:
        where = "" if self.cell == "-" else f" [{self.cell}]"
        measured = f"measured {self.measured:.6g}" if self.measured is not None else "not measured"
        required = f", required {self.relation} {self.bound:.6g}" if self.bound is not None else ""
        margin = f", margin {self.margin:+.4g}" if self.margin is not None else ""
        count = f" (n = {self.n_obs})" if self.n_obs is not None else ""
        return f"{self.gate}{where}: {measured}{required}{margin} {self.unit}{count}" + (
            f": {self.note}" if self.note else ""
        )


@dataclass(frozen=True, slots=True)
class StageAccount:
    """One run of one stage.

    failing: the cells that decided against it. messages: what is no cell's fault, such as a worker that did not come back. diagnostics: cells
    beyond their bound that decide nothing. absent: cells whose input was declared absent. weakest: the hard cell nearest to its bound.
    """

    stage: str
    state: str
    official: bool
    run_id: str
    utc: str
    report: str
    failing: tuple[CellAccount, ...]
    messages: tuple[str, ...]
    diagnostics: tuple[CellAccount, ...]
    absent: tuple[CellAccount, ...]
    weakest: CellAccount | None


def explain(workspace: Workspace, rows: Sequence[Row], tag: str) -> tuple[StageAccount, ...]:
    """Every run of a tag, in the order of the registry. RecordError when the registry has no such tag."""
    mine = [row for row in rows if row["decision_tag"] == tag]
    if not mine:
        raise RecordError(
            f"tag {tag} has no row", where=str(workspace.registry), remedy="name a tag that `stagegate status` lists"
        )
    closed = {row["run_id"]: row for row in mine if row["event"] in CLOSED}
    dead = dead_runs(workspace, rows)
    return tuple(_account(workspace, closed.get(row["run_id"], row), dead) for row in mine if row["event"] == "STARTED")


def _account(workspace: Workspace, row: Row, dead: frozenset[str]) -> StageAccount:
    report, messages = _read_report(workspace, row)
    cells = tuple(_cells(report))
    failing = tuple(cell for cell in cells if cell.level == "hard" and cell.outcome not in PASSED)
    weakest = report.get("weakest")
    name = (weakest.get("gate"), weakest.get("cell")) if isinstance(weakest, dict) else ()
    return StageAccount(
        stage=row["stage"],
        state=state_of(row, dead),
        official=row["official"] == "true",
        run_id=row["run_id"],
        utc=row["utc"],
        report=row["report"],
        failing=failing,
        messages=(*messages, *_other_failures(report, {(cell.gate, cell.cell) for cell in failing})),
        diagnostics=tuple(cell for cell in cells if cell.level != "hard" and cell.outcome not in PASSED),
        absent=tuple(cell for cell in cells if cell.outcome == "absent"),
        weakest=next((cell for cell in cells if (cell.gate, cell.cell) == name), None),
    )


def _other_failures(report: Mapping[str, Any], told: set[tuple[str, str]]) -> Iterator[str]:
    """Messages of the report that belong to no failing cell."""
    listed = report.get("failures")
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, dict) and (entry.get("gate"), entry.get("cell")) not in told:
            yield str(entry.get("message", ""))


def _read_report(workspace: Workspace, row: Row) -> tuple[Mapping[str, Any], list[str]]:
    """The report of a row, and what keeps it from being read; a run that was ABANDONED says why in its row."""
    if row["event"] != "FINISHED":
        return {}, [row["detail"]] if row["detail"] else []
    try:
        report = load_json(read_regular(workspace.root / row["report"]), row["report"])
    except RecordError as error:
        return {}, [f"the report {error.what}; run `stagegate verify`"]
    strange = [f"the report contradicts itself: {fault}; run `stagegate verify`" for fault in contradictions(report)][
        :1
    ]
    return (report, strange) if isinstance(report, dict) else ({}, strange)


def _cells(report: Mapping[str, Any]) -> Iterator[CellAccount]:
    gates = report.get("gates")
    for key, gate in gates.items() if isinstance(gates, dict) else ():
        listed = gate.get("cells") if isinstance(gate, dict) else None
        for cell in listed if isinstance(listed, list) else ():
            if isinstance(cell, dict):
                yield _cell(key, str(gate.get("level", "hard")), cell)


def _cell(gate: str, level: str, cell: Mapping[str, Any]) -> CellAccount:
    n_obs = _number(cell.get("n_obs"))
    return CellAccount(
        gate=gate,
        level=level,
        cell=str(cell.get("id", "-")),
        outcome=str(cell.get("outcome")),
        measured=_number(cell.get("measured")),
        relation=str(cell.get("relation", "")),
        bound=_number(cell.get("bound")),
        margin=_number(cell.get("margin")),
        unit=str(cell.get("unit", "")),
        n_obs=None if n_obs is None else int(n_obs),
        note=str(cell.get("note") or ""),
    )


def _number(value: object) -> float | None:
    """A number as it stands in JSON; None for anything else."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
