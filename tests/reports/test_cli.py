"""The stagegate command as a person types it: real records, real processes, no traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engines.errors import StageGateError
from reports.committee.statement import signatures_folder
from reports.deployment.templates import NOTES, ROLLBACK, WATCHLIST
from reports.desk import cli
from reports.pack.packet import PROMPTS
from reports.record import host
from reports.record.clock import utc_now
from reports.record.registry import Registry
from reports.record.workspace import Workspace
from reports.run.sealed_window import check_deployable
from tests.reports.recorded_tag import PASSING, cell, gate, new_workspace, record_passes, record_stage

REPOSITORY = Path(__file__).resolve().parents[2]
TAG = "mom-2026-01"
FAILED_GATES = {
    "s3.net_sharpe": gate({**cell(-0.4, outcome="failed"), "id": "x1.5"}, {**cell(0.2), "id": "x1.0"}),
    "s3.break_even": gate(cell(1.2, 2.0, "failed", ">="), level="diagnostic"),
    "s3.size": gate({**cell(None, outcome="absent"), "note": "market_cap is absent: no source"}),
}

needs_ssh_keygen = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed (Debian: openssh-client)"
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return new_workspace(tmp_path / "desk")


class Typed:
    """What a command printed and how it ended."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err
        assert "Traceback" not in out + err


@pytest.fixture
def type_in(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> Any:
    def typed(*arguments: str) -> Typed:
        try:
            status = cli.main([*arguments, "--workspace", str(workspace.root)])
        except SystemExit as left:
            status = int(left.code or 0)
        return Typed(status, *capsys.readouterr())

    return typed


@pytest.fixture
def key(workspace: Workspace, tmp_path: Path) -> Path:
    """Alice's key, listed."""
    path = tmp_path / "alice"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, capture_output=True, timeout=60
    )
    workspace.allowed_signers.parent.mkdir(parents=True)
    workspace.allowed_signers.write_text(
        f"alice@desk {path.with_suffix('.pub').read_text(encoding='utf-8')}", encoding="utf-8"
    )
    return path


def write_packet(workspace: Workspace, tag: str, stage: str) -> None:
    path = workspace.packet(tag, stage)
    text = path.read_text(encoding="utf-8")
    for prompt in PROMPTS.values():
        text = text.replace(f"<!-- {prompt} -->", "Written by a person, in words.")
    path.write_text(text, encoding="utf-8")


# ------------------------------------------------------------------------------------------------ status


def test_status_of_an_empty_desk_says_how_to_begin(type_in: Any) -> None:
    typed = type_in("status")
    assert typed.status == 0
    assert "no tag yet. Begin with: stagegate packet TAG s0 --workspace" in typed.out


def test_status_leads_from_a_pass_to_the_next_run(workspace: Workspace, type_in: Any) -> None:
    record_passes(workspace, TAG, ("s0", "s1"))
    assert f"next        stagegate packet {TAG} s2 --workspace {workspace.root}" in type_in("status").out
    assert type_in("packet", TAG, "s2").status == 0
    assert "the packet of s2 to be written: '## What changed' is not written" in type_in("status").out
    write_packet(workspace, TAG, "s2")
    typed = type_in("status")
    assert f"{TAG}  s1 PASS  momentum-12-1 (momentum), olga" in typed.out
    assert f"next        pytest gates/s2 -n 8 --decision-tag {TAG} --workspace {workspace.root}" in typed.out


def states(typed: Typed) -> dict[str, tuple[str, str, str, str]]:
    """tag -> stage, state, waits_for, next_command of a status --json."""
    return {
        tag["tag"]: (tag["stage"], tag["state"], tag["waits_for"], tag["next_command"])
        for tag in json.loads(typed.out)["tags"]
    }


