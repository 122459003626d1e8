"""gates/policy.toml: which gates are required, by which test, in which cells, with which thresholds.

The table is read strictly. From it and a candidate come the expected cells, which are frozen at S0: a later run is judged against exactly
that list, in that order.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from reports.criteria.evidence import Level, Relation, Threshold
from reports.record.errors import RecordError, RequestRefused

if TYPE_CHECKING:
    from engines.candidate import Candidate

ReferenceName = Literal["sector", "market_cap", "membership", "benchmark", "delistings"]
CellShape = Literal["-", "shard", "cost", "shard x cost"]
POLICY_FILE: Final = "gates/policy.toml"


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ThresholdRow(_Row):
    """One threshold as written. `preregistered_bound` replaces `bound` for a preregistered single variant that is its family's first tag."""

    id: str
    relation: Relation
    bound: float
    unit: str
    scale: float = Field(default=1.0, gt=0)
    preregistered_bound: float | None = None

    def resolve(self, *, first_trial: bool) -> Threshold:
        """The threshold that applies, before any override of the candidate."""
        bound = self.preregistered_bound if first_trial and self.preregistered_bound is not None else self.bound
        return Threshold(self.id, self.relation, bound, self.unit, self.scale)


class GateRow(_Row):
    """One gate as written: its key, its one test, the shape of its cells and its thresholds.

    needs: the reference input without which it cannot be measured. min_variants, min_numeric_parameters: how many variants, and how many
    numeric parameters of its signal, a candidate must declare for the gate to be asked at all.
    """

    key: str = Field(pattern=r"s[0-4]\.[a-z0-9_.]+")
    test: str
    cells: CellShape
    level: Level = "hard"
    needs: ReferenceName | None = None
    min_variants: int = Field(default=1, ge=1)
    min_numeric_parameters: int = Field(default=0, ge=0)
    thresholds: tuple[ThresholdRow, ...] = Field(min_length=1, strict=False)

    @property
    def stage(self) -> str:
        return self.key.partition(".")[0]

    @property
    def node(self) -> str:
        """The test's pytest node id without parameters."""
        return f"gates/{self.test}"

    def applies_to(self, candidate: Candidate) -> bool:
        """Whether the gate is asked of this candidate."""
        numeric = [
            value
            for value in candidate.signal.parameters.values()
            if isinstance(value, int | float) and not isinstance(value, bool) and value
        ]
        return len(candidate.variants()) >= self.min_variants and len(numeric) >= self.min_numeric_parameters

    @model_validator(mode="after")
    def _thresholds_belong(self) -> Self:
        for threshold in self.thresholds:
            if threshold.id != self.key and not threshold.id.startswith(f"{self.key}."):
                raise ValueError(f"threshold {threshold.id} does not belong to gate {self.key}")
        return self


class Policy(_Row):
    """The whole table, in its own order."""

    version: Literal[1] = Field(alias="schema")
    gate: tuple[GateRow, ...] = Field(min_length=1, strict=False)

    @model_validator(mode="after")
    def _unique(self) -> Self:
        for what, names in (
            ("gate", [row.key for row in self.gate]),
            ("test", [row.test for row in self.gate]),
            ("threshold", [threshold.id for row in self.gate for threshold in row.thresholds]),
        ):
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                raise ValueError(f"{what} {repeated[0]} stands twice")
        return self

    def row_of_test(self, node: str) -> GateRow | None:
        """The row whose test has this node id (parameters cut off)."""
        plain = node.partition("[")[0]
        return next((row for row in self.gate if row.node == plain), None)

    def threshold_rows(self) -> dict[str, ThresholdRow]:
        """Every threshold of the table by its id."""
        return {threshold.id: threshold for row in self.gate for threshold in row.thresholds}


