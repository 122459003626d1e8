"""The leakage catalogue: every planted way of looking ahead is caught, honest signals are not, and nothing downstream of the signal knows the future."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engines.candidate import Candidate
from engines.forward import is_delisted
from engines.lookahead import planted_leak_difference, truncation_difference
from engines.panel import Panel
from engines.segments import trend_regimes, volatility_regimes
from engines.store import ArrayStore
from engines.study import Study
from fixtures.leaks import LEAK_PLANTS
from fixtures.market import MarketSpec, make_market
from fixtures.plants import SIGNAL_PLANTS, write_signal
from tests.engines.panels import candidate_config, random_panel
from tests.engines.price_files import load

ALLOWED_DIFFERENCE = 1e-12  # s1.no_lookahead
UNIVERSE = {"min_names": 5, "min_price": 15.0, "min_dollar_volume": 1e5, "min_history_days": 10}
TREATMENT = {"winsorise": 0.05, "standardise": "zscore", "neutralise": ["sector", "size"]}
LEAKS = LEAK_PLANTS | {name: plant for name, plant in SIGNAL_PLANTS.items() if plant.gate == "s1.no_lookahead"}


@pytest.fixture(scope="module")
def panel() -> Panel:
    """A market in which market caps, sectors, lists and the benchmark all move, and names list late, halt and delist."""
    plain = random_panel(3, n_dates=200, n_symbols=30, references=True, delisted=8)
    rng = np.random.default_rng(4)
    steps = np.arange(200)[:, None] // 21
    later_sector = rng.integers(0, 4, 30).astype(np.int16)
    return replace(
        plain,
        market_cap=plain.market_cap * np.exp(np.cumsum(0.02 * rng.standard_normal(plain.close.shape), axis=0)),
        sector=np.where(steps < rng.integers(2, 8, 30), plain.sector, later_sector).astype(np.int16),
        member=rng.random((10, 30))[steps[:, 0]] < 0.9,
        benchmark_close=1000.0 * np.exp(np.cumsum(0.01 * rng.standard_normal(200))),
    )


def study_of(panel: Panel, folder: Path, signal: dict) -> Study:
    config = candidate_config(universe=UNIVERSE)
    config["signal"] = signal
    return Study(panel, Candidate.from_config(config, folder), ArrayStore(folder / "cache"))


@pytest.mark.parametrize("name", LEAKS)
@pytest.mark.filterwarnings("ignore:Degrees of freedom", "ignore:divide by zero")  # names with one close in a cut
def test_every_planted_leak_is_caught(panel: Panel, tmp_path: Path, name: str) -> None:
    signal = {"function": write_signal(tmp_path, name, LEAKS)}
    assert truncation_difference(study_of(panel, tmp_path, signal), seed=1).signal > ALLOWED_DIFFERENCE


@pytest.mark.parametrize("name", [name for name in LEAKS if name != "filled_backwards"])
@pytest.mark.filterwarnings("ignore:Degrees of freedom", "ignore:divide by zero")
def test_no_treatment_hides_a_leak(panel: Panel, tmp_path: Path, name: str) -> None:
    """All but one, which the treatment undoes: a name without a close is outside the universe, where a treated signal has no opinion."""
    signal = {"function": write_signal(tmp_path, name, LEAKS), **TREATMENT}
    found = truncation_difference(study_of(panel, tmp_path, signal), seed=1)
    assert found.signal > ALLOWED_DIFFERENCE
    assert found.target_weights > ALLOWED_DIFFERENCE


def test_a_signal_that_cannot_be_computed_without_the_future_counts_as_one(panel: Panel, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def score(panel):\n    assert panel.n_dates > 100\n    return panel.close.copy()\n"
    )
    assert truncation_difference(study_of(panel, tmp_path, {"function": "mine.py:score"}), seed=1).largest == 1.0


EMA = """
average, last = np.full(panel.close.shape, np.nan), np.full(panel.n_symbols, np.nan)
for day, close in enumerate(panel.close):
    seen = np.isfinite(close)
    last = np.where(seen, np.where(np.isfinite(last), 0.9 * last + 0.1 * close, close), last)
    average[day] = np.where(seen, close / last - 1.0, np.nan)
return average
"""
VOLUME = """
ratio = np.full(panel.volume.shape, np.nan)
ratio[20:] = panel.volume[20:] / sum(panel.volume[20 - lag : panel.n_dates - lag] for lag in range(1, 21))
return ratio
"""
MARKET_CAP = "return -np.log(panel.market_cap)"
SECTOR_RELATIVE = """
moved = np.full(panel.close.shape, np.nan)
moved[5:] = panel.close[5:] / panel.close[:-5] - 1.0
for code in range(-1, len(panel.sector_names)):
    inside = np.isfinite(moved) & (panel.sector == code)
    mean = np.where(inside, moved, 0.0).sum(axis=1, keepdims=True) / np.maximum(inside.sum(axis=1, keepdims=True), 1)
    moved = np.where(inside, moved - mean, moved)