def test_status_knows_every_end_of_a_run(workspace: Workspace, type_in: Any) -> None:
    record_stage(workspace, "failed", "s0", "FAIL", FAILED_GATES)
    record_stage(workspace, "broken", "s0", "INCOMPLETE", FAILED_GATES)
    record_stage(workspace, "heir", "s0", supersedes="failed")
    record_stage(workspace, "laptop", "s0")
    record_stage(workspace, "laptop", "s2", official=False)
    registry = Registry(workspace.root)
    running = {"stage": "s0", "official": "true", "candidate": "c", "family": "f", "owner": "o"}
    registry.claim({**running, "decision_tag": "dead", "run_id": "run-dead"})
    registry.claim({**running, "decision_tag": "alive", "run_id": "run-alive"})
    registry.append(
        "REVOKED", {**running, "decision_tag": "heir", "run_id": "run-heir", "detail": "reason=vendor withdrew"}
    )
    with registry.run_lock("run-alive"):
        typed = type_in("status", "--json")
    found = states(typed)
    assert found["failed"][1:] == ("FAIL", "nothing: superseded by heir", "")
    assert (
        found["heir"][2] == "nothing: revoked in row 9, reason=vendor withdrew" or "revoked in row" in found["heir"][2]
    )
    assert found["broken"][1] == "INCOMPLETE"
    assert '--root-cause environment:"' in found["broken"][2]
    assert found["broken"][3].startswith("stagegate explain broken")
    assert found["dead"][1:3] == ("INTERRUPTED", "recovery: run run-dead ended without a word")
    assert found["dead"][3].startswith("stagegate recover")
    assert found["alive"][1:] == ("RUNNING", "run run-alive to end", "")
    assert found["laptop"][:2] == ("s0", "PASS")
    assert json.loads(typed.out)["tags"][3]["unofficial"] == ["s2 PASS"]


def refused_at_s4(workspace: Workspace) -> str:
    """Why s4 may not open the sealed window yet; empty when it may."""
    rows = Registry(workspace.root).rows()
    try:
        check_deployable(Workspace(workspace.root), rows, TAG, rows[-1]["freeze_sha256"], utc_now())
    except StageGateError as refusal:
        return str(refusal)
    return ""


@needs_ssh_keygen
def test_status_and_the_entry_of_s4_lead_through_signatures_and_deployment_files(
    workspace: Workspace, key: Path, type_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace.root / "stagegate.toml").open("a").write("[committee]\nsignatures_required = 1\n")
    record_passes(workspace, TAG)
    assert "expected 1 signatures that count, found 0 of 1 required: nobody" in refused_at_s4(workspace)
    with monkeypatch.context() as bare:
        bare.setattr(host, "SYSTEM_FOLDERS", ())
        bare.setenv("PATH", "/nowhere")
        assert "Debian package openssh-client, Homebrew openssh" in refused_at_s4(workspace)
    assert "waits for   signatures: 0 of 1 required: nobody" in type_in("status").out
    typed = type_in("sign", TAG, "--role", "risk", "--key", str(key))
    assert typed.status == 0
    assert "1 of 1 required: alice@desk (risk)" in typed.out
    assert f"next        stagegate packet {TAG} s4" in type_in("status").out
    typed = type_in("packet", TAG, "s4")
    assert typed.out.count("written  docs/production_research") == 4
    write_packet(workspace, TAG, "s4")
    assert f"waits for   the deployment files: {NOTES}: " in type_in("status").out
    assert all(name in refused_at_s4(workspace) for name in (NOTES, WATCHLIST, ROLLBACK, "stagegate packet"))
    folder = workspace.packet_dir(TAG)
    text = (folder / NOTES).read_text(encoding="utf-8")
    (folder / NOTES).write_text(text.replace("<!--", "Written by a person:").replace("-->", ""), encoding="utf-8")
    for name in (WATCHLIST, ROLLBACK):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(
            text.replace('owner = ""', 'owner = "otto"').replace('action = ""', 'action = "flatten the book"'),
            encoding="utf-8",
        )
    assert f"next        pytest gates/s4 --decision-tag {TAG}" in type_in("status").out
    assert refused_at_s4(workspace) == ""
    record_stage(workspace, TAG, "s4")
    assert f"next        stagegate monitor {TAG} --live RETURNS.csv" in type_in("status").out
    assert type_in("verify").status == 0


# ------------------------------------------------------------------------------------------------ packet, sign, revoke


def test_packet_is_written_once(workspace: Workspace, type_in: Any) -> None:
    typed = type_in("packet", TAG, "s0")
    assert f"pytest gates/s0 --candidate FILE --owner NAME --decision-tag {TAG}" in typed.out
    again = type_in("packet", TAG, "s0")
    assert again.status == 4
    assert "exist already and are left as they are" in again.err
    assert again.out == "\n" or again.out == ""


