"""Opening a panel: built and validated before (warm), and from its price file (cold), against reading the same file with polars, pandas and pyarrow."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.frame import Bar, Row, Run, alternate, figure_row, must_agree, peer_module, timed_row, with_peer
from benchmarks.market import COLUMNS, FloatArray, draw_panel, write_candidate, write_prices
from engines.candidate import Candidate, load_candidate
from engines.panel import Panel, load_panel
from engines.store import ArrayStore

WARM: Final = "opening a validated panel, warm"
COLD: Final = "price file -> validated dense store, cold"
COLD_BARS: Final = {"large": Bar("<=", 1.5, stretch=1.0)}
WARM_LIMIT_S, WARM_LIMIT_MB = 0.020, 100.0
WITHIN: Final = {"large": Bar("<=", 1.0)}
BUDGET_S: Final = 90.0

OPENING: Final = """
import sys
from pathlib import Path
from engines.candidate import load_candidate
from engines.panel import load_panel
from engines.store import ArrayStore
candidate, store = load_candidate(Path(sys.argv[1])), ArrayStore(Path(sys.argv[2]))
def resident_kb():
    return sum(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(("RssAnon", "RssFile")))
before = resident_kb()
load_panel(candidate, store)
print(resident_kb() - before)
"""


def measure(run: Run) -> Iterator[Row]:
    """Warm against a limit and the file readers, then cold against polars."""
    panel = draw_panel(run.size)
    prices = run.folder / "prices.parquet"
    write_prices(panel, prices)
    candidate = load_candidate(write_candidate(run.folder / "candidate.toml", prices, panel))
    cache = run.folder / "cache"
    built, _ = load_panel(candidate, ArrayStore(cache))

    def warm() -> Panel:
        return load_panel(candidate, ArrayStore(cache))[0]

    yield from _against_limits(run, warm, cache)
    for peer, read in _readers(prices, run).items():
        yield from with_peer(run, WARM, peer, None, lambda peer=peer, read=read: [_reading(run, warm, peer, read())])
    bar = COLD_BARS.get(run.size.name)
    yield from with_peer(run, COLD, POLARS, bar, lambda: [_cold(run, candidate, built, prices, bar)])


def _against_limits(run: Run, warm: Callable[[], Panel], cache: Path) -> Iterator[Row]:
    """The time of an opening as a share of 20 ms, and what it adds to a process that touches nothing as a share of 100 MB."""
    timing = alternate(warm, lambda: None, rounds=run.rounds)
    seconds = float(np.median(timing.ours_s))
    bar = WITHIN.get(run.size.name)
    yield figure_row(WARM, run, "20 ms", seconds / WARM_LIMIT_S, bar=bar, rounds=run.rounds, ours_ms=1e3 * seconds)
    command = [sys.executable, "-c", OPENING, str(run.folder / "candidate.toml"), str(cache)]
    added = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024
    yield figure_row(f"{WARM}, memory", run, "100 MB", added / WARM_LIMIT_MB, bar=bar, ours_mb=added)


def _readers(prices: Path, run: Run) -> dict[str, Callable[[], Callable[[], Any]]]:
    """Name -> what prepares a reader of the whole file; csv readers at the small size alone, where the file is not half a gigabyte."""

    def reader(module: str, function: str, path: Path) -> Callable[[], Callable[[], Any]]:
        def prepare() -> Callable[[], Any]:
            read = getattr(peer_module(module), function)
            return lambda: read(path)

        return prepare

    found = {f"{module} read_parquet": reader(module, "read_parquet", prices) for module in ("polars", "pandas")}
    if run.size.name == "small":
        text = prices.with_suffix(".csv")
        write_prices(draw_panel(run.size), text)
        readers = {"polars": "polars", "pandas": "pandas", "pyarrow": "pyarrow.csv"}
        found |= {f"{name} read_csv": reader(module, "read_csv", text) for name, module in readers.items()}
    return found


def _reading(run: Run, warm: Callable[[], Panel], peer: str, read: Callable[[], Any]) -> Row:
    return timed_row(WARM, run, peer, alternate(warm, read, rounds=run.rounds))


# ------------------------------------------------------------------------------------------------------------------ cold

POLARS: Final = "polars read + join on the full grid"
"""Faster by far than one pivot of all values, and than five pivots."""


def _cold(run: Run, candidate: Candidate, built: Panel, prices: Path, bar: Bar | None) -> Row:
    polars = peer_module("polars")
    cache = run.folder / "cold"

    def ours() -> None:
        shutil.rmtree(cache, ignore_errors=True)
        load_panel(candidate, ArrayStore(cache))

    def theirs() -> dict[str, FloatArray]:
        return dense(polars, polars.read_parquet(prices))

    for column, values in theirs().items():
        must_agree(f"{column}, polars", getattr(built, column), values, 0.0)
    return timed_row(COLD, run, POLARS, alternate(ours, theirs, rounds=run.rounds, budget_s=BUDGET_S), bar=bar)


def dense(polars: Any, table: Any) -> dict[str, FloatArray]:
    """Each column as a matrix of dates and symbols, by polars."""
    grid = table.select(polars.col("date").unique().sort()).join(
        table.select(polars.col("symbol").unique().sort()), how="cross"
    )
    full = grid.join(table, on=["date", "symbol"], how="left", maintain_order="left")
    n_dates = table["date"].n_unique()
    return {column: full[column].to_numpy().reshape(n_dates, -1) for column in COLUMNS}
