"""stagegate verify: total, read-only, and of one mind with an independent reader."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reports.record.anchor import witnesses
from reports.record.errors import RecordError
from reports.record.registry import Registry, Row, tell
from reports.record.workspace import Workspace
from reports.verification.pack_check import verify_pack
from reports.verification.recover import recover
from reports.verification.verify import Finding, verify_workspace
from tests.faults import fuzz_record
from tests.faults.campaign import spawn
from tests.reports.sample_record import begin, fields, promote, rewrite, run_stage, start, write_pack

AUDITOR = Path(__file__).resolve().parents[3] / "shared" / "audit_check.py"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    desk = begin(tmp_path_factory.mktemp("original") / "desk")
    promote(desk, stages=("s0", "s1"))
    run_stage(desk, "carry-01", verdict="FAIL")
    return desk


@pytest.fixture
def workspace(original: Workspace, tmp_path: Path) -> Workspace:
    """A copy of one record, remembered where it lies."""
    shutil.copytree(original.root, tmp_path / "desk")
    desk = begin(tmp_path / "desk")
    assert tell(witnesses(desk), Registry(desk.root).rows(), desk.registry) == ()
    return desk


def pack(workspace: Workspace, stage_name: str = "baseline_validation") -> Path:
    (folder,) = workspace.gate_results.glob(f"{stage_name}_*")
    return folder


def list_again(folder: Path) -> None:
    """Write a MANIFEST that fits the files as they are now, as a forger would."""
    files = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name != "MANIFEST"
    )
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in files]
    (folder / "MANIFEST").write_text("".join(lines))


def edit_report(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    (path,) = folder.glob("*_report.json")
    report = json.loads(path.read_text())
    change(report)
    path.write_text(json.dumps(report))


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"") for path in root.rglob("*")
    }


def test_an_honest_record_holds_and_nothing_is_written(workspace: Workspace) -> None:
    before = snapshot(workspace.root.parent)
    verification = verify_workspace(workspace)
    assert (verification.exit_code, verification.rows, verification.packs, verification.findings) == (0, 6, 3, ())
    assert snapshot(workspace.root.parent) == before
    assert json.loads(json.dumps(verification.to_json()))["exit_code"] == 0


def test_an_empty_workspace_holds(tmp_path: Path) -> None:
    assert verify_workspace(begin(tmp_path / "desk")).exit_code == 0
    assert verify_workspace(begin(tmp_path / "desk"), "momentum-01").exit_code == 6


def delete_a_row(workspace: Workspace) -> None:
    rewrite(
        workspace,
        lambda raw: b"".join(line for number, line in enumerate(raw.splitlines(keepends=True)) if number != 2),
    )


def edit_a_row(workspace: Workspace) -> None:
    rewrite(workspace, lambda raw: raw.replace(b",FAIL,false,", b",PASS,true,"))


def insert_a_row(workspace: Workspace) -> None:
    rewrite(
        workspace,
        lambda raw: b"".join(line for line in raw.splitlines(keepends=True) for _ in range(1 + line.startswith(b"2,"))),
    )


def drop_the_last_row(workspace: Workspace) -> None:
    rewrite(workspace, lambda raw: raw[: raw.rindex(b"\n", 0, -1) + 1])


def swap_rows(workspace: Workspace) -> None:
    def swapped(raw: bytes) -> bytes:
        lines = raw.splitlines(keepends=True)
        return b"".join([*lines[:2], lines[3], lines[2], *lines[4:]])

    rewrite(workspace, swapped)


def carriage_returns(workspace: Workspace) -> None:
    rewrite(workspace, lambda raw: raw.replace(b"\n", b"\r\n"))


def empty_registry(workspace: Workspace) -> None:
    rewrite(workspace, lambda raw: b"")


def no_registry(workspace: Workspace) -> None:
    workspace.registry.unlink()


def linked_registry(workspace: Workspace) -> None:
    workspace.registry.rename(workspace.root / "elsewhere.csv")
    workspace.registry.symlink_to(workspace.root / "elsewhere.csv")


def change_a_file_of_a_pack(workspace: Workspace) -> None:
    (pack(workspace) / "run.log").write_text("2 passed\n")


def add_a_file_to_a_pack(workspace: Workspace) -> None:
    (pack(workspace) / "returns" / "wf-9.csv").write_text("date,net\n")


def take_a_file_from_a_pack(workspace: Workspace) -> None:
    (pack(workspace) / "returns" / "wf-1.csv").unlink()


def link_in_a_pack(workspace: Workspace) -> None:
    path = pack(workspace) / "run.log"
    path.rename(workspace.root / "run.log")
    path.symlink_to(workspace.root / "run.log")


def change_a_file_and_its_manifest(workspace: Workspace) -> None:
    (pack(workspace) / "run.log").write_text("2 passed\n")
    list_again(pack(workspace))


def take_a_pack_away(workspace: Workspace) -> None:
    shutil.rmtree(pack(workspace))


def take_the_report_away(workspace: Workspace) -> None:
    (pack(workspace) / "baseline_validation_report.json").unlink()


def break_the_report(workspace: Workspace) -> None:
    (pack(workspace) / "baseline_validation_report.json").write_text('{"verdict": NaN}')


def change_the_freeze(workspace: Workspace) -> None:
    workspace.freeze("momentum-01").write_text('{"schema": 1, "tag": "momentum-01", "min_price": 0}')


def take_the_freeze_away(workspace: Workspace) -> None:
    workspace.freeze("carry-01").unlink()


def pack_without_a_row(workspace: Workspace) -> None:
    made = shutil.copytree(pack(workspace), workspace.gate_results / "production_gates_20261123T000000Z")
    (made / "baseline_validation_report.json").rename(made / "production_gates_report.json")
    edit_report(made, lambda report: report.update(stage="s3", run_id="by-hand"))
    list_again(made)


def second_pack_of_a_run(workspace: Workspace) -> None:
    shutil.copytree(pack(workspace), pack(workspace).with_name("baseline_validation_20270101T000000Z"))


def garbage_in_the_place_of_a_manifest(workspace: Workspace) -> None:
    (pack(workspace) / "MANIFEST").write_bytes(os.urandom(300))


TAMPERING = (
    *(
        delete_a_row,
        edit_a_row,
        insert_a_row,
        drop_the_last_row,
        swap_rows,
        carriage_returns,
        empty_registry,
        no_registry,
    ),
    *(
        linked_registry,
        change_a_file_of_a_pack,
        add_a_file_to_a_pack,
        take_a_file_from_a_pack,
        link_in_a_pack,
        take_a_pack_away,
    ),
    *(change_a_file_and_its_manifest, take_the_report_away, break_the_report, change_the_freeze, take_the_freeze_away),
    *(pack_without_a_row, second_pack_of_a_run, garbage_in_the_place_of_a_manifest),
)


@pytest.mark.parametrize("tamper", TAMPERING)
def test_tampering_is_found_and_nothing_is_written(workspace: Workspace, tamper: Callable[[Workspace], None]) -> None:
    tamper(workspace)
    before = snapshot(workspace.root.parent)
    verification = verify_workspace(workspace)
    assert verification.exit_code == 6
    assert all(finding.what and finding.where for finding in verification.findings)
    assert all(finding.remedy for finding in verification.findings if finding.kind == "tampered")
    assert snapshot(workspace.root.parent) == before


@pytest.mark.skipif(not AUDITOR.is_file(), reason="the auditor's reader is not beside this repository")
@pytest.mark.parametrize("tamper", [None, *TAMPERING])
def test_what_an_independent_reader_finds_is_found(
    workspace: Workspace, tamper: Callable[[Workspace], None] | None
) -> None:
    if tamper:
        tamper(workspace)
    done = subprocess.run([sys.executable, AUDITOR, workspace.root], capture_output=True)
    assert done.returncode in (0, 1)
    if done.returncode:
        assert verify_workspace(workspace).exit_code == 6
    if tamper is None:
        assert done.returncode == verify_workspace(workspace).exit_code == 0


FORGERIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "verdict": lambda report: report.update(verdict="FAIL", overall_pass=False),
    "tag": lambda report: report.update(decision_tag="other"),
    "run": lambda report: report.update(run_id="other"),
    "owner": lambda report: report.update(owner="other"),
    "unofficial": lambda report: report.update(official=False),
    "position": lambda report: report["registry"].update(seq=9),
    "chain": lambda report: report["registry"].update(prev_hash="0" * 64),
    "freeze": lambda report: report["freeze"].update(sha256="0" * 64),
    "value": lambda report: report["gates"]["s1.ic_t"]["cells"][0].update(measured=1.9),
    "null": lambda report: report["gates"]["s1.ic_t"]["cells"][0].update(measured=None),
    "outcome": lambda report: report["gates"]["s1.ic_t"]["cells"][0].update(outcome="failed"),
    "no cells": lambda report: report["gates"]["s1.ic_t"].update(cells=[]),
    "no gates": lambda report: report.update(gates={}),
    "key": lambda report: report.pop("inputs"),
    "relation": lambda report: report["gates"]["s1.ic_t"]["cells"][0].update(relation="!="),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_report_is_found_even_with_a_new_manifest(workspace: Workspace, name: str) -> None:
    edit_report(pack(workspace), FORGERIES[name])
    list_again(pack(workspace))
    faults = [finding.what for finding in verify_workspace(workspace).findings]
    assert any("baseline_validation_report.json" in fault for fault in faults), faults
    assert any("MANIFEST is not the one" in fault for fault in faults)


def test_the_pack_of_one_row_can_be_asked_for(workspace: Workspace) -> None:
    row = Registry(workspace.root).latest_finished("momentum-01", "s1")
    assert row is not None
    assert verify_pack(workspace, row) == ()
    change_a_file_of_a_pack(workspace)
    assert any("run.log was changed" in fault and f"row {row.seq}" in fault for fault in verify_pack(workspace, row))


def test_a_registry_or_a_line_beyond_all_measure_is_found(workspace: Workspace) -> None:
    rewrite(workspace, lambda raw: raw + b"x" * 2**16 + b"\n")
    assert any("expected less than 65536" in finding.what for finding in verify_workspace(workspace).findings)
    os.truncate(workspace.registry, 2**28 + 1)
    (finding,) = verify_workspace(workspace).findings
    assert "expected at most 268435456" in finding.what


def test_what_cannot_be_read_is_not_taken_for_absent(workspace: Workspace, tmp_path: Path) -> None:
    assert verify_workspace(Workspace(tmp_path / "typo")).exit_code == 6
    shutil.rmtree(workspace.gate_results)
    workspace.gate_results.write_text("not a directory")
    (finding,) = verify_workspace(workspace).findings
    assert (finding.kind, finding.where) == ("tampered", str(workspace.gate_results))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without rights")
@pytest.mark.parametrize("closed", ["pack", "gate_results"])
def test_an_account_without_rights_gets_findings_not_a_pass(closed: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        desk = begin(Path(place, "desk"))
        promote(desk, stages=("s0", "s1"))
        Path(place).chmod(0o755)
        (pack(desk) if closed == "pack" else desk.gate_results).chmod(0o700)
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            os._exit(verify_workspace(desk).exit_code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 6


def test_one_tag_can_be_verified_alone(workspace: Workspace) -> None:
    change_the_freeze(workspace)
    change_a_file_of_a_pack(workspace)
    assert verify_workspace(workspace, "carry-01").exit_code == 0
    assert verify_workspace(workspace, "momentum-01").exit_code == 6
    assert verify_workspace(workspace, "unknown").exit_code == 6


def test_what_a_crash_leaves_is_recoverable(workspace: Workspace) -> None:
    begun = start(workspace, stage="s2")
    assert verify_workspace(workspace).exit_code == 7
    write_pack(workspace, begun, "FAIL")
    assert [finding.kind for finding in verify_workspace(workspace).findings] == ["recoverable", "recoverable"]
    rewrite(workspace, lambda raw: raw + b"8,FIN")
    assert verify_workspace(workspace).exit_code == 7


def test_a_run_that_is_alive_is_no_fault(workspace: Workspace) -> None:
    registry = Registry(workspace.root)
    with registry.run_lock("momentum-01.s2"):
        begun = start(workspace, stage="s2")
        write_pack(workspace, begun, "PASS")
        verification = verify_workspace(workspace)
        assert verification.exit_code == 0
        assert {finding.kind for finding in verification.findings} == {"note"}
    assert verify_workspace(workspace).exit_code == 7


LEFT_ALONE = ("left running", "told")
"""What recovery may say beside runs: a head that is on its way to the witnesses may be told by it."""


def test_verifying_and_recovering_beside_runs_disturbs_nothing(workspace: Workspace) -> None:
    def carry_runs() -> None:
        signal.alarm(60)
        for number in range(12):
            with Registry(workspace.root).run_lock(f"tag-{number}.s0"):
                run_stage(workspace, f"tag-{number}", verdict=("PASS", "FAIL")[number % 2])

    runner = spawn(carry_runs)
    seen = []
    while os.waitpid(runner, os.WNOHANG) == (0, 0):
        seen += [str(finding) for finding in verify_workspace(workspace).findings if finding.kind != "note"]
        seen += [str(action) for action in recover(workspace).actions if action.step not in LEFT_ALONE]
    assert seen == []
    assert verify_workspace(workspace).findings == ()
    assert [row["event"] for row in Registry(workspace.root).rows()].count("FINISHED") == 15


def test_what_a_run_has_not_published_says_nothing(workspace: Workspace) -> None:
    (workspace.gate_results / ".partial-production_gates_20261123T000000Z").mkdir()
    (workspace.gate_results / "production_gates_20261123T000000Z").mkdir()
    assert verify_workspace(workspace).findings == ()


def test_further_checks_are_asked_and_their_errors_are_findings(workspace: Workspace) -> None:
    def signatures(_: Workspace, rows: tuple[Row, ...]) -> list[Finding]:
        return [Finding("tampered", f"forged signature beside {len(rows)} rows", "risk.json")]

    def failing(_: Workspace, __: tuple[Row, ...]) -> list[Finding]:
        raise RecordError("allowed_signers has no line 3", where="allowed_signers")

    findings = verify_workspace(workspace, checks=(signatures, failing)).findings
    assert [finding.what for finding in findings] == ["forged signature beside 6 rows", "allowed_signers has no line 3"]


def test_rows_that_the_rules_forbid_are_found_though_every_hash_fits(workspace: Workspace) -> None:
    with Registry(workspace.root).held() as held:
        held.write({**{key: str(value) for key, value in fields().items()}, "official": "true", "event": "STARTED"})
    findings = verify_workspace(workspace).findings
    assert any("overall_pass is ''" in finding.what for finding in findings)
    assert all(finding.kind == "tampered" for finding in findings)


def test_a_time_to_come_is_found(tmp_path: Path) -> None:
    desk = begin(tmp_path / "desk")
    start(desk, utc="2199-01-01T00:00:00Z")
    assert any("clock" in finding.what for finding in verify_workspace(desk).findings)
    assert verify_workspace(desk).exit_code == 6


def test_readers_have_an_answer_for_whatever_bytes(tmp_path: Path) -> None:
    assert fuzz_record.campaign(tmp_path, count=40, seed=7) == (40, [])


def as_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_a_link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def as_an_endless_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def with_nul(path: Path) -> None:
    path.write_bytes(bytes(1000))


def not_utf8(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\xfa")


def with_a_key_twice(path: Path) -> None:
    path.write_bytes(b'{"schema": 1, "schema": 1}')


def of_empty_lines(path: Path) -> None:
    path.write_bytes(b"\n" * (4 << 20))


def nested_without_end(path: Path) -> None:
    path.write_bytes(b"[" * 200_000)


HOSTILE = (
    *(as_a_folder, as_a_pipe, as_a_link_to_itself, as_an_endless_device, with_nul, not_utf8, with_a_key_twice),
    *(of_empty_lines, nested_without_end),
)
VICTIMS: dict[str, Callable[[Workspace], Path]] = {
    "registry": lambda desk: desk.registry,
    "freeze": lambda desk: desk.freeze("momentum-01"),
    "manifest": lambda desk: pack(desk) / "MANIFEST",
    "report": lambda desk: pack(desk) / "baseline_validation_report.json",
    "log": lambda desk: pack(desk) / "run.log",
    "memory": lambda desk: max(
        Path(desk.settings.registry.state_dir).glob("*/*.json"), key=lambda path: path.stat().st_ctime_ns
    ),
}


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("spoil", HOSTILE)
def test_whatever_stands_in_the_place_of_a_file_is_found(
    workspace: Workspace, victim: str, spoil: Callable[[Path], None]
) -> None:
    path = VICTIMS[victim](workspace)
    spoil(path)
    verification = verify_workspace(Workspace(workspace.root))
    assert verification.exit_code == (8 if victim == "memory" else 6)
    assert path.name in " ".join(f"{finding.where} {finding.what}" for finding in verification.findings)


@pytest.mark.parametrize("spoil", [as_a_folder, as_a_pipe, as_a_link_to_itself, as_an_endless_device, with_nul])
def test_settings_that_cannot_be_read_are_not_taken_for_the_defaults(
    workspace: Workspace, spoil: Callable[[Path], None]
) -> None:
    spoil(workspace.settings_path)
    (finding,) = verify_workspace(Workspace(workspace.root)).findings
    assert (finding.kind, finding.where) == ("unanchored", str(workspace.settings_path))
