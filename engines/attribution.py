"""Which names made the profit, and which the cost? The daily results of a backtest, name by name.

A day's gross return is a sum over the names held: weight at the start of a stretch of the day x the name's move over it, the stretch before the open
compounded onto the one after it. Costs belong to the name that was traded or borrowed. Summed over names both are the backtest's own figures, which is
what the tests hold them to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.costs import borrow_rate_per_day, impact_rate, spread_rate
from engines.forward import PriceMarks
from engines.liquidity import Liquidity

if TYPE_CHECKING:
    from engines.backtest import Backtest
    from engines.candidate import CostSpec, PortfolioSpec
    from engines.panel import Panel
    from engines.walk_forward import OutOfSample


@dataclass(frozen=True, slots=True)
class Contributions:
    """What each name added to the out-of-sample series of each shard. S shards, N names; decimals of capital, summed over the shard's days."""

    shards: tuple[str, ...]
    symbols: NDArray[np.str_]  # (N,)
    gross: NDArray[np.float64]  # (S, N) contribution to the gross return
    cost: NDArray[np.float64]  # (S, N) at multiplier 1
    turnover: NDArray[np.float64]  # (S, N) two-way

    def net(self, multiplier: float) -> NDArray[np.float64]:
        """Contribution to the net return when every cost is `multiplier` times what the candidate assumes, (S, N)."""
        return self.gross - multiplier * self.cost


def attribute(
    walk_forward: OutOfSample,
    backtests: Mapping[str, Backtest],
    panel: Panel,
    liquidity: Liquidity,
    portfolio: PortfolioSpec,
    costs: CostSpec,
) -> Contributions:
    """Cut the whole-panel runs (by variant label) to the windows in which each variant was chosen, and share them among the names."""
    shards = tuple(dict.fromkeys(window.shard_id for window in walk_forward.windows))
    amounts = np.zeros((3, len(shards), panel.n_symbols))
    marks = PriceMarks.of(panel)
    for label in dict.fromkeys(walk_forward.chosen):
        shard_of_row = np.full(panel.n_dates, -1)
        for chosen, window in zip(walk_forward.chosen, walk_forward.windows, strict=True):
            if chosen == label:
                shard_of_row[slice(*window.test)] = shards.index(window.shard_id)
        _Attribution(backtests[label], panel, marks, portfolio, costs, shard_of_row, amounts).add(liquidity)
    return Contributions(shards, panel.symbols, *amounts)


class _Attribution:
    """One pass over the trades of a backtest; between two of them every holding grows with its own price."""

    def __init__(
        self,
        backtest: Backtest,
        panel: Panel,
        marks: PriceMarks,
        portfolio: PortfolioSpec,
        costs: CostSpec,
        shard_of_row: NDArray[np.int64],
        amounts: NDArray[np.float64],
    ) -> None:
        self.backtest, self.panel, self.marks = backtest, panel, marks
        self.portfolio, self.costs = portfolio, costs
        self.shard_of_row = shard_of_row
        self.gross, self.cost, self.turnover = amounts
        self.at_open = portfolio.execution_price == "open"
        self.weights = np.zeros(panel.n_symbols)
        self.mark = np.full(panel.n_symbols, np.nan)

    def add(self, liquidity: Liquidity) -> None:
        """Share every day up to the end of the panel, or to the day on which the capital was lost."""
        executions = self.backtest.rebalance_rows + self.portfolio.execution_delay_days
        ends = np.append(executions, self.panel.n_dates)[1:]
        stop = self.backtest.ruined_row if self.backtest.ruined_row >= 0 else self.panel.n_dates
        for execution, end in zip(executions.tolist(), ends.tolist(), strict=True):
            if execution > stop:
                break
            overnight = self._overnight(execution) if self.at_open else 1.0
            if overnight <= 0.0:
                break
            self._trade(execution, liquidity)
            self._carry(execution, end, min(end if self.at_open else end + 1, stop + 1, self.panel.n_dates), overnight)

    def _overnight(self, execution: int) -> float:
        """Share what the old book earned from its last marks to the open; returns the capital at the open per unit."""
        held = np.flatnonzero(self.weights)
        gone = execution > self.marks.last_row[held]
        opens = self.panel.open[execution, held]
        opens = np.where(gone, self.marks.price[execution, held], np.where(np.isfinite(opens), opens, self.mark[held]))
        growth = opens / self.mark[held]
        earned = (growth - 1.0) * self.weights[held]
        self._book(self.gross, held, earned[None, :], execution)
        capital = float(1.0 + earned.sum())
        if capital > 0.0:
            self.weights[held] = np.where(gone, 0.0, self.weights[held] * growth / capital)
            self.mark[held] = opens
        return capital

    def _trade(self, execution: int, liquidity: Liquidity) -> None:
        """Apply the day's trades and share what they cost."""
        first, last = np.searchsorted(self.backtest.trade_row, (execution, execution + 1))
        name, change = self.backtest.trade_name[first:last], self.backtest.trade_weight[first:last]
        signal_row = execution - self.portfolio.execution_delay_days
        moved, adv_usd = liquidity.daily_volatility[signal_row, name], liquidity.adv_usd[signal_row, name]
        rate = spread_rate(self.costs) + impact_rate(change, moved, adv_usd, self.costs, self.portfolio.target_aum)
        self._book(self.cost, name, (np.abs(change) * rate)[None, :], execution)
        self._book(self.turnover, name, np.abs(change)[None, :], execution)
        self.weights[name] += change
        self.mark[name] = self.backtest.trade_price[first:last]

    def _carry(self, execution: int, end: int, last: int, overnight: float) -> None:
        """Share what the new book earns, and pays for borrowed names, until the next trade."""
        held = np.flatnonzero(self.weights)
        rows = np.arange(execution, last)[:, None]
        priced = (self.marks.row[execution:last, held] >= execution) | (rows > self.marks.last_row[held])
        prices = np.where(priced, self.marks.price[execution:last, held], self.mark[held])
        growth = prices / self.mark[held]
        capital = 1.0 + (growth - 1.0) @ self.weights[held]
        before = np.vstack([np.ones(held.size), growth[:-1]])
        base = np.append(overnight if self.at_open else 1.0, 1.0 / capital[:-1])
        self._book(self.gross, held, (growth - before) * self.weights[held] * base[:, None], execution)
        solvent = np.where(capital > 0.0, capital, np.inf)[:, None]
        holdings = np.where(rows <= self.marks.last_row[held], growth * self.weights[held], 0.0) / solvent
        borrowed = -np.minimum(holdings[: end - execution], 0.0) * borrow_rate_per_day(self.costs)
        self._book(self.cost, held, borrowed, execution)
        self.weights[held], self.mark[held] = holdings[-1], prices[-1]

    def _book(
        self, target: NDArray[np.float64], names: NDArray[np.int64], daily: NDArray[np.float64], first_row: int
    ) -> None:
        """Add the amounts (days, names) of the days from `first_row` on to the shard that each day belongs to."""
        shards = self.shard_of_row[first_row : first_row + daily.shape[0]]
        for shard in np.unique(shards[shards >= 0]).tolist():
            target[shard, names] += daily[shards == shard].sum(axis=0)
