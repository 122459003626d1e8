"""The expensive parts of a study, each computed once per content and kept in the ArrayStore.

Universe, liquidity, signals, backtests and ICs of one panel lie under keys of everything they depend on: the panel's content, the settings that
matter, the user's signal file and the engines' own source. Eight processes thus compute each once and map the same memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.backtest import Backtest, run_backtest
from engines.digest import sha256_file, sha256_json
from engines.fitting import Refit, fit_state
from engines.forward import forward_returns, universe_return
from engines.ic import measured_ics
from engines.liquidity import Liquidity, measure_liquidity
from engines.signal_process import fingerprint, read_user_file
from engines.signals import State, score
from engines.universe import Universe, build_universe
from engines.walk_forward import VariantRun

if TYPE_CHECKING:
    from engines.candidate import Candidate, PortfolioSpec, UniverseSpec, Variant
    from engines.panel import Panel
    from engines.store import ArrayStore, Build, Entry

Parts = tuple[Mapping[str, NDArray[Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One universe and one portfolio rule under which every variant can be run."""

    universe: UniverseSpec
    portfolio: PortfolioSpec


@dataclass(frozen=True, slots=True)
class Measurements:
    """What is measured of one candidate on one panel. Arrays are (T, N) or (T,) on the panel's dates and read-only."""

    panel: Panel
    candidate: Candidate
    store: ArrayStore
    code_sha256: str
    refits: tuple[Refit, ...] = ()  # of a fitted signal; none for another
    _opened: dict[str, Entry] = field(default_factory=dict, init=False, repr=False, compare=False)

    def universe(self, spec: UniverseSpec) -> Universe:
        """The point-in-time universe under these filters, with its audit."""

        def build() -> Parts:
            universe = build_universe(self.panel, spec)
            return {"mask": universe.mask, "broken": universe.broken}, {"active": list(universe.active)}

        arrays, meta = self._part("universe", self._key(universe=spec.model_dump(mode="json")), build)
        return Universe(arrays["mask"], arrays["broken"], tuple(meta["active"]))

    def liquidity(self) -> Liquidity:
        """ADV and volatility as of each close."""

        def build() -> Parts:
            measured = measure_liquidity(self.panel)
            return {"adv_usd": measured.adv_usd, "daily_volatility": measured.daily_volatility}, {}

        arrays, _ = self._part("liquidity", self._key(), build)
        return Liquidity(arrays["adv_usd"], arrays["daily_volatility"])

    def states(self, variant: Variant) -> tuple[tuple[Refit, State], ...]:
        """What the variant's fit learnt in each training window; empty for a signal without a fit."""
        return tuple((refit, self._state(variant, refit)) for refit in self.refits)

    def _state(self, variant: Variant, refit: Refit) -> State:
        def build() -> Parts:
            return fit_state(self.panel, self.candidate, variant, refit), {}

        return self._part("state", {**self._variant_key(variant), "train": list(refit.train)}, build)[0]

    def signal(self, universe: UniverseSpec, variant: Variant) -> NDArray[np.float64]:
        """The variant's signal, treated within the universe."""

        def build() -> Parts:
            mask = self.universe(universe).mask
            return {"signal": score(self.panel, self.candidate, variant, mask, self.states(variant))}, {}

        arrays, _ = self._part("signal", self._signal_key(universe, variant), build)
        return arrays["signal"]

    def forward(self, portfolio: PortfolioSpec) -> NDArray[np.float64]:
        """The label of the IC; cheap, and so not stored."""
        return forward_returns(
            self.panel, portfolio.execution_delay_days, portfolio.horizon_days, portfolio.execution_price
        )

    def market(self, universe: UniverseSpec) -> NDArray[np.float64]:
        """The market's daily return: the declared benchmark's, else that of the equal-weight universe."""
        benchmark = self.panel.benchmark_close
        if benchmark is None:
            key = self._key(universe=universe.model_dump(mode="json"))
            return self._part("market", key, lambda: self._universe_return(universe))[0]["returns"]
        returns = np.full(self.panel.n_dates, np.nan)
        returns[1:] = benchmark[1:] / benchmark[:-1] - 1.0
        return returns

    def _universe_return(self, universe: UniverseSpec) -> Parts:
        return {"returns": universe_return(self.panel, self.universe(universe).mask)}, {}

    def backtest(self, scenario: Scenario, variant: Variant, first_rebalance: int) -> Backtest:
        """The variant's daily results under the scenario, on the grid anchored at `first_rebalance`."""

        def build() -> Parts:
            backtest = run_backtest(
                self.panel,
                self.signal(scenario.universe, variant),
                self.universe(scenario.universe).mask,
                scenario.portfolio,
                self.candidate.costs,
                scenario.universe.min_names,
                first_rebalance=first_rebalance,
                liquidity=self.liquidity(),
            )
            return backtest.to_arrays(), {}

        key = {**self._scenario_key(scenario, variant), "first_rebalance": first_rebalance}
        return Backtest.from_arrays(self._part("backtest", key, build)[0])

    def ics(self, scenario: Scenario, variant: Variant) -> NDArray[np.float64]:
        """Daily rank IC against the gross label, then against the net label of each declared multiplier, (1 + K, T)."""
        multipliers = self.candidate.walk_forward.cost_multipliers

        def build() -> Parts:
            signal, mask = self.signal(scenario.universe, variant), self.universe(scenario.universe).mask
            found = measured_ics(
                self.forward(scenario.portfolio),
                signal,
                mask,
                self.liquidity(),
                scenario.portfolio,
                self.candidate.costs,
                multipliers,
                scenario.universe.min_names,
            )
            return {"ics": found}, {}

        key = {**self._scenario_key(scenario, variant), "multipliers": list(multipliers)}
        return self._part("ic", key, build)[0]["ics"]

    def run(self, scenario: Scenario, variant: Variant, first_rebalance: int) -> VariantRun:
        """The variant's book and ICs: what the walk-forward chooses from."""
        ics = self.ics(scenario, variant)
        return VariantRun(variant.label, self.backtest(scenario, variant, first_rebalance), ics[0], ics[1:])

    def _part(self, kind: str, key: Mapping[str, Any], build: Build) -> Entry:
        """From the store; what was opened stays open, and its files are looked at once."""
        name = f"{kind} {sha256_json(dict(key))}"
        if name not in self._opened:
            self._opened[name] = self.store.get_or_build(kind, key, build)
        return self._opened[name]

    def _key(self, **more: Any) -> dict[str, Any]:
        return {"panel": self.panel.content_sha256, "code": self.code_sha256, **more}

    def _variant_key(self, variant: Variant) -> dict[str, Any]:
        path = self.candidate.signal_file
        return self._key(
            function=self.candidate.signal.function,
            source="" if path is None else fingerprint(read_user_file(path)),
            parameters=dict(variant.parameters),
        )

    def _signal_key(self, universe: UniverseSpec, variant: Variant) -> dict[str, Any]:
        return {
            **self._variant_key(variant),
            "signal": self.candidate.signal.model_dump(mode="json", exclude={"parameters", "grid"}),
            "refits": [[*refit.train, *refit.scored] for refit in self.refits],
            "universe": universe.model_dump(mode="json"),
        }

    def _scenario_key(self, scenario: Scenario, variant: Variant) -> dict[str, Any]:
        rules = {"portfolio": scenario.portfolio, "costs": self.candidate.costs}
        dumped = {name: rule.model_dump(mode="json") for name, rule in rules.items()}
        return {**self._signal_key(scenario.universe, variant), **dumped}


@cache
def engines_sha256() -> str:
    """Hash of the engines' own source: a result computed by other code is never taken from the store."""
    root = Path(__file__).parent
    return sha256_json({path.relative_to(root).as_posix(): sha256_file(path) for path in sorted(root.rglob("*.py"))})
