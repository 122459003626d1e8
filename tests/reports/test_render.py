"""The report: json, markdown and table say the same figures, hold no NaN, and put the worst in front."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.criteria.evidence import Evidence, Threshold
from reports.criteria.policy import ExpectedCell
from reports.criteria.verdict import CellResult, Verdict
from reports.pack.markdown import markdown_table, report_markdown
from reports.pack.render import (
    ReportHeader,
    evidence_lines,
    failures,
    number,
    reason,
    report_json,
)
from reports.record.durable import dump_json

FLOOR = Threshold("s3.shard_t", ">=", -1.65, "t", 1.0)
LEVEL = Threshold("s3.sharpe.level", ">", 0.0, "annual", 0.5)
SHARE = Threshold("s3.sharpe.share", ">=", 0.6, "share", 0.1)
HEADER = ReportHeader(
    stage="s3",
    decision_tag="2026-11-momentum",
    run_id="run-1",
    candidate="momentum",
    family="momentum",
    owner="olga",
    official=True,
    official_reasons=(),
    started_utc="2026-11-23T17:05:09Z",
    finished_utc="2026-11-23T17:06:09Z",
    inputs={"cost_multipliers": [1.0, 1.5, 2.0]},
    freeze={"sha256": "sha256:1", "data_sha256": "sha256:2", "git_commit": "git:3"},
    registry={"seq": 7, "prev_hash": "0" * 64},
)


def cell(
    gate: str,
    *thresholds: Threshold,
    shard: str | None = None,
    cost: float | None = None,
    level: str = "hard",
    absent: str = "",
) -> ExpectedCell:
    return ExpectedCell(
        gate,
        level,
        f"gates/s3/test_x.py::test_{gate[3:]}",
        shard,
        cost,
        thresholds,
        "sector" if absent else None,
        absent,
    )


def shard_cell(number: int, value: float | None, outcome: str = "passed") -> CellResult:
    return CellResult(
        cell("s3.shard_t", FLOOR, shard=f"wf-{number}", cost=1.5), outcome, (Evidence(FLOOR, value, 252),), ""
    )


PASSED = Verdict(
    "PASS",
    (
        shard_cell(1, 1.25),
        shard_cell(2, -0.5),
        CellResult(cell("s3.sharpe", LEVEL, SHARE), "passed", (Evidence(LEVEL, 0.9, 504, "", (0.25, 1.5)), Evidence(SHARE, 0.61, 8)), ""),
        CellResult(cell("s3.even", Threshold("s3.even", ">=", 2.0, "x", 0.5), level="diagnostic"), "failed", (Evidence(Threshold("s3.even", ">=", 2.0, "x", 0.5), 1.1, 9),), ""),
        CellResult(cell("s3.sector", Threshold("s3.sector", ">=", 0.7, "share", 0.1), absent="none here"), "absent", (), "sector is absent: none here"),
    ),
    (),
    (),
)  # fmt: skip
FAILED = Verdict(
    "INCOMPLETE",
    (shard_cell(1, -1.91, "failed"), CellResult(cell("s3.sharpe", LEVEL), "missing", (), "came back as []")),
    ("worker gw1 did not come back",),
    ("gates/s3/test_x.py::test_more is no expected cell of this stage",),
)


def test_a_cell_shows_the_condition_nearest_to_failing():
    report = report_json(HEADER, PASSED, ())
    (sharpe,) = report["gates"]["s3.sharpe"]["cells"]
    assert (sharpe["measured"], sharpe["relation"], sharpe["bound"]) == (0.61, ">=", 0.6)
    assert [entry["threshold"] for entry in sharpe["evidence"]] == ["s3.sharpe.level", "s3.sharpe.share"]


def test_a_gate_shows_its_worst_cell():
    report = report_json(HEADER, PASSED, ())
    assert report["gates"]["s3.shard_t"]["measured_worst"] == -0.5
    assert report["weakest"] == {"gate": "s3.sharpe", "cell": "-", "steps": pytest.approx(0.1)}


def test_absent_is_neither_passed_nor_failed():
    report = report_json(HEADER, PASSED, ())
    assert report["gates"]["s3.sector"]["passed"] is None
    assert report["absent"] == 1
    assert report["failures"] == []


def test_a_diagnostic_says_so_and_is_no_failure():
    report = report_json(HEADER, PASSED, ())
    assert report["gates"]["s3.even"]["passed"] is False
    assert "| s3.even | - | 1.1 | - | >= 2 | -0.9 | x | 9 | failed (diagnostic) |  |" in report_markdown(report)


def test_everything_that_kept_the_run_from_passing_is_listed():
    assert [(entry["gate"], entry["cell"]) for entry in failures(FAILED)] == [
        ("s3.shard_t", "wf-1 x1.5"),
        ("s3.sharpe", "-"),
        ("", ""),
        ("", ""),
    ]


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_null_with_a_note(value):
    verdict = replace(FAILED, cells=(shard_cell(1, value, "failed"),))
    text = dump_json(report_json(HEADER, verdict, ())).decode()
    assert "NaN" not in text
    assert "Infinity" not in text
    (found,) = json.loads(text)["gates"]["s3.shard_t"]["cells"]
    assert (found["measured"], found["margin"], found["note"]) == (None, None, "not a finite number")


def test_markdown_shows_every_figure_of_the_json():
    report = report_json(HEADER, PASSED, [{"path": "gate_results/p/returns.csv", "sha256": "sha256:4"}])
    text = report_markdown(report)
    for gate in report["gates"].values():
        for entry in (entry for found in gate["cells"] for entry in found["evidence"]):
            line = next(
                line
                for line in text.splitlines()
                if line.startswith(f"| {entry['threshold']} |") and number(entry["measured"]) in line
            )
            assert f"{entry['relation']} {number(entry['bound'])}" in line.replace("&lt;", "<")
            assert number(entry["margin"]) in line
    assert "0.25 .. 1.5" in text
    assert "gate_results/p/returns.csv" in text
    assert text.startswith("# PASS: momentum, s3 of 2026-11-momentum\n")


def test_an_unofficial_run_says_why():
    header = replace(HEADER, official=False, official_reasons=("1 cores, the profile asks for 8",))
    assert "unofficial (1 cores, the profile asks for 8)" in report_markdown(report_json(header, PASSED, ()))


def test_markdown_puts_what_did_not_pass_first():
    lines = report_markdown(report_json(HEADER, FAILED, ())).splitlines()
    gates = [line for line in lines if line.startswith("| s3.") and line.count("|") > 8]
    assert ["missing" in gates[0], "failed" in gates[1]] == [True, True]


def test_a_cell_says_how_many_steps_it_is_from_its_bound():
    report = report_json(HEADER, PASSED, ())
    assert [cell["steps"] for cell in report["gates"]["s3.shard_t"]["cells"]] == pytest.approx([2.9, 1.15])
    assert report["gates"]["s3.sharpe"]["cells"][0]["evidence"][0]["steps"] == pytest.approx(1.8)
    assert report["gates"]["s3.sector"]["cells"][0]["steps"] is None


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        (PASSED, "All 3 deciding gates hold in all 4 cells; nearest to its bound is s3.sharpe: share 0.61 where >= 0.6 is required."),
        (replace(FAILED, name="FAIL"), "2 of 2 deciding gates failed, s3.sharpe furthest beyond its bound: not measured (came back as [])."),
        (replace(PASSED, name="FAIL", unexpected=("the freeze changed",)), "Every gate held, but the run is no pass: the freeze changed."),
        (FAILED, "1 of 2 deciding cells did not come back, so nothing is known and nothing is promoted: worker gw1 did not come back."),
        (replace(PASSED, name="INCOMPLETE", incomplete=("no last line",)), "The run did not end in order, so nothing is known and nothing is promoted: no last line."),
    ],
)  # fmt: skip
def test_the_reason_is_one_sentence_of_the_reports_own_numbers(verdict, sentence):
    assert reason(report_json(HEADER, verdict, ())) == sentence


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0"), (619040, "619040"), (-0.0783893, "-0.07839"), (4.5391e-15, "4.539e-15"), (2.0, "2")],
)
def test_numbers_are_spelled_alike_everywhere(value, text):
    assert number(value) == text


def test_evidence_lines_hold_no_time_path_or_worker():
    text = dump_json(evidence_lines(PASSED)).decode()
    assert not any(word in text for word in ("_utc", "2026", "gw0", "gate_results", "run-1"))


@given(st.lists(st.text(max_size=30), min_size=2, max_size=2))
def test_no_text_leaves_its_cell_of_a_table(texts):
    lines = markdown_table(("a", "b"), [texts]).split("\n")
    assert len(lines) == 3
    unescaped = lines[2].replace("\\\\", "").replace("\\|", "")
    assert unescaped.count("|") == 3
    assert not re.search(r"<[A-Za-z/!?]|\r", lines[2])
