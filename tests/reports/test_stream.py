"""The evidence stream: what is written is read back, and whatever is wrong with it is a fault, never an exception."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.criteria.evidence import Evidence, Threshold
from reports.criteria.stream import Phase, StreamWriter, read_stream

FLOOR = Threshold("s3.shard_t", ">=", -1.65, "t", 1.0)


def phase(node: str = "n", when: str = "call", **changes: object) -> dict[str, object]:
    fields = {
        "worker": "gw0",
        "node": node,
        "when": when,
        "outcome": "passed",
        "xfail": False,
        "message": "",
        "evidence": [],
    }
    return {**fields, **changes}


def test_what_is_written_is_read_back(tmp_path):
    measured = Evidence(FLOOR, 0.25, 252, "a note", (-0.5, 1.0))
    with StreamWriter(tmp_path / "stream") as stream:
        stream.write("session", workers=2)
        stream.write("collected", worker="gw0", nodes=["a", "b"])
        stream.write("phase", **phase("a", evidence=[measured.to_json()]))
        stream.write("worker_down", worker="gw0", error="")
        stream.write("finished", exit=0)
    found = read_stream(tmp_path / "stream")
    assert (found.workers, found.exit, found.faults) == (2, 0, [])
    assert found.collected == {"gw0": ("a", "b")}
    assert found.down == {"gw0": ""}
    assert found.phases == {"a": [Phase("call", "passed", False, "", (measured,))]}


def test_every_event_is_there_before_the_next_is_seen(tmp_path):
    stream = StreamWriter(tmp_path / "stream")
    stream.write("session", workers=0)
    assert read_stream(tmp_path / "stream").workers == 0
    stream.close()


def test_a_stream_is_never_overwritten(tmp_path):
    StreamWriter(tmp_path / "stream").close()
    with pytest.raises(FileExistsError):
        StreamWriter(tmp_path / "stream")


def test_no_number_that_json_does_not_have(tmp_path):
    with StreamWriter(tmp_path / "stream") as stream, pytest.raises(ValueError, match="JSON"):
        stream.write("phase", **phase(evidence=[float("nan")]))


def test_a_missing_stream_is_a_fault(tmp_path):
    assert "cannot be read" in read_stream(tmp_path / "nothing").faults[0]


DAMAGED = {
    "half a line": '{"event": "sess',
    "no object": "[]",
    "no event": "{}",
    "an unknown event": '{"event": "verdict", "pass": true}',
    "a phase without an outcome": json.dumps(
        {"event": "phase", **{k: v for k, v in phase().items() if k != "outcome"}}
    ),
    "evidence that is none": json.dumps({"event": "phase", **phase(evidence=[{"value": 1.0}])}),
    "workers as text": '{"event": "session", "workers": "many"}',
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_line_is_named_and_the_rest_is_read(tmp_path, name):
    lines = ['{"event": "session", "workers": 0}', DAMAGED[name], '{"event": "finished", "exit": 0}']
    (tmp_path / "stream").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = read_stream(tmp_path / "stream")
    assert [fault[: fault.index(":")] for fault in found.faults] == ["the evidence stream is damaged at line 2"]
    assert (found.workers, found.exit) == (0, 0)


SESSION, END = {"event": "session", "workers": 1}, {"event": "finished", "exit": 0}
COLLECTED, DOWN = (
    {"event": event, "worker": "gw0", **more}
    for event, more in (("collected", {"nodes": []}), ("worker_down", {"error": ""}))
)


@pytest.mark.parametrize(
    ("added", "why"),
    [
        ([SESSION], "the session starts anew"),
        ([COLLECTED], "worker gw0 collects twice"),
        ([DOWN], "worker gw0 ends twice"),
        ([END, {"event": "phase", **phase()}], "stands behind the last line"),
        ([END, END], "stands behind the last line"),
    ],
)
def test_a_line_that_somebody_added_breaks_the_order(tmp_path, added, why):
    def written(lines):
        (tmp_path / "stream").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return read_stream(tmp_path / "stream").faults

    honest = [SESSION, COLLECTED, {"event": "phase", **phase()}, DOWN]
    assert written([*honest, END]) == []
    assert any(why in fault for fault in written([*honest, *added, END]))


def test_a_line_written_into_the_stream_by_another_stays_where_it_is(tmp_path):
    with StreamWriter(tmp_path / "stream") as stream:
        stream.write("session", workers=0)
        with (tmp_path / "stream").open("a") as other:
            other.write(json.dumps(END) + "\n")
        stream.write("phase", **phase())
        stream.write("finished", exit=0)
    assert len(read_stream(tmp_path / "stream").faults) == 2


@pytest.mark.parametrize(
    "spoilt",
    [
        {"value": "0.5"},
        {"value": True},
        {"value": [0.5]},
        {"value": 10**400},
        {"n_obs": 2.5},
        {"n_obs": True},
        {"note": None},
        {"interval": ["0", 1]},
        {"threshold": {**asdict(FLOOR), "bound": "0"}},
        {"threshold": {**asdict(FLOOR), "relation": "=>"}},
        {"threshold": {**asdict(FLOOR), "id": 3}},
        {"threshold": "s3.shard_t"},
    ],
)
def test_evidence_of_another_kind_is_a_fault(tmp_path, spoilt):
    line = {"event": "phase", **phase(evidence=[{**Evidence(FLOOR, 0.25, 252).to_json(), **spoilt}])}
    (tmp_path / "stream").write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert "damaged at line 1" in read_stream(tmp_path / "stream").faults[0]


@given(st.binary(max_size=200))
def test_reading_never_raises_for_what_it_reads(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("stream") / "stream"
    path.write_bytes(data)
    found = read_stream(path)
    assert found.faults or not data.strip()


@given(st.integers(0, 400))
def test_a_stream_cut_anywhere_has_no_end(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("stream") / "stream"
    with StreamWriter(path) as stream:
        stream.write("session", workers=0)
        stream.write("phase", **phase())
        stream.write("finished", exit=0)
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole) - 2)])
    assert read_stream(path).exit is None
