"""The calibration measures what it says: its short cuts equal the study, its gates are the policy's, and noise looks like noise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from benchmarks import calibration
from benchmarks.bench import Bench, Design, single_trial
from benchmarks.calibration import families, main, power, shuffled_real
from benchmarks.gate_runner import ask, hard_cells, policy, walk
from benchmarks.planted_market import draw_scores, smoothed
from engines.statistics import sharpe_ratio, student_t_of_mean
from engines.statistics.rates import rate
from reports.criteria.evidence import Threshold

SMALL = Design(n_names=80, years=5)
STRONG_EDGE = 8e-4
WAIVED = (calibration.REBALANCE_FLOOR,)  # five years of months are never 60


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(SMALL, 1, tmp_path_factory.mktemp("bench"))


def scores(seed: int, half_life_days: float = 63.0) -> np.ndarray:
    return draw_scores(np.random.default_rng(seed), SMALL.n_days, SMALL.n_names, half_life_days)


@pytest.mark.parametrize(("passed", "trials"), [(0, 40), (1, 40), (20, 40), (39, 40), (40, 40)])
def test_a_rate_has_the_exact_interval(passed: int, trials: int) -> None:
    found, exact = rate(passed, trials), binomtest(passed, trials).proportion_ci(0.95, "exact")
    assert found.share == passed / trials
    assert (found.lower, found.upper) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_the_short_cuts_equal_the_study(bench: Bench) -> None:
    planted = scores(3)
    with bench.study(planted) as study:
        declared = study.variants[0]
        np.testing.assert_allclose(study.signal(declared), smoothed(planted, 5)[: study.sealed.n_dates], atol=1e-9)
        assert bench.spaced_ic_test(planted) == pytest.approx(student_t_of_mean(study.baseline.spaced_ic), abs=1e-9)
        assert bench.daily_sharpe(planted) == pytest.approx(sharpe_ratio(study.judged_returns(declared, 1.0)), abs=1e-9)


def test_scores_keep_their_variance_and_their_half_life() -> None:
    for half_life_days, expected in ((0.0, 0.0), (63.0, 0.5 ** (1 / 63))):
        drawn = draw_scores(np.random.default_rng(1), 2000, 200, half_life_days)
        assert drawn.std() == pytest.approx(1.0, abs=0.03)
        assert drawn[0].std() == pytest.approx(1.0, abs=0.15)
        assert np.corrcoef(drawn[1:].ravel(), drawn[:-1].ravel())[0, 1] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("half_life_days", [0.0, 63.0])
def test_the_deciding_t_of_noise_has_unit_spread(bench: Bench, half_life_days: float) -> None:
    t_stats = [bench.spaced_ic_test(scores(100 + k, half_life_days)).t_stat for k in range(60)]
    assert abs(np.mean(t_stats)) < 4 / 60**0.5
    assert 0.7 < np.std(t_stats) < 1.35


def test_real_skill_walks_through_every_gate_that_is_asked(bench: Bench) -> None:
    planted = scores(5)
    with bench.study(planted, STRONG_EDGE) as study:
        road = walk(study, single_trial, 1, first_trial=True, waived=WAIVED)
        cells = hard_cells(study, first_trial=True)
    assert road.failed_gate is None
    assert [answer.gate for answer in road.answers] == [cell.gate for cell in cells]
    for cell, answer in zip(cells, road.answers, strict=True):
        assert answer.values.keys() == {threshold.id for threshold in cell.thresholds}
    asked = {cell.gate for cell in cells}
    rows = [
        row.key
        for row in policy().gate
        if row.level == "hard" and row.min_variants == 1 and row.stage in ("s1", "s2", "s3")
    ]
    left_out = {"s1.no_lookahead", "s1.leak_control", "s2.no_skips", "s3.governance"}
    assert {key for key in rows if not key.startswith("s1.dq.")} - asked == left_out


def test_noise_stops_at_the_first_gate_that_turns_it_away(bench: Bench) -> None:
    with bench.study(scores(6, 0.0)) as study:
        road = walk(study, single_trial, 1, first_trial=True)
    assert road.failed_gate is not None
    assert not any(answer.passed for answer in road.answers[-1:])
    assert all(answer.passed for answer in road.answers[:-1])
    assert not road.passed_stage("s3")


def test_a_threshold_decides_and_an_assert_does_not(bench: Bench) -> None:
    with bench.study(scores(7)) as study:
        cell = next(cell for cell in hard_cells(study, first_trial=True) if cell.gate == "s1.ic_t")
        assert cell.thresholds[0] == Threshold("s1.ic_t", ">=", 2.0, cell.thresholds[0].unit, 1)
        answer = ask(cell, study, single_trial, 1)
        assert answer.passed == (answer.values["s1.ic_t"] >= 2.0)


def test_the_parts_have_their_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "FAMILY_SIZE", 2)
    monkeypatch.setattr(calibration, "SIGNIFICANT_T", (2.0, -9.0))  # every variant walks on, the others registered
    found = families(1, SMALL)
    assert found["recorded: a variant has t >= 3"]["passed"] == 1
    assert found["recorded: a variant is promoted"]["passed"] == 0
    monkeypatch.setattr(calibration, "TRUE_SHARPES", (3.0,))
    monkeypatch.setattr(calibration, "YEARS", (5,))
    table = calibration.edge_table(1, SMALL)
    assert table.mean_without_edge < 0 < table.mean_per_edge
    assert power(1, table, SMALL)["net Sharpe 3 over 5 years"]["through s1"]["trials"] == 1


def test_the_command_writes_its_settings_and_rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "NOISE_KINDS", calibration.NOISE_KINDS[:1])
    out = tmp_path / "figures.json"
    size = ["--names", "60", "--years", "5"]
    counts = ["--noise", "3", "--studied", "2", "--families", "0", "--seeds", "0", "--shuffles", "0"]
    assert main([*counts, *size, "--out", str(out)]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert (found["settings"]["n_names"], found["settings"]["years"]) == (60, 5)
    (figures,) = found["noise"].values()
    assert figures["s1.ic_t >= 2"]["trials"] == figures["s1 to s3"]["trials"] == 3
    assert figures["s1.placebo"]["trials"] == figures["s3.deflated_sharpe"]["trials"] == 2
    assert sum(figures["last gate"].values()) == 3
    assert "families" not in found


@pytest.mark.skipif(not calibration.REAL_PRICES.is_file(), reason="the real market data are not here")
def test_shuffled_real_prices_carry_no_signal() -> None:
    for kind in shuffled_real(30).values():
        assert 0.6 < kind["standard deviation of t"] < 1.5
        assert kind["s1.ic_t >= 3"]["share"] < 0.1
