"""Contributions by name: together they are the backtest, whatever the market; alone they name the culprit."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from engines.attribution import attribute
from engines.backtest import run_backtest
from engines.liquidity import measure_liquidity
from engines.signals import momentum
from engines.walk_forward import Window
from tests.engines.panels import make_candidate, make_panel, random_panel
from tests.engines.test_backtest import RULES

WINDOWS = (Window(0, 1, (0, 30), (40, 70)), Window(1, 1, (0, 60), (70, 75)), Window(2, 2, (0, 65), (75, 120)))


def shared(panel, candidate, signals, chosen):
    """(contributions, backtests) of signals by label, each traded over the whole panel."""
    mask = np.ones(panel.close.shape, dtype=bool)
    spec, min_names = (candidate.portfolio, candidate.costs), candidate.universe.min_names
    backtests = {label: run_backtest(panel, signal, mask, *spec, min_names) for label, signal in signals.items()}
    walk_forward = SimpleNamespace(windows=WINDOWS[: len(chosen)], chosen=chosen)
    return attribute(walk_forward, backtests, panel, measure_liquidity(panel), *spec), backtests


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: "-".join(str(value) for value in rule.values()))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_names_of_a_shard_add_up_to_its_days(rule, seed):
    panel, candidate = random_panel(seed), make_candidate(portfolio=rule)
    signals = {"slow": momentum(panel, 20, 1), "fast": momentum(panel, 5, 1)}
    found, backtests = shared(panel, candidate, signals, ("slow", "fast", "slow"))
    assert found.shards == ("wf-1", "wf-2")
    for shard, windows in enumerate(((((40, 70), "slow"), ((70, 75), "fast")), (((75, 120), "slow"),))):
        for name, amounts in (("gross", found.gross), ("cost", found.cost), ("turnover", found.turnover)):
            expected = sum(
                getattr(backtests[label], name)[start - backtests[label].start : stop - backtests[label].start].sum()
                for (start, stop), label in windows
            )
            assert amounts[shard].sum() == pytest.approx(expected, abs=1e-12), name
    np.testing.assert_array_equal(found.net(2.0), found.gross - 2.0 * found.cost)


def test_a_loss_is_laid_at_the_door_of_the_name_that_made_it():
    rng = np.random.default_rng(5)
    close = 100.0 * np.exp(np.cumsum(0.001 * rng.standard_normal((120, 20)), axis=0))
    close[90:, 7] *= 0.4
    signal = np.tile(np.arange(20.0)[::-1], (120, 1))
    signal[:, 7] = 100.0
    found, _ = shared(make_panel(close), make_candidate(), {"it": signal}, ("it", "it", "it"))
    assert int(found.gross.sum(axis=0).argmin()) == 7
    assert found.gross[1, 7] == pytest.approx(found.gross.sum(axis=0).min(), rel=0.05)


def test_a_ruined_book_adds_up_and_earns_nothing_afterwards():
    close = np.full((120, 20), 100.0)
    close[80:, :4] = 2000.0
    signal = np.tile(np.arange(20.0), (120, 1))
    found, backtests = shared(make_panel(close), make_candidate(), {"it": signal}, ("it", "it", "it"))
    assert backtests["it"].ruined_row == 80
    assert found.gross.sum() == pytest.approx(backtests["it"].gross[40 - backtests["it"].start :].sum(), abs=1e-12)
