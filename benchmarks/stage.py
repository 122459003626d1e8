"""A stage on a warm cache against an empty suite with the same imports: what the gates cost beyond the start of pytest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from benchmarks.frame import Bar, Row, Run, alternate, timed_row
from benchmarks.gate_suites import EmptySuite, gates, planted_candidate

BARS: Final = {("s3", "large"): Bar("<=", 1.5, stretch=1.25)}
WORKERS: Final = "2"
BUDGET_S: Final = 120.0


def measure(run: Run) -> Iterator[Row]:
    """One row a stage that is rerun all day, untagged, on two workers."""
    candidate = planted_candidate(run.folder, run.size)
    for stage in ("s3", "s2", "s1"):
        options = ("-n", WORKERS, "--candidate", str(candidate), "--workspace", str(run.folder))
        empty = EmptySuite.like(run.folder / f"empty-{stage}", stage, *options)
        timing = alternate(
            lambda stage=stage, options=options: gates(stage, *options),
            lambda empty=empty: empty.run("-n", WORKERS),
            rounds=run.rounds,
            budget_s=BUDGET_S,
        )
        yield timed_row(
            f"pytest gates/{stage} -n {WORKERS}, untagged, warm",
            run,
            "empty suite, same imports",
            timing,
            relation="<=",
            bar=BARS.get((stage, run.size.name)),
            workers=int(WORKERS),
        )
