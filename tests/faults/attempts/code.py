"""Attempts by the code tree: what git is told to overlook, what lies beside it, what replaces it for a moment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Final

from tests.end_to_end.desk import clean_environment, git, rewrite
from tests.faults.attempts.gates import HOOKS
from tests.faults.attempts.preparing import ASSERTION, NOT_BACK, REFUSED, TEST, losing, nothing
from tests.faults.tiny_suite import TAG, Attempt, Ground


def assumed_unchanged(ground: Ground, flag: str = "--assume-unchanged") -> None:
    """Tell git not to look at a gate, then make it win."""
    ground.lose()
    ground.commit()
    git(ground.repository, "update-index", flag, "gates/s0/test_tiny.py")
    rewrite(ground.gate, "EDGE = -0.5", "EDGE = 0.5")


def filtered(ground: Ground) -> None:
    """Have git see a winning gate as the losing one that is committed."""
    ground.lose()
    (ground.repository / ".gitattributes").write_text("gates/s0/test_tiny.py filter=lose\n", encoding="utf-8")
    ground.commit()
    git(ground.repository, "config", "filter.lose.clean", "sed s/^EDGE.*/EDGE\\ =\\ -0.5/")
    rewrite(ground.gate, "EDGE = -0.5", "EDGE = 0.5")
    os.utime(ground.gate, (1, 1))


def linked_gate(ground: Ground) -> None:
    """Commit a link in place of a gate, so that what runs lies elsewhere."""
    outside = ground.desk.workspace.parent / "outside.py"
    shutil.move(ground.gate, outside)
    ground.gate.symlink_to(outside)
    ground.commit()


def replaced_commit(ground: Ground) -> None:
    """Have git take a winning commit for the losing one."""
    losing(ground)
    old = git(ground.repository, "rev-parse", "HEAD").strip()
    rewrite(ground.gate, "EDGE = -0.5", "EDGE = 0.5")
    ground.commit()
    new = git(ground.repository, "rev-parse", "HEAD").strip()
    git(ground.repository, "replace", old, new)
    git(ground.repository, "reset", "--quiet", "--hard", old)
    ground.gate.touch()


def untracked(name: str, source: str = "") -> Callable[[Ground], None]:
    """A file that git does not know."""

    def prepare(ground: Ground) -> None:
        losing(ground)
        (ground.repository / name).write_text(source, encoding="utf-8")

    return prepare


def ignored(name: str) -> Callable[[Ground], None]:
    """A module that git was told to ignore."""

    def prepare(ground: Ground) -> None:
        losing(ground)
        (ground.repository / ".git" / "info" / "exclude").write_text(f"{name}\n", encoding="utf-8")
        (ground.repository / name).touch()

    return prepare


def committed_conftest(ground: Ground) -> None:
    """A conftest.py of the stage folder, committed."""
    ground.lose()
    (ground.repository / "gates" / "s0" / "conftest.py").write_text(HOOKS["trims items"], encoding="utf-8")
    ground.commit()


def conftest_beside(ground: Ground) -> None:
    """A conftest.py beside the candidate."""
    losing(ground)
    (ground.desk.candidate.parent / "conftest.py").write_text(HOOKS["trims items"], encoding="utf-8")


def hidden_conftest(ground: Ground) -> None:
    """A conftest.py beside the candidate that denies its name."""
    losing(ground)
    (ground.desk.candidate.parent / "conftest.py").write_text("del __file__\n", encoding="utf-8")


def settings_beside(ground: Ground) -> None:
    """A pytest.ini in the repository, which would win over pyproject.toml."""
    ground.lose()
    (ground.repository / "pytest.ini").write_text("[pytest]\naddopts = --collect-only\n", encoding="utf-8")
    ground.commit()


def row_without_test(ground: Ground) -> None:
    """Remove the losing test and leave its row."""
    ground.lose()
    rewrite(ground.gate, TEST + '    """The edge is positive."""\n' + ASSERTION, "")
    ground.commit()


def loosened(ground: Ground) -> None:
    """A candidate that asks for a looser bound."""
    losing(ground)
    rewrite(ground.desk.candidate, "[data]", '[policy]\n"s0.edge" = -9.0\n\n[data]')


LINES: Final = (
    'python_functions = ["test_level*"]',
    'python_files = ["none_*.py"]',
    "xfail_strict = false\nusefixtures = 'today'",
    'norecursedirs = ["s0"]',
    "required_plugins = ['nothing-like-it']",
)
BESIDE: Final = (
    ("parent", "pytest.ini", "[pytest]\naddopts = --collect-only\n"),
    ("parent", "conftest.py", HOOKS["trims items"]),
    ("workspace", "conftest.py", HOOKS["trims items"]),
    ("workspace", "pytest.ini", "[pytest]\naddopts = --collect-only\n"),
    ("gates", "conftest.py", HOOKS["calls it passed"]),
    ("gates/s0", "pytest.ini", "[pytest]\naddopts = --collect-only\n"),
    ("gates/s0", "tox.ini", "[pytest]\naddopts = --collect-only\n"),
    ("gates", "setup.cfg", "[tool:pytest]\naddopts = --collect-only\n"),
    ("", ".pytest.ini", "[pytest]\naddopts = --collect-only\n"),
    ("", "tox.ini", "[pytest]\naddopts = --collect-only\n"),
    ("", "pytest.toml", "[pytest]\naddopts = ['--collect-only']\n"),
)  # fmt: skip


def hidden_by(where: str, name: str) -> Callable[[Ground], None]:
    """A file that the clone's or the user's own exclude file hides from git."""

    def prepare(ground: Ground) -> None:
        losing(ground)
        path = ground.repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", encoding="utf-8")
        if where == "clone":
            (ground.repository / ".git" / "info" / "exclude").write_text("*\n", encoding="utf-8")
        else:
            excludes = ground.desk.workspace.parent / "excludes"
            excludes.write_text("*\n", encoding="utf-8")
            (ground.desk.workspace.parent / ".gitconfig").write_text(
                f"[core]\n\texcludesFile = {excludes}\n", encoding="utf-8"
            )

    return prepare


def other_worktree(ground: Ground) -> None:
    """A gate that is not committed, and a clone that was told to look at another, clean tree."""
    losing(ground)
    clean = ground.desk.workspace.parent / "clean"
    shutil.copytree(ground.repository, clean, symlinks=True)
    git(ground.repository, "config", "core.worktree", str(clean))
    rewrite(ground.gate, "EDGE = -0.5", "EDGE = 0.5")


def nested(ground: Ground) -> None:
    """A repository inside the repository."""
    losing(ground)
    inner = ground.repository / "engines" / "extra"
    inner.mkdir()
    git(inner, "init", "--quiet")
    (inner / "evil.py").touch()
    git(inner, "add", "--all")
    git(inner, "commit", "--quiet", "--message", "Inner")


def submodule(ground: Ground) -> None:
    """The same, recorded as a submodule."""
    nested(ground)
    git(ground.repository, "add", "engines/extra")
    git(ground.repository, "commit", "--quiet", "--message", "Submodule")


def linked_stage(ground: Ground) -> None:
    """A link in place of the stage folder, committed."""
    ground.lose()
    outside = ground.desk.workspace.parent / "s0"
    shutil.move(ground.repository / "gates" / "s0", outside)
    rewrite(outside / "test_tiny.py", "EDGE = -0.5", "EDGE = 0.5")
    (ground.repository / "gates" / "s0").symlink_to(outside)
    ground.commit()


def configured(lines: str) -> Callable[[Ground], None]:
    """pytest's options in pyproject.toml, in place of those of the same name, committed."""

    def prepare(ground: Ground) -> None:
        ground.lose()
        path = ground.repository / "pyproject.toml"
        text = path.read_text(encoding="utf-8")
        for line in lines.splitlines():
            text = re.sub(rf"^{line.partition(' ')[0]} = .*\n", "", text, flags=re.MULTILINE)
        path.write_text(text, encoding="utf-8")
        rewrite(path, "[tool.pytest]\n", f"[tool.pytest]\n{lines}\n")
        ground.commit()

    return prepare


