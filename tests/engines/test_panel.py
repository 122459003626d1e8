"""The panel: the file's own numbers on its own calendar, nothing filled, nothing known too early."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.candidate import NUMERIC_COLUMNS
from engines.errors import DataError
from engines.layout import Allocate
from engines.panel import DEFAULT_DELISTING_RETURN, Panel, load_panel
from engines.panel_build import build_panel
from engines.store import ArrayStore
from tests.engines.price_files import CONFIG, SHARED_DATA, candidate_over, load_frame, prices


def holed(n_days: int = 8) -> pd.DataFrame:
    """BBB starts late, AAA ends early, CCC has a hole of one day."""
    frame = prices(n_days)
    place = frame.groupby("symbol").cumcount()
    gone = ((frame["symbol"] == "BBB") & (place < 2)) | ((frame["symbol"] == "AAA") & (place >= 5))
    return frame[~gone & ~((frame["symbol"] == "CCC") & (place == 3))].reset_index(drop=True)


def test_a_panel_is_the_pivot_of_its_file(tmp_path: Path) -> None:
    frame = holed()
    panel, _ = load_frame(tmp_path, frame)
    for column in NUMERIC_COLUMNS:
        wide = frame.pivot(index="date", columns="symbol", values=column)
        np.testing.assert_array_equal(getattr(panel, column), wide.to_numpy())
    assert [str(day) for day in panel.dates] == list(wide.index)
    assert panel.symbols.tolist() == list(wide.columns)


def test_columns_go_by_their_declared_names(tmp_path: Path) -> None:
    frame = prices().rename(columns={"symbol": "Name", "close": "Adj Close"}).assign(close=1.0)
    panel, _ = load_frame(tmp_path, frame, columns={"symbol": "Name", "close": "Adj Close"})
    np.testing.assert_array_equal(panel.close[:, 0], frame["Adj Close"][:5])


def test_last_close_is_that_of_the_whole_file(tmp_path: Path) -> None:
    panel, _ = load_frame(tmp_path, holed())
    assert panel.last_close.tolist() == [4, 7, 7]
    assert panel.file_dates == 8
    assert panel.delisting_return.tolist() == [DEFAULT_DELISTING_RETURN] * 3


def test_a_name_without_a_close_has_no_last_close(tmp_path: Path) -> None:
    frame = prices()
    frame.loc[frame["symbol"] == "BBB", "close"] = np.nan
    panel, _ = load_frame(tmp_path, frame)
    assert panel.last_close.tolist() == [4, -1, 4]


def test_until_keeps_what_is_known_of_delistings(tmp_path: Path) -> None:
    panel, _ = load_frame(tmp_path, holed())
    cut = panel.until(3)
    assert cut.close.shape == (3, 3)
    assert cut.last_close.tolist() == [4, 7, 7]
    assert cut.file_dates == 8
    assert cut.content_sha256 != panel.content_sha256


@pytest.mark.parametrize("stop", range(1, 9))
def test_as_known_at_is_what_a_shorter_file_gives(tmp_path: Path, stop: int) -> None:
    frame = holed()
    panel, _ = load_frame(tmp_path, frame)
    known = panel.as_known_at(stop)
    day = panel.dates[stop - 1].item()
    shorter = frame[frame["date"] <= str(day)]
    truth, _ = load_frame(tmp_path, shorter)
    names = np.isin(panel.symbols, truth.symbols)
    for column in NUMERIC_COLUMNS:
        np.testing.assert_array_equal(getattr(known, column)[:, names], getattr(truth, column))
    np.testing.assert_array_equal(known.last_close[names], truth.last_close)
    assert (known.last_close[~names] == -1).all()
    assert known.file_dates == truth.file_dates == stop


def test_as_known_at_forgets_the_return_of_a_delisting_to_come(tmp_path: Path) -> None:
    (tmp_path / "ends.csv").write_text("symbol,return\nAAA,-0.9\n")
    panel, _ = load_frame(tmp_path, holed(), reference={"delistings": "ends.csv"})
    assert panel.delisting_return[0] == -0.9
    assert panel.as_known_at(5).delisting_return[0] == DEFAULT_DELISTING_RETURN  # its last close, not yet known as such
    assert panel.as_known_at(6).delisting_return[0] == -0.9


@pytest.mark.parametrize("stop", [0, -1, 6])
def test_a_cut_outside_the_panel_is_refused(tmp_path: Path, stop: int) -> None:
    panel, _ = load_frame(tmp_path, prices())
    for cut in (panel.until, panel.as_known_at):
        with pytest.raises(DataError, match=f"cannot be cut to {stop}"):
            cut(stop)


def test_the_index_of_a_day_is_the_first_date_on_or_after_it(tmp_path: Path) -> None:
    panel, _ = load_frame(tmp_path, prices())  # Wed 2020-01-01 .. Tue 2020-01-07
    assert [panel.index_of(np.datetime64(day)) for day in ("2019-01-01", "2020-01-02", "2020-01-04", "2020-01-08")] == [
        0,
        1,
        3,
        5,
    ]


def test_every_array_of_a_panel_is_read_only(tmp_path: Path) -> None:
    panel, _ = load_frame(tmp_path, prices())
    for view in (panel, panel.until(2), panel.as_known_at(2)):
        for name in ("dates", "symbols", "close", "last_close", "delisting_return"):
            with pytest.raises(ValueError, match="read-only"):
                getattr(view, name)[0] = getattr(view, name)[0]


def test_a_panel_of_disagreeing_shapes_is_refused(tmp_path: Path) -> None:
    panel, _ = load_frame(tmp_path, prices())
    arrays = {
        name: getattr(panel, name)
        for name in ("symbols", "open", "high", "low", "close", "volume", "last_close", "delisting_return")
    }
    with pytest.raises(DataError, match=r"open has shape \(5, 3\), expected \(4, 3\)"):
        Panel(dates=panel.dates[:4], file_dates=4, content_sha256="x", **arrays)
    with pytest.raises(DataError, match="strictly increasing"):
        Panel(dates=panel.dates[::-1], file_dates=5, content_sha256="x", **arrays)


def test_the_content_hash_names_all_that_decides_a_panel(tmp_path: Path) -> None:
    (tmp_path / "sectors.csv").write_text("symbol,sector\nAAA,Energy\n")
    plain = load_frame(tmp_path, prices())[0].content_sha256
    again = load_frame(tmp_path, prices())[0].content_sha256
    others = [
        load_frame(tmp_path, prices(), as_of="2020-12-30")[0],
        load_frame(tmp_path, prices(seed=1))[0],
        load_frame(tmp_path, prices(), columns={"open": "close", "close": "open"})[0],
        load_frame(tmp_path, prices(), reference={"sector": "sectors.csv"})[0],
    ]
    assert plain == again
    assert len({plain, *(panel.content_sha256 for panel in others)}) == 5


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prices().to_parquet(tmp_path / "prices.parquet", index=False)
    candidate = candidate_over(tmp_path, path="prices.parquet")

    def build_and_overwrite(given: object, allocate: Allocate) -> object:
        built = build_panel(candidate, allocate)
        prices(seed=1).to_parquet(tmp_path / "prices.parquet", index=False)
        return built

    monkeypatch.setattr("engines.panel_build.build_panel", build_and_overwrite)
    with pytest.raises(DataError, match="changed while it was read"):
        load_panel(candidate, ArrayStore(tmp_path / "cache"))


WARM = """
import json, sys
from pathlib import Path
from engines.candidate import Candidate
from engines.panel import load_panel
from engines.store import ArrayStore
folder = Path(sys.argv[1])
panel, quality = load_panel(Candidate.from_config(json.loads(sys.argv[2]), folder), ArrayStore(folder / "cache"))
print(panel.n_dates, quality.n_rows, sorted({"pandas", "pandera", "pyarrow"} & sys.modules.keys()))
"""


def test_a_process_that_finds_the_panel_built_loads_no_heavy_package(tmp_path: Path) -> None:
    prices().to_parquet(tmp_path / "prices.parquet", index=False)
    load_panel(candidate_over(tmp_path, path="prices.parquet"), ArrayStore(tmp_path / "cache"))
    config = {**CONFIG, "data": {**CONFIG["data"], "path": "prices.parquet"}}
    command = [sys.executable, "-c", WARM, str(tmp_path), json.dumps(config)]
    warm = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert warm.stdout.split(maxsplit=2) == ["5", "15", "[]\n"]


CELLS = st.sampled_from([1.0, 2.0, 2.5, 10.0, 0.0, -1.0, float("nan"), float("inf")])


@st.composite
def files(draw: st.DrawFn) -> pd.DataFrame:
    """Small dirty files without two rows of one key, on which the order of rows would have to decide."""
    keys = draw(st.lists(st.tuples(st.integers(1, 12), st.sampled_from("ABCD")), min_size=1, max_size=15, unique=True))
    cells = {name: draw(st.lists(CELLS, min_size=len(keys), max_size=len(keys))) for name in NUMERIC_COLUMNS}
    return pd.DataFrame(
        {"date": [f"2020-01-{day:02d}" for day, _ in keys], "symbol": [name for _, name in keys], **cells}
    )


@settings(max_examples=12)
@given(frame=files(), seed=st.integers(0, 9))
def test_the_order_of_rows_and_columns_changes_nothing(tmp_path: Path, frame: pd.DataFrame, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shuffled = frame.sample(frac=1, random_state=seed)[list(rng.permutation(frame.columns))]
    (panel, quality), (other, others_quality) = load_frame(tmp_path, frame), load_frame(tmp_path, shuffled)
    for column in ("dates", "symbols", *NUMERIC_COLUMNS, "last_close"):
        np.testing.assert_array_equal(getattr(panel, column), getattr(other, column))
    counts, other_counts = quality.to_json(), others_quality.to_json()
    for of_order in ("out_of_order", "examples", "extreme_moves"):
        counts.pop(of_order), other_counts.pop(of_order)
    assert counts == other_counts
    moves, other_moves = quality.extreme_moves, others_quality.extreme_moves
    assert [(move.date, move.symbol, move.ratio) for move in moves] == [
        (move.date, move.symbol, move.ratio) for move in other_moves
    ]


@settings(max_examples=8)
@given(frame=files(), names=st.permutations("ABCD"))
def test_renaming_the_symbols_permutes_the_columns(tmp_path: Path, frame: pd.DataFrame, names: list[str]) -> None:
    renamed = frame.assign(symbol=frame["symbol"].map(dict(zip("ABCD", names, strict=True))))
    (panel, quality), (other, others_quality) = load_frame(tmp_path, frame), load_frame(tmp_path, renamed)
    place = [other.symbols.tolist().index(names["ABCD".index(symbol)]) for symbol in panel.symbols]
    np.testing.assert_array_equal(panel.close, other.close[:, place])
    assert quality.numeric_fault_count == others_quality.numeric_fault_count
    assert quality.extreme_returns == others_quality.extreme_returns
    assert quality.lives == others_quality.lives


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the real market data are not here")
def test_the_real_market_is_its_own_pivot(tmp_path: Path) -> None:
    path = SHARED_DATA / "sp500_2013_2018.parquet"
    candidate = candidate_over(tmp_path, path=str(path), as_of="2018-02-07", columns={"symbol": "Name"})
    panel, _ = load_panel(candidate, ArrayStore(tmp_path / "cache"))
    wide = pd.read_parquet(path).pivot(index="date", columns="Name", values="close").sort_index(axis=1)
    np.testing.assert_array_equal(panel.close, wide.to_numpy())
    assert panel.symbols.tolist() == list(wide.columns)
