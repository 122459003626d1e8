"""How time and memory grow when symbols, dates, multipliers or shards are four times as many: the exponent, 1 where four times takes four times."""

from __future__ import annotations

import json
import math
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.frame import Bar, Row, Run, Size, figure_row
from benchmarks.market import draw_panel, write_candidate, write_prices

WORK: Final = "cold panel, walk-forward and cost stress"
BAR: Final = Bar("<=", 1.1)
TIMES: Final = 4
SIZES_OF: Final[Mapping[str, tuple[int, int]]] = {"small": (250, 756), "large": (750, 1260)}
ROUNDS: Final = 3
LEAST_KILOBYTES: Final = 1024.0
"""Less than this over what the libraries took at their loading is not told apart from nothing."""

WORKING: Final = """
import json, sys, time
from pathlib import Path
import pandas, pandera.pandas, pyarrow.parquet, scipy.special
import engines.panel_build, engines.kernels
from engines.candidate import load_candidate
from engines.study import open_study
def kilobytes(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
before = kilobytes("VmRSS")
began = time.perf_counter()
study = open_study(load_candidate(Path(sys.argv[1])), Path(sys.argv[2]), lasting=False)
walk = study.walk_forward
nets = [walk.net_returns(multiplier).sum() for multiplier in walk.multipliers]
shards = [walk.shard(f"wf-{number + 1}").n_days for number in range(study.candidate.walk_forward.shards)]
print(json.dumps({"seconds": time.perf_counter() - began, "kilobytes": kilobytes("VmHWM") - before, "rows": len(nets) * len(shards)}))
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A market and the candidate on it."""

    n_symbols: int
    n_dates: int
    multipliers: int = 3
    shards: int = 2


def measure(run: Run) -> Iterator[Row]:
    """Time and memory, one row each way to grow."""
    n_symbols, n_dates = SIZES_OF[run.size.name]
    base = Case(n_symbols, n_dates)
    grown = {
        "symbols": Case(TIMES * n_symbols, n_dates),
        "dates": Case(n_symbols, TIMES * n_dates),
        "multipliers": Case(n_symbols, n_dates, multipliers=TIMES * base.multipliers),
        "shards": Case(n_symbols, n_dates, shards=TIMES * base.shards),
    }
    one = _measured(run, base)
    for what, case in grown.items():
        four = _measured(run, case)
        for measured in ("seconds", "kilobytes"):
            exponent = math.log(four[measured] / one[measured]) / math.log(TIMES)
            yield figure_row(
                f"{WORK}: {what} x {TIMES}, {'time' if measured == 'seconds' else 'memory'}",
                run,
                "exponent",
                exponent,
                bar=BAR,
                rounds=ROUNDS,
                n_symbols=case.n_symbols,
                n_dates=case.n_dates,
                one=one[measured],
                four=four[measured],
            )


def _measured(run: Run, case: Case) -> dict[str, float]:
    """Medians of a case's rounds, each in a process and a cache of its own."""
    folder = run.folder / f"{case.n_symbols}-{case.n_dates}-{case.multipliers}-{case.shards}"
    folder.mkdir()
    panel = draw_panel(Size(run.size.name, case.n_symbols, case.n_dates))
    write_prices(panel, folder / "prices.parquet")
    candidate = write_candidate(folder / "candidate.toml", folder / "prices.parquet", panel)
    changes = {
        r"cost_multipliers = .*": f"cost_multipliers = {[1.0, 1.5, 2.0, *(2.0 + number / 10 for number in range(1, case.multipliers - 2))]}",
        r"shards = .*": f"shards = {case.shards}",
        r"train_days = .*": "train_days = 126",
        r"test_days = .*": "test_days = 21",
        r"holdout_days = .*": "holdout_days = 42",
        r"parameters = .*": "parameters = { lookback_days = 126, skip_days = 21 }",
    }
    text = candidate.read_text(encoding="utf-8")
    for old, new in changes.items():
        text = re.sub(f"(?m)^{old}$", new, text)
    candidate.write_text(text, encoding="utf-8")
    rounds = [_round(candidate, folder / "cache") for _ in range(ROUNDS)]
    shutil.rmtree(folder)
    found = {name: statistics.median(each[name] for each in rounds) for name in ("seconds", "kilobytes")}
    return {**found, "kilobytes": max(found["kilobytes"], LEAST_KILOBYTES)}


def _round(candidate: Path, cache: Path) -> dict[str, float]:
    shutil.rmtree(cache, ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-c", WORKING, str(candidate), str(cache)], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found
