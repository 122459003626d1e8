"""The bench that every simulated candidate of a market shares: its universe, labels and liquidity, measured once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.planted_market import SCORES_FILE, FloatArray, PlantedMarket, planted_candidate, smoothed
from engines.backtest import run_backtest
from engines.costs import TRADING_DAYS_PER_YEAR
from engines.forward import forward_returns
from engines.ic import rank_ic
from engines.liquidity import Liquidity, measure_liquidity
from engines.statistics import MeanTest, sharpe_ratio, student_t_of_mean
from engines.store import ArrayStore
from engines.study import Study
from engines.universe import build_universe
from reports.criteria.trials import FamilyTrials, Trial, own_trials


@dataclass(frozen=True, slots=True)
class Design:
    """What is simulated: the size of the market and the candidate's horizon (= rebalance) and smoothing."""

    n_names: int = 150
    years: int = 10
    horizon_days: int = 21
    smooth_days: int = 5

    @property
    def n_days(self) -> int:
        return self.years * TRADING_DAYS_PER_YEAR


class Bench:
    """One market with what every candidate on it shares: the panel without an edge, its universe, labels and liquidity before the holdout."""

    def __init__(self, design: Design, seed: int, folder: Path) -> None:
        self.design = design
        self.folder = folder
        self.market = PlantedMarket.draw(seed, design.n_days, design.n_names)
        self.candidate = planted_candidate(folder, design.horizon_days, design.smooth_days)
        holdout_days = self.candidate.walk_forward.holdout_days
        self.panel = self.market.panel(np.zeros((design.n_days, design.n_names)), 0.0)
        self.sealed = self.panel.until(self.panel.n_dates - holdout_days)
        self.mask = build_universe(self.sealed, self.candidate.universe).mask
        portfolio = self.candidate.portfolio
        self.forward = forward_returns(
            self.sealed, portfolio.execution_delay_days, portfolio.horizon_days, portfolio.execution_price
        )

    @cached_property
    def liquidity(self) -> Liquidity:
        """ADV and volatility before the holdout."""
        return measure_liquidity(self.sealed)

    def spaced_ic_test(self, scores: FloatArray) -> MeanTest:
        """The Student t that decides s1.ic_t, of a score on the market without an edge: ICs of the non-overlapping dates alone."""
        signal = smoothed(scores, self.design.smooth_days)[: self.sealed.n_dates]
        enough = (self.mask & np.isfinite(signal) & np.isfinite(self.forward)).sum(axis=1)
        first = int(np.argmax(enough >= self.candidate.universe.min_names))
        rows = np.arange(first, self.sealed.n_dates, self.design.horizon_days)
        ic = rank_ic(signal[rows], self.forward[rows], self.mask[rows], self.candidate.universe.min_names)
        return student_t_of_mean(ic[np.isfinite(ic)])

    def daily_sharpe(self, scores: FloatArray) -> float:
        """Net Sharpe ratio per day of a score on the market without an edge, before the holdout: what the registry keeps of a trial."""
        signal = smoothed(scores, self.design.smooth_days)[: self.sealed.n_dates]
        candidate = self.candidate
        backtest = run_backtest(
            self.sealed,
            signal,
            self.mask,
            candidate.portfolio,
            candidate.costs,
            candidate.universe.min_names,
            liquidity=self.liquidity,
        )
        return float(sharpe_ratio(backtest.net_returns(1.0)))

    @contextmanager
    def study(self, scores: FloatArray, edge: float = 0.0, n_days: int | None = None) -> Iterator[Study]:
        """A study of the scores on this market with `edge` planted, in a store of its own that is thrown away."""
        np.save(self.folder / SCORES_FILE, scores)
        panel = self.market.panel(scores, edge, n_days)
        with tempfile.TemporaryDirectory(dir=self.folder) as cache:
            yield Study(panel, self.candidate, ArrayStore(Path(cache)))


def single_trial(study: Study) -> FamilyTrials:
    """The family of a candidate that is its first and only trial."""
    return family_of(study, ())


def family_of(study: Study, earlier: tuple[Trial, ...]) -> FamilyTrials:
    """The family with `earlier` registered before the candidate."""
    own_p_value = student_t_of_mean(study.walk_forward.spaced_ic).p_one_sided
    return FamilyTrials(own_p_value, own_trials("own", study), earlier, registry_seq=0, effective_own=1.0)
