"""Whatever lies in a price file: a panel with counts, or a DataError that says what to mend. Never anything else."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engines import axes, reading
from engines.errors import DataError
from engines.panel import load_panel
from engines.store import ArrayStore
from tests.engines.price_files import HEADER, candidate_over, load, load_csv, load_frame, prices, row


def test_a_clean_file_has_no_fault(tmp_path: Path) -> None:
    panel, quality = load_frame(tmp_path, prices())
    assert (panel.n_dates, panel.n_symbols) == (5, 3)
    assert quality.numeric_fault_count == quality.calendar_fault_count == quality.duplicate_ratio == 0
    assert quality.examples == {}


def test_rows_out_of_order_are_counted_and_sorted(tmp_path: Path) -> None:
    clean, _ = load_frame(tmp_path, prices())
    panel, quality = load_frame(tmp_path, prices().iloc[::-1])
    assert quality.out_of_order == quality.calendar_fault_count == 12  # all but the first row of each of three names
    np.testing.assert_array_equal(panel.close, clean.close)


def test_an_exact_duplicate_counts_once(tmp_path: Path) -> None:
    frame = prices()
    panel, quality = load_frame(tmp_path, pd.concat([frame, frame.iloc[[3]]]))
    assert (quality.duplicate_exact, quality.duplicate_conflicting) == (1, 0)
    assert quality.duplicate_ratio == pytest.approx(1 / 16)
    assert quality.examples["exact duplicate"][0].row == 16
    assert panel.n_dates == 5


def test_duplicates_with_the_same_holes_are_exact(tmp_path: Path) -> None:
    frame = prices()
    frame.loc[3, "open"] = np.nan
    _, quality = load_frame(tmp_path, pd.concat([frame, frame.iloc[[3]]]))
    assert (quality.duplicate_exact, quality.duplicate_conflicting) == (1, 0)


def test_of_conflicting_duplicates_the_first_row_of_the_file_stands(tmp_path: Path) -> None:
    panel, quality = load_csv(tmp_path, HEADER + row(close="10") + row(close="11") + row(close="10"))
    assert panel.close.tolist() == [[10.0]]
    assert (quality.duplicate_exact, quality.duplicate_conflicting) == (1, 1)


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ("inf", "infinite"),
        ("-Infinity", "infinite"),
        ("1e400", "infinite"),
        ("0", "non_positive"),
        ("-3.5", "non_positive"),
        ("abc", "unparseable"),
        ("1,5", "unparseable"),
        ("0x10", "unparseable"),
        ("1_0", "unparseable"),
        ("", "missing"),
        (" NA ", "missing"),
        ("nan", "missing"),
        ("NULL", "missing"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_price_that_is_none_is_counted_and_absent(tmp_path: Path, cell: str, fault: str, kind: str) -> None:
    if kind == "csv":
        good = row(day="2020-01-03")
        panel, quality = load_csv(tmp_path, f'{HEADER}2020-01-02,AAA,10,10,10,"{cell}",100\n{good}')
    else:
        frame = prices(2, ("AAA",)).astype({"close": object})
        frame["close"] = frame["close"].map(str)
        frame.loc[0, "close"] = cell
        panel, quality = load_frame(tmp_path, frame)
    counts = {name: getattr(quality, name)["close"] for name in ("infinite", "non_positive", "unparseable", "missing")}
    assert counts == {"infinite": 0, "non_positive": 0, "unparseable": 0, "missing": 0} | {fault: 1}
    assert np.isnan(panel.close[0, 0])
    assert np.isfinite(panel.close[1, 0])
    example = quality.examples[f"{fault.replace('_', '-')} close"][0]
    assert (example.row, example.symbol, example.column, example.value) == (1, "AAA", "close", cell)


def test_a_number_of_the_file_keeps_every_bit(tmp_path: Path) -> None:
    values = np.random.default_rng(3).uniform(1, 1000, 500)
    frame = prices(500, ("AAA",)).assign(close=values, high=2000.0, low=0.5)
    frame.to_csv(tmp_path / "prices.csv", index=False)
    panel, _ = load(tmp_path, as_of="2030-12-31")
    np.testing.assert_array_equal(panel.close[:, 0], values)


def test_volumes_as_text_and_whole_numbers_are_read(tmp_path: Path) -> None:
    frame = prices(2, ("AAA",))
    frame["volume"] = [" 1200 ", "1.5e3"]
    panel, quality = load_frame(tmp_path, frame)
    assert panel.volume[:, 0].tolist() == [1200.0, 1500.0]
    assert quality.unparseable["volume"] == 0


def test_zero_volume_is_no_fault_and_negative_volume_is(tmp_path: Path) -> None:
    text = HEADER + row(volume="0") + row(day="2020-01-03", volume="-1")
    panel, quality = load_csv(tmp_path, text)
    assert quality.zero_volume == 1
    assert quality.non_positive["volume"] == 1
    assert panel.volume[0, 0] == 0
    assert np.isnan(panel.volume[1, 0])


@pytest.mark.parametrize("symbol", ["NA", "nan", "null", "None", "00123", "1e5", "TRUE", "-", "Ä.B", " X", "inf"])
@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet"])
def test_a_symbol_stays_the_text_it_is(tmp_path: Path, symbol: str, kind: str) -> None:
    frame = prices(2, (symbol, "ZZZ"))
    path = f"prices.{kind}"
    if kind == "parquet":
        frame.to_parquet(tmp_path / path, index=False)
    else:
        frame.to_csv(tmp_path / path, index=False)
    panel, quality = load(tmp_path, path=path)
    assert sorted([symbol, "ZZZ"]) == panel.symbols.tolist()
    assert quality.calendar_fault_count == 0


def test_symbols_that_are_numbers_in_the_file_become_text(tmp_path: Path) -> None:
    frame = prices(2, ("AAA",))
    panel, _ = load_frame(tmp_path, frame.assign(symbol=[123, 123]))
    assert panel.symbols.tolist() == ["123"]


@pytest.mark.parametrize("symbol", ["", "  ", "A\x00B", "A\x07", "A" * 65])
def test_a_row_without_a_usable_symbol_is_counted_and_left_out(tmp_path: Path, symbol: str) -> None:
    frame = prices(2, ("AAA",))
    frame.loc[1, "symbol"] = symbol
    panel, quality = load_frame(tmp_path, frame)
    assert panel.n_dates == 1
    assert quality.calendar_fault_count == 1
    assert quality.missing["symbol"] + quality.unparseable["symbol"] == 1


@pytest.mark.parametrize(
    "day",
    [
        "2020-01-02",
        "20200102",
        "2020/01/02",
        " 2020-01-02 ",
        "2020-01-02 23:59:59",
        "2020-01-02T23:30:00-05:00",
        "2020-01-02T00:30:00+09:00",
        "2020-01-02T00:00:00Z",
    ],
)
def test_a_date_is_the_calendar_date_as_written(tmp_path: Path, day: str) -> None:
    panel, quality = load_csv(tmp_path, HEADER + row(day=day))
    assert panel.dates.tolist() == [np.datetime64("2020-01-02").item()]
    assert quality.calendar_fault_count == 0


def test_mixed_spellings_and_zones_of_one_date_are_one_date(tmp_path: Path) -> None:
    text = HEADER + row("2020-01-02T23:00:00-05:00", "A") + row("2020-01-02T01:00:00+09:00", "B") + row("20200102", "C")
    panel, _ = load_csv(tmp_path, text)
    assert (panel.n_dates, panel.n_symbols) == (1, 3)


@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York", "Asia/Tokyo"])
@pytest.mark.parametrize("unit", ["s", "us", "ns"])
def test_timestamps_give_the_date_of_their_own_zone(tmp_path: Path, zone: str | None, unit: str) -> None:
    stamps = pd.to_datetime(["2020-01-02 23:30", "2020-01-03 00:30"]).as_unit(unit).tz_localize(zone)
    panel, _ = load_frame(tmp_path, prices(2, ("AAA",)).assign(date=stamps))
    assert [str(day) for day in panel.dates] == ["2020-01-02", "2020-01-03"]


def test_date_and_whole_number_columns_are_dates(tmp_path: Path) -> None:
    frame = prices(2, ("AAA",))
    as_date, _ = load_frame(tmp_path, frame.assign(date=pd.to_datetime(frame["date"]).dt.date))
    as_number, _ = load_frame(tmp_path, frame.assign(date=frame["date"].str.replace("-", "").astype(int)))
    np.testing.assert_array_equal(as_date.dates, as_number.dates)


@pytest.mark.parametrize(
    "day", ["", "yesterday", "2020-02-30", "0000-01-01", "02/01/2020", "2020-1-2", "99999", "2020-01/02"]
)
def test_a_row_without_a_readable_date_is_counted_and_left_out(tmp_path: Path, day: str) -> None:
    panel, quality = load_csv(tmp_path, HEADER + row() + row(day=day, symbol="BBB"))
    assert panel.symbols.tolist() == ["AAA"]
    assert quality.calendar_fault_count == 1


def test_rows_after_as_of_are_counted_and_cut(tmp_path: Path) -> None:
    panel, quality = load_csv(
        tmp_path, HEADER + row() + row(day="2020-01-03") + row(day="2020-01-06"), as_of="2020-01-03"
    )
    assert quality.after_as_of == quality.calendar_fault_count == 1
    assert quality.days_to_as_of == 0
    assert panel.n_dates == panel.file_dates == 2


def test_a_file_that_lies_after_as_of_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="every row lies after as_of 2019-12-31"):
        load_csv(tmp_path, HEADER + row(), as_of="2019-12-31")


def test_one_symbol_on_one_date_is_a_panel(tmp_path: Path) -> None:
    panel, quality = load_csv(tmp_path, HEADER + row())
    assert (panel.n_dates, panel.n_symbols, quality.n_rows) == (1, 1, 1)
    assert quality.interior_gap_ratio == 0
    assert quality.ohlc_consistent_ratio == 1


@pytest.mark.parametrize("empty", ["close", "volume"])
def test_an_empty_column_is_named(tmp_path: Path, empty: str) -> None:
    panel, quality = load_frame(tmp_path, prices().assign(**{empty: np.nan}))
    assert quality.empty_columns == (empty,)
    assert quality.missing_ratio(empty) == 1
    assert np.isnan(getattr(panel, empty)).all()


def test_a_column_of_nulls_and_one_of_lists_are_measured(tmp_path: Path) -> None:
    frame = prices(2, ("AAA",)).assign(close=[None, None], volume=[[1.0], [2.0]])
    _, quality = load_frame(tmp_path, frame)
    assert quality.empty_columns == ("close", "volume")
    assert quality.unparseable["volume"] == 2


def test_prices_without_any_close_fail_every_ratio(tmp_path: Path) -> None:
    _, quality = load_frame(tmp_path, prices().assign(close=np.inf))
    assert quality.infinite["close"] == 15
    assert quality.ohlc_consistent_ratio == 0
    assert quality.interior_gap_ratio == 1
    assert quality.lives.empty_names == 3


def test_constant_prices_are_copies_of_each_other(tmp_path: Path) -> None:
    frame = prices(61).assign(open=10.0, high=10.0, low=10.0, close=10.0)
    _, quality = load_frame(tmp_path, frame)
    assert quality.identical_series == (("AAA", "BBB"), ("BBB", "CCC"))


def test_ten_thousand_symbols_with_one_row_each(tmp_path: Path) -> None:
    symbols = tuple(f"S{number:05d}" for number in range(10_000))
    frame = prices(1, symbols)
    frame["date"] = [f"2020-01-{1 + number % 5:02d}" for number in range(10_000)]
    panel, quality = load_frame(tmp_path, frame)
    assert (panel.n_dates, panel.n_symbols) == (5, 10_000)
    assert quality.identical_series == ()
    assert np.isfinite(panel.close).sum() == 10_000


def test_a_panel_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(axes, "MAX_PANEL_CELLS", 14)
    with pytest.raises(DataError, match="5 dates x 3 symbols are more than 14 cells"):
        load_frame(tmp_path, prices())


def test_more_rows_than_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_ROWS", 14)
    with pytest.raises(DataError, match="claims 15 rows"):
        load_frame(tmp_path, prices())


@pytest.mark.parametrize("ragged", ["2020-01-03,AAA,10,10\n", "2020-01-03,AAA,10,10,10,10,100,7,8\n"])
def test_ragged_rows_are_counted_with_their_place(tmp_path: Path, ragged: str) -> None:
    text = HEADER + row() + ragged + row(day="2020-01-06") + row(day="2020-01-07", close="x")
    panel, quality = load_csv(tmp_path, text)
    assert (quality.ragged, quality.n_rows, panel.n_dates) == (1, 4, 3)
    assert quality.examples["ragged"][0].row == 2
    assert quality.examples["unparseable close"][0].row == 4
    assert "ragged rows 1" in quality.numeric_fault_note


def test_byte_order_mark_carriage_returns_and_quotes_are_read_through(tmp_path: Path) -> None:
    text = "\ufeff" + HEADER.replace("\n", "\r\n") + '"2020-01-02","A,B",1,1,1,1,5\r\n'
    panel, quality = load_csv(tmp_path, text)
    assert panel.symbols.tolist() == ["A,B"]
    assert quality.numeric_fault_count == 0


def test_a_column_of_the_file_that_is_not_declared_is_not_read(tmp_path: Path) -> None:
    panel, _ = load_csv(tmp_path, "note," + HEADER + '"two\nlines",' + row() + "\x00," + row(day="2020-01-03"))
    assert panel.n_dates == 2


def _text(content: str | bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content) and None


UNREADABLE = {
    "empty": ("prices.csv", _text(""), "is empty"),
    "header only": ("prices.csv", _text(HEADER), "holds no row"),
    "blank": ("prices.csv", _text("\n\n\n"), "header line"),
    "not UTF-8": ("prices.csv", _text(HEADER.encode() + row(symbol="Ä").encode("latin-1")), "utf-8"),
    "UTF-16": ("prices.csv", _text((HEADER + row()).encode("utf-16")), "cannot be read"),
    "no declared column": (
        "prices.csv",
        _text(HEADER.replace("close", "Close") + row()),
        "no column 'close' for close; did you mean 'Close'",
    ),
    "semicolons": ("prices.csv", _text((HEADER + row()).replace(",", ";")), "no column 'date'"),
    "column twice": ("prices.csv", _text("close," + HEADER + "1," + row()), "2 columns 'close'"),
    "no date at all": ("prices.csv", _text(HEADER + row(day="x")), "no row has both"),
    "not parquet": ("prices.parquet", _text(HEADER + row()), "cannot be read"),
    "unknown kind": ("prices.xlsx", _text("x"), "no known kind"),
    "not gzip": ("prices.csv.gz", _text(HEADER + row()), "cannot be read"),
    "truncated gzip": ("prices.csv.gz", _text(gzip.compress((HEADER + row() * 999).encode())[:-20]), "cannot be read"),
    "directory": ("prices.csv", lambda path: path.mkdir(), "no regular file"),
    "fifo": ("prices.csv", os.mkfifo, "no regular file"),
    "dangling link": ("prices.csv", lambda path: path.symlink_to("nowhere"), "does not exist"),
    "absent": ("prices.csv", lambda path: None, "does not exist"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_cannot_be_read_is_refused_with_its_reason(tmp_path: Path, case: str) -> None:
    name, write, reason = UNREADABLE[case]
    write(tmp_path / name)
    with pytest.raises(DataError, match=reason) as refusal:
        load(tmp_path, path=name)
    assert refusal.value.remedy


def test_a_bomb_is_refused_before_it_expands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "FREE_EXPANSION_BYTES", 1 << 20)
    (tmp_path / "prices.csv.gz").write_bytes(gzip.compress(HEADER.encode() + row().encode() * 200_000, 9))
    with pytest.raises(DataError, match="expands to more than"):
        load(tmp_path, path="prices.csv.gz")


def test_an_honest_gzip_is_read(tmp_path: Path) -> None:
    prices(50).to_csv(tmp_path / "prices.csv.gz", index=False)
    panel, _ = load(tmp_path, path="prices.csv.gz")
    assert panel.n_dates == 50


def test_a_link_to_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text(HEADER + row())
    (tmp_path / "prices.csv").symlink_to("real.csv")
    panel, _ = load(tmp_path)
    assert panel.n_dates == 1


def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(HEADER + row())
    path.chmod(0)
    candidate = candidate_over(tmp_path)
    root = os.geteuid() == 0
    if root:
        tmp_path.chmod(0o755)
        os.seteuid(65534)
    try:
        with pytest.raises(DataError, match="cannot be read: Permission denied"):
            load_panel(candidate, ArrayStore(tmp_path / "cache"))
    finally:
        if root:
            os.seteuid(0)


def test_a_typed_day_that_no_calendar_has_is_unreadable_text(tmp_path: Path) -> None:
    rows = pa.Table.from_pandas(prices(40), preserve_index=False)
    days = rows.column("date").cast(pa.date32()).cast(pa.int32()).to_pylist()
    for far in (-1_836_388_031, 2**31 - 1, -719_163, 2_932_897):  # the last two: one day before year 1, one after 9999
        column = pa.array([far, *days[1:]], pa.int32()).cast(pa.date32())
        pq.write_table(rows.set_column(rows.column_names.index("date"), "date", column), tmp_path / "prices.parquet")
        panel, quality = load(tmp_path, path="prices.parquet")
        assert quality.unparseable["date"] == 1
        assert quality.missing["date"] == 0
        assert str(panel.dates[0]) >= "2000"
    column = pa.array([2**31 - 1] * len(days), pa.int32()).cast(pa.date32())
    pq.write_table(rows.set_column(rows.column_names.index("date"), "date", column), tmp_path / "prices.parquet")
    with pytest.raises(DataError, match="no row has both a readable date"):
        load(tmp_path, path="prices.parquet")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_parquet_is_refused(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "prices.parquet"
    prices(200).to_parquet(path, index=False)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path, path="prices.parquet")


def test_flipped_bits_in_a_parquet_give_a_panel_or_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "prices.parquet"
    prices(40).to_parquet(path, index=False)
    whole = path.read_bytes()
    rng = np.random.default_rng(7)
    outcomes = []
    for _ in range(25):
        damaged = bytearray(whole)
        damaged[rng.integers(4, len(whole) - 8)] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(damaged))
        try:
            panel, _ = load(tmp_path, path="prices.parquet")
            outcomes.append(panel.n_dates > 0)
        except DataError as refusal:
            outcomes.append(bool(refusal.remedy))
    assert outcomes == [True] * 25
