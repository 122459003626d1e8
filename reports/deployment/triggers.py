"""Rollback triggers: a figure of the daily net returns, a bound, and what is done when the bound is crossed.

A trigger is asked every day about the returns so far. Before money goes on it, it must have stayed quiet on the out-of-sample returns and
fire on a planted breach: one that does neither is an ornament.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from engines.costs import TRADING_DAYS_PER_YEAR
from engines.statistics.drawdown import drawdowns
from reports.criteria.evidence import HOLDS

Returns = NDArray[np.float64]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]

PLANTED_DAYS: Final = 63
PLANTED_CRASH_SIGMAS: Final = 10.0
PLANTED_CRASH_WORST_DAYS: Final = 1.25


def daily_loss(returns: Returns, _: int) -> Returns:
    """Loss of each day, as a positive share of capital; negative on a day of gains."""
    return -returns


def drawdown(returns: Returns, _: int) -> Returns:
    """Distance below the highest wealth so far, the starting capital included: a share of capital, >= 0."""
    return -drawdowns(returns)


def rolling_mean_net(returns: Returns, window_days: int) -> Returns:
    """Mean daily net return of the last `window_days` days, decimal a day; NaN until there are as many."""
    return _rolling(returns, window_days, lambda windows: windows.mean(axis=1))


def rolling_volatility(returns: Returns, window_days: int) -> Returns:
    """Standard deviation (ddof 1) of the last `window_days` days times sqrt(252), decimal a year; NaN until there are as many."""
    return _rolling(
        returns, window_days, lambda windows: windows.std(axis=1, ddof=1) * math.sqrt(TRADING_DAYS_PER_YEAR)
    )


def rolling_net_sharpe(returns: Returns, window_days: int) -> Returns:
    """Annualised Sharpe ratio of the last `window_days` days; NaN until there are as many, and for returns that are all zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (
            TRADING_DAYS_PER_YEAR * rolling_mean_net(returns, window_days) / rolling_volatility(returns, window_days)
        )
    return np.asarray(ratio)


def _rolling(returns: Returns, window_days: int, figure: Callable[[Returns], Returns]) -> Returns:
    values = np.full(returns.size, np.nan)
    if returns.size >= window_days:
        values[window_days - 1 :] = figure(sliding_window_view(returns, window_days))
    return values


Metric = Literal["daily_loss", "drawdown", "rolling_mean_net", "rolling_net_sharpe", "rolling_volatility"]
METRICS: Final[dict[Metric, Callable[[Returns, int], Returns]]] = {
    "daily_loss": daily_loss,
    "drawdown": drawdown,
    "rolling_mean_net": rolling_mean_net,
    "rolling_net_sharpe": rolling_net_sharpe,
    "rolling_volatility": rolling_volatility,
}
"""Metric -> its value as of each day, from the daily net returns (decimal) up to that day."""

BAD_WHEN_LOW: Final = frozenset({"rolling_mean_net", "rolling_net_sharpe"})


class Trigger(BaseModel):
    """One [[trigger]] of rollback_triggers.toml: breached on a day when `metric relation bound` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: Text
    metric: Metric
    window_days: int | None = Field(default=None, ge=5, le=756)
    relation: Literal[">", ">=", "<", "<="]
    bound: float
    severity: Literal["hard", "soft"]
    action: Text

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        rolling = self.metric.startswith("rolling_")
        if rolling and self.window_days is None:
            raise ValueError(f"{self.metric} needs window_days")
        if not rolling and self.window_days is not None:
            raise ValueError(f"{self.metric} looks at every day so far and takes no window_days")
        if (self.metric in BAD_WHEN_LOW) is not (self.relation in ("<", "<=")):
            raise ValueError(
                f"{self.metric} is bad when {'low' if self.metric in BAD_WHEN_LOW else 'high'}: turn the relation"
            )
        return self


@dataclass(frozen=True, slots=True)
class Reading:
    """A trigger asked on every day of a series: how many days had a value, the worst one, and on how many days it was breached."""

    n_days: int
    worst: float
    n_breaches: int

    @property
    def breached(self) -> bool:
        """Whether the trigger fired on any day."""
        return self.n_breaches > 0


def evaluate(trigger: Trigger, returns: Returns) -> Reading:
    """On which days of `returns` (D,) would the trigger have fired? worst is NaN when no day has a value."""
    values = METRICS[trigger.metric](np.asarray(returns, dtype=np.float64), trigger.window_days or 1)
    known = values[~np.isnan(values)]
    if not known.size:
        return Reading(0, math.nan, 0)
    worst = known.min() if trigger.metric in BAD_WHEN_LOW else known.max()
    holds = HOLDS[trigger.relation]
    return Reading(known.size, float(worst), sum(holds(value, trigger.bound) for value in known.tolist()))


def planted_breach(returns: Returns, window_days: int = 0) -> Returns:
    """`returns` followed by what every sensible trigger must notice.

    In standard deviations s of `returns`: a day of -10 s (or 1.25 times the worst day, if that is more); then as many days as the longer of a
    quarter and the window at -1 s on average, +-1 s by turns; then as many swinging between +3 s and -3 s. Losses are cut at 99 % of capital.
    """
    sigma = float(returns.std(ddof=1))
    days = max(PLANTED_DAYS, window_days)
    turns = np.where(np.arange(days) % 2, 1.0, -1.0)
    crash = -max(PLANTED_CRASH_SIGMAS * sigma, -PLANTED_CRASH_WORST_DAYS * float(returns.min()))
    planted = np.concatenate([[crash], sigma * (turns - 1.0), 3.0 * sigma * turns])
    return np.concatenate([returns, np.maximum(planted, -0.99)])
