"""Everything measured of one candidate on one panel. Parts are properties, computed when first asked for; see engines.measurements for the store."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.attribution import Contributions, attribute
from engines.backtest import Backtest
from engines.candidate import Candidate, Variant
from engines.costs import TRADING_DAYS_PER_YEAR
from engines.errors import CandidateError, DataError, SignalError
from engines.fitting import Refit, has_fit, plan_refits
from engines.ic import Placebo, coverage, non_overlapping, placebo
from engines.measurements import Measurements, Scenario, engines_sha256
from engines.panel import load_panel
from engines.portfolio import rebalance_rows
from engines.risk import Books, Risk, measure_risk
from engines.segments import Segments, measure_segments
from engines.statistics.samples import return_moments
from engines.statistics.sharpe import min_track_record_length, sharpe_ratio
from engines.store import ArrayStore
from engines.stress import Perturbation, ShardStress, delayed, perturbed_variants, shard_stress, stress_universe
from engines.universe import Universe
from engines.walk_forward import OutOfSample, Window, out_of_sample, plan_windows

if TYPE_CHECKING:
    from engines.panel import Panel
    from engines.quality import DataQuality
    from engines.signals import State


@dataclass(frozen=True, slots=True)
class Baseline:
    """The declared variant on the sealed panel before any stress. Judged dates: from the first rebalance to the last label."""

    daily_ic: NDArray[np.float64]  # (T,) gross rank IC, NaN where there is none
    horizon_days: int
    coverage_ratio: float  # median over judged dates of names with a signal / names in the universe with a close
    fewest_names: int  # names with a signal in the universe on the worst judged date
    n_dates: int  # judged dates
    n_rebalances: int
    track_record_ratio: float  # rebalances / minimum track record length of the gross return per rebalance, at 95 %

    @property
    def ic(self) -> NDArray[np.float64]:
        """The daily ICs that exist, in order, (n,)."""
        return self.daily_ic[np.isfinite(self.daily_ic)]

    @property
    def spaced_ic(self) -> NDArray[np.float64]:
        """ICs that share no label: every h-th date from the first, (n,)."""
        return non_overlapping(self.daily_ic, self.horizon_days)


@dataclass(frozen=True, slots=True)
class Scope:
    """How much a study has to go on before the sealed holdout."""

    n_windows: int
    n_rebalances: int  # rebalances whose trade lies before the holdout
    first_rebalance: str  # its date
    last_date: str  # the last date before the holdout


class Study:
    """The measured candidate. S1 to S3 see `sealed`, the panel cut before the holdout; only `holdout` looks behind it.

    Raises CandidateError when the holdout leaves nothing of the file.
    """

    def __init__(
        self,
        panel: Panel,
        candidate: Candidate,
        store: ArrayStore,
        quality: DataQuality | None = None,
        code_sha256: str = "",
    ) -> None:
        holdout_days = candidate.walk_forward.holdout_days
        if holdout_days >= panel.n_dates:
            raise CandidateError(
                f"a holdout of {holdout_days} dates leaves nothing of a file of {panel.n_dates}",
                where="walk_forward.holdout_days",
                remedy="use a longer file or a shorter holdout",
            )
        self.full = panel
        self.sealed = panel.until(panel.n_dates - holdout_days)
        self.candidate = candidate
        self._quality = quality
        self._store = store
        self._code_sha256 = code_sha256 or engines_sha256()

    @property
    def quality(self) -> DataQuality:
        """What is wrong with the file. Raises DataError when the panel was made without one."""
        if self._quality is None:
            raise DataError("this panel was not read from a file", remedy="open the study with open_study")
        return self._quality

    # ------------------------------------------------------------------------------------------ the candidate as declared

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """The declared parameters first, then the rest of the grid."""
        return self.candidate.variants()

    @cached_property
    def declared(self) -> Scenario:
        """The candidate's own universe and portfolio rule."""
        return Scenario(self.candidate.universe, self.candidate.portfolio)

    @cached_property
    def universe(self) -> Universe:
        """The point-in-time universe of the sealed panel, with its audit."""
        return self._measured.universe(self.candidate.universe)

    @cached_property
    def market(self) -> NDArray[np.float64]:
        """The market's daily return on the sealed panel, (T,): the declared benchmark, else the equal-weight universe."""
        return self._measured.market(self.candidate.universe)

    @cached_property
    def first_rebalance(self) -> int:
        """Row of the first date with enough names for the declared variant: the anchor of the one rebalance grid.

        Of a fitted signal the first refit decides. Raises CandidateError when there is no such date before the holdout.
        """
        begun = self._measure(self.sealed, ())
        signal = begun.signal(self.candidate.universe, self.variants[0])
        eligible = begun.universe(self.candidate.universe).mask & np.isfinite(signal)
        rows = rebalance_rows(eligible, self.candidate.portfolio.rebalance_days, self.candidate.universe.min_names)
        if rows.size == 0:
            raise CandidateError(
                f"no date before the holdout has {self.candidate.universe.min_names} names in the universe with a signal; "
                f"the best has {int(eligible.sum(axis=1).max(initial=0))}",
                where="universe",
                remedy="lower min_names or the filters, shorten the lookback, or use a file with more names",
            )
        return int(rows[0])

    @cached_property
    def is_fitted(self) -> bool:
        """Whether the signal has a fit beside its score; see engines.fitting."""
        return has_fit(self.candidate)

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """The walk-forward windows of the sealed panel. Raises CandidateError when there are fewer than shards."""
        return plan_windows(self.first_rebalance, self.sealed.n_dates, self.candidate)

    def check_scope(self) -> Scope:
        """Can the study be run at all, and on how much? Calls the declared signal once and lays out the windows.

        Raises CandidateError, SignalError or DataError, each naming what to change.
        """
        portfolio, panel = self.candidate.portfolio, self.sealed
        traded = panel.n_dates - portfolio.execution_delay_days - self.first_rebalance
        return Scope(
            n_windows=len(self.windows),
            n_rebalances=-(-traded // portfolio.rebalance_days),
            first_rebalance=str(panel.dates[self.first_rebalance]),
            last_date=str(panel.dates[-1]),
        )

    def states(self, variant: Variant) -> tuple[tuple[Refit, State], ...]:
        """Each refit of a variant on the sealed panel with what it learnt; empty for a signal without a fit."""
        return self._measured.states(variant)

    def signal(self, variant: Variant) -> NDArray[np.float64]:
        """The treated signal of a variant on the sealed panel, (T, N)."""
        return self._measured.signal(self.candidate.universe, variant)

    def backtest(self, variant: Variant) -> Backtest:
        """The variant's daily results on the sealed panel."""
        return self._measured.backtest(self.declared, variant, self.first_rebalance)

    def daily_ic(self, variant: Variant) -> NDArray[np.float64]:
        """The variant's daily gross rank IC on the sealed panel, (T,), NaN where there is none."""
        daily: NDArray[np.float64] = self._measured.ics(self.declared, variant)[0]
        return daily

    def spaced_ic(self, variant: Variant) -> NDArray[np.float64]:
        """The variant's gross rank ICs that share no label, on the sealed panel, (n,)."""
        return non_overlapping(self.daily_ic(variant), self.candidate.portfolio.horizon_days)

    def judged_returns(self, variant: Variant, multiplier: float) -> NDArray[np.float64]:
        """The variant's net daily returns from its first execution on, (D,); for a long-only candidate over the market."""
        backtest = self.backtest(variant)
        net = backtest.net_returns(multiplier)
        return net - self.market[backtest.start :] if self.candidate.portfolio.is_long_only else net

    @cached_property
    def baseline(self) -> Baseline:
        """IC, coverage and number of observations of the declared variant."""
        declared, portfolio = self.variants[0], self.candidate.portfolio
        signal, mask = self.signal(declared), self.universe.mask
        last = self.sealed.n_dates - portfolio.execution_delay_days - portfolio.horizon_days
        judged = slice(self.first_rebalance, max(last, self.first_rebalance))
        names = (mask & np.isfinite(signal))[judged].sum(axis=1)
        ratios = coverage(signal[judged], mask[judged] & np.isfinite(self.sealed.close[judged]))
        return Baseline(
            daily_ic=self.daily_ic(declared),
            horizon_days=portfolio.horizon_days,
            coverage_ratio=float(np.nanmedian(ratios)) if np.isfinite(ratios).any() else math.nan,
            fewest_names=int(names.min()) if names.size else 0,
            n_dates=int(names.size),
            n_rebalances=int(self.backtest(declared).rebalance_rows.size),
            track_record_ratio=self._track_record_ratio(declared),
        )

    def placebo(self, seed: int, permutations: int = 999) -> Placebo:
        """Could the declared signal, handed to other names, have done as well? See engines.ic.placebo."""
        signal, forward = self.signal(self.variants[0]), self._measured.forward(self.candidate.portfolio)
        min_names = self.candidate.universe.min_names
        return placebo(signal, forward, self.universe.mask, min_names, seed=seed, permutations=permutations)

    # ----------------------------------------------------------------------------------------------------- out of sample

    @cached_property
    def walk_forward(self) -> OutOfSample:
        """The variants chosen in training over their test windows."""
        return self._walk_forward(self.declared, self.market, "")

    @cached_property
    def segments(self) -> Segments:
        """Out-of-sample ICs by volatility, trend and calendar."""
        return measure_segments(self.walk_forward, self.market)

    @cached_property
    def risk(self) -> Risk:
        """Risk figures of the out-of-sample series."""
        return self._risk(self.walk_forward, self.declared)

    @cached_property
    def contributions(self) -> Contributions:
        """What each name added to the out-of-sample series."""
        chosen = [variant for variant in self.variants if variant.label in self.walk_forward.chosen]
        return attribute(
            self.walk_forward,
            {variant.label: self.backtest(variant) for variant in chosen},
            self.sealed,
            self._measured.liquidity(),
            self.candidate.portfolio,
            self.candidate.costs,
        )

    @cached_property
    def perturbation(self) -> Perturbation:
        """Annual net Sharpe (multiplier 1) of the declared parameters and of their neighbours, over the sealed panel."""
        neighbours = perturbed_variants(self.variants[0])
        return Perturbation(
            chosen_sharpe=self._net_sharpe(self.variants[0]),
            labels=tuple(neighbour.label for neighbour in neighbours),
            sharpes=np.array([self._neighbour_sharpe(neighbour) for neighbour in neighbours]),
        )

    def variant_returns(self, multiplier: float = 1.0) -> NDArray[np.float64]:
        """Judged returns of every variant on the days they share, (D, V), in the order of `variants`: what CSCV chooses from."""
        returns = [self.judged_returns(variant, multiplier) for variant in self.variants]
        n_days = min(series.size for series in returns)
        return np.column_stack([series[series.size - n_days :] for series in returns])

    @cached_property
    def holdout(self) -> OutOfSample:
        """The sealed final window as one test window: the variant is chosen on the train_days that end a gap before it."""
        spec, start = self.candidate.walk_forward, self.sealed.n_dates
        train_stop = start - spec.gap_days(self.candidate.portfolio)
        window = Window(0, 1, train=(train_stop - spec.train_days, train_stop), test=(start, self.full.n_dates))
        measured = self._measure(self.full, (*self._test_starts, start))
        runs = [measured.run(self.declared, variant, self.first_rebalance) for variant in self.variants]
        return out_of_sample((window,), runs, self.full, measured.market(self.candidate.universe), self.candidate)

    # ------------------------------------------------------------------------------------------------------------ stress

    @cached_property
    def stressed(self) -> Scenario:
        """The stricter universe under the same portfolio rule."""
        return Scenario(stress_universe(self.sealed, self.candidate.universe)[0], self.candidate.portfolio)

    @cached_property
    def stressed_universe(self) -> Universe:
        """The stricter universe of the sealed panel, with its audit."""
        return self._measured.universe(self.stressed.universe)

    @cached_property
    def stressed_walk_forward(self) -> OutOfSample:
        """The whole walk-forward, choice included, in the stricter universe and on the same windows."""
        note = stress_universe(self.sealed, self.candidate.universe)[1]
        return self._walk_forward(self.stressed, self._measured.market(self.stressed.universe), note)

    @cached_property
    def stressed_risk(self) -> Risk:
        """Risk figures in the stricter universe."""
        return self._risk(self.stressed_walk_forward, self.stressed)

    def measure_backwards(self, *, stressed: bool) -> None:
        """Measure into the store what `walk_forward`, and if asked `stressed_walk_forward`, are made of, the last part first.

        For a process beside one that begins with the first part: each finds what the other has done.
        """
        for scenario in (self.stressed, self.declared) if stressed else (self.declared,):
            for variant in reversed(self.variants):
                self._measured.run(scenario, variant, self.first_rebalance)

    def shard_stress(self, shard: str) -> ShardStress:
        """What higher cost, the stricter universe and a longer delay moved in one shard ("wf-1" ...)."""
        part = self.walk_forward.shard(shard)
        late = Scenario(self.candidate.universe, delayed(self.candidate.portfolio))
        chosen = [variant for variant in self.variants if variant.label in part.chosen]
        runs = {variant.label: self.backtest(variant) for variant in chosen}
        late_runs = {v.label: self._measured.backtest(late, v, self.first_rebalance) for v in chosen}
        rejected_on = (self.universe.mask & ~self.stressed_universe.mask).sum(axis=1)
        return shard_stress(part, rejected_on, runs, late_runs, self.candidate)

    # ---------------------------------------------------------------------------------------------------------- assembly

    @cached_property
    def _measured(self) -> Measurements:
        return self._measure(self.sealed, self._test_starts)

    @cached_property
    def _test_starts(self) -> tuple[int, ...]:
        """Rows at which a fitted signal must be refitted; windows are not asked for otherwise."""
        return tuple(window.test[0] for window in self.windows) if self.is_fitted else ()

    def _measure(self, panel: Panel, test_starts: tuple[int, ...]) -> Measurements:
        refits = plan_refits(test_starts, panel.n_dates, self.candidate) if self.is_fitted else ()
        return Measurements(panel, self.candidate, self._store, self._code_sha256, refits)

    def _walk_forward(self, scenario: Scenario, market: NDArray[np.float64], note: str) -> OutOfSample:
        runs = [self._measured.run(scenario, variant, self.first_rebalance) for variant in self.variants]
        return out_of_sample(self.windows, runs, self.sealed, market, self.candidate, note)

    def _risk(self, walk_forward: OutOfSample, scenario: Scenario) -> Risk:
        chosen = [variant for variant in self.variants if variant.label in walk_forward.chosen]
        books = Books.out_of_sample(
            walk_forward,
            {v.label: self._measured.backtest(scenario, v, self.first_rebalance) for v in chosen},
            {v.label: self._measured.signal(scenario.universe, v) for v in chosen},
            self._measured.universe(scenario.universe).mask,
            self.sealed,
        )
        return measure_risk(walk_forward, books, self.candidate.portfolio.long_fraction)

    def _track_record_ratio(self, variant: Variant) -> float:
        """Rebalances / MinTRL (95 %) of the gross return per rebalance; 0 when that has no positive Sharpe ratio."""
        periods = per_rebalance(self.judged_returns(variant, 0.0), self.candidate.portfolio.rebalance_days)
        if periods.size < 2:
            return 0.0
        moments = return_moments(periods)
        needed = min_track_record_length(moments.sharpe, moments.skew, moments.kurtosis)
        return periods.size / needed if needed > 0.0 else 0.0

    def _net_sharpe(self, variant: Variant) -> float:
        return sharpe_ratio(self.judged_returns(variant, 1.0), periods_per_year=TRADING_DAYS_PER_YEAR)

    def _neighbour_sharpe(self, neighbour: Variant) -> float:
        """NaN, which no gate passes, where the neighbour's parameters are none the signal takes."""
        try:
            return self._net_sharpe(neighbour)
        except SignalError:
            return math.nan


def open_study(candidate: Candidate, cache: Path, *, thorough: bool = False, lasting: bool = True) -> Study:
    """Read the candidate's data through the store below `cache` and open the study of it; see ArrayStore for `thorough` and `lasting`.

    Raises DataError when the file is no panel, CandidateError when the holdout leaves nothing of it.
    """
    store = ArrayStore(cache, thorough=thorough, lasting=lasting)
    panel, quality = load_panel(candidate, store)
    return Study(panel, candidate, store, quality)


def per_rebalance(returns: NDArray[np.float64], rebalance_days: int) -> NDArray[np.float64]:
    """Daily returns compounded over each whole stretch of `rebalance_days`, (n,) decimal; what is left at the end is dropped."""
    n_periods = returns.size // rebalance_days
    periods = returns[: n_periods * rebalance_days].reshape(n_periods, rebalance_days)
    growth: NDArray[np.float64] = np.prod(1.0 + periods, axis=1)
    return growth - 1.0
