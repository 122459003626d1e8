"""The numbers behind what a committee looks at: curves thinned to weeks, windows with intervals, cost curve, exposure, universe by month.

Thinning never hides the worst: a drawdown is the deepest of its week. Nothing here decides anything; gates measure for themselves on every day.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.costs import TRADING_DAYS_PER_YEAR
from engines.statistics.bootstrap import stationary_bootstrap_interval
from engines.statistics.drawdown import drawdowns
from engines.statistics.inference import alpha_beta, newey_west_tstat_of_mean
from engines.statistics.sharpe import sharpe_ratio
from engines.walk_forward import OutOfSample

if TYPE_CHECKING:
    from engines.universe import Universe

MAX_WEEKS = 600
CURVE_STEP = 0.1
LARGEST_CURVE_MULTIPLIER = 5.0
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Growth:
    """What one unit of capital became. P points, each the last date of a week (of a month when there are more than 600 weeks); K multipliers.

    A day without a book counts as 0.
    """

    dates: NDArray[np.datetime64]  # (P,)
    gross: NDArray[np.float64]  # (P,) prod(1 + gross return) - 1
    net: NDArray[np.float64]  # (K, P) the same of the net return
    market: NDArray[np.float64]  # (P,) the same of the market
    drawdown: NDArray[np.float64]  # (K, P) <= 0, the deepest since the point before
    sharpe: NDArray[np.float64]  # (K,) annualised, of the judged return
    deepest: tuple[Drawdown, ...]  # (K,)


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The largest loss from a peak: depth <= 0, the date of the peak and that of the bottom ("" when it begins at the first day)."""

    depth: float
    peak: str
    bottom: str


def measure_growth(series: OutOfSample) -> Growth:
    """How did capital grow out of sample, gross and net of each multiplier, and how deep did it fall?"""
    ends = last_of_each_period(series.dates)
    starts = np.concatenate([[0], ends[:-1] + 1])
    nets = [np.nan_to_num(series.net_returns(multiplier)) for multiplier in series.multipliers]
    depths = [drawdowns(net) for net in nets]
    return Growth(
        dates=series.dates[ends],
        gross=_compounded(series.gross)[ends],
        net=np.array([_compounded(net)[ends] for net in nets]),
        market=_compounded(series.market)[ends],
        drawdown=np.array([np.minimum.reduceat(depth, starts) for depth in depths]),
        sharpe=np.array(
            [
                sharpe_ratio(series.judged_returns(multiplier), periods_per_year=TRADING_DAYS_PER_YEAR)
                for multiplier in series.multipliers
            ]
        ),
        deepest=tuple(_deepest(net, depth, series.dates) for net, depth in zip(nets, depths, strict=True)),
    )


