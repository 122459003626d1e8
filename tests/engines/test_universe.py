"""Each filter by hand, point in time, and the audit of who was rejected by what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.candidate import UniverseSpec
from engines.errors import DataError
from engines.universe import build_universe, stricter
from tests.engines.panels import make_panel, random_panel


def column(values) -> np.ndarray:
    return np.array([values], dtype=float).T


def test_a_filter_that_is_left_out_excludes_nobody_even_without_a_price():
    universe = build_universe(make_panel(column([np.nan, 10.0])), UniverseSpec())
    assert universe.mask.all()
    assert universe.active == ()
    assert universe.rejected == {}


def test_price_is_judged_at_the_close_of_the_day():
    universe = build_universe(make_panel(column([4.99, 5.0, np.nan])), UniverseSpec(min_price=5.0))
    np.testing.assert_array_equal(universe.mask[:, 0], [False, True, False])


def test_dollar_volume_is_the_median_of_up_to_twenty_rows():
    panel = make_panel(column([10.0, 10.0, np.nan, 10.0]), volume=column([100, 300, np.nan, 100]))
    universe = build_universe(panel, UniverseSpec(min_dollar_volume=1500.0))
    np.testing.assert_array_equal(universe.mask[:, 0], [False, True, True, False])


def test_history_counts_rows_with_a_close():
    universe = build_universe(make_panel(column([np.nan, 10.0, np.nan, 10.0])), UniverseSpec(min_history_days=2))
    np.testing.assert_array_equal(universe.mask[:, 0], [False, False, False, True])


def test_market_cap_and_membership_come_from_the_reference_tables():
    panel = replace(
        make_panel(np.full((2, 3), 10.0)),
        market_cap=np.array([[1e9, 3e9, np.nan]] * 2),
        member=np.array([[True, True, True], [True, False, True]]),
    )
    universe = build_universe(panel, UniverseSpec(min_market_cap=2e9))
    np.testing.assert_array_equal(universe.mask, [[False, True, False], [False, False, False]])
    assert universe.active == ("market_cap", "membership")
    np.testing.assert_array_equal(universe.rejected["market_cap"], [2, 2])
    np.testing.assert_array_equal(universe.rejected["membership"], [0, 1])


def test_a_market_cap_filter_without_market_caps_is_refused():
    with pytest.raises(DataError, match="declares no market caps"):
        build_universe(make_panel(column([10.0])), UniverseSpec(min_market_cap=1.0))


def test_the_audit_says_who_was_rejected_by_what():
    panel = make_panel(np.array([[3.0, 10.0], [3.0, 10.0]]))
    universe = build_universe(panel, UniverseSpec(min_price=5.0, min_history_days=2))
    np.testing.assert_array_equal(universe.rejected_by("price"), [[True, False], [True, False]])
    np.testing.assert_array_equal(universe.rejected_by("history"), [[True, True], [False, False]])
    assert not universe.rejected_by("membership").any()


def test_stricter_keeps_the_higher_minimum():
    spec = stricter(UniverseSpec(min_price=10.0, min_dollar_volume=1e6), min_price=5.0, min_dollar_volume=5e6)
    assert (spec.min_price, spec.min_dollar_volume, spec.min_names) == (10.0, 5e6, 50)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), stop=st.integers(1, 59))
def test_the_universe_of_a_date_does_not_depend_on_later_data(seed, stop):
    panel = random_panel(seed, n_dates=60, n_symbols=8)
    spec = UniverseSpec(min_price=20.0, min_dollar_volume=1e6, min_history_days=10)
    whole, part = build_universe(panel, spec), build_universe(panel.as_known_at(stop), spec)
    np.testing.assert_array_equal(part.broken, whole.broken[:stop])


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), price=st.floats(0, 100), dollars=st.floats(0, 1e7))
def test_a_stricter_universe_holds_nobody_new(seed, price, dollars):
    panel = random_panel(seed, n_dates=40, n_symbols=8)
    spec = UniverseSpec(min_price=10.0)
    strict = build_universe(panel, stricter(spec, min_price=price, min_dollar_volume=dollars))
    assert not (strict.mask & ~build_universe(panel, spec).mask).any()
