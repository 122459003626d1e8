"""Data quality: every count that S1 judges, against plain pandas and on planted defects."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engines.quality import DataQuality
from engines.quality_measures import COMMON_DAYS, identical_series, split_terms
from tests.engines.price_files import HEADER, SHARED_DATA, load, load_csv, load_frame, prices, row

REAL = pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the real market data are not here")


def closes(folder: Path, values: list[float]) -> DataQuality:
    return load_csv(
        folder, HEADER + "".join(row(f"2020-01-{day:02d}", close=str(value)) for day, value in enumerate(values, 1))
    )[1]


def test_a_return_is_extreme_beyond_one_half(tmp_path: Path) -> None:
    quality = closes(tmp_path, [10, 15, 22.6, 11.3, 5.6, 5.6])
    assert [(move.date, move.row) for move in quality.extreme_moves] == [("2020-01-03", 3), ("2020-01-05", 5)]
    assert quality.extreme_returns == 2
    assert quality.extreme_return_ratio == pytest.approx(2 / 6)


def test_returns_run_over_the_names_own_closes(tmp_path: Path) -> None:
    text = (
        HEADER
        + row("2020-01-01", close="10")
        + row("2020-01-02", close="")
        + row("2020-01-03", close="30")
        + row("2020-01-01", "BBB", "90")
    )
    _, quality = load_csv(tmp_path, text)
    assert [(move.symbol, move.previous_close, move.close) for move in quality.extreme_moves] == [("AAA", 10.0, 30.0)]


@pytest.mark.parametrize(
    ("ratio", "terms"),
    [
        (0.5, "2:1"),
        (0.509, "2:1"),
        (0.52, ""),
        (2.0, "1:2"),
        (1.51, "2:3"),
        (0.1, "10:1"),
        (9.9, "1:10"),
        (0.0667, "15:1"),
        (0.4, "5:2"),
        (1.7, ""),
    ],
)
def test_a_split_shows_in_the_ratio_of_closes(ratio: float, terms: str) -> None:
    assert split_terms(ratio) == terms


def test_split_like_moves_are_listed(tmp_path: Path) -> None:
    quality = closes(tmp_path, [100, 33.5, 33, 99.5, 300])
    assert [move.split for move in quality.split_like] == ["3:1", "1:3", "1:3"]


def test_gaps_count_inside_a_life_only(tmp_path: Path) -> None:
    calendar = "".join(row(f"2020-01-{day:02d}") for day in range(1, 11))
    holed = "".join(row(f"2020-01-{day:02d}", "BBB") for day in (3, 4, 6, 8))
    without_close = row("2020-01-09", "BBB", close="") + row("2020-01-10", "CCC", close="")
    _, quality = load_csv(tmp_path, HEADER + calendar + holed + without_close)
    lives = quality.lives
    assert (lives.symbol_days, lives.interior_gaps, lives.names_with_gaps) == (10 + 6, 2, 1)
    assert (lives.late_names, lives.ended_names, lives.empty_names) == (1, 1, 1)
    assert quality.interior_gap_ratio == 2 / 16


def test_freshness_is_measured_from_as_of(tmp_path: Path) -> None:
    _, quality = load_csv(tmp_path, HEADER + row("2020-12-24"))
    assert quality.last_date == date(2020, 12, 24)
    assert quality.days_to_as_of == 7


def test_bars_are_judged_where_they_are_complete(tmp_path: Path) -> None:
    lines = [
        "2020-01-01,AAA,10,11,9,10,1",
        "2020-01-02,AAA,12,11,9,10,1",  # open above high
        "2020-01-03,AAA,10,11,9,8,1",  # close below low
        "2020-01-04,AAA,10,9,11,10,1",  # high below low: open and close are outside too
        "2020-01-05,AAA,,11,9,8,1",  # close below low, open missing
    ]
    _, quality = load_csv(tmp_path, HEADER + "\n".join(lines) + "\n")
    bars = quality.bars
    assert (bars.complete, bars.violations) == (4, 3)
    assert (bars.high_below_low, bars.open_outside, bars.close_outside) == (1, 2, 3)
    assert quality.ohlc_consistent_ratio == 1 / 4


def walk(n_days: int, n_names: int, seed: int = 0) -> np.ndarray:
    return np.exp(np.cumsum(0.01 * np.random.default_rng(seed).standard_normal((n_days, n_names)), axis=0))


def names(close: np.ndarray) -> np.ndarray:
    return np.array([chr(ord("A") + place) for place in range(close.shape[1])])


@pytest.mark.parametrize(
    ("start", "length", "found"),
    [(0, 60, True), (17, 60, True), (140, 60, True), (0, 59, False), (17, 59, False), (5, 150, True)],
)
def test_a_shared_stretch_of_sixty_days_is_found_wherever_it_lies(start: int, length: int, found: bool) -> None:
    close = walk(200, 5)
    close[start : start + length, 3] = close[start : start + length, 1]
    assert identical_series(close, names(close)) == ((("B", "D"),) if found else ())


def test_a_copy_with_the_same_holes_is_found(tmp_path: Path) -> None:
    close = walk(400, 4)
    close[:, 2] = close[:, 0]
    close[::3, [0, 2]] = np.nan
    assert identical_series(close, names(close)) == (("A", "C"),)


def test_names_without_closes_are_no_copies_of_each_other() -> None:
    close = walk(200, 5)
    close[:, [1, 3]] = np.nan
    assert identical_series(close, names(close)) == ()


def test_a_name_copied_twice_makes_two_pairs() -> None:
    close = walk(100, 5)
    close[:, [2, 4]] = close[:, [0]]
    assert identical_series(close, names(close)) == (("A", "C"), ("C", "E"))


def test_copies_scaled_by_a_factor_are_not_the_same_series() -> None:
    close = walk(100, 2)
    close[:, 1] = 2 * close[:, 0]
    assert identical_series(close, names(close)) == ()


@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(55, 70), st.integers(1, 5)),
        elements=st.sampled_from([1.0, np.nan]),
        fill=st.just(1.0),
    )
)
def test_identical_series_agree_with_a_plain_search(close: np.ndarray) -> None:
    found = {copy for _, copy in identical_series(close, names(close))}
    expected = set()
    for place, name in enumerate(names(close)):
        for other in range(place):
            both = np.isfinite(close[:, place]) & np.isfinite(close[:, other]) & (close[:, place] == close[:, other])
            run = longest = 0
            for equal in both:
                run = run + 1 if equal else 0
                longest = max(longest, run)
            same_days = (
                np.isfinite(close[:, place]) == np.isfinite(close[:, other])
            ).all() and both.sum() >= COMMON_DAYS
            if longest >= COMMON_DAYS or same_days:
                expected.add(str(name))
    assert found == expected


def test_a_short_panel_has_no_copies(tmp_path: Path) -> None:
    _, quality = load_frame(tmp_path, prices(59).assign(close=1.0))
    assert quality.identical_series == ()


def dirty(folder: Path) -> DataQuality:
    frame = prices(80)
    frame.loc[3, "close"] = np.inf
    frame.loc[5, "open"] = np.nan
    frame.loc[170:, "close"] = 1000.0
    frame.loc[9, "symbol"] = "bad`|\x1b[31m"
    (folder / "sectors.csv").write_text("symbol,sector\nAAA,Energy\nZZZ,Banks\n")
    return load_frame(folder, pd.concat([frame, frame.iloc[[0]]]), reference={"sector": "sectors.csv"})[1]


def test_quality_survives_a_trip_through_json(tmp_path: Path) -> None:
    quality = dirty(tmp_path)
    assert quality.examples
    assert quality.extreme_moves
    assert DataQuality.from_json(json.loads(json.dumps(quality.to_json()))) == quality


def test_the_report_shows_each_defect_and_no_markup_of_the_file(tmp_path: Path) -> None:
    report = dirty(tmp_path).to_markdown()
    assert "1 exact, 0 conflicting" in report
    assert "| `infinite close` | 4 | `2020-01-06` | `AAA` | `close` | `inf` |" in report
    assert "| `sector` | 2 | 0 | 0 | 1 |" in report
    assert "\x1b" not in report
    table_rows = [line for line in report.splitlines() if line.startswith("| `unparseable symbol`")]
    assert [line.count("|") for line in table_rows] == [7]


def test_examples_stop_at_ten(tmp_path: Path) -> None:
    _, quality = load_frame(tmp_path, prices(80).assign(close=-1.0))
    assert quality.non_positive["close"] == 240
    assert len(quality.examples["non-positive close"]) == 10


@REAL
def test_the_counts_of_the_real_market(tmp_path: Path) -> None:
    path = str(SHARED_DATA / "sp500_2013_2018.parquet")
    _, quality = load(tmp_path, path=path, as_of="2018-02-07", columns={"symbol": "Name"})
    assert (quality.n_rows, quality.n_symbols, quality.n_dates) == (619_040, 505, 1_259)
    assert (quality.first_date, quality.last_date) == (date(2013, 2, 8), date(2018, 2, 7))
    assert [quality.missing[name] for name in ("open", "high", "low", "close", "volume")] == [11, 8, 8, 0, 0]
    assert (quality.bars.high_below_low, quality.bars.close_outside, quality.bars.open_outside) == (1, 9, 4)
    assert quality.zero_volume == 4
    assert {move.symbol for move in quality.extreme_moves} == {"DISCA", "DISCK", "EBAY", "NI", "LNT", "AMD", "VRTX"}
    assert quality.extreme_returns == 7
    assert (quality.lives.late_names, quality.lives.names_with_gaps, quality.lives.interior_gaps) == (29, 6, 51)
    assert (
        quality.duplicate_ratio
        == quality.numeric_fault_count
        == quality.calendar_fault_count
        == quality.days_to_as_of
        == 0
    )
    assert quality.identical_series == ()


@REAL
def test_the_counts_of_the_dirty_vintage(tmp_path: Path) -> None:
    columns = {name: name.title() for name in ("date", "open", "high", "low", "close", "volume")} | {"symbol": "Name"}
    path = str(SHARED_DATA / "sp500_2012_2017_dirty.parquet")
    panel, quality = load(tmp_path, path=path, as_of="2017-08-11", columns=columns)
    assert quality.n_rows == 606_801
    assert [quality.missing[name] for name in ("open", "high", "low", "volume")] == [384, 208, 227, 406]
    assert (quality.bars.high_below_low, quality.bars.close_outside) == (3, 19)
    assert sum(symbol.startswith("NYSE:") for symbol in panel.symbols) == 3
    assert {"HPQ", "HLT"} <= {move.symbol for move in quality.extreme_moves}
    assert quality.extreme_return_ratio < 1e-4
