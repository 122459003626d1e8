"""A rehearsal: every stage on a throw-away workspace with generated records, so that any gate can be run by anyone and nothing is recorded.

The gates are the real ones on the candidate's real data. What they read of the record (a passed S2, an S3 report, signatures, deployment files) is
generated here and thrown away with the folder. The rules about clean trees are shown, not judged.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from engines.candidate import Candidate, load_candidate
from reports.committee import signing
from reports.criteria.codetree import CodeTree, code_as_it_is
from reports.criteria.evidence import Evidence
from reports.criteria.freeze import Freeze, Places, build_freeze, parse_freeze
from reports.criteria.machine import packages_sha256
from reports.criteria.policy import ExpectedCell
from reports.criteria.verdict import CellResult, Verdict
from reports.deployment import templates
from reports.pack import audit
from reports.pack.markdown import report_markdown
from reports.pack.render import ReportHeader, report_json
from reports.record.clock import iso, stamp, utc_now
from reports.record.durable import dump_json, write_new
from reports.record.errors import RequestRefused
from reports.record.host import program
from reports.record.registry import Registry
from reports.record.workspace import STAGES, Workspace
from reports.run.kernels import prepare_kernels
from reports.run.session import GateSession, run_file_bytes

TAG: Final = "rehearsal"
OWNER: Final = "rehearsal-owner"
COMMITTEE: Final = ("first@rehearsal", "second@rehearsal", "third@rehearsal")
"""As many as the default quorum asks of a candidate with an absent input; one fewer signs for the others."""
NO_HISTORY: Final = {
    "registry_seq": 0,
    "family_tags": [],
    "supersedes": None,
    "root_cause": None,
    "superseded_ended": None,
    "must_differ": False,
    "differs_in": [],
}


@contextmanager
def rehearsal(
    candidates: Mapping[str, Path],
    repository: Path,
    stages: Collection[str] = tuple(STAGES),
    cache_of: Path | None = None,
) -> Iterator[Path]:
    """A run file for a rehearsal of `candidates` (name in the batch -> file; one without a name), with the records that gates of `stages` read.

    What is measured is kept in the cache of the workspace `cache_of`, by default the repository. The folder behind the records lives as long as the
    context. StageGateError when a candidate cannot be read.
    """
    with TemporaryDirectory(prefix="stagegate-rehearsal-") as folder:
        root = Path(folder).resolve()
        standing = _Standing(
            repository, code_as_it_is(repository), packages_sha256(), Workspace(cache_of or repository).cache
        )
        sessions = [
            _rehearsed(name, path, Workspace(root / f"{number}"), standing, stages)
            for number, (name, path) in enumerate(candidates.items())
        ]
        prepare_kernels([session.candidate.data_path for session in sessions], sys.stdout)
        write_new(root / "run.json", run_file_bytes(sessions))
        yield root / "run.json"


@dataclass(frozen=True, slots=True)
class _Standing:
    """What all candidates of a rehearsal stand on."""

    repository: Path
    code: CodeTree
    packages_sha256: str
    cache: Path


def _rehearsed(
    name: str, path: Path, workspace: Workspace, standing: _Standing, stages: Collection[str]
) -> GateSession:
    """A workspace of its own for one candidate, and its session."""
    places = Places(workspace, standing.repository)
    candidate = load_candidate(path)
    _write_settings(workspace)
    freeze = _freeze(candidate, path, places, standing)
    _generate_records(candidate, freeze, places, stages)
    return _session(name, candidate, places, standing.cache)


def _freeze(candidate: Candidate, candidate_path: Path, places: Places, standing: _Standing) -> Freeze:
    record = build_freeze(
        candidate,
        candidate_path,
        tag=TAG,
        owner=OWNER,
        created_utc=iso(utc_now()),
        places=places,
        code=standing.code,
        packages_sha256=standing.packages_sha256,
        history=NO_HISTORY,
    )
    data = dump_json(record)
    write_new(places.workspace.freeze(TAG), data)
    return parse_freeze(data, "the rehearsal's freeze")


def _write_settings(workspace: Workspace) -> None:
    """Settings that keep the memory of the registry's head inside the throw-away folder."""
    write_new(workspace.settings_path, f'[registry]\nstate_dir = "{(workspace.root / "state").as_posix()}"\n'.encode())


def _session(name: str, candidate: Candidate, places: Places, cache: Path) -> GateSession:
    return GateSession(
        run_id=f"rehearsal-{stamp(utc_now())}",
        stages=tuple(STAGES),
        places=places,
        cache=cache,
        freeze_path=places.workspace.freeze(TAG),
        multipliers=tuple(candidate.walk_forward.cost_multipliers),
        started_utc=iso(utc_now()),
        stream_path=places.workspace.root.parent / "evidence_stream.jsonl",
        rehearsal=True,
        name=name,
    )


