"""The preflight: each check holds on an honest machine and workspace, and names what is wrong on one that is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.errors import StageGateError
from reports.criteria.codetree import CodeTree
from reports.criteria.freeze import Places
from reports.criteria.machine import Machine
from reports.record.registry import Registry
from reports.record.workspace import Workspace
from reports.run.preflight import (
    Preflight,
    alive_check,
    code_check,
    disk_check,
    freeze_check,
    lock_check,
    locked_versions,
    machine_checks,
    preflight,
    record_check,
)

REPOSITORY = Path(__file__).resolve().parents[2]
STRONG = Machine(cores=16, memory_gb=128.0, system="Linux x86_64", python="3.11.9")
LOCK = """\
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:00
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:11
typing-extensions==4.15.0 \\
    --hash=sha256:22
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:33
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "desk"
    root.mkdir()
    (root / "stagegate.toml").write_text('[registry]\nstate_dir = ".state"\n')
    return Workspace(root)


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A committed checkout with a lock of its own."""
    root = tmp_path / "code"
    for folder in ("engines", "fixtures", "gates", "reports"):
        (root / folder).mkdir(parents=True)
        (root / folder / "__init__.py").write_text("")
    (root / "requirements.lock").write_text(LOCK)
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    return root


def by_name(found: Preflight) -> dict[str, bool]:
    return {check.name: check.holds for check in found.checks}


def test_cores_and_memory_are_held_against_the_profile(workspace: Workspace) -> None:
    assert [check.holds for check in machine_checks(workspace, STRONG)] == [True, True]
    weak = Machine(cores=7, memory_gb=59.9, system="", python="")
    cores, memory = machine_checks(workspace, weak)
    assert (cores.holds, cores.found, cores.expected) == (False, "7", ">= 8")
    assert (memory.holds, memory.found, memory.expected) == (False, "59.9 GB", ">= 60 GB")
    assert "--unofficial" in cores.remedy


def test_disk_space_is_asked_of_the_workspace(workspace: Workspace) -> None:
    assert disk_check(workspace.root, 0.0).holds
    full = disk_check(workspace.root, 1e9)
    assert not full.holds
    assert "runs/cache/" in full.remedy


@pytest.mark.parametrize(
    ("spoil", "word"),
    [("engines/__init__.py", "modified"), ("gates/extra.py", "untracked"), ("requirements.lock", "modified")],
)
def test_a_dirty_tree_is_named(repository: Path, spoil: str, word: str) -> None:
    assert code_check(repository).holds
    (repository / spoil).write_text("# changed\n")
    dirty = code_check(repository)
    assert not dirty.holds
    assert f"{word}: {spoil}" in dirty.found


def test_a_lock_is_read_for_one_platform_and_python() -> None:
    old = locked_versions(LOCK, {"python_full_version": "3.11.9", "sys_platform": "linux"})
    assert old == {"numpy": "2.4.6", "typing-extensions": "4.15.0"}
    new = locked_versions(LOCK, {"python_full_version": "3.13.0", "sys_platform": "win32"})
    assert new == {"numpy": "2.5.5", "typing-extensions": "4.15.0", "colorama": "0.4.6"}


def test_the_project_lock_is_read_whole() -> None:
    found = locked_versions((REPOSITORY / "requirements.lock").read_text(encoding="utf-8"))
    assert {"numpy", "pandas", "pytest", "pydantic"} <= found.keys()
    assert all(version and version[0].isdigit() for version in found.values())


def test_packages_that_differ_or_are_missing_are_named(repository: Path) -> None:
    installed = locked_versions(LOCK)
    assert lock_check(repository, {**installed, "ipython": "9"}).holds
    differing = lock_check(repository, {**installed, "numpy": "1.0"})
    assert not differing.holds
    assert f"numpy 1.0 for {installed['numpy']}" in differing.found
    missing = lock_check(repository, {name: text for name, text in installed.items() if name != "typing-extensions"})
    assert "typing-extensions is missing for 4.15.0" in missing.found
    assert "setup.sh" in missing.remedy


def test_a_living_run_is_seen_and_a_dead_one_is_not(workspace: Workspace) -> None:
    assert alive_check(workspace).holds
    with Registry(workspace.root).run_lock("20261123T170509Z-0a1b2c3d"):
        busy = alive_check(workspace)
        assert not busy.holds
        assert "20261123T170509Z-0a1b2c3d" in busy.found
    assert alive_check(workspace).holds


def test_a_registry_that_does_not_verify_stops(workspace: Workspace, repository: Path) -> None:
    assert record_check(workspace).holds
    workspace.registry.parent.mkdir()
    workspace.registry.write_text("seq,event\n1,STARTED\n")
    found = preflight(Places(workspace, repository), None, machine=STRONG, min_free_gb=0.0)
    assert not by_name(found)["record"]
    assert any(reason.startswith("record: ") for reason in found.reasons)


def test_a_missing_freeze_and_a_bad_tag_stop(workspace: Workspace, repository: Path) -> None:
    places = Places(workspace, repository)
    for tag, word in (("never-frozen", "there is no freeze"), ("../up", "not a plain name")):
        with pytest.raises(StageGateError, match=word):
            freeze_check(places, tag)
        found = preflight(places, tag, machine=STRONG, min_free_gb=0.0)
        assert not by_name(found)["freeze"]
        assert any(word in reason for reason in found.reasons)


def test_what_the_freeze_pins_is_compared(
    workspace: Workspace, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reports.run import preflight as module

    seen: list[CodeTree] = []

    def drifted(_freeze: object, _places: Places, code: CodeTree, _packages: str) -> tuple[str, ...]:
        seen.append(code)
        return ("data changed since the freeze: expected aa, found bb",)

    monkeypatch.setattr(module, "read_freeze", lambda _workspace, _tag: None)
    monkeypatch.setattr(module, "drift", drifted)
    found = freeze_check(Places(workspace, repository), "mom-2026-01")
    assert not found.holds
    assert "data changed" in found.found
    assert seen[0].dirt == ()


def test_outside_git_the_code_check_gives_the_reason_and_the_others_still_answer(
    workspace: Workspace, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    found = preflight(Places(workspace, bare), None, machine=STRONG, min_free_gb=0.0)
    holds = by_name(found)
    assert (holds["code_tree"], holds["package_lock"]) == (False, False)
    assert holds["cores"]
    assert holds["no_other_run"]
    assert not found.to_json()["ready"]


def test_an_honest_workspace_is_ready(workspace: Workspace, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.run.preflight.installed_packages", lambda: locked_versions(LOCK))
    found = preflight(Places(workspace, repository), None, machine=STRONG, min_free_gb=0.0)
    assert found.reasons == ()
    document = found.to_json()
    assert document["ready"]
    assert all(check["remedy"] == "" for check in document["checks"])


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(
        [sys.executable, "-m", "reports.run.preflight", *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def listing(workspace: Workspace) -> Iterator[None]:
    """The workspace holds the same files afterwards."""
    before = sorted(path.relative_to(workspace.root) for path in workspace.root.rglob("*"))
    yield
    assert sorted(path.relative_to(workspace.root) for path in workspace.root.rglob("*")) == before


@pytest.mark.usefixtures("listing")
def test_the_command_prints_one_document_and_its_reasons_and_writes_nothing(workspace: Workspace) -> None:
    done = run("--workspace", str(workspace.root), "--tag", "none-such", "--min-free-gb", "1e9")
    document = json.loads(done.stdout)
    assert done.returncode == 4
    assert not document["ready"]
    assert done.stderr.splitlines() == document["reasons"]
    names = [check["name"] for check in document["checks"]]
    assert names == ["cores", "memory", "disk", "code_tree", "package_lock", "record", "no_other_run", "freeze"]


def test_a_missing_workspace_is_refused(tmp_path: Path) -> None:
    done = run("--workspace", str(tmp_path / "nowhere"))
    assert (done.returncode, done.stdout) == (4, "")
    assert "there is no such workspace" in done.stderr
