"""The account of our backtest equals that of vectorbt and of bt, on five years of S&P 500 prices. Peers: `pip install '.[bench]'`.

All three are handed the same target books (which names, how much: other tests judge that) and keep their own account of them. How the conventions
were made the same:

- Execution at the close, one date after the signal, where all three mark the book at the price they trade at. Fractional shares.
- Targets are fractions of the capital at the trade; in between holdings drift and nothing is traded.
- No cash drag: cash earns nothing, shorts are funded by their proceeds, and a long-only book is fully invested.
- A name without a close is neither traded nor revalued that day. vectorbt is given no order for it. bt knows no such days, so its prices are carried
  forward, and the names that miss a close while a book could hold them are left out of the universe.
- Costs are proportional to what is traded, without impact or borrow. The peers pay a fee out of the account, which then holds a little more than its
  targets; ours are a fraction of the capital at the trade beside it, so that one run serves every multiplier. So the peers run without a fee, and their own
  records of what they traded are charged. What a fee inside the account would change is bounded in a test of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from engines.backtest import Backtest, run_backtest
from engines.candidate import Candidate
from engines.costs import spread_rate
from engines.panel import Panel, load_panel
from engines.signals import momentum
from engines.store import ArrayStore
from tests.engines.panels import SHARED_DATA, make_candidate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (SHARED_DATA / "sp500_2013_2018.parquet").exists(), reason="the S&P 500 file is not beside the repository"
    ),
]

MONTH, WEEK, CAPITAL = 21, 5, 1e8
PORTFOLIOS = {
    "long-short, equal, monthly": {"weighting": "equal", "horizon_days": MONTH, "rebalance_days": MONTH},
    "long-only, rank, weekly": {
        "short_fraction": 0.0,
        "weighting": "rank",
        "horizon_days": WEEK,
        "rebalance_days": WEEK,
    },
    "long-short, overlapping sleeves": {"weighting": "equal", "horizon_days": 63, "rebalance_days": MONTH},
}


@dataclass(frozen=True, slots=True)
class Account:
    """What a peer says of a book, on the panel's dates from our first execution on."""

    returns: np.ndarray  # (D,)
    turnover: np.ndarray  # (D,) two-way, fraction of the capital at the trade


@pytest.fixture(scope="module")
def panel(tmp_path_factory) -> Panel:
    return load_panel(candidate_for("long-short, equal, monthly"), ArrayStore(tmp_path_factory.mktemp("cache")))[0]


@pytest.fixture
def vectorbt() -> ModuleType:
    return pytest.importorskip("vectorbt", reason="vectorbt is not installed: pip install '.[bench]'")


@pytest.fixture
def bt() -> ModuleType:
    return pytest.importorskip("bt", reason="bt is not installed: pip install '.[bench]'")


def candidate_for(name: str) -> Candidate:
    return make_candidate(
        SHARED_DATA,
        data={"path": "sp500_2013_2018.parquet", "columns": {"symbol": "Name"}},
        portfolio={**PORTFOLIOS[name], "execution_price": "close"},
        costs={"impact_coefficient": 0.0, "borrow_bps_per_year": 0.0},
        universe={"min_names": 50},
    )


def backtest_of(panel: Panel, candidate: Candidate, mask: np.ndarray) -> Backtest:
    signal = momentum(panel, 252, 21)
    return run_backtest(panel, signal, mask, candidate.portfolio, candidate.costs, candidate.universe.min_names)


def targets_of(panel: Panel, backtest: Backtest) -> pd.DataFrame:
    """The target books on their execution dates."""
    return pd.DataFrame(backtest.target_weights, panel.dates[backtest.rebalance_rows + 1], panel.symbols)


