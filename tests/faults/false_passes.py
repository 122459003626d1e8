"""Three hundred and more ways to a pass that is not deserved: does each end as refused, failed or incomplete, beside honest controls that pass?

    python -m tests.faults.false_passes [-n 0|2] [-k TEXT] [--part I/K]

Each attempt is a run of its own on a small suite of gates, with a repository and a workspace of its own, through the same supervisor, plugin,
stream and verdict as any other run. With -n 2 the attempts that never reach a worker, those that must be refused, are left out.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.faults.attempts.preparing import REFUSED
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


def _turn(text: str) -> tuple[int, int]:
    first, _, of = text.partition("/")
    return int(first) - 1, int(of)


def main(folder: Path) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-n", dest="workers", choices=("0", "2"), default="0", help="workers of each run (default 0)")
    parser.add_argument("-k", dest="part", default="", help="only attempts whose name holds this")
    parser.add_argument("--part", dest="turn", type=_turn, default=(0, 1), help="every K-th from the I-th: I/K")
    asked = parser.parse_args()
    made = [each for each in (*HONEST, *ATTEMPTS) if asked.workers == "0" or each.allowed != REFUSED]
    chosen = [attempt for attempt in made if asked.part in attempt.name][slice(asked.turn[0], None, asked.turn[1])]
    conclude(*campaign(folder, asked.workers, chosen))


if __name__ == "__main__":
    in_scratch(main)
