"""On a warm cache gates start without the libraries that read files: each costs a worker a large part of a second."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.gates.harness import REPOSITORY

HEAVY = ("pandas", "pandera", "pyarrow", "polars", "scipy.stats", "scipy.optimize", "arch", "statsmodels", "hypothesis")
RECORDER = """
import os, sys

def pytest_sessionfinish(session):
    with open(os.environ["IMPORTED"], "w") as file:
        file.write(" ".join(sys.modules))
"""


def test_gates_on_a_warm_cache_import_none_of_the_heavy_libraries(bench, tmp_path):
    bench.open_study()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "cache").symlink_to(bench.cache)
    (tmp_path / "recorder.py").write_text(RECORDER, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "STAGEGATE"))}
    environment |= {"PYTHONPATH": str(tmp_path), "IMPORTED": str(tmp_path / "imported")}
    options = ["--candidate", str(bench.honest), "--workspace", str(tmp_path), "-p", "recorder", "-q"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "gates/s2", "gates/s3", *options],
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    imported = (tmp_path / "imported").read_text(encoding="utf-8").split()
    assert "engines.study" in imported
    assert [name for name in HEAVY if name in imported] == []
