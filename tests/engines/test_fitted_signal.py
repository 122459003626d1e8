"""A signal with a fit: it learns from one training window alone, scores only what follows, and everything downstream stays out of sample."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines import measurements
from engines.candidate import Candidate
from engines.errors import CandidateError, SignalError
from engines.fitting import Refit, fit_state, has_fit, plan_refits, training_panel
from engines.lookahead import planted_leak_difference, truncation_difference
from engines.panel import Panel, last_finite_row
from engines.store import ArrayStore
from engines.study import Study
from engines.walk_forward import choose_variant
from tests.engines.panels import make_candidate, make_panel, random_panel

pytestmark = pytest.mark.filterwarnings("ignore:Degrees of freedom")  # names without a price in a training window

TRAIN, GAP, TEST, SEALED, HOLDOUT = 40, 6, 20, 220, 20

HONEST = """
import numpy as np

def past_return(panel, days):
    moved = np.full(panel.close.shape, np.nan)
    moved[days:] = panel.close[days:] / panel.close[:-days] - 1.0
    return moved

def fit(panel, days):
    before, after = past_return(panel, days)[:-days], past_return(panel, days)[days:]
    known = np.isfinite(before) & np.isfinite(after)
    return {"slope": float(np.mean(before[known] * after[known]) / np.var(before[known])), "volatility": np.nanstd(after, axis=0)}

def score(panel, days, state):
    assert isinstance(state["slope"], float) and state["volatility"].shape == panel.symbols.shape
    return state["slope"] * past_return(panel, days) / state["volatility"]
"""

WITNESS = """
import numpy as np

def fit(panel, days):
    assert panel.file_dates == panel.n_dates and panel.last_close.max() < panel.n_dates
    return {"first": int(panel.dates[0].astype("int64")), "last": int(panel.dates[-1].astype("int64")), "dates": panel.n_dates}

def score(panel, days, state):
    return np.where(np.isfinite(panel.close), panel.close % 7.0 + state["last"], np.nan)
