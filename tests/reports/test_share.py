"""What a batch brought back, divided: each candidate is judged by its own cells, and by what concerns everyone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from reports.criteria.evidence import Evidence
from reports.criteria.stream import read_stream
from reports.criteria.verdict import Returned, judge
from reports.record.durable import dump_json, write_new
from reports.run.session import GateSession
from reports.run.share import acquitted, denied, divide_report, divide_stream, names_of
from tests.reports.frozen_candidate import TAG, lay_out


@pytest.fixture
def batch(tmp_path: Path) -> tuple[GateSession, GateSession]:
    """Two sessions of one frozen candidate, under two names of which one begins with the other."""
    frozen = lay_out(tmp_path)
    write_new(frozen.places.workspace.freeze(TAG), dump_json(frozen.record()))
    session = GateSession(
        run_id="run",
        stages=("s3",),
        places=frozen.places,
        cache=tmp_path,
        freeze_path=frozen.places.workspace.freeze(TAG),
        multipliers=(1.0, 1.5, 2.0),
        started_utc="2026-11-23T17:05:09Z",
        stream_path=tmp_path / "stream.jsonl",
        rehearsal=False,
        name="mom",
    )
    return session, replace(session, name="mom-wf-1")


@dataclass
class Left:
    """What a child left behind, free to be spoiled before it is divided."""

    events: list[dict[str, Any]]
    report: dict[str, Any] | None
    exit_status: int | None = 0
    damage: bytes = b""

    def phases(self, node: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event.get("node") == node]

    def replace_phases(self, node: str, phases: Sequence[dict[str, Any]]) -> None:
        self.events = [event for event in self.events if event.get("node") != node]
        self.events[-1:-1] = phases

    def stream(self) -> bytes:
        return b"".join(json.dumps(event).encode() + b"\n" for event in self.events) + self.damage


def phase(node: str, when: str, outcome: str = "passed", evidence: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    return {
        "event": "phase",
        "worker": "gw0",
        "node": node,
        "when": when,
        "outcome": outcome,
        "xfail": False,
        "message": "",
        "evidence": list(evidence),
    }


def brought_back(batch: Sequence[GateSession]) -> Left:
    """Everything passed, on two workers that came back in order."""
    cells = {node: cell for session in batch for node, cell in session.cell_by_node.items()}
    events: list[dict[str, Any]] = [{"event": "session", "workers": 2}]
    events += [{"event": "collected", "worker": worker, "nodes": list(cells)} for worker in ("gw0", "gw1")]
    for node, cell in cells.items():
        steps = {">": 1.0, ">=": 1.0, "<": -1.0, "<=": -1.0}
        evidence = [
            Evidence(each, each.bound + steps[each.relation], 9).to_json()
            for each in cell.thresholds
            if not cell.absent
        ]
        events += [phase(node, "setup"), phase(node, "call", evidence=evidence), phase(node, "teardown")]
    events += [{"event": "worker_down", "worker": worker, "error": ""} for worker in ("gw0", "gw1")]
    events.append({"event": "finished", "exit": 0})
    tests = [{"nodeid": node, "outcome": "passed"} for node in cells]
    return Left(events, {"exitcode": 0, "summary": {"passed": len(tests)}, "tests": tests})


@pytest.fixture
def verdicts(tmp_path: Path, batch: Sequence[GateSession]):
    """Divide what was left and judge each share as a run of its own is judged."""

    def judged(left: Left) -> list[str]:
        found = []
        names = names_of(batch)
        cleared = acquitted(left.stream(), names, left.exit_status)
        report = json.dumps(left.report).encode()
        reports = [None] * len(batch) if left.report is None else divide_report(report, names, cleared)
        streams = divide_stream(left.stream(), names, cleared)
        for session, stream, report, is_cleared in zip(batch, streams, reports, cleared, strict=True):
            path = tmp_path / f"{session.name}.jsonl"
            path.write_bytes(stream)
            share = Returned(
                0 if is_cleared else left.exit_status, None if report is None else json.loads(report), read_stream(path)
            )
            found.append(judge(session.expected_of("s3"), share).name)
        return found

    return judged


def ended(left: Left, status: int | None) -> Left:
    """The same, ended with another status that all witnesses agree on."""
    left.events[-1] = {"event": "finished", "exit": status}
    left.exit_status = status
    left.report = None if left.report is None else {**left.report, "exitcode": status}
    return left


def test_node_ids_tell_candidates_apart_even_when_one_name_begins_with_the_other(batch):
    assert not set(batch[0].cell_by_node) & set(batch[1].cell_by_node)


def test_what_came_back_whole_passes_for_each(batch, verdicts):
    assert verdicts(brought_back(batch)) == ["PASS", "PASS"]


def test_the_share_is_what_a_run_of_its_own_would_have_left(batch):
    left, alone = brought_back(batch), brought_back([replace(batch[0], name="")])
    names = names_of(batch)
    assert divide_stream(left.stream(), names, (False, False))[0] == alone.stream()
    mine = json.loads(divide_report(json.dumps(left.report).encode(), names, (False, False))[0])
    assert mine["tests"] == alone.report["tests"]
    assert mine["summary"] == {
        "passed": len(mine["tests"]),
        "total": len(mine["tests"]),
        "collected": len(mine["tests"]),
    }


def test_a_loss_is_one_candidate_s_own(batch, verdicts):
    left = brought_back(batch)
    node = next(node for node in batch[0].cell_by_node if "test_edge[" in node)
    call = left.phases(node)[1]
    call["outcome"], call["evidence"][0]["value"] = "failed", -9.0
    next(test for test in left.report["tests"] if test["nodeid"] == node)["outcome"] = "failed"
    assert verdicts(ended(left, 1)) == ["FAIL", "PASS"]


@pytest.mark.parametrize("status", [0, 1])
def test_an_exit_status_that_the_tests_contradict_clears_nobody(batch, verdicts, status):
    left = ended(brought_back(batch), status)
    if status == 0:
        node = next(iter(batch[0].cell_by_node))
        left.phases(node)[1]["outcome"] = "failed"
        next(test for test in left.report["tests"] if test["nodeid"] == node)["outcome"] = "failed"
        assert verdicts(left)[0] == "INCOMPLETE"
        assert "although gates/s3/test_edge.py" in denied(left.stream(), status)[0]
    assert acquitted(left.stream(), names_of(batch), status) == (False, False)
    assert bool(denied(left.stream(), status)) is (status == 0)


def test_a_dead_worker_is_held_against_those_that_it_took_along(batch, verdicts):
    left = brought_back(batch)
    next(event for event in left.events if event["event"] == "worker_down")["error"] = "Not properly terminated"
    assert verdicts(left) == ["PASS", "PASS"]
    node = next(iter(batch[1].cell_by_node))
    left.replace_phases(node, left.phases(node)[:1])
    assert verdicts(left) == ["PASS", "INCOMPLETE"]


@pytest.mark.parametrize(
    "phases", [[], ["setup"], ["call", "teardown"], ["setup", "call", "call", "teardown"], ["???"]]
)
def test_a_cell_that_is_not_whole_leaves_its_candidate_incomplete(batch, verdicts, phases):
    left = brought_back(batch)
    node = next(iter(batch[0].cell_by_node))
    left.replace_phases(node, [phase(node, when) for when in phases])
    assert verdicts(left)[0] == "INCOMPLETE"


@pytest.mark.parametrize("status", [None, 2, 3, -9])
def test_without_an_orderly_end_of_the_process_nobody_passes(batch, verdicts, status):
    left = brought_back(batch)
    if status in (None, -9):
        left.events.pop()
        left.exit_status, left.report = status, None
    else:
        ended(left, status)
    assert verdicts(left) == ["INCOMPLETE", "INCOMPLETE"]


def test_a_missing_report_concerns_everyone(batch, verdicts):
    left = brought_back(batch)
    left.report = None
    assert verdicts(left) == ["INCOMPLETE", "INCOMPLETE"]


@pytest.mark.parametrize("damage", [b"{torn", b"[]\n", b"\x00\n", b'{"event": "phase", "node": 5}\n'])
def test_a_line_that_is_no_event_concerns_everyone(batch, verdicts, damage):
    left = brought_back(batch)
    left.damage = damage
    assert verdicts(left) == ["INCOMPLETE", "INCOMPLETE"]


def test_a_report_that_cannot_be_read_is_nobody_s_witness(batch):
    assert divide_report(b"{torn", names_of(batch), (True, False)) == (b"{torn", b"{torn")


def test_a_node_that_no_candidate_expects_fails_everyone(batch, verdicts):
    left = brought_back(batch)
    stray = "gates/s3/test_edge.py::test_edge[other]"
    left.events[-1:-1] = [phase(stray, when) for when in ("setup", "call", "teardown")]
    left.report["tests"].append({"nodeid": stray, "outcome": "passed"})
    assert verdicts(left) == ["FAIL", "FAIL"]


def test_a_worker_that_did_not_collect_a_candidate_leaves_it_incomplete(batch, verdicts):
    left = brought_back(batch)
    mine = set(batch[0].cell_by_node)
    collected = next(event for event in left.events if event["event"] == "collected")
    collected["nodes"] = [node for node in collected["nodes"] if node not in mine]
    assert verdicts(left) == ["INCOMPLETE", "PASS"]
