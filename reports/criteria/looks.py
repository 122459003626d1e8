"""The budget of looks: how often was each out-of-sample window looked at before this run?

A look is a run that started, whatever became of it: s2 and s3 look at every walk-forward window of the file, s4 at the sealed one. All windows of one
kind share a count, for a run sees them together. Counted from registry rows alone, those before the run's own STARTED row, so that the count can be made
again when the registry has grown. Files are told apart by hash: a file that was renewed is another one, and looks at it are counted beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from engines.study import Study
from reports.criteria.freeze import Freeze
from reports.record.durable import dump_json
from reports.record.registry import Row

WindowKind = Literal["walk-forward", "sealed"]

LOOKING_STAGES: Final[dict[WindowKind, tuple[str, ...]]] = {"walk-forward": ("s2", "s3"), "sealed": ("s4",)}
KIND_OF_STAGE: Final[dict[str, WindowKind]] = {"s2": "walk-forward", "s3": "walk-forward", "s4": "sealed"}


@dataclass(frozen=True, slots=True)
class Looks:
    """Runs that looked at the windows of one kind before a run; each run once."""

    windows: WindowKind
    own: int  # by this tag: its earlier stages and unofficial runs
    family: int  # by other tags of its family, at this very file
    others: int  # by other families, at this very file
    family_elsewhere: int  # by the family, at files with another hash, whose dates may be the same

    @property
    def note(self) -> str:
        """One line for a report."""
        return (
            f"earlier looks at the {self.windows} window{'s' if self.windows == 'walk-forward' else ''}: {self.own} by this tag, "
            f"{self.family} by its family and {self.others} by other families in this file, "
            f"{self.family_elsewhere} by the family in other files"
        )


def looks(rows: Sequence[Row], freeze: Freeze, windows: WindowKind, stage: str) -> Looks:
    """Count the looks at the windows of a kind before the run of `stage` that the last STARTED row of this tag began, or that is about to start."""
    known = rows[: _own_start(rows, freeze.tag, stage)]
    family, data = freeze.record["candidate"]["config"]["family"], f"sha256:{freeze.record['data']['sha256']}"
    looked = [row for row in known if row["event"] == "STARTED" and row["stage"] in LOOKING_STAGES[windows]]
    foreign = [row for row in looked if row["decision_tag"] != freeze.tag]
    here = [row for row in foreign if row["data_sha256"] == data]
    by_family = sum(row["family"] == family for row in here)
    return Looks(
        windows,
        own=len(looked) - len(foreign),
        family=by_family,
        others=len(here) - by_family,
        family_elsewhere=sum(row["family"] == family for row in foreign) - by_family,
    )


def _own_start(rows: Sequence[Row], tag: str, stage: str) -> int:
    """How many rows stood before the tag's last start of the stage; all of them when it has not started, or has ended."""
    for position in reversed(range(len(rows))):
        row = rows[position]
        if (row["decision_tag"], row["stage"]) == (tag, stage):
            return position if row["event"] == "STARTED" else len(rows)
    return len(rows)


def looks_json(found: Looks, study: Study) -> bytes:
    """window_looks.json of a pack: the looks, and the literal dates of each window that was looked at."""
    return dump_json({"schema": 1, **asdict(found), "dates": _window_dates(found.windows, study)})


def _window_dates(windows: WindowKind, study: Study) -> list[dict[str, Any]]:
    dates = study.full.dates
    spans = (
        [window.test for window in study.windows]
        if windows == "walk-forward"
        else [(study.sealed.n_dates, study.full.n_dates)]
    )
    return [
        {"window": number, "first": str(dates[start]), "last": str(dates[stop - 1])}
        for number, (start, stop) in enumerate(spans)
    ]
