"""Attempts by the Python that runs: what starts with it, what was installed into it, bytecode that is not its source."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from importlib._bootstrap_external import _code_to_timestamp_pyc  # type: ignore[import-not-found]
from pathlib import Path
from typing import Final

from tests.end_to_end.desk import clean_environment, rewrite
from tests.faults.attempts.preparing import NOT_BACK, PASS, REFUSED, losing, nothing
from tests.faults.tiny_suite import TAG, Attempt, Ground

Spoil = Callable[[Path], None]
"""Changes the site-packages of an environment."""


def environment(folder: Path) -> Path:
    """An environment whose packages are links to ours, free to be spoiled; returns its site-packages."""
    ours = Path(sysconfig.get_path("purelib"))
    site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    site.mkdir(parents=True)
    for path in ours.iterdir():
        (site / path.name).symlink_to(path)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", folder)
    return site


def inside(spoil: Spoil) -> Callable[[Ground], int]:
    """Run s0 with the Python of a spoiled environment."""

    def run(ground: Ground) -> int:
        folder = ground.desk.workspace.parent / "environment"
        spoil(environment(folder))
        arguments = ground.desk.command(*ground.desk.stage_arguments(TAG, "s0"), "-n", ground.workers)[1:]
        command = [str(folder / "bin" / "python"), *arguments]
        variables = clean_environment(ground.desk.workspace.parent)
        return subprocess.run(
            command,
            cwd=ground.repository,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=600,
            check=False,
        ).returncode

    return run


def adding(name: str, text: str) -> Spoil:
    """A file more in site-packages."""
    return lambda site: (site / name).write_text(text, encoding="utf-8")


def installing(name: str, text: str, entry_points: str = "") -> Spoil:
    """A package of one file, installed by the book."""

    def spoil(site: Path) -> None:
        module, info = site / name, site / "winning-1.0.dist-info"
        module.write_text(text, encoding="utf-8")
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: winning\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
        digest = base64.urlsafe_b64encode(hashlib.sha256(module.read_bytes()).digest()).decode().rstrip("=")
        (info / "RECORD").write_text(f"{name},sha256={digest},{module.stat().st_size}\n", encoding="utf-8")

    return spoil


def editing(name: str) -> Spoil:
    """A package with a line more."""

    def spoil(site: Path) -> None:
        kept = (site / name).resolve()
        (site / name).unlink()
        shutil.copytree(kept, site / name)
        with (site / name / "__init__.py").open("a", encoding="utf-8") as file:
            file.write("\nEDITED = True\n")

    return spoil


def replacing_editable(site: Path) -> None:
    """An installation of this project that starts other code."""
    path = next(site.glob("__editable__*.pth"))
    path.unlink()
    path.write_text("import os\n", encoding="utf-8")


SPOILED: Final[dict[str, Spoil]] = {
    "a .pth file that runs code": adding("winning.pth", "import os; os.environ['WINNING'] = '1'\n"),
    "a .pth file that adds a folder": adding("winning.pth", "/tmp\n"),
    "a sitecustomize": adding("sitecustomize.py", "WINNING = True\n"),
    "an edited .pth file": replacing_editable,
    "a plugin": installing(
        "winning.py", "def pytest_runtest_call(item):\n    pass\n", "[pytest11]\nwinning = winning\n"
    ),
    "a package that starts with Python": installing("winning.pth", "import os; os.environ['WINNING'] = '1'\n"),
    "a package that customizes": installing("sitecustomize.py", "WINNING = True\n"),
    "an edited package": editing("filelock"),
    "an edited plugin": editing("pytest_metadata"),
}


def stale_gate(ground: Ground) -> None:
    """Bytecode of a winning gate beside the losing one, which has its size and its time."""
    ground.lose()
    ground.commit()
    before = ground.gate.stat()
    rewrite(ground.gate, "EDGE = -0.5", "EDGE = +0.5")
    os.utime(ground.gate, ns=(before.st_atime_ns, before.st_mtime_ns))
    collect = ["--collect-only", "--noconftest", "-c", os.devnull, "--rootdir", ".", "gates/s0/test_tiny.py"]
    subprocess.run(
        [sys.executable, "-m", "pytest", *collect],
        cwd=ground.repository,
        env=clean_environment(ground.repository),
        capture_output=True,
        check=True,
    )
    rewrite(ground.gate, "EDGE = +0.5", "EDGE = -0.5")
    os.utime(ground.gate, ns=(before.st_atime_ns, before.st_mtime_ns))


def stale_module(name: str, old: str, new: str) -> Callable[[Ground], None]:
    """Bytecode of ours that was compiled from another text, beside the source whose size and time it names."""

    def prepare(ground: Ground) -> None:
        losing(ground)
        path = ground.repository / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        cached = Path(importlib.util.cache_from_source(str(path)))
        cached.parent.mkdir(exist_ok=True)
        code = compile(text.replace(old, new), str(path), "exec")
        status = path.stat()
        cached.write_bytes(_code_to_timestamp_pyc(code, int(status.st_mtime), status.st_size))

    return prepare


HOLDS: Final = "return value is not None and math.isfinite(value) and HOLDS[self.relation](value, self.bound)"
ENVIRONMENTS: Final = (
    *(Attempt(f"environment: {name}", losing, run=inside(spoil), allowed=REFUSED) for name, spoil in SPOILED.items()),
    Attempt("bytecode of a winning gate", stale_gate, allowed=NOT_BACK),
    Attempt(
        "bytecode of a judge without bounds",
        stale_module("reports/criteria/evidence.py", HOLDS, "return True"),
        allowed=NOT_BACK,
    ),
    Attempt(
        "bytecode of a tree that is always clean",
        stale_module("reports/criteria/codetree.py", "    return (*dirty, *hidden, *others, *links)", "    return ()"),
        allowed=NOT_BACK,
    ),
)
HONEST_ENVIRONMENT: Final = Attempt(
    "a winner in an environment of its own", nothing, run=inside(lambda site: None), allowed=PASS
)
