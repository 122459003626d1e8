"""The calibration measures what it says: its short cuts equal the study, its gates are the policy's, and noise looks like noise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from benchmarks.bench import Design, SimulatedBench, single_trial
from benchmarks.calibration import families, power, real
from benchmarks.calibration.__main__ import main, with_horizon
from benchmarks.calibration.families import family_rates, judge_family
from benchmarks.calibration.journal import Journal
from benchmarks.calibration.noise import Noise, SimulatedNoise
from benchmarks.calibration.real import DealtNoise, RealBench, deal
from benchmarks.gate_runner import FAMILY_GATES, ask, first_failure_in_family, hard_cells, policy, walk
from benchmarks.planted_market import draw_scores, smoothed
from engines.statistics import sharpe_ratio, student_t_of_mean
from engines.statistics.rates import rate
from reports.criteria.evidence import Threshold
from reports.criteria.trials import FamilyTrials, Trial

SMALL = Design(n_names=80, years=5)
STRONG_EDGE = 8e-4
WAIVED = (power.REBALANCE_FLOOR,)  # five years of months are never 60
needs_real_prices = pytest.mark.skipif(not real.REAL_PRICES.is_file(), reason="the real market data are not here")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> SimulatedBench:
    return SimulatedBench(SMALL, 1, tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def weekly(tmp_path_factory: pytest.TempPathFactory) -> SimulatedBench:
    return SimulatedBench(with_horizon(SMALL, 1), 2, tmp_path_factory.mktemp("weekly"))


@pytest.fixture(scope="module")
def real_bench(tmp_path_factory: pytest.TempPathFactory) -> RealBench:
    return RealBench(tmp_path_factory.mktemp("real"), "large caps")


def scores(seed: int, half_life_days: float = 63.0) -> np.ndarray:
    return draw_scores(np.random.default_rng(seed), SMALL.n_days, SMALL.n_names, half_life_days)


@pytest.mark.parametrize(("passed", "trials"), [(0, 40), (1, 40), (20, 40), (39, 40), (40, 40)])
def test_a_rate_has_the_exact_interval(passed: int, trials: int) -> None:
    found, exact = rate(passed, trials), binomtest(passed, trials).proportion_ci(0.95, "exact")
    assert found.share == passed / trials
    assert (found.lower, found.upper) == pytest.approx((exact.low, exact.high), abs=1e-9)


def agrees_with_the_study(noise: Noise, number: int) -> None:
    look, study = noise.bench.look(noise.signal(number)), noise.study(number)
    assert look.test == student_t_of_mean(study.baseline.spaced_ic)
    assert look.daily_sharpe == sharpe_ratio(study.judged_returns(study.variants[0], 1.0))
    (cell,) = (cell for cell in hard_cells(study, first_trial=True) if cell.gate == "s3.deflated_sharpe")
    assert look.deflated_sharpe(1.0) == ask(cell, study, single_trial, 1).values["s3.deflated_sharpe"]
    assert look.deflated_sharpe(0.0) > look.deflated_sharpe(1.0)


def test_the_quick_look_is_the_study_to_the_last_bit(bench: SimulatedBench, weekly: SimulatedBench) -> None:
    agrees_with_the_study(SimulatedNoise(bench, 63.0, (1,)), 3)
    agrees_with_the_study(SimulatedNoise(weekly, 0.0, (1,)), 4)


@needs_real_prices
@pytest.mark.parametrize("each_date", [True, False])
def test_the_quick_look_at_dealt_scores_is_the_study_to_the_last_bit(real_bench: RealBench, each_date: bool) -> None:
    agrees_with_the_study(DealtNoise(real_bench, each_date), 5)


def test_a_deal_keeps_every_score_of_its_date() -> None:
    signal = np.random.default_rng(1).standard_normal((6, 9))
    signal[2:, 0] = np.nan
    for each_date in (True, False):
        dealt = deal(signal, [1, 4], 7, each_date=each_date)
        assert np.isnan(dealt[[0, 2, 3, 5]]).all()
        np.testing.assert_array_equal(np.sort(dealt[[1, 4]]), np.sort(signal[[1, 4]]))
        assert (dealt[1] != signal[1]).any()
    held = deal(signal, range(6), 7, each_date=False)
    np.testing.assert_array_equal(held[0], signal[0][np.random.default_rng([7, 0]).permutation(9)])
    assert np.isnan(deal(signal, [3], 7, each_date=True)[3, 0]), "a name without a score is dealt none"


def test_scores_keep_their_variance_and_their_half_life() -> None:
    for half_life_days, expected in ((0.0, 0.0), (63.0, 0.5 ** (1 / 63))):
        drawn = draw_scores(np.random.default_rng(1), 2000, 200, half_life_days)
        assert drawn.std() == pytest.approx(1.0, abs=0.03)
        assert drawn[0].std() == pytest.approx(1.0, abs=0.15)
        assert np.corrcoef(drawn[1:].ravel(), drawn[:-1].ravel())[0, 1] == pytest.approx(expected, abs=0.01)


def test_the_signal_file_averages_the_scores(bench: SimulatedBench) -> None:
    planted = scores(3)
    study = bench.study(planted)
    np.testing.assert_allclose(study.signal(study.variants[0]), smoothed(planted, 5)[: study.sealed.n_dates], atol=1e-9)


@pytest.mark.parametrize("half_life_days", [0.0, 63.0])
def test_the_deciding_t_of_noise_has_unit_spread(bench: SimulatedBench, half_life_days: float) -> None:
    t_stats = [bench.ic_test(bench.signal(scores(100 + k, half_life_days))).t_stat for k in range(60)]
    assert abs(np.mean(t_stats)) < 4 / 60**0.5
    assert 0.7 < np.std(t_stats) < 1.35


def test_real_skill_walks_through_every_gate_that_is_asked(bench: SimulatedBench) -> None:
    study = bench.study(scores(5), STRONG_EDGE)
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


def test_only_the_gates_that_know_the_family_differ_for_a_later_trial(bench: SimulatedBench) -> None:
    study = bench.study(scores(5), STRONG_EDGE)
    first, later = ({cell.gate: cell.thresholds for cell in hard_cells(study, first_trial=f)} for f in (True, False))
    assert {gate for gate in first if first[gate] != later[gate]} <= set(FAMILY_GATES)
    many = tuple(Trial("earlier", str(k), 0.5, 0.2 * k) for k in range(9))

    def family(_: object) -> FamilyTrials:
        return FamilyTrials(0.5, single_trial(study).own, many, 0, 1.0)

    assert first_failure_in_family(study, single_trial, 1) == "none"
    assert first_failure_in_family(study, family, 1) == "s3.stat_gate_factor_pass"


def test_noise_stops_at_the_first_gate_that_turns_it_away(bench: SimulatedBench) -> None:
    road = walk(bench.study(scores(6, 0.0)), single_trial, 1, first_trial=True)
    assert road.failed_gate is not None
    assert not any(answer.passed for answer in road.answers[-1:])
    assert all(answer.passed for answer in road.answers[:-1])
    assert not road.passed_stage("s3")
    only_s3 = walk(bench.study(scores(6, 0.0)), single_trial, 1, first_trial=True, stages=("s3",))
    assert only_s3.answers[0].gate.startswith("s3.")


def test_a_threshold_decides_and_an_assert_does_not(bench: SimulatedBench) -> None:
    study = bench.study(scores(7))
    cell = next(cell for cell in hard_cells(study, first_trial=True) if cell.gate == "s1.ic_t")
    assert cell.thresholds[0] == Threshold("s1.ic_t", ">=", 2.0, cell.thresholds[0].unit, 1)
    answer = ask(cell, study, single_trial, 1)
    assert answer.passed == (answer.values["s1.ic_t"] >= 2.0)


def test_a_family_hands_in_its_best_by_net_sharpe(bench: SimulatedBench) -> None:
    noise = SimulatedNoise(bench, 63.0, (9,))
    judged = judge_family(noise, 1, size=4, waived=WAIVED)
    sharpes = [bench.look(noise.signal(number)).daily_sharpe for number in range(4)]
    assert judged["best_daily_sharpe"] == max(sharpes)
    rates = family_rates([judged, {**judged, "recorded": "none", "significant": {"2": "none"}}])
    assert rates["the best passes: recorded"]["passed"] == 1
    assert rates["some variant with t >= 3 is promoted"]["passed"] == 1


def test_a_journal_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    measured: list[str] = []

    def measure(unit: str) -> dict[str, str]:
        measured.append(unit)
        return {"of": unit}

    journal = Journal(tmp_path, "part", {"n": 1})
    assert [journal.figure(unit, lambda unit=unit: measure(unit)) for unit in "ab"] == [{"of": "a"}, {"of": "b"}]
    with journal.path.open("ab") as file:
        file.write(b'{"unit": "c", "figu')
    again = Journal(tmp_path, "part", {"n": 1})
    assert [again.figure(unit, lambda unit=unit: measure(unit)) for unit in "abc"] == [{"of": u} for u in "abc"]
    assert measured == ["a", "b", "c"]
    assert [json.loads(line).get("unit") for line in journal.path.read_text().splitlines()] == [None, "a", "b", "c"]
    assert Journal(tmp_path, "part", {"n": 2}).path != journal.path


def test_the_command_writes_its_settings_and_rates_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "FAMILY_SIZE", 2)
    monkeypatch.setattr(power, "TRUE_SHARPES", (3.0,))
    monkeypatch.setattr(power, "YEARS", (5,))
    monkeypatch.setattr("benchmarks.calibration.__main__.NOISE_KINDS", (("white", 0.0, 21),))
    out, journal = tmp_path / "figures.json", tmp_path / "journal"
    size = ["--names", "60", "--years", "5", "--edge-markets", "1", "--journal", str(journal), "--out", str(out)]
    assert main(["--noise", "3", "--seeds", "1", *size]) == 0
    found, written = json.loads(out.read_text(encoding="utf-8")), sorted(journal.iterdir())
    assert (found["settings"]["n_names"], found["settings"]["years"]) == (60, 5)
    assert found["noise"]["white"]["s1.ic_t >= 2"]["trials"] == found["noise"]["white"]["s1 to s3"]["trials"] == 3
    assert found["power"]["net Sharpe 3 over 5 years"]["through s1"]["trials"] == 1
    assert found["edge"]["mean_without_edge"] < 0 < found["edge"]["mean_per_edge"]
    before = [path.read_bytes() for path in written]
    assert main(["--noise", "3", "--seeds", "1", *size]) == 0
    assert [path.read_bytes() for path in written] == before
    assert json.loads(out.read_text(encoding="utf-8")) == found
