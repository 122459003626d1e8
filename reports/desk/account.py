"""What the report of a run says, read as it lies on disk: cells, messages, what to do. Nothing raises for a damaged report; it says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reports.desk.book import state_of
from reports.desk.whereabouts import NameShare, Whereabouts
from reports.record.chain import Row
from reports.record.durable import load_json, read_regular
from reports.record.errors import RecordError
from reports.record.workspace import Workspace
from reports.verification.report_check import contradictions

PASSED: Final = ("passed", "absent")


@dataclass(frozen=True, slots=True)
class CellAccount:
    """One cell of one gate as its report has it.

    to_pass: what would have to be true for it to pass, one sentence a condition that does not hold. first_date, last_date: the test dates that
    it was judged on, empty for a gate that is not judged on windows. names: who added least to it, worst first.
    """

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
    to_pass: tuple[str, ...]
    first_date: str
    last_date: str
    names: tuple[NameShare, ...]
    likely_cause: str
    look_closer: str
    rerun_needs: str

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

    failing: the cells that decided against it. messages: what is no cell's fault, such as a worker that did not come back. notes: what the report
    warns of. diagnostics: cells beyond their bound that decide nothing. absent: cells whose input was declared absent. weakest: the hard cell
    nearest to its bound.
    """

    stage: str
    state: str
    official: bool
    run_id: str
    utc: str
    report: str
    failing: tuple[CellAccount, ...]
    messages: tuple[str, ...]
    notes: tuple[str, ...]
    diagnostics: tuple[CellAccount, ...]
    absent: tuple[CellAccount, ...]
    weakest: CellAccount | None


def account_of(workspace: Workspace, row: Row, dead: frozenset[str]) -> StageAccount:
    """The account of a run by its last row."""
    report, messages = read_report(workspace, row)
    places = Whereabouts.of(workspace, row, report)
    cells = tuple(cells_of(report, places))
    failing = tuple(cell for cell in cells if cell.level == "hard" and cell.outcome not in PASSED)
    weakest = report.get("weakest")
    name = (weakest.get("gate"), weakest.get("cell")) if isinstance(weakest, dict) else ()
    notes = report.get("notes")
    return StageAccount(
        stage=row["stage"],
        state=state_of(row, dead),
        official=row["official"] == "true",
        run_id=row["run_id"],
        utc=row["utc"],
        report=row["report"],
        failing=failing,
        messages=(*messages, *_other_failures(report, {(cell.gate, cell.cell) for cell in failing})),
        notes=tuple(map(str, notes)) if isinstance(notes, list) else (),
        diagnostics=tuple(cell for cell in cells if cell.level != "hard" and cell.outcome not in PASSED),
        absent=tuple(cell for cell in cells if cell.outcome == "absent"),
        weakest=next((cell for cell in cells if (cell.gate, cell.cell) == name), None),
    )


def read_report(workspace: Workspace, row: Row) -> tuple[Mapping[str, Any], list[str]]:
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


def entries(report: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    """The objects of a list of the report; nothing where there is no such list."""
    listed = report.get(key)
    yield from (entry for entry in (listed if isinstance(listed, list) else ()) if isinstance(entry, dict))


def _other_failures(report: Mapping[str, Any], told: set[tuple[str, str]]) -> Iterator[str]:
    """Messages of the report that belong to no failing cell."""
    for entry in entries(report, "failures"):
        if (str(entry.get("gate")), str(entry.get("cell"))) not in told:
            yield str(entry.get("message", ""))


def cells_of(report: Mapping[str, Any], places: Whereabouts) -> Iterator[CellAccount]:
    """Every cell of a report, with what `places` knows of where it fell short."""
    steps = {(str(step.get("gate")), str(step.get("cell"))): step for step in entries(report, "remediation")}
    gates = report.get("gates")
    for key, gate in gates.items() if isinstance(gates, dict) else ():
        if not isinstance(gate, dict):
            continue
        for cell in entries(gate, "cells"):
            step = steps.get((key, str(cell.get("id"))), {})
            yield _cell(key, str(gate.get("level", "hard")), cell, step, places)


def _cell(gate: str, level: str, cell: Mapping[str, Any], step: Mapping[str, Any], places: Whereabouts) -> CellAccount:
    n_obs, shard = number(cell.get("n_obs")), str(cell.get("shard") or "")
    outcome = str(cell.get("outcome"))
    missed = level == "hard" and outcome not in PASSED
    first, last = places.dates(shard) if missed else ("", "")
    return CellAccount(
        gate=gate,
        level=level,
        cell=str(cell.get("id", "-")),
        outcome=outcome,
        measured=number(cell.get("measured")),
        relation=str(cell.get("relation", "")),
        bound=number(cell.get("bound")),
        margin=number(cell.get("margin")),
        unit=str(cell.get("unit", "")),
        n_obs=None if n_obs is None else int(n_obs),
        note=_note(gate, cell),
        to_pass=tuple(_to_pass(gate, cell)) if missed else (),
        first_date=first,
        last_date=last,
        names=places.names(gate, shard, number(cell.get("cost_multiplier"))) if missed else (),
        likely_cause=str(step.get("likely_cause", "")),
        look_closer=str(step.get("look_closer", "")),
        rerun_needs=str(step.get("rerun_needs", "")),
    )


def _note(gate: str, cell: Mapping[str, Any]) -> str:
    """What was noted of a cell besides its figures: the message of a failed one repeats them."""
    note = str(cell.get("note") or "")
    return "" if note.startswith((f"{gate}.", f"{gate} [")) else note


def _to_pass(gate: str, cell: Mapping[str, Any]) -> Iterator[str]:
    """What would have to be true for each condition of the cell that does not hold."""
    where = "" if cell.get("id") in (None, "-") else f" [{cell['id']}]"
    for shown in list(entries(cell, "evidence")) or [{**cell, "threshold": gate, "holds": False}]:
        if shown.get("holds") is True:
            continue
        measured, bound, margin = (number(shown.get(key)) for key in ("measured", "bound", "margin"))
        wanted = f"{shown.get('threshold', gate)}{where} {shown.get('relation', '')} {_figure(bound)}"
        if measured is None or margin is None:
            yield f"{wanted}: it must be measured at all"
        else:
            yield f"{wanted}: {_figure(abs(margin))} away, at {_figure(measured)}{_chance(shown, bound)}"


def _chance(shown: Mapping[str, Any], bound: float | None) -> str:
    """Whether the bound lies inside what chance leaves open."""
    interval = shown.get("interval")
    if not isinstance(interval, list) or len(interval) != 2 or bound is None:
        return ""
    lower, upper = map(number, interval)
    if lower is None or upper is None:
        return ""
    told = "holds the bound: more data could decide" if lower <= bound <= upper else "excludes the bound"
    return f"; its 95 % interval {_figure(lower)} .. {_figure(upper)} {told}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def number(value: object) -> float | None:
    """A number as it stands in JSON; None for anything else."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