def vectorbt_account(vectorbt: ModuleType, panel: Panel, backtest: Backtest, fee: float = 0.0) -> Account:
    close = pd.DataFrame(panel.close, panel.dates, panel.symbols)
    orders = targets_of(panel, backtest).reindex(close.index).where(close.notna())
    portfolio = vectorbt.Portfolio.from_orders(
        close,
        size=orders,
        size_type="targetpercent",
        direction="both",
        fees=fee,
        init_cash=CAPITAL,
        group_by=True,
        cash_sharing=True,
        call_seq="auto",  # sales before purchases, so that these find the cash
        freq="D",
    )
    filled = portfolio.orders.records
    traded = np.bincount(filled["idx"], weights=filled["size"] * filled["price"], minlength=panel.n_dates)
    value = portfolio.value().to_numpy()
    return Account(portfolio.returns().to_numpy()[backtest.start :], (traded / value)[backtest.start :])


def bt_account(bt: ModuleType, panel: Panel, backtest: Backtest) -> Account:
    close = pd.DataFrame(panel.close, panel.dates, panel.symbols).ffill()
    rule = bt.Strategy("book", [bt.algos.WeighTarget(targets_of(panel, backtest)), bt.algos.Rebalance()])
    run = bt.Backtest(rule, close, initial_capital=CAPITAL, integer_positions=False, progress_bar=False)
    bt.run(run)
    value = run.strategy.values.reindex(panel.dates).to_numpy()
    units = run.positions.reindex(index=panel.dates, columns=panel.symbols).fillna(0.0)
    traded = (units.diff() * close).abs().sum(axis=1).to_numpy()
    returns = value[1:] / value[:-1] - 1.0
    return Account(returns[backtest.start - 1 :], (traded / value)[backtest.start :])


def assert_same_account(backtest: Backtest, theirs: Account, candidate: Candidate) -> None:
    """Gross, turnover and net at every multiplier, day by day, to 1e-6 relative (and what float64 leaves of a day that earns nothing)."""
    assert backtest.n_days > 900
    np.testing.assert_allclose(backtest.gross, theirs.returns, rtol=1e-6, atol=1e-13)
    np.testing.assert_allclose(backtest.turnover, theirs.turnover, rtol=1e-6, atol=1e-11)
    for multiplier in candidate.walk_forward.cost_multipliers:
        net = theirs.returns - multiplier * spread_rate(candidate.costs) * theirs.turnover
        np.testing.assert_allclose(backtest.net_returns(multiplier), net, rtol=1e-6, atol=1e-13)


@pytest.mark.parametrize("name", PORTFOLIOS)
def test_the_account_is_vectorbts(panel, vectorbt, name):
    candidate = candidate_for(name)
    backtest = backtest_of(panel, candidate, np.ones(panel.close.shape, dtype=bool))
    assert_same_account(backtest, vectorbt_account(vectorbt, panel, backtest), candidate)


def test_names_without_a_close_are_part_of_what_is_compared(panel):
    every_name = np.ones(panel.close.shape, dtype=bool)
    held = [backtest_of(panel, candidate_for(name), every_name).carried.sum() for name in PORTFOLIOS]
    assert max(held) > 0


@pytest.mark.parametrize("name", PORTFOLIOS)
def test_the_account_is_bts(panel, bt, name):
    candidate = candidate_for(name)
    listed = np.cumsum(np.isfinite(panel.close), axis=0) > 0
    gapless = (np.isfinite(panel.close) | ~listed).all(axis=0)
    assert gapless.sum() > 490
    backtest = backtest_of(panel, candidate, np.broadcast_to(gapless, panel.close.shape))
    assert_same_account(backtest, bt_account(bt, panel, backtest), candidate)


@pytest.mark.parametrize("name", PORTFOLIOS)
def test_a_fee_inside_the_account_is_a_second_order_difference(panel, vectorbt, name):
    """Paid from the account, a fee c levers the book by 1 / (1 - c) until the next trade: the day's net return moves by at most c |return| and c |cost|."""
    candidate = candidate_for(name)
    backtest = backtest_of(panel, candidate, np.ones(panel.close.shape, dtype=bool))
    inside = vectorbt_account(vectorbt, panel, backtest, fee=spread_rate(candidate.costs)).returns
    difference = np.abs(inside - backtest.net_returns(1.0))
    assert 0.0 < difference.max() <= 2.0 * backtest.cost.max() * np.abs(backtest.gross).max()
