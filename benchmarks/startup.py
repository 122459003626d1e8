"""From the return key to the first gate: a rehearsal of s0, which measures nothing of the market, against pytest by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from benchmarks.frame import Row, Run, alternate, timed_row
from benchmarks.gate_suites import EmptySuite, gates

WORKERS: Final = ("0", "2", "8")
BUDGET_S: Final = 60.0


def measure(run: Run) -> Iterator[Row]:
    """One row a number of workers: an empty suite with the same imports, then one that imports nothing of ours."""
    for workers in WORKERS:
        options = ("-n", workers)
        empty = EmptySuite.like(run.folder / f"empty-{workers}", "s0", *options)
        bare = EmptySuite(run.folder / f"bare-{workers}")
        bare.folder.mkdir()
        for name in ("pyproject.toml", "test_empty.py"):
            (bare.folder / name).write_bytes((empty.folder / name).read_bytes())
        for peer, suite in (("empty suite, same imports", empty), ("empty suite, pytest alone", bare)):
            timing = alternate(
                lambda options=options: gates("s0", *options),
                lambda suite=suite, options=options: suite.run(*options),
                rounds=run.rounds,
                budget_s=BUDGET_S,
            )
            yield timed_row(
                f"pytest gates/s0 -n {workers}, untagged", run, peer, timing, relation="<=", workers=int(workers)
            )
