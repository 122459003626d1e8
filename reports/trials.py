"""The trials of a family: every variant that was ever registered, with what it measured, at a recorded position of the registry.

A variant counts once a tag, whatever became of the tag. Its figures stand in trials.json of the tag's S1 pack; a tag that never got there counts with
figures unknown. Position: the freeze names the family's tags at its own start, so that a verdict can be recomputed after the family has grown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engines.statistics import sharpe_ratio, student_t_of_mean
from engines.study import Study
from reports.durable import dump_json, load_json, read_regular
from reports.errors import RecordError
from reports.freeze import Freeze, read_freeze
from reports.registry import Registry, Row
from reports.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Trial:
    """One registered variant. Figures are over the sealed panel, before any choice: None when they are not known.

    p_value: one-sided, of the non-overlapping rank IC. daily_sharpe: of the net return at multiplier 1, not annualised.
    """

    tag: str
    variant: str
    p_value: float | None
    daily_sharpe: float | None


def own_trials(tag: str, study: Study) -> tuple[Trial, ...]:
    """The trials that this tag registers, the declared variant first."""
    return tuple(
        Trial(
            tag,
            variant.label,
            student_t_of_mean(study.spaced_ic(variant)).p_one_sided,
            sharpe_ratio(study.backtest(variant).net_returns(1.0)),
        )
        for variant in study.variants
    )


def trials_json(trials: Sequence[Trial]) -> bytes:
    """trials.json of a pack."""
    return dump_json({"schema": 1, "trials": [asdict(trial) for trial in trials]})


def earlier_trials(workspace: Workspace, freeze: Freeze) -> tuple[Trial, ...]:
    """The trials of the family's tags that were in the registry when this tag was frozen, in their order."""
    rows = Registry(workspace.root).rows()[: freeze.record["history"]["registry_seq"]]
    return tuple(trial for tag in freeze.record["history"]["family_tags"] for trial in _trials_of(workspace, tag, rows))


def _trials_of(workspace: Workspace, tag: str, rows: Sequence[Row]) -> tuple[Trial, ...]:
    measured = [
        row for row in rows if row["decision_tag"] == tag and row["stage"] == "s1" and row["event"] == "FINISHED"
    ]
    for row in reversed(measured):
        path = (workspace.root / row["report"]).parent / "trials.json"
        if path.is_file():
            return tuple(_parse(entry, str(path)) for entry in load_json(read_regular(path), str(path))["trials"])
    try:
        labels = read_freeze(workspace, tag).variant_labels
    except RecordError:
        labels = ("unknown",)
    return tuple(Trial(tag, label, None, None) for label in labels)


def _parse(entry: Any, where: str) -> Trial:
    try:
        return Trial(**entry)
    except TypeError as error:
        raise RecordError(f"this is no trial: {error}", where=where, remedy="restore the pack from a backup") from error
