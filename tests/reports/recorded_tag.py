"""A tag as a desk has it on disk: registry rows and packs of stages that ended as told, without running a gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from engines.digest import sha256_bytes
from engines.walk_forward import OutOfSample, Window
from reports.pack.stored_returns import returns_csv, windows_csv
from reports.record.durable import dump_json, make_directory, write_new
from reports.record.registry import Registry, Row
from reports.record.workspace import STAGES, Workspace

PORTFOLIO = {"horizon_days": 21, "short_fraction": 0.2}
A_FILE = {"path": "workspace:file", "sha256": ""}
FROZEN = dump_json(
    {
        "schema": 1,
        "decision_tag": "recorded",
        "owner": "olga",
        "seed": 7,
        "candidate": {**A_FILE, "config": {"portfolio": PORTFOLIO}},
        "config_sha256": "",
        "data": A_FILE,
        "inputs": {},
        "code": {"git_commit": None, "tree_sha256": "", "gates_sha256": ""},
        "packages_sha256": "",
        "policy_sha256": "",
        "settings_sha256": None,
        "expected": [],
        "history": {"variants": [], "family_tags": [], "registry_seq": 0},
    }
)
"""A freeze that holds what is read of one beside its hash."""

HASH = sha256_bytes(FROZEN)


def new_workspace(root: Path, settings: str = "") -> Workspace:
    """An empty workspace that remembers its registry's head inside `root`."""
    root.mkdir(parents=True, exist_ok=True)
    state = f'[registry]\nstate_dir = "{(root / "state").as_posix()}"\n'
    (root / "stagegate.toml").write_text(state + settings, encoding="utf-8")
    return Workspace(root)


def cell(measured: float | None, bound: float = 0.0, outcome: str = "passed", relation: str = ">") -> dict[str, Any]:
    """One cell of a report json."""
    margin = None if measured is None else measured - bound
    return {
        "id": "-",
        "shard": None,
        "cost_multiplier": None,
        "outcome": outcome,
        "measured": measured,
        "relation": relation,
        "bound": bound,
        "margin": margin,
        "unit": "Sharpe",
        "n_obs": 504,
        "note": "",
    }


def gate(*cells: Mapping[str, Any], level: str = "hard") -> dict[str, Any]:
    """One gate of a report json."""
    passed = all(entry["outcome"] in ("passed", "absent") for entry in cells)
    return {"level": level, "passed": passed, "measured_worst": cells[0]["measured"], "cells": list(cells)}


PASSING = {"s3.net_sharpe": gate(cell(1.25))}


def record_stage(
    workspace: Workspace,
    tag: str,
    stage: str,
    verdict: str = "PASS",
    gates: Mapping[str, Any] = PASSING,
    *,
    owner: str = "olga",
    official: bool = True,
    weakest: tuple[str, str] = ("s3.net_sharpe", "1.25"),
    candidate: str = "momentum-12-1",
    supersedes: str = "",
    family: str = "momentum",
    freeze_sha256: str = HASH,
    files: Mapping[str, bytes] = MappingProxyType({}),
    root_cause: str = "",
    said: Mapping[str, Any] = MappingProxyType({}),
) -> Row:
    """STARTED row, pack (with `files` besides, and in its report what is `said`) and FINISHED row of one stage; returns the FINISHED row."""
    registry = Registry(workspace.root)
    run_id = f"run-{tag}-{stage}-{len(registry.rows())}"
    row = {
        "stage": stage,
        "decision_tag": tag,
        "run_id": run_id,
        "candidate": candidate,
        "family": family,
        "owner": owner,
    }
    row |= {"official": "true" if official else "false", "freeze_sha256": freeze_sha256, "supersedes": supersedes}
    row |= {"root_cause": root_cause}
    started = registry.claim(row)
    pack = workspace.gate_results / f"{STAGES[stage]}_20260101T00{started.seq:04d}Z"
    stem = f"{STAGES[stage]}_report"
    failures = [
        {"gate": key, "cell": entry["id"], "message": f"{key} did not hold"}
        for key, value in gates.items()
        for entry in value["cells"]
        if entry["outcome"] == "failed" and value["level"] == "hard"
    ]
    report = {
        "schema": 1,
        "stage": stage,
        "decision_tag": tag,
        "run_id": run_id,
        "candidate": candidate,
        "family": family,
        "owner": owner,
        "official": official,
        "official_reasons": [],
        "overall_pass": verdict == "PASS",
        "verdict": verdict,
        "started_utc": started["utc"],
        "finished_utc": started["utc"],
        "inputs": {},
        "freeze": {"sha256": f"sha256:{freeze_sha256}"},
        "gates": dict(gates),
        "failures": failures,
        "artifacts": [],
        "registry": {"seq": started.seq, "prev_hash": started["prev_hash"]},
        **said,
    }
    manifest = write_pack(pack, {f"{stem}.json": dump_json(report), f"{stem}.md": b"# report\n", **files})
    finished = {
        **row,
        "verdict": verdict,
        "overall_pass": "true" if verdict == "PASS" else "false",
        "manifest_sha256": manifest,
    }
    finished |= {
        "report": f"gate_results/{pack.name}/{stem}.json",
        "weakest_gate": weakest[0],
        "weakest_margin": weakest[1],
    }
    return registry.append("FINISHED", finished)


