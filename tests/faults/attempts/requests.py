"""Attempts by the command line, the environment and the words of a request."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Final

from tests.end_to_end.desk import clean_environment, rewrite
from tests.faults.attempts.preparing import REFUSED, losing
from tests.faults.tiny_suite import TAG, Attempt, Ground

SELECTIONS: Final = (
    ("-k", "share"), ("-m", "fast"), ("--deselect", "gates/s0/test_tiny.py::test_edge"), ("--ignore", "gates/s0/test_tiny.py"), ("--ignore-glob=*tiny*",), ("--lf",), ("--nf",),
    ("--sw",), ("-x",), ("--maxfail=1",), ("--collect-only",), ("--setup-plan",), ("--setup-only",), ("-c", "/dev/null"), ("-o", "addopts=--collect-only"), ("-o", "testpaths=docs"),
    ("--noconftest",), ("-p", "no:reports.run.plugin"), ("-p", "no:json-report"), ("--assert=plain",), ("--runxfail",), ("--rootdir=/tmp",), ("--import-mode=importlib",),
    ("--continue-on-collection-errors",), ("--cost-multipliers", "1.0"), ("--cost-multipliers", "0,1.5,2.0"), ("--wf-shards", "1"), ("gates/s1",), ("--help",),
    ("--fixtures",), ("--json-report-file=/dev/null",), ("--decision-tag", "another"), ("-W", "ignore"), ("--confcutdir=/",), ("--unofficial=1",),
)  # fmt: skip
OPTIONS: Final = (
    ("-kshare",), ("-mfast",), ("-vk", "share"), ("-xv",), ("-n=2",), ("-n", "-1"), ("-n", "1.5"), ("-nfoo",), ("-n", "\uff12"), ("-n0", "--numprocesses=0"), ("-n", "9999"), ("-d",),
    ("--dist=no",), ("--dist", "loadgroup"), ("--tx", "popen"), ("--maxprocesses=1",), ("--max-worker-restart=0",), ("--maxschedchunk=1",), ("--looponfail",), ("--testrunuid=1",),
    ("-pevil",), ("-p", "evil"), ("-p", "no:cacheprovider"), ("--",), ("--", "-k", "share"), ("--collect",), ("--co",), ("--decision=x",), ("--pyargs", "gates"), ("--strict-markers",), ("--stepwise-skip",),
    ("--last-failed-no-failures=none",), ("--ff",), ("--cache-clear",), ("--basetemp=/tmp/x",), ("--pdb",), ("--trace",), ("--pdbcls=evil:Pdb",), ("--override-ini=python_functions=none",), ("-oaddopts=--co",),
    ("--debug",), ("--json-report-omit=tests",), ("--no-json-report",), ("--keep-duplicates",), ("--doctest-modules",), ("--junitxml=/dev/null",), ("--capture=no",), ("-s",), ("--markers",),
    ("--wf-shards=9",), ("--threads=0",), ("--cost-multipliers=nan,1.5,2.0",), ("--cost-multipliers=1.5,2.0,1.5",), ("--cost-multipliers=1.5,2.0,9",), ("--unofficial", "--unofficial=no"), ("--tb",),
    ("--supersedes", "attempt-0"), ("--root-cause", "code: x"), ("--owner", ""), ("--candidate",), ("--workspace", "/nowhere"), ("@arguments.txt",), ("gates/s0/",), ("gates/S1",), ("gates",), (".",), ("tests",),
)  # fmt: skip
"""Glued, abbreviated, doubled, after a double dash, from a file, of plugins, and values that are none."""

VARIABLES: Final = (
    ("PYTEST_ADDOPTS", "-k share"),
    ("PYTEST_PLUGINS", "evil"),
    ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1"),
    ("PYTHONPATH", "/tmp"),
    ("PYTHONOPTIMIZE", "1"),
    ("PYTHONSTARTUP", "/tmp/evil.py"),
    ("LD_PRELOAD", ""),
    ("PYTHONHOME", "/tmp"),
    ("LD_AUDIT", "/tmp/evil.so"),
    ("DYLD_INSERT_LIBRARIES", "/tmp/evil.dylib"),
    ("LD_LIBRARY_PATH", "/tmp"),
    ("DYLD_LIBRARY_PATH", "/tmp"),
    ("OPENSSL_CONF", "/tmp/evil.cnf"),
    ("OPENSSL_MODULES", "/tmp"),
    ("STAGEGATE_RUN", "/tmp/run.json"),
    ("PYTHONWARNINGS", "ignore"),
    ("PYTHONBREAKPOINT", "os._exit"),
    ("PYTHONUSERBASE", "/tmp/evil"),
    ("PYTHONPYCACHEPREFIX", "/tmp/evil"),
    ("PYTHONINSPECT", "1"),
    ("PYTHONCASEOK", "1"),
    ("PYTHONPLATLIBDIR", "evil"),
    ("PYTHONEXECUTABLE", "/tmp/evil"),
    ("PYTHONTRACEMALLOC", "1"),
    ("PYTHONDEBUG", "1"),
    ("PYTEST_DEBUG", "1"),
    ("PYTEST_XDIST_AUTO_NUM_WORKERS", "0"),
    ("PYTHONNOUSERSITE", ""),
)


GIT_VARIABLES: Final = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CEILING_DIRECTORIES",
    "GIT_OBJECT_DIRECTORY",
    "GIT_NAMESPACE",
)


def with_git(name: str) -> Callable[[Ground], int]:
    """A gate that is not committed, and a variable that makes git look at another, clean repository."""

    def run(ground: Ground) -> int:
        clean = ground.desk.workspace.parent / "clean"
        shutil.copytree(ground.repository, clean, symlinks=True)
        rewrite(ground.gate, "EDGE = -0.5", "EDGE = 0.5")
        inside = {"GIT_DIR": ".git", "GIT_INDEX_FILE": ".git/index", "GIT_OBJECT_DIRECTORY": ".git/objects"}
        value = str(clean / inside.get(name, ""))
        if name.startswith("GIT_CONFIG"):
            value = str(clean / "config")
            (clean / "config").write_text(
                f"[core]\n\tworktree = {clean}\n\texcludesFile = {clean / 'config'}\n", encoding="utf-8"
            )
        arguments = ground.desk.stage_arguments(TAG, "s0")
        return ground.warm.pytest(ground.desk, *arguments, variables={name: value}).status

    return run


def optimised(ground: Ground) -> int:
    """Really start python with -O, which removes every assert."""
    ground.desk.write_packet(TAG, "s0")
    command = [sys.executable, "-O", *ground.desk.command(*ground.desk.stage_arguments(TAG, "s0"))[1:]]
    environment = clean_environment(ground.desk.workspace.parent)
    return subprocess.run(command, cwd=ground.repository, env=environment, capture_output=True, check=False).returncode


def another_copy(ground: Ground) -> int:
    """Name the stage folder of another copy of the repository."""
    copy = ground.desk.workspace.parent / "copy"
    shutil.copytree(ground.repository / "gates", copy / "gates")
    ground.desk.write_packet(TAG, "s0")
    arguments = ground.desk.stage_arguments(TAG, "s0")[1:]
    return ground.warm.pytest(ground.desk, str(copy / "gates" / "s0"), *arguments).status


def node_id(ground: Ground) -> int:
    """Name the tests that pass one by one."""
    arguments = ground.desk.stage_arguments(TAG, "s0")[1:]
    return ground.warm.pytest(ground.desk, "gates/s0/test_tiny.py::test_level_and_share", *arguments).status


ASKED: Final = (
    *(Attempt(" ".join(options), losing, options=options, allowed=REFUSED) for options in SELECTIONS),
    *(Attempt(f"{name}={value}", losing, variables={name: value}, allowed=REFUSED) for name, value in VARIABLES),
    *(Attempt(" ".join(options), losing, options=options, allowed=REFUSED) for options in OPTIONS),
    *(Attempt(f"a dirty gate under {name}", losing, run=with_git(name), allowed=REFUSED) for name in GIT_VARIABLES),
    Attempt("--version", losing, options=("--version",), allowed=("NOTHING",)),  # pytest answers before it asks anybody
    Attempt("python -O", losing, run=optimised, allowed=REFUSED),
    Attempt("another directory's copy", losing, run=another_copy, allowed=REFUSED),
    Attempt("a node id", losing, run=node_id, allowed=REFUSED),
)
