"""A long-short backtest at three cost multipliers, labels included, against pandas, vectorbt and bt on the same book.

All are asked the same question, which every one of them can answer: a fifth of the names long and a fifth short in equal weights, traded at the next
close every 21 days, drifting in between, costs in proportion to what is traded, no impact; on prices without gaps, so that nobody fills them in a way
of its own. What is compared before any timing counts: daily gross returns to 1e-9, net ones to 1e-4, because the libraries take costs out of the
capital that is then traded. The labels are the 21-day forward returns that an IC is measured with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.frame import (
    Bar,
    Row,
    Run,
    Size,
    alternate,
    must_agree,
    peer_module,
    timed_row,
    with_peer,
)
from benchmarks.ic import DELAY_DAYS, HORIZON_DAYS, MIN_NAMES, momentum
from benchmarks.market import FloatArray, draw_panel
from engines.backtest import Backtest, run_backtest
from engines.candidate import CostSpec, PortfolioSpec
from engines.forward import forward_returns
from engines.liquidity import Liquidity
from engines.panel import Panel

WORK: Final = "long-short backtest, 3 multipliers, labels included"
MULTIPLIERS: Final = (1.0, 1.5, 2.0)
BPS_TRADED: Final = 6.0
PORTFOLIO: Final = PortfolioSpec(
    long_fraction=0.2,
    short_fraction=0.2,
    weighting="equal",
    horizon_days=HORIZON_DAYS,
    rebalance_days=HORIZON_DAYS,
    execution_delay_days=DELAY_DAYS,
    execution_price="close",
    target_aum=1e7,
)
COSTS: Final = CostSpec(
    half_spread_bps=5.0, fee_bps=BPS_TRADED - 5.0, impact_coefficient=0.0, borrow_bps_per_year=0.0, source="benchmark"
)
GROSS_TOLERANCE, NET_TOLERANCE = 1e-9, 1e-4
VECTORBT_BARS: Final = {"large": Bar(">=", 300.0)}
PANDAS_BARS: Final = {"large": Bar(">=", 7.0, stretch=12.0)}
THIRD_BAR: Final = Bar("<=", 1.1)
BT_SYMBOLS, BT_DATES = 50, 300


@dataclass(frozen=True, slots=True)
class Task:
    """What each side is given: prices, scores and the universe; liquidity is not asked for where impact costs nothing."""

    panel: Panel
    signal: FloatArray
    mask: Any
    liquidity: Liquidity

    def book(self) -> Backtest:
        """Our run."""
        return run_backtest(self.panel, self.signal, self.mask, PORTFOLIO, COSTS, MIN_NAMES, liquidity=self.liquidity)

    def ours(self, multipliers: Sequence[float] = MULTIPLIERS) -> list[FloatArray]:
        """Labels, and net returns at each multiplier."""
        forward_returns(self.panel, DELAY_DAYS, HORIZON_DAYS, "close")
        book = self.book()
        return [book.net_returns(multiplier) for multiplier in multipliers]


def task_of(size: Size) -> Task:
    """The task at a size: the benchmark market without gaps and delistings."""
    panel = draw_panel(size, whole=True)
    flat = np.ones(panel.close.shape)
    return Task(panel, momentum(panel), np.isfinite(panel.close), Liquidity(flat, flat))


def measure(run: Run) -> Iterator[Row]:
    """Against one multiplier of our own, then one row a peer."""
    task = task_of(run.size)
    timing = alternate(task.ours, lambda: task.ours(MULTIPLIERS[:1]), rounds=run.rounds)
    yield timed_row("third multiplier", run, "ours at one multiplier", timing, relation="<=", bar=THIRD_BAR)
    yield from with_peer(run, WORK, "pandas, one pass", PANDAS_BARS.get(run.size.name), lambda: _pandas(run, task))
    yield from with_peer(
        run, WORK, "vectorbt, one run a multiplier", VECTORBT_BARS.get(run.size.name), lambda: _vectorbt(run, task)
    )
    yield from with_peer(run, WORK, "bt, one run a multiplier", None, lambda: _bt(run))


def _targets(book: Backtest, n_dates: int) -> FloatArray:
    """Our target weights on their execution rows, (T, N), NaN elsewhere: what a peer is told to hold."""
    targets = np.full((n_dates, book.target_weights.shape[1]), np.nan)
    targets[book.rebalance_rows + DELAY_DAYS] = book.target_weights
    return targets


# ---------------------------------------------------------------------------------------------------------------- pandas


def _pandas(run: Run, task: Task) -> list[Row]:
    frame = peer_module("pandas").DataFrame
    close, signal = frame(task.panel.close), frame(task.signal)
    rows = task.book().rebalance_rows

    def one_pass() -> list[FloatArray]:
        close.shift(-DELAY_DAYS - HORIZON_DAYS) / close.shift(-DELAY_DAYS) - 1.0
        gross, turnover = pandas_book(close, signal, rows)
        return [gross - multiplier * BPS_TRADED / 1e4 * turnover for multiplier in MULTIPLIERS]

    def again_for_each() -> list[FloatArray]:
        found = []
        for multiplier in MULTIPLIERS:
            close.shift(-DELAY_DAYS - HORIZON_DAYS) / close.shift(-DELAY_DAYS) - 1.0
            gross, turnover = pandas_book(close, signal, rows)
            found.append(gross - multiplier * BPS_TRADED / 1e4 * turnover)
        return found

    differs = max(
        must_agree("net returns, pandas", ours, theirs, GROSS_TOLERANCE)
        for ours, theirs in zip(task.ours(), one_pass(), strict=True)
    )
    bar = PANDAS_BARS.get(run.size.name)
    return [
        timed_row(
            WORK,
            run,
            "pandas, one pass",
            alternate(task.ours, one_pass, rounds=run.rounds),
            bar=bar,
            largest_difference=differs,
        ),
        timed_row(WORK, run, "pandas, once a multiplier", alternate(task.ours, again_for_each, rounds=run.rounds)),
    ]


def pandas_book(close: Any, signal: Any, rows: Any) -> tuple[FloatArray, FloatArray]:
    """Daily gross returns and turnover from the first execution on, as a desk writes it with wide frames: rank, hold, drift."""
    scores = signal.iloc[rows]
    ranks, count = scores.rank(axis=1, method="first"), scores.notna().sum(axis=1)
    n_long = np.floor(PORTFOLIO.long_fraction * count)
    n_short = np.floor(PORTFOLIO.short_fraction * count)
    long = ranks.gt(count - n_long, axis=0).astype(float).div(n_long, axis=0)
    short = ranks.le(n_short, axis=0).astype(float).div(n_short, axis=0)
    targets = (long - short).set_axis(rows + DELAY_DAYS)
    held = targets.reindex(close.index).ffill()
    base = close.loc[targets.index].reindex(close.index).ffill()
    before = held.shift(1), base.shift(1)
    gain = ((close / before[1] - 1.0) * before[0]).sum(
        axis=1
    )  # since the last trade, of the book that comes into the day
    start = ((close.shift(1) / before[1] - 1.0) * before[0]).sum(axis=1)
    gross = (1.0 + gain) / (1.0 + start) - 1.0
    drifted = (close / before[1] * before[0]).div(1.0 + gain, axis=0).loc[targets.index]
    turnover = (targets - drifted.fillna(0.0)).abs().sum(axis=1).reindex(close.index).fillna(0.0)
    first = int(targets.index[0])
    return gross.to_numpy()[first:], turnover.to_numpy()[first:]


# -------------------------------------------------------------------------------------------------------------- vectorbt


def _vectorbt(run: Run, task: Task) -> list[Row]:
    vectorbt, pandas = peer_module("vectorbt"), peer_module("pandas")
    book = task.book()
    close = pandas.DataFrame(task.panel.close, index=pandas.DatetimeIndex(task.panel.dates))
    targets = pandas.DataFrame(_targets(book, task.panel.n_dates), index=close.index)

    def returns(multiplier: float) -> FloatArray:
        portfolio = vectorbt.Portfolio.from_orders(
            close,
            size=targets,
            size_type="targetpercent",
            fees=multiplier * BPS_TRADED / 1e4,
            group_by=True,
            cash_sharing=True,
            call_seq="auto",
            init_cash=1e6,
            freq="1D",
        )
        found: FloatArray = portfolio.returns().to_numpy()[book.start :]
        return found

    def theirs() -> list[FloatArray]:
        close.shift(-DELAY_DAYS - HORIZON_DAYS) / close.shift(-DELAY_DAYS) - 1.0
        return [returns(multiplier) for multiplier in MULTIPLIERS]

    gross = must_agree("gross returns, vectorbt", book.gross, returns(0.0), GROSS_TOLERANCE)
    net = must_agree("net returns, vectorbt", task.ours()[-1], returns(MULTIPLIERS[-1]), NET_TOLERANCE)
    timing = alternate(task.ours, theirs, rounds=run.rounds)
    bar = VECTORBT_BARS.get(run.size.name)
    name = "vectorbt, one run a multiplier"
    return [timed_row(WORK, run, name, timing, bar=bar, largest_gross_difference=gross, largest_net_difference=net)]


# -------------------------------------------------------------------------------------------------------------------- bt


def _bt(run: Run) -> list[Row]:
    """bt walks day by day and name by name: measured on a small slice, whose size stands in the row."""
    bt, pandas = peer_module("bt"), peer_module("pandas")
    task = task_of(Size(run.size.name, BT_SYMBOLS, BT_DATES))
    book = run_backtest(task.panel, task.signal, task.mask, PORTFOLIO, COSTS, 10, liquidity=task.liquidity)
    close = pandas.DataFrame(
        task.panel.close, index=pandas.DatetimeIndex(task.panel.dates), columns=task.panel.symbols.tolist()
    )
    targets = pandas.DataFrame(_targets(book, task.panel.n_dates), index=close.index, columns=close.columns).dropna()

    def value(multiplier: float) -> FloatArray:
        algos = [bt.algos.WeighTarget(targets), bt.algos.Rebalance()]
        strategy = bt.Strategy("book", [bt.algos.RunOnDate(*targets.index), *algos])
        rate = multiplier * BPS_TRADED / 1e4
        test = bt.Backtest(
            strategy,
            close,
            initial_capital=1e9,
            commissions=lambda size, price: abs(size) * price * rate,
            integer_positions=False,
        )
        test.run()
        found: FloatArray = test.strategy.values.to_numpy()[1:]
        return found

    gross = value(0.0)[book.start - 1 :]
    differs = must_agree("gross returns, bt", book.gross[1:], (gross[1:] / gross[:-1] - 1.0)[1:], 1e-6)

    def ours() -> list[FloatArray]:
        forward_returns(task.panel, DELAY_DAYS, HORIZON_DAYS, "close")
        found = run_backtest(task.panel, task.signal, task.mask, PORTFOLIO, COSTS, 10, liquidity=task.liquidity)
        return [found.net_returns(multiplier) for multiplier in MULTIPLIERS]

    timing = alternate(ours, lambda: [value(multiplier) for multiplier in MULTIPLIERS], rounds=min(run.rounds, 3))
    row = timed_row(
        WORK,
        run,
        "bt, one run a multiplier",
        timing,
        n_symbols=BT_SYMBOLS,
        n_dates=BT_DATES,
        largest_gross_difference=differs,
    )
    return [row]
