"""The gates of S1 to S3 asked of a study without a pytest run: the same test functions, the same policy, one process.

Left out, because a simulation has nothing for them to look at: data quality (the panel comes from no file), the truncation check and its control
(the score is honest by construction), s2.no_skips and s3.governance (there is no run and no record). Bootstrap intervals, which stand beside a
figure and decide nothing, are not computed.
"""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from unittest.mock import patch

from engines.statistics import BootstrapInterval
from engines.study import Study
from reports.criteria.policy import POLICY_FILE, ExpectedCell, Policy, expected_cells, load_policy
from reports.criteria.trials import FamilyTrials

REPOSITORY: Final = Path(__file__).resolve().parents[1]
NOT_ASKED: Final = ("s0.", "s1.dq.", "s1.no_lookahead", "s1.leak_control", "s2.no_skips", "s3.governance", "s4.")
STAGES: Final = ("s1", "s2", "s3")
FAMILY_GATES: Final = ("s1.ic_t", "s3.stat_gate_factor_pass", "s3.deflated_sharpe")
PASSED: Final = "none"
CHEAP_FIRST: Final = (
    "s1.ic_t",
    "s1.ic_positive_ratio",
    "s1.coverage",
    "s1.observations",
    "s1.cost_assumptions",
    "s1.ic_mean",
)
"""What is asked before the rest of its stage, so that noise is turned away at the least cost."""
INTERVAL: Final = "stationary_bootstrap_interval"
COSTLY_LAST: Final = ("s2.stress_bites", "s2.perturbation")

FamilyOf = Callable[[Study], FamilyTrials]


@cache
def policy() -> Policy:
    """The committed policy table."""
    return load_policy(REPOSITORY / POLICY_FILE)


@dataclass(slots=True)
class Recorder:
    """What a gate's `evidence` fixture is here: keeps each number. It is judged afterwards, so that no assert ends the measurement."""

    values: dict[str, float | None] = field(default_factory=dict)

    def __call__(self, threshold_id: str, value: float | None, **_: Any) -> bool:
        """Keep `value`; always true."""
        self.values[threshold_id] = None if value is None else float(value)
        return True


@dataclass(frozen=True, slots=True)
class Answer:
    """One cell's verdict and the numbers behind it, by threshold."""

    gate: str
    passed: bool
    values: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Road:
    """How far a candidate came: the cells asked, up to and including the first that failed."""

    answers: tuple[Answer, ...]

    @property
    def failed_gate(self) -> str | None:
        """The gate that turned the candidate away; None when none did."""
        last = self.answers[-1]
        return None if last.passed else last.gate

    @property
    def last_gate(self) -> str:
        """The same as text, "none" when no gate did."""
        return self.failed_gate or PASSED

    def passed_stage(self, stage: str) -> bool:
        """Whether every gate up to the end of `stage` passed."""
        return self.failed_gate is None or self.failed_gate[:2] > stage

    def value(self, threshold_id: str) -> float | None:
        """The first measured value of a threshold; None when it was not asked."""
        return next((a.values[threshold_id] for a in self.answers if threshold_id in a.values), None)


def hard_cells(
    study: Study, *, first_trial: bool, without: Sequence[str] = (), stages: Sequence[str] = STAGES
) -> list[ExpectedCell]:
    """The hard cells that a simulation can be asked, stage by stage, cheap ones first; `without` leaves out thresholds by id."""
    cells = [
        cell
        for cell in expected_cells(policy(), study.candidate, first_trial=first_trial)
        if cell.level == "hard"
        and cell.stage in stages
        and not cell.absent
        and not cell.gate.startswith(NOT_ASKED)
        and not _only(cell, without)
    ]
    return sorted(cells, key=lambda cell: (cell.stage, _turn(cell.gate)))


def _only(cell: ExpectedCell, without: Sequence[str]) -> bool:
    return all(threshold.id in without for threshold in cell.thresholds)


def _turn(gate: str) -> int:
    if gate in CHEAP_FIRST:
        return CHEAP_FIRST.index(gate) - len(CHEAP_FIRST)
    return 1 + COSTLY_LAST.index(gate) if gate in COSTLY_LAST else 0


def walk(
    study: Study,
    family: FamilyOf,
    seed: int,
    *,
    first_trial: bool,
    waived: Sequence[str] = (),
    stages: Sequence[str] = STAGES,
) -> Road:
    """Ask gate after gate and stop at the first failure. A threshold in `waived` is measured and does not count."""
    answers: list[Answer] = []
    for cell in hard_cells(study, first_trial=first_trial, without=waived, stages=stages):
        answers.append(ask(cell, study, family, seed, waived=waived))
        if not answers[-1].passed:
            break
    return Road(tuple(answers))


def first_failure_in_family(study: Study, family: FamilyOf, seed: int) -> str:
    """Which gate turns away a candidate once its family counts? "none" when none does.

    Asked of a candidate that passed S1 to S3 as a first trial: only the gates that look at the family, or are stricter for a later trial, can differ.
    """
    cells = [cell for cell in hard_cells(study, first_trial=False) if cell.gate in FAMILY_GATES]
    return next((cell.gate for cell in cells if not ask(cell, study, family, seed).passed), PASSED)


def ask(cell: ExpectedCell, study: Study, family: FamilyOf, seed: int, *, waived: Sequence[str] = ()) -> Answer:
    """Call the cell's test function with what conftest.py would hand it."""
    recorder = Recorder()
    fixtures = _fixtures(cell, study, family, seed, recorder)
    module, function = _test_function(cell.node)
    arguments = {name: fixtures[name]() for name in inspect.signature(function).parameters}
    with patch.object(module, INTERVAL, _no_interval, create=True):
        function(**arguments)
    held = all(
        threshold.id in waived or threshold.holds(recorder.values.get(threshold.id)) for threshold in cell.thresholds
    )
    return Answer(cell.gate, held, recorder.values)


def _fixtures(
    cell: ExpectedCell, study: Study, family: FamilyOf, seed: int, recorder: Recorder
) -> dict[str, Callable[[], Any]]:
    shard = cell.shard or ""
    return {
        "evidence": lambda: recorder,
        "seed": lambda: seed,
        "study": lambda: study,
        "candidate": lambda: study.candidate,
        "baseline": lambda: study.baseline,
        "walk_forward": lambda: study.walk_forward,
        "shard": lambda: shard,
        "cost_multiplier": lambda: cell.cost_multiplier,
        "shard_backtest": lambda: study.walk_forward.shard(shard),
        "shard_stress": lambda: study.shard_stress(shard),
        "segments": lambda: study.segments,
        "risk": lambda: study.risk,
        "stressed_walk_forward": lambda: study.stressed_walk_forward,
        "stressed_risk": lambda: study.stressed_risk,
        "family": lambda: family(study),
    }


def _no_interval(*_: Any, **__: Any) -> BootstrapInterval:
    return BootstrapInterval(math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, 0)


@cache
def _test_function(node: str) -> tuple[ModuleType, Callable[..., None]]:
    path, _, name = node.partition("[")[0].partition("::")
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    return module, getattr(module, name)
