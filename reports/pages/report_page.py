"""The page of a report: a single html file made from the report json alone. No script, no address that a browser could fetch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from reports.pack.markdown import (
    FIGURE_TITLES,
    GATE_HEADINGS,
    RANK,
    gate_rows,
    outcome_text,
    run_facts,
    window_rows,
)
from reports.pack.render import interval_text, number, reason
from reports.pages.charts import Chart, draw
from reports.pages.reading import Report, current
from reports.record.errors import RecordError
from reports.record.workspace import STAGES

if TYPE_CHECKING:
    from jinja2 import Environment

SYMBOLS: Final = {"PASS": "✓", "FAIL": "✗", "INCOMPLETE": "?"}
MONOSPACED: Final = ("run", "freeze", "data", "code")
STAGE_TITLES: Final = {
    "s0": "Scope freeze",
    "s1": "Baseline validation",
    "s2": "Stress and robustness",
    "s3": "Production gates",
    "s4": "Deployment readiness",
}


@cache
def environment() -> Environment:
    """The templates beside this module: everything is escaped, an unknown name is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("reports.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["breakable"] = breakable
    return made


def breakable(name: str) -> Any:
    """A long name that a browser may break after its points and underscores."""
    from markupsafe import Markup, escape

    return Markup("<wbr>").join(escape(part) for part in re.findall(r"[^._]+[._]?|[._]", name))


def style() -> Any:
    """The style sheet, as markup: it is ours and holds no text of a record."""
    from markupsafe import Markup

    return Markup((files("reports.pages") / "templates" / "style.css").read_text(encoding="utf-8"))  # noqa: S704


def report_page(report: Any, where: str, warnings: Sequence[str] = ()) -> str:
    """The page of a parsed report json; `where` names it in messages, `warnings` stand under the verdict.

    Raises RecordError when it is no report: see reading.current.
    """
    full, lacking = current(report, where)
    from jinja2 import TemplateError

    template = environment().get_template("report.html.jinja")
    try:
        return template.render(_view(full, (*warnings, *lacking)))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, TemplateError) as error:
        raise RecordError(
            f"a figure or table of the report cannot be shown: {type(error).__name__}: {error}",
            where=where,
            remedy="run `stagegate verify`; restore the pack from a backup",
        ) from error


def page_of(report: Any, where: str, warnings: Sequence[str] = ()) -> str:
    """The page of a report, or the page that says why there is none: total, and the same for the same report."""
    try:
        return report_page(report, where, warnings)
    except RecordError as error:
        return fault_page(where, [f"{error.what}.", f"To mend: {error.remedy}."])


def fault_page(title: str, lines: Sequence[str]) -> str:
    """A page that says that there is no report, and why."""
    return environment().get_template("fault.html.jinja").render(style=style(), title=title, lines=lines)


def _view(report: Report, warnings: Sequence[str]) -> dict[str, Any]:
    figures = [_shown(name, report["figures"][name]) for name in FIGURE_TITLES if name in report["figures"]]
    return {
        "style": style(),
        "report": report,
        "stage_title": STAGE_TITLES[report["stage"]],
        "stem": f"{STAGES[report['stage']]}_report",
        "symbol": SYMBOLS[report["verdict"]],
        "reason": reason(report),
        "warnings": warnings,
        "contents": tuple(_contents(report, figures)),
        "facts": run_facts(report),
        "mono": MONOSPACED,
        "failures": unmeasured(report),
        "gates": gate_lines(report["gates"]),
        "cell_headings": GATE_HEADINGS,
        "cells": gate_rows(report["gates"]),
        "figures": figures,
        "window_headings": [name.replace("_", " ") for name in report["windows"][0]] if report["windows"] else [],
        "window_rows": [tuple(window.values()) for window in report["windows"]],
        "folder": str(report["artifacts"][0]["path"]).rpartition("/")[0] if report["artifacts"] else "",
        "files": [
            (str(entry["path"]).rpartition("/")[2], str(entry["sha256"]).removeprefix("sha256:"))
            for entry in report["artifacts"]
        ],
    }


def _contents(report: Report, figures: Sequence[ShownFigure]) -> Iterator[tuple[str, str]]:
    yield "run", "Who, when, on what"
    if unmeasured(report):
        yield "failures", "Besides the figures"
    if report["remediation"]:
        yield "remedies", "What to do"
    yield "gates", "Gates"
    yield from ((figure.anchor, figure.heading) for figure in figures)
    yield "files", "The pack"


def unmeasured(report: Report) -> list[tuple[str, str, str]]:
    """gate, cell, message of what went wrong without a figure: a worker that did not come back, a cell that was not measured."""
    told = {
        (gate, cell["id"])
        for gate, entry in report["gates"].items()
        for cell in entry["cells"]
        if cell["measured"] is not None
    }
    return [
        (entry["gate"] or "run", entry["cell"] or "-", entry["message"])
        for entry in report["failures"]
        if (entry["gate"], entry["cell"]) not in told
    ]


