"""A study as a whole: what each part is made of, what the store keeps, and what the seal hides."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engines import measurements
from engines.candidate import Candidate
from engines.errors import CandidateError, DataError
from engines.forward import forward_returns
from engines.ic import rank_ic
from engines.signals import momentum
from engines.store import ArrayStore
from engines.study import Study, open_study, per_rebalance
from tests.engines.panels import candidate_config, make_candidate, make_panel, random_panel

GRID = {"grid": {"lookback_days": [5, 10, 20]}}


@pytest.fixture(scope="module")
def panel():
    return random_panel(1, n_dates=240, n_symbols=30, references=True)


@pytest.fixture
def study(panel, tmp_path):
    return Study(panel, make_candidate(signal=GRID), ArrayStore(tmp_path))


def test_the_baseline_is_the_declared_variant_over_every_label_that_ends_before_the_holdout(study, panel):
    sealed = panel.until(220)
    mask = np.ones(sealed.close.shape, dtype=bool)
    expected = rank_ic(momentum(sealed, 10, 1), forward_returns(sealed, 1, 5, "open"), mask, 5)
    found = study.baseline
    np.testing.assert_array_equal(found.daily_ic, expected)
    assert np.flatnonzero(np.isfinite(expected))[-1] == 220 - 1 - 6
    assert found.n_dates == 220 - 6 - study.first_rebalance
    np.testing.assert_array_equal(found.spaced_ic, study.spaced_ic(study.variants[0]))


def test_coverage_counts_names_with_a_close(tmp_path):
    close = np.random.default_rng(1).uniform(9, 11, (160, 10))
    close[:100, :4] = np.nan  # not listed yet: outside the tradable universe, so no gap in coverage
    study = Study(make_panel(close), make_candidate(), ArrayStore(tmp_path))
    assert study.baseline.coverage_ratio == 1.0
    assert study.baseline.fewest_names == 6


def test_the_track_record_counts_rebalances_of_gross_return(study):
    gross = study.backtest(study.variants[0]).gross
    periods = per_rebalance(gross, 5)
    assert periods[0] == pytest.approx(np.prod(1 + gross[:5]) - 1)
    assert periods.size == gross.size // 5
    sharpe = periods.mean() / periods.std(ddof=1)
    found = study.baseline.track_record_ratio
    assert found == 0.0 if sharpe <= 0 else found > 0.0


def test_what_lies_behind_the_seal_changes_nothing_before_s4(panel, tmp_path):
    behind = {name: getattr(panel, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for values in behind.values():
        values[220:] *= np.random.default_rng(2).uniform(0.5, 2.0, values[220:].shape)
    other = type(panel)(
        **{f.name: getattr(panel, f.name) for f in fields(panel)} | behind | {"content_sha256": "other"}
    )
    first, second = (Study(p, make_candidate(signal=GRID), ArrayStore(tmp_path)) for p in (panel, other))
    for name in ("gross", "daily_ic", "daily_net_ics", "turnover"):
        np.testing.assert_array_equal(getattr(first.walk_forward, name), getattr(second.walk_forward, name))
    assert first.walk_forward.chosen == second.walk_forward.chosen
    assert not np.array_equal(first.holdout.gross, second.holdout.gross)


def test_the_holdout_is_one_window_behind_the_seal(study, panel):
    found = study.holdout
    assert found.windows[0].test == (220, 240)
    assert found.windows[0].train == (220 - 6 - 40, 220 - 6)
    np.testing.assert_array_equal(found.dates, panel.dates[220:])
    assert np.isfinite(found.gross).all()


def test_every_variant_trades_on_the_one_grid(study):
    grids = [study.backtest(variant).rebalance_rows for variant in study.variants]
    anchor = study.first_rebalance
    assert all(((grid - anchor) % 5 == 0).all() for grid in grids)
    assert study.variant_returns().shape == (min(study.backtest(v).n_days for v in study.variants), 3)


def test_the_stricter_universe_is_judged_on_the_same_windows(study):
    assert study.stressed_walk_forward.windows == study.walk_forward.windows
    assert study.stressed_universe.mask.sum() < study.universe.mask.sum()
    assert study.stressed_risk.n_rebalances > 0
    assert study.shard_stress("wf-1").rejected_name_days > 0


def test_risk_is_of_the_books_held_out_of_sample(study):
    walk, risk = study.walk_forward, study.risk
    rebalances = study.backtest(study.variants[0]).rebalance_rows
    first, last = walk.windows[0].test[0], walk.windows[-1].test[1]
    assert risk.n_rebalances == ((rebalances >= first) & (rebalances < last)).sum()
    assert risk.hhi_times_names == pytest.approx(1.0)
    assert 0.0 <= risk.turnover_overlap <= 1.0
    assert risk.n_days == walk.n_days


def test_a_neighbour_that_is_no_signal_is_not_measured(panel, tmp_path):
    candidate = make_candidate(signal={"parameters": {"lookback_days": 10, "skip_days": 9}})
    found = Study(panel, candidate, ArrayStore(tmp_path)).perturbation
    assert dict(zip(found.labels, np.isnan(found.sharpes), strict=True)) == {
        "lookback_days=8,skip_days=9": True,
        "lookback_days=12,skip_days=9": False,
        "lookback_days=10,skip_days=7": False,
        "lookback_days=10,skip_days=11": True,
    }
    assert math.isnan(found.minimum)


def test_long_only_is_judged_over_the_market(panel, tmp_path):
    study = Study(panel, make_candidate(portfolio={"short_fraction": 0.0}), ArrayStore(tmp_path))
    variant = study.variants[0]
    backtest = study.backtest(variant)
    np.testing.assert_array_equal(
        study.judged_returns(variant, 1.0), backtest.net_returns(1.0) - study.market[backtest.start :]
    )
    assert study.walk_forward.long_only


def test_a_declared_benchmark_is_the_market(panel, tmp_path):
    index = np.cumprod(np.full(panel.n_dates, 1.001))
    declared = type(panel)(**{f.name: getattr(panel, f.name) for f in fields(panel)} | {"benchmark_close": index})
    market = Study(declared, make_candidate(), ArrayStore(tmp_path)).market
    np.testing.assert_allclose(market[1:], 0.001)


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({"universe": {"min_names": 31}}, "no date before the holdout has 31 names"),
        ({"walk_forward": {"holdout_days": 240}}, "holdout of 240 dates"),
        ({"walk_forward": {"shards": 9}}, "test windows for 9 shards"),
    ],
)
def test_a_scope_that_cannot_be_studied_is_refused(panel, tmp_path, sections, named):
    with pytest.raises(CandidateError, match=named):
        Study(panel, make_candidate(**sections), ArrayStore(tmp_path)).check_scope()


def test_a_panel_in_hand_has_no_file_to_be_judged(study):
    with pytest.raises(DataError, match="not read from a file"):
        _ = study.quality


def test_a_second_study_computes_nothing_again(study, panel, tmp_path, monkeypatch):
    expected = study.walk_forward.net_returns(1.5)

    def must_not_run(*_args, **_kwargs):
        raise AssertionError("computed twice")

    for name in ("run_backtest", "measured_ics", "score", "build_universe", "measure_liquidity"):
        monkeypatch.setattr(measurements, name, must_not_run)
    again = Study(panel, make_candidate(signal=GRID), ArrayStore(tmp_path))
    np.testing.assert_array_equal(again.walk_forward.net_returns(1.5), expected)
    with pytest.raises(AssertionError, match="computed twice"):
        _ = Study(panel, make_candidate(signal=GRID), ArrayStore(tmp_path), code_sha256="other code").walk_forward


@pytest.mark.parametrize(
    "sections", [{"costs": {"fee_bps": 9.0}}, {"portfolio": {"long_fraction": 0.3}}, {"universe": {"min_price": 60.0}}]
)
def test_another_setting_is_another_result(study, panel, tmp_path, sections):
    other = Study(panel, make_candidate(signal=GRID, **sections), ArrayStore(tmp_path))
    assert not np.array_equal(other.walk_forward.net_returns(1.0), study.walk_forward.net_returns(1.0))


def test_an_edited_signal_file_is_another_result(panel, tmp_path):
    config = candidate_config(signal={"function": "mine.py:score", "parameters": {}})
    source = "def score(panel):\n    return {sign}panel.close * 1.0\n"
    (tmp_path / "mine.py").write_text(source.format(sign=""))
    candidate = Candidate.from_config(config | {"signal": {"function": "mine.py:score"}}, tmp_path)
    before = Study(panel, candidate, ArrayStore(tmp_path / "cache")).backtest(candidate.variants()[0]).gross
    (tmp_path / "mine.py").write_text(source.format(sign="-"))
    after = Study(panel, candidate, ArrayStore(tmp_path / "cache")).backtest(candidate.variants()[0]).gross
    assert not np.array_equal(before, after)


WARM_RUN = """
import json, sys
from pathlib import Path
from engines.candidate import Candidate
from engines.study import open_study
folder = Path(sys.argv[1])
study = open_study(Candidate.from_config(json.loads((folder / "config.json").read_text()), folder), folder / "cache")
figures = [study.walk_forward.net_returns(2.0).sum(), study.risk.beta, study.segments.worst_t, study.stressed_walk_forward.gross.sum()]
heavy = [name for name in ("pandas", "pandera", "pyarrow", "statsmodels", "arch") if name in sys.modules]
print(json.dumps([figures, heavy]))
"""


def test_a_worker_with_a_warm_cache_gets_the_same_bits_without_heavy_packages(panel, tmp_path):
    names = ("open", "high", "low", "close", "volume")
    wide = {name: pd.DataFrame(getattr(panel, name), panel.dates, panel.symbols) for name in names}
    long = pd.concat({name: frame.stack() for name, frame in wide.items()}, axis=1).rename_axis(["date", "symbol"])
    long.reset_index().to_parquet(tmp_path / "prices.parquet")
    config = make_candidate(signal=GRID).config()
    (tmp_path / "config.json").write_text(json.dumps(config))
    cold = open_study(Candidate.from_config(config, tmp_path), tmp_path / "cache")
    figures = [
        cold.walk_forward.net_returns(2.0).sum(),
        cold.risk.beta,
        cold.segments.worst_t,
        cold.stressed_walk_forward.gross.sum(),
    ]
    command = [sys.executable, "-c", WARM_RUN, str(tmp_path)]
    repository = Path(measurements.__file__).parents[1]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [figures, []]
    assert cold.quality.n_dates == panel.n_dates
