"""Run one recorded stage again, with the code of the tree that this file belongs to.

    python -m reports.reexecution.replay REQUEST.json

`stagegate verify --deep` starts this, as a process of its own, in a clean checkout of the commit that a freeze names. The workspace it is given is a
reconstruction; nothing is recorded. The request is a JSON object, its paths absolute:

    schema 1, stage, decision_tag, workspace, cache, cost_multipliers [..], started_utc, processes (of -n), report (or null), output

and so is what it leaves in the folder `output`, which must be empty:

    outcome.json        schema 1, repository, packages_sha256, incomplete [..], evidence [..], report {..}, columns {..}
    files/              what the stage leaves, re-derived
    files/<stage name>_report.md, when a report was given and can be rendered

The two processes may be of different versions: fields are added here, never renamed or dropped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from engines.errors import StageGateError
from engines.study import open_study
from reports.criteria.freeze import Places, read_freeze
from reports.criteria.machine import packages_sha256
from reports.criteria.stream import read_stream
from reports.criteria.verdict import Returned, Verdict, judge, read_json_report
from reports.pack import audit
from reports.pack.artifacts import StageInputs, stage_artifacts
from reports.pack.markdown import report_markdown
from reports.pack.render import ReportHeader, evidence_lines, report_json
from reports.pages.report_page import page_of
from reports.record.durable import dump_json, load_json, read_regular, write_new
from reports.record.workspace import Workspace
from reports.run.child import child_command, child_environment, run_child
from reports.run.session import GateSession, judged_cells, run_file_bytes

SCHEMA: Final = 1
REPOSITORY: Final = Path(__file__).resolve().parents[2]
MEASURED_KEYS: Final = ("gates", "verdict", "overall_pass", "weakest", "absent", "figures")
"""Keys of a report json that follow from what was measured."""


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """Which stage runs again, on which reconstruction, and where its answer belongs."""

    stage: str
    decision_tag: str
    workspace: Path
    cache: Path
    cost_multipliers: tuple[float, ...]
    started_utc: str
    processes: str
    report: Path | None
    output: Path

    def to_json(self) -> dict[str, Any]:
        """The request's file."""
        return {
            "schema": SCHEMA,
            "stage": self.stage,
            "decision_tag": self.decision_tag,
            "workspace": str(self.workspace),
            "cache": str(self.cache),
            "cost_multipliers": list(self.cost_multipliers),
            "started_utc": self.started_utc,
            "processes": self.processes,
            "report": None if self.report is None else str(self.report),
            "output": str(self.output),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`; what a later version added is left unread."""
        return cls(
            record["stage"],
            record["decision_tag"],
            Path(record["workspace"]),
            Path(record["cache"]),
            tuple(record["cost_multipliers"]),
            record["started_utc"],
            record["processes"],
            None if record["report"] is None else Path(record["report"]),
            Path(record["output"]),
        )


def replay(request: ReplayRequest) -> None:
    """Run the gates, judge what came back, derive the stage's files, and write all of it below `request.output`."""
    workspace = Workspace(request.workspace)
    places = Places(workspace, REPOSITORY)
    freeze = read_freeze(workspace, request.decision_tag)
    verdict = judge(judged_cells(freeze, request.stage, request.cost_multipliers), _run_gates(request, places))
    study = open_study(freeze.candidate(places), request.cache, thorough=True)
    inputs = StageInputs(workspace, freeze, study)
    rendered = {} if request.report is None else _rendered(request.report)
    for name, data in {**stage_artifacts(request.stage, inputs), **rendered}.items():
        write_new(request.output / "files" / name, data)
    shown = audit.exhibits(request.stage, inputs)
    write_new(request.output / "outcome.json", dump_json(_outcome(request, verdict, shown)))


def _run_gates(request: ReplayRequest, places: Places) -> Returned:
    """The gates of the stage in a clean child, as the supervisor starts them."""
    session = GateSession(
        run_id="replay",
        stages=(request.stage,),
        places=places,
        cache=request.cache,
        freeze_path=places.workspace.freeze(request.decision_tag),
        multipliers=request.cost_multipliers,
        started_utc=request.started_utc,
        stream_path=request.output / "evidence_stream.jsonl",
        rehearsal=False,
    )
    run_file, json_report = request.output / "run.json", request.output / "pytest_report.json"
    write_new(run_file, run_file_bytes([session]))
    command = child_command(REPOSITORY, request.stage, request.processes, (), json_report)
    environment = child_environment(os.environ, run_file, 1)
    child = run_child(command, environment, REPOSITORY, request.output / "run.log", sys.stdout)
    return Returned(child.exit_status, read_json_report(json_report), read_stream(session.stream_path))


def _outcome(request: ReplayRequest, verdict: Verdict, shown: audit.Exhibits) -> dict[str, Any]:
    weakest = verdict.weakest
    report = report_json(_unsigned_header(request), verdict, (), shown.windows, figures=shown.figures)
    return {
        "schema": SCHEMA,
        "repository": str(REPOSITORY),
        "packages_sha256": packages_sha256(),
        "incomplete": list(verdict.incomplete),
        "evidence": evidence_lines(verdict),
        "report": {key: report[key] for key in MEASURED_KEYS},
        "columns": {
            "weakest_gate": weakest.cell.gate if weakest else "",
            "weakest_margin": "" if verdict.weakest_steps is None else repr(verdict.weakest_steps),
            **audit.headline(verdict),
        },
    }


def _unsigned_header(request: ReplayRequest) -> ReportHeader:
    """A header for what a report measures; who ran it, when and as what is not of the replay."""
    return ReportHeader(
        stage=request.stage,
        decision_tag=request.decision_tag,
        run_id="",
        candidate="",
        family="",
        owner="",
        official=False,
        official_reasons=(),
        started_utc=request.started_utc,
        finished_utc="",
        inputs={},
        freeze={},
        registry={},
    )


def _rendered(path: Path) -> dict[str, bytes]:
    """The recorded report as its markdown and its page should read, by name; nothing when it is no report."""
    try:
        report = load_json(read_regular(path), path.name)
        markdown = report_markdown(report).encode()
    except (StageGateError, KeyError, TypeError, ValueError, AttributeError):
        return {}
    return {f"{path.stem}.md": markdown, f"{path.stem}.html": page_of(report, path.name).encode()}


def main(request_path: Path) -> int:
    """Answer one request; returns the exit status: 0, or 4 with the reason on standard error."""
    try:
        replay(ReplayRequest.from_json(load_json(read_regular(request_path), request_path.name)))
    except StageGateError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
