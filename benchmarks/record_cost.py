"""What does the record cost? Wall time of the demonstration's S3 under a tag beside the same cells without one.

    python -m benchmarks.record_cost [--rounds 5] [-n 0] [--json FILE]

A clone of the committed tree takes the demonstration candidate through S0, S1 and S2. Then, in turn: `pytest gates/s3` as a rehearsal, and `pytest gates/s3
--decision-tag TAG` on a copy of the workspace as S2 left it. Both with the same -n, both with their cache warm: one round of each goes before those that
count, and what it leaves in the cache the workspace keeps. Medians; processor seconds, of all processes, stand beside wall seconds, because only these mean something on a machine that does other work.
Exit status: 0 when the difference of the medians is below the bar, else 1.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from fixtures.demo.tour import PACKETS, PROMOTED_TAG, SETTINGS, fill_sections

REPOSITORY: Final = Path(__file__).resolve().parents[1]
BAR_SECONDS: Final = 3.0
CANDIDATE: Final = "fixtures/demo/candidate.toml"


@dataclass(frozen=True, slots=True)
class Took:
    """One run: seconds by the clock, and of processors in all its processes."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Bench:
    """A clone, the workspace in which its tag has passed S2, and the number of workers."""

    folder: Path
    workers: str

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def passed(self) -> Path:
        return self.folder / "workspace"

    def prepare(self) -> None:
        """Clone, and take the candidate through S2."""
        subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(self.repository)], check=True)
        (self.passed / "docs" / "production_research").mkdir(parents=True)
        (self.passed / "stagegate.toml").write_text(SETTINGS, encoding="utf-8")
        scope = ("--candidate", CANDIDATE, "--owner", "bench")
        for stage in ("s0", "s1", "s2"):
            self.tagged(self.passed, stage, *(scope if stage == "s0" else ()))
        self.write_packet(self.passed, "s3")

    def write_packet(self, workspace: Path, stage: str) -> None:
        """Write what a person writes before a stage."""
        place = ("--workspace", str(workspace))
        self.run("-m", "reports.desk.cli", "packet", PROMOTED_TAG, stage, *place)
        path = workspace / "docs" / "production_research" / PROMOTED_TAG / f"{stage}.md"
        path.write_text(fill_sections(path.read_text(encoding="utf-8"), PACKETS[PROMOTED_TAG, stage]), encoding="utf-8")

    def tagged(self, workspace: Path, stage: str, *options: str) -> Took:
        """A recorded run of a stage; its packet is written first, if it is not there."""
        if not (workspace / "docs" / "production_research" / PROMOTED_TAG / f"{stage}.md").exists():
            self.write_packet(workspace, stage)
        place = ("--workspace", str(workspace))
        return self.pytest(stage, "--decision-tag", PROMOTED_TAG, *place, *options)

    def s3_tagged(self) -> Took:
        """S3 under the tag, on a copy of the workspace, which keeps of it what lies in its cache."""
        copy, cache = self.folder / "copy", Path("runs") / "cache"
        shutil.copytree(self.passed, copy)
        try:
            took = self.tagged(copy, "s3")
            shutil.rmtree(self.passed / cache)
            (copy / cache).rename(self.passed / cache)
        finally:
            shutil.rmtree(copy)
        return took

    def s3_untagged(self) -> Took:
        """The same cells as a rehearsal."""
        return self.pytest("s3", "--candidate", CANDIDATE)

    def pytest(self, stage: str, *options: str) -> Took:
        """pytest on a stage, timed."""
        return self.run("-m", "pytest", f"gates/{stage}", "-n", self.workers, *options)

    def run(self, *arguments: str) -> Took:
        """Run Python in the clone and time it; what it printed is shown when it fails."""
        began, spent = time.perf_counter(), _children_cpu_s()
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.repository,
            env={name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        took = Took(time.perf_counter() - began, _children_cpu_s() - spent)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}")
        return took


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(bench: Bench, rounds: int) -> dict[str, list[Took]]:
    """One warm round of each, then `rounds` of each in turn."""
    kinds = {"untagged": bench.s3_untagged, "tagged": bench.s3_tagged}
    took: dict[str, list[Took]] = {name: [] for name in kinds}
    for number in range(rounds + 1):
        for name, run in kinds.items():
            one = run()
            if number:
                took[name].append(one)
                print(
                    f"round {number} {name:<9} {one.wall_s:6.2f} s wall, {one.cpu_s:6.2f} s of processors", flush=True
                )
    return took


def main() -> int:
    """Measure, show the medians and say whether the bar is met."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.record_cost", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-n", dest="workers", default="0", help="workers of each run (default 0)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stagegate-bench-") as folder:
        bench = Bench(Path(folder), asked.workers)
        bench.prepare()
        before = os.getloadavg()
        took = measure(bench, asked.rounds)
    medians = {
        name: {field: statistics.median(getattr(one, field) for one in ones) for field in ("wall_s", "cpu_s")}
        for name, ones in took.items()
    }
    cost = {field: medians["tagged"][field] - medians["untagged"][field] for field in ("wall_s", "cpu_s")}
    met = cost["wall_s"] < BAR_SECONDS
    print(f"medians of {asked.rounds}, -n {asked.workers}, load {before[0]:.1f} on {os.cpu_count()} cores: {medians}")
    print(
        f"the record costs {cost['wall_s']:.2f} s wall (bar {BAR_SECONDS:g}: {'met' if met else 'NOT met'}), {cost['cpu_s']:.2f} s of processors"
    )
    if asked.json is not None:
        runs = {name: [asdict(one) for one in ones] for name, ones in took.items()}
        asked.json.write_text(
            json.dumps({"schema": 1, "cost": cost, "medians": medians, "runs": runs}), encoding="utf-8"
        )
    return not met


if __name__ == "__main__":
    sys.exit(main())