def last_of_each_period(dates: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Which rows are the last of their week, or of their month when there are more than 600 weeks? `dates` (T,) in order; (P,) rows."""
    for unit in ("W", "M"):
        period = dates.astype(f"datetime64[{unit}]")
        rows = np.flatnonzero(np.append(period[1:] != period[:-1], True)) if dates.size else np.zeros(0, np.int64)
        if rows.size <= MAX_WEEKS:
            break
    return rows


def _compounded(returns: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.cumprod(1.0 + np.nan_to_num(returns)) - 1.0, dtype=np.float64)


def _deepest(net: NDArray[np.float64], depth: NDArray[np.float64], dates: NDArray[np.datetime64]) -> Drawdown:
    bottom = int(np.argmin(depth))
    wealth = np.concatenate([[1.0], np.cumprod(1.0 + net)])
    peak = int(np.argmax(wealth[: bottom + 1]))
    return Drawdown(float(depth[bottom]), str(dates[peak - 1]) if peak else "", str(dates[bottom]))


@dataclass(frozen=True, slots=True)
class WindowIC:
    """One test window's mean daily rank IC. low, high: between which it lies at 95 %; NaN where there are too few dates to say."""

    window: int
    shard: str
    first: str
    last: str
    mean: float
    low: float
    high: float
    n_dates: int


def window_ics(series: OutOfSample, seed: int) -> tuple[WindowIC, ...]:
    """In which windows did the signal rank the names, and how sure is that?

    Stationary bootstrap of the daily ICs of the window with blocks of the horizon, 1000 resamples, seeded.
    """
    found = []
    for number, window in enumerate(series.windows):
        days = series.window_of_day == number
        daily = series.daily_ic[days]
        observed = daily[np.isfinite(daily)]
        block = float(max(1, min(series.horizon_days, observed.size)))
        interval = stationary_bootstrap_interval(
            observed, "mean", block_length=block, n_resamples=RESAMPLES, seed=seed + number
        )
        dates = series.dates[days]
        mean = float(observed.mean()) if observed.size else math.nan
        low, high = interval.bounds()
        found.append(
            WindowIC(number, window.shard_id, str(dates[0]), str(dates[-1]), mean, low, high, int(observed.size))
        )
    return tuple(found)


def shard_t_grid(series: OutOfSample) -> NDArray[np.float64]:
    """Newey-West t of the mean daily net return of each shard at each multiplier, (shards, K): what s3.shard_net_t judges."""
    parts = [series.shard(name) for name in shard_names(series)]
    return np.array([[newey_west_tstat_of_mean(part.net_returns(m)) for m in series.multipliers] for part in parts])


def shard_names(series: OutOfSample) -> tuple[str, ...]:
    """The shards of the series in time order."""
    return tuple(dict.fromkeys(window.shard_id for window in series.windows))


@dataclass(frozen=True, slots=True)
class CostCurve:
    """Profit as a function of the cost multiplier. P points from 0 in steps of 0.1, up to past the break-even, at most to 5."""

    multipliers: NDArray[np.float64]  # (P,)
    annual_return: NDArray[np.float64]  # (P,) 252 x mean daily net return, decimal
    sharpe: NDArray[np.float64]  # (P,) annualised, of the judged return
    break_even: float  # multiplier at which the net profit is 0; NaN without a cost


def cost_curve(series: OutOfSample) -> CostCurve:
    """How much may costs be underestimated before the profit is gone?"""
    even = series.break_even_multiplier
    reach = max(2.5, 1.2 * even) if math.isfinite(even) else 2.5
    steps = np.arange(0, round(min(reach, LARGEST_CURVE_MULTIPLIER) / CURVE_STEP) + 1)
    multipliers = np.round(steps * CURVE_STEP, 10)
    gross, cost = float(np.nanmean(series.gross)), float(np.nanmean(series.cost))
    return CostCurve(
        multipliers=multipliers,
        annual_return=TRADING_DAYS_PER_YEAR * (gross - multipliers * cost),
        sharpe=np.array(
            [
                sharpe_ratio(series.judged_returns(multiplier), periods_per_year=TRADING_DAYS_PER_YEAR)
                for multiplier in multipliers.tolist()
            ]
        ),
        break_even=even,
    )


@dataclass(frozen=True, slots=True)
class WindowExposure:
    """One test window: slope of the judged return (multiplier 1) on the market, and two-way turnover a year as a multiple of capital."""

    window: int
    shard: str
    first: str
    last: str
    beta: float
    annual_turnover: float


def window_exposures(series: OutOfSample) -> tuple[WindowExposure, ...]:
    """How much of the market does the book hold in each window, and how much does it trade? NaN where a window has under 3 observed days."""
    judged = series.judged_returns(1.0)
    found = []
    for number, window in enumerate(series.windows):
        days = series.window_of_day == number
        both = np.isfinite(judged[days]) & np.isfinite(series.market[days])
        beta = alpha_beta(judged[days], series.market[days]).beta if both.sum() > 2 else math.nan
        turnover = TRADING_DAYS_PER_YEAR * float(np.nan_to_num(series.turnover[days]).mean())
        dates = series.dates[days]
        found.append(WindowExposure(number, window.shard_id, str(dates[0]), str(dates[-1]), beta, turnover))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class UniverseSize:
    """Names that could be traded at the end of each month, and how many each active rule rejected. P months."""

    dates: NDArray[np.datetime64]  # (P,)
    names: NDArray[np.int64]  # (P,)
    rejected: dict[str, NDArray[np.int64]]  # rule -> (P,); a name that breaks two rules counts under both


def universe_size(universe: Universe, dates: NDArray[np.datetime64], first_row: int = 0) -> UniverseSize:
    """How large was the universe, and what kept the others out? `dates` (T,), those of the universe's rows; months from `first_row` on."""
    months = dates.astype("datetime64[M]")
    ends = np.flatnonzero(np.append(months[1:] != months[:-1], True))
    ends = ends[ends >= first_row]
    return UniverseSize(
        dates=dates[ends],
        names=universe.mask[ends].sum(axis=1),
        rejected={rule: universe.rejected_by(rule)[ends].sum(axis=1) for rule in universe.active},
    )
