"""Purged, embargoed walk-forward: which days choose, which days judge, and what the chosen variants earned out of sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.errors import CandidateError, StatisticsError
from engines.ic import non_overlapping

if TYPE_CHECKING:
    from engines.backtest import Backtest
    from engines.candidate import Candidate
    from engines.panel import Panel


@dataclass(frozen=True, slots=True)
class Window:
    """One choice and its judgement. Panel indices, half-open; the gap between train and test belongs to neither."""

    number: int  # from 0, in time order
    shard: int  # from 1
    train: tuple[int, int]
    test: tuple[int, int]

    @property
    def shard_id(self) -> str:
        """The shard's name in reports: wf-1, wf-2 ..."""
        return f"wf-{self.shard}"

    @property
    def gap_days(self) -> int:
        """Trading days between the last train date and the first test date that belong to neither."""
        return self.test[0] - self.train[1]


@dataclass(frozen=True, slots=True)
class WindowDates:
    """A window as a person checks it: literal dates, first and last inclusive, and the variant it chose."""

    number: int  # from 0, in time order
    shard: str  # wf-1, wf-2 ...
    variant: str
    train_first: str  # ISO dates
    train_last: str
    test_first: str
    test_last: str


@dataclass(frozen=True, slots=True)
class OutOfSample:
    """The chosen variants over their test windows: of the whole candidate, or of one shard. D days, W windows, K multipliers.

    A day on which no variant had a book yet is NaN throughout; its window then counts as not positive.
    """

    windows: tuple[Window, ...]
    chosen: tuple[str, ...]  # (W,) label of the variant each window chose
    rows: NDArray[np.int64]  # (D,) panel indices, in order
    dates: NDArray[np.datetime64]  # (D,)
    window_of_day: NDArray[np.int64]  # (D,) index into windows
    gross: NDArray[np.float64]  # (D,) decimal
    spread_cost: NDArray[np.float64]  # (D,) decimal, at multiplier 1
    impact_cost: NDArray[np.float64]  # (D,)
    borrow_cost: NDArray[np.float64]  # (D,)
    turnover: NDArray[np.float64]  # (D,) two-way fraction of capital
    market: NDArray[np.float64]  # (D,) the declared benchmark, or the equal-weight universe
    daily_ic: NDArray[
        np.float64
    ]  # (D,) gross rank IC; NaN where there is none, or its label ends after the sealed panel
    daily_net_ics: NDArray[np.float64]  # (K, D) rank IC against the net forward return
    multipliers: tuple[float, ...]
    horizon_days: int
    long_only: bool
    universe_note: str = ""

    @property
    def n_days(self) -> int:
        """How many out-of-sample days there are."""
        return int(self.rows.size)

    @property
    def n_windows(self) -> int:
        """How many test windows there are."""
        return len(self.windows)

    @property
    def cost(self) -> NDArray[np.float64]:
        """Cost of each day at multiplier 1, (D,) decimal."""
        return self.spread_cost + self.impact_cost + self.borrow_cost

    def net_returns(self, multiplier: float) -> NDArray[np.float64]:
        """Gross return minus `multiplier` times the cost, (D,) decimal."""
        return self.gross - multiplier * self.cost

    def net_returns_at_aum(self, aum_ratio: float, multiplier: float = 1.0) -> NDArray[np.float64]:
        """Net returns with `aum_ratio` times the target capital: impact grows with its square root, (D,) decimal."""
        cost: NDArray[np.float64] = self.spread_cost + self.impact_cost * np.sqrt(aum_ratio) + self.borrow_cost
        return self.gross - multiplier * cost

    def judged_returns(self, multiplier: float) -> NDArray[np.float64]:
        """What beta, drawdown and Sharpe are taken of: net returns, for a long-only candidate over the market, (D,) decimal."""
        net = self.net_returns(multiplier)
        judged: NDArray[np.float64] = net - self.market if self.long_only else net
        return judged

    @property
    def break_even_multiplier(self) -> float:
        """At which cost multiplier is the net profit zero? Mean gross return / mean cost; NaN without a cost."""
        mean_cost = float(self.cost.mean()) if self.n_days else float("nan")
        return float(self.gross.mean()) / mean_cost if mean_cost > 0.0 else float("nan")

    @property
    def ic(self) -> NDArray[np.float64]:
        """The daily gross rank ICs that exist, in order, (n,)."""
        return _observed(self.daily_ic)

    @property
    def spaced_ic(self) -> NDArray[np.float64]:
        """Gross rank ICs that share no label: every h-th date from the first one (the test windows adjoin each other), (n,)."""
        return non_overlapping(self.daily_ic, self.horizon_days)

    def net_ic(self, multiplier: float) -> NDArray[np.float64]:
        """The daily rank ICs against the net forward return that exist, in order, (n,). Raises StatisticsError like `daily_net_ic`."""
        return _observed(self.daily_net_ic(multiplier))

    def daily_net_ic(self, multiplier: float) -> NDArray[np.float64]:
        """Rank IC of each day against the net forward return, (D,). Raises StatisticsError for a multiplier that is not declared."""
        if multiplier not in self.multipliers:
            raise StatisticsError(
                f"no net IC at multiplier {multiplier}; there are {self.multipliers}",
                where="walk_forward.cost_multipliers",
                remedy="declare the multiplier in the candidate",
            )
        daily: NDArray[np.float64] = self.daily_net_ics[self.multipliers.index(multiplier)]
        return daily

    @property
    def window_ic(self) -> NDArray[np.float64]:
        """Mean daily gross IC over the test dates of each window, (W,)."""
        return self.window_means(self.daily_ic)

    def window_net_ic(self, multiplier: float) -> NDArray[np.float64]:
        """Mean daily net IC over the test dates of each window, (W,)."""
        return self.window_means(self.daily_net_ic(multiplier))

    def window_net_returns(self, multiplier: float) -> NDArray[np.float64]:
        """Mean daily net return of each window, (W,) decimal."""
        return self.window_means(self.net_returns(multiplier))

    def window_means(self, daily: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean of a daily series (D,) over each window, NaN left out, (W,); NaN for a window without a number."""
        finite = np.isfinite(daily)
        total = np.bincount(self.window_of_day[finite], weights=daily[finite], minlength=self.n_windows)
        count = np.bincount(self.window_of_day[finite], minlength=self.n_windows)
        means: NDArray[np.float64] = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
        return means

    def window_dates(self, calendar: NDArray[np.datetime64]) -> tuple[WindowDates, ...]:
        """Which dates trained and tested each window, and what did it choose? `calendar`: the dates of the panel, (T,)."""
        days = np.datetime_as_string(calendar, unit="D").tolist()
        return tuple(
            WindowDates(
                window.number,
                window.shard_id,
                variant,
                train_first=days[window.train[0]],
                train_last=days[window.train[1] - 1],
                test_first=days[window.test[0]],
                test_last=days[window.test[1] - 1],
            )
            for window, variant in zip(self.windows, self.chosen, strict=True)
        )

    @property
    def smallest_gap(self) -> int:
        """Fewest trading days between the last train date and the first test date of any window."""
        return min(window.gap_days for window in self.windows)

    def label_overlap(self, label_days: int) -> int:
        """How many training labels, which end `label_days` after their date, reach into the test of their window?"""
        return sum(max(0, window.train[1] - 1 + label_days - window.test[0] + 1) for window in self.windows)

    def shard(self, name: str) -> OutOfSample:
        """The part of the series that lies in the windows of one shard, "wf-1" ..."""
        kept = [k for k, window in enumerate(self.windows) if window.shard_id == name]
        if not kept:
            raise StatisticsError(
                f"there is no shard {name!r}", remedy=f"shards are wf-1 .. {self.windows[-1].shard_id}"
            )
        days = np.isin(self.window_of_day, kept)
        daily = (
            "rows",
            "dates",
            "gross",
            "spread_cost",
            "impact_cost",
            "borrow_cost",
            "turnover",
            "market",
            "daily_ic",
        )
        return replace(
            self,
            windows=tuple(self.windows[k] for k in kept),
            chosen=tuple(self.chosen[k] for k in kept),
            window_of_day=self.window_of_day[days] - kept[0],
            daily_net_ics=self.daily_net_ics[:, days],
            **{series: getattr(self, series)[days] for series in daily},
        )


@dataclass(frozen=True, slots=True)
class VariantRun:
    """One variant over the whole sealed panel: its book and its daily ICs."""

    label: str
    backtest: Backtest
    ic: NDArray[np.float64]  # (T,)
    net_ics: NDArray[np.float64]  # (K, T)


def out_of_sample(
    windows: tuple[Window, ...],
    runs: Sequence[VariantRun],
    panel: Panel,
    market: NDArray[np.float64],
    candidate: Candidate,
    universe_note: str = "",
) -> OutOfSample:
    """What did the variants chosen in training earn on the test dates that followed?

    `runs` holds the declared variant first; `market` is the market's daily return over the panel, (T,). Windows only cut the daily series of the
    whole-panel runs: no book is opened or closed at a window's edge.
    """
    choices = [choose_variant([run.backtest for run in runs], window.train) for window in windows]
    rows = np.concatenate([np.arange(*window.test) for window in windows])
    window_of_day = np.repeat(np.arange(len(windows)), [window.test[1] - window.test[0] for window in windows])
    chosen_of_day = np.asarray(choices)[window_of_day]

    def cut(series: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.stack(series)[chosen_of_day, ..., rows]

    def daily(name: str) -> NDArray[np.float64]:
        return cut([_on_calendar(getattr(run.backtest, name), panel.n_dates) for run in runs])

    return OutOfSample(
        windows=windows,
        chosen=tuple(runs[choice].label for choice in choices),
        rows=rows,
        dates=panel.dates[rows],
        window_of_day=window_of_day,
        gross=daily("gross"),
        spread_cost=daily("spread_cost"),
        impact_cost=daily("impact_cost"),
        borrow_cost=daily("borrow_cost"),
        turnover=daily("turnover"),
        market=market[rows],
        daily_ic=cut([run.ic for run in runs]),
        daily_net_ics=cut([run.net_ics for run in runs]).T,
        multipliers=tuple(candidate.walk_forward.cost_multipliers),
        horizon_days=candidate.portfolio.horizon_days,
        long_only=candidate.portfolio.short_fraction == 0.0,
        universe_note=universe_note,
    )


def plan_windows(first_rebalance: int, n_dates_before_holdout: int, candidate: Candidate) -> tuple[Window, ...]:
    """Which panel rows train and test each window? In time order.

    With g = max(horizon_days + execution_delay_days, embargo_days), the first test starts train_days + g after the first rebalance; tests of
    test_days tile what is left before the holdout, and a last one shorter than test_days / 2 joins its neighbour. The train of a window is the
    train_days dates that end g before its test, so no train label (signal at t, exit at t + delay + horizon) reaches a test date.
    Shards are contiguous groups of windows, the earlier ones taking what does not divide.

    Raises CandidateError, saying how many dates are missing, when there are fewer windows than shards.
    """
    spec = candidate.walk_forward
    gap_days = spec.gap_days(candidate.portfolio)
    first_test = first_rebalance + spec.train_days + gap_days
    bounds = _tile(first_test, n_dates_before_holdout, spec.test_days)
    if len(bounds) < spec.shards:
        raise _too_few_windows(len(bounds), first_test, n_dates_before_holdout, candidate)
    sizes = [len(part) for part in np.array_split(np.arange(len(bounds)), spec.shards)]
    shards = np.repeat(np.arange(1, spec.shards + 1), sizes).tolist()
    return tuple(
        Window(number, shard, train=(start - gap_days - spec.train_days, start - gap_days), test=(start, stop))
        for number, (shard, (start, stop)) in enumerate(zip(shards, bounds, strict=True))
    )


def choose_variant(backtests: Sequence[Backtest], train: tuple[int, int]) -> int:
    """Which variant had the highest mean net return (multiplier 1) over the train dates? Index; the first of equals.

    A variant is judged on the train dates it has returns for, and not chosen when it has none; 0 (the declared one) when none has any.
    """
    means = [_mean_net_return(backtest, train) for backtest in backtests]
    return int(np.argmax(np.where(np.isnan(means), -np.inf, means)))


def _mean_net_return(backtest: Backtest, span: tuple[int, int]) -> float:
    first, last = (max(0, row - backtest.start) for row in span)
    net = backtest.net_returns(1.0)[first:last]
    return float(net.mean()) if net.size else float("nan")


def _on_calendar(series: NDArray[np.float64], n_dates: int) -> NDArray[np.float64]:
    """The series on the panel's calendar, NaN before its first row, (T,)."""
    return np.concatenate([np.full(n_dates - series.size, np.nan), series]) if series.size else np.full(n_dates, np.nan)


def _observed(series: NDArray[np.float64]) -> NDArray[np.float64]:
    return series[np.isfinite(series)]


def _tile(first: int, stop: int, size: int) -> list[tuple[int, int]]:
    """Half-open stretches of `size` from `first` to `stop`; a remainder below size / 2 joins the last whole one, if there is one."""
    starts = list(range(first, stop, size))
    if starts and 2 * (stop - starts[-1]) < size:
        starts.pop()
    return list(zip(starts, [*starts[1:], stop], strict=True)) if starts else []


def _too_few_windows(n_windows: int, first_test: int, stop: int, candidate: Candidate) -> CandidateError:
    spec = candidate.walk_forward
    least = (spec.shards - 1) * spec.test_days + -(-spec.test_days // 2)
    missing = least - max(0, stop - first_test) if stop > first_test else least + first_test - stop
    return CandidateError(
        f"{n_windows} test windows for {spec.shards} shards: {max(0, stop - first_test)} dates are left to test before the holdout, "
        f"{least} are needed, {missing} more than the file has",
        where="walk_forward",
        remedy="use a longer file, fewer shards, or shorter test_days, train_days or holdout_days",
    )
