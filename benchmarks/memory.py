"""What a panel takes: at its peak while it is built, and in eight workers that all use it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
import pyarrow.parquet as pq

from benchmarks.frame import Bar, Row, Run, figure_row
from benchmarks.gate_suites import gates, planted_candidate, started_gates
from benchmarks.market import draw_panel, write_candidate, write_prices

BUILD: Final = "peak private memory while a panel is built"
WORKERS: Final = "8 workers of pytest gates/s3, all processes, the panel read whole in each"
BUILD_BARS: Final = {"large": Bar("<=", 1.6)}
WORKER_BARS: Final = {"large": Bar("<=", 1.4)}
N_WORKERS: Final = 8
STEP_S: Final = 0.005
MEGABYTE: Final = 1 << 20

BUILDING: Final = """
import sys
from pathlib import Path
import pandas, pandera.pandas, pyarrow.parquet
import engines.panel_build
from engines.candidate import load_candidate
from engines.panel import load_panel
from engines.store import ArrayStore
candidate, store = load_candidate(Path(sys.argv[1])), ArrayStore(Path(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
load_panel(candidate, store)
"""

HOLDER: Final = '''\
"""A worker that has run its gates reads every page of the panel, says so, and stays until it may go."""

import dataclasses
import os
import time
from pathlib import Path

import numpy as np


def pytest_sessionfinish(session):
    config = session.config
    if not hasattr(config, "workerinput"):
        return
    from engines.study import open_study
    from reports.run.session import sessions_of

    opened = sessions_of(config)[0]
    panel = open_study(opened.candidate, opened.cache).sealed
    for field in dataclasses.fields(panel):
        values = getattr(panel, field.name)
        if isinstance(values, np.ndarray) and values.ndim == 2:
            np.max(values)
    folder = Path(os.environ["HELD"])
    (folder / config.workerinput["workerid"]).touch()
    while not (folder / "go").exists():
        time.sleep(0.05)
'''


def measure(run: Run) -> Iterator[Row]:
    """Build, then eight workers beside one."""
    panel = draw_panel(run.size)
    prices = run.folder / "prices.parquet"
    write_prices(panel, prices)
    candidate = write_candidate(run.folder / "candidate.toml", prices, panel)
    long_table_mb = pq.read_table(prices).nbytes / MEGABYTE
    peak_mb = _peak_of_build(candidate, run.folder / "cache")
    yield figure_row(
        BUILD,
        run,
        "the long table",
        peak_mb / long_table_mb,
        bar=BUILD_BARS.get(run.size.name),
        ours_mb=peak_mb,
        long_table_mb=long_table_mb,
    )
    planted = planted_candidate(run.folder, run.size)
    one, all_of_them = (_pss_mb(planted, run.folder, count) for count in (1, N_WORKERS))
    yield figure_row(
        WORKERS,
        run,
        "one worker",
        all_of_them / one,
        bar=WORKER_BARS.get(run.size.name),
        threads=N_WORKERS,
        eight_mb=all_of_them,
        one_mb=one,
    )


def _started(script: str, *arguments: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        raise subprocess.CalledProcessError(process.wait(), command[:2])
    return process


def _peak_of_build(candidate: Path, cache: Path) -> float:
    """The most memory of its own, MB, that the build adds to a process whose libraries are loaded; pages of the files it lays out are the system's to drop."""
    process = _started(BUILDING, candidate, cache)
    before = peak = _anonymous_bytes(process.pid)
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    while process.poll() is None:
        peak = max(peak, _anonymous_bytes(process.pid))
        time.sleep(STEP_S)
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, "the build")
    return (peak - before) / MEGABYTE


def _anonymous_bytes(pid: int) -> int:
    """Resident memory that no file backs; 0 of a process that has ended."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def _pss_mb(candidate: Path, folder: Path, count: int) -> float:
    """MB of a run of s3 on a warm cache with `count` workers when each has run its gates, every page divided among the processes that share it."""
    options = ("-n", str(count), "--candidate", str(candidate), "--workspace", str(folder))
    gates("s3", *options)
    (folder / "holder.py").write_text(HOLDER, encoding="utf-8")
    held = folder / f"held-{count}"
    held.mkdir()
    with started_gates("s3", "-p", "holder", *options, PYTHONPATH=str(folder), HELD=str(held)) as controller:
        while len(list(held.iterdir())) < count:
            if controller.poll() is not None:
                raise subprocess.CalledProcessError(controller.returncode, controller.args)
            time.sleep(STEP_S)
        tree = psutil.Process(controller.pid)
        living = [each for each in (tree, *tree.children(recursive=True)) if each.status() != psutil.STATUS_ZOMBIE]
        total = sum(each.memory_full_info().pss for each in living)
        (held / "go").touch()
    return total / MEGABYTE
