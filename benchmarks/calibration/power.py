"""How often does real skill of a stated net Sharpe ratio pass, by the length of the file and the number of registered trials?"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.bench import Design, SimulatedBench, family_of, single_trial
from benchmarks.calibration.journal import Journal
from benchmarks.calibration.noise import SIGNIFICANT_T, SimulatedNoise
from benchmarks.gate_runner import PASSED, Road, first_failure_in_family, policy, walk
from benchmarks.planted_market import FloatArray
from engines.costs import TRADING_DAYS_PER_YEAR
from engines.statistics import sharpe_ratio
from engines.statistics.rates import rate
from engines.study import Study
from reports.criteria.trials import FamilyTrials, Trial

PERSISTENT_HALF_LIFE_DAYS: Final = 63.0
TRUE_SHARPES: Final = (0.0, 0.5, 1.0, 2.0)
YEARS: Final = (5, 10)
FAMILY_SIZES: Final = (10, 100)
SEEDS_PER_FAMILY: Final = 10
REFERENCE_EDGE: Final = 2e-4
REBALANCE_FLOOR: Final = "s1.observations.rebalances"
REGISTERED_YEARS: Final = 10


@dataclass(frozen=True, slots=True)
class EdgeTable:
    """Mean and volatility of the daily net return as the planted edge grows: what a true Sharpe ratio is read off. Over n_days simulated days."""

    mean_without_edge: float
    mean_per_edge: float
    volatility: float
    n_days: int

    def edge_for(self, annual_sharpe: float) -> float:
        """The edge at which the annual net Sharpe ratio (cost multiplier 1) is `annual_sharpe`."""
        target = annual_sharpe / TRADING_DAYS_PER_YEAR**0.5 * self.volatility
        edge: float = (target - self.mean_without_edge) / self.mean_per_edge
        return edge


def edge_table(n_markets: int, design: Design, journal: Journal) -> EdgeTable:
    """Long simulation: each market is traded with and without the edge, so that what it earns by luck cancels.

    Without an edge a score earns nothing before costs, which is known and not estimated: the mean net return there is minus the mean cost. The
    mean is linear in the edge, the volatility all but constant.
    """
    measured = [
        journal.figure(f"edge/{number}", lambda number=number: _traded_with_and_without(design, number))
        for number in range(n_markets)
    ]
    cost, gain, volatility = (
        float(np.mean([one[name] for one in measured])) for name in ("cost", "gain", "volatility")
    )
    return EdgeTable(-cost, gain / REFERENCE_EDGE, volatility, sum(one["n_days"] for one in measured))


def _traded_with_and_without(design: Design, number: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        bench = SimulatedBench(design, 40_000 + number, Path(folder))
        scores = planted_scores(bench, 50_000 + number)
        without, with_edge = (_backtest(bench.study(scores, edge)) for edge in (0.0, REFERENCE_EDGE))
    return {
        "cost": float(with_edge.cost.mean()),
        "gain": float((with_edge.gross - without.gross).mean()),
        "volatility": float(with_edge.net_returns(1.0).std(ddof=1)),
        "n_days": with_edge.n_days,
    }


def _backtest(study: Study) -> Any:
    return study.backtest(study.variants[0])


def planted_scores(bench: SimulatedBench, seed: int) -> FloatArray:
    """Persistent scores for one market."""
    return SimulatedNoise(bench, PERSISTENT_HALF_LIFE_DAYS, (seed,)).scores(0)


def power(n_seeds: int, table: EdgeTable, design: Design, journal: Journal) -> dict[str, Any]:
    """The share of `n_seeds` markets on which real skill passes, for each true Sharpe ratio and length.

    The floor of 60 rebalances, which no monthly candidate on five years can reach, is waived and counted apart.
    """
    judged = [
        journal.figure(f"seed/{seed}", lambda seed=seed: _judge_seed(seed, table, design, journal))
        for seed in range(n_seeds)
    ]
    return {
        f"net Sharpe {sharpe:g} over {years} years": _cell_rates([one[_cell(sharpe, years)] for one in judged])
        for sharpe in TRUE_SHARPES
        for years in YEARS
    }


def _cell(sharpe: float, years: int) -> str:
    return f"{sharpe:g}/{years}"


def _judge_seed(seed: int, table: EdgeTable, design: Design, journal: Journal) -> dict[str, Any]:
    """Every cell of one market."""
    group = seed // SEEDS_PER_FAMILY
    others = [Trial(**one) for one in journal.figure(f"others/{group}", lambda: _other_trials(design, group))]
    with tempfile.TemporaryDirectory() as folder:
        bench = SimulatedBench(design, 60_000 + seed, Path(folder))
        scores = planted_scores(bench, 70_000 + seed)
        return {
            _cell(sharpe, years): _judge_cell(
                bench.study(scores, table.edge_for(sharpe), years * TRADING_DAYS_PER_YEAR),
                seed,
                others if years == REGISTERED_YEARS else [],
            )
            for sharpe in TRUE_SHARPES
            for years in YEARS
        }


def _other_trials(design: Design, group: int) -> list[dict[str, Any]]:
    """Worthless trials for the seeds of one group, measured on a market of their own: only their spread and their p-values are asked for."""
    with tempfile.TemporaryDirectory() as folder:
        bench = SimulatedBench(design, 80_000 + group, Path(folder))
        noise = SimulatedNoise(bench, PERSISTENT_HALF_LIFE_DAYS, (90_000 + group,))
        looks = [bench.look(noise.signal(number)) for number in range(max(FAMILY_SIZES) - 1)]
    return [asdict(Trial("earlier", str(n), look.test.p_one_sided, look.daily_sharpe)) for n, look in enumerate(looks)]


def _judge_cell(study: Study, seed: int, others: list[Trial]) -> dict[str, Any]:
    road = walk(study, single_trial, seed, first_trial=True, waived=[REBALANCE_FLOOR])
    returns = study.judged_returns(study.variants[0], 1.0)
    registered = {}
    for size in FAMILY_SIZES if others else ():
        gate = road.last_gate
        if gate == PASSED:
            gate = first_failure_in_family(study, _family(others, size, seed), seed)
        registered[str(size)] = gate
    return {
        "last_gate": road.last_gate,
        "t": road.value("s1.ic_t"),
        "floor": _has_enough_rebalances(road),
        "sharpe": sharpe_ratio(returns, periods_per_year=TRADING_DAYS_PER_YEAR),
        "registered": registered,
    }


def _family(others: list[Trial], size: int, seed: int) -> Callable[[Study], FamilyTrials]:
    """A family of `size` trials: as many others, beginning at another one for each seed of a group."""
    first = (seed % SEEDS_PER_FAMILY) * (min(FAMILY_SIZES) - 1)
    chosen = tuple((others[first:] + others[:first])[: size - 1])
    return lambda study: family_of(study, chosen)


def _has_enough_rebalances(road: Road) -> bool:
    threshold = policy().threshold_rows()[REBALANCE_FLOOR].resolve(first_trial=True)
    return threshold.holds(road.value(REBALANCE_FLOOR))


def _cell_rates(judged: Sequence[dict[str, Any]]) -> dict[str, Any]:
    def share(passed: Sequence[bool]) -> dict[str, Any]:
        return asdict(rate(sum(passed), len(judged)))

    promoted = [one["last_gate"] == PASSED for one in judged]
    strict = [(one["t"] or 0.0) >= SIGNIFICANT_T[1] for one in judged]
    sizes = judged[0]["registered"]
    return {
        **{
            f"through {stage}": share([one["last_gate"] == PASSED or one["last_gate"][:2] > stage for one in judged])
            for stage in ("s1", "s2", "s3")
        },
        "through s3 with t >= 3": share([p and s for p, s in zip(promoted, strict, strict=True)]),
        "through s3 with the floor of 60 rebalances": share(
            [p and one["floor"] for p, one in zip(promoted, judged, strict=True)]
        ),
        **{
            f"through s3 as one of {size} registered": share([one["registered"][size] == PASSED for one in judged])
            for size in sizes
        },
        "mean measured net Sharpe": float(np.mean([one["sharpe"] for one in judged])),
        "last gate": dict(Counter(one["last_gate"] for one in judged).most_common()),
        **{
            f"last gate as one of {size}": dict(Counter(one["registered"][size] for one in judged).most_common())
            for size in sizes
        },
    }
