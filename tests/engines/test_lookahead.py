"""The truncation check passes honest signals and catches every planted way of looking ahead."""

from __future__ import annotations

import math

import pytest

from engines.candidate import Candidate
from engines.lookahead import CUTS, planted_leak_difference, truncation_difference
from engines.store import ArrayStore
from engines.study import Study
from tests.engines.panels import candidate_config, make_candidate, random_panel

UNIVERSE = {"universe": {"min_names": 5, "min_price": 15.0, "min_dollar_volume": 1e5, "min_history_days": 10}}


@pytest.fixture(scope="module")
def panel():
    return random_panel(3, n_dates=200, n_symbols=30, references=True, delisted=8)


def study_of(panel, folder, source: str) -> Study:
    (folder / "mine.py").write_text(f"import numpy as np\ndef score(panel):\n    P = panel.close\n    {source}\n")
    config = candidate_config(**UNIVERSE)
    config["signal"] = {"function": "mine.py:score"}
    return Study(panel, Candidate.from_config(config, folder), ArrayStore(folder / "cache"))


@pytest.mark.parametrize("execution_price", ["open", "close"])
@pytest.mark.parametrize("function", ["momentum", "reversal", "low_volatility"])
def test_built_in_signals_do_not_look_ahead_and_the_control_is_caught(panel, tmp_path, function, execution_price):
    parameters = {"lookback_days": 10} | ({"skip_days": 1} if function == "momentum" else {})
    candidate = make_candidate(
        signal={"function": function, "parameters": parameters, "grid": {"lookback_days": [5, 10]}},
        portfolio={"execution_price": execution_price, "horizon_days": 12},
        **UNIVERSE,
    )
    study = Study(panel, candidate, ArrayStore(tmp_path))
    honest = truncation_difference(study, seed=1)
    assert honest.largest == 0.0
    assert honest.n_cuts == CUTS
    leak = planted_leak_difference(study, seed=1)
    assert leak.largest > 1e-12
    assert math.isfinite(leak.largest)
    assert leak.cut_rows == honest.cut_rows


@pytest.mark.parametrize(
    "source",
    [
        "return np.vstack([P[1:], P[-1:]])",
        "return P - np.nanmean(P, axis=0)",
        "return (P - np.nanmin(P)) / (np.nanmax(P) - np.nanmin(P))",
        "return np.where(np.arange(len(P))[:, None] < panel.last_close, P, np.nan)",
        "return P[::-1].copy()",
        "out = P.copy(); out[:-3] = P[3:]; return out",
        "return np.where(np.isnan(P), np.nanmedian(P, axis=0), P)",
    ],
    ids=[
        "tomorrow",
        "full-sample mean",
        "full-sample range",
        "future delisting",
        "reversed",
        "three days ahead",
        "filled",
    ],
)
@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.filterwarnings("ignore:All-NaN slice")
def test_a_signal_that_looks_ahead_is_caught(panel, tmp_path, source):
    assert truncation_difference(study_of(panel, tmp_path, source), seed=1).signal > 1e-12


@pytest.mark.parametrize("source", ["return P.copy()", "return np.cumsum(np.nan_to_num(P), axis=0)"])
def test_an_honest_signal_of_ones_own_passes(panel, tmp_path, source):
    assert truncation_difference(study_of(panel, tmp_path, source), seed=1).largest == 0.0


def test_an_opinion_that_disappears_counts_as_one(panel, tmp_path):
    source = "out = P * 0; out[len(P) // 2:] = np.nan; return out"
    assert truncation_difference(study_of(panel, tmp_path, source), seed=1).signal == 1.0


def test_the_cuts_are_those_of_the_seed(panel, tmp_path):
    study = Study(panel, make_candidate(**UNIVERSE), ArrayStore(tmp_path))
    first, again, other = (truncation_difference(study, seed=seed).cut_rows for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) == CUTS
    assert min(first) > study.first_rebalance
    assert max(first) < study.sealed.n_dates - 1


def test_the_note_names_each_part(panel, tmp_path):
    note = truncation_difference(Study(panel, make_candidate(**UNIVERSE), ArrayStore(tmp_path)), seed=1, n_cuts=2).note
    assert all(part in note for part in ("signal 0", "universe 0", "target_weights 0", "fill_prices 0"))