def write_pack(folder: Path, files: Mapping[str, bytes]) -> str:
    """A pack with these files, the audit files and MANIFEST; returns the hash of MANIFEST."""
    make_directory(folder)
    whole = {"command.sh": b"#!/bin/sh\n", "environment.json": b"{}\n", "run.log": b"", **files}
    for name, data in whole.items():
        write_new(folder / name, data)
    manifest = "".join(f"{sha256_bytes(whole[name])}  {name}\n" for name in sorted(whole)).encode()
    write_new(folder / "MANIFEST", manifest)
    return sha256_bytes(manifest)


def record_passes(
    workspace: Workspace, tag: str, stages: Sequence[str] = ("s0", "s1", "s2", "s3"), **changes: Any
) -> Row:
    """The tag passed these stages; returns the last FINISHED row. The freeze is there too."""
    path = workspace.freeze(tag)
    make_directory(path.parent)
    if not path.exists():
        write_new(path, FROZEN)
    passed = []
    for stage in stages:
        files = {"freeze.json": FROZEN, **stored_series(out_of_sample())} if stage == "s3" else {}
        passed.append(record_stage(workspace, tag, stage, files=files, **changes))
    return passed[-1]


def out_of_sample(n_days: int = 600, sharpe: float = 3.0, seed: int = 3) -> OutOfSample:
    """A year of training and then days of a book with this true Sharpe ratio at 10 % volatility, up to 2018-02-07."""
    rng = np.random.default_rng(seed)
    dates = np.busday_offset("2018-02-07", np.arange(1 - n_days, 1))
    cost, sigma = rng.uniform(5e-5, 1e-4, n_days), 0.1 / 252**0.5
    return OutOfSample(
        windows=(Window(0, 1, (0, 200), (222, 222 + n_days)),),
        chosen=("lookback_days=252,skip_days=21",),
        rows=np.arange(222, 222 + n_days),
        dates=dates,
        window_of_day=np.zeros(n_days, dtype=np.int64),
        gross=rng.normal(sharpe * sigma / 252**0.5, sigma, n_days) + cost,
        spread_cost=cost,
        impact_cost=np.zeros(n_days),
        borrow_cost=np.zeros(n_days),
        turnover=rng.uniform(0.03, 0.05, n_days),
        market=rng.normal(3e-4, 1e-2, n_days),
        daily_ic=rng.normal(0.05, 0.1, n_days),
        daily_net_ics=rng.normal(0.04, 0.1, (3, n_days)),
        multipliers=(1.0, 1.5, 2.0),
        horizon_days=21,
        long_only=False,
    )


def stored_series(series: OutOfSample) -> dict[str, bytes]:
    """returns.csv and windows.csv of a pack."""
    calendar = np.concatenate([series.dates[0] - np.arange(222, 0, -1), series.dates])
    return {"returns.csv": returns_csv(series), "windows.csv": windows_csv(series, calendar)}
