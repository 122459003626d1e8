"""python -m tests.oracles FILE.json [FILE.json ...]: run every case, print each, exit 1 when any failed."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from tests.oracles.comparison import Outcome, read_cases, run_case


def main(arguments: list[str]) -> int:
    if not arguments:
        print("usage: python -m tests.oracles FILE.json [FILE.json ...]", file=sys.stderr)
        return 2
    counts: Counter[Outcome] = Counter()
    for argument in arguments:
        for case in read_cases(Path(argument)):
            result = run_case(case)
            counts[result.outcome] += 1
            print(result.line())
    print(", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome))
    return 1 if counts[Outcome.FAILED] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
