"""What is watched of a book with money on it: each figure as of each day, from what is known by then.

The same functions read the out-of-sample record, on which a trigger must stay quiet, and the live one. A figure that looks back over
`window_days` has no value (NaN) until there are as many days; one whose input the book lacks has none at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from engines.costs import TRADING_DAYS_PER_YEAR
from engines.drift import lost_edge_cusum, resampled_days
from engines.statistics.drawdown import drawdowns
from engines.walk_forward import OutOfSample

Returns = NDArray[np.float64]
Metric = Literal[
    "daily_loss",
    "drawdown",
    "rolling_mean_net",
    "rolling_net_sharpe",
    "rolling_volatility",
    "net_sharpe_p",
    "lost_edge",
    "rolling_ic",
    "turnover_ratio",
    "cost_ratio",
    "beta_abs",
    "gross_exposure",
    "net_exposure_abs",
]
SHARPE_RESAMPLES: Final = 2000
DAILY: Final = ("net", "market", "cost", "turnover", "ic", "gross_exposure", "net_exposure")


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """What a book did, day by day. D days; None where an input is not known.

    For a long-only candidate `net` is the return over the market, as everywhere a Sharpe ratio or a drawdown is judged.
    """

    dates: NDArray[np.datetime64]  # (D,)
    net: Returns  # (D,) net return, decimal of capital
    market: Returns | None = None  # (D,) the market's return
    cost: Returns | None = None  # (D,) cost of the day, decimal of capital
    turnover: Returns | None = None  # (D,) two-way, fraction of capital
    ic: Returns | None = None  # (D,) rank IC of the signal of that date; NaN where its label is not known yet
    gross_exposure: Returns | None = None  # (D,) sum of |weight| at the close; NaN where there is no list of positions
    net_exposure: Returns | None = None  # (D,) sum of weights

    @property
    def n_days(self) -> int:
        """D."""
        return int(self.net.size)

    def take(self, days: NDArray[np.int64]) -> Book:
        """The book made of these of its days, in this order: what a resampled stretch is."""
        parts: dict[str, Any] = {name: series[days] for name in DAILY if (series := getattr(self, name)) is not None}
        return replace(self, dates=self.dates[days], **parts)


def out_of_sample_book(series: OutOfSample) -> Book:
    """The out-of-sample record as a book, at cost multiplier 1. Exposures are those that the portfolio rule aims at, every day."""
    whole = np.ones(series.n_days)
    return Book(
        dates=series.dates,
        net=series.judged_returns(1.0),
        market=series.market,
        cost=series.cost,
        turnover=series.turnover,
        ic=series.daily_ic,
        gross_exposure=whole if series.long_only else 2.0 * whole,
        net_exposure=whole if series.long_only else 0.0 * whole,
    )


@dataclass(frozen=True, eq=False)
class Reference:
    """What a live book is held against: the out-of-sample book, the length of its resampling blocks, and the frozen seed."""

    book: Book
    horizon_days: int
    seed: int
    _sharpes: dict[int, Returns] = field(default_factory=dict, repr=False)

    @property
    def mean(self) -> float:
        """Mean daily net return out of sample, decimal."""
        return float(self.book.net.mean())

    @property
    def std(self) -> float:
        """Standard deviation (ddof 1) of the daily net return out of sample, decimal."""
        return float(self.book.net.std(ddof=1))

    @property
    def edge(self) -> float:
        """Daily Sharpe ratio out of sample; NaN without spread."""
        return self.mean / self.std if self.std > 0.0 else math.nan

    def sharpes(self, window_days: int) -> Returns:
        """Annualised Sharpe ratios of 2000 stretches of `window_days`, resampled in blocks of a horizon, sorted."""
        if window_days not in self._sharpes:
            days = resampled_days(self.book.n_days, window_days, SHARPE_RESAMPLES, self.horizon_days, self.seed)
            stretches = self.book.net[days]
            with np.errstate(divide="ignore", invalid="ignore"):
                ratios = stretches.mean(axis=1) / stretches.std(axis=1, ddof=1) * math.sqrt(TRADING_DAYS_PER_YEAR)
            self._sharpes[window_days] = np.sort(ratios[np.isfinite(ratios)])
        return self._sharpes[window_days]


def daily_loss(book: Book, _: Reference, __: int) -> Returns:
    """Loss of each day, as a positive share of capital; negative on a day of gains."""
    return -book.net


def drawdown(book: Book, _: Reference, __: int) -> Returns:
    """Distance below the highest wealth so far, the starting capital included: a share of capital, >= 0."""
    return np.abs(drawdowns(book.net))


def rolling_mean_net(book: Book, _: Reference, window_days: int) -> Returns:
    """Mean daily net return of the last `window_days` days, decimal a day."""
    return _rolling(book.net, window_days, _mean)


def rolling_volatility(book: Book, _: Reference, window_days: int) -> Returns:
    """Standard deviation (ddof 1) of the last `window_days` days times sqrt(252), decimal a year."""
    return _rolling(
        book.net, window_days, lambda windows: windows.std(axis=1, ddof=1) * math.sqrt(TRADING_DAYS_PER_YEAR)
    )


def rolling_net_sharpe(book: Book, reference: Reference, window_days: int) -> Returns:
    """Annualised Sharpe ratio of the last `window_days` days; NaN for returns that are all zero."""
    mean, volatility = (rolling(book, reference, window_days) for rolling in (rolling_mean_net, rolling_volatility))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(TRADING_DAYS_PER_YEAR * mean / volatility)


def net_sharpe_p(book: Book, reference: Reference, window_days: int) -> Returns:
    """How unusual is so low a Sharpe ratio while the edge lasts? Share of resampled out-of-sample stretches of `window_days` that were no better.

    (1 + #{resampled <= rolling}) / (1 + resamples), in (0, 1]. Asked every day: far more than 5 % of years have a day below 0.05.
    """
    rolling, resampled = rolling_net_sharpe(book, reference, window_days), reference.sharpes(window_days)
    share = (1.0 + np.searchsorted(resampled, rolling, side="right")) / (1.0 + resampled.size)
    return np.where(np.isnan(rolling), np.nan, share)


def lost_edge(book: Book, reference: Reference, _: int) -> Returns:
    """Evidence in nats that the mean fell from the out-of-sample one to zero, since the day it seems to have begun: `lost_edge_cusum`."""
    return lost_edge_cusum(book.net, reference.mean, reference.std)


def rolling_ic(book: Book, _: Reference, window_days: int) -> Returns:
    """Mean of the last `window_days` rank ICs that exist, as of the date of the last one."""
    ic = _known(book.ic)
    values = np.full(ic.size, np.nan)
    dated = np.flatnonzero(np.isfinite(ic))
    values[dated] = _rolling(ic[dated], window_days, _mean)
    return values


def turnover_ratio(book: Book, reference: Reference, window_days: int) -> Returns:
    """Mean turnover of the last `window_days` days over that out of sample."""
    return _over_reference(_known(book.turnover), _known(reference.book.turnover), window_days)


def cost_ratio(book: Book, reference: Reference, window_days: int) -> Returns:
    """Mean cost of the last `window_days` days over the modelled cost out of sample (multiplier 1): the multiplier that is being paid."""
    return _over_reference(_known(book.cost), _known(reference.book.cost), window_days)


def beta_abs(book: Book, _: Reference, window_days: int) -> Returns:
    """|cov(net, market) / var(market)| over the last `window_days` days; NaN for a market that did not move."""
    market = _known(book.market)
    values = np.full(book.n_days, np.nan)
    if book.n_days >= window_days:
        net, moves = sliding_window_view(book.net, window_days), sliding_window_view(market, window_days)
        centred = moves - moves.mean(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            values[window_days - 1 :] = np.abs((centred * net).sum(axis=1) / (centred**2).sum(axis=1))
    return values


def gross_exposure(book: Book, _: Reference, __: int) -> Returns:
    """Sum of |weights| at each close: 2 for a long-short book that is fully invested."""
    return _known(book.gross_exposure)


def net_exposure_abs(book: Book, _: Reference, __: int) -> Returns:
    """|sum of weights| at each close: 0 for a book that is as long as it is short."""
    return np.abs(_known(book.net_exposure))


@dataclass(frozen=True, slots=True)
class Measure:
    """How a metric is read: its values, the input that it needs besides net returns, which side is bad, and whether it looks back."""

    values: Callable[[Book, Reference, int], Returns]
    bad_when: Literal["high", "low"] = "high"
    needs: str = "net"
    rolling: bool = False

    def of(self, book: Book, reference: Reference, window_days: int | None) -> Returns:
        """The metric as of each day, (D,). ValueError when the book lacks its input."""
        return self.values(book, reference, window_days or 1)


METRICS: Final[dict[Metric, Measure]] = {
    "daily_loss": Measure(daily_loss),
    "drawdown": Measure(drawdown),
    "rolling_mean_net": Measure(rolling_mean_net, "low", rolling=True),
    "rolling_net_sharpe": Measure(rolling_net_sharpe, "low", rolling=True),
    "rolling_volatility": Measure(rolling_volatility, rolling=True),
    "net_sharpe_p": Measure(net_sharpe_p, "low", rolling=True),
    "lost_edge": Measure(lost_edge),
    "rolling_ic": Measure(rolling_ic, "low", "ic", rolling=True),
    "turnover_ratio": Measure(turnover_ratio, "high", "turnover", rolling=True),
    "cost_ratio": Measure(cost_ratio, "high", "cost", rolling=True),
    "beta_abs": Measure(beta_abs, "high", "market", rolling=True),
    "gross_exposure": Measure(gross_exposure, "high", "gross_exposure"),
    "net_exposure_abs": Measure(net_exposure_abs, "high", "net_exposure"),
}
"""Every figure that a watchlist or a rollback trigger can name."""


def _mean(windows: Returns) -> Returns:
    return np.asarray(windows.mean(axis=1))


def _rolling(series: Returns, window_days: int, figure: Callable[[Returns], Returns]) -> Returns:
    values = np.full(series.size, np.nan)
    if series.size >= window_days:
        values[window_days - 1 :] = figure(sliding_window_view(series, window_days))
    return values


def _over_reference(live: Returns, reference: Returns, window_days: int) -> Returns:
    usual = float(reference.mean())
    return _rolling(live, window_days, _mean) / usual if usual > 0.0 else np.full(live.size, np.nan)


def _known(series: Returns | None) -> Returns:
    if series is None:
        raise ValueError("the book lacks this input; ask Measure.needs first")
    return series
