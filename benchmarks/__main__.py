"""Side-by-side timings against peers.

    python -m benchmarks [ic|backtest|...|all] --size small|large --json out.json [--allow-missing]

Each benchmark runs in a process of its own, on one compute thread. Exit status: 0 every bar met, 1 a bar not met, 2 something could not be measured.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.frame import SIZES, Run
from engines.errors import StageGateError

BENCHMARKS: Final[Mapping[str, str]] = {
    "ic": "benchmarks.ic",
    "backtest": "benchmarks.backtest",
    "load": "benchmarks.load",
    "validate": "benchmarks.validate",
    "memory": "benchmarks.memory",
    "scale": "benchmarks.scale",
    "startup": "benchmarks.startup",
    "stage": "benchmarks.stage",
    "batch": "benchmarks.batch",
}
"""Name -> the module that measures it, in the order of `all`."""

ONE_THREAD: Final = dict.fromkeys(
    (
        "NUMBA_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "POLARS_MAX_THREADS",
    ),
    "1",
)
PACKAGES: Final = (
    "numpy",
    "numba",
    "pandas",
    "polars",
    "pyarrow",
    "pandera",
    "alphalens-reloaded",
    "vectorbt",
    "bt",
    "pyqlib",
    "pytest",
    "pytest-xdist",
)
REPOSITORY: Final = Path(__file__).resolve().parents[1]
TIME_LIMIT_S: Final = 1200.0
INSIDE: Final = "STAGEGATE_BENCHMARK"
"""Set in the process that measures; names the file its rows go to."""

MET, UNMET, UNMEASURED = 0, 1, 2


def main(arguments: Sequence[str]) -> int:
    """Measure what the command line names, show the rows and write them."""
    options = _parsed(arguments)
    if INSIDE in os.environ:
        return _measure(options.work, options, Path(os.environ[INSIDE]))
    names = list(BENCHMARKS) if options.work == "all" else [options.work]
    report: dict[str, Any] = {"schema": 1, "machine": _machine(), "versions": _versions(), "rows": [], "errors": []}
    for name in names:
        _run_apart(name, options, report)
    report["machine"]["load_average_after"] = list(os.getloadavg())
    report["finished_utc"] = _now()
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if report["errors"]:
        return UNMEASURED
    return UNMET if any(row["met"] is False for row in report["rows"]) else MET


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("work", nargs="?", default="all", choices=[*BENCHMARKS, "all"])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--allow-missing", action="store_true", help="leave the rows of an absent peer unmeasured")
    return parser.parse_args(arguments)


def _run_apart(name: str, options: argparse.Namespace, report: dict[str, Any]) -> None:
    """Run one benchmark in a fresh process and take its rows into the report."""
    with tempfile.TemporaryDirectory(prefix="stagegate-bench-") as folder:
        rows = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "benchmarks", name, "--size", options.size]
        command += ["--allow-missing"] if options.allow_missing else []
        environment = os.environ | ONE_THREAD | {INSIDE: str(rows), "TMPDIR": folder}
        began = time.perf_counter()
        try:
            done = subprocess.run(
                command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True, timeout=TIME_LIMIT_S
            )
            failure = done.stderr.strip() if done.returncode else ""
        except subprocess.TimeoutExpired:
            failure = f"not done after {TIME_LIMIT_S:.0f} s"
        measured = json.loads(rows.read_text(encoding="utf-8")) if rows.exists() else []
        if not measured and not failure:
            failure = "no row was measured"
        report["rows"] += measured
        _show(name, measured, time.perf_counter() - began)
    if failure:
        report["errors"].append({"work": name, "error": failure})
        print(f"{name}: not measured\n{failure}", file=sys.stderr, flush=True)


def _measure(name: str, options: argparse.Namespace, rows_file: Path) -> int:
    """Inside the fresh process: measure, and write the rows as they come, so that what was measured before a failure is kept."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        run = Run(SIZES[options.size], Path(folder), allow_missing=options.allow_missing)
        try:
            for row in importlib.import_module(BENCHMARKS[name]).measure(run):
                rows.append(asdict(row))
                rows_file.write_text(json.dumps(rows, allow_nan=False), encoding="utf-8")
        except StageGateError as error:
            print(error, file=sys.stderr)
            return UNMEASURED
    return MET


def _show(name: str, rows: Sequence[Mapping[str, Any]], elapsed_s: float) -> None:
    print(f"\n{name} ({elapsed_s:.0f} s)")
    for row in rows:
        print(
            f"  {row['work']:<44} {row['size']:<6} {row['threads']} thr  {row['peer']:<34}"
            f" {_figure(row['ours_s'], ' s')} {_figure(row['peer_s'], ' s')} ratio {_figure(row['ratio'])}"
            f" +-{_figure(row['spread'])}  {_verdict(row)}"
        )
    sys.stdout.flush()


def _figure(value: float | None, unit: str = "") -> str:
    return f"{'-':>9}" if value is None else f"{value:>9.4g}{unit}"


def _verdict(row: Mapping[str, Any]) -> str:
    if row["bar"] is None:
        return ""
    return f"{row['relation']} {row['bar']:g} {'met' if row['met'] else 'NOT MET'}"


def _machine() -> dict[str, Any]:
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average_before": list(os.getloadavg()),
        "started_utc": _now(),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