@needs_ssh_keygen
def test_sign_revoke_and_sign_again(workspace: Workspace, key: Path, type_in: Any) -> None:
    record_passes(workspace, TAG)
    signed = json.loads(type_in("sign", TAG, "--role", "risk", "--key", str(key), "--json").out)
    assert (signed["row"]["event"], signed["sign_off"]["valid"][0]["signer"]) == ("SIGNED", "alice@desk")
    assert "signed mom-2026-01 already" in type_in("sign", TAG, "--role", "risk", "--key", str(key)).err
    assert "revoked  mom-2026-01" in type_in("revoke", TAG, "--reason", "the vendor withdrew its volumes").out
    refused = type_in("sign", TAG, "--role", "risk", "--key", str(key))
    assert (refused.status, "was revoked" in refused.err) == (4, True)
    assert "nothing: revoked" in type_in("status").out


@needs_ssh_keygen
def test_verify_finds_a_forged_sign_off(workspace: Workspace, key: Path, type_in: Any) -> None:
    record_passes(workspace, TAG)
    type_in("sign", TAG, "--role", "risk", "--key", str(key))
    honest = type_in("verify")
    assert (honest.status, "valid" in honest.out) == (0, True)
    path = signatures_folder(workspace, TAG) / "alice@desk.json"
    path.write_bytes(path.read_bytes().replace(b'"role":"risk"', b'"role":"desk"'))
    typed = type_in("verify", "--json")
    assert typed.status == 6
    assert any("statement was changed" in finding["what"] for finding in json.loads(typed.out)["findings"])


# ------------------------------------------------------------------------------------------------ verify, recover


def test_verify_recover_verify(workspace: Workspace, type_in: Any) -> None:
    record_passes(workspace, TAG, ("s0",))
    assert type_in("verify").status == 0
    with workspace.registry.open("ab") as file:
        file.write(b"3,STARTED,s1,torn")
    assert type_in("verify").status == 7
    assert type_in("status").status == 4
    assert "quarantined" in type_in("recover").out
    assert type_in("verify").status == 0
    assert "nothing to recover" in type_in("recover").out


def test_verify_finds_tampering_and_status_refuses(workspace: Workspace, type_in: Any) -> None:
    record_passes(workspace, TAG, ("s0",))
    raw = workspace.registry.read_bytes()
    workspace.registry.write_bytes(raw.replace(b"olga", b"olgb", 1))
    assert type_in("verify", "--tag", TAG).status == 6
    typed = type_in("status", "--json")
    assert typed.status == 4
    assert "does not hold" in json.loads(typed.out)["refused"]


# ------------------------------------------------------------------------------------------------ explain, leaderboard


def test_explain_says_what_failed_and_by_how_much(workspace: Workspace, type_in: Any) -> None:
    record_passes(workspace, TAG, ("s0", "s1", "s2"))
    row = record_stage(workspace, TAG, "s3", "FAIL", FAILED_GATES)
    typed = type_in("explain", TAG)
    assert "s3 FAIL  run" in typed.out
    assert "failed      s3.net_sharpe [x1.5]: measured -0.4, required > 0, margin -0.4 Sharpe (n = 504)" in typed.out
    assert "diagnostic  s3.break_even: measured 1.2, required >= 2, margin -0.8" in typed.out
    assert "absent      s3.size: not measured, required > 0 Sharpe (n = 504): market_cap is absent" in typed.out
    assert row["report"] in typed.out
    runs = json.loads(type_in("explain", TAG, "--json").out)["runs"]
    assert [run["stage"] for run in runs] == ["s0", "s1", "s2", "s3"]
    assert [failing["margin"] for failing in runs[3]["failing"]] == [-0.4]


def test_explain_survives_a_damaged_report(workspace: Workspace, type_in: Any) -> None:
    row = record_stage(workspace, TAG, "s0", "FAIL", FAILED_GATES)
    path = workspace.root / row["report"]
    whole = path.read_bytes()
    for damaged in (
        b"{",
        b"[]",
        b'{"gates": {"a": {"cells": [{"measured": "x"}, 3]}, "b": 4}, "failures": [7], "weakest": 1}',
        whole[:-40],
    ):
        path.write_bytes(damaged)
        typed = type_in("explain", TAG)
        assert typed.status == 0
        assert "run `stagegate verify`" in typed.out
    path.unlink()
    assert "cannot read the file" in type_in("explain", TAG).out


