"""Noise on real prices: momentum on five years of S&P 500 names, its scores dealt to other names of the same date."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.bench import Bench, MemoryStore
from benchmarks.gate_runner import REPOSITORY
from benchmarks.planted_market import FloatArray, planted_config
from engines.candidate import Candidate
from engines.panel import Panel, load_panel
from engines.portfolio import rebalance_rows
from engines.signals import momentum
from engines.store import ArrayStore
from engines.study import Study

REAL_PRICES: Final = REPOSITORY.parent / "shared" / "data" / "sp500_2013_2018.parquet"
LOOKBACK_DAYS: Final = 126
SKIP_DAYS: Final = 21
TRAIN_DAYS: Final = 252
TEST_DAYS: Final = 63
REASON: Final = "no point-in-time source for this market"

SIGNAL_SOURCE: Final = '''"""Momentum, its scores dealt to other names of the same date."""

from benchmarks.calibration.real import deal
from engines.signals import momentum

DEAL, EACH_DATE = {deal}, {each_date}


def score(panel, lookback_days, skip_days):
    """The scores of momentum in the wrong hands."""
    signal = momentum(panel, lookback_days, skip_days)
    return deal(signal, range(panel.n_dates), DEAL, each_date=EACH_DATE)
'''


def deal(signal: FloatArray, rows: Any, number: int, *, each_date: bool) -> FloatArray:
    """The scores of the given rows in other hands, NaN elsewhere, (T, N).

    With `each_date` the finite scores of a date are exchanged among their names anew; without, one exchange of names holds for all dates, which keeps
    the signal's persistence.
    """
    dealt = np.full(signal.shape, np.nan)
    if not each_date:
        names = np.random.default_rng([number, 0]).permutation(signal.shape[1])
        dealt[list(rows)] = signal[list(rows)][:, names]
        return dealt
    for row in rows:
        names = np.flatnonzero(np.isfinite(signal[row]))
        dealt[row, names] = signal[row, np.random.default_rng([number, row]).permutation(names)]
    return dealt


class RealBench(Bench):
    """The real panel before its holdout, and its momentum."""

    def __init__(self, folder: Path, costs: str) -> None:
        self.folder = folder
        self.costs = costs
        candidate = self._candidate(0, each_date=True)
        self.full: Panel = load_panel(candidate, ArrayStore(folder / "cache"))[0]
        super().__init__(self.full.until(self.full.n_dates - candidate.walk_forward.holdout_days), candidate)
        self.momentum = momentum(self.sealed, LOOKBACK_DAYS, SKIP_DAYS)

    @property
    def rows(self) -> NDArray[np.int64]:
        """The dates on which a candidate is judged and traded: horizon and rebalance are the same."""
        portfolio, eligible = self.candidate.portfolio, self.mask & np.isfinite(self.momentum)
        return rebalance_rows(eligible, portfolio.rebalance_days, self.candidate.universe.min_names)

    def study(self, number: int, *, each_date: bool) -> Study:
        """The study of one deal. The next call replaces the signal file in the folder."""
        return Study(self.full, self._candidate(number, each_date=each_date), MemoryStore())

    def _candidate(self, number: int, *, each_date: bool) -> Candidate:
        source = SIGNAL_SOURCE.format(deal=number, each_date=each_date)
        (self.folder / "dealt.py").write_text(source, encoding="utf-8")
        return Candidate.from_config(real_config(self.costs), self.folder)


def real_config(costs: str) -> dict[str, Any]:
    """The planted candidate's configuration on the real file, which has no market caps and no sectors; shorter windows for a shorter file."""
    config = planted_config(21, 5, 21, costs)
    config["data"] = {
        "path": str(REAL_PRICES),
        "as_of": np.datetime64("2018-02-07").item(),
        "columns": {"symbol": "Name"},
        "absent": {"market_cap": REASON, "sector": REASON, "membership": REASON},
    }
    config["signal"] = {
        "function": "dealt.py:score",
        "parameters": {"lookback_days": LOOKBACK_DAYS, "skip_days": SKIP_DAYS},
    }
    del config["universe"]["min_market_cap"]
    config["walk_forward"] |= {"train_days": TRAIN_DAYS, "test_days": TEST_DAYS}
    return config


@dataclass(frozen=True, slots=True)
class DealtNoise:
    """Numbered deals, from `first` on."""

    bench: RealBench
    each_date: bool
    first: int = 0

    def signal(self, number: int) -> FloatArray:
        """See noise.Noise."""
        return deal(self.bench.momentum, self.bench.rows.tolist(), self.first + number, each_date=self.each_date)

    def study(self, number: int) -> Study:
        """See noise.Noise."""
        return self.bench.study(self.first + number, each_date=self.each_date)
