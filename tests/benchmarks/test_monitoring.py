"""The simulation of the triggers measures what it says: a known truth, its stated rate within its interval, changes that are noticed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import monitoring
from benchmarks.monitoring import SHOCKS, Truth, behaviours, main, stated_rate, triggers_of
from engines.monitoring import METRICS, Reference
from engines.statistics import alpha_beta, sharpe_ratio
from reports.deployment.templates import FALSE_ALARM_A_YEAR


@pytest.mark.parametrize("shocks", SHOCKS)
def test_a_truth_is_what_it_says(shocks: str) -> None:
    book = Truth(2.0, shocks).book(30_000, np.random.default_rng(1))
    assert sharpe_ratio(book.net, periods_per_year=252) == pytest.approx(2.0, abs=0.4)
    assert book.net.std() * 252**0.5 == pytest.approx(0.08, rel=0.06)
    assert alpha_beta(book.net, book.market).beta == pytest.approx(0.0, abs=0.02)
    assert np.count_nonzero(book.turnover) == pytest.approx(30_000 / 21, rel=0.01)


@pytest.mark.parametrize(("shocks", "at_most"), [("normal", 1.0), ("t5", 1.0), ("regimes", 3.0)])
def test_the_stated_rate_of_false_alarms_lies_in_its_interval(shocks: str, at_most: float) -> None:
    """The bound of the CUSUM promises 2 % in a first year: 2,000 simulated years, exact interval. Volatility regimes raise it, at most threefold."""
    found = stated_rate(Truth(2.0, shocks), 2000, seed=1)
    assert found.lower <= at_most * FALSE_ALARM_A_YEAR
    assert found.upper >= FALSE_ALARM_A_YEAR


def test_every_metric_has_a_trigger_and_a_behaviour() -> None:
    truth = Truth(3.0, "normal")
    reference = Reference(truth.book(1512, np.random.default_rng(2)), 21, 2)
    assert sorted(trigger.metric for trigger in triggers_of(reference)) == sorted(METRICS)
    rows = {row.metric: row for row in behaviours(truth, 3, 6, seed=4)}
    assert rows.keys() == METRICS.keys()
    assert rows["daily_loss"].median_days == 1
    assert rows["cost_ratio"].median_days == pytest.approx(63, abs=21)
    assert all(row.false_alarms.trials == row.detected.trials == 3 for row in rows.values())


def test_the_command_writes_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(monitoring, "TRUTHS", (("normal", 3.0),))
    assert main(["--records", "1", "--stated", "20", "--out", str(tmp_path / "figures.json")]) == 0
    found = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert found["settings"]["records"] == 1
    assert len(found["normal, Sharpe 3"]["triggers"]) == len(METRICS)
    shown = capsys.readouterr().out
    assert all(shown.count(f"| `{metric}` |") == 2 for metric in METRICS)
