"""What else one buys with the edge: market, size, sectors, drawdown, tails, concentration, and how much capital it carries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.costs import TRADING_DAYS_PER_YEAR
from engines.ic import rank_ic
from engines.statistics.drawdown import max_drawdown
from engines.statistics.inference import NORMAL_95, alpha_beta, newey_west_lags, newey_west_tstat
from engines.statistics.samples import is_constant
from engines.statistics.sharpe import sharpe_ratio
from engines.statistics.tail import cvar_rockafellar_uryasev
from engines.walk_forward import OutOfSample

if TYPE_CHECKING:
    from engines.backtest import Backtest
    from engines.panel import Panel

LARGEST_CAPACITY_RATIO = 1e6
MIN_NAMES_FOR_CORRELATION = 3
MIN_DAYS_FOR_BETA = 10


@dataclass(frozen=True, slots=True)
class Books:
    """The target books that were held out of sample, one row per rebalance: of the variant chosen in the window of that date."""

    weights: NDArray[np.float64]  # (R, N)
    previous: NDArray[np.float64]  # (R, N) the same variant's book one rebalance earlier; zeros for its first
    signal: NDArray[np.float64]  # (R, N)
    mask: NDArray[np.bool_]  # (R, N) the universe
    market_cap: NDArray[np.float64] | None  # (R, N)
    sector: NDArray[np.integer[Any]] | None  # (R, N) codes, -1 unknown
    participation: NDArray[np.float64]  # (K,) order / ADV of every trade; NaN without an ADV

    @classmethod
    def out_of_sample(
        cls,
        walk_forward: OutOfSample,
        backtests: Mapping[str, Backtest],
        signals: Mapping[str, NDArray[np.float64]],
        mask: NDArray[np.bool_],
        panel: Panel,
    ) -> Books:
        """Cut the whole-panel runs (by variant label) to the rebalances and trades of the windows in which each variant was chosen."""
        rows, weights, previous, signal, orders = [], [], [], [], []
        for label, window in zip(walk_forward.chosen, walk_forward.windows, strict=True):
            backtest = backtests[label]
            kept = _inside(backtest.rebalance_rows, window.test)
            rows.append(backtest.rebalance_rows[kept])
            weights.append(backtest.target_weights[kept])
            previous.append(np.vstack([np.zeros(panel.n_symbols), backtest.target_weights])[kept])
            signal.append(signals[label][backtest.rebalance_rows[kept]])
            orders.append(backtest.trade_participation[_inside(backtest.trade_row, window.test)])
        row = np.concatenate(rows)
        return cls(
            weights=np.concatenate(weights),
            previous=np.concatenate(previous),
            signal=np.concatenate(signal),
            mask=mask[row],
            market_cap=None if panel.market_cap is None else panel.market_cap[row],
            sector=None if panel.sector is None else panel.sector[row],
            participation=np.concatenate(orders),
        )


def _inside(rows: NDArray[np.int64], span: tuple[int, int]) -> NDArray[np.int64]:
    return np.flatnonzero((rows >= span[0]) & (rows < span[1]))


@dataclass(frozen=True, slots=True)
class Risk:
    """Risk figures out of sample at cost multiplier 1; for a long-only candidate returns are those over the market."""

    beta: float
    max_drawdown: float  # positive share of capital
    drawdown_in_volatilities: float
    cvar99_ratio: float
    turnover_overlap: float
    chance_overlap: float
    size_correlation: float | None  # None: no market caps declared
    industry_coverage: float | None  # None: no sectors declared
    hhi_times_names: float
    participation_median: float
    participation_p95: float
    capacity_ratio: float
    n_days: int
    n_rebalances: int
    n_trades: int
    beta_abs_interval: tuple[float, float]  # of abs(beta) at 95 %; NaN where it cannot be told


def measure_risk(walk_forward: OutOfSample, books: Books, long_fraction: float) -> Risk:
    """Every risk figure of the out-of-sample series and the books behind it; the functions below say what each is.

    Participation counts a trade without an ADV as infinitely large, so that unknown liquidity does not pass for plenty.
    """
    returns = walk_forward.judged_returns(1.0)
    drawdown = -max_drawdown(returns)
    orders = np.where(np.isfinite(books.participation), books.participation, np.inf)
    median, p95 = np.quantile(orders, (0.5, 0.95), method="higher") if orders.size else (math.nan, math.nan)
    return Risk(
        beta=alpha_beta(returns, walk_forward.market).beta,
        max_drawdown=drawdown,
        drawdown_in_volatilities=_ratio(drawdown, annual_volatility(returns)),
        cvar99_ratio=cvar99_to_gaussian(returns),
        turnover_overlap=turnover_overlap(books.weights, books.previous),
        chance_overlap=long_fraction,
        size_correlation=None
        if books.market_cap is None
        else size_correlation(books.signal, books.market_cap, books.mask),
        industry_coverage=None if books.sector is None else industry_coverage(books.weights, books.sector, books.mask),
        hhi_times_names=hhi_times_names(books.weights),
        participation_median=float(median),
        participation_p95=float(p95),
        capacity_ratio=capacity_ratio(walk_forward),
        n_days=walk_forward.n_days,
        n_rebalances=books.weights.shape[0],
        n_trades=int(orders.size),
        beta_abs_interval=beta_abs_interval(returns, walk_forward.market),
    )


def beta_abs_interval(returns: NDArray[np.float64], market: NDArray[np.float64]) -> tuple[float, float]:
    """Between which bounds does abs(beta) lie at 95 %? The slope's Newey-West interval with its sign taken off; NaN where there is no slope."""
    both = np.isfinite(returns) & np.isfinite(market)
    if both.sum() < MIN_DAYS_FOR_BETA or is_constant(market[both]):
        return math.nan, math.nan
    fit = newey_west_tstat(returns[both], market[both], newey_west_lags(int(both.sum())))
    slope, reach = float(fit.coefficients[0]), NORMAL_95 * float(fit.standard_errors[0])
    lower = max(0.0, abs(slope) - reach)
    return lower, abs(slope) + reach


