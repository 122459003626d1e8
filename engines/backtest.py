"""From a signal to daily returns: gross, turnover and cost, net for every multiplier in one pass.

The definition is the project's "The backtest, exactly". Where its sentences leave a choice, this is the reading (it reproduces, to the last
digits, an independent day loop over five years of S&P 500 prices):

- The executing day's return at the open is compounded: (1 + close[e-1] to open[e] of the old book) (1 + open[e] to close[e] of the new) - 1.
- The book drifts on gross returns, so cost is linear in the multiplier. Costs are fractions of the capital at the trade.
- sigma and ADV of the cost are over the last 20 dates of the panel's calendar as of the signal's close, all 20 required (a name without
  a row on one of them has neither, and pays the day's largest impact rate).
- Borrow is paid each day on the short weight held at that day's close, from the first execution day on.
- A name is delisted when its last close lies before the last date of the file, also when the panel is cut earlier. Prices after the last close do
  not exist: such a name is not traded, and its weight is 0 from the day after the delisting return.
- A name executed at an open on a day without a close is marked at that open until a close returns.
- Every date of the grid is a rebalance date once the first is found, however few names have a signal then.
- A book that loses all its capital (1 + return <= 0) is closed on that day: `ruined_row` names it, and later returns are 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.costs import borrow_rate_per_day, impact_rate, impact_unknown, participation, spread_rate
from engines.forward import delisting_price, last_tradable_row
from engines.liquidity import Liquidity, measure_liquidity
from engines.portfolio import mean_of_last, rebalance_rows, target_weights, targets_held

if TYPE_CHECKING:
    from engines.candidate import CostSpec, PortfolioSpec
    from engines.panel import Panel


@dataclass(frozen=True, slots=True)
class Backtest:
    """Daily results of one signal over one panel, from the first execution day. D days, R rebalances, K trades.

    Returns, turnover, costs and weights are decimals of capital; cost is at multiplier 1. Row indices are those of the panel.
    """

    dates: NDArray[np.datetime64]  # (D,)
    gross: NDArray[np.float64]  # (D,)
    turnover: NDArray[np.float64]  # (D,) two-way: sum of |target - drifted|
    spread_cost: NDArray[np.float64]  # (D,) half-spread and fees
    impact_cost: NDArray[np.float64]  # (D,) at target_aum; grows with the square root of the capital
    borrow_cost: NDArray[np.float64]  # (D,)
    untraded: NDArray[np.int64]  # (D,) names whose trade found no execution price
    carried: NDArray[np.int64]  # (D,) held names without a close that day
    long_names: NDArray[np.int64]  # (D,) at the close
    short_names: NDArray[np.int64]  # (D,)
    rebalance_rows: NDArray[np.int64]  # (R,) signal dates whose trade lies inside the panel
    target_weights: NDArray[np.float64]  # (R, N) the book aimed at, before what could not be traded
    trade_row: NDArray[np.int64]  # (K,) execution day
    trade_name: NDArray[np.int64]  # (K,) index of the symbol
    trade_weight: NDArray[np.float64]  # (K,) signed change of weight
    trade_price: NDArray[np.float64]  # (K,)
    trade_participation: NDArray[np.float64]  # (K,) order / ADV at target_aum; NaN without an ADV
    impact_imputed: NDArray[np.int64]  # (D,) trades that paid the day's largest impact for want of their own
    start: int  # panel index of dates[0]
    ruined_row: int  # panel index of the day on which all capital was lost; -1: never

    @property
    def n_days(self) -> int:
        """How many daily returns there are."""
        return int(self.gross.size)

    @property
    def cost(self) -> NDArray[np.float64]:
        """Cost of each day at multiplier 1, (D,): half-spread and fees, impact and borrow."""
        return self.spread_cost + self.impact_cost + self.borrow_cost

    @property
    def trading_cost(self) -> NDArray[np.float64]:
        """Cost of each day's trades at multiplier 1, (D,): half-spread, fees and impact."""
        return self.spread_cost + self.impact_cost

    def net_returns(self, multiplier: float) -> NDArray[np.float64]:
        """What is left of each day's gross return when every cost is `multiplier` times what the candidate assumes? (D,) decimal."""
        return self.gross - multiplier * self.cost

    def net_returns_at_aum(self, aum_ratio: float, multiplier: float = 1.0) -> NDArray[np.float64]:
        """What would be left with `aum_ratio` times the target capital? Impact grows with its square root, (D,) decimal."""
        cost: NDArray[np.float64] = self.spread_cost + self.impact_cost * np.sqrt(aum_ratio) + self.borrow_cost
        return self.gross - multiplier * cost

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """The whole result as a few named arrays, for an ArrayStore: fields of one kind and length are stacked."""
        stacks = {name: np.stack([getattr(self, field) for field in stacked]) for name, stacked in _STACKS.items()}
        whole = {name: getattr(self, name) for name in ("dates", "rebalance_rows", "target_weights")}
        return {**stacks, **whole, "start_and_ruined_row": np.array([self.start, self.ruined_row])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Backtest:
        """Rebuild what `to_arrays` gave."""
        stacked = {field: arrays[name][row] for name, fields_ in _STACKS.items() for row, field in enumerate(fields_)}
        whole = {name: arrays[name] for name in ("dates", "rebalance_rows", "target_weights")}
        start, ruined_row = arrays["start_and_ruined_row"].tolist()
        return cls(**stacked, **whole, start=start, ruined_row=ruined_row)


_STACKS: dict[str, tuple[str, ...]] = {
    "daily_amounts": ("gross", "turnover", "spread_cost", "impact_cost", "borrow_cost"),
    "daily_counts": ("untraded", "carried", "long_names", "short_names", "impact_imputed"),
    "trade_indices": ("trade_row", "trade_name"),
    "trade_amounts": ("trade_weight", "trade_price", "trade_participation"),
}


@dataclass(slots=True)
class _Days:
    """What each day from the first execution on adds up to, filled while the run goes by; see Backtest."""

    gross: NDArray[np.float64]
    turnover: NDArray[np.float64]
    spread_cost: NDArray[np.float64]
    impact_cost: NDArray[np.float64]
    short_weight: NDArray[np.float64]
    untraded: NDArray[np.int64]
    carried: NDArray[np.int64]
    long_names: NDArray[np.int64]
    short_names: NDArray[np.int64]
    impact_imputed: NDArray[np.int64]

    @classmethod
    def zeros(cls, n_days: int) -> _Days:
        amounts: list[NDArray[Any]] = [np.zeros(n_days) for _ in range(5)]
        counts: list[NDArray[Any]] = [np.zeros(n_days, dtype=np.int64) for _ in range(5)]
        return cls(*amounts, *counts)


@dataclass(frozen=True, slots=True)
class _Trades:
    """The trades of one execution day; see Backtest."""

    row: NDArray[np.int64]
    name: NDArray[np.int64]
    weight: NDArray[np.float64]
    price: NDArray[np.float64]
    participation: NDArray[np.float64]


class _Run:
    """One pass over the panel. Between two trades every holding grows with its own price, so a stretch of days is one array expression."""

    def __init__(self, panel: Panel, portfolio: PortfolioSpec, costs: CostSpec, liquidity: Liquidity) -> None:
        self.panel = panel
        self.portfolio = portfolio
        self.costs = costs
        self.liquidity = liquidity
        self.at_open = portfolio.execution_price == "open"
        self.prices = panel.open if self.at_open else panel.close
        self.last_row = last_tradable_row(panel)
        self.paid = delisting_price(panel)
        self.weights = np.zeros(panel.n_symbols)
        self.mark = np.full(panel.n_symbols, np.nan)  # price at which each held name stands in the books
        self.start = panel.n_dates
        self.ruined_row = -1
        self.trades: list[_Trades] = []

    def trade(self, signal_rows: NDArray[np.int64], targets: NDArray[np.float64]) -> Backtest:
        """Execute each target and carry the book to the next, until the panel ends or the capital is gone."""
        executions = signal_rows + self.portfolio.execution_delay_days
        ends = np.append(executions, self.panel.n_dates)[1:]
        if executions.size:
            self.start = int(executions[0])
        self.days = _Days.zeros(self.panel.n_dates - self.start)
        for target, execution, end in zip(targets, executions.tolist(), ends.tolist(), strict=True):
            overnight = self._overnight(execution) if self.at_open else 1.0
            if self.ruined_row < 0:
                self._execute(target, execution)
                self._carry(execution, end, overnight)
            if self.ruined_row >= 0:
                break
        return self._result(signal_rows, targets)

    def _overnight(self, execution: int) -> float:
        """Take the old book from its last marks to the open; returns the capital at the open per unit at the last close."""
        opens = np.where(self._tradable(execution), self.panel.open[execution], self.mark)
        gone = execution > self.last_row
        opens = np.where(gone, self.paid, opens)
        held = np.flatnonzero(self.weights)
        growth = opens[held] / self.mark[held]
        capital = float(1.0 + (growth - 1.0) @ self.weights[held])
        if capital <= 0.0:
            self._ruin(execution, capital)
            return capital
        self.weights[held] *= growth / capital
        self.weights[gone] = 0.0
        self.mark[held] = opens[held]
        return capital

    def _tradable(self, row: int) -> NDArray[np.bool_]:
        tradable: NDArray[np.bool_] = np.isfinite(self.prices[row]) & (row <= self.last_row)
        return tradable

    def _execute(self, target: NDArray[np.float64], execution: int) -> None:
        """Trade to the target where there is a price, and book turnover and cost as of the signal's close."""
        tradable = self._tradable(execution)
        change = np.where(tradable, target - self.weights, 0.0)
        signal_row = execution - self.portfolio.execution_delay_days
        sigma, adv_usd = self.liquidity.daily_volatility[signal_row], self.liquidity.adv_usd[signal_row]
        size, day, target_aum = np.abs(change), execution - self.start, self.portfolio.target_aum
        self.days.turnover[day] = size.sum()
        self.days.spread_cost[day] = size.sum() * spread_rate(self.costs)
        self.days.impact_cost[day] = size @ impact_rate(change, sigma, adv_usd, self.costs, target_aum)
        self.days.impact_imputed[day] = impact_unknown(change, sigma, adv_usd).sum()
        self.days.untraded[day] = (~tradable & (target != self.weights)).sum()
        name = np.flatnonzero(change)
        price = self.prices[execution, name]
        orders = participation(change[name], adv_usd[name], target_aum)
        self.trades.append(_Trades(np.full(name.size, execution), name, change[name], price, orders))
        self.weights = np.where(tradable, target, self.weights)
        self.mark = np.where(tradable, self.prices[execution], self.mark)

    def _carry(self, execution: int, end: int, overnight: float) -> None:
        """Let the new book drift from the execution to the next one (at the open before it, at the close with it)."""
        last = end if self.at_open else min(end + 1, self.panel.n_dates)
        held = np.flatnonzero(self.weights)
        prices, no_close = self._prices(execution, last, held)
        growth = prices / self.mark[held]
        capital = 1.0 + (growth - 1.0) @ self.weights[held]
        lost = np.flatnonzero(capital <= 0.0)
        solvent = int(lost[0]) if lost.size else capital.size
        first_day = execution - self.start
        holdings = growth * self.weights[held]
        if self.last_row[held].min(initial=last) < last - 1:
            holdings[np.arange(execution, last)[:, None] > self.last_row[held]] = 0.0
        holdings = holdings[:solvent] / capital[:solvent, None]
        if self.at_open:
            self.days.gross[first_day] = overnight * capital[0] - 1.0
        self.days.gross[first_day + 1 : first_day + capital.size] = capital[1:] / capital[:-1] - 1.0
        self._count(first_day, holdings[: end - execution], no_close)
        if lost.size:
            self._ruin(execution + solvent, float(self.days.gross[first_day + solvent] + 1.0))
            return
        self.weights[held] = holdings[-1]
        self.mark[held] = prices[-1]

    def _prices(
        self, execution: int, last: int, held: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Where each held name stands from the execution on, and whether it had no close that day.

        Its last close since then, what a delisting paid, else the price it was executed at.
        """
        prices = self.panel.close[execution:last].take(held, axis=1)
        no_close = np.isnan(prices)
        lacking = np.flatnonzero(no_close.any(axis=0))
        if lacking.size:
            names, part = held[lacking], prices[:, lacking]
            before = self.mark[names]
            for row in part:
                np.copyto(row, before, where=np.isnan(row))
                before = row
            gone = np.arange(execution, last)[:, None] > self.last_row[names]
            prices[:, lacking] = np.where(gone, self.paid[names], part)
        return prices, no_close

    def _count(self, first_day: int, holdings: NDArray[np.float64], no_close: NDArray[np.bool_]) -> None:
        """Book what is held at each close: short weight for the borrow, names long and short, names without a close."""
        days = slice(first_day, first_day + holdings.shape[0])
        no_close = no_close[: holdings.shape[0]]
        self.days.short_weight[days] = -np.minimum(holdings, 0.0).sum(axis=1)
        self.days.carried[days] = np.count_nonzero(no_close & (holdings != 0.0), axis=1) if no_close.any() else 0
        self.days.long_names[days] = np.count_nonzero(holdings > 0.0, axis=1)
        self.days.short_names[days] = np.count_nonzero(holdings < 0.0, axis=1)

    def _ruin(self, row: int, capital_ratio: float) -> None:
        """Close the book on the day that loses all capital; nothing is earned afterwards."""
        self.ruined_row = row
        self.days.gross[row - self.start] = capital_ratio - 1.0
        self.days.gross[row - self.start + 1 :] = 0.0

    def _result(self, signal_rows: NDArray[np.int64], targets: NDArray[np.float64]) -> Backtest:
        days, trades = self.days, self.trades
        return Backtest(
            dates=self.panel.dates[self.start :],
            gross=days.gross,
            turnover=days.turnover,
            spread_cost=days.spread_cost,
            impact_cost=days.impact_cost,
            borrow_cost=days.short_weight * borrow_rate_per_day(self.costs),
            untraded=days.untraded,
            carried=days.carried,
            long_names=days.long_names,
            short_names=days.short_names,
            rebalance_rows=signal_rows,
            target_weights=targets,
            trade_row=_joined([t.row for t in trades], np.int64),
            trade_name=_joined([t.name for t in trades], np.int64),
            trade_weight=_joined([t.weight for t in trades], np.float64),
            trade_price=_joined([t.price for t in trades], np.float64),
            trade_participation=_joined([t.participation for t in trades], np.float64),
            impact_imputed=days.impact_imputed,
            start=self.start,
            ruined_row=self.ruined_row,
        )


def run_backtest(
    panel: Panel,
    signal: NDArray[np.float64],
    mask: NDArray[np.bool_],
    portfolio: PortfolioSpec,
    costs: CostSpec,
    min_names: int,
    *,
    first_rebalance: int | None = None,
    liquidity: Liquidity | None = None,
) -> Backtest:
    """What would trading this signal have returned, day by day, before and after costs?

    `signal` and `mask` (the universe) are (T, N) and known at each close; the trade follows execution_delay_days later. `first_rebalance`
    anchors the rebalance grid (see `rebalance_rows`). `liquidity` may be handed in when it is already measured. Without a single date of
    at least `min_names` names the result has 0 days.
    """
    rows = rebalance_rows(mask & np.isfinite(signal), portfolio.rebalance_days, min_names, first_rebalance)
    rows = rows[rows + portfolio.execution_delay_days < panel.n_dates]
    targets = mean_of_last(target_weights(signal[rows], mask[rows], portfolio), targets_held(portfolio))
    return _Run(panel, portfolio, costs, liquidity or measure_liquidity(panel)).trade(rows, targets)


def _joined(parts: list[NDArray[Any]], kind: type[np.generic]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype=kind)