return moved
"""
EXPANDING_ZSCORE = """
seen = np.isfinite(panel.close)
count = np.maximum(np.cumsum(seen, axis=0), 1)
mean = np.cumsum(np.where(seen, panel.close, 0.0), axis=0) / count
square = np.cumsum(np.where(seen, panel.close**2, 0.0), axis=0) / count
spread = np.sqrt(np.maximum(square - mean**2, 0.0))
return np.where(seen & (spread > 1e-6), -(panel.close - mean) / np.where(spread > 1e-6, spread, 1.0), np.nan)
"""
FITTED_IN_THE_PAST = """
past = panel.close[1:60] / panel.close[:59] - 1.0
slope = np.nanmean(past[1:] * past[:-1]) / np.nanmean(past**2)
moved = np.full(panel.close.shape, np.nan)
moved[60:] = slope * (panel.close[60:] / panel.close[59:-1] - 1.0)
return moved
"""
INDEX_RELATIVE = """
beaten = np.full(panel.close.shape, np.nan)
beaten[10:] = panel.close[10:] / panel.close[:-10] - (panel.benchmark_close[10:] / panel.benchmark_close[:-10])[:, None]
return np.where(panel.member, beaten, np.nan)
"""
HONEST = {
    "momentum": {"function": "momentum", "parameters": {"lookback_days": 20, "skip_days": 2}},
    "reversal by rank": {"function": "reversal", "parameters": {"lookback_days": 5}, "standardise": "rank"},
    "low volatility, winsorised z-scores": {
        "function": "low_volatility",
        "parameters": {"lookback_days": 20},
        "winsorise": 0.05,
        "standardise": "zscore",
    },
    "momentum without sector and size": {
        "function": "momentum",
        "parameters": {"lookback_days": 20, "skip_days": 2},
        "neutralise": ["sector", "size"],
    },
    "exponential average": EMA,
    "volume": VOLUME,
    "market cap": MARKET_CAP,
    "sector-relative": SECTOR_RELATIVE,
    "expanding z-score": EXPANDING_ZSCORE,
    "constant fitted in the past": FITTED_IN_THE_PAST,
    "index-relative": INDEX_RELATIVE,
}


def honest_signal(folder: Path, name: str) -> dict:
    recipe = HONEST[name]
    if isinstance(recipe, dict):
        return recipe
    lines = "\n".join(f"    {line}" for line in recipe.strip().splitlines())
    (folder / "mine.py").write_text(f"import numpy as np\n\n\ndef score(panel):\n{lines}\n")
    return {"function": "mine.py:score"}


@pytest.mark.parametrize("name", HONEST)
def test_honest_signals_pass_and_are_caught_once_a_day_is_leaked(panel: Panel, tmp_path: Path, name: str) -> None:
    study = study_of(panel, tmp_path, honest_signal(tmp_path, name))
    assert truncation_difference(study, seed=1).largest <= ALLOWED_DIFFERENCE
    assert planted_leak_difference(study, seed=1, n_cuts=5).largest > ALLOWED_DIFFERENCE


def future_scrambled(panel: Panel, start: int) -> Panel:
    """The same past, another future: every value from row `start` on is exchanged or multiplied at random."""
    rng = np.random.default_rng(start)

    def scaled(values: np.ndarray) -> np.ndarray:
        factor = rng.uniform(0.5, 2.0, values[start:].shape)
        return np.concatenate([values[:start], values[start:] * factor])

    def dealt(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values[:start], rng.permuted(values[start:], axis=1)])

    by_price = ("open", "high", "low", "close", "volume", "market_cap", "benchmark_close")
    return replace(
        panel,
        **{name: scaled(getattr(panel, name)) for name in by_price},
        sector=dealt(panel.sector),
        member=dealt(panel.member),
        content_sha256=f"scrambled from {start}",
    )


SEARCHED = {
    "function": "momentum",
    "parameters": {"lookback_days": 10, "skip_days": 1},
    "grid": {"lookback_days": [5, 10, 20]},
    **TREATMENT,
}


@pytest.fixture(scope="module")
def searched(panel: Panel, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return study_of(panel, tmp_path_factory.mktemp("searched"), SEARCHED)


@pytest.mark.parametrize("start", [95, 131, 160])
def test_nothing_downstream_of_the_signal_knows_the_future(searched: Study, tmp_path: Path, start: int) -> None:
    """Universes, choices, books, costs, ICs, regimes and the market's return before a date stay, whatever happens from it on."""
    other = study_of(future_scrambled(searched.full, start), tmp_path, SEARCHED)
    assert other.windows == searched.windows
    np.testing.assert_array_equal(other.universe.mask[:start], searched.universe.mask[:start])
    np.testing.assert_array_equal(other.stressed_universe.mask[:start], searched.stressed_universe.mask[:start])
    np.testing.assert_array_equal(other.market[:start], searched.market[:start])
    label_days = searched.candidate.portfolio.execution_delay_days + searched.candidate.portfolio.horizon_days
    n_changed = 0
    for name in ("walk_forward", "stressed_walk_forward"):
        before, after = getattr(searched, name), getattr(other, name)
        decided = [number for number, window in enumerate(before.windows) if window.test[0] <= start]
        assert [after.chosen[k] for k in decided] == [before.chosen[k] for k in decided]
        past, labelled = before.rows < start, before.rows + label_days < start
        assert labelled.any()
        for series in ("gross", "spread_cost", "impact_cost", "borrow_cost", "turnover", "market"):
            np.testing.assert_array_equal(getattr(after, series)[past], getattr(before, series)[past])
            n_changed += not np.array_equal(getattr(after, series), getattr(before, series), equal_nan=True)
        np.testing.assert_array_equal(after.daily_ic[labelled], before.daily_ic[labelled])
        np.testing.assert_array_equal(after.daily_net_ics[:, labelled], before.daily_net_ics[:, labelled])
    assert n_changed > 0, "the future was not scrambled"
    for regimes in (volatility_regimes, trend_regimes):
        for name, member in regimes(searched.market).items():
            np.testing.assert_array_equal(regimes(other.market)[name][:start], member[:start])


