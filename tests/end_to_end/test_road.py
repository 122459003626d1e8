"""The road from S0 to S4, with two real signatures: what each stage leaves behind, and that an auditor can read it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas
import pytest

from engines.digest import sha256_file
from reports.pack.render import number
from reports.pages.report_page import page_of
from reports.record.registry import COLUMNS
from reports.record.workspace import STAGES
from tests.end_to_end.conftest import TAG, Road
from tests.end_to_end.desk import SOURCE, Desk
from tests.reports.page_rows import Page

AUDITOR = SOURCE.parent / "shared" / "audit_check.py"

AUDIT_FILES = {
    "command.sh",
    "environment.json",
    "run.log",
    "pytest_report.json",
    "evidence_stream.jsonl",
    "evidence.json",
    "freeze.json",
    "policy.toml",
    "candidate.toml",
    "packet.md",
    "MANIFEST",
}
STAGE_FILES = {
    "s0": {"decision_note.json", "data_contract.json", "windows.csv"},
    "s1": {
        "data_quality_report.json",
        "data_quality_report.md",
        "baseline_metrics.json",
        "baseline_ic.csv",
        "trials.json",
    },
    "s2": {"returns.csv", "windows.csv", "contributions.csv", "segments.csv", "risk.json", "universe_audit.csv"},
    "s3": {
        "contributions.csv",
        "cost_stress_results.csv",
        "returns.csv",
        "stressed_returns.csv",
        "family_trials.json",
        "stressed_risk.json",
    },
    "s4": {"deployment_notes.md", "watchlist.toml", "rollback_triggers.toml", "allowed_signers"},
}
REPORT_KEYS = set(
    "schema stage decision_tag run_id candidate family owner official official_reasons overall_pass verdict started_utc finished_utc "
    "inputs freeze gates failures artifacts registry".split()
)
INPUT_KEYS = {"candidate", "options", "cost_multipliers", "wf_shards", "supersedes", "root_cause"}
FREEZE_KEYS = {"path", "sha256", "config_sha256", "data_sha256", "policy_sha256", "gates_sha256", "git_commit"}
CELL_KEYS = set("id shard cost_multiplier outcome measured relation bound margin unit n_obs note".split())


@pytest.fixture(scope="module")
def promoted(road: Road) -> Desk:
    return road.after("s4")


def test_every_stage_passed_officially_and_was_started_before_it_finished(promoted):
    told = [(row["event"], row["stage"], row["verdict"]) for row in promoted.rows()]
    stages = [
        (event, stage, "PASS" if event == "FINISHED" else "") for stage in STAGES for event in ("STARTED", "FINISHED")
    ]
    assert [entry for entry in told if entry[0] != "SIGNED"] == stages
    assert [row["official"] for row in promoted.rows() if row["event"] == "FINISHED"] == ["true"] * 5
    assert [entry[:2] for entry in told if entry[0] == "SIGNED"] == [("SIGNED", "s3")] * 2


def test_an_auditors_own_reader_accepts_the_workspace(promoted):
    if not AUDITOR.is_file():
        pytest.skip(f"{AUDITOR.name} is not beside the repository")
    command = [sys.executable, str(AUDITOR), str(promoted.workspace)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_record_verifies(promoted):
    before = promoted.listing()
    ended = promoted.stagegate("verify")
    assert (ended.status, promoted.listing()) == (0, before), ended.output


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_leaves_its_files_and_nothing_half_done(promoted, stage):
    pack = promoted.pack(stage)
    stem = f"{STAGES[stage]}_report"
    there = {path.name for path in pack.rglob("*") if path.is_file()}
    assert re.fullmatch(rf"{STAGES[stage]}_\d{{8}}T\d{{6}}Z", pack.name)
    assert there >= AUDIT_FILES | STAGE_FILES[stage] | {f"{stem}.json", f"{stem}.md"}
    assert not list(promoted.workspace.rglob("*partial*"))


def test_the_deployment_pack_holds_the_signatures(promoted):
    pairs = {path.suffix for path in (promoted.pack("s4") / "signatures").iterdir()}
    assert pairs == {".json", ".sig"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_pack_checks_anywhere(promoted, stage):
    done = subprocess.run(
        ["sha256sum", "--strict", "--quiet", "-c", "MANIFEST"],
        cwd=promoted.pack(stage),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert promoted.finished(stage)["manifest_sha256"] == f"sha256:{sha256_file(promoted.pack(stage) / 'MANIFEST')}"


@pytest.mark.parametrize("stage", STAGES)
def test_a_report_says_everything_that_others_rely_on(promoted, stage):
    report = promoted.report(stage)
    assert report.keys() >= REPORT_KEYS
    assert report["inputs"].keys() >= INPUT_KEYS
    assert report["freeze"].keys() >= FREEZE_KEYS
    cells = [cell for gate in report["gates"].values() for cell in gate["cells"]]
    assert all(cell.keys() >= CELL_KEYS for cell in cells)
    assert all({"level", "passed", "measured_worst", "cells"} <= gate.keys() for gate in report["gates"].values())
    started = next(row for row in promoted.rows() if row["run_id"] == report["run_id"] and row["event"] == "STARTED")
    assert report["registry"] == {"seq": int(started["seq"]), "prev_hash": started["prev_hash"]}
    for artifact in report["artifacts"]:
        assert artifact["sha256"] == f"sha256:{sha256_file(promoted.workspace / artifact['path'])}"


@pytest.mark.parametrize("stage", STAGES)
def test_markdown_page_and_json_say_the_same_figures(promoted, stage):
    report, pack = promoted.report(stage), promoted.pack(stage)
    text = (pack / f"{STAGES[stage]}_report.md").read_text(encoding="utf-8")
    page = Page((pack / f"{STAGES[stage]}_report.html").read_text(encoding="utf-8"))
    rows = [
        [field.strip() for field in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    for shown in (rows, page.rows):
        named = {(row[0], row[1], row[2], row[5], row[8]) for row in shown if len(row) == 10}
        for gate in report["gates"].values():
            for cell in gate["cells"]:
                for entry in cell["evidence"]:
                    margin, measured = (number(entry[key]) for key in ("margin", "measured"))
                    outcome = cell["outcome"] + ("" if gate["level"] == "hard" else " (diagnostic)")
                    assert (entry["threshold"], cell["id"], measured, margin, outcome) in named
    for figure in report["figures"].values():
        assert figure["caption"] in page.text
        assert figure["caption"].replace("[", "\\[") in text
    assert {f"{each['sha256']}".removeprefix("sha256:") for each in report["artifacts"]} <= {
        row[-1] for row in page.rows if row
    }


@pytest.mark.parametrize("stage", STAGES)
def test_the_page_comes_out_again_from_the_json_alone(promoted, stage):
    name = f"{STAGES[stage]}_report"
    written = (promoted.pack(stage) / f"{name}.json").read_bytes()
    page = (promoted.pack(stage) / f"{name}.html").read_bytes()
    assert page_of(json.loads(written), f"{name}.json").encode() == page
    assert len(page) < 2_000_000


@pytest.mark.parametrize("stage", ["s2", "s3"])
def test_the_names_add_up_to_the_stored_returns(promoted, stage):
    days, names = (pandas.read_csv(promoted.pack(stage) / file) for file in ("returns.csv", "contributions.csv"))
    days["cost"] = days["spread_cost"] + days["impact_cost"] + days["borrow_cost"]
    for column in ("gross", "cost", "turnover"):
        by_day, by_name = (table.groupby("shard")[column].sum() for table in (days, names))
        pandas.testing.assert_series_equal(by_day, by_name, rtol=0.0, atol=1e-12)


def test_the_registry_carries_the_figures_of_the_reports(promoted):
    finished = promoted.finished("s3")
    gates = promoted.report("s3")["gates"]
    measured = {
        entry["threshold"]: entry["measured"]
        for gate in gates.values()
        for cell in gate["cells"]
        for entry in cell["evidence"]
    }
    assert finished.keys() >= set(COLUMNS)
    assert float(finished["deflated_sharpe"]) == measured["s3.deflated_sharpe"]
    assert float(finished["net_sharpe_x2_0"]) == measured["s3.cost_gate_x2_0_positive.net_sharpe"]
    assert finished["n_trials"] == "2"


@pytest.mark.parametrize("stage", STAGES)
def test_the_run_completes_the_packet_and_leaves_the_human_parts(promoted, stage):
    text = promoted.packet(TAG, stage).read_text(encoding="utf-8")
    human, evidence = text.split("## Evidence")
    assert human in (promoted.pack(stage) / "packet.md").read_text(encoding="utf-8")
    assert f"sha256:{sha256_file(promoted.pack(stage) / 'MANIFEST')}" in evidence
    assert "PASS. Every required gate passed in every cell." in evidence.split("## Outcome")[1]


def test_the_same_freeze_gives_the_same_evidence_whatever_the_number_of_workers(road, tmp_path):
    desk = road.at("s2", tmp_path / "desk")
    official = (road.after("s3").pack("s3") / "evidence.json").read_bytes()
    for workers in ("2", "8"):
        ended = desk.stage(TAG, "s3", "--unofficial", "-n", workers)
        assert ended.status == 0, ended.output
        assert (desk.pack("s3") / "evidence.json").read_bytes() == official
    assert [row["official"] for row in desk.rows() if row["stage"] == "s3"] == ["false"] * 4


def test_every_figure_of_the_evidence_was_measured(promoted):
    for stage in STAGES:
        evidence = json.loads((promoted.pack(stage) / "evidence.json").read_text(encoding="utf-8"))
        assert all(entry["measured"] is not None for cell in evidence for entry in cell["evidence"])
        assert all(cell["evidence"] for cell in evidence)


def test_records_name_no_place_of_this_machine(promoted):
    home = str(Path(promoted.workspace).parents[1])
    for stage in STAGES:
        assert home not in json.dumps(promoted.report(stage)["artifacts"])
    assert home not in (promoted.workspace / "gate_results" / "gate_registry.csv").read_text(encoding="utf-8")
