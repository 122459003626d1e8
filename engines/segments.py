"""Is the edge one regime's? Out-of-sample ICs by market volatility, market trend and calendar, each known on the day."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.statistics.inference import student_t_of_mean
from engines.walk_forward import OutOfSample

VOLATILITY_DAYS = 63
TREND_DAYS = 126
SHORTEST_YEAR_DAYS = 126


@dataclass(frozen=True, slots=True)
class Segment:
    """The daily ICs of one regime. The t-statistic is over the dates of the non-overlapping grid that fall into it."""

    name: str
    mean_ic: float
    t: float
    n_days: int
    n_spaced: int


@dataclass(frozen=True, slots=True)
class Segments:
    """Every segment that has at least one IC, and what the gate asks of them."""

    segments: tuple[Segment, ...]

    @property
    def n_segments(self) -> int:
        """How many segments there are."""
        return len(self.segments)

    @property
    def positive_ratio(self) -> float:
        """Share of segments with a positive mean IC; NaN without a segment."""
        return sum(segment.mean_ic > 0.0 for segment in self.segments) / self.n_segments if self.segments else math.nan

    @property
    def worst(self) -> Segment | None:
        """The segment with the lowest t; None when no segment has one."""
        judged = [segment for segment in self.segments if math.isfinite(segment.t)]
        return min(judged, key=lambda segment: segment.t) if judged else None

    @property
    def worst_t(self) -> float:
        """The lowest t of any segment; NaN when no segment has one."""
        return self.worst.t if self.worst else math.nan

    @property
    def worst_name(self) -> str:
        """The name of the segment with the lowest t."""
        return self.worst.name if self.worst else "no segment has two non-overlapping dates"


def measure_segments(walk_forward: OutOfSample, market: NDArray[np.float64]) -> Segments:
    """Mean and t of the out-of-sample IC in each segment. `market` is the market's daily return over the whole panel, (T,).

    - volatility: the trailing 63-day standard deviation of the market's return is above its own expanding median ("high") or not ("low");
    - trend: the market's trailing 126-day compounded return is positive ("up") or not ("down");
    - calendar: years of the test dates; one with under 126 of them joins its neighbour.

    Row t uses nothing later than close t. A date without enough history is in neither regime.
    """
    members = {**volatility_regimes(market), **trend_regimes(market)}
    cut = {name: member[walk_forward.rows] for name, member in members.items()} | calendar_years(walk_forward.dates)
    ic = walk_forward.daily_ic
    measured = np.isfinite(ic)
    spaced = _spaced(measured, walk_forward.horizon_days)
    found = [
        _segment(name, ic, member & measured, member & spaced)
        for name, member in cut.items()
        if (member & measured).any()
    ]
    return Segments(tuple(found))


def volatility_regimes(market: NDArray[np.float64]) -> dict[str, NDArray[np.bool_]]:
    """Which dates were stormy by what was known then? Two (T,) masks."""
    volatility = np.full(market.size, np.nan)
    if market.size >= VOLATILITY_DAYS:
        windows = np.lib.stride_tricks.sliding_window_view(market, VOLATILITY_DAYS)
        volatility[VOLATILITY_DAYS - 1 :] = windows.std(axis=1, ddof=1)
    median = _expanding_median(volatility)
    return {"volatility high": volatility > median, "volatility low": volatility <= median}


def trend_regimes(market: NDArray[np.float64]) -> dict[str, NDArray[np.bool_]]:
    """Which dates followed half a year of rise? Two (T,) masks."""
    growth = np.full(market.size, np.nan)
    if market.size >= TREND_DAYS:
        growth[TREND_DAYS - 1 :] = np.lib.stride_tricks.sliding_window_view(np.log1p(market), TREND_DAYS).sum(axis=1)
    return {"trend up": growth > 0.0, "trend down": growth <= 0.0}


def calendar_years(dates: NDArray[np.datetime64]) -> dict[str, NDArray[np.bool_]]:
    """The years of the dates as masks; a year with under 126 dates joins the one after it, the last one the one before."""
    years = dates.astype("datetime64[Y]").astype(np.int64) + 1970
    groups: list[list[int]] = []
    size = 0
    for year, count in zip(*(part.tolist() for part in np.unique(years, return_counts=True)), strict=True):
        if groups and size < SHORTEST_YEAR_DAYS:
            groups[-1].append(year)
            size += count
        else:
            groups.append([year])
            size = count
    if len(groups) > 1 and size < SHORTEST_YEAR_DAYS:
        short = groups.pop()
        groups[-1] += short
    return {_years_name(group): np.isin(years, group) for group in groups}


def _years_name(years: list[int]) -> str:
    return f"year {years[0]}" if len(years) == 1 else f"years {years[0]}-{years[-1]}"


def _expanding_median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of the finite values up to and including each position; NaN before the first."""
    medians = np.full(values.size, np.nan)
    ordered: list[float] = []
    for position in np.flatnonzero(np.isfinite(values)).tolist():
        ordered.insert(int(np.searchsorted(ordered, values[position])), float(values[position]))
        middle = len(ordered) // 2
        medians[position] = ordered[middle] if len(ordered) % 2 else 0.5 * (ordered[middle - 1] + ordered[middle])
    return medians


def _spaced(measured: NDArray[np.bool_], horizon_days: int) -> NDArray[np.bool_]:
    """The non-overlapping grid: every h-th date from the first measured one, where measured."""
    grid = np.zeros(measured.size, dtype=bool)
    if measured.any():
        grid[int(np.argmax(measured)) :: horizon_days] = True
    return grid & measured


def _segment(name: str, ic: NDArray[np.float64], members: NDArray[np.bool_], spaced: NDArray[np.bool_]) -> Segment:
    n_spaced = int(spaced.sum())
    t = student_t_of_mean(ic[spaced]).t_stat if n_spaced > 1 else math.nan
    return Segment(name, float(ic[members].mean()), t, int(members.sum()), n_spaced)
