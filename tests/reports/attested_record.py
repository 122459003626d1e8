"""A record whose runs are attested: packs that hold what an attestation speaks of, and the keys that sign them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from engines.digest import sha256_bytes
from reports.record.durable import dump_json, publish_directory, write_new
from reports.record.registry import Registry, Row
from reports.record.workspace import STAGES, Workspace
from tests.reports.sample_record import fields, report_of, start

TAG: Final = "momentum-01"
CELL: Final = {"gate": "s1.ic_t", "level": "hard", "id": "-", "measured": 2.5}


def write_key(path: Path, key: Any, password: bytes | None = None) -> Path:
    """A private key in PEM, for its owner only, with its public half beside it."""
    scheme = BestAvailableEncryption(password) if password else NoEncryption()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, scheme))
    path.chmod(0o600)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub.pem").write_bytes(public)
    return path


def run_stage(workspace: Workspace, stage: str, verdict: str = "PASS", official: bool = True) -> Row:
    """A finished run whose pack holds what an attestation speaks of."""
    started = start(workspace, TAG, stage, run_id=f"{TAG}.{stage}.{official}", official=official)
    final = workspace.gate_results / f"{STAGES[stage]}_20261123T17{started.seq:04d}Z"
    partial = workspace.gate_results / f".partial-{final.name}"
    report = {**report_of(started, verdict), "inputs": {"options": [f"gates/{stage}", "--decision-tag", TAG]}}
    pins = {"packages_sha256": "c0", "settings_sha256": None, "inputs": {}, "as_of": "2018-02-07", "seed": 7}
    machine = {"machine": {"cores": 8}, "packages": {"numpy": "2.4.0"}, "variables": {}}
    files = {
        "command.sh": b"#!/bin/sh\n",
        "environment.json": dump_json({**machine, "child_exit": 0, "interrupted_by": None}),
        "evidence.json": dump_json([CELL]),
        "freeze.json": dump_json({"code": {"tree_sha256": "1f"}, **pins}),
        "run.log": b"1 passed\n",
        f"{STAGES[stage]}_report.json": dump_json(report),
        f"{STAGES[stage]}_report.md": b"# PASS\n",
    }
    for name, data in files.items():
        write_new(partial / name, data)
    manifest = "".join(f"{sha256_bytes(files[name])}  {name}\n" for name in sorted(files)).encode()
    write_new(partial / "MANIFEST", manifest)
    publish_directory(partial, final)
    closing = {column: started[column] for column in (*fields(), "freeze_sha256")}
    closing |= {"verdict": verdict, "overall_pass": str(verdict == "PASS").lower()}
    closing |= {"report": workspace.relative(final / f"{STAGES[stage]}_report.json")}
    return Registry(workspace.root).append("FINISHED", {**closing, "manifest_sha256": sha256_bytes(manifest)})
