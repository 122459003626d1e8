"""The audit pack: everything an auditor needs a year later, in one folder with a MANIFEST that `sha256sum -c` checks."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from engines.digest import sha256_bytes, sha256_file
from reports.criteria.freeze import Freeze
from reports.criteria.machine import Machine, installed_packages
from reports.criteria.verdict import Verdict
from reports.pack.artifacts import StageInputs
from reports.pack.figures import stage_figures
from reports.pack.markdown import report_markdown
from reports.pack.remediation import remediation
from reports.pack.render import ReportHeader, evidence_lines, report_json
from reports.record.durable import dump_json, write_new
from reports.record.workspace import STAGES, Workspace

MANIFEST: Final = "MANIFEST"
WALK_FORWARD_STAGES: Final = ("s2", "s3")
HEADLINES: Final[dict[str, str]] = {
    "ic_mean": "s1.ic_mean",
    "ic_t": "s1.ic_t",
    "net_sharpe_x1_5": "s3.cost_gate_x1_5_positive.net_sharpe",
    "net_sharpe_x2_0": "s3.cost_gate_x2_0_positive.net_sharpe",
    "wf_ic_mean": "s2.wf_ic_mean",
    "wf_pos_ratio": "s2.wf_positive_ratio",
    "deflated_sharpe": "s3.deflated_sharpe",
}
"""Registry column -> the threshold whose measurement it shows."""

TRIALS: Final = "s3.stat_gate_factor_pass.q"
"""The threshold whose number of observations is the family's number of trials."""


@dataclass(frozen=True, slots=True)
class PackFacts:
    """What a pack says of its run besides the verdict."""

    workspace: Workspace
    header: ReportHeader
    freeze: Freeze
    machine: Machine
    variables: Mapping[str, str]
    child_exit: int
    interrupted_by: str | None
    packet_text: str
    policy_path: Path
    candidate_path: Path


def report_stem(stage: str) -> str:
    """File name of a stage's report without suffix: `production_gates_report` for s3."""
    return f"{STAGES[stage]}_report"


def write_freeze(partial: Path, workspace: Workspace, freeze: Freeze) -> None:
    """Write the freeze's copy into `partial`; nothing where it is gone, which the verdict knows."""
    frozen = workspace.freeze(freeze.tag)
    if frozen.is_file():
        write_new(partial / "freeze.json", frozen.read_bytes())


def write_stage_files(partial: Path, files: Mapping[str, bytes]) -> None:
    """Write what the stage must leave into `partial`: all that a verdict can be re-derived from."""
    for name, data in files.items():
        write_new(partial / name, data)


@dataclass(frozen=True, slots=True)
class Exhibits:
    """What a report shows besides its cells: the walk-forward windows with their literal dates, and the figures by name."""

    windows: Sequence[Mapping[str, Any]] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)


def exhibits(stage: str, inputs: StageInputs) -> Exhibits:
    """The exhibits of a stage, measured of the study; the same freeze gives the same."""
    study, judged = inputs.study, stage in WALK_FORWARD_STAGES
    windows = study.walk_forward.window_dates(study.sealed.dates) if judged else ()
    return Exhibits([asdict(window) for window in windows], stage_figures(stage, inputs))


def write_report(partial: Path, final: Path, facts: PackFacts, verdict: Verdict, shown: Exhibits) -> bytes:
    """Write the rest of the pack but its page and its MANIFEST; returns the report json as written."""
    stage = facts.header.stage
    files: dict[str, bytes] = {
        "environment.json": dump_json(environment(facts)),
        "evidence.json": dump_json(evidence_lines(verdict)),
        "policy.toml": facts.policy_path.read_bytes(),
        "candidate.toml": facts.candidate_path.read_bytes(),
        "packet.md": facts.packet_text.encode(),
    }
    for name, data in files.items():
        write_new(partial / name, data)
    steps = remediation(verdict, facts.header, facts.workspace.relative(final))
    listed = artifacts(facts.workspace, partial, final)
    report = report_json(facts.header, verdict, listed, shown.windows, steps, shown.figures)
    written = dump_json(report)
    write_new(partial / f"{report_stem(stage)}.json", written)
    write_new(partial / f"{report_stem(stage)}.md", report_markdown(report).encode())
    return written


def artifacts(workspace: Workspace, partial: Path, final: Path) -> list[dict[str, str]]:
    """Path (relative to the workspace, after publishing) and hash of every file so far in the pack."""
    return [
        {"path": workspace.relative(final / name), "sha256": f"sha256:{digest}"} for digest, name in _hashes(partial)
    ]


def _hashes(folder: Path) -> list[tuple[str, str]]:
    names = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST
    )
    return [(sha256_file(folder / name), name) for name in names]


def write_manifest(folder: Path) -> str:
    """Write MANIFEST over every other file of the pack, in the format of sha256sum; returns its own hash."""
    data = "".join(f"{digest}  {name}\n" for digest, name in _hashes(folder)).encode()
    write_new(folder / MANIFEST, data)
    return sha256_bytes(data)


def environment(facts: PackFacts) -> dict[str, Any]:
    """environment.json: machine, packages, variables, how the child ended."""
    return {
        "schema": 1,
        "machine": facts.machine.to_json(),
        "packages": installed_packages(),
        "variables": dict(facts.variables),
        "child_exit": facts.child_exit,
        "interrupted_by": facts.interrupted_by,
        "settings": facts.workspace.settings.model_dump(),
    }


def command_script(typed: Sequence[str], child: Sequence[str], environment: Mapping[str, str]) -> str:
    """command.sh: what was typed, and the clean command that was run for it."""
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in sorted(environment.items()))
    return f"#!/bin/sh\n# typed: {shlex.join(typed)}\nexec env -i {variables} {shlex.join(child)}\n"


def headline(verdict: Verdict) -> dict[str, str]:
    """The metric columns of the FINISHED row; a metric that the stage does not have is left out."""
    entries = {entry.threshold.id: entry for result in verdict.cells for entry in result.evidence}
    shown = {column: entries[threshold].value for column, threshold in HEADLINES.items() if threshold in entries}
    trials = {"n_trials": str(entries[TRIALS].n_obs)} if TRIALS in entries else {}
    return {column: repr(value) for column, value in shown.items() if value is not None} | trials
