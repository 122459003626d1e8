"""What a gate session runs on, and how a gate's evidence is recorded.

The supervisor (or a rehearsal) writes a run file; the environment variable STAGEGATE_RUN names it; the child and each of its workers read it.
A batch has one session a candidate, each named; a candidate by itself has one session without a name.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import pytest

from engines.candidate import Candidate
from reports.criteria.evidence import Evidence
from reports.criteria.freeze import Freeze, Places, parse_freeze
from reports.criteria.policy import POLICY_FILE, ExpectedCell, Policy, load_policy
from reports.record.durable import dump_json
from reports.record.errors import RecordError
from reports.record.workspace import Workspace
from reports.run.child import RUN_VARIABLE

EVIDENCE_PROPERTY: Final = "evidence"


@dataclass(frozen=True)
class GateSession:
    """One gate run of one candidate as its processes see it. `name` tells the candidates of a batch apart in node ids."""

    run_id: str
    stages: tuple[str, ...]
    places: Places
    cache: Path
    freeze_path: Path
    multipliers: tuple[float, ...]
    started_utc: str
    stream_path: Path
    rehearsal: bool
    name: str = ""

    def to_json(self) -> dict[str, Any]:
        """The session's entry in the run file."""
        return {
            "run_id": self.run_id,
            "stages": list(self.stages),
            "workspace": str(self.places.workspace.root),
            "repository": str(self.places.repository),
            "cache": str(self.cache),
            "freeze_path": str(self.freeze_path),
            "multipliers": list(self.multipliers),
            "started_utc": self.started_utc,
            "stream_path": str(self.stream_path),
            "rehearsal": self.rehearsal,
            "name": self.name,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        return cls(
            record["run_id"],
            tuple(record["stages"]),
            Places(Workspace(Path(record["workspace"])), Path(record["repository"])),
            Path(record["cache"]),
            Path(record["freeze_path"]),
            tuple(record["multipliers"]),
            record["started_utc"],
            Path(record["stream_path"]),
            record["rehearsal"],
            record["name"],
        )

    @cached_property
    def freeze(self) -> Freeze:
        return parse_freeze(self.freeze_path.read_bytes(), str(self.freeze_path))

    @cached_property
    def candidate(self) -> Candidate:
        return self.freeze.candidate(self.places)

    @cached_property
    def policy(self) -> Policy:
        return load_policy(self.places.repository / POLICY_FILE)

    def expected_of(self, stage: str) -> tuple[ExpectedCell, ...]:
        """The frozen cells of one stage at the multipliers that are judged."""
        return judged_cells(self.freeze, stage, self.multipliers)

    @cached_property
    def cell_by_node(self) -> dict[str, ExpectedCell]:
        """Every expected cell of this session's stages by its pytest node id in this run."""
        return {self.node_of(cell.node): cell for stage in self.stages for cell in self.expected_of(stage)}

    def node_of(self, frozen_node: str) -> str:
        """The node id of a frozen cell in this run: in a batch the candidate's name stands first in the brackets."""
        plain, bracket, parameters = frozen_node.partition("[")
        if not self.name:
            return frozen_node
        return f"{plain}[{self.name}-{parameters}" if bracket else f"{plain}[{self.name}]"


SESSIONS_KEY: Final = pytest.StashKey[tuple[GateSession, ...]]()


def run_file_bytes(sessions: Sequence[GateSession]) -> bytes:
    """The run file of these sessions."""
    return dump_json({"sessions": [session.to_json() for session in sessions]})


def sessions_named_by(environ: Mapping[str, str]) -> tuple[GateSession, ...]:
    """The sessions of the run file that the environment names, one a candidate; none outside a gate run."""
    if RUN_VARIABLE not in environ:
        return ()
    record = json.loads(Path(environ[RUN_VARIABLE]).read_text(encoding="utf-8"))
    return tuple(GateSession.from_json(entry) for entry in record["sessions"])


def sessions_of(config: pytest.Config) -> tuple[GateSession, ...]:
    """The sessions of this process; none where it runs no gates."""
    return config.stash.get(SESSIONS_KEY, ())


def judged_cells(freeze: Freeze, stage: str, multipliers: tuple[float, ...]) -> tuple[ExpectedCell, ...]:
    """The frozen cells of a stage, without those at a multiplier that this run does not judge."""
    return tuple(
        cell for cell in freeze.expected(stage) if cell.cost_multiplier is None or cell.cost_multiplier in multipliers
    )


@dataclass(frozen=True, slots=True)
class Judgement:
    """What `evidence(...)` returns: true when the threshold holds, when its gate decides nothing, or when its input was declared absent."""

    cell: ExpectedCell
    evidence: Evidence

    def __bool__(self) -> bool:
        return self.cell.level == "diagnostic" or bool(self.cell.absent) or self.evidence.holds

    def __repr__(self) -> str:
        where = "" if self.cell.id == "-" else f" [{self.cell.id}]"
        return f"{self.evidence.threshold.id}{where}: {self.evidence.describe()}"


@dataclass(frozen=True, slots=True)
class EvidenceRecorder:
    """The `evidence` fixture: records a measurement, then judges it."""

    cell: ExpectedCell
    record: Callable[[str, object], None]

    def __call__(
        self,
        threshold_id: str,
        value: float | None,
        *,
        n_obs: int | None = None,
        note: str = "",
        interval: tuple[float, float] | None = None,
    ) -> Judgement:
        """Record `value` for a threshold of this gate and judge it.

        value: the measurement in the threshold's unit; None, NaN or infinite: not measured, which never holds.
        n_obs: how many observations it rests on. note: one line for the report. interval: (lower, upper) at 95 %, shown beside it.
        Raises RecordError when the gate has no such threshold.
        """
        threshold = next((entry for entry in self.cell.thresholds if entry.id == threshold_id), None)
        if threshold is None:
            known = ", ".join(entry.id for entry in self.cell.thresholds)
            raise RecordError(
                f"gate {self.cell.gate} has no threshold {threshold_id}; it has {known}",
                where=POLICY_FILE,
                remedy="record one of these, or add the row",
            )
        count = None if n_obs is None else operator.index(n_obs)
        measured = None if self.cell.absent else _plain(value)
        entry = Evidence(threshold, measured, count, note or self._why_not(measured), _finite_pair(interval))
        if not self.cell.absent:
            self.record(EVIDENCE_PROPERTY, entry.to_json())
        return Judgement(self.cell, entry)

    def _why_not(self, value: float | None) -> str:
        missing = value is None or not math.isfinite(value)
        return (
            f"needs [data.reference] {self.cell.needs}, which the candidate does not declare"
            if missing and self.cell.needs
            else ""
        )


def _plain(value: float | None) -> float | None:
    """A built-in float: numpy scalars do not travel between workers."""
    return None if value is None else float(value)


def _finite_pair(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    """The interval as built-in floats; None when a bound is not finite: there is none then."""
    if interval is None or not (math.isfinite(interval[0]) and math.isfinite(interval[1])):
        return None
    return float(interval[0]), float(interval[1])