def annual_volatility(returns: NDArray[np.float64]) -> float:
    """Standard deviation (ddof 1) of daily returns x sqrt(252); NaN for fewer than two."""
    return float(np.std(returns, ddof=1) * math.sqrt(TRADING_DAYS_PER_YEAR)) if returns.size > 1 else math.nan


def cvar99_to_gaussian(returns: NDArray[np.float64]) -> float:
    """How much worse are the worst 1 % of days than a normal distribution's? Mean loss beyond the 99 % quantile / the Gaussian one.

    The Gaussian has the sample's mean and standard deviation: its mean loss is -mean + sd phi(z) / 0.01, z the 1 % quantile. At 95 % the ratio
    cannot exceed 2.11 whatever the tail. NaN without spread.
    """
    from scipy.special import ndtri

    if returns.size < 2:
        return math.nan
    density = math.exp(-0.5 * float(ndtri(0.01)) ** 2) / math.sqrt(2.0 * math.pi)
    gaussian_loss = -float(np.mean(returns)) + float(np.std(returns, ddof=1)) * density / 0.01
    return _ratio(cvar_rockafellar_uryasev(returns, beta=0.99), gaussian_loss)


def turnover_overlap(weights: NDArray[np.float64], previous: NDArray[np.float64]) -> float:
    """What share of the top leg stays from one rebalance to the next? Mean over rebalances of |kept| / |held before|, in [0, 1].

    Rows without a long name before are left out; NaN when there are none. Chance level: long_fraction.
    """
    before = previous > 0.0
    held = before.sum(axis=1)
    kept = (before & (weights > 0.0)).sum(axis=1)
    return _mean_ratio(kept, held)


def size_correlation(signal: NDArray[np.float64], market_cap: NDArray[np.float64], mask: NDArray[np.bool_]) -> float:
    """Is the signal size in disguise? Mean over rebalances of the Spearman correlation of signal and market cap in the universe; NaN when undefined."""
    daily = rank_ic(signal, market_cap, mask, MIN_NAMES_FOR_CORRELATION)
    defined = daily[np.isfinite(daily)]
    return float(defined.mean()) if defined.size else math.nan


def industry_coverage(weights: NDArray[np.float64], sector: NDArray[np.integer[Any]], mask: NDArray[np.bool_]) -> float:
    """How many of the universe's sectors does the book hold? Mean over rebalances of sectors held / sectors in the universe; unknown sectors do not count."""
    codes = range(int(sector.max(initial=-1)) + 1)
    present = (
        np.stack([(mask & (sector == code)).any(axis=1) for code in codes])
        if codes
        else np.zeros((0, len(weights)), dtype=bool)
    )
    held = np.stack([((weights != 0.0) & (sector == code)).any(axis=1) for code in codes]) if codes else present
    return _mean_ratio((held & present).sum(axis=0), present.sum(axis=0))


def hhi_times_names(weights: NDArray[np.float64]) -> float:
    """How concentrated is the book? Mean over rebalances of the Herfindahl index of |weights| scaled to sum 1, times names held: 1 when all are equal."""
    size = np.abs(weights)
    total = size.sum(axis=1)
    held = total > 0.0
    if not held.any():
        return math.nan
    shares = size[held] / total[held, None]
    return float(((shares**2).sum(axis=1) * (size[held] > 0.0).sum(axis=1)).mean())


def capacity_ratio(walk_forward: OutOfSample) -> float:
    """At how many times the target capital is half the net Sharpe ratio gone? Impact grows with the square root of capital; multiplier 1.

    Bisection on the ratio in [1, 1e6]; 1e6 when impact never takes half of it, 0 when there is no positive Sharpe ratio to halve.
    For a long-only candidate the Sharpe ratio is that of the return over the market.
    """
    offset = walk_forward.market if walk_forward.long_only else 0.0

    def sharpe(ratio: float) -> float:
        return sharpe_ratio(walk_forward.net_returns_at_aum(ratio) - offset)

    half = 0.5 * sharpe(1.0)
    if not half > 0.0:
        return 0.0
    low, high = 1.0, LARGEST_CAPACITY_RATIO
    if sharpe(high) > half:
        return high
    while high / low > 1.0 + 1e-9:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if sharpe(middle) > half else (low, middle)
    return low


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0.0 else math.nan


def _mean_ratio(numerator: NDArray[np.int64], denominator: NDArray[np.int64]) -> float:
    defined = denominator > 0
    return float((numerator[defined] / denominator[defined]).mean()) if defined.any() else math.nan
