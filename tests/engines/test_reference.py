"""Reference tables: the last value known on or before each date, and nothing of the future."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import DataError
from engines.panel import Panel
from engines.quality import DataQuality, ReferenceQuality
from tests.engines.price_files import SHARED_DATA, load, load_frame, prices

NAN = float("nan")


def with_table(folder: Path, name: str, text: str, **spec: Any) -> tuple[Panel, DataQuality]:
    """The panel of AAA, BBB, CCC on 2020-01-01, 02, 03, 06, 07 with one reference table."""
    (folder / "table.csv").write_text(text)
    return load_frame(folder, prices(), reference={name: {"path": "table.csv", **spec}})


def test_without_tables_a_panel_knows_nothing_beside_prices(tmp_path: Path) -> None:
    panel, quality = load_frame(tmp_path, prices())
    assert (panel.market_cap, panel.sector, panel.member, panel.benchmark_close) == (None, None, None, None)
    assert quality.reference == {}
    assert quality.missing_member_ratio is None


def test_a_market_cap_holds_from_its_date_on_and_never_before(tmp_path: Path) -> None:
    panel, _ = with_table(
        tmp_path,
        "market_cap",
        "date,symbol,market_cap\n2020-01-02,AAA,5\n2020-01-04,AAA,7\n2020-01-05,AAA,8\n2019-06-30,BBB,3\n",
    )
    assert panel.market_cap is not None
    np.testing.assert_array_equal(panel.market_cap.T, [[NAN, 5, 5, 8, 8], [3] * 5, [NAN] * 5])


def test_an_unusable_market_cap_leaves_the_last_usable_one(tmp_path: Path) -> None:
    rows = "2020-01-01,AAA,5\n2020-01-02,AAA,-1\n2020-01-03,AAA,inf\n2020-01-06,AAA,x\n2020-01-07,AAA,\nnever,AAA,9\n2020-01-01,ZZZ,1\n"
    panel, quality = with_table(tmp_path, "market_cap", "date,symbol,market_cap\n" + rows)
    assert panel.market_cap is not None
    assert panel.market_cap[:, 0].tolist() == [5] * 5
    assert quality.reference["market_cap"] == ReferenceQuality(
        n_rows=7, unusable_rows=1, unusable_values=3, symbols_outside=1
    )


def test_of_two_rows_with_one_key_the_first_stands(tmp_path: Path) -> None:
    panel, _ = with_table(tmp_path, "market_cap", "date,symbol,market_cap\n2020-01-02,AAA,5\n2020-01-02,AAA,6\n")
    assert panel.market_cap is not None
    assert panel.market_cap[1, 0] == 5


def test_tables_go_by_their_declared_names(tmp_path: Path) -> None:
    text = "snapshot_date,Symbol,Market Cap\n2020-01-02T09:00:00Z,AAA,5\n"
    columns = {"date": "snapshot_date", "symbol": "Symbol", "market_cap": "Market Cap"}
    panel, _ = with_table(tmp_path, "market_cap", text, columns=columns)
    assert panel.market_cap is not None
    assert panel.market_cap[1, 0] == 5


def test_a_sector_without_a_date_holds_on_all_dates(tmp_path: Path) -> None:
    panel, _ = with_table(tmp_path, "sector", "symbol,sector\nBBB,Energy\nAAA,Banks\n")
    assert panel.sector is not None
    assert panel.sector_names == ("Banks", "Energy")
    assert panel.sector.dtype == np.int16
    assert panel.sector.tolist() == [[0, 1, -1]] * 5


def test_a_sector_with_a_date_holds_from_then_on(tmp_path: Path) -> None:
    panel, _ = with_table(
        tmp_path, "sector", "symbol,sector,date\nAAA,Banks,2020-01-02\nAAA,Energy,2020-01-06\nBBB,,2020-01-02\n"
    )
    assert panel.sector is not None
    assert panel.sector.T.tolist() == [[-1, 0, 0, 1, 1], [-1] * 5, [-1] * 5]


def test_a_mapped_date_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'since' for date"):
        with_table(tmp_path, "sector", "symbol,sector\nAAA,Banks\n", columns={"date": "since"})


def test_members_are_those_of_the_latest_list(tmp_path: Path) -> None:
    text = "date,symbol\n2020-01-02,AAA\n2020-01-02,BBB\n2020-01-04,BBB\n2020-01-04,CCC\n2020-02-01,AAA\n"
    panel, _ = with_table(tmp_path, "membership", text)
    assert panel.member is not None
    assert panel.member.T.tolist() == [
        [False, True, True, False, False],
        [False, True, True, True, True],
        [False, False, False, True, True],
    ]


def test_the_share_of_members_that_the_panel_lacks_is_averaged_over_known_dates(tmp_path: Path) -> None:
    text = "date,symbol\n2020-01-02,AAA\n2020-01-02,XXX\n2020-01-02,XXX\n2020-01-06,AAA\n2020-01-06,BBB\n"
    _, quality = with_table(tmp_path, "membership", text)
    assert quality.missing_member_ratio == pytest.approx((2 * 0.5 + 2 * 0) / 4)


def test_a_membership_that_starts_after_the_panel_knows_no_member(tmp_path: Path) -> None:
    panel, quality = with_table(tmp_path, "membership", "date,symbol\n2021-01-01,AAA\n")
    assert panel.member is not None
    assert not panel.member.any()
    assert quality.missing_member_ratio == 1.0


def test_a_benchmark_keeps_its_last_level(tmp_path: Path) -> None:
    panel, quality = with_table(tmp_path, "benchmark", "date,close\n2020-01-02,100\n2020-01-06,0\n2020-01-07,110\n")
    np.testing.assert_array_equal(panel.benchmark_close, [NAN, 100, 100, 100, 110])
    assert quality.reference["benchmark"].unusable_values == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("AAA,2020-01-07,bankruptcy,-0.8", -0.8),
        ("AAA,2020-01-07,bankruptcy,", -0.3),
        ("AAA,2020-01-07,Merger,", 0.0),
        ("AAA,2020-01-07,acquired by BBB,", 0.0),
        ("AAA,2020-01-07,merger,0.05", 0.05),
        ("AAA,2020-01-07,failure,-1", -1.0),
        ("AAA,2020-01-07,failure,-1.5", -0.3),
        ("AAA,2020-01-07,failure,abc", -0.3),
        ("AAA,2020-01-08,failure,-0.8", -0.3),
        ("ZZZ,2020-01-07,failure,-0.8", -0.3),
    ],
)
def test_the_return_of_a_delisting(tmp_path: Path, line: str, expected: float) -> None:
    panel, _ = with_table(tmp_path, "delistings", f"symbol,date,reason,return\n{line}\n")
    assert panel.delisting_return.tolist() == [expected, -0.3, -0.3]


def test_delistings_need_a_symbol_and_nothing_else(tmp_path: Path) -> None:
    panel, _ = with_table(tmp_path, "delistings", "symbol,reason\nAAA,merger\n")
    assert panel.delisting_return.tolist() == [0.0, -0.3, -0.3]


@pytest.mark.parametrize("text", ["", "date,symbol,market_cap\n"])
def test_an_empty_table_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError):
        with_table(tmp_path, "market_cap", text)


EVENTS = st.lists(
    st.tuples(st.integers(1, 28), st.sampled_from(["AAA", "BBB", "ZZZ"]), st.sampled_from([1.0, 2.0, 3.0, NAN])),
    min_size=1,
    max_size=12,
)


@settings(max_examples=15)
@given(EVENTS)
def test_the_join_agrees_with_a_plain_loop(tmp_path: Path, events: list[tuple[int, str, float]]) -> None:
    table = pd.DataFrame(
        [(f"2020-01-{day:02d}", name, value) for day, name, value in events], columns=["date", "symbol", "market_cap"]
    )
    table.to_parquet(tmp_path / "caps.parquet", index=False)
    panel, _ = load_frame(tmp_path, prices(15), reference={"market_cap": "caps.parquet"})
    assert panel.market_cap is not None
    for place, day in enumerate(panel.dates.astype(str)):
        for column, symbol in enumerate(panel.symbols):
            known = table[(table["symbol"] == symbol) & (table["date"] <= day) & table["market_cap"].notna()]
            known = known.drop_duplicates("date").sort_values("date")
            expected = known["market_cap"].iloc[-1] if len(known) else NAN
            np.testing.assert_equal(panel.market_cap[place, column], expected)


@settings(max_examples=10)
@given(EVENTS, st.integers(1, 14))
def test_what_comes_later_changes_nothing_before(
    tmp_path: Path, events: list[tuple[int, str, float]], stop: int
) -> None:
    table = pd.DataFrame(
        [(f"2020-01-{day:02d}", name, value) for day, name, value in events], columns=["date", "symbol", "market_cap"]
    )
    table.to_parquet(tmp_path / "caps.parquet", index=False)
    panel, _ = load_frame(tmp_path, prices(15), reference={"market_cap": "caps.parquet"})
    early = pd.concat(
        [
            table[table["date"] <= str(panel.dates[stop - 1])],
            pd.DataFrame([("2019-01-01", "ZZZ", 1.0)], columns=table.columns),
        ]
    )
    early.to_parquet(tmp_path / "caps.parquet", index=False)
    known, _ = load(tmp_path, path="prices.parquet", reference={"market_cap": "caps.parquet"})
    assert panel.market_cap is not None
    assert known.market_cap is not None
    np.testing.assert_array_equal(panel.market_cap[:stop], known.market_cap[:stop])


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the real market data are not here")
def test_the_real_lists_hold_members_that_the_real_panel_lacks(tmp_path: Path) -> None:
    columns = {"date": "snapshot_date", "symbol": "Symbol"}
    panel, quality = load(
        tmp_path,
        path=str(SHARED_DATA / "sp500_2013_2018.parquet"),
        as_of="2018-02-07",
        columns={"symbol": "Name"},
        reference={
            "membership": {"path": str(SHARED_DATA / "sp500_constituents_snapshots.parquet"), "columns": columns},
            "sector": str(SHARED_DATA / "sp500_sectors.csv"),
        },
    )
    assert panel.member is not None
    assert panel.sector is not None
    assert panel.member[panel.index_of(np.datetime64("2013-02-11"))].sum() == 500 - 123
    assert 0.1 < quality.missing_member_ratio < 123 / 500  # type: ignore[operator]
    assert (panel.sector >= 0).all()
    assert len(panel.sector_names) == 11
