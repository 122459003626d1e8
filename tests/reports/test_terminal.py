"""What a terminal shows: within its width, plain where it is plain, and every gate with its outcome."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import StageGateError
from reports.criteria.evidence import Evidence, Threshold
from reports.criteria.policy import ExpectedCell, load_policy
from reports.criteria.verdict import CellResult
from reports.run.progress import NoteReader, NoteWriter, Progress, clock, keep_usual, read_usual
from reports.run.terminal import Canvas, bar, failure_lines, refusal_lines, rehearsal_lines, table_lines
from tests.end_to_end.desk import SOURCE

PLAIN = Canvas(100, live=False, colour=False, blocks=True)
NARROW = Canvas(80, live=True, colour=False, blocks=True)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def catalogue(value: float = 0.123456) -> list[CellResult]:
    """Every gate of the policy in its widest cell, all failed by a long number."""
    found = []
    for row in load_policy(SOURCE / "gates" / "policy.toml").gate:
        shard, cost = ("wf-12" if "shard" in row.cells else None), (1.5 if "cost" in row.cells else None)
        thresholds = tuple(each.resolve(first_trial=False) for each in row.thresholds)
        cell = ExpectedCell(row.key, row.level, row.node, shard, cost, thresholds, row.needs, "")
        evidence = tuple(Evidence(each, each.bound - value, 10) for each in thresholds)
        found += [
            CellResult(cell, "failed", evidence, "it failed"),
            CellResult(replace(cell, shard=shard), "passed", evidence, ""),
        ]
    return found


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("value", [0.1, -1.23456e-15, 123456.789])
def test_the_table_fits_and_shows_every_gate(width, value):
    cells = catalogue(value)
    lines = table_lines(replace(NARROW, width=width), cells)
    assert max(map(len, lines)) <= width
    for gate in {cell.cell.gate.partition(".")[2] for cell in cells}:
        assert any(line.startswith(gate if len(gate) < 26 else gate[:20]) for line in lines), gate
    assert sum(line.endswith(("failed", "failed*")) for line in lines) == len(cells) / 2


def test_a_row_shows_measured_bound_margin_and_outcome():
    threshold = Threshold("s3.net_sharpe", ">", 0.5, "Sharpe", 0.5)
    cell = ExpectedCell("s3.net_sharpe", "hard", "n", "wf-2", 1.5, (threshold,), None, "")
    lines = table_lines(PLAIN, [CellResult(cell, "failed", (Evidence(threshold, -0.25, 9),), "m")])
    assert lines[1].startswith("-- s3 production_gates --")
    assert lines[2].split() == ["net_sharpe", "wf-2", "x1.5", "-0.25", ">", "0.5", "-0.75", "▒" * 7, "failed"]


def test_colour_adds_nothing_to_the_width():
    cells = catalogue()
    coloured = table_lines(replace(NARROW, colour=True), cells)
    stripped = [line.replace("\x1b[0m", "") for line in coloured]
    for code in ("31", "32", "33", "2"):
        stripped = [line.replace(f"\x1b[{code}m", "") for line in stripped]
    assert stripped != coloured
    assert [line.rstrip() for line in stripped] == [line.rstrip() for line in table_lines(NARROW, cells)]


@given(st.floats(-0.999, 0.999), st.integers(4, 12))
def test_a_bar_fills_from_the_side_of_its_outcome(share, width):
    drawn = bar(share, width, blocks=False)
    assert len(drawn) == width
    assert set(drawn) <= ({"#", " "} if share >= 0 else {"-", " "})
    assert share == 0 or drawn.strip()
    assert drawn == (drawn.strip().ljust(width) if share >= 0 else drawn.strip().rjust(width))


def test_what_was_not_measured_has_no_bar():
    assert bar(None, 6, blocks=True) == " " * 6


@pytest.mark.parametrize(
    ("environ", "options", "colour", "moving"),
    [
        ({}, (), True, True),
        ({"NO_COLOR": "1"}, (), False, False),
        ({"CI": "true"}, (), True, False),
        ({"TERM": "dumb"}, (), False, False),
        ({}, ("-q",), True, False),
        ({}, ("-vv",), True, False),
        ({}, ("--color=no",), False, True),
        ({"NO_COLOR": "1"}, ("--color=yes",), True, False),
    ],
)
def test_a_terminal_is_taken_at_its_word(environ, options, colour, moving):
    canvas = Canvas.of(Terminal(), options, environ)
    assert (canvas.colour, canvas.moving) == (colour, moving)
    plain = Canvas.of(io.StringIO(), options, environ)
    assert (plain.live, plain.moving, plain.width) == (False, False, 100)


def test_a_refusal_is_wrapped_on_a_terminal_and_one_line_in_a_log():
    refusal = StageGateError(
        "the tag is spent " * 12, where="gate_results/gate_registry.csv", remedy="choose another tag " * 9
    )
    log, screen = refusal_lines(PLAIN, "s1", refusal), refusal_lines(NARROW, "s1", refusal)
    assert [line.split()[0] for line in log] == ["REFUSED", "where:", "to", "nothing"]
    assert max(map(len, screen)) <= 80
    assert screen[-1] == log[-1] == "  nothing was written, no tag is spent"
    assert " ".join(" ".join(screen).split()) == " ".join(" ".join(log).split())


def test_failures_are_wrapped_and_counted():
    failures = [
        {"gate": "s3.a", "cell": "-", "message": f"s3.a [-]: measured {number} " + "word " * 30} for number in range(20)
    ]
    lines = list(failure_lines(NARROW, failures))
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "  and 8 more, in the report"


def test_a_rehearsal_ends_with_its_weakest_gate_and_what_it_would_come_to():
    lines = rehearsal_lines(PLAIN, catalogue(), "would fail")
    assert [line.split()[0] for line in lines[-3:]] == ["weakest", "outcome", "next"]
    assert lines[-2] == "outcome       recorded, it would fail"


# ------------------------------------------------------------------------------------------------------------ progress


def progress() -> Progress:
    threshold = Threshold("s3.t", ">", 0.0, "t of the mean daily net return", 1.0)
    cells = {
        f"n{number}": ExpectedCell("s3.t", "hard", "n", f"wf-{number % 2}", 1.5, (threshold,), None, "")
        for number in range(4)
    }
    return Progress(
        "s3 production_gates",
        {**cells, "once": ExpectedCell("s3.u", "hard", "n", None, None, (threshold,), None, "")},
        2,
        100.0,
    )


def test_progress_shows_each_shard_and_what_is_measured():
    state = progress()
    for event, node, at in (
        ("start", "n0", 100.0),
        ("end", "n0", 104.0),
        ("start", "n1", 104.0),
        ("failed", "n0", 104.0),
        ("start", "x", 1.0),
    ):
        state.note(event, node, at)
    lines = state.lines(110.0, 80, blocks=False)
    assert lines == [
        "s3 production_gates: 1 of 5 cells, 1 failed, 0:10",
        "  wf-0      ########........   1/2",
        "  wf-1      ................   0/2   s3.t x1.5: t of the mean daily net return",
        "  all data  ................   0/1",
    ]
    assert max(map(len, state.lines(110.0, 40, blocks=True))) <= 40


def test_the_time_left_is_what_the_rest_took_last_at_the_pace_of_this_run():
    state = progress()
    assert state.seconds_left(101.0) is None
    state.usual = dict.fromkeys(state.cells, 4.0)
    assert state.seconds_left(100.0) == pytest.approx(20.0 / 2)
    state.note("start", "n0", 100.0)
    state.note("end", "n0", 108.0)
    assert state.seconds_left(108.0) == pytest.approx(16.0 / (4.0 / 8.0))
    state.usual = {}
    state.note("start", "n1", 108.0)
    state.note("end", "n1", 110.0)
    assert state.seconds_left(110.0) == pytest.approx(10.0 * 3 / 2)


def test_notes_travel_between_processes_whole(tmp_path):
    path = tmp_path / "notes.jsonl"
    path.touch()
    reader, writer = NoteReader(path), NoteWriter(path)
    assert reader.new() == []
    writer("start", "a[wf-1]")
    with path.open("a") as torn:
        torn.write('["end", ')
    assert reader.new() == [("start", "a[wf-1]")]
    with path.open("a") as torn:
        torn.write('"a[wf-1]"]\n')
    assert reader.new() == [("end", "a[wf-1]")]
    assert reader.new() == []
    writer.close()


def test_how_long_gates_took_is_kept_beside_what_is_known_and_may_be_lost(tmp_path):
    path = tmp_path / "progress" / "usual_seconds.json"
    assert read_usual(path) == {}
    keep_usual(path, {"a": 1.0, "b": 2.0})
    keep_usual(path, {"b": 3.0})
    assert read_usual(path) == {"a": 1.0, "b": 3.0}
    path.write_text("[torn")
    assert read_usual(path) == {}


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (760, "12:40"), (3723, "1:02:03")])
def test_a_clock(seconds, text):
    assert clock(seconds) == text
