"""What a batch brought back, divided: each candidate is judged by its own cells, and by what concerns everyone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reports.criteria.evidence import Evidence
from reports.criteria.stream import Phase, Stream
from reports.criteria.verdict import Returned, judge
from reports.record.durable import dump_json, write_new
from reports.run.session import GateSession
from reports.run.share import shares
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


def brought_back(batch: tuple[GateSession, ...]) -> Returned:
    """Everything passed, on two workers that came back in order."""
    cells = {node: cell for session in batch for node, cell in session.cell_by_node.items()}
    stream = Stream(workers=2, exit=0, down={"gw0": "", "gw1": ""})
    stream.collected = {worker: tuple(cells) for worker in ("gw0", "gw1")}
    for node, cell in cells.items():
        evidence = () if cell.absent else tuple(Evidence(each, each.bound + 1.0, 9) for each in cell.thresholds)
        if any(each.relation == "<=" for each in cell.thresholds):
            evidence = tuple(replace(entry, value=entry.threshold.bound - 1.0) for entry in evidence)
        stream.phases[node] = [
            Phase(when, "passed", False, "", evidence if when == "call" else ())
            for when in ("setup", "call", "teardown")
        ]
    report = {"exitcode": 0, "tests": [{"nodeid": node, "outcome": "passed"} for node in cells]}
    return Returned(0, report, stream)


def verdicts(batch: tuple[GateSession, ...], returned: Returned) -> list[str]:
    return [
        judge(session.expected_of("s3"), share).name
        for session, share in zip(batch, shares(returned, batch), strict=True)
    ]


def test_node_ids_tell_candidates_apart_even_when_one_name_begins_with_the_other(batch):
    assert not set(batch[0].cell_by_node) & set(batch[1].cell_by_node)


def test_what_came_back_whole_passes_for_each(batch):
    assert verdicts(batch, brought_back(batch)) == ["PASS", "PASS"]


def test_the_share_is_what_a_run_of_its_own_would_have_brought(batch):
    returned = brought_back(batch)
    alone = (replace(batch[0], name=""),)
    assert shares(returned, batch)[0] == brought_back(alone)


def test_a_loss_is_one_candidate_s_own(batch):
    returned = brought_back(batch)
    node = next(node for node in batch[0].cell_by_node if "test_edge" in node.rpartition("::")[2])
    call = returned.stream.phases[node][1]
    lost = replace(call, outcome="failed", evidence=(replace(call.evidence[0], value=-9.0),))
    returned.stream.phases[node][1] = lost
    failed = [
        {**test, "outcome": "failed"} if test["nodeid"] == node else test for test in returned.json_report["tests"]
    ]
    stream = replace_exit(returned.stream, 1)
    assert verdicts(batch, Returned(1, {"exitcode": 1, "tests": failed}, stream)) == ["FAIL", "PASS"]


def replace_exit(stream: Stream, status: int) -> Stream:
    stream.exit = status
    return stream


def test_a_dead_worker_is_held_against_those_that_it_took_along(batch):
    returned = brought_back(batch)
    returned.stream.down["gw1"] = "Not properly terminated"
    assert verdicts(batch, returned) == ["PASS", "PASS"]
    node = next(iter(batch[1].cell_by_node))
    returned.stream.phases[node] = returned.stream.phases[node][:1]
    assert verdicts(batch, returned) == ["PASS", "INCOMPLETE"]


@pytest.mark.parametrize(
    "phases", [[], ["setup"], ["call", "teardown"], ["setup", "call", "call", "teardown"], ["???"]]
)
def test_a_cell_that_is_not_whole_leaves_its_candidate_incomplete(batch, phases):
    returned = brought_back(batch)
    node = next(iter(batch[0].cell_by_node))
    returned.stream.phases[node] = [Phase(when, "passed", False, "", ()) for when in phases]
    assert verdicts(batch, returned)[0] == "INCOMPLETE"


@pytest.mark.parametrize("status", [None, 2, 3, -9])
def test_without_an_orderly_end_of_the_process_nobody_passes(batch, status):
    returned = brought_back(batch)
    returned.stream.exit = status
    report = None if status == -9 else {**returned.json_report, "exitcode": status}
    assert verdicts(batch, Returned(status, report, returned.stream)) == ["INCOMPLETE", "INCOMPLETE"]


def test_a_damaged_stream_and_a_missing_report_concern_everyone(batch):
    returned = brought_back(batch)
    assert verdicts(batch, Returned(0, None, returned.stream)) == ["INCOMPLETE", "INCOMPLETE"]
    returned.stream.faults.append("the evidence stream is damaged at line 9")
    assert verdicts(batch, returned) == ["INCOMPLETE", "INCOMPLETE"]


def test_a_node_that_no_candidate_expects_fails_everyone(batch):
    returned = brought_back(batch)
    stray = "gates/s3/test_edge.py::test_edge[other]"
    returned.stream.phases[stray] = [Phase(when, "passed", False, "", ()) for when in ("setup", "call", "teardown")]
    returned.json_report["tests"].append({"nodeid": stray, "outcome": "passed"})
    assert verdicts(batch, returned) == ["FAIL", "FAIL"]


def test_a_worker_that_did_not_collect_a_candidate_leaves_it_incomplete(batch):
    returned = brought_back(batch)
    mine = set(batch[0].cell_by_node)
    returned.stream.collected["gw1"] = tuple(node for node in returned.stream.collected["gw1"] if node not in mine)
    assert verdicts(batch, returned) == ["INCOMPLETE", "PASS"]