@dataclass(frozen=True, slots=True)
class ExpectedCell:
    """One cell that a run must bring back: a gate, at a shard and a multiplier or at neither."""

    gate: str
    level: Level
    node: str
    shard: str | None
    cost_multiplier: float | None
    thresholds: tuple[Threshold, ...]
    needs: str | None
    absent: str

    @property
    def stage(self) -> str:
        return self.gate.partition(".")[0]

    @property
    def id(self) -> str:
        """`wf-2 x1.5`, `wf-2`, `x1.5` or `-`."""
        parts = [self.shard, None if self.cost_multiplier is None else f"x{self.cost_multiplier:g}"]
        return " ".join(part for part in parts if part) or "-"

    def to_json(self) -> dict[str, Any]:
        """JSON-able form, as the freeze keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        thresholds = tuple(Threshold(**threshold) for threshold in record["thresholds"])
        return cls(**{**record, "thresholds": thresholds})


def load_policy(path: Path) -> Policy:
    """Read the policy table; RecordError names the row and the key that is wrong."""
    try:
        return Policy.model_validate(tomllib.loads(path.read_bytes().decode()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecordError(
            f"the policy cannot be read: {error}", where=str(path), remedy="restore it from the repository"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RecordError(
            f"the policy is malformed at {place or 'the table'}: {first['msg']}", where=str(path), remedy="mend the row"
        ) from error


def loosened(policy: Policy, overrides: Mapping[str, float], *, first_trial: bool) -> tuple[str, ...]:
    """Every override of a candidate that names no threshold or is less strict than the policy, each as a sentence."""
    rows, faults = policy.threshold_rows(), []
    for name, bound in overrides.items():
        if name not in rows:
            faults.append(f"{name} is no threshold of the policy")
            continue
        ours = rows[name].resolve(first_trial=first_trial)
        if replace(ours, bound=bound).is_looser_than(ours):
            faults.append(
                f"{name} {ours.relation} {bound:g} is looser than the policy's {ours.relation} {ours.bound:g}"
            )
    return tuple(faults)


def cell_parameters(
    shape: CellShape, shards: Sequence[str], multipliers: Sequence[float]
) -> tuple[tuple[str | None, float | None], ...]:
    """The (shard, multiplier) pairs of a cell shape, shards outermost, in the order of the freeze."""
    by_shard: Sequence[str | None] = shards if "shard" in shape else (None,)
    by_cost: Sequence[float | None] = multipliers if "cost" in shape else (None,)
    return tuple((shard, multiplier) for shard in by_shard for multiplier in by_cost)


def parameter_id(shard: str | None, multiplier: float | None) -> str:
    """The bracketed part of a cell's pytest node id: `wf-2-x1.5`."""
    return "-".join(part for part in (shard, None if multiplier is None else f"x{multiplier:g}") if part)


def shard_names(count: int) -> tuple[str, ...]:
    """`wf-1` .. `wf-n`."""
    return tuple(f"wf-{number}" for number in range(1, count + 1))


def expected_cells(policy: Policy, candidate: Candidate, *, first_trial: bool) -> tuple[ExpectedCell, ...]:
    """Every cell of every stage that `candidate` must bring back, with thresholds resolved.

    `first_trial`: preregistered, a single variant and no earlier tag in the family. RequestRefused when an override loosens the policy.
    """
    faults = loosened(policy, candidate.policy, first_trial=first_trial)
    if faults:
        raise RequestRefused(
            "; ".join(faults),
            where="candidate.toml [policy]",
            remedy="tighten a threshold or leave it out; the policy cannot be loosened",
        )
    shards = shard_names(candidate.walk_forward.shards)
    cells = []
    for row in policy.gate:
        if not row.applies_to(candidate):
            continue
        thresholds = tuple(
            replace(threshold, bound=candidate.policy.get(threshold.id, threshold.bound))
            for threshold in (written.resolve(first_trial=first_trial) for written in row.thresholds)
        )
        absent = candidate.data.absent.get(row.needs, "") if row.needs else ""
        for shard, multiplier in cell_parameters(row.cells, shards, candidate.walk_forward.cost_multipliers):
            suffix = parameter_id(shard, multiplier)
            node = f"{row.node}[{suffix}]" if suffix else row.node
            cells.append(ExpectedCell(row.key, row.level, node, shard, multiplier, thresholds, row.needs, absent))
    return tuple(cells)
