"""Thresholds and the evidence measured against them.

A threshold is a line of policy; evidence is a number that a gate measured, recorded before it is judged. Strictness is explicit in the
relation, and a value that is missing, NaN or infinite holds against nothing.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Self, cast

Relation = Literal[">", ">=", "<", "<=", "=="]
Level = Literal["hard", "diagnostic"]

HOLDS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
}


@dataclass(frozen=True, slots=True)
class Threshold:
    """One condition of a gate: `measured relation bound`, in `unit`.

    `scale` is the distance from the bound, in the same unit, that counts as one step of comfort; it makes the margins of different gates
    comparable and decides nothing.
    """

    id: str
    relation: Relation
    bound: float
    unit: str
    scale: float

    def holds(self, value: float | None) -> bool:
        """Whether `value` satisfies the condition; never for a value that is absent or not finite."""
        return value is not None and math.isfinite(value) and HOLDS[self.relation](value, self.bound)

    def margin(self, value: float | None) -> float | None:
        """Signed distance to the bound in `unit`, positive on the passing side; None for a value that is absent or not finite."""
        if value is None or not math.isfinite(value):
            return None
        if self.relation == "==":
            return 0.0 - abs(value - self.bound)
        return value - self.bound if self.relation in (">", ">=") else self.bound - value

    def is_looser_than(self, other: Threshold) -> bool:
        """Whether some value holds here that does not hold at `other` (same id and relation, another bound)."""
        if self.relation == "==":
            return self.bound != other.bound
        return self.bound < other.bound if self.relation in (">", ">=") else self.bound > other.bound


@dataclass(frozen=True, slots=True)
class Evidence:
    """A number measured for one threshold in one cell. `value` None or not finite means: not measured.

    interval: (lower, upper) within which the value lies at 95 %, in the threshold's unit, where one was measured; it decides nothing.
    """

    threshold: Threshold
    value: float | None
    n_obs: int | None
    note: str = ""
    interval: tuple[float, float] | None = None

    @property
    def holds(self) -> bool:
        return self.threshold.holds(self.value)

    @property
    def margin(self) -> float | None:
        return self.threshold.margin(self.value)

    @property
    def comfort(self) -> float:
        """Margin in steps of the threshold's scale: what makes two gates comparable. Minus infinity when nothing was measured."""
        margin = self.margin
        return -math.inf if margin is None else margin / self.threshold.scale

    def describe(self) -> str:
        """`measured -1.91, required >= -1.65, margin -0.26 (n = 252)`."""
        count = "" if self.n_obs is None else f" (n = {self.n_obs})"
        note = f": {self.note}" if self.note else ""
        required = f"required {self.threshold.relation} {self.threshold.bound:.6g}"
        if self.margin is None:
            return f"not measured, {required}{count}{note}"
        return f"measured {self.value:.6g}, {required}, margin {self.margin:+.4g}{count}{note}"

    def to_json(self) -> dict[str, Any]:
        """JSON-able form with built-in types only; a value that is not finite becomes null."""
        finite = self.value is not None and math.isfinite(self.value)
        return {
            "threshold": asdict(self.threshold),
            "value": self.value if finite else None,
            "n_obs": self.n_obs,
            "note": self.note or ("" if finite else "not a finite number"),
            "interval": None if self.interval is None else list(self.interval),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`. KeyError, TypeError or ValueError for what is none: a text or a list in the place of a number, say."""
        threshold, interval = record["threshold"], record["interval"]
        value, n_obs = record["value"], record["n_obs"]
        return cls(
            Threshold(
                _text(threshold["id"]),
                _relation(threshold["relation"]),
                _number(threshold["bound"]),
                _text(threshold["unit"]),
                _number(threshold["scale"]),
            ),
            None if value is None else _number(value),
            None if n_obs is None else whole_number(n_obs),
            _text(record["note"]),
            None if interval is None else (_number(interval[0]), _number(interval[1])),
        )


def _number(value: Any) -> float:
    """The number as it is: JSON's whole ones stay whole."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r:.60} is no number")
    if isinstance(value, int) and abs(value) > _LARGEST_WHOLE:
        raise ValueError(f"{str(value)[:60]} is beyond every measurement")
    return value


def whole_number(value: Any) -> int:
    """A whole number that was read from JSON. TypeError or ValueError for anything else, true and false among it."""
    if not isinstance(_number(value), int):
        raise TypeError(f"{value!r:.60} is no whole number")
    return int(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.60} is no text")
    return value


def _relation(value: Any) -> Relation:
    if _text(value) not in HOLDS:
        raise ValueError(f"{value!r:.60} is no relation")
    return cast("Relation", value)


_LARGEST_WHOLE: Final = 2**63
