"""A hundred candidates over one panel in one run against one of them in a run of its own, both from a cold cache, untagged."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.frame import Bar, DisagreementError, Row, Run, Timing, seconds, timed_row
from benchmarks.gate_suites import Ended, gates, planted_candidate

CANDIDATES: Final = 100
BARS: Final = {"small": Bar("<=", 25.0, stretch=12.0)}
WORKERS: Final = "2"
ROUNDS: Final = 2
_ROW: Final = re.compile(r"(?m)^ *(?:s1\.)?(\S+\s+.*(?:passed|failed).*)$")


def measure(run: Run) -> Iterator[Row]:
    """One row. The first, middle and last candidate's tables must be those of their own runs."""
    files = _candidates(run)
    pattern = str(run.folder / "c*.toml")
    some = [files[0], files[len(files) // 2], files[-1]]
    alone = {path.stem: _rehearse(run, "--candidate", str(path)) for path in some}
    together: list[Ended] = []
    batch_s, one_s = [], []
    for number in range(ROUNDS):
        one_s.append(seconds(lambda number=number: _rehearse(run, "--candidate", str(some[number % len(some)]))))
        batch_s.append(seconds(lambda: together.append(_rehearse(run, "--candidates", pattern))))
    for name, ended in alone.items():
        _must_show_the_same(name, ended, together[-1])
    yield timed_row(
        f"pytest gates/s1, {CANDIDATES} candidates in one run, cold",
        run,
        "one candidate, cold",
        Timing(tuple(batch_s), tuple(one_s)),
        relation="<=",
        bar=BARS.get(run.size.name),
        workers=int(WORKERS),
        candidates=CANDIDATES,
    )


def _candidates(run: Run) -> list[Path]:
    """The planted candidate with a hundred lookbacks."""
    text = planted_candidate(run.folder, run.size).read_text(encoding="utf-8")
    (run.folder / "candidate.toml").unlink()
    files = []
    for lookback in np.linspace(60, 250, CANDIDATES).round().astype(int).tolist():
        number = len(files) + 1
        changed = re.sub(r"(?m)^name = .*$", f'name = "c{number:03d}"', text)
        changed = re.sub(r"lookback_days = \d+", f"lookback_days = {lookback}", changed)
        changed = re.sub(r"(?m)^grid = .*\n", "", changed)
        files.append(run.folder / f"c{number:03d}.toml")
        files[-1].write_text(changed, encoding="utf-8")
    return files


def _rehearse(run: Run, *options: str) -> Ended:
    """S1 in a workspace without a cache, `--tb` off: a hundred tracebacks are no part of the work."""
    shutil.rmtree(run.folder / "runs", ignore_errors=True)
    return gates("s1", "--tb=no", "-n", WORKERS, "--workspace", str(run.folder), *options)


def _must_show_the_same(name: str, alone: Ended, together: Ended) -> None:
    mine, theirs = _table(alone.output, " gates -", name), _table(together.output, f" gates of {name} -", name)
    if len(mine) < 10 or mine != theirs:
        raise DisagreementError(
            f"{name} has other figures in the batch than alone", where="benchmarks", remedy="compare the two tables"
        )


def _table(output: str, head: str, name: str) -> list[str]:
    """The rows of one candidate's table of gates."""
    begin = output.index(head)
    return _ROW.findall(output[begin : output.index(f"rehearsal of {name}:", begin)])
