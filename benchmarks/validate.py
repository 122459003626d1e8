"""The data contract over a whole price table, ours against pandera as its handbook writes it, on pandas and on polars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np

from benchmarks.frame import DisagreementError, Row, Run, alternate, peer_module, timed_row, with_peer
from benchmarks.market import COLUMNS, draw_panel, write_prices
from engines.candidate import DATA_COLUMNS
from engines.contract import breaches
from engines.long_table import LongTable, parse_long_table
from engines.reading import read_batches

WORK: Final = "data contract over a long price table"
BAD_ROWS: Final = 7


def measure(run: Run) -> Iterator[Row]:
    """One row a backend of pandera. Both sides must first find the same rows on a table with bad ones."""
    panel = draw_panel(run.size)
    as_of = panel.dates[-1].astype(object)
    clean, dirty = run.folder / "clean.parquet", run.folder / "dirty.parquet"
    write_prices(panel, clean)
    close = panel.close.copy()
    close[-1, np.flatnonzero(np.isfinite(close[-1]))[:BAD_ROWS]] *= -1.0
    write_prices(replace(panel, close=close), dirty)
    columns = {name: name for name in DATA_COLUMNS}

    def parsed(path: Any) -> list[LongTable]:
        return [parse_long_table(batch) for batch in read_batches(path, columns, where="prices")]

    def ours(tables: list[LongTable]) -> int:
        found = [breaches(table, as_of) for table in tables]
        return sum(len(rows) for broken in found for rule, rows in broken.items() if rule.name == "positive")

    tables, bad = parsed(clean), ours(parsed(dirty))
    for peer, prepare in (("pandera on pandas", _on_pandas), ("pandera on polars", _on_polars)):

        def row(peer: str = peer, prepare: Callable[[Any], Callable[[], int]] = prepare) -> list[Row]:
            theirs = prepare(dirty)()
            if theirs != bad or bad != BAD_ROWS:
                raise DisagreementError(
                    f"{peer}: {theirs} prices below zero, we {bad}", where="benchmarks", remedy="ask both for the same"
                )
            return [timed_row(WORK, run, peer, alternate(lambda: ours(tables), prepare(clean), rounds=run.rounds))]

        yield from with_peer(run, WORK, peer, None, row)


def _schema(pandera: Any, number: Any, rows: list[Any]) -> Any:
    """Positive prices, volumes not below zero, and what the rows must keep."""
    check = pandera.Check
    columns = {name: pandera.Column(number, check.gt(0), nullable=True) for name in COLUMNS if name != "volume"}
    columns["volume"] = pandera.Column(number, check.ge(0), nullable=True)
    return pandera.DataFrameSchema(columns, checks=rows, unique=["date", "symbol"])


def _on_pandas(path: Any) -> Callable[[], int]:
    pandas, pandera = peer_module("pandas"), peer_module("pandera.pandas")
    table = pandas.read_parquet(path)
    rows = [
        pandera.Check(lambda row: row["high"] >= row["low"]),
        pandera.Check(lambda row: (row["open"] >= row["low"]) & (row["open"] <= row["high"])),
        pandera.Check(lambda row: (row["close"] >= row["low"]) & (row["close"] <= row["high"])),
    ]
    schema = _schema(pandera, float, rows)

    def validate() -> int:
        try:
            schema.validate(table, lazy=True)
        except pandera.errors.SchemaErrors as error:
            cases = error.failure_cases
            return int(((cases["column"] == "close") & (cases["check"] == "greater_than(0)")).sum())
        return 0

    return validate


def _on_polars(path: Any) -> Callable[[], int]:
    polars, pandera = peer_module("polars"), peer_module("pandera.polars")
    table = polars.read_parquet(path)
    col = polars.col
    rows = [
        pandera.Check(lambda data: data.lazyframe.select(col("high") >= col("low"))),
        pandera.Check(lambda data: data.lazyframe.select(col("open").is_between(col("low"), col("high")))),
        pandera.Check(lambda data: data.lazyframe.select(col("close").is_between(col("low"), col("high")))),
    ]
    schema = _schema(pandera, polars.Float64, rows)

    def validate() -> int:
        try:
            schema.validate(table, lazy=True)
        except pandera.errors.SchemaErrors as error:
            cases = error.failure_cases
            return int(((cases["column"] == "close") & (cases["check"] == "greater_than(0)")).sum())
        return 0

    return validate
