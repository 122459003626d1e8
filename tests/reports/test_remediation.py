"""What to do about a run that did not pass: every failing cell is there, in order, with a cause, a command and what a rerun needs."""

from __future__ import annotations

from dataclasses import replace

from reports.criteria.evidence import Evidence, Threshold
from reports.criteria.policy import ExpectedCell
from reports.criteria.verdict import CellResult, Verdict
from reports.pack.markdown import report_markdown
from reports.pack.remediation import remediation
from reports.pack.render import report_json
from tests.reports.test_render import HEADER, PASSED

PACK = "gate_results/production_gates_20261123T170509Z"
OFFICIAL = replace(HEADER, inputs={**HEADER.inputs, "candidate": "workspace:candidates/momentum/candidate.toml"})


def result(gate: str, cell: str, value: float | None, outcome: str = "failed", note: str = "") -> CellResult:
    threshold = Threshold(gate, ">=", 0.0, "t", 1.0)
    shard = None if cell == "-" else cell
    expected = ExpectedCell(gate, "hard", f"gates/{gate}", shard, None, (threshold,), None, "")
    evidence = () if outcome == "missing" else (Evidence(threshold, value, 252, note),)
    return CellResult(expected, outcome, evidence, "did not hold")


FAILED = Verdict(
    "FAIL",
    (
        result("s1.dq.missing_ratio", "-", -0.1),
        result("s1.ic_t", "-", 4.0, "passed"),
        result("s3.shard_net_t", "wf-1", -0.5),
        result("s3.shard_net_t", "wf-2", -3.0),
        result("s3.shard_net_t", "wf-3", 2.0, "passed"),
        result("s3.cost_gate_x2_0_positive", "-", None, note="no trades"),
    ),
    (),
    (),
)


def test_every_failing_cell_is_there_in_the_order_of_the_policy_the_worst_of_a_gate_first():
    steps = remediation(FAILED, OFFICIAL, PACK)
    assert [(step["gate"], step["cell"]) for step in steps] == [
        ("s1.dq.missing_ratio", "-"),
        ("s3.shard_net_t", "wf-2"),
        ("s3.shard_net_t", "wf-1"),
        ("s3.cost_gate_x2_0_positive", "-"),
    ]
    assert steps[0]["look_closer"] == f"less {PACK}/data_quality_report.md"
    assert "--supersedes 2026-11-momentum --root-cause data:" in steps[0]["rerun_needs"]
    assert "something that differs" in steps[0]["rerun_needs"]
    assert steps[3]["likely_cause"] == "it was not measured: no trades"


def test_commands_name_the_candidate_as_it_is_typed_in_the_workspace():
    (step,) = remediation(Verdict("FAIL", (result("s1.no_lookahead", "-", -1.0),), (), ()), OFFICIAL, PACK)
    assert step["look_closer"] == "pytest gates/s1 --candidate candidates/momentum/candidate.toml -k truncation"


def test_what_did_not_come_back_stands_first_and_needs_no_difference():
    cells = (result("s3.shard_net_t", "wf-1", -3.0), result("s3.shard_net_t", "wf-2", None, "missing"))
    lost = ("worker gw1 did not come back", "s3.shard_net_t [wf-2] did not come back: came back as []")
    steps = remediation(Verdict("INCOMPLETE", cells, lost, ()), OFFICIAL, PACK)
    assert [(step["gate"], step["cell"]) for step in steps] == [
        ("", ""),
        ("s3.shard_net_t", "wf-2"),
        ("s3.shard_net_t", "wf-1"),
    ]
    assert steps[0]["likely_cause"] == "worker gw1 did not come back"
    assert {step["look_closer"] for step in steps[:2]} == {f"less {PACK}/run.log"}
    assert all("environment:" in step["rerun_needs"] and "nothing need differ" in step["rerun_needs"] for step in steps)


def test_a_finding_after_the_run_is_a_step_of_its_own():
    verdict = Verdict("FAIL", (result("s3.shard_net_t", "wf-1", 1.0, "passed"),), (), ("the freeze changed",))
    (step,) = remediation(verdict, OFFICIAL, PACK)
    assert (step["gate"], step["likely_cause"]) == ("", "the freeze changed")


def test_an_unofficial_run_owes_nothing():
    steps = remediation(FAILED, replace(OFFICIAL, official=False), PACK)
    assert all(step["rerun_needs"].startswith("nothing: an unofficial run spends nothing") for step in steps)


def test_a_pass_leaves_nothing_to_do_and_the_reports_end_with_the_list():
    assert remediation(PASSED, OFFICIAL, PACK) == []
    assert "## What to do" not in report_markdown(report_json(OFFICIAL, PASSED, ()))
    report = report_json(OFFICIAL, FAILED, (), remediation=remediation(FAILED, OFFICIAL, PACK))
    assert list(report)[-1] == "remediation"
    last = report_markdown(report).split("\n## ")[-1]
    assert last.startswith("What to do")
    assert "1. s1.dq.missing_ratio" in last
    assert "4. s3.cost_gate_x2_0_positive" in last
    assert last.count("look closer: `") == 4
