"""One oracle case: compute it, compare it, say what came of it."""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from engines.errors import StatisticsError
from tests.oracles.statistics_under_test import COMPUTED

DEFAULT_TOLERANCE = 1e-9
FIRST_FEW = re.compile(r"(?P<key>.+)_first(?P<count>\d+)")
WHOLE_BASIS_POINTS = ("temporary_bp", "realised_bp")
NOT_COMPUTED = "not computed"


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class CaseResult:
    case_id: str
    statistic: str
    expected: Any
    got: Any
    outcome: Outcome
    reason: str = ""

    def line(self) -> str:
        remark = f"  ({self.reason})" if self.reason else ""
        values = f"expected {_shown(self.expected)}  got {_shown(self.got)}"
        return f"{self.outcome.upper():7} {self.case_id} {self.statistic}  {values}{remark}"


def read_cases(path: Path) -> list[dict[str, Any]]:
    """Cases of an oracle file: an object with a list under `cases`."""
    document = json.loads(path.read_text(encoding="utf-8"))
    kind = document.get("tolerance_kind", "absolute")
    return [{"tolerance_kind": kind, **case} for case in document["cases"]]


def run_case(case: Mapping[str, Any]) -> CaseResult:
    """Compute one case and compare it.

    Skipped, by name: a statistic that is not computed, a keyword (a convention) or an expected figure of it that is not. Every other fault is a failure.
    """
    name, expected = case["statistic"], case["expected"]
    compute = COMPUTED.get(name)
    if compute is None:
        return CaseResult(case["id"], name, expected, None, Outcome.SKIPPED, f"{name} is not computed here")
    unknown = sorted(set(case["inputs"]) - set(inspect.signature(compute).parameters))
    if unknown:
        reason = f"{name} is not computed here with {', '.join(unknown)}"
        return CaseResult(case["id"], name, expected, None, Outcome.SKIPPED, reason)
    try:
        arguments = inspect.signature(compute).bind(**case["inputs"])
    except TypeError as mismatch:
        return CaseResult(case["id"], name, expected, None, Outcome.FAILED, f"keywords: {mismatch}")
    try:
        got: Any = compute(*arguments.args, **arguments.kwargs)
    except StatisticsError as refusal:
        got, reason = math.nan, f"refused: {refusal}"
    except (ValueError, TypeError, ArithmeticError, LookupError) as fault:
        return CaseResult(case["id"], name, expected, None, Outcome.FAILED, f"{type(fault).__name__}: {fault}")
    else:
        reason = ""
    chosen = _as_expected(got, expected)
    absent = [key for key, value in chosen.items() if value is NOT_COMPUTED] if isinstance(chosen, Mapping) else []
    stated = {key: value for key, value in expected.items() if key not in absent} if absent else expected
    fault = _difference(chosen, stated, case.get("tolerance", DEFAULT_TOLERANCE), case["tolerance_kind"])
    outcome = Outcome.FAILED if fault else Outcome.SKIPPED if absent else Outcome.PASSED
    missing = ", ".join(f"{name}.{key} is not computed here" for key in absent)
    return CaseResult(case["id"], name, expected, chosen, outcome, "; ".join(filter(None, (fault, missing, reason))))


def _as_expected(got: Any, expected: Any) -> Any:
    """The part of `got` that `expected` speaks of, under the same keys."""
    if isinstance(expected, Mapping):
        named = got if isinstance(got, Mapping) else dict.fromkeys(expected, got) if len(expected) == 1 else {}
        return {key: _value_under(named, key, expected[key]) for key in expected}
    return next(iter(got.values())) if isinstance(got, Mapping) else got


def _value_under(named: Mapping[str, Any], key: str, expected: Any) -> Any:
    """Value of one key; `x_first4` means the first four of x, and impact in whole basis points is rounded to them."""
    few = FIRST_FEW.fullmatch(key)
    if few and key not in named and few["key"] in named:
        return named[few["key"]][: int(few["count"])]
    value = named.get(key, NOT_COMPUTED)
    if (
        value is not NOT_COMPUTED
        and key in WHOLE_BASIS_POINTS
        and all(isinstance(item, int) for item in np.ravel(np.array(expected, dtype=object)))
    ):
        return np.round(value).tolist()
    return value


def _difference(got: Any, expected: Any, tolerance: Any, kind: str, where: str = "") -> str:
    """What differs by more than the tolerance, or an empty string."""
    if isinstance(expected, Mapping):
        per_key = tolerance if isinstance(tolerance, Mapping) else dict.fromkeys(expected, tolerance)
        faults = (
            _difference(got[key], value, per_key.get(key, DEFAULT_TOLERANCE), kind, key)
            for key, value in expected.items()
        )
        return "; ".join(filter(None, faults))
    if isinstance(expected, Sequence) and not isinstance(expected, str):
        if not isinstance(got, Sequence) or isinstance(got, str) or len(got) != len(expected):
            return f"{where or 'value'}: {len(expected)} entries expected, got {_shown(got)}"
        faults = (
            _difference(one, other, tolerance, kind, f"{where}[{index}]")
            for index, (one, other) in enumerate(zip(got, expected, strict=True))
        )
        return next(filter(None, faults), "")
    return _scalar_difference(got, expected, tolerance, kind, where)


def _scalar_difference(got: Any, expected: Any, tolerance: float, kind: str, where: str) -> str:
    place = where or "value"
    if isinstance(got, str | Sequence | Mapping) or got is None:
        return f"{place}: a number expected, got {_shown(got)}"
    found, wanted = float(got), math.nan if expected is None else float(expected)
    if math.isnan(wanted) or math.isinf(wanted):
        same = found == wanted or (math.isnan(found) and math.isnan(wanted))
        return "" if same else f"{place}: {wanted} expected, got {found}"
    if kind not in ("absolute", "relative"):
        return f"{place}: the tolerance kind {kind!r} is unknown"
    allowed = tolerance * abs(wanted) if kind == "relative" else tolerance
    return "" if abs(found - wanted) <= allowed else f"{place}: off by {abs(found - wanted):.3g}, allowed {allowed:.3g}"


def _shown(value: Any) -> str:
    """A value as text on one line, numbers to 10 digits, long lists cut."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str) or value is None:
        return str(value)
    if isinstance(value, Sequence):
        shown = [_shown(item) for item in value[:6]]
        return "[" + ", ".join(shown + (["..."] if len(value) > 6 else [])) + "]"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
