"""The code tree: clean means that what lies there is the commit, whatever git was told to overlook."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reports.criteria.codetree import code_as_it_is, imprints, inspect_code
from reports.record.errors import RequestRefused
from tests.end_to_end.desk import commit, git

GATE = "gates/s0/test_a.py"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    for name in (
        GATE,
        "engines/ic.py",
        "reports/criteria/verdict.py",
        "fixtures/market.py",
        "conftest.py",
        "README.md",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"# {name}\n", encoding="utf-8")
    (root / ".gitignore").write_text("__pycache__/\n*.pyc\n/private.py\n", encoding="utf-8")
    git(tmp_path, "init", "--quiet", "repository")
    commit(root, "first")
    return root


def test_a_fresh_checkout_is_clean(repository):
    found = inspect_code(repository)
    assert found.dirt == ()
    assert found.git_commit == "git:" + git(repository, "rev-parse", "HEAD").strip()


def test_a_checkout_elsewhere_has_the_same_hashes(repository, tmp_path):
    git(tmp_path, "clone", "--quiet", str(repository), "clone")
    assert inspect_code(tmp_path / "clone") == inspect_code(repository)


def test_records_are_no_part_of_the_code(repository):
    before = inspect_code(repository)
    for folder in ("runs/freeze", "gate_results", "docs/production_research/tag"):
        (repository / folder).mkdir(parents=True)
        (repository / folder / "file.md").touch()
    assert inspect_code(repository) == before
    commit(repository, "records")
    assert replace(inspect_code(repository), git_commit=before.git_commit) == before


def test_only_a_change_below_gates_changes_the_hash_of_the_gates(repository):
    before = inspect_code(repository)
    (repository / "README.md").write_text("other\n", encoding="utf-8")
    commit(repository, "readme")
    after = inspect_code(repository)
    assert after.tree_sha256 != before.tree_sha256
    assert after.gates_sha256 == before.gates_sha256
    (repository / GATE).write_text("other\n", encoding="utf-8")
    commit(repository, "gate")
    assert inspect_code(repository).gates_sha256 != after.gates_sha256


def overlooked(flag: str) -> Callable[[Path], None]:
    def spoil(repository: Path) -> None:
        git(repository, "update-index", flag, GATE)
        (repository / GATE).write_text("assert True\n", encoding="utf-8")

    return spoil


def filtered(repository: Path) -> None:
    (repository / ".gitattributes").write_text(f"{GATE} filter=mask\n", encoding="utf-8")
    commit(repository, "attributes")
    git(repository, "config", "filter.mask.clean", f"git cat-file blob HEAD:{GATE}")
    (repository / GATE).write_text("assert True\n", encoding="utf-8")


def replaced(repository: Path) -> None:
    old = git(repository, "rev-parse", "HEAD").strip()
    (repository / GATE).write_text("assert True\n", encoding="utf-8")
    commit(repository, "second")
    new = git(repository, "rev-parse", "HEAD").strip()
    git(repository, "update-ref", "HEAD", old)
    git(repository, "replace", old, new)


def linked(repository: Path) -> None:
    outside = repository.parent / "outside.py"
    shutil.move(repository / GATE, outside)
    (repository / GATE).symlink_to(outside)
    commit(repository, "link")


def ignored_folder(repository: Path) -> None:
    (repository / "gates" / "s0" / "conftest.py").touch()
    (repository / ".git" / "info" / "exclude").write_text("conftest.py\n", encoding="utf-8")


SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "modified": (lambda root: (root / GATE).write_text("other\n"), f"modified: {GATE}"),
    "staged": (lambda root: ((root / GATE).write_text("other\n"), git(root, "add", "--all")), f"modified: {GATE}"),
    "deleted": (lambda root: (root / GATE).unlink(), f"deleted: {GATE}"),
    "untracked": (lambda root: (root / "gates" / "s0" / "conftest.py").touch(), "untracked: gates/s0/conftest.py"),
    "ignored": (ignored_folder, "untracked: gates/s0/conftest.py"),
    "ignored at the top": (lambda root: (root / "private.py").touch(), "ignored by git, yet importable: private.py"),
    "ignored extension module": (lambda root: (root / "engines" / "ic.so").touch(), "untracked: engines/ic.so"),
    "assume-unchanged": (overlooked("--assume-unchanged"), GATE),
    "skip-worktree": (overlooked("--skip-worktree"), GATE),
    "clean filter": (filtered, GATE),
    "replaced commit": (replaced, GATE),
    "link": (linked, GATE),
}


@pytest.mark.parametrize("name", SPOILED)
def test_whatever_is_not_the_commit_is_named(repository, name):
    spoil, named = SPOILED[name]
    spoil(repository)
    assert any(named in entry for entry in inspect_code(repository).dirt), inspect_code(repository).dirt


def test_names_that_git_would_quote_are_named_as_they_are(repository):
    (repository / "gates" / "s0" / "tést spaced.py").touch()
    assert inspect_code(repository).dirt == ("untracked: gates/s0/tést spaced.py",)


def test_caches_are_not_dirt(repository):
    (repository / "engines" / "__pycache__").mkdir()
    (repository / "engines" / "__pycache__" / "ic.cpython-311.pyc").touch()
    assert inspect_code(repository).dirt == ()


def test_gits_own_variables_do_not_lead_elsewhere(repository, tmp_path, monkeypatch):
    expected = inspect_code(repository)
    git(tmp_path, "init", "--quiet", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", os.devnull)
    assert inspect_code(repository) == expected


def test_a_folder_without_git_or_without_a_commit_is_refused(tmp_path):
    with pytest.raises(RequestRefused, match="not a git checkout with a commit"):
        inspect_code(tmp_path)
    git(tmp_path, "init", "--quiet")
    with pytest.raises(RequestRefused, match="not a git checkout with a commit"):
        inspect_code(tmp_path)


def test_a_rehearsal_takes_a_tree_without_git_and_says_so(tmp_path):
    found = code_as_it_is(tmp_path)
    assert found.git_commit == "git:none"
    assert "not a git checkout" in found.dirt[0]


def test_a_file_that_was_replaced_and_brought_back_has_another_imprint(tmp_path):
    path, kept = tmp_path / "gate.py", tmp_path / "kept"
    path.write_text("EDGE = -0.5", encoding="utf-8")
    before = imprints([path, tmp_path / "absent"])
    assert imprints(before) == before
    path.rename(kept)
    path.write_text("EDGE = +0.5", encoding="utf-8")
    kept.rename(path)
    assert path.read_text(encoding="utf-8") == "EDGE = -0.5"
    assert imprints(before)[path] != before[path]
    assert before[tmp_path / "absent"] is None
