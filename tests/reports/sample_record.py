"""Small records of the real format, made by the real writers: what the tests of the record stand on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engines.digest import sha256_bytes
from reports.record.durable import (
    dump_json,
    is_there,
    make_directory,
    publish_directory,
    read_regular,
    replace,
    write_new,
)
from reports.record.registry import Registry, Row
from reports.record.workspace import STAGES, Workspace

COMMIT = "git:" + "c0ffee" * 6 + "abcd"
DIGEST = "sha256:" + "d1" * 32


def begin(root: Path, settings: str = "") -> Workspace:
    """A workspace that remembers its heads beside itself, whatever this account's state directory is."""
    root.mkdir(parents=True, exist_ok=True)
    state = f"[registry]\nstate_dir = '{root.parent / (root.name + '-state')}'\n"
    (root / "stagegate.toml").write_text(state + settings, encoding="utf-8")
    return Workspace(root)


def fields(tag: str = "momentum-01", stage: str = "s0", run_id: str = "", **others: object) -> dict[str, object]:
    """The columns of a STARTED row."""
    return {
        "stage": stage,
        "decision_tag": tag,
        "run_id": run_id or f"{tag}.{stage}",
        "candidate": "momentum-12-1",
        "family": "momentum",
        "owner": "desk",
        "official": True,
        "config_sha256": DIGEST,
        "data_sha256": DIGEST,
        "git_commit": COMMIT,
        **others,
    }


def write_freeze(workspace: Workspace, tag: str) -> str:
    """The tag's freeze, begun when it is not there; returns its hash with prefix."""
    path = workspace.freeze(tag)
    if not is_there(path):
        write_new(path, dump_json({"schema": 1, "tag": tag}))
    return f"sha256:{sha256_bytes(read_regular(path))}"


def start(workspace: Workspace, tag: str = "momentum-01", stage: str = "s0", **others: object) -> Row:
    """A STARTED row under the tag's freeze."""
    frozen = write_freeze(workspace, tag)
    return Registry(workspace.root).claim(fields(tag, stage, freeze_sha256=frozen, **others))


def report_of(started: Row, verdict: str) -> dict[str, Any]:
    """A report json that agrees with its STARTED row."""
    measured, passed = (2.5, True) if verdict == "PASS" else (1.0, False)
    cell = {
        "id": "-",
        "shard": None,
        "cost_multiplier": None,
        "outcome": "passed" if passed else "failed",
        "measured": measured,
        "relation": ">=",
        "bound": 2.0,
        "margin": measured - 2.0,
        "unit": "1",
        "n_obs": 60,
        "note": "",
    }
    return {
        "schema": 1,
        "stage": started["stage"],
        "decision_tag": started["decision_tag"],
        "run_id": started["run_id"],
        "candidate": started["candidate"],
        "family": started["family"],
        "owner": started["owner"],
        "official": started["official"] == "true",
        "official_reasons": [],
        "overall_pass": passed,
        "verdict": verdict,
        "started_utc": started["utc"],
        "finished_utc": started["utc"],
        "inputs": {},
        "failures": [],
        "artifacts": [],
        "freeze": {
            "sha256": started["freeze_sha256"],
            "config_sha256": DIGEST,
            "data_sha256": DIGEST,
            "git_commit": COMMIT,
        },
        "gates": {
            f"{started['stage']}.ic_t": {"level": "hard", "passed": passed, "measured_worst": measured, "cells": [cell]}
        },
        "weakest": {"gate": f"{started['stage']}.ic_t", "cell": "-", "steps": measured - 2.0},
        "registry": {"seq": started.seq, "prev_hash": started["prev_hash"]},
    }


def pack_name(started: Row) -> str:
    return f"{STAGES[started['stage']]}_20261123T17{started.seq // 60 % 60:02d}{started.seq % 60:02d}Z"


def write_pack(workspace: Workspace, started: Row, verdict: str) -> tuple[str, str]:
    """Publish a whole pack; returns the report's path in the workspace and the manifest's hash."""
    final = workspace.gate_results / pack_name(started)
    partial = workspace.gate_results / f".partial-{final.name}"
    make_directory(partial)
    stem = f"{STAGES[started['stage']]}_report"
    files = {
        "command.sh": b"#!/bin/sh\n",
        "environment.json": b"{}\n",
        "run.log": b"1 passed\n",
        "returns/wf-1.csv": b"date,net\n",
        f"{stem}.json": dump_json(report_of(started, verdict)),
        f"{stem}.md": f"# {verdict}\n".encode(),
    }
    for name, data in files.items():
        write_new(partial / name, data)
    listed = "".join(f"{sha256_bytes(files[name])}  {name}\n" for name in sorted(files)).encode()
    write_new(partial / "MANIFEST", listed)
    publish_directory(partial, final)
    return workspace.relative(final / f"{stem}.json"), sha256_bytes(listed)


def finish(workspace: Workspace, started: Row, verdict: str = "PASS") -> Row:
    """Pack and FINISHED row of a run."""
    report, manifest_sha256 = write_pack(workspace, started, verdict)
    closing = {column: started[column] for column in (*fields(), "freeze_sha256")}
    closing.update(
        verdict=verdict, overall_pass=str(verdict == "PASS").lower(), report=report, manifest_sha256=manifest_sha256
    )
    return Registry(workspace.root).append("FINISHED", closing)


def run_stage(
    workspace: Workspace, tag: str = "momentum-01", stage: str = "s0", verdict: str = "PASS", **others: object
) -> Row:
    """A whole run, from STARTED to FINISHED."""
    return finish(workspace, start(workspace, tag, stage, **others), verdict)


def promote(
    workspace: Workspace, tag: str = "momentum-01", stages: tuple[str, ...] = ("s0", "s1", "s2", "s3")
) -> tuple[Row, ...]:
    """A tag that passed the given stages."""
    return tuple(run_stage(workspace, tag, stage) for stage in stages)


def rewrite(workspace: Workspace, change: Any) -> None:
    """Put `change(bytes)` in place of the registry's bytes, as an intruder or a failing disk would."""
    replace(workspace.registry, change(workspace.registry.read_bytes()))
