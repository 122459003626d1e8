"""50 processes append 20 rows each at once: is every acknowledged row there, in one whole chain?"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from pathlib import Path

from reports.record.registry import Registry
from tests.faults.campaign import conclude, in_scratch, spawn, wait_for
from tests.reports.sample_record import begin, fields


@dataclass(frozen=True, slots=True)
class Storm:
    """What came of a storm: rows acknowledged, seconds of each append (waiting included), and what was wrong."""

    acknowledged: int
    seconds: tuple[float, ...]
    problems: list[str]


def campaign(folder: Path, processes: int, appends: int) -> Storm:
    """Run the storm and compare what was acknowledged with what is there."""
    workspace = begin(folder / "desk")

    def write(number: int) -> None:
        signal.alarm(600)
        with (folder / f"acknowledged-{number}").open("w", buffering=1, encoding="utf-8") as told:
            for turn in range(appends):
                begun = time.perf_counter()
                row = Registry(workspace.root).claim(
                    fields(f"tag-{number}", run_id=f"run-{number}-{turn}", official=False)
                )
                told.write(f"{row.row_hash} {time.perf_counter() - begun}\n")

    children = [spawn(lambda number=number: write(number)) for number in range(processes)]
    statuses = [wait_for(child) for child in children]
    problems = [f"process {number} ended with {status}" for number, status in enumerate(statuses) if status]
    told = [
        line.split()
        for number in range(processes)
        for line in (folder / f"acknowledged-{number}").read_text().splitlines()
    ]
    there = {row.row_hash for row in Registry(workspace.root).rows()}
    problems += [f"acknowledged row {row_hash} is lost" for row_hash, _ in told if row_hash not in there]
    problems += [f"row {row_hash} was never acknowledged" for row_hash in there - {row_hash for row_hash, _ in told}]
    return Storm(len(told), tuple(sorted(float(seconds) for _, seconds in told)), problems)


def alone_seconds(folder: Path, rows: int) -> tuple[float, ...]:
    """Seconds of each append of a process that is alone, up to `rows` rows."""
    registry = Registry(begin(folder / "alone").root)
    taken = []
    for number in range(rows):
        begun = time.perf_counter()
        registry.claim(fields("tag", run_id=f"run-{number}", official=False))
        taken.append(time.perf_counter() - begun)
    return tuple(sorted(taken))


def _at_length(scratch: Path) -> None:
    alone = alone_seconds(scratch, 1000)
    print(f"alone, 1 to 1,000 rows: median {1e3 * alone[500]:.1f} ms, p99 {1e3 * alone[990]:.1f} ms")
    storm = campaign(scratch, processes=50, appends=20)
    waits = storm.seconds
    print(
        f"50 at once, waiting included: median {1e3 * waits[len(waits) // 2]:.0f} ms, "
        f"p99 {1e3 * waits[int(0.99 * len(waits))]:.0f} ms, longest {1e3 * waits[-1]:.0f} ms"
    )
    conclude(storm.acknowledged, storm.problems)


if __name__ == "__main__":
    in_scratch(_at_length)
