"""Built-in signals by hand and against pandas, a user's own function, and the treatment of both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engines.candidate import Candidate
from engines.errors import SignalError
from engines.signals import (
    low_volatility,
    momentum,
    neutralise,
    reversal,
    score,
    standardise_by_rank,
    standardise_by_zscore,
    winsorise,
)
from tests.engines.panels import make_candidate, make_panel, random_panel


def test_momentum_by_hand_fills_nothing():
    panel = make_panel(np.array([[1.0, 2.0, 4.0, 8.0, np.nan, 32.0]]).T)
    np.testing.assert_array_equal(momentum(panel, 3, 1)[:, 0], [np.nan, np.nan, np.nan, 3.0, 3.0, np.nan])


def test_reversal_is_the_fall_over_the_lookback():
    panel = make_panel(np.array([[1.0, 2.0, 3.0]]).T)
    np.testing.assert_array_equal(reversal(panel, 1)[:, 0], [np.nan, -1.0, -0.5])


def test_low_volatility_equals_pandas_and_requires_every_return():
    panel = random_panel(1)
    expected = -pd.DataFrame(panel.close).pct_change(fill_method=None).rolling(15, min_periods=15).std()
    np.testing.assert_allclose(low_volatility(panel, 15), expected, rtol=1e-9, atol=1e-14)


def test_a_lookback_longer_than_the_panel_has_no_opinion():
    panel = random_panel(2, n_dates=30)
    assert np.isnan(momentum(panel, 40, 1)).all()
    assert np.isnan(low_volatility(panel, 40)).all()


@pytest.mark.parametrize(
    ("function", "parameters", "named"),
    [
        ("momentum", {"lookback_days": 20, "skip_days": 20}, "skip_days"),
        ("momentum", {"lookback_days": 20, "skip_days": -1}, "skip_days"),
        ("momentum", {"lookback_days": 20.5, "skip_days": 1}, "whole number"),
        ("momentum", {"lookback_days": True, "skip_days": 0}, "whole number"),
        ("momentum", {"lookback": 20}, "signal.parameters"),
        ("reversal", {"lookback_days": 0}, "lookback_days >= 1"),
        ("low_volatility", {"lookback_days": 1}, "lookback_days >= 2"),
        ("momentum", {"lookback_days": 500, "skip_days": 1}, "NaN for every date"),
    ],
)
def test_bad_parameters_are_named(function, parameters, named):
    candidate = make_candidate(signal={"function": function, "parameters": parameters})
    with pytest.raises(SignalError, match=named):
        score(random_panel(3), candidate, candidate.variants()[0])


GOOD = "import numpy as np\ndef score(panel, days):\n    out = np.full(panel.close.shape, np.nan)\n    out[days:] = panel.close[days:] - panel.close[:-days]\n    return out\n"


def user_candidate(folder: Path, source: str) -> Candidate:
    (folder / "mine.py").write_text(source)
    return make_candidate(folder, signal={"function": "mine.py:score", "parameters": {"days": 3}})


def scored(candidate, panel=None):
    return score(random_panel(4) if panel is None else panel, candidate, candidate.variants()[0])


def test_a_users_function_is_called_with_its_parameters(tmp_path):
    panel = random_panel(4)
    found = scored(user_candidate(tmp_path, GOOD), panel)
    np.testing.assert_array_equal(found[3:], panel.close[3:] - panel.close[:-3])


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("def score(panel, days):\n    raise RuntimeError('boom')\n", "RuntimeError: boom"),
        ("def score(panel, days):\n    return [1.0]\n", "returned a list"),
        ("def score(panel, days):\n    return panel.close[:, 1:]\n", r"returned shape \(120, 23\)"),
        ("def score(panel, days):\n    return panel.close.astype(int)\n", "returned dtype int64"),
        ("def score(panel, days):\n    return panel.close.astype(object)\n", "returned dtype object"),
        ("def score(panel, days):\n    return panel.close * float('inf')\n", "infinite"),
        ("def score(panel, days):\n    return panel.close * float('nan')\n", "NaN for every date"),
        ("def score(panel, days):\n    panel.close[0, 0] = 1.0\n    return panel.close\n", "read-only"),
        ("def score(panel, days):\n    panel.close = 1\n", "FrozenInstanceError"),
        ("def score(panel):\n    return panel.close\n", "signal.parameters"),
        ("def other(panel, days):\n    return panel.close\n", "no function 'score'"),
        ("score = 3\n", "no function 'score'"),
        ("import no_such_package\n", "cannot be imported"),
        ("def score(:\n", "SyntaxError"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_what_a_users_function_can_get_wrong(tmp_path, source, named):
    candidate = user_candidate(tmp_path, source)
    with pytest.raises(SignalError, match=named):
        scored(candidate)


def test_an_edited_file_is_loaded_anew_and_two_files_do_not_mix(tmp_path):
    first = user_candidate(tmp_path, "def score(panel, days):\n    return panel.close * 1.0\n")
    panel = random_panel(5)
    before = scored(first, panel)
    (tmp_path / "mine.py").write_text("def score(panel, days):\n    return panel.close * 2.0\n")
    np.testing.assert_array_equal(scored(first, panel), 2.0 * before)


def test_dataclasses_in_a_users_file_work(tmp_path):
    source = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass(slots=True)\nclass P:\n    days: int\n"
        "def score(panel, days):\n    return panel.close * P(days).days\n"
    )
    assert scored(user_candidate(tmp_path, source)).shape == (120, 24)


def test_the_function_sees_no_later_delisting(tmp_path):
    source = "def score(panel, days):\n    return panel.close * 0 + panel.last_close\n"
    panel = random_panel(6, gaps=0.0)
    cut = panel.until(60)
    found = scored(user_candidate(tmp_path, source), cut)
    assert np.nanmax(found) <= 59


def test_winsorise_clips_at_the_quantiles_of_each_row():
    values = np.random.default_rng(1).standard_normal((30, 25))
    values[np.random.default_rng(2).random(values.shape) < 0.2] = np.nan
    lower, upper = np.nanquantile(values, [0.1, 0.9], axis=1)
    np.testing.assert_allclose(winsorise(values, 0.1), np.clip(values, lower[:, None], upper[:, None]), atol=1e-14)


def test_ranks_lie_inside_the_half_open_interval_around_zero():
    np.testing.assert_allclose(
        standardise_by_rank(np.array([[3.0, np.nan, 1.0, 2.0, 2.0]])), [[0.375, np.nan, -0.375, 0, 0]]
    )


def test_zscores_have_mean_zero_and_deviation_one_and_a_flat_row_has_no_opinion():
    found = standardise_by_zscore(np.array([[1.0, 2.0, 3.0, np.nan], [5.0, 5.0, 5.0, 5.0]]))
    np.testing.assert_allclose(found[0], [-np.sqrt(1.5), 0, np.sqrt(1.5), np.nan], atol=1e-15)
    assert np.isnan(found[1]).all()


def test_neutralised_signals_are_least_squares_residuals():
    rng = np.random.default_rng(7)
    values, size = rng.standard_normal((2, 5, 30))
    values[0, :4] = np.nan
    sector = rng.integers(-1, 3, (5, 30)).astype(np.int16)
    found = neutralise(values, sector, size)
    for row in range(5):
        present = np.isfinite(values[row])
        dummies = (sector[row, present, None] == np.array([-1, 0, 1, 2])).astype(float)
        exposures = np.column_stack([dummies, size[row, present]])
        expected = values[row, present] - exposures @ np.linalg.lstsq(exposures, values[row, present], rcond=None)[0]
        np.testing.assert_allclose(found[row, present], expected, atol=1e-12)


def test_treatment_looks_at_the_universe_alone():
    panel = random_panel(8, references=True)
    mask = np.ones(panel.close.shape, dtype=bool)
    mask[:, :6] = False
    signal = {"winsorise": 0.05, "standardise": "zscore", "neutralise": ["sector", "size"]}
    candidate = make_candidate(signal=signal)
    found = score(panel, candidate, candidate.variants()[0], mask)
    assert np.isnan(found[:, :6]).all()
    np.testing.assert_allclose(np.nansum(found, axis=1), 0.0, atol=1e-12)


def test_neutralising_by_an_undeclared_input_is_refused():
    candidate = make_candidate(signal={"neutralise": ["sector"]})
    with pytest.raises(SignalError, match="declares no sector"):
        scored(candidate)
