"""The market that benchmarks run on: dense, fat-tailed, with names that list late, delist and have gaps. Fast to draw at any size."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.frame import Size
from engines.digest import sha256_json
from engines.panel import DEFAULT_DELISTING_RETURN, Panel, last_finite_row
from fixtures.market import weekdays

SEED: Final = 20260101
COLUMNS: Final = ("open", "high", "low", "close", "volume")
LATE_FRACTION: Final = 0.05
DELISTED_FRACTION: Final = 0.05
GAP_FRACTION: Final = 0.005
FIRST_DATE: Final = date(2012, 1, 2)

FloatArray = NDArray[np.float64]


def draw_panel(size: Size, seed: int = SEED, *, whole: bool = False) -> Panel:
    """A panel of `size`: Student t returns (4 degrees of freedom), about 4.5 % of the cells absent; none of a whole one."""
    rng = np.random.default_rng(seed)
    shape = (size.n_dates, size.n_symbols)
    returns = 0.014 * rng.standard_t(4, shape) / np.sqrt(2.0) + 0.008 * rng.standard_normal((size.n_dates, 1))
    close = np.exp(rng.normal(3.7, 0.6, size.n_symbols) + np.cumsum(returns.clip(-0.3, 0.3), axis=0))
    open_ = close * np.exp(0.006 * rng.standard_normal(shape))
    high = np.maximum(open_, close) * (1.0 + 0.004 * rng.random(shape))
    low = np.minimum(open_, close) * (1.0 - 0.004 * rng.random(shape))
    volume = np.round(np.exp(rng.normal(14.0, 1.0, size.n_symbols) + 0.4 * rng.standard_normal(shape)))
    absent = np.zeros(shape, dtype=bool) if whole else _absent(rng, size)
    bars = dict(zip(COLUMNS, (open_, high, low, close, volume), strict=True))
    for values in bars.values():
        values[absent] = np.nan
    return Panel(
        dates=weekdays(FIRST_DATE, size.n_dates),
        symbols=np.array([f"BM{number:05d}" for number in range(size.n_symbols)]),
        **bars,
        last_close=last_finite_row(close),
        delisting_return=np.full(size.n_symbols, DEFAULT_DELISTING_RETURN),
        file_dates=size.n_dates,
        content_sha256=sha256_json(["benchmark market", seed, *shape, whole]),
    )


def _absent(rng: np.random.Generator, size: Size) -> NDArray[np.bool_]:
    """(T, N) where the file has no row: before a late listing, after a delisting, and single days in between."""
    order = rng.permutation(size.n_symbols)
    n_late, n_ended = (round(part * size.n_symbols) for part in (LATE_FRACTION, DELISTED_FRACTION))
    first, stop = np.zeros(size.n_symbols, dtype=np.int64), np.full(size.n_symbols, size.n_dates)
    first[order[:n_late]] = rng.integers(1, 3 * size.n_dates // 4, n_late)
    stop[order[n_late : n_late + n_ended]] = rng.integers(size.n_dates // 4, size.n_dates, n_ended)
    rows = np.arange(size.n_dates)[:, None]
    return np.asarray((rows < first) | (rows >= stop) | (rng.random((size.n_dates, size.n_symbols)) < GAP_FRACTION))


def write_prices(panel: Panel, path: Path) -> None:
    """The panel as a long parquet or csv file, one row per date and symbol that has a close, sorted by date."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    day, name = np.nonzero(np.isfinite(panel.close))
    table: dict[str, Any] = {
        "date": pa.array(panel.dates[day]).cast(pa.date32()),
        "symbol": pa.DictionaryArray.from_arrays(name.astype(np.int32), panel.symbols.tolist()).cast(pa.string()),
    }
    table |= {column: getattr(panel, column)[day, name] for column in COLUMNS}
    if path.suffix == ".csv":
        pa_csv.write_csv(pa.table(table), path)
    else:
        pq.write_table(pa.table(table), path, compression="zstd", row_group_size=1 << 20)


def write_candidate(path: Path, prices: Path, panel: Panel, *, function: str = "momentum", name: str = "bench") -> Path:
    """A complete candidate.toml over `prices`: what a researcher would hand in, without reference tables."""
    place = prices.name if prices.parent == path.parent else prices
    path.write_text(
        f"""schema = 1
name = "{name}"
family = "benchmark"
hypothesis = "Winners of the past year keep winning over the next month."
universe_constraints = "Every name with a price of at least one dollar"
protocol_version = "1"
preregistered = true

[data]
path = "{place}"
as_of = {panel.dates[-1]}

[data.absent]
market_cap = "a benchmark has no capitalisations"
sector = "a benchmark has no sectors"

[signal]
function = "{function}"
parameters = {{ lookback_days = 252, skip_days = 21 }}

[universe]
min_price = 1.0
min_dollar_volume = 1e5

[portfolio]
long_fraction = 0.2
short_fraction = 0.2
weighting = "equal"
horizon_days = 21
rebalance_days = 21
execution_delay_days = 1
execution_price = "open"
target_aum = 1e7

[costs]
half_spread_bps = 5.0
fee_bps = 1.0
impact_coefficient = 0.8
borrow_bps_per_year = 50.0
source = "benchmark"

[walk_forward]
train_days = 504
test_days = 126
embargo_days = 21
shards = 4
cost_multipliers = [1.0, 1.5, 2.0]
holdout_days = 126
""",
        encoding="utf-8",
    )
    return path
