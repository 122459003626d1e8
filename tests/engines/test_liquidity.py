"""Trailing dollar volume and volatility against pandas, and what an empty row does to them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from engines.liquidity import (
    close_returns,
    measure_liquidity,
    trailing_median_dollar_volume,
    trailing_standard_deviation,
    trailing_volatility,
)
from tests.engines.panels import make_panel, random_panel


@pytest.mark.parametrize("min_rows", [1, 7, 20])
def test_median_dollar_volume_equals_pandas(min_rows):
    panel = random_panel(1)
    expected = pd.DataFrame(panel.close * panel.volume).rolling(20, min_periods=min_rows).median()
    np.testing.assert_array_equal(trailing_median_dollar_volume(panel, min_rows=min_rows), expected)


def test_volatility_equals_pandas_and_asks_for_every_return():
    panel = random_panel(3)
    expected = pd.DataFrame(panel.close).pct_change(fill_method=None).rolling(20, min_periods=20).std(ddof=1)
    np.testing.assert_allclose(trailing_volatility(panel), expected, rtol=1e-9, atol=1e-14)


def test_constant_values_have_no_deviation_however_large():
    assert (trailing_standard_deviation(np.full((30, 2), 1e12), 5)[4:] == 0.0).all()


def test_too_short_a_panel_has_no_volatility():
    assert np.isnan(trailing_volatility(random_panel(4, n_dates=20, late=0, delisted=0))).all()


def test_close_returns_do_not_bridge_a_gap():
    returns = close_returns(make_panel([[10.0], [np.nan], [12.0], [15.0]]))
    np.testing.assert_array_equal(returns[:, 0], [np.nan, np.nan, np.nan, 0.25])


def test_a_name_without_volume_has_no_adv():
    close = np.full((25, 1), 10.0)
    assert np.isnan(measure_liquidity(make_panel(close, volume=np.zeros((25, 1)))).adv_usd).all()
    np.testing.assert_array_equal(measure_liquidity(make_panel(close)).adv_usd[19:], 1e7)
