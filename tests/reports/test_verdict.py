"""The verdict fails closed: from an honest run, every single thing that can be taken away or bent ends in FAIL or INCOMPLETE."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.criteria.evidence import Evidence, Threshold
from reports.criteria.policy import ExpectedCell
from reports.criteria.stream import Phase, Stream
from reports.criteria.verdict import Returned, judge, overrule

FLOOR = Threshold("s3.shard_net_t", ">=", -1.65, "t", 1.0)
RATIO = Threshold("s3.net_sharpe.windows", ">=", 0.6, "share", 0.1)
LEVEL = Threshold("s3.net_sharpe.level", ">", 0.0, "sharpe", 0.5)


def cell(
    gate: str, thresholds: tuple[Threshold, ...], shard: str | None = None, level: str = "hard", absent: str = ""
) -> ExpectedCell:
    suffix = f"[{shard}]" if shard else ""
    return ExpectedCell(
        gate,
        level,
        f"gates/s3/test_x.py::test_{gate[3:]}{suffix}",
        shard,
        None,
        thresholds,
        "sector" if absent else None,
        absent,
    )


CELLS = (
    cell("s3.shard_net_t", (FLOOR,), "wf-1"),
    cell("s3.shard_net_t", (FLOOR,), "wf-2"),
    cell("s3.net_sharpe", (LEVEL, RATIO)),
    cell("s3.break_even", (Threshold("s3.break_even", ">=", 2.0, "x", 0.5),), level="diagnostic"),
    cell("s3.industry", (Threshold("s3.industry", ">=", 0.7, "share", 0.1),), absent="no sectors here"),
)
VALUES = {"s3.shard_net_t": 1.2, "s3.net_sharpe.level": 0.8, "s3.net_sharpe.windows": 0.7, "s3.break_even": 1.1}


def phases(expected: ExpectedCell) -> list[Phase]:
    evidence = (
        ()
        if expected.absent
        else tuple(Evidence(threshold, VALUES[threshold.id], 100) for threshold in expected.thresholds)
    )
    return [
        Phase("setup", "passed", False, "", ()),
        Phase("call", "passed", False, "", evidence),
        Phase("teardown", "passed", False, "", ()),
    ]


def honest(workers: int = 2) -> Returned:
    stream = Stream(workers=workers, exit=0)
    names = [f"gw{number}" for number in range(workers)] or ["controller"]
    stream.collected = {name: tuple(each.node for each in CELLS) for name in names}
    stream.down = dict.fromkeys(names, "") if workers else {}
    stream.phases = {each.node: phases(each) for each in CELLS}
    return Returned(0, {"exitcode": 0, "tests": [{"nodeid": each.node, "outcome": "passed"} for each in CELLS]}, stream)


def change_call(returned: Returned, number: int, **changes: object) -> None:
    found = returned.stream.phases[CELLS[number].node]
    found[1] = replace(found[1], **changes)


def json_outcome(returned: Returned, number: int, outcome: str) -> Returned:
    report = dict(returned.json_report or {})
    report["tests"] = [
        dict(test, outcome=outcome) if test["nodeid"] == CELLS[number].node else test for test in report["tests"]
    ]
    report["exitcode"] = 1
    returned.stream.exit = 1
    return Returned(1, report, returned.stream)


@pytest.mark.parametrize("workers", [0, 2, 8])
def test_an_honest_run_passes(workers):
    verdict = judge(CELLS, honest(workers))
    assert verdict.name == "PASS"
    assert [result.outcome for result in verdict.cells] == ["passed", "passed", "passed", "failed", "absent"]


def test_a_failing_cell_fails_the_run_and_names_the_figures():
    returned = honest()
    change_call(returned, 1, outcome="failed", message="assert ..", evidence=(Evidence(FLOOR, -1.91, 252),))
    verdict = judge(CELLS, json_outcome(returned, 1, "failed"))
    assert verdict.name == "FAIL"
    assert (
        verdict.cells[1].message == "s3.shard_net_t [wf-2]: measured -1.91, required >= -1.65, margin -0.26 (n = 252)"
    )


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -1.91])
def test_a_passing_test_cannot_carry_evidence_that_does_not_hold(value):
    returned = honest()
    change_call(returned, 0, evidence=(Evidence(FLOOR, value, 252),))
    assert judge(CELLS, returned).name == "FAIL"


def test_a_passing_test_without_evidence_does_not_pass():
    returned = honest()
    change_call(returned, 0, evidence=())
    verdict = judge(CELLS, returned)
    assert verdict.name == "FAIL"
    assert "recorded 0 times" in verdict.cells[0].message


def test_evidence_recorded_twice_does_not_pass():
    returned = honest()
    change_call(returned, 0, evidence=(Evidence(FLOOR, 1.0, 9), Evidence(FLOOR, 2.0, 9)))
    assert judge(CELLS, returned).name == "FAIL"


def test_one_of_two_conditions_is_not_enough():
    returned = honest()
    change_call(returned, 2, evidence=(Evidence(LEVEL, 0.8, 9),))
    assert judge(CELLS, returned).name == "FAIL"


def test_evidence_is_judged_against_the_frozen_bound_not_its_own():
    returned = honest()
    change_call(returned, 0, evidence=(Evidence(replace(FLOOR, bound=-9.0), -5.0, 252),))
    assert judge(CELLS, returned).name == "FAIL"


def test_evidence_that_holds_in_a_failed_test_does_not_pass():
    returned = honest()
    change_call(returned, 0, outcome="failed", message="another assertion failed")
    verdict = judge(CELLS, json_outcome(returned, 0, "failed"))
    assert verdict.name == "FAIL"
    assert verdict.cells[0].message == "another assertion failed"


@pytest.mark.parametrize("when", [0, 1, 2])
def test_skipped_is_not_passed(when):
    returned = honest()
    found = returned.stream.phases[CELLS[0].node]
    found[when] = replace(found[when], outcome="skipped")
    if when == 0:
        del found[1]
    report = dict(
        returned.json_report or {},
        tests=[
            dict(test, outcome="skipped") if test["nodeid"] == CELLS[0].node else test
            for test in returned.json_report["tests"]
        ],
    )
    assert judge(CELLS, Returned(0, report, returned.stream)).name == "FAIL"


def test_expected_failure_is_not_passed():
    returned = honest()
    change_call(returned, 0, xfail=True)
    assert judge(CELLS, returned).name != "PASS"


def test_a_failed_teardown_is_not_passed():
    returned = honest()
    returned.stream.phases[CELLS[0].node][2] = Phase("teardown", "failed", False, "boom", ())
    assert judge(CELLS, json_outcome(returned, 0, "error")).name == "FAIL"


def test_a_broken_fixture_is_an_answer_and_fails():
    returned = honest()
    returned.stream.phases[CELLS[0].node] = [
        Phase("setup", "failed", False, "no panel", ()),
        Phase("teardown", "passed", False, "", ()),
    ]
    verdict = judge(CELLS, json_outcome(returned, 0, "error"))
    assert verdict.name == "FAIL"
    assert "recorded 0 times" in verdict.cells[0].message


def test_absent_is_counted_and_evidence_in_it_is_a_contradiction():
    returned = honest()
    change_call(returned, 4, evidence=(Evidence(CELLS[4].thresholds[0], 0.9, 9),))
    assert judge(CELLS, returned).name == "FAIL"


INCOMPLETE = {
    "a cell": lambda run: run.stream.phases.pop(CELLS[0].node),
    "a phase": lambda run: run.stream.phases[CELLS[0].node].pop(),
    "a worker": lambda run: run.stream.down.pop("gw1"),
    "a worker in order": lambda run: run.stream.down.update(gw1="killed"),
    "a worker that nobody started": lambda run: run.stream.down.update(gw7=""),
    "a collection": lambda run: run.stream.collected.pop("gw1"),
    "one collected node": lambda run: run.stream.collected.update(gw1=run.stream.collected["gw1"][1:]),
    "the last line": lambda run: setattr(run.stream, "exit", None),
    "the first line": lambda run: setattr(run.stream, "workers", None),
    "a whole stream": lambda run: run.stream.faults.append("damaged at line 3"),
    "agreement of exit and stream": lambda run: setattr(run.stream, "exit", 1),
    "agreement of report and stream": lambda run: run.json_report["tests"].pop(),
    "agreement of report and exit": lambda run: run.json_report.update(exitcode=5),
    "a test that the report failed": lambda run: run.json_report["tests"][0].update(outcome="failed"),
}


@pytest.mark.parametrize("missing", INCOMPLETE)
def test_what_did_not_come_back_is_incomplete(missing):
    returned = honest()
    INCOMPLETE[missing](returned)
    assert judge(CELLS, returned).name == "INCOMPLETE"


@pytest.mark.parametrize("status", [None, -9, -11, 2, 3, 4, 5, 70])
def test_a_process_that_did_not_end_in_order_is_incomplete(status):
    returned = honest()
    assert judge(CELLS, replace(returned, exit_status=status)).name == "INCOMPLETE"


def test_no_json_report_is_incomplete():
    assert judge(CELLS, replace(honest(), json_report=None)).name == "INCOMPLETE"


def test_nothing_expected_is_no_pass():
    assert judge((), honest()).name == "INCOMPLETE"


def test_diagnostics_alone_are_no_pass():
    only = (CELLS[3],)
    stream = Stream(
        workers=0, exit=0, collected={"controller": (only[0].node,)}, phases={only[0].node: phases(only[0])}
    )
    report = {"exitcode": 0, "tests": [{"nodeid": only[0].node, "outcome": "passed"}]}
    assert judge(only, Returned(0, report, stream)).name == "FAIL"


def test_a_node_that_nobody_expected_fails_the_run():
    returned = honest()
    for worker, nodes in returned.stream.collected.items():
        returned.stream.collected[worker] = (*nodes, "gates/s3/test_x.py::test_extra")
    assert judge(CELLS, returned).name == "FAIL"


def test_a_finding_after_the_run_overrules_a_pass():
    passed = judge(CELLS, honest())
    assert overrule(passed, ()).name == "PASS"
    assert overrule(passed, ["the freeze changed during the run"]).name == "FAIL"


@given(
    value=st.floats(allow_nan=True, allow_infinity=True),
    bound=st.floats(-1e6, 1e6),
    relation=st.sampled_from([">", ">=", "<", "<=", "=="]),
)
def test_margin_and_holding_agree(value, bound, relation):
    threshold = Threshold("g", relation, bound, "u", 1.0)
    margin = threshold.margin(value)
    if threshold.holds(value):
        assert margin is not None
        assert margin >= 0
    elif margin is not None:
        assert margin <= 0


@given(
    first=st.floats(-1e3, 1e3),
    second=st.floats(-1e3, 1e3),
    value=st.floats(-1e3, 1e3),
    relation=st.sampled_from([">", ">=", "<", "<="]),
)
def test_what_a_stricter_bound_lets_pass_the_looser_one_does_too(first, second, value, relation):
    ours, other = Threshold("g", relation, first, "u", 1.0), Threshold("g", relation, second, "u", 1.0)
    if not other.is_looser_than(ours) and other.holds(value):
        assert ours.holds(value)