"""


@pytest.fixture(scope="module")
def panel() -> Panel:
    return random_panel(11, n_dates=SEALED + HOLDOUT, n_symbols=30, references=True, delisted=6)


def fitted_candidate(folder: Path, source: str, **sections) -> Candidate:
    (folder / "mine.py").write_text(source)
    signal = {"function": "mine.py:score", "parameters": {"days": 5}} | sections.pop("signal", {})
    return make_candidate(folder, signal=signal, **sections)


def fitted_study(panel: Panel, folder: Path, source: str, **sections) -> Study:
    return Study(panel, fitted_candidate(folder, source, **sections), ArrayStore(folder / "cache"))


def arrays_of(panel: Panel) -> dict[str, np.ndarray]:
    values = {field.name: getattr(panel, field.name) for field in fields(panel)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


# ------------------------------------------------------------------------------------------------------- what a fit may see


def test_each_test_window_is_scored_by_a_fit_on_its_train_dates_alone(panel, tmp_path):
    study = fitted_study(panel, tmp_path, WITNESS)
    states = study.states(study.variants[0])
    seen = {refit.scored[0]: state for refit, state in states}
    epoch = np.datetime64(0, "D")
    for window, shown in zip(study.windows, study.walk_forward.window_dates(study.sealed.dates), strict=True):
        state = seen[window.test[0]]
        assert str(epoch + int(state["first"])) == shown.train_first
        assert str(epoch + int(state["last"])) == shown.train_last
        assert int(state["dates"]) == TRAIN
        assert np.datetime64(shown.train_last) < np.datetime64(shown.test_first)
    for refit, state in states:
        rows = slice(*refit.scored)
        close = study.sealed.close[rows]
        expected = np.where(np.isfinite(close), close % 7.0 + int(state["last"]), np.nan)
        np.testing.assert_array_equal(study.signal(study.variants[0])[rows], expected)


def test_windows_are_shown_with_literal_dates(panel, tmp_path):
    study = fitted_study(panel, tmp_path, WITNESS)
    first = asdict(study.walk_forward.window_dates(study.sealed.dates)[0])
    assert first == {
        "number": 0,
        "shard": "wf-1",
        "variant": "days=5",
        "train_first": str(panel.dates[46]),
        "train_last": str(panel.dates[85]),
        "test_first": str(panel.dates[92]),
        "test_last": str(panel.dates[111]),
    }
    later = study.walk_forward.shard("wf-2").window_dates(study.sealed.dates)
    assert {window.shard for window in later} == {"wf-2"}
    assert later[-1].test_last == str(study.sealed.dates[-1])


@given(data=st.data())
@settings(max_examples=60)
def test_the_training_panel_is_what_a_file_of_these_rows_would_give(panel, data):
    start = data.draw(st.integers(0, panel.n_dates - 2))
    stop = data.draw(st.integers(start + 1, panel.n_dates))
    cut = data.draw(st.integers(stop, panel.n_dates))
    found = training_panel(panel, (start, stop))
    np.testing.assert_array_equal(found.dates, panel.dates[start:stop])
    for name in ("open", "high", "low", "close", "volume", "market_cap", "sector"):
        np.testing.assert_array_equal(getattr(found, name), getattr(panel, name)[start:stop])
    np.testing.assert_array_equal(found.last_close, last_finite_row(panel.close[start:stop]))
    assert found.file_dates == stop - start
    for longer in (panel.until(cut), panel.as_known_at(cut)):
        again = arrays_of(training_panel(longer, (start, stop)))
        for name, value in arrays_of(found).items():
            np.testing.assert_array_equal(again[name], value, err_msg=name)


def test_what_comes_after_a_date_changes_no_score_up_to_it(panel, tmp_path):
    study = fitted_study(panel, tmp_path, HONEST)
    before = study.signal(study.variants[0])
    for row in (92, 93, 131, 171):
        changed = {name: getattr(panel, name).copy() for name in ("open", "high", "low", "close")}
        for values in changed.values():
            values[row:] *= np.random.default_rng(row).uniform(0.5, 2.0, values[row:].shape)
        whole = {field.name: getattr(panel, field.name) for field in fields(panel)}
        other = Panel(**whole | changed | {"content_sha256": f"changed from {row}"})
        after = fitted_study(other, tmp_path, HONEST)
        np.testing.assert_array_equal(after.signal(after.variants[0])[:row], before[:row])
        assert not np.array_equal(after.signal(after.variants[0]), before, equal_nan=True)


# ---------------------------------------------------------------------------------------------------------- when it is refitted


def test_refits_stand_at_the_tests_and_before_them_at_the_same_spacing(tmp_path):
    candidate = fitted_candidate(tmp_path, HONEST)
    assert plan_refits((), 100, candidate) == (Refit(train=(0, 40), scored=(46, 100)),)
    assert plan_refits((92, 112), 125, candidate) == (
        Refit(train=(0, 40), scored=(46, 52)),
        Refit(train=(6, 46), scored=(52, 72)),
        Refit(train=(26, 66), scored=(72, 92)),
        Refit(train=(46, 86), scored=(92, 112)),
        Refit(train=(66, 106), scored=(112, 125)),
    )


@given(extra=st.integers(0, 60), tests=st.integers(0, 5), tail=st.integers(1, 30))
@settings(max_examples=60)
def test_refits_tile_the_dates_and_always_end_a_gap_before_what_they_score(extra, tests, tail):
    candidate = make_candidate()
    first = TRAIN + GAP
    starts = tuple(2 * first + extra + TEST * number for number in range(tests))
    n_dates = (starts[-1] if starts else first) + tail
    refits = plan_refits(starts, n_dates, candidate)
    assert [refit.scored[0] for refit in refits] == [first, *(refit.scored[1] for refit in refits[:-1])]
    assert refits[-1].scored[1] == n_dates
    assert set(starts) <= {refit.scored[0] for refit in refits}
    for refit in refits:
        assert refit.train[1] - refit.train[0] == TRAIN
        assert refit.scored[0] - refit.train[1] == GAP
        assert refit.train[0] >= 0
        assert 0 < refit.scored[1] - refit.scored[0] <= max(TEST, tail)


def test_there_is_no_opinion_and_no_trade_before_the_first_fit(panel, tmp_path):
    study = fitted_study(panel, tmp_path, HONEST)
    signal = study.signal(study.variants[0])
    assert np.isnan(signal[: TRAIN + GAP]).all()
    assert study.first_rebalance == TRAIN + GAP
    assert study.windows[0].test[0] == 2 * (TRAIN + GAP)
    assert study.backtest(study.variants[0]).start == TRAIN + GAP + 1
    assert np.flatnonzero(np.isfinite(study.baseline.daily_ic))[0] >= TRAIN + GAP


def test_a_file_too_short_for_the_first_fit_is_refused(tmp_path):
    short = random_panel(2, n_dates=HOLDOUT + TRAIN + GAP)
    with pytest.raises(CandidateError, match="first opinion 46 dates after the start of the file; there are 46"):
        fitted_study(short, tmp_path, HONEST).check_scope()


def test_the_holdout_is_scored_by_a_fit_that_ends_a_gap_before_it(panel, tmp_path):
    source = WITNESS.replace('panel.close % 7.0 + state["last"]', 'np.sin(np.arange(panel.n_symbols) * state["last"])')
    study = fitted_study(panel, tmp_path, source)
    window = study.holdout.windows[0]
    assert window.test == (SEALED, SEALED + HOLDOUT)
    assert SEALED - window.train[1] == GAP
    last_train_day = int(panel.dates[window.train[1] - 1].astype("int64"))
    order = np.sin(np.arange(panel.n_symbols) * last_train_day).tolist()
    fixed = (
        f"import numpy as np\ndef score(panel, days):\n    return np.where(np.isfinite(panel.close), {order}, np.nan)\n"
    )
    reference = fitted_study(panel, tmp_path, fixed).holdout
    assert np.isfinite(reference.daily_ic).sum() == HOLDOUT - GAP
    np.testing.assert_array_equal(study.holdout.daily_ic, reference.daily_ic)


# ----------------------------------------------------------------------------------------------------------- what it is worth


@pytest.mark.parametrize("persistence", [-0.5, 0.5])
def test_a_fit_learns_the_sign_of_the_market_and_keeps_it_out_of_sample(tmp_path, persistence):
    moved = 0.01 * np.random.default_rng(5).standard_normal((260, 40))
    for day in range(2, 260):
        moved[day] += (
            persistence * moved[day - 2]
        )  # today's move comes back in the day that a trade at tomorrow's close earns
    market = make_panel(50.0 * np.exp(np.cumsum(moved, axis=0)))
    lagged = "past_return(panel, days)[:-days], past_return(panel, days)[days:]"
    two_days_later = HONEST.replace(lagged, lagged.replace("days]", "2 * days]").replace("[days:", "[2 * days:"))
    portfolio = {"horizon_days": 1, "rebalance_days": 1, "execution_price": "close"}
    study = fitted_study(market, tmp_path, two_days_later, signal={"parameters": {"days": 1}}, portfolio=portfolio)
    slopes = np.array([float(state["slope"]) for _, state in study.states(study.variants[0])])
    np.testing.assert_allclose(slopes, persistence, atol=0.15)
    assert study.walk_forward.ic.mean() > 0.3


def test_variants_are_compared_by_what_their_earlier_states_earned(panel, tmp_path):
    study = fitted_study(panel, tmp_path, HONEST, signal={"parameters": {"days": 5}, "grid": {"days": [3, 5, 10]}})
    runs = [study.backtest(variant) for variant in study.variants]
    choices = [study.variants[choose_variant(runs, window.train)].label for window in study.windows]
    assert list(study.walk_forward.chosen) == choices
    slopes = {v.label: [float(state["slope"]) for _, state in study.states(v)] for v in study.variants}
    assert len({tuple(found) for found in slopes.values()}) == 3
    rows = np.arange(*study.windows[0].test)
    chosen = runs[[v.label for v in study.variants].index(choices[0])]
    np.testing.assert_array_equal(study.walk_forward.gross[: rows.size], chosen.gross[rows - chosen.start])


def test_every_measure_takes_a_fitted_signal(panel, tmp_path):
    treatment = {"winsorise": 0.02, "standardise": "rank", "neutralise": ["sector", "size"]}
    study = fitted_study(panel, tmp_path, HONEST, signal={"parameters": {"days": 5}, **treatment})
    assert study.check_scope().n_windows == len(study.windows)
    assert np.isfinite(study.perturbation.sharpes).all()
    assert np.isfinite([study.risk.beta, study.stressed_risk.beta, study.segments.worst_t]).all()
    assert study.shard_stress("wf-1").n_fills > 0
    assert study.placebo(seed=1, permutations=19).p_value > 0.0


def test_a_state_is_fitted_once_a_content(panel, tmp_path, monkeypatch):
    first = fitted_study(panel, tmp_path, HONEST)
    expected, learnt = first.walk_forward.gross, first.states(first.variants[0])

    def must_not_run(*_args, **_kwargs):
        raise AssertionError("fitted twice")

    monkeypatch.setattr(measurements, "fit_state", must_not_run)
    again = fitted_study(panel, tmp_path, HONEST)
    np.testing.assert_array_equal(again.walk_forward.gross, expected)
    for (refit, state), (same_refit, same_state) in zip(learnt, again.states(again.variants[0]), strict=True):
        assert refit == same_refit
        assert {name: value.tobytes() for name, value in state.items()} == {
            name: value.tobytes() for name, value in same_state.items()
        }
    with pytest.raises(AssertionError, match="fitted twice"):
        _ = fitted_study(panel, tmp_path, HONEST + "\n# edited\n").walk_forward
    with pytest.raises(AssertionError, match="fitted twice"):
        _ = fitted_study(panel, tmp_path, HONEST, walk_forward={"train_days": 41}).walk_forward


# ------------------------------------------------------------------------------------------------------------- look-ahead


def test_an_honest_fit_passes_the_truncation_check_and_the_control_is_caught(panel, tmp_path):
    grid = {"parameters": {"days": 5}, "grid": {"days": [3, 5]}}
    study = fitted_study(panel, tmp_path, HONEST, signal=grid, portfolio={"horizon_days": 12})
    assert truncation_difference(study, seed=1).largest == 0.0
    assert planted_leak_difference(study, seed=1).signal > 1e-12


@pytest.mark.parametrize(
    ("honest", "leaking"),
    [
        ('state["slope"] *', 'fit(panel, days)["slope"] *'),
        ('/ state["volatility"]', "/ np.nanstd(past_return(panel, days), axis=0)"),
        ('return {"slope":', 'return {"slope": np.random.default_rng().normal() +'),
    ],
    ids=["score refits on everything", "score scales by everything", "fit without a seed"],
)
def test_a_dishonest_one_is_caught(panel, tmp_path, honest, leaking):
    assert honest in HONEST
    study = fitted_study(panel, tmp_path, HONEST.replace(honest, leaking))
    assert truncation_difference(study, seed=1).signal > 1e-12


def test_a_fit_cannot_count_its_calls(panel, tmp_path):
    counting = 'global turn\n    turn = globals().get("turn", 0) + 1\n    return {"turn": turn,'
    study = fitted_study(panel, tmp_path, HONEST.replace("return {", counting))
    assert {int(state["turn"]) for _, state in study.states(study.variants[0])} == {1}


# --------------------------------------------------------------------------------------------------------------- bad fits

SCORE = "import numpy as np\ndef score(panel, days, state):\n    return panel.close * 1.0\n"


@pytest.mark.parametrize(
    ("source", "named"),
    [
        (
            "def fit(panel, days):\n    raise ZeroDivisionError('no spread')",
            "fit beside mine.py:score raised ZeroDivisionError: no spread",
        ),
        ("def fit(panel, days):\n    return 3.0", "returned a float, expected a dict"),
        ("def fit(panel, days):\n    return None", "returned a NoneType, expected a dict"),
        ("def fit(panel, days):\n    return {}", "returned no finite number"),
        ("def fit(panel, days):\n    return {'a': np.nan, 'b': np.full(3, np.nan)}", "returned no finite number"),
        ("def fit(panel, days):\n    return {'model': object()}", "returned a object as 'model'"),
        ("def fit(panel, days):\n    return {'names': panel.symbols}", "returned an array of <U4 as 'names'"),
        ("def fit(panel, days):\n    return {'x': np.array([None])}", "returned an array of object as 'x'"),
        ("def fit(panel, days):\n    return {'../x': 1.0}", "names an entry '../x'"),
        ("def fit(panel, days):\n    return {3: 1.0}", "names an entry 3"),
        ("def fit(panel, days):\n    panel.close[0] = 1.0\n    return {'a': 1.0}", "read-only"),
        ("def fit(panel):\n    return {'a': 1.0}", "raised TypeError.*signal.parameters"),
        ("fit = 3", "no function .fit.; it is a int"),
    ],
)
def test_a_bad_fit_is_refused_by_the_smoke_call(panel, tmp_path, source, named):
    with pytest.raises(SignalError, match=named):
        fitted_study(panel, tmp_path, f"{SCORE}{source}\n").check_scope()


@pytest.mark.parametrize(
    ("score", "named"),
    [
        ("def score(panel, days):\n    return panel.close * 1.0", "unexpected keyword argument 'state'.*and `state`"),
        (
            "def score(panel, days, state):\n    state['a'][0] = 2.0\n    return panel.close * 1.0",
            "read-only.*of a state",
        ),
        ("def score(panel, days, state):\n    return state['b'] * panel.close", "raised KeyError: 'b'"),
    ],
)
def test_a_score_that_does_not_take_its_state_is_refused(panel, tmp_path, score, named):
    fit = "import numpy as np\ndef fit(panel, days):\n    return {'a': np.ones(3)}\n"
    with pytest.raises(SignalError, match=named):
        fitted_study(panel, tmp_path, f"{fit}{score}\n").check_scope()


def test_a_parameter_named_state_is_refused(panel, tmp_path):
    with pytest.raises(SignalError, match="parameter is named 'state'"):
        fitted_study(panel, tmp_path, HONEST, signal={"parameters": {"days": 5, "state": 1}}).check_scope()


def test_only_a_users_file_with_a_fit_is_fitted(panel, tmp_path):
    assert not has_fit(make_candidate())
    alone = fitted_candidate(
        tmp_path,
        "def fit(panel, days):\n    return panel.close * 1.0\n",
        signal={"function": "mine.py:fit", "parameters": {"days": 5}},
    )
    assert not has_fit(alone)
    assert Study(panel, alone, ArrayStore(tmp_path / "cache")).first_rebalance == 0
    with pytest.raises(SignalError, match="there is no fit beside"):
        fit_state(panel, alone, alone.variants()[0], Refit((0, 40), (46, 100)))