@pytest.fixture(scope="module")
def market_tables() -> dict[str, pd.DataFrame]:
    """A market with every reference table; a third of the names change their sector half way."""
    market = make_market(MarketSpec(seed=8, n_days=160, n_names=40, delisting_fraction=0.3, late_listing_fraction=0.2))
    tables = market.tables()
    sectors = tables["sectors"]
    days = np.unique(tables["prices"]["date"].to_numpy())
    moved = sectors.iloc[::3].assign(sector="Moved", date=days[80])
    tables["sectors"] = pd.concat([sectors.assign(date=days[0]), moved], ignore_index=True)
    return tables


def load_until(folder: Path, tables: dict[str, pd.DataFrame], last: np.datetime64) -> Panel:
    """The panel of files that end on `last`."""
    folder.mkdir()
    for name, table in tables.items():
        table[table["date"].to_numpy() <= last].to_parquet(folder / f"{name}.parquet", index=False)
    references = {
        ours: f"{name}.parquet"
        for ours, name in (
            ("sector", "sectors"),
            ("market_cap", "market_caps"),
            ("membership", "membership"),
            ("benchmark", "benchmark"),
            ("delistings", "delistings"),
        )
        if (tables[name]["date"].to_numpy() <= last).any()
    }
    panel, _ = load(folder, path="prices.parquet", as_of="2030-01-01", reference=references)
    return panel


@pytest.mark.parametrize("stop", [60, 100, 140])
def test_a_cut_panel_is_what_files_that_end_there_would_give(
    market_tables: dict[str, pd.DataFrame], tmp_path: Path, stop: int
) -> None:
    """The joins look back only, so that the cuts of the truncation check stand for shorter files: prices, all five tables, delistings."""
    days = np.unique(market_tables["prices"]["date"].to_numpy())
    whole = load_until(tmp_path / "whole", market_tables, days[-1])
    early = load_until(tmp_path / "early", market_tables, days[stop - 1])
    cut = whole.as_known_at(stop)
    shared = np.isin(cut.symbols, early.symbols)
    np.testing.assert_array_equal(cut.symbols[shared], early.symbols)
    assert np.isnan(cut.close[:, ~shared]).all(), "a name that the shorter file lacks has not traded yet"
    np.testing.assert_array_equal(cut.dates, early.dates)
    assert cut.file_dates == early.file_dates
    for name in ("open", "high", "low", "close", "volume", "market_cap", "member"):
        np.testing.assert_array_equal(getattr(cut, name)[:, shared], getattr(early, name))
    np.testing.assert_array_equal(cut.benchmark_close, early.benchmark_close)
    np.testing.assert_array_equal(cut.last_close[shared], early.last_close)
    np.testing.assert_array_equal(is_delisted(cut)[shared], is_delisted(early))
    gone = is_delisted(early)
    assert gone.any()
    np.testing.assert_array_equal(cut.delisting_return[shared][gone], early.delisting_return[gone])
    named = [np.array([*panel.sector_names, "unknown"])[panel.sector] for panel in (cut, early)]
    np.testing.assert_array_equal(named[0][:, shared], named[1])
