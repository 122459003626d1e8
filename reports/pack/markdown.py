"""The report as markdown: from the report json and nothing else, readable raw and rendered, fit for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from reports.pack.render import interval_text, number, reason

_TAG: Final = re.compile(r"<(?=[A-Za-z/!?])")
"""A `<` that a browser would take for markup."""

GATE_HEADINGS: Final = ("threshold", "cell", "measured", "95 %", "bound", "margin", "unit", "n", "outcome", "note")
FIGURE_TITLES: Final[dict[str, str]] = {
    "growth": "Growth out of sample",
    "holdout": "The sealed window, opened",
    "windows": "Information coefficient by window",
    "cost_heat": "Shards and cost multipliers",
    "cost_curve": "Cost to break-even",
    "exposure": "Exposure",
    "universe": "Universe",
    "trials": "Trials of the family",
    "data_quality": "Data quality",
}
"""Name of a figure -> its heading on page and markdown, in this order."""


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
    parts = [title, _cell(reason(report))]
    if report["failures"]:
        rows = [(entry["gate"] or "run", entry["cell"] or "-", entry["message"]) for entry in report["failures"]]
        parts += ["## What did not pass", markdown_table(("gate", "cell", "why"), rows)]
    if report["notes"]:
        parts += ["## Notes", "\n".join(f"- {_cell(note)}" for note in report["notes"])]
    parts += ["## Run", markdown_table(("what", "value"), run_facts(report))]
    parts += ["## Gates", markdown_table(GATE_HEADINGS, gate_rows(report["gates"]))]
    parts += list(_figure_parts(report.get("figures", {})))
    if report["windows"]:
        spans = [tuple(window.values()) for window in report["windows"]]
        headings = [name.replace("_", " ") for name in report["windows"][0]]
        parts += ["## Walk-forward windows", markdown_table(headings, spans)]
    if report["artifacts"]:
        files = [(entry["path"], entry["sha256"]) for entry in report["artifacts"]]
        parts += ["## Files", markdown_table(("file", "sha256"), files)]
    if report.get("remediation"):
        parts += ["## What to do", _remediation(report["remediation"])]
    return "\n\n".join(parts) + "\n"


def _remediation(steps: Sequence[Mapping[str, str]]) -> str:
    """The ordered list of a run that did not pass; commands are typed in the workspace."""
    lines = []
    for position, step in enumerate(steps, 1):
        where = f"{step['gate']} \\[{step['cell']}\\]" if step["gate"] else "the run"
        lines += [
            f"{position}. {where}: {_cell(step['likely_cause'])}",
            f"   - look closer: `{step['look_closer'].replace('`', '')}`",
            f"   - a rerun needs: {_cell(step['rerun_needs'])}",
        ]
    return "\n".join(lines)


def run_facts(report: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Who, when, on what: the facts of a run as every report shows them."""
    official = "official" if report["official"] else f"unofficial ({'; '.join(report['official_reasons'])})"
    return [
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


def _figure_parts(figures: Mapping[str, Any]) -> Iterator[str]:
    """What each figure says, and its table where it is short."""
    shown = [name for name in FIGURE_TITLES if name in figures]
    if shown:
        yield "## Figures"
        yield "\n".join(f"- **{FIGURE_TITLES[name]}.** {_cell(figures[name]['caption'])}" for name in shown)
    if "windows" in figures:
        yield "### Information coefficient by window"
        yield markdown_table(
            ("window", "shard", "first", "last", "mean IC", "95 %", "dates"), window_rows(figures["windows"])
        )
    if "cost_heat" in figures:
        heat = figures["cost_heat"]
        yield "### t of the mean daily net return"
        rows = [(shard, *map(number, row)) for shard, row in zip(heat["shards"], heat["net_t"], strict=True)]
        yield markdown_table(("shard", *(f"x{value:g}" for value in heat["multipliers"])), rows)


def window_rows(figure: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """The windows of the IC figure as rows of a table."""
    return [
        (
            *(row[name] for name in ("window", "shard", "first", "last")),
            number(row["mean"]),
            "-" if row["low"] is None else interval_text((row["low"], row["high"])),
            row["n_dates"],
        )
        for row in figure["windows"]
    ]


RANK: Final = {"missing": 0, "failed": 1, "failed (diagnostic)": 2, "passed": 3, "passed (diagnostic)": 4, "absent": 5}


def gate_rows(gates: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """One row a condition of each cell, what did not pass first, otherwise in the order of the freeze."""
    rows = [
        row
        for gate, entry in gates.items()
        for cell in entry["cells"]
        for row in _cell_rows(gate, entry["level"], cell)
    ]
    return sorted(rows, key=lambda row: RANK.get(str(row[8]), 0))


def _cell_rows(gate: str, level: str, cell: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    """One row a condition of the cell; one for the whole cell where nothing was measured."""
    for shown in cell["evidence"] or [{**cell, "threshold": gate}]:
        yield (
            shown["threshold"],
            cell["id"],
            number(shown["measured"]),
            interval_text(shown["interval"]),
            f"{shown['relation']} {number(shown['bound'])}",
            number(shown["margin"]),
            shown["unit"],
            shown["n_obs"] or "-",
            outcome_text(level, cell, shown),
            shown["note"],
        )


def outcome_text(level: str, cell: Mapping[str, Any], condition: Mapping[str, Any]) -> str:
    """`passed`, `failed`, `missing` or `absent`, with `(diagnostic)` behind a pass or fail that decides nothing."""
    holds = condition.get("holds")
    outcome = cell["outcome"] if holds is None else "passed" if holds else "failed"
    return f"{outcome} (diagnostic)" if level != "hard" and outcome in ("passed", "failed") else str(outcome)
