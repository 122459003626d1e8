"""Labels and marks: which price closes them, when a name pauses, is delisted, or the panel ends."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.forward import PriceMarks, forward_returns, is_delisted, universe_return
from tests.engines.panels import make_panel, random_panel


def column(values) -> np.ndarray:
    return np.array([[value] for value in values], dtype=float)


def test_label_runs_from_the_execution_to_the_horizon_and_ends_inside_the_panel():
    panel = make_panel(column([1, 2, 4, 8, 16, 32]), open_=column([1, 3, 5, 7, 9, 11]))
    np.testing.assert_allclose(
        forward_returns(panel, 1, 2, "open")[:, 0], [7 / 3 - 1, 9 / 5 - 1, 11 / 7 - 1, np.nan, np.nan, np.nan]
    )
    np.testing.assert_allclose(forward_returns(panel, 0, 1, "close")[:, 0], [1, 1, 1, 1, 1, np.nan])


def test_a_gap_at_either_end_leaves_no_label():
    panel = make_panel(column([1, 2, np.nan, 4, 5, 6]))
    found = forward_returns(panel, 1, 2, "close")[:, 0]
    np.testing.assert_array_equal(np.isnan(found), [False, True, False, True, True, True])


@pytest.mark.parametrize("price", ["open", "close"])
def test_a_delisting_closes_the_label_early_and_a_merger_pays_the_last_price(price):
    close = np.column_stack(
        [
            [10, 10, 10, 20, np.nan, np.nan, np.nan, np.nan],
            [10, 10, 10, 20, np.nan, np.nan, np.nan, np.nan],
            np.full(8, 10.0),
        ]
    )
    panel = make_panel(close, delisting_return=[-0.3, 0.0, -0.3])
    found = forward_returns(panel, 1, 3, price)
    np.testing.assert_allclose(
        found[0], [0.4, 1.0, 0.0]
    )  # would be sold on row 4: closed at 20 less the delisting return
    np.testing.assert_allclose(found[2], [-0.3, 0.0, 0.0])  # bought on row 3 at 20
    np.testing.assert_array_equal(np.isnan(found[3]), [True, True, False])  # could not be bought any more


def test_a_cut_panel_remembers_that_the_name_trades_on():
    close = column([10, 10, 11, np.nan, np.nan, 12])
    panel = make_panel(close)
    assert not is_delisted(panel.until(4))[0]
    assert is_delisted(panel.as_known_at(4))[0]
    assert np.isnan(forward_returns(panel.until(4), 1, 2, "close")[0, 0])


def test_marks_carry_the_last_close_and_end_at_the_delisting_price():
    marks = PriceMarks.of(
        make_panel(np.column_stack([[np.nan, 10, np.nan, 12, np.nan, np.nan], np.full(6, 5.0)]), delisting_return=-0.5)
    )
    np.testing.assert_array_equal(marks.price[:, 0], [np.nan, 10, 10, 12, 6, 6])
    np.testing.assert_array_equal(marks.row[:, 0], [-1, 1, 1, 3, 3, 3])


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), cut=st.integers(20, 60))
def test_marks_are_those_of_a_plain_forward_fill(seed, cut):
    panel = random_panel(seed, n_dates=60, n_symbols=8)
    panel = panel.until(cut)
    marks = PriceMarks.of(panel)
    filled = pd.DataFrame(panel.close).ffill().to_numpy(copy=True)
    for name in range(panel.n_symbols):
        finite = [row for row in range(panel.n_dates) if np.isfinite(panel.close[row, name])]
        last_row = [max((row for row in finite if row <= date), default=-1) for date in range(panel.n_dates)]
        assert marks.row[:, name].tolist() == last_row
        if is_delisted(panel)[name] and panel.last_close[name] < panel.n_dates:
            last = int(panel.last_close[name])
            filled[last + 1 :, name] = panel.close[last, name] * (1.0 + panel.delisting_return[name])
    np.testing.assert_array_equal(marks.price, filled)


def test_universe_return_counts_a_delisting_once_and_spares_the_gone():
    close = np.column_stack([[10, 10, np.nan, np.nan], [10, 11, 11, 11]]).astype(float)
    mask = np.ones(close.shape, dtype=bool)
    np.testing.assert_allclose(universe_return(make_panel(close), mask), [np.nan, 0.05, -0.15, 0.0])


def test_universe_return_uses_the_membership_of_the_close_before():
    close = np.array([[10.0, 10.0], [11.0, 12.0], [11.0, 12.0]])
    mask = np.array([[True, False], [False, True], [False, False]])
    np.testing.assert_allclose(universe_return(make_panel(close), mask), [np.nan, 0.1, 0.0])


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), stop=st.integers(20, 59))
def test_cutting_the_panel_removes_labels_but_changes_none(seed, stop):
    panel = random_panel(seed, n_dates=60, n_symbols=8)
    whole, part = (forward_returns(p, 1, 5, "open") for p in (panel, panel.until(stop)))
    kept = np.isfinite(part)
    np.testing.assert_array_equal(part[kept], whole[:stop][kept])
    assert kept.sum() == np.isfinite(whole[: stop - 6]).sum()
