"""Rollback triggers: a figure of the book, a bound, and what is done when the bound is crossed.

A trigger is asked every day about the days so far. Before money goes on it, it must have stayed quiet on the out-of-sample record and
fire on a planted breach: one that does neither is an ornament.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from engines.monitoring import METRICS, Book, Metric, Reference, Returns
from reports.criteria.evidence import HOLDS

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
WindowDays = Annotated[int, Field(ge=5, le=756)]

PLANTED_DAYS: Final = 63
PLANTED_CRASH_SIGMAS: Final = 10.0
PLANTED_CRASH_WORST_DAYS: Final = 1.25
PLANTED_MULTIPLE: Final = 5.0
PLANTED_BETA: Final = 2.0
PLANTED_IC: Final = -0.2


def contradiction(metric: Metric, window_days: int | None, relation: str, *, bad: bool) -> str:
    """Why a condition on a metric makes no sense; empty when it does. bad: the condition says what is bad, else what is in order."""
    measure = METRICS[metric]
    if measure.rolling and window_days is None:
        return f"{metric} needs window_days"
    if not measure.rolling and window_days is not None:
        return f"{metric} looks at every day so far and takes no window_days"
    if (measure.bad_when == "low") is not ((relation in ("<", "<=")) is bad):
        return f"{metric} is bad when {measure.bad_when}: turn the relation"
    return ""


class Trigger(BaseModel):
    """One [[trigger]] of rollback_triggers.toml: breached on a day when `metric relation bound` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: Text
    metric: Metric
    window_days: WindowDays | None = None
    relation: Literal[">", ">=", "<", "<="]
    bound: float
    severity: Literal["hard", "soft"]
    action: Text

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        fault = contradiction(self.metric, self.window_days, self.relation, bad=True)
        if fault:
            raise ValueError(fault)
        return self

    @property
    def condition(self) -> str:
        """`rolling_net_sharpe (126 days) < -1.5`."""
        return condition_text(self.metric, self.window_days, self.relation, self.bound)


def condition_text(metric: Metric, window_days: int | None, relation: str, bound: float) -> str:
    """A condition as people read it."""
    window = f" ({window_days} days)" if window_days else ""
    return f"{metric}{window} {relation} {bound:g}"


@dataclass(frozen=True, slots=True)
class Reading:
    """A condition asked on every day of a book: how many days had a value, the last and the worst value, and on which days it held.

    first: position of the first day on which it held, None when it never did. last_breached: whether it holds as of the last value.
    """

    n_days: int
    last: float
    worst: float
    n_breaches: int
    first: int | None
    last_breached: bool

    @property
    def breached(self) -> bool:
        """Whether the condition held on any day."""
        return self.n_breaches > 0


def evaluate(trigger: Trigger, book: Book, reference: Reference) -> Reading | None:
    """On which days of `book` would the trigger have fired? None when the book lacks the trigger's input."""
    return read_condition(trigger.metric, trigger.window_days, trigger.relation, trigger.bound, book, reference)


def read_condition(
    metric: Metric, window_days: int | None, relation: str, bound: float, book: Book, reference: Reference
) -> Reading | None:
    """On which days of `book` does `metric relation bound` hold? None when the book lacks the metric's input; values are NaN without a day."""
    measure = METRICS[metric]
    if getattr(book, measure.needs) is None:
        return None
    values = measure.of(book, reference, window_days)
    known = np.flatnonzero(~np.isnan(values))
    if not known.size:
        return Reading(0, math.nan, math.nan, 0, None, False)
    holds: Callable[[Any, float], Any] = HOLDS[relation]
    held = known[holds(values[known], bound)]
    worst = values[known].min() if measure.bad_when == "low" else values[known].max()
    last = float(values[known[-1]])
    first = int(held[0]) if held.size else None
    return Reading(known.size, last, float(worst), held.size, first, bool(holds(last, bound)))


def planted_breach(book: Book, window_days: int = 0) -> Book:
    """`book` followed by what every sensible trigger must notice.

    In standard deviations s of its net returns: a day of -10 s (or 1.25 times the worst day, if that is more); then as many days as the
    longer of a quarter and the window at -1 s on average, +-1 s by turns; as many swinging between +3 s and -3 s; as many that earn twice the
    market. Throughout, costs and turnover are five times their mean, ICs -0.2, the gross exposure twice its largest and half of it
    on one side. Losses are cut at 99 % of capital.
    """
    sigma = float(book.net.std(ddof=1))
    days = max(PLANTED_DAYS, window_days)
    turns = np.where(np.arange(days) % 2, 1.0, -1.0)
    crash = -max(PLANTED_CRASH_SIGMAS * sigma, -PLANTED_CRASH_WORST_DAYS * float(book.net.min()))
    quiet = np.zeros(2 * days + 1)
    moves = sigma * turns if book.market is None else _moving(book.market, days)
    net = np.concatenate([[crash], sigma * (turns - 1.0), 3.0 * sigma * turns, PLANTED_BETA * moves])
    n_planted = net.size
    largest = PLANTED_BETA * float(np.nanmax(book.gross_exposure)) if book.gross_exposure is not None else 0.0
    planted = {
        "net": np.maximum(net, -0.99),
        "market": np.concatenate([quiet, moves]),
        "cost": _multiple(book.cost, n_planted),
        "turnover": _multiple(book.turnover, n_planted),
        "ic": np.full(n_planted, PLANTED_IC),
        "gross_exposure": np.full(n_planted, largest),
        "net_exposure": np.full(n_planted, 0.5 * largest),
    }
    parts: dict[str, Any] = {name: _followed(getattr(book, name), after) for name, after in planted.items()}
    dates = book.dates[-1] + np.arange(1, n_planted + 1)
    return replace(book, dates=np.concatenate([book.dates, dates]), **parts)


def _moving(market: Returns, days: int) -> Returns:
    """The market's first `days` days over again, and days of 1 % by turns where it never moved."""
    moves = np.resize(np.nan_to_num(market), days)
    return moves if moves.any() else np.where(np.arange(days) % 2, 0.01, -0.01)


def _multiple(series: Returns | None, n_days: int) -> Returns:
    return np.full(n_days, 0.0 if series is None else PLANTED_MULTIPLE * float(series.mean()))


def _followed(series: Returns | None, after: Returns) -> Returns | None:
    return None if series is None else np.concatenate([series, after])
