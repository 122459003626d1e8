"""Target weights and the rebalance grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.portfolio import mean_of_last, rebalance_rows, target_weights, targets_held
from tests.engines.panels import make_candidate


def rule(**portfolio):
    return make_candidate(portfolio=portfolio).portfolio


def weights(scores, **portfolio):
    signal = np.array([scores], dtype=float)
    return target_weights(signal, np.ones(signal.shape, dtype=bool), rule(**portfolio))[0]


def test_top_and_bottom_share_equally():
    np.testing.assert_allclose(weights([5, 1, 3, 2, 4], long_fraction=0.4, short_fraction=0.2), [0.5, -1, 0, 0, 0.5])


def test_leg_sizes_are_rounded_down():
    np.testing.assert_array_equal(
        np.sign(weights([1, 2, 3, 4, 5, 6, 7, 8, 9], long_fraction=0.25, short_fraction=0.5)),
        [-1, -1, -1, -1, 0, 0, 0, 1, 1],
    )


def test_ties_are_ranked_in_the_order_of_the_symbols():
    np.testing.assert_allclose(weights([1, 1, 1, 1], long_fraction=0.25, short_fraction=0.25), [-1, 0, 0, 1])


def test_shares_by_distance_of_rank_from_the_middle():
    np.testing.assert_allclose(
        weights([10, 20, 30, 40, 500], long_fraction=0.4, short_fraction=0.4, weighting="rank"),
        [-2 / 3, -1 / 3, 0, 1 / 3, 2 / 3],
    )


def test_shares_by_distance_of_signal_from_the_median():
    np.testing.assert_allclose(
        weights([0, 2, 3, 4, 9], long_fraction=0.4, short_fraction=0.4, weighting="signal"),
        [-0.75, -0.25, 0, 1 / 7, 6 / 7],
    )


def test_a_signal_without_spread_is_shared_equally():
    np.testing.assert_allclose(
        weights([2, 2, 2, 2], long_fraction=0.5, short_fraction=0.0, weighting="signal"), [0, 0, 0.5, 0.5]
    )


def test_names_outside_the_mask_or_without_a_signal_are_not_held():
    signal = np.array([[np.nan, 1.0, 2.0, 3.0, 4.0, 99.0]])
    mask = np.array([[True, True, True, True, True, False]])
    np.testing.assert_allclose(
        target_weights(signal, mask, rule(long_fraction=0.25, short_fraction=0.25))[0], [0, -1, 0, 0, 1, 0]
    )


def test_nobody_to_hold_is_an_empty_book():
    assert not target_weights(np.full((1, 4), np.nan), np.ones((1, 4), dtype=bool), rule()).any()
    assert not weights([1, 2, 3], long_fraction=0.2, short_fraction=0.2).any()


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 40),
    long_fraction=st.floats(0.01, 0.5),
    short_fraction=st.floats(0.0, 0.5),
    weighting=st.sampled_from(["equal", "rank", "signal"]),
)
def test_legs_sum_to_one_and_never_overlap(seed, n, long_fraction, short_fraction, weighting):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 5, n).astype(float)
    scores[rng.random(n) < 0.2] = np.nan
    found = weights(scores, long_fraction=long_fraction, short_fraction=short_fraction, weighting=weighting)
    names = np.isfinite(scores).sum()
    assert found[found > 0].sum() == pytest.approx(1.0 if int(long_fraction * names) else 0.0)
    assert found[found < 0].sum() == pytest.approx(-1.0 if int(short_fraction * names) else 0.0)
    assert (found > 0).sum() <= int(long_fraction * names)
    if (found > 0).any() and (found < 0).any():
        assert scores[found > 0].min() >= scores[found < 0].max()


def test_the_grid_starts_with_the_first_date_of_enough_names():
    eligible = np.zeros((20, 3), dtype=bool)
    eligible[4:, :2] = True
    np.testing.assert_array_equal(rebalance_rows(eligible, 5, 2), [4, 9, 14, 19])
    assert rebalance_rows(eligible, 5, 3).size == 0


@pytest.mark.parametrize(("anchor", "expected"), [(2, [7, 12, 17]), (4, [4, 9, 14, 19]), (6, [6, 11, 16])])
def test_an_anchored_grid_starts_when_there_are_names_and_keeps_its_dates(anchor, expected):
    eligible = np.zeros((20, 3), dtype=bool)
    eligible[4:, :2] = True
    np.testing.assert_array_equal(rebalance_rows(eligible, 5, 2, first_rebalance=anchor), expected)


def test_the_book_is_the_mean_of_the_targets_that_exist():
    targets = np.array([[1.0, 0.0], [0.0, 1.0], [4.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(mean_of_last(targets, 3), [[1, 0], [0.5, 0.5], [5 / 3, 1 / 3], [4 / 3, 1 / 3]])
    np.testing.assert_array_equal(mean_of_last(targets, 1), targets)
    np.testing.assert_allclose(mean_of_last(targets[:1], 3), targets[:1])


@pytest.mark.parametrize(("horizon", "rebalance", "held"), [(21, 21, 1), (22, 21, 2), (5, 21, 1), (63, 21, 3)])
def test_how_many_targets_make_the_book(horizon, rebalance, held):
    assert targets_held(rule(horizon_days=horizon, rebalance_days=rebalance)) == held
