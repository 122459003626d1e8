"""Each stressor moves what it must, and a planted deaf one is seen."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engines.backtest import run_backtest
from engines.candidate import UniverseSpec, Variant
from engines.signals import momentum
from engines.stress import Perturbation, changed_fills, delayed, perturbed_variants, stress_universe
from tests.engines.panels import make_candidate, random_panel


def test_the_stricter_universe_takes_the_higher_of_both_minimums():
    spec, note = stress_universe(random_panel(1, references=True), UniverseSpec(min_price=8.0, min_market_cap=1e9))
    assert (spec.min_price, spec.min_dollar_volume, spec.min_market_cap) == (8.0, 5e6, 2e9)
    assert note == ""


def test_a_candidate_as_strict_as_the_stress_has_its_own_minimums_raised():
    own = UniverseSpec(min_price=5.0, min_dollar_volume=6e6, min_market_cap=2e9)
    spec, note = stress_universe(random_panel(1, references=True), own)
    assert (spec.min_price, spec.min_dollar_volume, spec.min_market_cap) == (7.5, 9e6, 3e9)
    assert "raised by half" in note


def test_without_market_caps_only_their_filter_is_left_out_and_said_so():
    spec, note = stress_universe(random_panel(1), UniverseSpec())
    assert (spec.min_price, spec.min_dollar_volume, spec.min_market_cap) == (5.0, 5e6, 0.0)
    assert "no market cap" in note


@pytest.mark.parametrize(
    ("parameters", "moved"),
    [
        ({"lookback_days": 252, "skip_days": 21}, [(202, 21), (302, 21), (252, 17), (252, 25)]),
        ({"lookback_days": 2, "skip_days": 0}, [(1, 0), (3, 0)]),
    ],
)
def test_each_parameter_moves_in_turn(parameters, moved):
    found = perturbed_variants(Variant("declared", parameters))
    assert [tuple(variant.parameters.values()) for variant in found] == moved
    assert found[0].label == f"lookback_days={moved[0][0]},skip_days={moved[0][1]}"


def test_only_numbers_are_perturbed():
    variants = perturbed_variants(Variant("declared", {"decay": 0.5, "method": "ewm", "robust": True}))
    found = [variant.parameters for variant in variants]
    assert [point["decay"] for point in found] == pytest.approx([0.4, 0.6])
    assert all(point["method"] == "ewm" and point["robust"] is True for point in found)


def test_a_neighbourhood_is_judged_whole():
    good = Perturbation(1.0, ("a", "b"), np.array([0.8, 0.9]))
    assert good.median_ratio == pytest.approx(0.85)
    assert good.minimum == 0.8
    broken = Perturbation(1.0, ("a", "b"), np.array([0.8, np.nan]))
    assert math.isnan(broken.median_ratio)
    assert math.isnan(broken.minimum)
    assert math.isnan(Perturbation(-1.0, ("a",), np.array([-0.5])).median_ratio)
    assert math.isnan(Perturbation(1.0, (), np.array([])).minimum)


@pytest.fixture(scope="module")
def runs():
    panel, candidate = random_panel(2), make_candidate()
    signal, mask = momentum(panel, 10, 1), np.ones(panel.close.shape, dtype=bool)
    portfolios = (candidate.portfolio, delayed(candidate.portfolio))
    return [run_backtest(panel, signal, mask, portfolio, candidate.costs, 5) for portfolio in portfolios]


def test_a_day_of_delay_moves_the_fills_to_other_prices(runs):
    base, late = runs
    changed = changed_fills(base, late, 1, (40, 80))
    assert changed.size == ((base.trade_row >= 40) & (base.trade_row < 80)).sum()
    assert changed.mean() > 0.9


def test_a_delay_that_moves_nothing_is_seen(runs):
    base, _ = runs
    deaf = base  # what a run that ignores the delay would give, seen one day later
    shifted = type(base)(
        **{name: getattr(deaf, name) for name in base.__dataclass_fields__} | {"trade_row": deaf.trade_row + 1}
    )
    assert not changed_fills(base, shifted, 1, (0, 200)).any()


def test_a_fill_that_is_lost_is_a_changed_one(runs):
    base, _ = runs
    empty = type(base)(
        **{name: getattr(base, name) for name in base.__dataclass_fields__}
        | {name: getattr(base, name)[:0] for name in ("trade_row", "trade_name", "trade_price")}
    )
    assert changed_fills(base, empty, 1, (0, 200)).all()
