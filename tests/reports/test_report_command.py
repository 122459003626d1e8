"""`stagegate report` on records that hold, that were spoiled, that an earlier version wrote, and on runs that left none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reports.desk import cli
from reports.record.registry import Registry
from reports.record.workspace import Workspace
from tests.reports.page_rows import Page
from tests.reports.recorded_tag import cell, gate, new_workspace, record_stage

TAG = "mom-2026-01"
STOPPED = {"s3.net_sharpe": gate({**cell(-0.25, outcome="failed"), "id": "x1.5"})}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return new_workspace(tmp_path / "desk")


def report(workspace: Workspace, capsys: pytest.CaptureFixture[str], *options: str, tag: str = TAG) -> tuple[int, str]:
    status = cli.main(["report", tag, *options, "--workspace", str(workspace.root)])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    return status, printed.out or printed.err


def test_the_last_run_is_shown_and_another_by_its_stage(workspace, capsys):
    record_stage(workspace, TAG, "s1")
    record_stage(workspace, TAG, "s3", "FAIL", STOPPED)
    status, text = report(workspace, capsys)
    assert (status, text.splitlines()[2]) == (0, "# FAIL: momentum-12-1, s3 of mom-2026-01")
    assert (
        "1 of 1 deciding gates failed, s3.net_sharpe furthest beyond its bound: at x1.5, Sharpe -0.25 where > 0 is required."
        in text
    )
    assert "# PASS: momentum-12-1, s1 of mom-2026-01" in report(workspace, capsys, "--stage", "s1")[1]
    assert "has no run of s2" in report(workspace, capsys, "--stage", "s2")[1]


def test_each_format_says_the_same_and_that_the_report_is_of_an_earlier_version(workspace, capsys):
    record_stage(workspace, TAG, "s3", "FAIL", STOPPED)
    written = json.loads(next(workspace.gate_results.glob("*/*_report.json")).read_bytes())
    assert json.loads(report(workspace, capsys, "--format", "json")[1]) == written
    page = Page(report(workspace, capsys, "--format", "html")[1])
    markdown = report(workspace, capsys, "--format", "md")[1]
    for said in ("written before figures were recorded", "-0.25", "olga"):
        assert said in page.text
        assert said in markdown


def test_what_is_wrong_with_the_pack_stands_on_top(workspace, capsys):
    record_stage(workspace, TAG, "s3", files={"returns.csv": b"1\n"})
    pack = next(workspace.gate_results.glob("production_gates_*"))
    (pack / "returns.csv").unlink()
    (pack / "run.log").write_text("rewritten\n")
    for form in ("html", "md"):
        status, text = report(workspace, capsys, "--format", form)
        assert status == 0
        assert "returns.csv is missing" in text
        assert "run.log was changed" in text
    assert "The pack is not what was recorded" not in report(workspace, capsys, tag=spotless(workspace))[1]


def spotless(workspace: Workspace) -> str:
    """Another tag, whose pack nobody has touched."""
    record_stage(workspace, "other", "s3")
    return "other"


@pytest.mark.parametrize("form", ["html", "md", "json"])
@pytest.mark.parametrize("spoil", ["missing", "torn", "no report"])
def test_a_report_that_cannot_be_read_is_a_page_that_says_so(workspace, capsys, form, spoil):
    record_stage(workspace, TAG, "s3")
    path = next(workspace.gate_results.glob("*/*_report.json"))
    if spoil == "missing":
        path.unlink()
    else:
        path.write_text('{"schema": 1' if spoil == "torn" else '{"schema": 1}')
    status, text = report(workspace, capsys, "--format", form)
    assert status == 4
    assert "s3 of mom-2026-01" in text
    assert "The pack is not what was recorded" in text


def test_a_run_that_left_no_report_is_a_page_that_says_so(workspace, capsys):
    row = {
        "stage": "s1",
        "decision_tag": TAG,
        "run_id": "run-1",
        "candidate": "c",
        "family": "f",
        "owner": "o",
        "official": "true",
    }
    registry = Registry(workspace.root)
    registry.claim({**row, "freeze_sha256": "sha256:" + "0" * 64})
    status, text = report(workspace, capsys, "--format", "html")
    assert (status, "It ended without a word" in Page(text).text) == (4, True)
    registry.append("ABANDONED", {**row, "freeze_sha256": "sha256:" + "0" * 64, "detail": "reason=killed <b>"})
    status, text = report(workspace, capsys, "--format", "html")
    assert status == 4
    assert "killed <b>" in Page(text).text
    assert "b" not in Page(text).tags - {"body"}


def test_a_tag_without_a_row_is_refused(workspace, capsys):
    assert report(workspace, capsys, tag="nobody") == (4, report(workspace, capsys, tag="nobody")[1])
    assert "has no run" in report(workspace, capsys, tag="nobody")[1]
