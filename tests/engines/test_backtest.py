"""The backtest against an independent day loop, published figures, and properties that hold whatever the market."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.backtest import Backtest, run_backtest
from engines.signals import momentum
from tests.engines.panels import SHARED_DATA, make_candidate, make_panel, random_panel
from tests.engines.reference_backtest import reference_backtest

RULES = [
    {
        "execution_price": price,
        "weighting": weighting,
        "short_fraction": short,
        "horizon_days": horizon,
        "execution_delay_days": delay,
    }
    for price, weighting, short, horizon, delay in [
        ("open", "equal", 0.2, 5, 1),
        ("open", "rank", 0.2, 12, 1),
        ("open", "signal", 0.0, 5, 2),
        ("close", "equal", 0.0, 12, 1),
        ("close", "rank", 0.3, 5, 1),
        ("close", "signal", 0.2, 7, 2),
    ]
]


def run(panel, candidate, signal, mask=None, **more) -> Backtest:
    mask = np.ones(signal.shape, dtype=bool) if mask is None else mask
    return run_backtest(panel, signal, mask, candidate.portfolio, candidate.costs, candidate.universe.min_names, **more)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: "-".join(str(value) for value in rule.values()))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_daily_results_equal_an_independent_day_loop(rule, seed):
    panel = random_panel(seed)
    candidate = make_candidate(portfolio=rule)
    signal = momentum(panel, 10, 1)
    mask = np.random.default_rng(seed).random(signal.shape) < 0.95
    found = run(panel, candidate, signal, mask)
    expected = reference_backtest(
        panel, signal, mask, candidate.portfolio, candidate.costs, candidate.universe.min_names
    )
    np.testing.assert_array_equal(found.dates, expected.index.to_numpy().astype("datetime64[D]"))
    np.testing.assert_allclose(found.gross, expected["gross"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.turnover, expected["turnover"], rtol=0, atol=1e-10)
    for multiplier in (1.0, 1.5, 2.0):
        np.testing.assert_allclose(
            found.net_returns(multiplier), expected["gross"] - multiplier * expected["cost"], rtol=0, atol=1e-10
        )
    assert found.untraded.sum() > 0
    assert found.carried.sum() > 0


@pytest.fixture(scope="module")
def real_panel():
    path = SHARED_DATA / "sp500_2013_2018.parquet"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside the repository")
    rows = pd.read_parquet(path)
    wide = {name: rows.pivot(index="date", columns="Name", values=name) for name in ("open", "close", "volume")}
    panel = make_panel(
        wide["close"].to_numpy(float),
        open_=wide["open"].to_numpy(float),
        volume=wide["volume"].to_numpy(float),
        symbols=wide["close"].columns,
    )
    return replace(panel, dates=pd.to_datetime(wide["close"].index).to_numpy().astype("datetime64[D]"))


def test_published_figures_of_momentum_on_the_real_market(real_panel):
    rule = {"horizon_days": 21, "rebalance_days": 21}
    candidate = make_candidate(portfolio=rule, universe={"min_names": 50})
    panel = real_panel.until(real_panel.n_dates - 126)
    found = run(panel, candidate, momentum(panel, 252, 21))

    def sharpe(returns):
        return returns.mean() / returns.std(ddof=1) * math.sqrt(252)

    assert found.n_days == 880
    assert str(found.dates[0]) == "2014-02-11"
    assert sharpe(found.gross) == pytest.approx(0.18634756054605323, abs=1e-9)
    assert sharpe(found.net_returns(1.0)) == pytest.approx(0.06590990858107756, abs=1e-9)
    assert sharpe(found.net_returns(1.5)) == pytest.approx(0.005689873823826138, abs=1e-9)
    assert sharpe(found.net_returns(2.0)) == pytest.approx(-0.054493234533110925, abs=1e-9)
    assert found.gross.sum() == pytest.approx(0.09073454235453748, abs=1e-9)
    assert found.cost.sum() == pytest.approx(0.05864228459474228, abs=1e-9)
    assert found.turnover.sum() == pytest.approx(44.087007747394956, abs=1e-9)


def test_two_names_worked_by_hand():
    close = [[10.0, 10.0], [10.0, 10.0], [12.0, 9.0], [12.0, 9.0]]
    open_ = [[10.0, 10.0], [10.0, 10.0], [11.0, 10.0], [12.0, 9.0]]
    signal = np.array([[np.nan, np.nan], [2.0, 1.0], [np.nan, np.nan], [np.nan, np.nan]])
    rule = {"long_fraction": 0.5, "short_fraction": 0.5, "rebalance_days": 5}
    candidate = make_candidate(portfolio=rule, universe={"min_names": 2}, costs={"impact_coefficient": 0.0})
    found = run(make_panel(close, open_=open_), candidate, signal)
    intraday = (12 / 11 - 1) - (9 / 10 - 1)
    assert found.start == 2
    np.testing.assert_allclose(found.gross, [intraday, 0.0], rtol=0, atol=1e-15)
    np.testing.assert_allclose(found.turnover, [2.0, 0.0])
    np.testing.assert_allclose(found.spread_cost, [2 * 6e-4, 0.0])
    short_at_close = (9 / 10) / (1 + intraday)
    np.testing.assert_allclose(found.borrow_cost, [short_at_close * 0.005 / 252] * 2)


def delisting_case(execution_price: str):
    """Four names, all held from row 1 on; name 3, the long one, has its last close on row 3."""
    close = np.full((8, 4), 10.0)
    close[4:, 3] = np.nan
    signal = np.full((8, 4), np.nan)
    signal[1] = [0.0, 1.0, 2.0, 3.0]
    candidate = make_candidate(
        portfolio={
            "long_fraction": 0.25,
            "short_fraction": 0.0,
            "rebalance_days": 20,
            "execution_price": execution_price,
        },
        universe={"min_names": 4},
    )
    return run(make_panel(close), candidate, signal)


@pytest.mark.parametrize("execution_price", ["open", "close"])
def test_a_delisted_name_is_closed_once_at_the_delisting_return_and_leaves(execution_price):
    found = delisting_case(execution_price)
    expected = np.zeros(6)
    expected[2] = -0.3  # row 4, the day after the last close
    np.testing.assert_allclose(found.gross, expected, atol=1e-15)
    np.testing.assert_array_equal(found.long_names, [1, 1, 0, 0, 0, 0])


def test_a_name_that_only_pauses_earns_its_whole_move_when_a_close_returns():
    close = np.full((8, 2), 10.0)
    close[4:6, 1] = np.nan
    close[6:, 1] = 12.0
    signal = np.full((8, 2), np.nan)
    signal[1] = [0.0, 1.0]
    candidate = make_candidate(
        portfolio={"long_fraction": 0.5, "short_fraction": 0.0, "rebalance_days": 20}, universe={"min_names": 2}
    )
    found = run(make_panel(close), candidate, signal)
    np.testing.assert_allclose(found.gross, [0, 0, 0, 0, 0.2, 0], atol=1e-15)
    np.testing.assert_array_equal(found.carried, [0, 0, 1, 1, 0, 0])


def test_a_name_without_an_execution_price_keeps_its_weight():
    close = np.full((12, 4), 10.0)
    open_ = close.copy()
    open_[7, 3] = np.nan
    signal = np.full((12, 4), np.nan)
    signal[1], signal[6] = [0, 1, 2, 3], [3, 2, 1, 0]
    candidate = make_candidate(portfolio={"long_fraction": 0.25, "short_fraction": 0.0}, universe={"min_names": 4})
    found = run(make_panel(close, open_=open_), candidate, signal)
    np.testing.assert_array_equal(found.untraded, [0] * 5 + [1] + [0] * 4)
    assert found.turnover[5] == pytest.approx(1.0)  # the new name is bought, the old one cannot be sold
    np.testing.assert_array_equal(found.long_names, [1] * 5 + [2] * 5)


def test_a_book_that_loses_everything_is_closed_and_says_when():
    close = np.full((10, 2), 10.0)
    close[4:, 0] = 30.0
    signal = np.full((10, 2), np.nan)
    signal[1] = [0.0, 1.0]
    signal[6] = [0.0, 1.0]
    candidate = make_candidate(portfolio={"long_fraction": 0.5, "short_fraction": 0.5}, universe={"min_names": 2})
    found = run(make_panel(close), candidate, signal)
    assert found.ruined_row == 4
    np.testing.assert_allclose(found.gross, [0, 0, -2.0, 0, 0, 0, 0, 0], atol=1e-15)
    assert found.turnover[3:].sum() == 0.0


def test_without_enough_names_there_is_no_day():
    panel = random_panel(5)
    found = run(panel, make_candidate(universe={"min_names": 500}), momentum(panel, 10, 1))
    assert found.n_days == 0
    assert found.net_returns(2.0).size == 0


def test_arrays_carry_the_whole_result():
    panel = random_panel(6)
    found = run(panel, make_candidate(), momentum(panel, 10, 1))
    again = Backtest.from_arrays(found.to_arrays())
    for field in fields(Backtest):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(found, field.name))


def test_trades_add_up_to_the_turnover_and_name_their_price():
    panel = random_panel(7)
    found = run(panel, make_candidate(), momentum(panel, 10, 1))
    by_day = np.bincount(found.trade_row - found.start, weights=np.abs(found.trade_weight), minlength=found.n_days)
    np.testing.assert_allclose(by_day, found.turnover, atol=1e-12)
    np.testing.assert_array_equal(found.trade_price, panel.open[found.trade_row, found.trade_name])


def test_more_capital_pays_more_impact_and_nothing_else():
    panel = random_panel(8)
    found = run(panel, make_candidate(), momentum(panel, 10, 1))
    richer = run(panel, make_candidate(portfolio={"target_aum": 4e7}), momentum(panel, 10, 1))
    np.testing.assert_allclose(found.net_returns_at_aum(4.0), richer.net_returns(1.0), atol=1e-14)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), multiplier=st.floats(0, 5))
def test_doubling_all_costs_never_raises_a_net_return(seed, multiplier):
    panel = random_panel(seed, n_dates=60, n_symbols=12)
    found = run(panel, make_candidate(), momentum(panel, 10, 1))
    assert (found.net_returns(2 * multiplier) <= found.net_returns(multiplier)).all()


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_renaming_the_symbols_changes_nothing_without_ties(seed):
    panel = random_panel(seed, n_dates=60, n_symbols=12)
    order = np.random.default_rng(seed).permutation(panel.n_symbols)
    by_name = {name: getattr(panel, name)[:, order] for name in ("open", "high", "low", "close", "volume")}
    shuffled = replace(
        panel, **by_name, last_close=panel.last_close[order], delisting_return=panel.delisting_return[order]
    )
    found = run(panel, make_candidate(), momentum(panel, 10, 1))
    again = run(shuffled, make_candidate(), momentum(shuffled, 10, 1))
    np.testing.assert_allclose(again.gross, found.gross, atol=1e-13)
    np.testing.assert_allclose(again.cost, found.cost, atol=1e-13)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), stop=st.integers(30, 59))
def test_cutting_the_future_changes_no_past_value(seed, stop):
    panel = random_panel(seed, n_dates=60, n_symbols=12)
    candidate = make_candidate()
    whole, part = (run(p, candidate, momentum(p, 10, 1)) for p in (panel, panel.until(stop)))
    for name in ("gross", "turnover", "spread_cost", "impact_cost", "borrow_cost", "untraded", "carried"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[: part.n_days])


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), power=st.integers(-8, 8))
def test_scaling_prices_up_and_volumes_down_changes_nothing(seed, power):
    panel = random_panel(seed, n_dates=60, n_symbols=12)
    scaled = replace(
        panel,
        **{name: getattr(panel, name) * 2.0**power for name in ("open", "high", "low", "close")},
        volume=panel.volume * 2.0**-power,
    )
    found, again = (run(p, make_candidate(), momentum(p, 10, 1)) for p in (panel, scaled))
    for field in fields(Backtest):
        if field.name != "trade_price":
            np.testing.assert_array_equal(getattr(again, field.name), getattr(found, field.name))