def test_a_message_cannot_move_the_terminal(workspace: Workspace, type_in: Any) -> None:
    gates = {"s0.x": gate({**cell(-1.0, outcome="failed"), "note": "\x1b[2J\x1b]0;owned\x07 hidden"})}
    record_stage(workspace, TAG, "s0", "FAIL", gates)
    assert "\x1b" not in type_in("explain", TAG).out


def test_leaderboard_ranks_by_the_weakest_margin_and_marks(workspace: Workspace, type_in: Any) -> None:
    record_stage(workspace, "narrow", "s3", weakest=("s3.deflated_sharpe", "0.2"))
    record_stage(workspace, "wide", "s3", weakest=("s3.net_sharpe", "1.5"))
    record_stage(workspace, "failing", "s3", "FAIL", FAILED_GATES, weakest=("s3.net_sharpe", "-0.4"))
    record_stage(workspace, "nothing", "s3", "INCOMPLETE", FAILED_GATES, weakest=("s3.net_sharpe", "-inf"))
    record_stage(workspace, "laptop", "s3", official=False, weakest=("s3.net_sharpe", "2.0"))
    record_stage(workspace, "wide", "s3", official=False, weakest=("s3.net_sharpe", "9.0"))
    record_stage(workspace, "early", "s1")
    placings = json.loads(type_in("leaderboard", "--json").out)["placings"]
    assert [place["tag"] for place in placings] == ["laptop", "wide", "narrow", "failing", "nothing"]
    assert [place["marks"] for place in placings] == [["unofficial"], [], [], ["failing"], ["failing"]]
    assert [place["margin"] for place in placings] == [2.0, 1.5, 0.2, -0.4, None]
    table = type_in("leaderboard").out.splitlines()
    assert table[0].startswith("rank  tag")
    assert table[2].split() == ["2", "wide", "momentum-12-1", "momentum", "PASS", "s3.net_sharpe", "+1.50", "-", "-"]
    assert "no tag has finished s4" in type_in("leaderboard", "--stage", "s4").out


# ------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    "arguments",
    [
        *(
            (),
            ("stat",),
            ("packet",),
            ("packet", TAG, "s7"),
            ("sign", TAG),
            ("revoke", TAG),
            ("status", "--jso"),
            ("verify", "--unknown"),
        ),
        *(
            ("packet", "../x", "s0"),
            ("explain", "unknown"),
            ("explain", ""),
            ("revoke", "unknown", "--reason", "a good reason"),
        ),
        *(("sign", "unknown", "--role", "risk", "--key", "/nonexistent"), ("leaderboard", "--stage", "s5")),
    ],
)
def test_a_mistake_is_a_message_and_exit_4(type_in: Any, arguments: tuple[str, ...]) -> None:
    typed = type_in(*arguments)
    assert typed.status == 4
    assert "refused: " in typed.err


def test_a_workspace_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--workspace", "/nonexistent/desk", "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["refused"] == "there is no such workspace"


def test_a_mistake_in_the_desks_settings_is_a_message(workspace: Workspace, type_in: Any) -> None:
    record_passes(workspace, TAG)
    (workspace.root / "stagegate.toml").write_text("[comittee]\n", encoding="utf-8")
    typed = type_in("status")
    assert (typed.status, "comittee" in typed.err) == (4, True)


def test_the_command_runs_as_a_process_and_stays_light(workspace: Workspace) -> None:
    record_passes(workspace, TAG, ("s0",), gates=PASSING)
    code = "import sys; from reports.desk.cli import main; status = main(); heavy = {'pandas', 'pandera', 'pyarrow', 'scipy', 'pytest'} & set(sys.modules); "
    command = [
        sys.executable,
        "-c",
        f"{code}print(sorted(heavy)); sys.exit(status)",
        "status",
        "--workspace",
        str(workspace.root),
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert TAG in done.stdout


def test_a_reader_that_stops_reading_is_no_error(workspace: Workspace) -> None:
    record_passes(workspace, TAG, ("s0",))
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "reports.desk.cli", "status", "--workspace", str(workspace.root)]
    done = subprocess.run(
        command, cwd=REPOSITORY, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert all(
        name in told for name in ("status", "packet", "sign", "revoke", "verify", "recover", "explain", "leaderboard")
    )
