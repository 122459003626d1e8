"""What a desk learns from its record: one tag on a page, patterns over all of them, a page for whoever comes next."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.desk import cli
from reports.desk.failures import failures, fingerprint, generalised
from reports.desk.handoff import HANDOFF
from reports.record.durable import dump_json
from reports.record.registry import Registry
from reports.record.workspace import Workspace
from tests.reports.frozen_candidate import NO_HISTORY
from tests.reports.recorded_tag import cell, gate, new_workspace, record_passes, record_stage

TAG = "rev-2026-01"
REPOSITORY = Path(__file__).resolve().parents[2]
WINDOWS = [
    {"number": number, "shard": shard, "variant": "v", "train_first": "", "train_last": "", "test_first": first, "test_last": last}
    for number, (shard, first, last) in enumerate(
        [("wf-1", "2016-01-04", "2016-06-30"), ("wf-1", "2016-07-01", "2016-12-30"), ("wf-2", "2017-01-03", "2017-06-30")]
    )
]  # fmt: skip
CONTRIBUTIONS = b"""shard,symbol,gross,cost,turnover
wf-1,AAA,0.05,0.01,1.0
wf-1,BBB,-0.02,0.01,1.0
wf-2,AAA,-0.01,0.02,1.0
wf-2,CCC,0.03,0.02,1.0
wf-2,DDD,0.20,0.01,1.0
"""
FAILING = {
    "s3.shard_net_t": gate(
        {**cell(-2.15, -1.65, "failed", ">="), "id": "wf-2 x2", "shard": "wf-2", "cost_multiplier": 2.0},
        {**cell(1.0, -1.65, relation=">="), "id": "wf-1 x2", "shard": "wf-1", "cost_multiplier": 2.0},
    ),
    "s3.net_sharpe": gate(
        {
            **cell(-0.4, outcome="failed"),
            "evidence": [
                {"threshold": "s3.net_sharpe.level", "holds": False, "measured": -0.4, "relation": ">", "bound": 0.0, "margin": -0.4, "interval": [-1.1, 0.3]},
                {"threshold": "s3.net_sharpe.windows", "holds": True, "measured": 0.7, "relation": ">=", "bound": 0.6, "margin": 0.1, "interval": None},
            ],
        }
    ),
}  # fmt: skip
REMEDIATION = [
    {"gate": "s3.shard_net_t", "cell": "wf-2 x2", "likely_cause": "one period lost money", "look_closer": "less it", "rerun_needs": "a new tag"}
]  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return new_workspace(tmp_path / "desk")


@pytest.fixture
def type_in(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> Any:
    def typed(*arguments: str) -> tuple[int, str]:
        status = cli.main([*arguments, "--workspace", str(workspace.root)])
        told = capsys.readouterr()
        assert "Traceback" not in told.out + told.err
        return status, told.out + told.err

    return typed


def fail(workspace: Workspace, tag: str = TAG, **more: Any) -> None:
    record_stage(
        workspace,
        tag,
        "s3",
        "FAIL",
        FAILING,
        said={"windows": WINDOWS, "remediation": REMEDIATION, "notes": ["the file is too short"]},
        files={"contributions.csv": CONTRIBUTIONS},
        **more,
    )


# ------------------------------------------------------------------------------------------------ explain


def test_explain_says_where_a_cell_failed(workspace: Workspace, type_in: Any) -> None:
    fail(workspace)
    _, told = type_in("explain", TAG)
    assert "test dates 2017-01-03 to 2017-06-30; least from AAA -5.00 %, CCC -1.00 %" in told
    assert "test dates 2016-01-04 to 2017-06-30; least from BBB -3.00 %" in told
    assert "warning     the file is too short" in told


def test_explain_says_what_would_have_to_be_true(workspace: Workspace, type_in: Any) -> None:
    fail(workspace)
    _, told = type_in("explain", TAG)
    assert "s3.shard_net_t [wf-2 x2] >= -1.65: 0.5 away, at -2.15" in told
    assert "s3.net_sharpe.level > 0: 0.4 away, at -0.4; its 95 % interval -1.1 .. 0.3 holds the bound" in told
    assert "s3.net_sharpe.windows" not in told.split("to pass")[1]
    assert "s3.shard_net_t: one period lost money\n        less it" in told
    assert "a rerun needs a new tag" in told


def test_explain_is_the_same_in_json(workspace: Workspace, type_in: Any) -> None:
    fail(workspace)
    found = json.loads(type_in("explain", TAG, "--json")[1])
    failing = found["runs"][0]["failing"]
    assert [entry["cell"] for entry in failing] == ["wf-2 x2", "-"]
    assert failing[0]["names"] == [{"symbol": "AAA", "net": -0.05}, {"symbol": "CCC", "net": pytest.approx(-0.01)}]
    assert (failing[0]["first_date"], failing[0]["last_date"]) == ("2017-01-03", "2017-06-30")


@pytest.mark.parametrize("damage", [b"", b"\xff", b"shard,symbol\nwf-2", b"shard,symbol,gross,cost\nwf-2,AAA,x,1\n"])
def test_explain_goes_on_without_names_when_their_file_is_damaged(
    workspace: Workspace, type_in: Any, damage: bytes
) -> None:
    fail(workspace)
    next(workspace.gate_results.rglob("contributions.csv")).write_bytes(damage)
    status, told = type_in("explain", TAG)
    assert (status, "least from" in told, "test dates 2017" in told) == (0, False, True)


def freeze(workspace: Workspace, tag: str, half_spread_bps: float, data: str) -> None:
    config = {"data": {"path": "p", "absent": {}}, "costs": {"half_spread_bps": half_spread_bps, "source": "broker"}}
    record = {
        "schema": 1,
        "owner": "olga",
        "candidate": {"config": config},
        "data": {"sha256": data * 64},
        "inputs": {},
        "code": {"tree_sha256": "2" * 64, "git_commit": "git:1"},
        "packages_sha256": "4" * 64,
        "policy_sha256": "5" * 64,
        "settings_sha256": None,
        "expected": [],
        "history": NO_HISTORY,
    }
    workspace.freeze(tag).parent.mkdir(parents=True, exist_ok=True)
    workspace.freeze(tag).write_bytes(dump_json(record))


def test_explain_says_what_changed_since_the_superseded_tag(workspace: Workspace, type_in: Any) -> None:
    freeze(workspace, TAG, 5.0, "a")
    freeze(workspace, "rev-2", 7.5, "b")
    fail(workspace)
    better = {"s3.net_sharpe": gate(cell(0.3)), "s3.shard_net_t": FAILING["s3.shard_net_t"]}
    record_stage(workspace, "rev-2", "s3", "FAIL", better, supersedes=TAG, root_cause="data:a bad cell")
    _, told = type_in("explain", "rev-2")
    assert f"since {TAG} (FAIL), root cause data:a bad cell" in told
    assert f"changed     data: data: {'a' * 12} -> {'b' * 12}" in told
    assert "changed     parameter: costs.half_spread_bps: 5.0 -> 7.5" in told
    assert "measured    s3.net_sharpe [-]: -0.4 -> 0.3 passed" in told
    assert "superseded by rev-2" in type_in("explain", TAG)[1]


def test_explain_says_that_a_freeze_is_gone(workspace: Workspace, type_in: Any) -> None:
    fail(workspace)
    fail(workspace, "rev-2", supersedes=TAG, root_cause="data:a bad cell")
    assert "changed     cannot read the file" in type_in("explain", "rev-2")[1]
    for text in (b"[]", b"{}"):
        workspace.freeze(TAG).parent.mkdir(parents=True, exist_ok=True)
        workspace.freeze(TAG).write_bytes(text)
        assert type_in("explain", "rev-2")[0] == 0


# ------------------------------------------------------------------------------------------------ failures


def test_tags_that_fail_alike_are_one_pattern_with_the_causes_that_followed(workspace: Workspace, type_in: Any) -> None:
    record_stage(workspace, "a-1", "s1", "FAIL", {"s1.ic_t": gate(cell(0.5, 2.0, "failed"))})
    record_stage(
        workspace,
        "a-2",
        "s1",
        "FAIL",
        {"s1.ic_t": gate(cell(0.7, 2.0, "failed"))},
        supersedes="a-1",
        root_cause="data:late",
    )
    record_stage(workspace, "a-3", "s1", supersedes="a-2", root_cause="parameter:slower")
    record_stage(workspace, "b-1", "s1", "FAIL", {"s1.coverage": gate(cell(0.5, 0.7, "failed"))}, candidate="other")
    record_stage(workspace, "b-1", "s2", "FAIL", {"s1.coverage": gate(cell(0.5, 0.7, "failed"))}, official=False)
    first, second = failures(workspace, Registry(workspace.root).rows())
    assert (first.gate, first.tags, first.cells, first.last_tag) == ("s1.ic_t", 2, 2, "a-2")
    assert [(each.root_cause, each.tags, each.passed) for each in first.followed] == [
        ("data", 1, 0),
        ("parameter", 1, 1),
    ]
    assert (second.gate, second.tags, second.unofficial) == ("s1.coverage", 1, 1)
    _, told = type_in("failures")
    assert "s1.ic_t: 2 tags, 1 candidate, 2 cells; last a-2" in told
    assert "followed by parameter: 1 tag, 1 got past the stage; parameter:slower" in told
    assert json.loads(type_in("failures", "--json")[1])["patterns"][0]["fingerprint"] == first.fingerprint


def test_an_abandoned_run_is_a_failure_of_the_run(workspace: Workspace, type_in: Any) -> None:
    registry = Registry(workspace.root)
    row = {
        "stage": "s0",
        "official": "true",
        "candidate": "c",
        "family": "f",
        "owner": "o",
        "decision_tag": "gone",
        "run_id": "run-9",
    }
    registry.claim(row)
    registry.append("ABANDONED", {**row, "detail": "run run-9 of gone ended without a word at 2026-01-01T00:00:00Z"})
    _, told = type_in("failures")
    assert "the run: 1 tag," in told
    assert "run RUN of TAG ended without a word at DATE" in told


@given(
    st.integers(0, 9999),
    st.floats(-9, 9, allow_nan=False),
    st.sampled_from(["a-1", "mom", "2026.x"]),
    st.text("0123456789abcdef", min_size=40, max_size=40),
)
def test_a_fingerprint_knows_nothing_of_one_run(number: int, value: float, tag: str, commit: str) -> None:
    message = f"{tag}: /home/x/{number}/prices.csv row {number} is {value:.6g} (wf-{number} x{abs(value):.1f}), git:{commit}, momentum"
    known = {tag: "TAG"}
    assert generalised(message, known) == "TAG: PATH row # is # (wf-# x#), HASH, momentum"
    assert fingerprint("g", generalised(message, known)) == fingerprint(
        "g", "TAG: PATH row # is # (wf-# x#), HASH, momentum"
    )
    assert fingerprint("g", "m") != fingerprint("h", "m")


# ------------------------------------------------------------------------------------------------ handoff


def test_handoff_is_enough_to_go_on(workspace: Workspace, type_in: Any) -> None:
    record_passes(workspace, "mom-1", ("s0", "s1"))
    packet = workspace.packet("mom-1", "s1")
    packet.parent.mkdir(parents=True)
    packet.write_text("# mom-1 s1\n## Next action\nAsk the vendor about May.\n## Evidence\n", encoding="utf-8")
    fail(workspace)
    record_stage(workspace, "old", "s0", "FAIL", {"s0.x": gate(cell(-1.0, outcome="failed"))})
    record_stage(workspace, "new", "s0", supersedes="old", root_cause="data:late")
    held = type_in("verify")
    status, told = type_in("handoff")
    assert [tag["tag"] for tag in json.loads(type_in("handoff", "--json")[1])["in_flight"]] == ["mom-1", TAG, "new"]
    assert type_in("verify") == held
    assert (status, f"docs/production_research/{HANDOFF}" in told) == (0, True)
    page = (workspace.research / HANDOFF).read_text(encoding="utf-8")
    assert f"stagegate packet mom-1 s2 --workspace {workspace.root}" in page
    assert "Ask the vendor about May." in page
    assert "| rev-2026-01 | s3.shard_net_t: likely one period lost money. Look closer: less it |" in page
    assert f"stagegate explain {TAG} --workspace {workspace.root}" in page
    assert "gate_results/production_gates" in page
    assert "Tags that wait for something: 3; closed: 1" in page
    assert "\nold" not in page.split("## Last verdicts")[0]
    before = page
    record_stage(workspace, "mom-1", "s2")
    assert type_in("handoff")[0] == 0
    assert (workspace.research / HANDOFF).read_text(encoding="utf-8") != before


def test_an_empty_registry_has_nothing_to_hand_over_and_nothing_is_written(workspace: Workspace, type_in: Any) -> None:
    before = sorted(workspace.root.rglob("*"))
    status, told = type_in("handoff")
    assert (status, "the registry is empty" in told, "stagegate packet TAG s0" in told) == (4, True, True)
    assert "no failure on record" in type_in("failures")[1]
    assert "no tag has finished s3" in type_in("leaderboard")[1]
    assert "tag nobody has no row" in type_in("explain", "nobody")[1]
    assert sorted(workspace.root.rglob("*")) == before


@pytest.mark.parametrize("command", ["status", "leaderboard", "failures", "handoff", "explain"])
def test_a_registry_that_does_not_verify_is_refused_and_nothing_is_written(
    workspace: Workspace, type_in: Any, command: str
) -> None:
    fail(workspace)
    raw = workspace.registry.read_bytes()
    workspace.registry.write_bytes(raw.replace(b"olga", b"olgb", 1))
    before = sorted(workspace.root.rglob("*"))
    status, told = type_in(command, *([TAG] if command == "explain" else []))
    assert (status, "does not hold" in told, "stagegate verify" in told) == (4, True, True)
    assert sorted(workspace.root.rglob("*")) == before


@pytest.mark.parametrize("command", ["explain", "failures", "handoff", "leaderboard"])
def test_an_overview_stays_light(workspace: Workspace, command: str) -> None:
    """What makes a command slow to start is what it imports: none of the numerics."""
    fail(workspace)
    arguments = [command, *([TAG] if command == "explain" else []), "--workspace", str(workspace.root)]
    code = "import sys; from reports.desk.cli import main; status = main(); print(sorted({'numpy', 'pandas', 'scipy', 'pytest'} & set(sys.modules))); sys.exit(status)"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "[]"), done.stderr
