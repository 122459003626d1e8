"""The trials of a family: every variant that was ever registered, with what it measured, at a recorded position of the registry.

A variant counts once a tag, whatever became of the tag. Its figures stand in trials.json of the tag's S1 pack; a tag that never got there counts with
figures unknown. Position: the freeze names the family's tags at its own start, so that a verdict can be recomputed after the family has grown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engines.statistics import effective_number_of_trials, sharpe_ratio, student_t_of_mean
from engines.study import Study
from reports.criteria.freeze import Freeze, read_freeze
from reports.record.durable import dump_json, load_json, read_regular
from reports.record.errors import RecordError
from reports.record.registry import Registry, Row
from reports.record.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Trial:
    """One registered variant. Figures are over the sealed panel, before any choice: None when they are not known.

    p_value: one-sided, of the non-overlapping rank IC. daily_sharpe: of the net return at multiplier 1, not annualised.
    """

    tag: str
    variant: str
    p_value: float | None
    daily_sharpe: float | None


@dataclass(frozen=True, slots=True)
class FamilyTrials:
    """Everything a family has tried as of a recorded registry position, this candidate's own variants included.

    own_p_value: one-sided p of the candidate's out-of-sample IC, which stands for its declared variant.
    """

    own_p_value: float
    own: tuple[Trial, ...]
    earlier: tuple[Trial, ...]
    registry_seq: int
    effective_own: float

    @property
    def n_trials(self) -> int:
        """N: every registered variant, whatever became of it."""
        return len(self.own) + len(self.earlier)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that the trials belong to, the earliest first."""
        return tuple(dict.fromkeys(trial.tag for trial in (*self.earlier, *self.own)))

    @property
    def p_values(self) -> tuple[float, ...]:
        """One p-value a trial, the candidate's own first. A trial whose figure is not known counts as 1: nothing speaks for it."""
        return (
            self.own_p_value,
            *(1.0 if trial.p_value is None else trial.p_value for trial in (*self.own[1:], *self.earlier)),
        )

    @property
    def other_sharpes(self) -> tuple[float, ...]:
        """Daily Sharpe ratios of the other trials, each distinct one once: a rerun of the same numbers says nothing new of their spread."""
        known = (trial.daily_sharpe for trial in (*self.own[1:], *self.earlier))
        return tuple(dict.fromkeys(sharpe for sharpe in known if sharpe is not None and math.isfinite(sharpe)))

    @property
    def note(self) -> str:
        """One line for a report."""
        return f"N = {self.n_trials} of tags {', '.join(self.tags)} at registry row {self.registry_seq}; own variants worth {self.effective_own:.2g}"


def family_trials(workspace: Workspace, freeze: Freeze, study: Study) -> FamilyTrials:
    """The trials of the candidate's family, at the registry position that its freeze recorded."""
    return FamilyTrials(
        own_p_value=student_t_of_mean(study.walk_forward.spaced_ic).p_one_sided,
        own=own_trials(freeze.tag, study),
        earlier=earlier_trials(workspace, freeze),
        registry_seq=int(freeze.record["history"]["registry_seq"]),
        effective_own=effective_variants(study),
    )


def effective_variants(study: Study) -> float:
    """How many independent trials the candidate's own variants are worth, from the correlation of their daily net returns."""
    returns = study.variant_returns()
    if returns.shape[1] == 1 or not (returns.std(axis=0) > 0).all():
        return float(returns.shape[1])
    return effective_number_of_trials(np.corrcoef(returns, rowvar=False))


def own_trials(tag: str, study: Study) -> tuple[Trial, ...]:
    """The trials that this tag registers, the declared variant first."""
    return tuple(
        Trial(
            tag,
            variant.label,
            _finite(student_t_of_mean(study.spaced_ic(variant)).p_one_sided),
            _finite(sharpe_ratio(study.judged_returns(variant, 1.0))),
        )
        for variant in study.variants
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def trials_json(trials: Sequence[Trial]) -> bytes:
    """trials.json of a pack."""
    return dump_json({"schema": 1, "trials": [asdict(trial) for trial in trials]})


def family_json(family: FamilyTrials) -> bytes:
    """family_trials.json of an s3 pack: N, its tags, the registry position, and every trial."""
    trials = [asdict(trial) for trial in (*family.own, *family.earlier)]
    head = {"schema": 1, "n_trials": family.n_trials, "tags": list(family.tags), "registry_seq": family.registry_seq}
    return dump_json({**head, "effective_own_variants": family.effective_own, "trials": trials})


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
