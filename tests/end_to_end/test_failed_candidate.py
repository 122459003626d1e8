"""A candidate that fails: measured and recorded with counts and rows, and what its next tag owes."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.end_to_end.conftest import Road
from tests.end_to_end.desk import Desk, rewrite
from tests.end_to_end.warm import WarmInterpreter

TAG = "dirty-1"
TEXT_ROW, INFINITE_ROW = 40_001, 50_002


@pytest.fixture(scope="module")
def failed(road: Road, warm: WarmInterpreter) -> Desk:
    """A desk whose tag failed S1, with the packet of a second tag written; whoever goes on takes a copy."""
    return road.at_work_in(road.built("failed", lambda folder: fail(road.fresh(folder), warm)))


def fail(desk: Desk, warm: WarmInterpreter) -> None:
    """One close is text and one is infinite, far from the first rows that S0 looks at."""
    plant_faults(desk.candidate.parent / "market")
    rewrite(desk.candidate, "market/prices.parquet", "market/prices.csv")
    for stage, status in (("s0", 0), ("s1", 1)):
        ended = warm.stage(desk, TAG, stage)
        assert ended.status == status, ended.output
    desk.write_packet("dirty-2", "s0")


def plant_faults(market: Path) -> None:
    prices = pd.read_parquet(market / "prices.parquet").astype({"close": object})
    prices.loc[TEXT_ROW, "close"] = "n/a (halted)"
    prices.loc[INFINITE_ROW, "close"] = "inf"
    prices.to_csv(market / "prices.csv", index=False)


def test_the_fail_is_on_record(failed, warm):
    assert [(row["event"], row["stage"], row["verdict"]) for row in failed.rows()] == [
        ("STARTED", "s0", ""),
        ("FINISHED", "s0", "PASS"),
        ("STARTED", "s1", ""),
        ("FINISHED", "s1", "FAIL"),
    ]
    assert warm.stagegate(failed, "verify").status == 0


def test_the_report_names_the_gate_and_the_count(failed):
    report = failed.report("s1")
    assert [failure["gate"] for failure in report["failures"]] == ["s1.dq.numeric_integrity"]
    assert report["gates"]["s1.dq.numeric_integrity"]["measured_worst"] == 2


def test_the_data_quality_report_names_the_rows(failed):
    quality = json.loads((failed.pack("s1") / "data_quality_report.json").read_text(encoding="utf-8"))
    text = (failed.pack("s1") / "data_quality_report.md").read_text(encoding="utf-8")
    assert (quality["infinite"]["close"], quality["unparseable"]["close"]) == (1, 1)
    assert "n/a (halted)" in text
    assert "n/a (halted)" in json.dumps(quality)


def test_explain_says_what_failed(failed, warm):
    ended = warm.stagegate(failed, "explain", TAG)
    assert ended.status == 0
    assert "s1.dq.numeric_integrity" in ended.output


RERUNS = {
    "unnamed": ((), "ended as FAIL: expected a new tag to name it, found nothing"),
    "without a cause": (("--supersedes", TAG), "expected CLASS:text, found None"),
    "with an unknown class": (("--supersedes", TAG, "--root-cause", "vibes:felt wrong"), "expected CLASS:text"),
    "without a difference": (
        ("--supersedes", TAG, "--root-cause", "data:two bad cells"),
        f"nothing differs from tag {TAG}",
    ),
    "naming another tag": (("--supersedes", "nobody", "--root-cause", "data:two bad cells"), "not in the registry"),
    "with a cause and no tag": (("--root-cause", "data:two bad cells"), "expected a new tag to name it"),
}


@pytest.mark.parametrize("name", RERUNS)
def test_a_new_tag_owes_the_record_an_answer(failed, warm, name):
    options, what = RERUNS[name]
    before = failed.listing()
    ended = warm.pytest(failed, *failed.stage_arguments("dirty-2", "s0"), *options)
    assert ended.status == 4, ended.output
    assert what in ended.output
    assert "to mend:" in ended.output
    assert failed.listing() == before


def test_mended_data_under_a_new_tag_are_taken(failed, warm, tmp_path):
    desk = failed.elsewhere(tmp_path / "desk")
    rewrite(desk.candidate.parent / "market" / "prices.csv", "n/a (halted)", "50.0")
    ended = warm.stage(desk, "dirty-2", "s0", "--supersedes", TAG, "--root-cause", "data:two cells were mended by hand")
    assert ended.status == 0, ended.output
    note = json.loads((desk.pack("s0") / "decision_note.json").read_text(encoding="utf-8"))
    assert (note["supersedes"], note["root_cause"]) == (TAG, "data:two cells were mended by hand")
    assert note["differs_in"] == ["data"]
    assert json.loads((desk.pack("s0") / "scope_freeze_report.json").read_text(encoding="utf-8"))["notes"] == []


def test_a_difference_that_the_cause_does_not_explain_stands_on_the_report(failed, warm, tmp_path):
    desk = failed.elsewhere(tmp_path / "desk")
    rewrite(desk.candidate, "half_spread_bps = ", "half_spread_bps = 1")
    ended = warm.stage(desk, "dirty-2", "s0", "--supersedes", TAG, "--root-cause", "data:two cells were mended by hand")
    assert ended.status == 0, ended.output
    folder = desk.pack("s0")
    report = json.loads((folder / "scope_freeze_report.json").read_text(encoding="utf-8"))
    assert report["inputs"]["differs_in"] == ["parameter"]
    warned = [f"its data is the same as that of {TAG}", f"parameter differs from {TAG} too"]
    assert all(words in note for words, note in zip(warned, report["notes"], strict=True))
    assert all(words in (folder / "scope_freeze_report.md").read_text(encoding="utf-8") for words in warned)
