"""Order and ranks of a cross-section, bit for bit those of numpy and scipy."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import stats

from engines.ranks import average_ranks, centred_ranks, row_order, unit_ranks


@settings(max_examples=200)
@given(
    arrays(
        np.float64,
        array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.floats(width=64) | st.sampled_from([0.0, -0.0, 1.0]),
    )
)
def test_row_order_is_numpys_stable_order(values):
    np.testing.assert_array_equal(row_order(values), np.argsort(values, axis=1, kind="stable"))


def test_values_that_differ_in_the_last_bits_are_ordered_too():
    close = 1.0 + np.random.default_rng(1).integers(0, 50, (20, 40)) * np.finfo(float).eps
    np.testing.assert_array_equal(row_order(close), np.argsort(close, axis=1, kind="stable"))
    np.testing.assert_array_equal(row_order(-close), np.argsort(-close, axis=1, kind="stable"))


def test_a_nan_of_either_sign_comes_last():
    minus_nan = np.array([0xFFF8000000000000], dtype=np.uint64).view(np.float64)[0]
    np.testing.assert_array_equal(row_order(np.array([[minus_nan, np.inf, np.nan, -np.inf]])), [[3, 1, 0, 2]])


def test_average_ranks_equal_scipy_with_ties_and_gaps():
    values = np.random.default_rng(1).integers(0, 6, (40, 15)).astype(float)
    values[np.random.default_rng(2).random(values.shape) < 0.2] = np.nan
    np.testing.assert_array_equal(average_ranks(values), stats.rankdata(values, axis=1, nan_policy="omit"))


def test_zero_and_minus_zero_tie():
    np.testing.assert_array_equal(average_ranks(np.array([[0.0, -0.0, 1.0]])), [[1.5, 1.5, 3.0]])


def test_centred_and_unit_ranks():
    values = np.array([[5.0, np.nan, 1.0, 3.0], [2.0, 2.0, 2.0, np.nan]])
    np.testing.assert_array_equal(centred_ranks(values), [[1, 0, -1, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(unit_ranks(values), [[0.5**0.5, 0, -(0.5**0.5), 0], [0, 0, 0, 0]])
