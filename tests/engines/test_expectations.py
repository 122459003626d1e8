"""What a book should do: each figure is the statistic on the record, inside its interval, and the same for the same seed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from engines.expectations import expectations
from engines.risk import annual_volatility, capacity_ratio
from engines.statistics import sharpe_ratio
from tests.reports.recorded_tag import out_of_sample

SERIES = out_of_sample(400)
FOUND = {each.name: each for each in expectations(SERIES, seed=5)}


def test_values_are_the_statistics_of_the_record() -> None:
    net = SERIES.judged_returns(1.0)
    assert FOUND["net Sharpe ratio"].value == sharpe_ratio(net, periods_per_year=252)
    assert FOUND["volatility"].value == annual_volatility(net)
    assert FOUND["rank IC"].value == pytest.approx(SERIES.ic.mean())
    assert FOUND["turnover"].value == pytest.approx(252 * SERIES.turnover.mean())
    assert FOUND["cost"].value == pytest.approx(1e4 * 252 * SERIES.cost.mean())
    assert FOUND["capacity"].value == capacity_ratio(SERIES)


@pytest.mark.parametrize("name", FOUND)
def test_every_value_lies_in_its_interval(name: str) -> None:
    each = FOUND[name]
    assert each.lower <= each.value <= each.upper
    assert each.unit


def test_the_drawdown_of_a_year_is_positive_and_grows_with_volatility() -> None:
    wild = replace(SERIES, gross=3.0 * SERIES.gross)
    drawdown = next(each for each in expectations(wild, seed=5) if each.name == "drawdown of a year")
    assert drawdown.value > FOUND["drawdown of a year"].value > 0


def test_the_seed_decides_and_nothing_else() -> None:
    assert expectations(SERIES, 5) == tuple(FOUND.values())
    assert expectations(SERIES, 6) != tuple(FOUND.values())


def test_a_record_without_ics_has_no_expected_ic() -> None:
    blind = replace(SERIES, daily_ic=np.full(SERIES.n_days, np.nan))
    first = expectations(blind, 5)[0]
    assert math.isnan(first.value)
    assert math.isnan(first.lower)