# ------------------------------------------------------------------------------------------------------------- gates


@dataclass(frozen=True, slots=True)
class GateLine:
    """One condition of a gate at its worst cell. share: signed distance to the bound squeezed into (-1, 1); None when not measured."""

    threshold: str
    unit: str
    note: str
    cell: str
    cells: int
    measured: str
    interval: str
    bound: str
    margin: str
    share: float | None
    n_obs: str
    outcome: str
    diagnostic: bool

    @property
    def row_class(self) -> str:
        return "" if self.diagnostic else self.outcome

    @property
    def outcome_class(self) -> str:
        return "aside" if self.diagnostic and self.outcome == "failed" else self.outcome


def gate_lines(gates: Mapping[str, Any]) -> list[GateLine]:
    """One line a condition, at the cell nearest to failing; what did not pass first, otherwise in the order of the freeze."""
    found = [line for gate, entry in gates.items() for line in _lines(gate, entry)]
    return sorted(
        found, key=lambda line: RANK.get(f"{line.outcome} (diagnostic)" if line.diagnostic else line.outcome, 0)
    )


def _lines(gate: str, entry: Mapping[str, Any]) -> Iterator[GateLine]:
    conditions: dict[str, list[tuple[Mapping[str, Any], Mapping[str, Any]]]] = {}
    for cell in entry["cells"]:
        for condition in cell["evidence"] or [{**cell, "threshold": gate}]:
            conditions.setdefault(str(condition["threshold"]), []).append((cell, condition))
    for threshold, pairs in conditions.items():
        cell, worst = min(pairs, key=lambda pair: _comfort(*pair))
        outcome, _, aside = outcome_text(entry["level"], cell, worst).partition(" ")
        yield GateLine(
            threshold=threshold,
            unit=str(worst["unit"]),
            note=str(worst["note"] or "") if len(pairs) == 1 else "",
            cell=str(cell["id"]),
            cells=len(pairs),
            measured=number(worst["measured"]),
            interval=interval_text(worst["interval"]),
            bound=f"{worst['relation']} {number(worst['bound'])}",
            margin=number(worst["margin"]),
            share=_squeezed(worst["steps"]),
            n_obs=number(worst["n_obs"]),
            outcome=outcome,
            diagnostic=bool(aside),
        )


def _comfort(cell: Mapping[str, Any], condition: Mapping[str, Any]) -> tuple[int, float]:
    """How far from failing a condition is: not come back, then failed, then passed, then absent; each by its distance."""
    outcome = outcome_text("hard", cell, condition)
    distance = next((value for value in (condition["steps"], condition["margin"]) if value is not None), -1e300)
    return RANK.get(outcome, 0), float(distance)


def _squeezed(steps: float | None) -> float | None:
    return None if steps is None else steps / (1.0 + abs(steps))


# ----------------------------------------------------------------------------------------------------------- figures


@dataclass(frozen=True, slots=True)
class FoldedTable:
    """A table behind a summary; numeric: positions of its columns of numbers."""

    summary: str
    headings: Sequence[str]
    rows: Sequence[Sequence[object]]
    numeric: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class HeatCell:
    """One cell of a heat map: what it says and the class of its colour."""

    text: str
    klass: str


@dataclass(frozen=True, slots=True)
class HeatRow:
    """One shard of a heat map."""

    name: str
    cells: tuple[HeatCell, ...]


@dataclass(frozen=True, slots=True)
class Heat:
    """Shards x multipliers."""

    columns: tuple[str, ...]
    rows: tuple[HeatRow, ...]


@dataclass(frozen=True, slots=True)
class ShownFigure:
    """A figure of the report as the page shows it."""

    anchor: str
    heading: str
    caption: str
    chart: Chart | None
    heat: Heat | None
    findings: Sequence[Sequence[object]]
    remark: str
    tables: tuple[FoldedTable, ...]


def _shown(name: str, figure: Mapping[str, Any]) -> ShownFigure:
    return ShownFigure(
        anchor=name.replace("_", "-"),
        heading=FIGURE_TITLES[name],
        caption=str(figure["caption"]),
        chart=draw(name, figure),
        heat=heat_map(figure) if name == "cost_heat" else None,
        findings=[(row["finding"], f"{row['count']:,}") for row in figure.get("findings", ()) if row["count"]],
        remark=_not_found([str(row["finding"]) for row in figure.get("findings", ()) if not row["count"]]),
        tables=TABLES[name](figure) if name in TABLES else (),
    )


def _not_found(kinds: Sequence[str]) -> str:
    return f"Looked for and not found: {'; '.join(kinds)}." if kinds else ""


