"""One definition of cost: rates worked by hand, and who pays for a name without liquidity."""

from __future__ import annotations

import numpy as np
import pytest

from engines.costs import borrow_rate_per_day, impact_rate, impact_unknown, participation, spread_rate, unassumed_costs
from tests.engines.panels import make_candidate

COSTS = make_candidate().costs


def test_rates_in_the_units_of_the_candidate_file():
    assert spread_rate(COSTS) == pytest.approx(6e-4)
    assert borrow_rate_per_day(COSTS) == pytest.approx(0.005 / 252)


def test_impact_is_the_square_root_law():
    change = np.array([0.01, -0.04, 0.0])
    rate = impact_rate(change, np.full(3, 0.02), np.full(3, 1e6), COSTS, 1e7)
    np.testing.assert_allclose(participation(change, np.full(3, 1e6), 1e7), [0.1, 0.4, 0.0])
    np.testing.assert_allclose(rate, [0.8 * 0.02 * np.sqrt(0.1), 0.8 * 0.02 * np.sqrt(0.4), 0.0])


@pytest.mark.parametrize(
    ("sigma", "adv"), [([0.02, 0.02, np.nan], [1e6, 1e6, 1e6]), ([0.02, 0.02, 0.02], [1e6, 1e6, np.nan])]
)
def test_a_trade_of_unknown_liquidity_pays_the_largest_rate_of_the_day(sigma, adv):
    change = np.array([0.01, -0.04, 0.001])
    rate = impact_rate(change, np.array(sigma), np.array(adv), COSTS, 1e7)
    assert rate[2] == rate[1] == rate.max()
    np.testing.assert_array_equal(impact_unknown(change, np.array(sigma), np.array(adv)), [False, False, True])


def test_the_largest_rate_is_the_one_of_its_own_day():
    change = np.array([[0.01, 0.01], [0.09, 0.01]])
    adv = np.array([[1e6, np.nan], [1e6, np.nan]])
    rate = impact_rate(change, np.full((2, 2), 0.02), adv, COSTS, 1e7)
    np.testing.assert_allclose(rate[:, 1], rate[:, 0])


def test_an_idle_name_of_unknown_liquidity_pays_nothing():
    rate = impact_rate(np.array([0.01, 0.0]), np.array([0.02, np.nan]), np.array([1e6, np.nan]), COSTS, 1e7)
    assert rate[1] == 0.0
    assert not impact_unknown(np.array([0.0]), np.array([np.nan]), np.array([np.nan]))[0]


def test_without_any_known_liquidity_impact_is_not_invented():
    assert impact_rate(np.array([0.01]), np.array([np.nan]), np.array([1e6]), COSTS, 1e7)[0] == 0.0


@pytest.mark.parametrize(
    ("changed", "lacking"),
    [
        ({}, ()),
        ({"half_spread_bps": 0.0}, ("half_spread_bps",)),
        ({"impact_coefficient": 0.0, "source": " "}, ("impact_coefficient", "source")),
        ({"borrow_bps_per_year": 0.0}, ("borrow_bps_per_year",)),
    ],
)
def test_costs_that_nobody_answers_for_are_named(changed, lacking):
    assert unassumed_costs(make_candidate(costs=changed).costs, short_fraction=0.2) == lacking


def test_a_long_only_book_needs_no_borrow():
    assert unassumed_costs(make_candidate(costs={"borrow_bps_per_year": 0.0}).costs, short_fraction=0.0) == ()
