"""What is watched of a book: each figure by hand, and what it says of a book that lacks its input."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.monitoring import METRICS, Book, Reference, out_of_sample_book
from engines.statistics import alpha_beta, sharpe_ratio
from engines.walk_forward import OutOfSample, Window


def book(n_days: int = 300, seed: int = 4) -> Book:
    rng = np.random.default_rng(seed)
    return Book(
        dates=np.busday_offset("2020-01-01", np.arange(n_days), roll="forward"),
        net=rng.normal(5e-4, 6e-3, n_days),
        market=rng.normal(3e-4, 1e-2, n_days),
        cost=rng.uniform(0.0, 2e-4, n_days),
        turnover=rng.uniform(0.0, 0.1, n_days),
        ic=np.where(np.arange(n_days) < n_days - 22, rng.normal(0.03, 0.1, n_days), np.nan),
        gross_exposure=rng.uniform(1.9, 2.1, n_days),
        net_exposure=rng.uniform(-0.1, 0.1, n_days),
    )


REFERENCE = Reference(book(1500, seed=1), 21, 7)


def values(metric: str, of: Book, window_days: int | None = None) -> np.ndarray:
    return METRICS[metric].of(of, REFERENCE, window_days)


def test_returns_by_hand() -> None:
    found = replace(book(5), net=np.array([0.10, -0.50, 0.20, -0.10, 0.0]))
    np.testing.assert_allclose(values("daily_loss", found), [-0.10, 0.50, -0.20, 0.10, 0.0])
    np.testing.assert_allclose(values("drawdown", found), [0.0, 0.5, 0.4, 0.46, 0.46], atol=1e-12)
    np.testing.assert_allclose(values("rolling_mean_net", found, 5), [np.nan] * 4 + [-0.06])
    deviation = float(np.std(found.net, ddof=1))
    np.testing.assert_allclose(values("rolling_volatility", found, 5)[-1], deviation * math.sqrt(252))
    np.testing.assert_allclose(values("rolling_net_sharpe", found, 5)[-1], -0.06 / deviation * math.sqrt(252))


def test_rolling_figures_are_those_of_the_statistics_on_each_window() -> None:
    found = book()
    sharpe, beta = values("rolling_net_sharpe", found, 63), values("beta_abs", found, 63)
    for stop in (63, 120, 300):
        net, market = found.net[stop - 63 : stop], found.market[stop - 63 : stop]
        assert sharpe[stop - 1] == pytest.approx(sharpe_ratio(net, periods_per_year=252), rel=1e-9)
        assert beta[stop - 1] == pytest.approx(abs(alpha_beta(net, market).beta), rel=1e-9)
    assert np.isnan(sharpe[:62]).all()
    assert np.isnan(beta[:62]).all()


def test_ratios_are_to_the_out_of_sample_mean() -> None:
    found = book()
    cost = values("cost_ratio", found, 63)[-1]
    assert cost == pytest.approx(found.cost[-63:].mean() / REFERENCE.book.cost.mean())
    trebled = values("turnover_ratio", replace(found, turnover=3 * found.turnover), 63)
    np.testing.assert_allclose(trebled[62:], 3 * values("turnover_ratio", found, 63)[62:])


def test_a_rolling_ic_takes_the_ics_that_exist() -> None:
    found = book()
    ic = values("rolling_ic", found, 20)
    assert np.isnan(ic[-22:]).all()
    assert ic[277] == pytest.approx(found.ic[258:278].mean())
    holed = replace(found, ic=np.where(np.arange(300) % 2, np.nan, found.ic))
    assert values("rolling_ic", holed, 5)[8] == pytest.approx(holed.ic[[0, 2, 4, 6, 8]].mean())


def test_exposures_are_as_of_their_date() -> None:
    found = book()
    np.testing.assert_array_equal(values("gross_exposure", found), found.gross_exposure)
    np.testing.assert_array_equal(values("net_exposure_abs", found), np.abs(found.net_exposure))


def test_the_sharpe_of_resampled_stretches_ranks_the_live_one() -> None:
    share = values("net_sharpe_p", book(), 63)
    assert np.isnan(share[:62]).all()
    assert ((share[62:] > 0) & (share[62:] <= 1)).all()
    terrible = replace(book(), net=book().net - 0.01)
    assert values("net_sharpe_p", terrible, 63)[-1] == pytest.approx(1 / 2001)
    assert REFERENCE.sharpes(63) is REFERENCE.sharpes(63)
    middle = np.median(REFERENCE.sharpes(63))
    assert middle == pytest.approx(sharpe_ratio(REFERENCE.book.net, periods_per_year=252), abs=0.6)


@given(st.integers(5, 80), st.integers(1, 120))
def test_no_figure_knows_a_later_day(window_days: int, n_days: int) -> None:
    """Whatever happens afterwards, a figure of a day stays what it was."""
    whole = book(120)
    cut = whole.take(np.arange(n_days))
    for name, measure in METRICS.items():
        window = window_days if measure.rolling else None
        expected = measure.of(whole, REFERENCE, window)[:n_days]
        np.testing.assert_allclose(measure.of(cut, REFERENCE, window), expected, rtol=1e-7, atol=1e-12, err_msg=name)


def test_a_market_that_stands_still_has_no_beta() -> None:
    assert np.isnan(values("beta_abs", replace(book(), market=np.zeros(300)), 63)).all()


def test_a_book_that_lacks_an_input_is_not_measured() -> None:
    bare = Book(book().dates, book().net)
    for name, measure in METRICS.items():
        if measure.needs != "net":
            with pytest.raises(ValueError, match="lacks this input"):
                values(name, bare, 20)


@pytest.mark.parametrize(("long_only", "gross", "net"), [(False, 2.0, 0.0), (True, 1.0, 1.0)])
def test_the_out_of_sample_record_as_a_book(long_only: bool, gross: float, net: float) -> None:
    days = np.arange(4)
    series = OutOfSample(
        windows=(Window(0, 1, (0, 1), (1, 5)),),
        chosen=("a",),
        rows=days + 1,
        dates=np.arange("2020-01-01", "2020-01-05", dtype="datetime64[D]"),
        window_of_day=np.zeros(4, dtype=np.int64),
        gross=np.array([0.02, 0.0, 0.01, -0.01]),
        spread_cost=np.full(4, 1e-3),
        impact_cost=np.full(4, 2e-3),
        borrow_cost=np.full(4, 3e-3),
        turnover=np.full(4, 0.5),
        market=np.array([0.01, 0.0, 0.0, 0.0]),
        daily_ic=np.array([0.1, 0.2, np.nan, np.nan]),
        daily_net_ics=np.zeros((1, 4)),
        multipliers=(1.0,),
        horizon_days=2,
        long_only=long_only,
    )
    found = out_of_sample_book(series)
    np.testing.assert_array_equal(found.net, series.judged_returns(1.0))
    np.testing.assert_allclose(found.cost, 6e-3)
    assert (set(found.gross_exposure), set(found.net_exposure)) == ({gross}, {net})
