"""The bench that every simulated candidate of a market shares: its universe, labels and liquidity, measured once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.planted_market import FloatArray, PlantedMarket, planted_candidate, smoothed
from engines.backtest import Backtest, run_backtest
from engines.candidate import Candidate
from engines.costs import TRADING_DAYS_PER_YEAR
from engines.forward import forward_returns
from engines.ic import rank_ic
from engines.liquidity import Liquidity, measure_liquidity
from engines.panel import Panel
from engines.portfolio import rebalance_rows
from engines.statistics import (
    MeanTest,
    deflated_sharpe_ratio,
    null_trial_std,
    return_moments,
    sharpe_ratio,
    student_t_of_mean,
)
from engines.store import ArrayStore, Entry
from engines.study import Study
from engines.universe import build_universe
from engines.walk_forward import plan_windows
from reports.criteria.trials import FamilyTrials, Trial, own_trials


@dataclass(frozen=True, slots=True)
class Design:
    """What is simulated: the size of the market and the candidate's horizon, rebalance, smoothing and costs (see planted_market.COSTS)."""

    n_names: int = 150
    years: int = 10
    horizon_days: int = 21
    rebalance_days: int = 21
    smooth_days: int = 5
    costs: str = "demonstration"

    @property
    def n_days(self) -> int:
        return self.years * TRADING_DAYS_PER_YEAR


@dataclass(frozen=True, slots=True)
class MemoryStore(ArrayStore):
    """A store of one process that forgets: nothing is written, hashed or synced."""

    root: Path = Path()
    entries: dict[str, Entry] = field(default_factory=dict)

    def get_or_build(
        self, kind: str, key: Mapping[str, Any], build: Callable[[], tuple[Mapping[str, Any], Mapping[str, Any]]]
    ) -> Entry:
        """As ArrayStore does, in memory."""
        name = f"{kind} {sorted(key.items())}"
        if name not in self.entries:
            arrays, meta = build()
            for values in arrays.values():
                values.flags.writeable = False
            self.entries[name] = (dict(arrays), dict(meta))
        return self.entries[name]


@dataclass(frozen=True, slots=True)
class Look:
    """What a study would say of a single-variant candidate, measured on the dates it is judged and traded on alone."""

    test: MeanTest  # of the ICs that share no label: decides s1.ic_t
    backtest: Backtest  # over the sealed panel
    first_test_row: int  # panel index of the first out-of-sample day

    @property
    def daily_sharpe(self) -> float:
        """Net Sharpe ratio per day before the holdout: what the registry keeps of a trial."""
        return float(sharpe_ratio(self.backtest.net_returns(1.0)))

    def deflated_sharpe(self, multiplier: float) -> float:
        """The DSR of the out-of-sample return at a cost multiplier, as the first and only trial."""
        moments = return_moments(self.backtest.net_returns(multiplier)[self.first_test_row - self.backtest.start :])
        shape = (moments.sharpe, moments.n_obs, moments.skew, moments.kurtosis)
        return deflated_sharpe_ratio(*shape, n_trials=1, trial_std=null_trial_std([], moments.n_obs))


class Bench:
    """One panel before its holdout with what every candidate on it shares."""

    def __init__(self, sealed: Panel, candidate: Candidate) -> None:
        self.sealed = sealed
        self.candidate = candidate
        portfolio = candidate.portfolio
        self.mask = build_universe(sealed, candidate.universe).mask
        self.forward = forward_returns(
            sealed, portfolio.execution_delay_days, portfolio.horizon_days, portfolio.execution_price
        )

    @cached_property
    def liquidity(self) -> Liquidity:
        """ADV and volatility before the holdout."""
        return measure_liquidity(self.sealed)

    def first_rebalance(self, signal: FloatArray) -> int:
        """Row of the first date with enough names."""
        eligible = self.mask & np.isfinite(signal)
        return int(
            rebalance_rows(eligible, self.candidate.portfolio.rebalance_days, self.candidate.universe.min_names)[0]
        )

    def spaced_rows(self, first: int) -> NDArray[np.int64]:
        """Rows whose labels do not overlap."""
        return np.arange(first, self.sealed.n_dates, self.candidate.portfolio.horizon_days)

    def ic_test(self, signal: FloatArray) -> MeanTest:
        """The Student t that decides s1.ic_t, of a signal (T, N) before the holdout."""
        rows = self.spaced_rows(self.first_rebalance(signal))
        ic = rank_ic(signal[rows], self.forward[rows], self.mask[rows], self.candidate.universe.min_names)
        return student_t_of_mean(ic[np.isfinite(ic)])

    def look(self, signal: FloatArray) -> Look:
        """The quick look at a signal (T, N) before the holdout."""
        candidate, first = self.candidate, self.first_rebalance(signal)
        backtest = run_backtest(
            self.sealed,
            signal,
            self.mask,
            candidate.portfolio,
            candidate.costs,
            candidate.universe.min_names,
            first_rebalance=first,
            liquidity=self.liquidity,
        )
        windows = plan_windows(first, self.sealed.n_dates, candidate)
        return Look(self.ic_test(signal), backtest, windows[0].test[0])


class SimulatedBench(Bench):
    """A simulated market without an edge, and studies on it with one."""

    def __init__(self, design: Design, seed: int, folder: Path) -> None:
        self.design = design
        self.market = PlantedMarket.draw(seed, design.n_days, design.n_names)
        candidate = planted_candidate(
            folder, design.horizon_days, design.smooth_days, rebalance_days=design.rebalance_days, costs=design.costs
        )
        panel = self.market.panel(np.zeros((design.n_days, design.n_names)), 0.0)
        super().__init__(panel.until(panel.n_dates - candidate.walk_forward.holdout_days), candidate)

    def signal(self, scores: FloatArray) -> FloatArray:
        """What the candidate's signal file makes of the scores before the holdout, (T, N)."""
        return smoothed(scores, self.design.smooth_days)[: self.sealed.n_dates]

    def study(self, scores: FloatArray, edge: float = 0.0, n_days: int | None = None) -> Study:
        """A study of the scores on this market with `edge` planted."""
        return Study(self.market.panel(scores, edge, n_days), self.candidate, MemoryStore())


def single_trial(study: Study) -> FamilyTrials:
    """The family of a candidate that is its first and only trial."""
    return family_of(study, ())


def family_of(study: Study, earlier: tuple[Trial, ...]) -> FamilyTrials:
    """The family with `earlier` registered before the candidate."""
    own_p_value = student_t_of_mean(study.walk_forward.spaced_ic).p_one_sided
    return FamilyTrials(own_p_value, own_trials("own", study), earlier, registry_seq=0, effective_own=1.0)
