"""Small price files and candidates around them, for the tests of everything that reads files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from engines.candidate import DATA_COLUMNS, Candidate
from engines.long_table import LongTable, parse_long_table
from engines.panel import Panel, load_panel
from engines.quality import DataQuality
from engines.reading import FileColumns
from engines.store import ArrayStore, Build, Entry

AS_OF = date(2020, 12, 31)
SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

CONFIG: dict[str, Any] = {
    "schema": 1,
    "name": "momentum-test",
    "family": "momentum",
    "hypothesis": "Winners keep winning.",
    "universe_constraints": "every name of the file",
    "protocol_version": "1",
    "preregistered": True,
    "data": {"path": "prices.csv", "as_of": AS_OF.isoformat()},
    "signal": {"function": "momentum", "parameters": {"lookback_days": 252, "skip_days": 21}},
    "portfolio": {
        "long_fraction": 0.2,
        "short_fraction": 0.2,
        "weighting": "equal",
        "horizon_days": 21,
        "rebalance_days": 21,
        "execution_delay_days": 1,
        "execution_price": "open",
        "target_aum": 1e7,
    },
    "costs": {
        "half_spread_bps": 5.0,
        "fee_bps": 1.0,
        "impact_coefficient": 0.8,
        "borrow_bps_per_year": 50.0,
        "source": "broker schedule",
    },
    "walk_forward": {
        "train_days": 504,
        "test_days": 126,
        "embargo_days": 21,
        "shards": 4,
        "cost_multipliers": [1.0, 1.5, 2.0],
        "holdout_days": 126,
    },
}


def candidate_over(folder: Path, **data: Any) -> Candidate:
    """A candidate whose [data] table is `data` over the default (prices.csv, 2020-12-31)."""
    return Candidate.from_config({**CONFIG, "data": {**CONFIG["data"], **data}}, folder)


class Unstored(ArrayStore):
    """Builds each time and writes nothing: the store has tests of its own, and a disk to wait for."""

    def get_or_build(self, kind: str, key: Mapping[str, Any], build: Build) -> Entry:
        arrays, meta = build()
        return dict(arrays), json.loads(json.dumps(meta))


def load(folder: Path, **data: Any) -> tuple[Panel, DataQuality]:
    """The panel and quality of the price file in `folder`."""
    return load_panel(candidate_over(folder, **data), Unstored(folder / "cache"))


def load_csv(folder: Path, text: str | bytes, **data: Any) -> tuple[Panel, DataQuality]:
    """The panel and quality of a csv with this content."""
    (folder / "prices.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return load(folder, **data)


def load_frame(folder: Path, frame: pd.DataFrame, **data: Any) -> tuple[Panel, DataQuality]:
    """The panel and quality of a parquet file with this content."""
    frame.to_parquet(folder / "prices.parquet", index=False)
    return load(folder, path="prices.parquet", **data)


def prices(n_days: int = 5, symbols: tuple[str, ...] = ("AAA", "BBB", "CCC"), seed: int = 0) -> pd.DataFrame:
    """A clean long price table, by symbol, then date; business days from 2020-01-01."""
    rng = np.random.default_rng(seed)
    days = pd.bdate_range("2020-01-01", periods=n_days).strftime("%Y-%m-%d")
    shape = (len(symbols), n_days)
    close = np.round(50 * np.exp(np.cumsum(0.01 * rng.standard_normal(shape), axis=1)), 4)
    opening = np.round(close * (1 + 0.002 * rng.standard_normal(shape)), 4)
    return pd.DataFrame(
        {
            "date": np.tile(days, len(symbols)),
            "symbol": np.repeat(symbols, n_days),
            "open": opening.ravel(),
            "high": (np.maximum(opening, close) + 0.1).ravel(),
            "low": (np.minimum(opening, close) - 0.1).ravel(),
            "close": close.ravel(),
            "volume": rng.integers(1000, 100_000, shape).ravel().astype(float),
        }
    )


HEADER = "date,symbol,open,high,low,close,volume\n"


def row(day: str = "2020-01-02", symbol: str = "AAA", close: str = "10", volume: str = "100") -> str:
    """One csv row whose four prices are `close`."""
    return f"{day},{symbol},{close},{close},{close},{close},{volume}\n"


def table_of(frame: pd.DataFrame) -> LongTable:
    """The parsed table of these rows, as from a file."""
    columns = {name: pa.array(frame[name].tolist()) for name in DATA_COLUMNS}
    text = {name: column.cast(pa.large_string()) for name, column in columns.items() if pa.types.is_string(column.type)}
    return parse_long_table(FileColumns(columns | text, np.arange(1, len(frame) + 1)))
