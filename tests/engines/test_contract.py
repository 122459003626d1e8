"""The data contract: each rule is broken by exactly the rows that break it, and the first rows of a file can contradict it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.candidate import DATA_COLUMNS
from engines.contract import ROW, Rule, breaches
from engines.errors import DataError
from engines.panel import contract_faults, read_header
from tests.engines.price_files import AS_OF, HEADER, candidate_over, prices, row, table_of


def test_a_clean_table_breaks_nothing() -> None:
    assert breaches(table_of(prices()), AS_OF) == {}


@pytest.mark.parametrize(
    ("column", "value", "rules"),
    [
        ("close", np.inf, {Rule("close", "finite"), Rule(ROW, "close_in_range")}),
        ("open", 0.0, {Rule("open", "positive"), Rule(ROW, "open_in_range")}),
        ("low", 1e6, {Rule(ROW, "high_not_below_low"), Rule(ROW, "open_in_range"), Rule(ROW, "close_in_range")}),
        ("volume", -1.0, {Rule("volume", "not_negative")}),
        ("volume", 0.0, set()),
        ("close", np.nan, set()),
        ("date", "2021-01-04", {Rule("date", "not_after_as_of")}),
        ("date", "2020-01-01", {Rule(ROW, "unique_key")}),
        ("date", "no date", set()),
    ],
)
def test_a_value_breaks_the_rules_about_it_and_no_other(column: str, value: object, rules: set[Rule]) -> None:
    frame = prices().astype({column: object})
    frame.loc[2, column] = value
    broken = breaches(table_of(frame), AS_OF)
    assert {rule: rows.tolist() for rule, rows in broken.items()} == {rule: [2] for rule in rules}


def test_a_check_leaves_hypothesis_to_those_who_ask_for_it() -> None:
    code = """if True:
        import sys
        from engines.contract import breaches
        from tests.engines.price_files import AS_OF, prices, table_of
        assert breaches(table_of(prices()), AS_OF) == {}
        assert "hypothesis" not in sys.modules
        import hypothesis
    """
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_rows_without_a_key_are_no_duplicates_of_each_other() -> None:
    frame = prices().assign(date="no date")
    assert Rule(ROW, "unique_key") not in breaches(table_of(frame), AS_OF)


@settings(max_examples=30)
@given(
    st.lists(st.sampled_from([-1.0, 0.0, 1.0, 5.0, float("nan"), float("inf"), -float("inf")]), min_size=4, max_size=40)
)
def test_breaches_agree_with_a_plain_loop(cells: list[float]) -> None:
    frame = prices(len(cells), ("AAA",)).assign(close=cells, open=1.0, high=3.0, low=1.0)
    broken = breaches(table_of(frame), date(2030, 1, 1))
    expected = {
        Rule("close", "finite"): [place for place, cell in enumerate(cells) if abs(cell) == float("inf")],
        Rule("close", "positive"): [place for place, cell in enumerate(cells) if cell in (-1.0, 0.0)],
        Rule(ROW, "close_in_range"): [place for place, cell in enumerate(cells) if cell < 1.0 or cell > 3.0],
    }
    assert {rule: rows.tolist() for rule, rows in broken.items()} == {
        rule: rows for rule, rows in expected.items() if rows
    }


def faults(folder: Path, text: str, **data: object) -> tuple[str, ...]:
    (folder / "prices.csv").write_text(text)
    candidate = candidate_over(folder, **data)
    return contract_faults(candidate, read_header(candidate))


def body(line: Callable[[int], str]) -> str:
    return HEADER + "".join(line(number) for number in range(20))


def day(number: int) -> str:
    return f"2020-01-{number + 1:02d}"


def test_the_header_of_a_clean_file_contradicts_nothing(tmp_path: Path) -> None:
    assert faults(tmp_path, body(lambda number: row(day(number)))) == ()


def test_a_single_bad_row_is_a_defect_and_no_contradiction(tmp_path: Path) -> None:
    text = body(lambda number: row(day(number), close="x" if number == 3 else "10")) + "ragged\n" + row("no date")
    assert faults(tmp_path, text) == ()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (lambda number: row(f"{number + 1}.1.2020"), "date: 20 of the first 20 rows hold nothing that can be read"),
        (lambda number: row(day(number), close="ten"), "close: 20 of the first 20 rows hold nothing that can be read"),
        (lambda number: row(day(number), close="-0.01"), "close: 20 of the first 20 rows break the rule positive"),
        (
            lambda number: row(f"{day(number // 10)}T{number:02d}:00"),
            "row: 18 of the first 20 rows break the rule unique_key",
        ),
        (
            lambda number: row(day(number).replace("2020", "2025")),
            "date: 20 of the first 20 rows break the rule not_after_as_of",
        ),
        (
            lambda number: row(day(number)).strip() + ",1,2\n",
            "row: 20 of the first 20 rows have another number of cells",
        ),
    ],
)
def test_what_most_first_rows_break_is_a_contradiction(tmp_path: Path, line: Callable[[int], str], said: str) -> None:
    assert any(fault.startswith(said) for fault in faults(tmp_path, body(line)))


def test_types_of_the_header_are_shown(tmp_path: Path) -> None:
    prices().to_parquet(tmp_path / "prices.parquet", index=False)
    header = read_header(candidate_over(tmp_path, path="prices.parquet"))
    assert header.columns == DATA_COLUMNS
    assert header.dtypes["close"] == "double"
    assert len(header.first_rows.row_numbers) == 15


def test_only_the_first_rows_are_looked_at(tmp_path: Path) -> None:
    prices(700).to_parquet(tmp_path / "prices.parquet", index=False)
    prices(700).to_csv(tmp_path / "prices.csv", index=False)
    for name in ("prices.parquet", "prices.csv"):
        assert len(read_header(candidate_over(tmp_path, path=name)).first_rows.row_numbers) == 1000


@pytest.mark.parametrize("name", ["absent.parquet", "empty.csv", "empty.parquet"])
def test_a_price_file_without_rows_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.csv").write_text(HEADER)
    prices().iloc[:0].to_parquet(tmp_path / "empty.parquet", index=False)
    with pytest.raises(DataError):
        read_header(candidate_over(tmp_path, path=name))


def test_the_headers_of_reference_tables_are_looked_at_too(tmp_path: Path) -> None:
    (tmp_path / "caps.csv").write_text("date,symbol,cap\n2020-01-02,AAA,1e9\n")
    with pytest.raises(DataError, match="no column 'market_cap' for market_cap"):
        faults(tmp_path, HEADER + row(), reference={"market_cap": "caps.csv"})
    with pytest.raises(DataError, match=r"sectors\.csv cannot be read"):
        faults(tmp_path, HEADER + row(), reference={"sector": "sectors.csv"})
