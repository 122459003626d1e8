"""stagegate recover: failures are never lost, passes never inferred, nothing is deleted, and a second time changes nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from reports.record.errors import RecordError
from reports.record.registry import Registry
from reports.record.workspace import Workspace
from reports.verification.recover import Recovery, recover
from reports.verification.verify import verify_workspace
from tests.faults import kill_writers, syscall_faults
from tests.reports.sample_record import begin, rewrite, run_stage, start, write_pack


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    desk = begin(tmp_path / "desk")
    run_stage(desk)
    return desk


def steps(recovery: Recovery) -> list[str]:
    return [action.step for action in recovery.actions]


def assert_settled(workspace: Workspace) -> None:
    assert verify_workspace(workspace).exit_code == 0
    before = workspace.registry.read_bytes()
    assert recover(workspace).actions == ()
    assert workspace.registry.read_bytes() == before


def test_nothing_to_do_does_nothing(workspace: Workspace, tmp_path: Path) -> None:
    assert_settled(workspace)
    assert recover(Workspace(tmp_path / "nowhere")).actions == ()
    assert not (tmp_path / "nowhere").exists()


def test_a_start_without_an_end_is_abandoned_and_stays_spent(workspace: Workspace) -> None:
    start(workspace, stage="s1")
    assert steps(recover(workspace)) == ["abandoned"]
    row = Registry(workspace.root).rows()[-1]
    assert (row["event"], row["stage"], row["verdict"], row["overall_pass"]) == ("ABANDONED", "s1", "", "false")
    assert_settled(workspace)
    with pytest.raises(RecordError, match="closed before, as ABANDONED"):
        Registry(workspace.root).append(
            "ABANDONED", {name: row[name] for name in ("stage", "decision_tag", "run_id", "official")}
        )


@pytest.mark.parametrize("verdict", ["FAIL", "INCOMPLETE"])
def test_a_failure_that_left_its_pack_is_recorded(workspace: Workspace, verdict: str) -> None:
    begun = start(workspace, stage="s1")
    report, manifest_sha256 = write_pack(workspace, begun, verdict)
    assert steps(recover(workspace)) == ["finished"]
    row = Registry(workspace.root).latest_finished("momentum-01", "s1")
    assert row is not None
    assert (row["verdict"], row["report"], row["manifest_sha256"]) == (verdict, report, f"sha256:{manifest_sha256}")
    assert (row["weakest_gate"], row["weakest_margin"], row["freeze_sha256"]) == (
        "s1.ic_t",
        "-1.0",
        begun["freeze_sha256"],
    )
    assert_settled(workspace)


def test_a_pass_is_never_inferred(workspace: Workspace) -> None:
    write_pack(workspace, start(workspace, stage="s1"), "PASS")
    assert steps(recover(workspace)) == ["abandoned"]
    assert Registry(workspace.root).latest_finished("momentum-01", "s1") is None
    assert "says PASS" in Registry(workspace.root).rows()[-1]["detail"]
    assert_settled(workspace)


def test_a_pack_that_is_not_whole_is_no_failure_record(workspace: Workspace) -> None:
    report, _ = write_pack(workspace, start(workspace, stage="s1"), "FAIL")
    (workspace.root / report).with_name("run.log").unlink()
    assert steps(recover(workspace)) == ["abandoned"]
    assert "run.log is missing" in Registry(workspace.root).rows()[-1]["detail"]


@pytest.mark.parametrize("withheld", ["production_gates_report.json", "run.log", "MANIFEST"])
def test_a_failure_that_cannot_be_read_waits(
    workspace: Workspace, withheld: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pack(workspace, start(workspace, stage="s3"), "FAIL")
    opened = os.open

    def failing(path: object, *arguments: int, **keywords: int) -> int:
        if str(path).endswith(withheld):
            raise OSError(5, "Input/output error")
        return opened(path, *arguments, **keywords)  # type: ignore[call-overload]

    with monkeypatch.context() as device:
        device.setattr(os, "open", failing)
        device.setattr("reports.verification.pack_check.sha256_file", lambda path: str(failing(path, os.O_RDONLY)))
        with pytest.raises(RecordError, match="cannot be read"):
            recover(workspace)
    assert len(Registry(workspace.root).rows()) == 3
    assert steps(recover(workspace)) == ["finished"]


def test_a_pack_of_another_story_is_no_failure_record(workspace: Workspace, tmp_path: Path) -> None:
    other = begin(tmp_path / "other")
    report, _ = write_pack(other, start(other, stage="s1", run_id="momentum-01.s1", owner="somebody"), "FAIL")
    start(workspace, stage="s1")
    shutil.copytree((other.root / report).parent, workspace.gate_results / (other.root / report).parent.name)
    assert steps(recover(workspace)) == ["abandoned"]


def test_a_run_that_is_alive_is_left_alone(workspace: Workspace) -> None:
    with Registry(workspace.root).run_lock("momentum-01.s1"):
        start(workspace, stage="s1")
        assert steps(recover(workspace)) == ["left running"]
    assert steps(recover(workspace)) == ["abandoned"]


def test_a_torn_line_is_set_aside_and_work_goes_on(workspace: Workspace) -> None:
    torn = b'3,STARTED,s1,momentum-01,"mo'
    rewrite(workspace, lambda raw: raw + torn)
    assert steps(recover(workspace)) == ["quarantined"]
    (kept,) = (workspace.gate_results / "quarantine").iterdir()
    assert kept.read_bytes() == torn
    assert_settled(workspace)
    assert start(workspace, stage="s1").seq == 3


def test_the_same_torn_bytes_are_kept_once(workspace: Workspace) -> None:
    for _ in range(2):
        rewrite(workspace, lambda raw: raw + b"3,STA")
        recover(workspace)
    assert len(list((workspace.gate_results / "quarantine").iterdir())) == 1


def test_a_row_that_lacks_its_newline_is_a_row(workspace: Workspace) -> None:
    rewrite(workspace, lambda raw: raw[:-1])
    assert verify_workspace(workspace).exit_code == 7
    assert steps(recover(workspace)) == ["completed"]
    assert len(Registry(workspace.root).rows()) == 2
    assert_settled(workspace)


def test_an_acknowledged_row_that_was_cut_is_not_explained_away(workspace: Workspace) -> None:
    rewrite(workspace, lambda raw: raw[:-9])
    with pytest.raises(RecordError, match="rows were dropped"):
        recover(workspace)
    assert not (workspace.gate_results / "quarantine").exists()


def test_a_changed_row_is_not_for_recovery(workspace: Workspace) -> None:
    rewrite(workspace, lambda raw: raw.replace(b"momentum-12-1", b"momentum-12-2"))
    before = workspace.registry.read_bytes()
    with pytest.raises(RecordError, match="no crash leaves that"):
        recover(workspace)
    assert workspace.registry.read_bytes() == before


@pytest.mark.parametrize("mode", kill_writers.MODES)
def test_killed_writers_lose_nothing_and_leave_nothing_torn(tmp_path: Path, mode: kill_writers.Mode) -> None:
    outcome = kill_writers.campaign(tmp_path, count=16, seed=3, mode=mode)
    assert (outcome.passed, outcome.problems) == (16, [])


@pytest.mark.skipif(syscall_faults.missing() != "", reason=syscall_faults.missing() or "strace works")
def test_a_fault_in_any_system_call_loses_nothing(tmp_path: Path) -> None:
    outcome = syscall_faults.campaign(tmp_path, every=31)
    assert outcome.problems == []
    assert outcome.struck > outcome.passed / 2
