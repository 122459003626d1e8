"""Everything measured of one candidate on one panel, each part computed once.

Parts are properties. What is expensive (universe, liquidity, signals, backtests, ICs) lies in the ArrayStore under a key of everything it depends on: the
panel's content, the settings that matter, the user's signal file and the engines' own source. Eight processes thus compute it once and map the same
memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.backtest import Backtest, run_backtest
from engines.candidate import Candidate, PortfolioSpec, UniverseSpec, Variant
from engines.costs import TRADING_DAYS_PER_YEAR
from engines.digest import sha256_file, sha256_json
from engines.errors import CandidateError, SignalError
from engines.forward import forward_returns, universe_return
from engines.ic import Placebo, coverage, net_forward_returns, non_overlapping, placebo, rank_ics
from engines.liquidity import Liquidity, measure_liquidity
from engines.portfolio import rebalance_rows
from engines.risk import Books, Risk, measure_risk
from engines.segments import Segments, measure_segments
from engines.signals import score
from engines.statistics.samples import return_moments
from engines.statistics.sharpe import min_track_record_length, sharpe_ratio
from engines.store import ArrayStore
from engines.stress import (
    Perturbation,
    ShardStress,
    delayed,
    perturbed_parameters,
    shard_stress,
    stress_universe,
)
from engines.universe import Universe, build_universe
from engines.walk_forward import OutOfSample, VariantRun, Window, out_of_sample, plan_windows

if TYPE_CHECKING:
    from engines.panel import Panel
    from engines.quality import DataQuality


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
class _Scenario:
    """One universe and one portfolio rule, under which every variant can be run."""

    universe: UniverseSpec
    portfolio: PortfolioSpec


class Study:
    """The measured candidate. S1 to S3 see `sealed`, the panel cut before the holdout; only `holdout` looks behind it."""

    def __init__(
        self,
        panel: Panel,
        candidate: Candidate,
        store: ArrayStore,
        quality: DataQuality | None = None,
        code_sha256: str = "",
    ) -> None:
        if candidate.walk_forward.holdout_days >= panel.n_dates:
            raise CandidateError(
                f"the holdout of {candidate.walk_forward.holdout_days} dates leaves nothing of a file of {panel.n_dates}",
                where="walk_forward.holdout_days",
                remedy="use a longer file or a shorter holdout",
            )
        self.full = panel
        self.candidate = candidate
        self.store = store
        self.quality = quality
        self.code_sha256 = code_sha256 or engines_sha256()
        self.sealed = panel.until(panel.n_dates - candidate.walk_forward.holdout_days)

    # ---------------------------------------------------------------------------------------------------------- the candidate as declared

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """The declared parameters first, then the rest of the grid."""
        return self.candidate.variants()

    @cached_property
    def declared(self) -> _Scenario:
        """The candidate's own universe and portfolio rule."""
        return _Scenario(self.candidate.universe, self.candidate.portfolio)

    @cached_property
    def universe(self) -> Universe:
        """The point-in-time universe of the sealed panel, with its audit."""
        return self._universe(self.sealed, self.candidate.universe)

    @cached_property
    def market(self) -> NDArray[np.float64]:
        """The market's daily return on the sealed panel, (T,): the declared benchmark, else the equal-weight universe."""
        return self._market(self.sealed)

    @cached_property
    def first_rebalance(self) -> int:
        """Row of the first date with enough names: the anchor of the one rebalance grid.

        Raises CandidateError when there is no such date before the holdout.
        """
        eligible = self.universe.mask & np.isfinite(self.signal(self.variants[0]))
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
    def windows(self) -> tuple[Window, ...]:
        """The walk-forward windows of the sealed panel. Raises CandidateError when there are fewer than shards."""
        return plan_windows(self.first_rebalance, self.sealed.n_dates, self.candidate)

    def check_scope(self) -> None:
        """Can the study be run at all? Calls the signal once and lays out the windows.

        Raises CandidateError, SignalError or DataError, each naming what to change.
        """
        _ = self.windows

    def signal(self, variant: Variant) -> NDArray[np.float64]:
        """The treated signal of a variant on the sealed panel, (T, N)."""
        return self._signal(self.sealed, self.candidate.universe, variant)

    def backtest(self, variant: Variant) -> Backtest:
        """The variant's daily results on the sealed panel."""
        return self._backtest(self.sealed, self.declared, variant)

    @cached_property
    def baseline(self) -> Baseline:
        """IC, coverage and number of observations of the declared variant."""
        declared, portfolio = self.variants[0], self.candidate.portfolio
        signal, mask = self.signal(declared), self.universe.mask
        last = self.sealed.n_dates - portfolio.execution_delay_days - portfolio.horizon_days
        judged = slice(self.first_rebalance, max(last, self.first_rebalance))
        priced = mask[judged] & np.isfinite(self.sealed.close[judged])
        names = (mask & np.isfinite(signal))[judged].sum(axis=1)
        ratios = coverage(signal[judged], priced)
        backtest = self.backtest(declared)
        return Baseline(
            daily_ic=self._ics(self.sealed, self.declared, declared)[0],
            horizon_days=portfolio.horizon_days,
            coverage_ratio=float(np.nanmedian(ratios)) if np.isfinite(ratios).any() else math.nan,
            fewest_names=int(names.min(initial=self.sealed.n_symbols)) if names.size else 0,
            n_dates=int(names.size),
            n_rebalances=int(backtest.rebalance_rows.size),
            track_record_ratio=self._track_record_ratio(backtest),
        )

    def spaced_ic(self, variant: Variant) -> NDArray[np.float64]:
        """A variant's baseline ICs that share no label: every h-th date from the first, (n,)."""
        daily = self._ics(self.sealed, self.declared, variant)[0]
        return non_overlapping(daily, self.candidate.portfolio.horizon_days)

    def placebo(self, seed: int, permutations: int = 999) -> Placebo:
        """Could a signal that belongs to other names have done as well? See engines.ic.placebo."""
        signal, forward = self.signal(self.variants[0]), self._forward(self.sealed, self.candidate.portfolio)
        return placebo(
            signal, forward, self.universe.mask, self.candidate.universe.min_names, seed=seed, permutations=permutations
        )

    # -------------------------------------------------------------------------------------------------------------------- out of sample

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
    def perturbation(self) -> Perturbation:
        """Net Sharpe (multiplier 1) of the declared parameters and of their neighbours, over the sealed panel."""
        neighbours = [Variant(_label(point), point) for point in perturbed_parameters(self.variants[0].parameters)]
        return Perturbation(
            chosen_sharpe=self._net_sharpe(self.variants[0]),
            labels=tuple(neighbour.label for neighbour in neighbours),
            sharpes=np.array([self._neighbour_sharpe(neighbour) for neighbour in neighbours]),
        )

    def variant_returns(self, multiplier: float = 1.0) -> NDArray[np.float64]:
        """Net returns of every variant on the days they share, (D, V), in the order of `variants`: what CSCV chooses from."""
        backtests = [self.backtest(variant) for variant in self.variants]
        n_days = min(backtest.n_days for backtest in backtests)
        return np.column_stack([backtest.net_returns(multiplier)[backtest.n_days - n_days :] for backtest in backtests])

    @cached_property
    def holdout(self) -> OutOfSample:
        """The sealed final window as one test window: the variant is chosen on the train_days that end a gap before it."""
        spec, panel = self.candidate.walk_forward, self.full
        gap_days = spec.gap_days(self.candidate.portfolio)
        start = self.sealed.n_dates
        window = Window(0, 1, train=(start - gap_days - spec.train_days, start - gap_days), test=(start, panel.n_dates))
        runs = [self._run(panel, self.declared, variant) for variant in self.variants]
        return out_of_sample((window,), runs, panel, self._market(panel), self.candidate)

    # -------------------------------------------------------------------------------------------------------------------------- stress

    @cached_property
    def stressed(self) -> _Scenario:
        """The stricter universe."""
        return _Scenario(stress_universe(self.sealed, self.candidate.universe)[0], self.candidate.portfolio)

    @cached_property
    def stressed_universe(self) -> Universe:
        """The stricter universe of the sealed panel, with its audit."""
        return self._universe(self.sealed, self.stressed.universe)

    @cached_property
    def stressed_walk_forward(self) -> OutOfSample:
        """The whole walk-forward, choice included, in the stricter universe and on the same windows."""
        market = self._market(self.sealed, self.stressed.universe)
        return self._walk_forward(self.stressed, market, stress_universe(self.sealed, self.candidate.universe)[1])

    @cached_property
    def stressed_risk(self) -> Risk:
        """Risk figures in the stricter universe."""
        return self._risk(self.stressed_walk_forward, self.stressed)

    def shard_stress(self, shard: str) -> ShardStress:
        """What higher cost, the stricter universe and a longer delay moved in one shard ("wf-1" ...)."""
        part = self.walk_forward.shard(shard)
        late = _Scenario(self.candidate.universe, delayed(self.candidate.portfolio))
        chosen = [variant for variant in self.variants if variant.label in part.chosen]
        rejected_on = (self.universe.mask & ~self.stressed_universe.mask).sum(axis=1)
        declared_runs = {variant.label: self.backtest(variant) for variant in chosen}
        late_runs = {variant.label: self._backtest(self.sealed, late, variant) for variant in chosen}
        return shard_stress(part, rejected_on, declared_runs, late_runs, self.candidate)

    # ------------------------------------------------------------------------------------------------------------- parts, in the store

    def _key(self, panel: Panel, **more: Any) -> dict[str, Any]:
        return {"panel": panel.content_sha256, "code": self.code_sha256, **more}

    def _signal_key(self, universe: UniverseSpec, variant: Variant) -> dict[str, Any]:
        signal = self.candidate.signal.model_dump(mode="json", exclude={"parameters", "grid"})
        path = self.candidate.signal_file
        source = "" if path is None else sha256_file(path)
        return {
            "signal": signal,
            "source": source,
            "parameters": dict(variant.parameters),
            "universe": universe.model_dump(mode="json"),
        }

    def _scenario_key(self, panel: Panel, scenario: _Scenario, variant: Variant) -> dict[str, Any]:
        rules = {
            "portfolio": scenario.portfolio.model_dump(mode="json"),
            "costs": self.candidate.costs.model_dump(mode="json"),
        }
        return self._key(
            panel, **self._signal_key(scenario.universe, variant), **rules, first_rebalance=self.first_rebalance
        )

    def _universe(self, panel: Panel, spec: UniverseSpec) -> Universe:
        def build() -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
            universe = build_universe(panel, spec)
            return {"mask": universe.mask, "broken": universe.broken}, {"active": list(universe.active)}

        arrays, meta = self.store.get_or_build(
            "universe", self._key(panel, universe=spec.model_dump(mode="json")), build
        )
        return Universe(arrays["mask"], arrays["broken"], tuple(meta["active"]))

    def _liquidity(self, panel: Panel) -> Liquidity:
        def build() -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
            liquidity = measure_liquidity(panel)
            return {"adv_usd": liquidity.adv_usd, "daily_volatility": liquidity.daily_volatility}, {}

        arrays, _ = self.store.get_or_build("liquidity", self._key(panel), build)
        return Liquidity(arrays["adv_usd"], arrays["daily_volatility"])

    def _signal(self, panel: Panel, universe: UniverseSpec, variant: Variant) -> NDArray[np.float64]:
        def build() -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
            return {"signal": score(panel, self.candidate, variant, self._universe(panel, universe).mask)}, {}

        arrays, _ = self.store.get_or_build("signal", self._key(panel, **self._signal_key(universe, variant)), build)
        return arrays["signal"]

    def _forward(self, panel: Panel, portfolio: PortfolioSpec) -> NDArray[np.float64]:
        return forward_returns(panel, portfolio.execution_delay_days, portfolio.horizon_days, portfolio.execution_price)

    def _backtest(self, panel: Panel, scenario: _Scenario, variant: Variant) -> Backtest:
        def build() -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
            backtest = run_backtest(
                panel,
                self._signal(panel, scenario.universe, variant),
                self._universe(panel, scenario.universe).mask,
                scenario.portfolio,
                self.candidate.costs,
                scenario.universe.min_names,
                first_rebalance=self.first_rebalance,
                liquidity=self._liquidity(panel),
            )
            return backtest.to_arrays(), {}

        arrays, _ = self.store.get_or_build("backtest", self._scenario_key(panel, scenario, variant), build)
        return Backtest.from_arrays(arrays)

    def _ics(self, panel: Panel, scenario: _Scenario, variant: Variant) -> NDArray[np.float64]:
        """Daily IC against the gross label and against the net label of each declared multiplier, (1 + K, T)."""
        multipliers = self.candidate.walk_forward.cost_multipliers

        def build() -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
            signal, mask = (
                self._signal(panel, scenario.universe, variant),
                self._universe(panel, scenario.universe).mask,
            )
            forward = self._forward(panel, scenario.portfolio)
            net = net_forward_returns(
                forward, signal, mask, self._liquidity(panel), scenario.portfolio, self.candidate.costs, multipliers
            )
            return {"ics": rank_ics(signal, (forward, *net), mask, scenario.universe.min_names)}, {}

        key = {**self._scenario_key(panel, scenario, variant), "multipliers": list(multipliers)}
        return self.store.get_or_build("ic", key, build)[0]["ics"]

    # ----------------------------------------------------------------------------------------------------------------------- assembly

    def _run(self, panel: Panel, scenario: _Scenario, variant: Variant) -> VariantRun:
        ics = self._ics(panel, scenario, variant)
        return VariantRun(variant.label, self._backtest(panel, scenario, variant), ics[0], ics[1:])

    def _walk_forward(self, scenario: _Scenario, market: NDArray[np.float64], note: str) -> OutOfSample:
        runs = [self._run(self.sealed, scenario, variant) for variant in self.variants]
        return out_of_sample(self.windows, runs, self.sealed, market, self.candidate, note)

    def _market(self, panel: Panel, universe: UniverseSpec | None = None) -> NDArray[np.float64]:
        if panel.benchmark_close is None:
            return universe_return(panel, self._universe(panel, universe or self.candidate.universe).mask)
        returns = np.full(panel.n_dates, np.nan)
        returns[1:] = panel.benchmark_close[1:] / panel.benchmark_close[:-1] - 1.0
        return returns

    def _risk(self, walk_forward: OutOfSample, scenario: _Scenario) -> Risk:
        return measure_risk(walk_forward, self._books(walk_forward, scenario), self.candidate.portfolio.long_fraction)

    def _books(self, walk_forward: OutOfSample, scenario: _Scenario) -> Books:
        """The chosen variants' books on the rebalance dates of each test window."""
        panel = self.sealed
        by_label = {variant.label: variant for variant in self.variants if variant.label in walk_forward.chosen}
        backtests = {label: self._backtest(panel, scenario, variant) for label, variant in by_label.items()}
        signals = {label: self._signal(panel, scenario.universe, variant) for label, variant in by_label.items()}
        mask = self._universe(panel, scenario.universe).mask
        rows, weights, previous, signal, orders = [], [], [], [], []
        for label, window in zip(walk_forward.chosen, walk_forward.windows, strict=True):
            backtest = backtests[label]
            inside = np.flatnonzero(
                (backtest.rebalance_rows >= window.test[0]) & (backtest.rebalance_rows < window.test[1])
            )
            before = np.vstack([np.zeros(panel.n_symbols), backtest.target_weights])
            rows.append(backtest.rebalance_rows[inside])
            weights.append(backtest.target_weights[inside])
            previous.append(before[inside])
            signal.append(signals[label][backtest.rebalance_rows[inside]])
            traded = (backtest.trade_row >= window.test[0]) & (backtest.trade_row < window.test[1])
            orders.append(backtest.trade_participation[traded])
        row = np.concatenate(rows)
        return Books(
            weights=np.concatenate(weights),
            previous=np.concatenate(previous),
            signal=np.concatenate(signal),
            mask=mask[row],
            market_cap=None if panel.market_cap is None else panel.market_cap[row],
            sector=None if panel.sector is None else panel.sector[row],
            participation=np.concatenate(orders),
        )

    def _track_record_ratio(self, backtest: Backtest) -> float:
        """Rebalances / MinTRL (95 %) of the gross return per rebalance; 0 when that has no positive Sharpe ratio. Long only: over the market."""
        returns = (
            backtest.gross - self.market[backtest.start :] if self.candidate.portfolio.is_long_only else backtest.gross
        )
        periods = per_rebalance(returns, self.candidate.portfolio.rebalance_days)
        if periods.size < 2:
            return 0.0
        moments = return_moments(periods)
        needed = min_track_record_length(moments.sharpe, moments.skew, moments.kurtosis)
        return periods.size / needed if needed > 0.0 else 0.0

    def _net_sharpe(self, variant: Variant) -> float:
        backtest = self.backtest(variant)
        net = backtest.net_returns(1.0)
        judged = net - self.market[backtest.start :] if self.candidate.portfolio.is_long_only else net
        return sharpe_ratio(judged, periods_per_year=TRADING_DAYS_PER_YEAR)

    def _neighbour_sharpe(self, neighbour: Variant) -> float:
        try:
            return self._net_sharpe(neighbour)
        except SignalError:
            return math.nan


def open_study(candidate: Candidate, cache: Path) -> Study:
    """Read the candidate's data through the store below `cache` and open the study of it.

    Raises DataError when the file is no panel, CandidateError when the holdout leaves nothing of it.
    """
    from engines.panel import load_panel  # reading a file needs more packages than studying a panel

    store = ArrayStore(cache)
    panel, quality = load_panel(candidate, store)
    return Study(panel, candidate, store, quality)


def per_rebalance(returns: NDArray[np.float64], rebalance_days: int) -> NDArray[np.float64]:
    """Daily returns compounded over each whole stretch of `rebalance_days`, (n,) decimal; what is left at the end is dropped."""
    n_periods = returns.size // rebalance_days
    growth: NDArray[np.float64] = np.prod(
        1.0 + returns[: n_periods * rebalance_days].reshape(n_periods, rebalance_days), axis=1
    )
    return growth - 1.0


@cache
def engines_sha256() -> str:
    """Hash of the engines' own source: a result computed by other code is never taken from the store."""
    root = Path(__file__).parent
    return sha256_json({path.relative_to(root).as_posix(): sha256_file(path) for path in sorted(root.rglob("*.py"))})


def _label(parameters: Mapping[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in parameters.items())
