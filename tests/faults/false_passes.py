"""A hundred and more ways to a pass that is not deserved: does each end as refused, failed or incomplete, beside honest controls that pass?

    python -m tests.faults.false_passes [-n 0|2]

Each attempt is a run of its own on a small suite of gates, with a repository and a workspace of its own, through the same supervisor, plugin,
stream and verdict as any other run. Attempts that never reach a worker are made once, whatever -n.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.faults.campaign import conclude, in_scratch
from tests.faults.false_pass_attempts import ATTEMPTS, HONEST
from tests.faults.tiny_suite import Attempt, Campground


def campaign(folder: Path, workers: str, attempts: Sequence[Attempt]) -> tuple[int, list[str]]:
    """Make every attempt; returns how many ended as they must, and what went wrong with the others."""
    ground = Campground(folder, workers)
    ends: Counter[str] = Counter()
    problems = []
    for attempt in attempts:
        started = time.monotonic()
        outcome = ground.make(attempt)
        kind = "honest" if attempt.allowed == ("PASS",) else "attempt"
        ends[f"{kind} {outcome}"] += 1
        print(f"{outcome:<11} {time.monotonic() - started:5.1f} s  {kind}: {attempt.name}", flush=True)
        if outcome not in attempt.allowed:
            problems.append(f"{attempt.name}: ended as {outcome}, allowed {', '.join(attempt.allowed)}")
    ground.close()
    print(f"-n {workers}: " + ", ".join(f"{count} {end}" for end, count in sorted(ends.items())))
    return len(attempts) - len(problems), problems


def main(folder: Path) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-n", dest="workers", choices=("0", "2"), default="0", help="workers of each run (default 0)")
    parser.add_argument("-k", dest="part", default="", help="only attempts whose name holds this")
    asked = parser.parse_args()
    chosen = [attempt for attempt in (*HONEST, *ATTEMPTS) if asked.part in attempt.name]
    conclude(*campaign(folder, asked.workers, chosen))


if __name__ == "__main__":
    in_scratch(main)