def _generate_records(candidate: Candidate, freeze: Freeze, places: Places, stages: Collection[str]) -> None:
    """What s3 reads of the record, a passed s2; and what s4 reads: every earlier pass, a committee that has signed, completed deployment files."""
    workspace = places.workspace
    registry = Registry(workspace.root)
    passed = list(STAGES)[:-1] if "s4" in stages else ["s2"] if "s3" in stages else []
    for stage in passed:
        _generate_pass(registry, workspace, candidate, freeze, stage)
    if "s4" not in stages:
        return
    absent = any(cell.absent for cell in freeze.expected("s3"))
    for name in COMMITTEE[: workspace.settings.committee.signatures_required + absent]:
        signing.sign(workspace, TAG, "rehearsal", _throw_away_key(workspace, name))
    templates.write_rehearsal_files(workspace, TAG, freeze.sha256)


def _generate_pass(registry: Registry, workspace: Workspace, candidate: Candidate, freeze: Freeze, stage: str) -> None:
    moment = utc_now()
    run_id = f"rehearsal-{stage}"
    summary = freeze.summary(workspace.relative(workspace.freeze(TAG)))
    row = {
        "stage": stage,
        "decision_tag": TAG,
        "run_id": run_id,
        "candidate": candidate.name,
        "family": candidate.family,
        "owner": OWNER,
        "official": "true",
        "config_sha256": summary["config_sha256"],
        "data_sha256": summary["data_sha256"],
        "git_commit": summary["git_commit"] if summary["git_commit"] != "git:none" else "",
        "freeze_sha256": summary["sha256"],
    }
    started = registry.claim(row)
    header = ReportHeader(
        stage=stage,
        decision_tag=TAG,
        run_id=run_id,
        candidate=candidate.name,
        family=candidate.family,
        owner=OWNER,
        official=True,
        official_reasons=(),
        started_utc=iso(moment),
        finished_utc=iso(moment),
        inputs={"cost_multipliers": list(candidate.walk_forward.cost_multipliers)},
        freeze=summary,
        registry={"seq": started.seq, "prev_hash": started["prev_hash"]},
    )
    pack = workspace.gate_results / f"{STAGES[stage]}_{stamp(moment)}"
    report = report_json(header, _generated_verdict(freeze, stage), ())
    for name, data in (
        (f"{audit.report_stem(stage)}.json", dump_json(report)),
        (f"{audit.report_stem(stage)}.md", report_markdown(report).encode()),
        ("command.sh", b"#!/bin/sh\n"),
        ("environment.json", b"{}\n"),
        ("run.log", b"generated for a rehearsal\n"),
    ):
        write_new(pack / name, data)
    manifest = audit.write_manifest(pack)
    path = workspace.relative(pack / f"{audit.report_stem(stage)}.json")
    registry.append(
        "FINISHED",
        {**row, "verdict": "PASS", "overall_pass": "true", "manifest_sha256": f"sha256:{manifest}", "report": path},
    )


def _generated_verdict(freeze: Freeze, stage: str) -> Verdict:
    """A verdict in which every frozen cell of the stage holds by one step of its scale."""
    return Verdict("PASS", tuple(_generated_cell(cell) for cell in freeze.expected(stage)), (), ())


def _generated_cell(cell: ExpectedCell) -> CellResult:
    if cell.absent:
        return CellResult(cell, "absent", (), f"{cell.needs} is absent: {cell.absent}")
    steps = {">": 1, ">=": 1, "<": -1, "<=": -1, "==": 0}
    evidence = tuple(
        Evidence(each, each.bound + steps[each.relation] * each.scale, None, "generated for a rehearsal")
        for each in cell.thresholds
    )
    return CellResult(cell, "passed", evidence, "")


def _throw_away_key(workspace: Workspace, name: str) -> Path:
    """A key pair that lives as long as the rehearsal, listed among the allowed signers."""
    path = workspace.root / f"key-{name.partition('@')[0]}"
    command = [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
    try:
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    except FileNotFoundError as error:
        raise RequestRefused(
            "ssh-keygen is not installed, so sign-offs cannot be rehearsed",
            remedy="install openssh-client (Debian) or openssh (Homebrew)",
        ) from error
    workspace.allowed_signers.parent.mkdir(parents=True, exist_ok=True)
    with workspace.allowed_signers.open("a", encoding="utf-8") as file:
        kind, key, *_ = path.with_suffix(".pub").read_text(encoding="utf-8").split()
        file.write(f"{name} {kind} {key}\n")
    return path
