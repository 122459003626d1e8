"""One run's report as a page, as markdown or as json, made anew from the report json of its pack; or a page that says why there is none.

What is wrong with the pack stands on the page: a report that an auditor would not accept is never shown without a word.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from reports.desk.book import CLOSED, state_of
from reports.pack.markdown import report_markdown
from reports.pages.reading import current
from reports.pages.report_page import fault_page, report_page
from reports.record.chain import Row
from reports.record.durable import load_json, read_regular
from reports.record.errors import RecordError
from reports.record.workspace import Workspace
from reports.verification.pack_check import row_faults
from reports.verification.verify import dead_runs

Format = Literal["html", "md", "json"]
SHOWN_FAULTS: Final = 5


@dataclass(frozen=True, slots=True)
class ShownReport:
    """A report in the asked format. whole: there is a report, and it could be shown; `report` is its json, or what stands for it."""

    text: str
    report: Any
    whole: bool


def show_report(workspace: Workspace, rows: Sequence[Row], tag: str, stage: str | None, form: Format) -> ShownReport:
    """The report of the last run of a tag, or of its last run of `stage`. RecordError when the registry has no such run."""
    begun = [
        row
        for row in rows
        if row["decision_tag"] == tag and row["event"] == "STARTED" and stage in (None, row["stage"])
    ]
    if not begun:
        what = f"tag {tag} has no run" + (f" of {stage}" if stage else "")
        raise RecordError(
            what, where=str(workspace.registry), remedy="name a tag and a stage that `stagegate status` lists"
        )
    started = begun[-1]
    last = next((row for row in rows if row["run_id"] == started["run_id"] and row["event"] in CLOSED), started)
    title = f"{last['stage']} of {tag}"
    if last["event"] != "FINISHED":
        return _fault(form, title, [_unfinished(last, state_of(last, dead_runs(workspace, rows)))])
    faults = row_faults(workspace, last, started)
    warnings = [f"The pack is not what was recorded: {fault}." for fault in faults[:SHOWN_FAULTS]]
    if len(faults) > SHOWN_FAULTS:
        warnings.append(f"And {len(faults) - SHOWN_FAULTS} more: run `stagegate verify --tag {tag}`.")
    try:
        return _rendered(workspace.root / last["report"], form, warnings)
    except RecordError as error:
        return _fault(form, title, [f"{error.what}.", *warnings])


def _rendered(path: Path, form: Format, warnings: Sequence[str]) -> ShownReport:
    report = load_json(read_regular(path), path.name)
    full, lacking = current(report, path.name)
    if form == "html":
        return ShownReport(report_page(report, path.name, warnings), report, whole=True)
    if form == "json":
        return ShownReport(json.dumps(report, indent=1, ensure_ascii=False), report, whole=True)
    said = "".join(f"> **{text}**\n\n" for text in (*warnings, *lacking))
    return ShownReport(f"{said}{report_markdown(full)}".rstrip("\n"), report, whole=True)


def _unfinished(row: Row, state: str) -> str:
    """What became of a run without a report."""
    said = {"RUNNING": "It is running now", "INTERRUPTED": "It ended without a word; `stagegate recover` closes it"}
    what = said.get(state, f"It was closed as {state}: {row['detail'] or 'no reason is recorded'}")
    return f"Run {row['run_id']} of {row['utc']} left no report. {what}."


def _fault(form: Format, title: str, lines: Sequence[str]) -> ShownReport:
    found = {"schema": 1, "no_report": title, "why": list(lines)}
    texts = {
        "html": lambda: fault_page(title, lines),
        "md": lambda: "\n\n".join([f"# No report: {title}", *lines]),
        "json": lambda: json.dumps(found, indent=1, ensure_ascii=False),
    }
    return ShownReport(texts[form](), found, whole=False)
