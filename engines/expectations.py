"""What should a book do once money is on it? Its out-of-sample figures, each with what resampling the record leaves open."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.costs import TRADING_DAYS_PER_YEAR
from engines.drift import resampled_days
from engines.risk import annual_volatility, capacity_ratio
from engines.statistics.drawdown import max_drawdown
from engines.statistics.sharpe import sharpe_ratio
from engines.walk_forward import OutOfSample

RESAMPLES: Final = 400
CAPACITY_RESAMPLES: Final = 50


@dataclass(frozen=True, slots=True)
class Expected:
    """A figure with the interval that 95 % of its resampled values lie in; NaN where it cannot be measured."""

    name: str
    value: float
    lower: float
    upper: float
    unit: str


def expectations(series: OutOfSample, seed: int) -> tuple[Expected, ...]:
    """IC, net return, volatility, Sharpe, drawdown, turnover, cost and capacity of the out-of-sample record at multiplier 1.

    Intervals: 2.5 % to 97.5 % of the figure over records of the same length resampled by the stationary bootstrap in blocks of a horizon. The
    drawdown is that of a single year, over resampled years, its value their median: a record of another length has another drawdown.

    Reference: Politis and Romano (1994), The Stationary Bootstrap, JASA 89.
    """
    days = resampled_days(series.n_days, series.n_days, RESAMPLES, series.horizon_days, seed)
    net, year = series.judged_returns(1.0), TRADING_DAYS_PER_YEAR
    years = net[resampled_days(series.n_days, year, RESAMPLES, series.horizon_days, seed)]
    depths = np.array([-max_drawdown(each) for each in years])
    ic = series.daily_ic
    return (
        _resampled("rank IC", _finite_mean, ic, days, "mean daily rank IC"),
        _resampled("net return", lambda r: year * float(r.mean()), net, days, "decimal a year"),
        _resampled("volatility", annual_volatility, net, days, "decimal a year"),
        _resampled("net Sharpe ratio", lambda r: sharpe_ratio(r, periods_per_year=year), net, days, "annualised"),
        Expected("drawdown of a year", float(np.median(depths)), *_central(depths), "share of capital"),
        _resampled(
            "turnover", lambda t: year * float(t.mean()), series.turnover, days, "times capital a year, two-way"
        ),
        _resampled("cost", lambda c: 1e4 * year * float(c.mean()), series.cost, days, "bp of capital a year"),
        _capacity(series, days),
    )


def _resampled(
    name: str,
    figure: Callable[[NDArray[np.float64]], float],
    daily: NDArray[np.float64],
    days: NDArray[np.int64],
    unit: str,
) -> Expected:
    return Expected(name, figure(daily), *_central(np.array([figure(daily[path]) for path in days])), unit)


def _capacity(series: OutOfSample, days: NDArray[np.int64]) -> Expected:
    """Capital at which the net Sharpe ratio halves, in multiples of the target."""
    daily = ("gross", "spread_cost", "impact_cost", "borrow_cost", "market")
    paths = [
        replace(series, **{name: getattr(series, name)[path] for name in daily}) for path in days[:CAPACITY_RESAMPLES]
    ]
    drawn = np.array([capacity_ratio(path) for path in paths])
    return Expected("capacity", capacity_ratio(series), *_central(drawn), "times the target capital")


def _finite_mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan


def _central(values: NDArray[np.float64]) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    lower, upper = np.quantile(known, (0.025, 0.975)) if known.size else (math.nan, math.nan)
    return float(lower), float(upper)
