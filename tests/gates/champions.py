"""A champion in the record of a rehearsal: a promoted tag of the same family whose out-of-sample series is a changed one of the candidate's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from engines.digest import sha256_bytes
from engines.study import open_study
from engines.walk_forward import OutOfSample
from reports.pack.stored_returns import returns_csv, windows_csv
from tests.gates.harness import Rehearsed
from tests.reports.recorded_tag import record_stage

CHAMPION = "champion-1"
AFTER_THE_CHAMPION = 99
"""A registry position behind every row that a rehearsal and its champion write."""


def with_champion(change: Callable[[OutOfSample], OutOfSample]) -> Callable[[Rehearsed], None]:
    """A promoted tag of the candidate's family that earned `change(what the candidate earned)`."""

    def record(rehearsed: Rehearsed) -> None:
        session, workspace = rehearsed.session, rehearsed.workspace
        study = open_study(session.candidate, session.cache)
        series, frozen = change(study.walk_forward), session.freeze_path.read_bytes()
        files = {"returns.csv": returns_csv(series), "windows.csv": windows_csv(series, study.sealed.dates)}
        for stage in ("s3", "s4"):
            record_stage(
                workspace,
                CHAMPION,
                stage,
                family=session.candidate.family,
                freeze_sha256=sha256_bytes(frozen),
                files={"freeze.json": frozen, **files},
            )

    return record


def as_it_is(series: OutOfSample) -> OutOfSample:
    return series


def richer(series: OutOfSample) -> OutOfSample:
    """Ten basis points a day more."""
    return replace(series, gross=series.gross + 0.001)


def poorer(series: OutOfSample) -> OutOfSample:
    """Ten basis points a day less."""
    return replace(series, gross=series.gross - 0.001)


def unrelated(series: OutOfSample) -> OutOfSample:
    """The same days in another order."""
    order = np.random.default_rng(2).permutation(series.n_days)
    return replace(series, gross=(series.gross - series.cost)[order] + series.cost)


def with_touched_champion(rehearsed: Rehearsed) -> None:
    """One byte of the champion's stored returns is another."""
    with_champion(unrelated)(rehearsed)
    (pack,) = (
        path.parent for path in Path(rehearsed.workspace.gate_results).glob("production_gates_2026*/returns.csv")
    )
    data = (pack / "returns.csv").read_bytes()
    (pack / "returns.csv").write_bytes(data.replace(b"1", b"2", 1))
