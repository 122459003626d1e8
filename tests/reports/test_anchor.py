"""What a chain cannot show by itself its witnesses do: a dropped tail, a rebuilt chain, a registry that is gone."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from reports.record.anchor import AnchorUnreachableError, FileAnchor, GitAnchor, Head, StateMemory, witnesses
from reports.record.chain import COLUMNS, GENESIS, HEADER, Row, link
from reports.record.errors import RecordError, RequestRefused
from reports.record.registry import AnchorLagWarning, Registry
from reports.record.workspace import Workspace
from reports.verification.recover import recover
from reports.verification.verify import verify_workspace
from tests.reports.sample_record import begin, finish, promote, rewrite, run_stage, start


@pytest.fixture(autouse=True)
def _state_directory_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STAGEGATE_STATE_DIR", raising=False)


@pytest.fixture(params=["memory", "file", "git"])
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    """A workspace whose head exactly one kind of witness remembers: what the account saw is wiped for the other two."""
    root = tmp_path / "desk"
    if request.param == "git":
        root.mkdir()
        subprocess.run(["git", "init", "-q", root], check=True)
        return begin(root, "anchor = 'git:refs/notes/stagegate'\n")
    return begin(root, f"anchor = 'file:{tmp_path / 'anchored.json'}'\n" if request.param == "file" else "")


def forget(workspace: Workspace) -> None:
    """Leave the configured anchor as the only witness."""
    if workspace.settings.registry.anchor:
        shutil.rmtree(workspace.settings.registry.state_dir)


def rebuilt(rows: tuple[Row, ...], **changed: str) -> bytes:
    """A whole new chain over the same rows, with `changed` in every row."""
    lines, previous = [HEADER], GENESIS
    for seq, row in enumerate(rows, 1):
        forged = link({column: row[column] for column in COLUMNS} | changed, seq, previous)
        lines.append(forged.raw)
        previous = forged.row_hash
    return b"\n".join(lines) + b"\n"


def assert_tampering_is_found(workspace: Workspace, message: str) -> None:
    forget(workspace)
    verification = verify_workspace(Workspace(workspace.root))
    assert verification.exit_code == 6
    assert any(message in finding.what for finding in verification.findings), verification.findings
    before = workspace.registry.read_bytes()
    with pytest.raises(RecordError, match=message):
        start(Workspace(workspace.root), "next-tag")
    with pytest.raises(RecordError, match=message):
        recover(Workspace(workspace.root))
    assert workspace.registry.read_bytes() == before


def test_an_honest_record_is_accepted_and_goes_on(workspace: Workspace) -> None:
    promote(workspace)
    forget(workspace)
    assert verify_workspace(workspace).findings == ()
    run_stage(workspace, "carry-01")
    assert verify_workspace(workspace).exit_code == 0


def test_a_dropped_tail_is_found(workspace: Workspace) -> None:
    run_stage(workspace)
    start(workspace, stage="s1")
    rewrite(workspace, lambda raw: raw[: raw.rindex(b"\n", 0, -1) + 1])
    assert_tampering_is_found(workspace, "rows were dropped")


def test_a_rebuilt_chain_is_found(workspace: Workspace) -> None:
    start(workspace)
    rows = Registry(workspace.root).rows()
    rewrite(workspace, lambda _: rebuilt(rows, owner="somebody else"))
    assert_tampering_is_found(workspace, "the chain was rebuilt")


def test_swapped_rows_are_found_even_with_new_hashes(workspace: Workspace) -> None:
    start(workspace, "alpha")
    start(workspace, "beta")
    first, second = Registry(workspace.root).rows()
    rewrite(workspace, lambda _: rebuilt((second, first)))
    assert_tampering_is_found(workspace, "the chain was rebuilt")


def test_a_head_below_the_end_still_binds_what_is_above(workspace: Workspace) -> None:
    promote(workspace)
    rows = Registry(workspace.root).rows()
    rewrite(workspace, lambda _: rebuilt(rows[:2]) + b"".join(row.raw + b"\n" for row in rows[2:6]))
    assert_tampering_is_found(workspace, "rows were dropped")


def test_a_registry_that_is_gone_is_not_begun_anew(workspace: Workspace) -> None:
    run_stage(workspace)
    forget(workspace)
    workspace.registry.unlink()
    assert verify_workspace(workspace).exit_code == 6
    with pytest.raises(RecordError, match="2 rows were seen, 0 are there"):
        start(workspace, "fresh")
    with pytest.raises(RecordError, match="2 rows were seen"):
        recover(workspace)
    assert not workspace.registry.exists()


def test_a_dropped_tail_stays_found_after_more_rows(workspace: Workspace) -> None:
    run_stage(workspace)
    kept = Registry(workspace.root).rows()[:1]
    forged = link({column: kept[0][column] for column in COLUMNS} | {"decision_tag": "other"}, 2, kept[0].row_hash)
    rewrite(workspace, lambda raw: b"\n".join([HEADER, kept[0].raw, forged.raw, b""]))
    assert_tampering_is_found(workspace, "the chain was rebuilt")


def test_a_workspace_that_moved_is_held_to_its_past(tmp_path: Path) -> None:
    old = begin(tmp_path / "desk")
    run_stage(old)
    start(old, stage="s1")
    moved = Workspace(old.root.rename(tmp_path / "moved"))
    assert verify_workspace(moved).exit_code == 7
    rewrite(moved, lambda raw: raw[: raw.rindex(b"\n", 0, -1) + 1])
    assert [finding.kind for finding in verify_workspace(moved).findings] == ["tampered"]


def test_two_copies_of_a_workspace_each_go_their_own_way(tmp_path: Path) -> None:
    original = begin(tmp_path / "desk")
    promote(original, stages=("s0", "s1"))
    copy = Workspace(Path(shutil.copytree(original.root, tmp_path / "copy")))
    run_stage(original, stage="s2")
    run_stage(copy, stage="s2", owner="another")
    assert verify_workspace(original).findings == verify_workspace(copy).findings == ()


def test_the_state_directory_of_the_environment_goes_before_the_settings(tmp_path: Path) -> None:
    workspace = begin(tmp_path / "desk")
    memory = witnesses(workspace, {"STAGEGATE_STATE_DIR": str(tmp_path / "here")})[0]
    assert isinstance(memory, StateMemory)
    assert memory.state_dir == tmp_path / "here"


def test_a_relative_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    memory = witnesses(Workspace(tmp_path / "desk"), {})[0]
    assert isinstance(memory, StateMemory)
    assert memory.state_dir == tmp_path / ".local/state/stagegate"


@pytest.mark.parametrize("anchor", ["git:refs/notes/stagegate", "file:/nowhere/at/all/head.json", "paper", "git:notes"])
def test_an_anchor_that_cannot_be_asked_stops_claims_and_verifies_as_8(tmp_path: Path, anchor: str) -> None:
    honest = begin(tmp_path / "desk")
    run_stage(honest)
    workspace = begin(tmp_path / "desk", f"anchor = '{anchor}'\n")
    assert verify_workspace(workspace).exit_code == 8
    with pytest.raises((RequestRefused, AnchorUnreachableError)):
        start(workspace, stage="s1")
    assert len(Registry(honest.root).rows()) == 2


def test_an_anchor_that_goes_away_loses_no_result_and_is_told_later(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    workspace = begin(tmp_path / "desk", f"anchor = 'file:{volume / 'head.json'}'\n")
    begun = start(workspace)
    volume.rename(tmp_path / "unmounted")
    with pytest.warns(AnchorLagWarning, match="row 2 is recorded"):
        Registry(workspace.root).append(
            "ABANDONED", {name: begun[name] for name in ("stage", "decision_tag", "run_id", "official")}
        )
    assert verify_workspace(workspace).exit_code == 8
    (tmp_path / "unmounted").rename(volume)
    assert verify_workspace(workspace).exit_code == 0
    assert [action.step for action in recover(workspace).actions] == ["told"]
    assert FileAnchor(volume / "head.json").heads()[0].seq == 2


def test_an_anchor_configured_later_is_begun_by_recover(tmp_path: Path) -> None:
    run_stage(begin(tmp_path / "desk"))
    workspace = begin(tmp_path / "desk", f"anchor = 'file:{tmp_path / 'head.json'}'\n")
    assert verify_workspace(workspace).exit_code == 8
    with pytest.raises(RequestRefused, match="stagegate recover"):
        start(workspace, stage="s1")
    assert [action.step for action in recover(workspace).actions] == ["told"]
    assert start(workspace, stage="s1").seq == 3


@pytest.mark.parametrize(
    "damage", [b"", b"{}", b"[1]", b"\xff", b'{"schema": 1, "registry": 3, "seq": 1, "row_hash": "", "path": ""}']
)
def test_a_damaged_memory_is_told_not_trusted(tmp_path: Path, damage: bytes) -> None:
    workspace = begin(tmp_path / "desk")
    run_stage(workspace)
    (remembered,) = Path(workspace.settings.registry.state_dir).glob("*/*.json")
    remembered.write_bytes(damage)
    verification = verify_workspace(workspace)
    assert verification.exit_code == 8
    with pytest.raises(RequestRefused, match="restore it from a backup"):
        start(workspace, stage="s1")


def test_git_keeps_every_head_and_each_workspace_its_own(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    desks = [begin(tmp_path / name, "anchor = 'git:refs/notes/stagegate'\n") for name in ("equity", "futures desk")]
    for desk in desks:
        run_stage(desk)
    for desk in desks:
        anchor = GitAnchor("refs/notes/stagegate", desk.root)
        assert anchor.heads() == (Head.of(Registry(desk.root).rows(), desk.registry),)
    commits = subprocess.run(
        ["git", "-C", tmp_path, "rev-list", "--count", "refs/notes/stagegate"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert commits.stdout == "4\n"


def pushing_desk(tmp_path: Path) -> tuple[Workspace, Path]:
    """A workspace in a repository with a bare remote, its head anchored on a ref."""
    remote = tmp_path / "remote.git"
    subprocess.run(["git", "init", "-q", "--bare", remote], check=True)
    subprocess.run(["git", "init", "-q", tmp_path / "desk"], check=True)
    subprocess.run(["git", "-C", tmp_path / "desk", "remote", "add", "origin", remote], check=True)
    return begin(tmp_path / "desk", "anchor = 'git:refs/notes/stagegate'\n"), remote


def ref_at(repository: Path) -> str:
    command = ["git", "-C", repository, "for-each-ref", "--format=%(objectname)", "refs/notes/stagegate"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_ref_is_pushed_where_a_remote_is_configured(tmp_path: Path) -> None:
    workspace, remote = pushing_desk(tmp_path)
    run_stage(workspace)
    assert ref_at(remote) == ref_at(workspace.root) != ""
    assert verify_workspace(workspace).findings == ()


def test_the_remote_remembers_when_the_ref_here_is_wound_back(tmp_path: Path) -> None:
    workspace, remote = pushing_desk(tmp_path)
    begun = start(workspace)
    first = ref_at(remote)
    finish(workspace, begun)
    shutil.rmtree(tmp_path / "desk-state")
    rewrite(workspace, lambda raw: raw[: raw.rindex(b"\n", 0, -1) + 1])
    subprocess.run(["git", "-C", workspace.root, "update-ref", "refs/notes/stagegate", first], check=True)
    findings = [finding for finding in verify_workspace(workspace).findings if finding.kind == "tampered"]
    assert any("2 rows were seen, 1 are there" in finding.what for finding in findings)


def test_a_remote_that_another_clone_has_moved_on_is_unreachable_not_forced(tmp_path: Path) -> None:
    workspace, remote = pushing_desk(tmp_path)
    run_stage(workspace)
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "-q", remote, other], check=True, capture_output=True)
    subprocess.run(
        ["git", "-C", other, "fetch", "-q", "origin", "refs/notes/stagegate:refs/notes/stagegate"], check=True
    )
    who = ["-c", "user.name=x", "-c", "user.email=x@y"]
    made = subprocess.run(
        ["git", "-C", other, *who, "commit-tree", "-p", ref_at(other), "-m", "x", f"{ref_at(other)}^{{tree}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    subprocess.run(
        ["git", "-C", other, "push", "-q", "origin", f"{made.stdout.strip()}:refs/notes/stagegate"], check=True
    )
    assert [finding.kind for finding in verify_workspace(workspace).findings] == ["unanchored"]
    with pytest.raises(RequestRefused, match="not in this repository"):
        start(workspace, stage="s1")
    assert ref_at(remote) == made.stdout.strip()


def test_a_remote_that_is_away_loses_no_result_and_recovery_pushes(tmp_path: Path) -> None:
    workspace, remote = pushing_desk(tmp_path)
    begun = start(workspace)
    remote.rename(tmp_path / "away.git")
    with pytest.warns(AnchorLagWarning, match="row 2 is recorded"):
        finish(workspace, begun)
    assert verify_workspace(workspace).exit_code == 8
    with pytest.raises(RequestRefused, match="anchor"):
        start(workspace, stage="s1")
    (tmp_path / "away.git").rename(remote)
    assert verify_workspace(workspace).exit_code == 0
    assert [action.step for action in recover(workspace).actions] == ["told"]
    assert ref_at(remote) == ref_at(workspace.root)
    assert GitAnchor("refs/notes/stagegate", workspace.root).heads()[0].seq == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without rights")
def test_a_memory_that_cannot_be_read_is_not_taken_for_silence() -> None:
    with tempfile.TemporaryDirectory() as place:
        desk = begin(Path(place, "desk"))
        run_stage(desk)
        Path(place).chmod(0o755)
        Path(desk.settings.registry.state_dir).chmod(0o700)
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            os._exit(verify_workspace(desk).exit_code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 8