def beside(where: str, name: str, text: str) -> Callable[[Ground], None]:
    """A configuration or a conftest.py where pytest may look for one: `parent`, `workspace` or a folder of the repository."""

    def prepare(ground: Ground) -> None:
        ground.lose()
        folders = {"parent": ground.desk.workspace.parent, "workspace": ground.desk.workspace}
        (folders.get(where, ground.repository / where) / name).write_text(text, encoding="utf-8")
        ground.commit()

    return prepare


def swapped(name: str, old: str, new: str) -> Callable[[Ground], int]:
    """Replace a committed file once the run has been let in, and bring it back before it is looked at again."""

    def run(ground: Ground) -> int:
        path, kept = ground.repository / name, ground.desk.workspace.parent / "kept"
        other = ground.desk.workspace.parent / "other"
        shutil.copy(path, other)
        rewrite(other, old, new)
        command = ground.desk.command(*ground.desk.stage_arguments(TAG, "s0"), "-n", ground.workers)
        process = subprocess.Popen(
            command,
            cwd=ground.repository,
            env=clean_environment(ground.desk.workspace.parent),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        results = ground.desk.workspace / "gate_results"
        _wait_until(process, lambda: any(results.glob(".partial-*")))
        path.rename(kept)
        other.rename(path)
        _wait_until(
            process,
            lambda: any(
                "phase" in each.read_text(encoding="utf-8") for each in results.glob(".partial-*/evidence_stream.jsonl")
            ),
        )
        kept.rename(path)
        return process.wait()

    return run


def another_while_it_starts(ground: Ground) -> int:
    """A gate that is not committed, and a look at the tree that does not mind until it is read; then it is as committed again."""
    ground.gate.write_text(ground.gate.read_text(encoding="utf-8") + "# not committed\n", encoding="utf-8")
    path, read = ground.repository / "reports" / "criteria" / "codetree.py", ground.desk.workspace.parent / "read"
    kept = path.read_text(encoding="utf-8")
    blind = kept.replace("    return (*dirty, *hidden, *others, *links)", "    return ()")
    path.write_text(f"{blind}\n\nPath({str(read)!r}).touch()\n", encoding="utf-8")
    process = subprocess.Popen(
        ground.desk.command(*ground.desk.stage_arguments(TAG, "s0"), "-n", ground.workers),
        cwd=ground.repository,
        env=clean_environment(ground.desk.workspace.parent),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    _wait_until(process, read.exists)
    path.write_text(kept, encoding="utf-8")
    return process.wait()


def _wait_until(process: subprocess.Popen[bytes], reached: Callable[[], bool]) -> None:
    while process.poll() is None and not reached():
        time.sleep(0.005)


TREE: Final = (
    *(Attempt(f"{name} that the {where}'s excludes hide", hidden_by(where, name), allowed=REFUSED) for where in ("clone", "user") for name in ("gates/s0/notes.csv", "numpy/__init__.py", "tests/faults/more.txt")),
    Attempt("a clone that looks elsewhere", other_worktree, allowed=REFUSED),
    Attempt("a repository inside", nested, allowed=REFUSED),
    Attempt("a submodule", submodule, allowed=REFUSED),
    Attempt("a link in place of the stage", linked_stage, allowed=REFUSED),
    *(Attempt(f"pyproject.toml with {line}", configured(line), allowed=(*NOT_BACK, "REFUSED")) for line in LINES),
    *(Attempt(f"{name} in {where}", beside(where, name, text), allowed=(*NOT_BACK, "REFUSED")) for where, name, text in BESIDE),
    Attempt("a gate swapped while it runs", losing, run=swapped("gates/s0/test_tiny.py", "EDGE = -0.5", "EDGE = 0.5"), allowed=NOT_BACK),
    Attempt("a judge swapped while it runs", losing, run=swapped("reports/run/session.py", "self.evidence.holds", "True"), allowed=NOT_BACK),

    Attempt("a look at the tree that is another while it starts", nothing, run=another_while_it_starts, allowed=REFUSED),
    Attempt("assume-unchanged", assumed_unchanged, allowed=REFUSED),
    Attempt("skip-worktree", lambda ground: assumed_unchanged(ground, "--skip-worktree"), allowed=REFUSED),
    Attempt("a clean filter", filtered, allowed=REFUSED),
    Attempt("a committed link", linked_gate, allowed=REFUSED),
    Attempt("a replaced commit", replaced_commit, allowed=REFUSED),
    Attempt("an untracked conftest.py", untracked("gates/s0/conftest.py"), allowed=REFUSED),
    Attempt("an untracked plugin", untracked("sitecustomize.py"), allowed=REFUSED),
    Attempt("an untracked configuration", untracked("pytest.ini", "[pytest]\n"), allowed=REFUSED),
    Attempt("an ignored module", ignored("engines/evil.py"), allowed=REFUSED),
    Attempt("an ignored module at the top", ignored("sitecustomize.py"), allowed=REFUSED),
    Attempt("a committed conftest.py in the stage", committed_conftest, allowed=REFUSED),
    Attempt("a conftest.py beside the candidate", conftest_beside, allowed=REFUSED),
    Attempt("a conftest.py that denies its name", hidden_conftest, allowed=REFUSED),
    Attempt("a committed pytest.ini", settings_beside, allowed=REFUSED),
    Attempt("a dirty gate", lambda ground: ground.lose(), allowed=REFUSED),
    Attempt("a row without a test", row_without_test, allowed=NOT_BACK),
    Attempt("a loosened threshold", loosened, allowed=REFUSED),
)  # fmt: skip