def heat_map(figure: Mapping[str, Any]) -> Heat:
    """The t-statistics of shards x multipliers with a colour for each."""
    return Heat(
        tuple(f"x{value:g}" for value in figure["multipliers"]),
        tuple(
            HeatRow(str(shard), tuple(HeatCell("-" if t is None else f"{t:.2f}", heat_class(t)) for t in row))
            for shard, row in zip(figure["shards"], figure["net_t"], strict=True)
        ),
    )


def heat_class(t: float | None) -> str:
    """loss-3 below -1.65, loss-2 below -1, loss-1 below 0, and the same upwards; nothing for what was not measured."""
    if t is None:
        return ""
    strength = 3 if abs(t) >= 1.65 else 2 if abs(t) >= 1.0 else 1
    return f"{'loss' if t < 0 else 'gain'}-{strength}"


def _growth_tables(figure: Mapping[str, Any]) -> tuple[FoldedTable, ...]:
    names = list(figure["net"])
    ends = [number for number, day in enumerate(figure["dates"]) if _last_of_quarter(figure["dates"], number, day)]
    rows = [
        (
            figure["dates"][at],
            number(figure["gross"][at]),
            *(number(figure[kind][name][at]) for kind in ("net", "drawdown") for name in names),
        )
        for at in ends
    ]
    headings = ("date", "gross", *(f"net x{name}" for name in names), *(f"drawdown x{name}" for name in names))
    summary = "Cumulative returns and drawdowns at each quarter's end"
    return (FoldedTable(summary, headings, rows, tuple(range(1, len(headings)))),)


def _last_of_quarter(dates: Sequence[str], at: int, day: str) -> bool:
    following = dates[at + 1] if at + 1 < len(dates) else "9999-01"
    return (day[:4], (int(day[5:7]) - 1) // 3) != (following[:4], (int(following[5:7]) - 1) // 3)


def _windows_tables(figure: Mapping[str, Any]) -> tuple[FoldedTable, ...]:
    headings = ("window", "shard", "first", "last", "mean IC", "95 %", "dates")
    return (FoldedTable("Each window", headings, window_rows(figure), (4, 5, 6)),)


def _curve_tables(figure: Mapping[str, Any]) -> tuple[FoldedTable, ...]:
    columns = (figure["multipliers"], figure["net_return_per_year"], figure["net_sharpe"])
    rows = [tuple(number(value) for value in row) for row in zip(*columns, strict=True)]
    return (FoldedTable("Each multiplier", ("multiplier", "net return a year", "net Sharpe"), rows, (0, 1, 2)),)


def _exposure_tables(figure: Mapping[str, Any]) -> tuple[FoldedTable, ...]:
    rows = [
        (
            *(row[name] for name in ("window", "shard", "first", "last")),
            number(row["beta"]),
            number(row["annual_turnover"]),
        )
        for row in figure["windows"]
    ]
    return (FoldedTable("Each window", ("window", "shard", "first", "last", "beta", "turnover a year"), rows, (4, 5)),)


def _universe_tables(figure: Mapping[str, Any]) -> tuple[FoldedTable, ...]:
    rules, stressed = figure["rejected"], figure["stressed_names"]
    columns = [figure["names"], *([stressed] if stressed else []), *rules.values()]
    headings = (
        "month's end",
        "names",
        *(["stricter universe"] if stressed else []),
        *(rule.replace("_", " ") for rule in rules),
    )
    rows = [(day, *values) for day, *values in zip(figure["dates"], *columns, strict=True)]
    return (FoldedTable("Each month", headings, rows, tuple(range(1, len(headings)))),)


def _trials_tables(figure: Mapping[str, Any]) -> tuple[FoldedTable, ...]:
    rows = [(row["tag"], row["variant"], number(row["net_sharpe"]), number(row["p_value"])) for row in figure["trials"]]
    headings = ("tag", "variant", "net Sharpe, whole sample", "p of the IC")
    return (FoldedTable(f"{len(rows)} of {figure['n_trials']} trials", headings, rows, (2, 3)),)


def _quality_tables(figure: Mapping[str, Any]) -> tuple[FoldedTable, ...]:
    names = ("finding", "row", "date", "symbol", "column", "value")
    rows = [tuple(example[name] for name in names) for example in figure["examples"]]
    return (FoldedTable(f"{len(rows)} places where they show", names, rows, (1,)),) if rows else ()


TABLES: Final = {
    "growth": _growth_tables,
    "holdout": _growth_tables,
    "windows": _windows_tables,
    "cost_curve": _curve_tables,
    "exposure": _exposure_tables,
    "universe": _universe_tables,
    "trials": _trials_tables,
    "data_quality": _quality_tables,
}
"""Name of a figure -> its numbers as tables."""
