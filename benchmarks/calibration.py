"""What do the gates let through? Noise, real skill of known size, and the best of many noise variants, judged by the committed policy.

    python -m benchmarks.calibration --noise N --families N --seeds N --shuffles N --out FILE.json

Every part can be left out with a count of 0. Rates come with exact (Clopper-Pearson) 95 % intervals. docs/calibration.md holds the figures of a run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.bench import Bench, Design, family_of, single_trial
from benchmarks.gate_runner import REPOSITORY, Road, ask_gate, policy, walk
from benchmarks.planted_market import (
    FloatArray,
    draw_scores,
    planted_candidate,
)
from engines.candidate import Candidate
from engines.costs import TRADING_DAYS_PER_YEAR
from engines.forward import forward_returns
from engines.ic import non_overlapping, rank_ic
from engines.panel import Panel, load_panel
from engines.portfolio import rebalance_rows
from engines.signals import momentum
from engines.statistics import MeanTest, sharpe_ratio, student_t_of_mean
from engines.statistics.rates import rate
from engines.store import ArrayStore
from engines.study import Study
from reports.criteria.trials import FamilyTrials, Trial

SIGNIFICANT_T: Final = (2.0, 3.0)
PERSISTENT_HALF_LIFE_DAYS: Final = 63.0
TRUE_SHARPES: Final = (0.5, 1.0, 2.0)
YEARS: Final = (5, 10)
FAMILY_SIZE: Final = 100
CANDIDATES_PER_MARKET: Final = 50
PROMOTED: Final = "none"
ALSO_MEASURED: Final = ("s1.placebo", "s3.deflated_sharpe")
REBALANCE_FLOOR: Final = "s1.observations.rebalances"
REAL_PRICES: Final = REPOSITORY.parent / "shared" / "data" / "sp500_2013_2018.parquet"


def _spread(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


# ---------------------------------------------------------------------------------------------------------------------- noise


def noise(n_candidates: int, n_studied: int, kinds: Sequence[tuple[str, float, int]], design: Design) -> dict[str, Any]:
    """How often does noise pass? Per kind (name, half-life of the score, horizon): s1.ic_t of all, placebo and DSR of `n_studied` spread evenly.

    Whoever passes s1.ic_t at the bound of a preregistered first trial walks on through S1 to S3.
    """
    return {
        name: _noise_of(n_candidates, n_studied, half_life, replace_horizon(design, horizon))
        for name, half_life, horizon in kinds
    }


def replace_horizon(design: Design, horizon_days: int) -> Design:
    """The same design at another horizon and rebalance; at one day the score is smoothed over two, the least that can be perturbed both ways."""
    return replace(design, horizon_days=horizon_days, smooth_days=design.smooth_days if horizon_days > 1 else 2)


def _noise_of(n_candidates: int, n_studied: int, half_life_days: float, design: Design) -> dict[str, Any]:
    t_stats: list[float] = []
    last_gate, answers = Counter[str](), Counter[str]()
    studied = range(0, n_candidates, max(1, n_candidates // n_studied))[:n_studied] if n_studied else range(0)
    for bench, scores, number in _noise_candidates(n_candidates, half_life_days, design):
        t_stats.append(bench.spaced_ic_test(scores).t_stat)
        walks_on = t_stats[-1] >= SIGNIFICANT_T[0]
        if not walks_on:
            last_gate["s1.ic_t"] += 1
        if walks_on or number in studied:
            with bench.study(scores) as study:
                if walks_on:
                    last_gate[walk(study, single_trial, number, first_trial=True).last_gate] += 1
                if number in studied:
                    answers.update(g for g in ALSO_MEASURED if ask_gate(g, study, single_trial, number).passed)
    return {
        **{
            f"s1.ic_t >= {bound:g}": asdict(rate(sum(t >= bound for t in t_stats), n_candidates))
            for bound in SIGNIFICANT_T
        },
        **{gate: asdict(rate(answers[gate], len(studied))) for gate in ALSO_MEASURED if studied},
        "s1 to s3": asdict(rate(last_gate[PROMOTED], n_candidates)),
        "standard deviation of t": _spread(t_stats),
        "last gate": dict(last_gate.most_common()),
    }


def _noise_candidates(count: int, half_life_days: float, design: Design) -> Iterator[tuple[Bench, FloatArray, int]]:
    """Noise scores, CANDIDATES_PER_MARKET on each market."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            if number % CANDIDATES_PER_MARKET == 0:
                bench = Bench(design, 10_000 + number // CANDIDATES_PER_MARKET, Path(folder))
            rng = np.random.default_rng([number, int(half_life_days), design.horizon_days])
            yield bench, draw_scores(rng, design.n_days, design.n_names, half_life_days), number


# ------------------------------------------------------------------------------------------------------------------- families


def families(count: int, design: Design) -> dict[str, Any]:
    """How often is one of FAMILY_SIZE noise variants promoted? With the registry's N, and with the best handed in as a first trial.

    With the registry every variant whose t clears 3.0 is walked on, as the only candidate of a family that has registered all of them: promoted
    when any is. Hidden, the variant with the largest t is handed in as preregistered, with N = 1.
    """
    recorded, hidden = Counter[str](), Counter[str]()
    for number in range(count):
        with tempfile.TemporaryDirectory() as folder:
            family = NoiseFamily(Bench(design, 20_000 + number, Path(folder)), number)
            roads = [family.walk_recorded(k) for k, t in enumerate(family.t_stats) if t >= SIGNIFICANT_T[1]]
            alone = family.walk_hidden(int(np.argmax(family.t_stats)))
        recorded["t"] += bool(roads)
        recorded[PROMOTED] += any(road.failed_gate is None for road in roads)
        recorded.update(f"last gate {road.last_gate}" for road in roads)
        hidden[alone.last_gate] += 1
    return {
        "family size": FAMILY_SIZE,
        "recorded: a variant has t >= 3": asdict(rate(recorded.pop("t"), count)),
        "recorded: a variant is promoted": asdict(rate(recorded.pop(PROMOTED), count)),
        "recorded: last gate of each variant with t >= 3": dict(recorded.most_common()),
        "hidden: the best is promoted": asdict(rate(hidden[PROMOTED], count)),
        "hidden: last gate of the best": dict(hidden.most_common()),
    }


@dataclass(frozen=True)
class NoiseFamily:
    """FAMILY_SIZE persistent noise scores on one market."""

    bench: Bench
    number: int

    def scores(self, variant: int) -> FloatArray:
        """The scores of a variant, drawn anew: a family would fill the memory."""
        design, rng = self.bench.design, np.random.default_rng([30_000 + self.number, variant])
        return draw_scores(rng, design.n_days, design.n_names, PERSISTENT_HALF_LIFE_DAYS)

    @cached_property
    def tests(self) -> list[MeanTest]:
        """The test of each variant's IC."""
        return [self.bench.spaced_ic_test(self.scores(variant)) for variant in range(FAMILY_SIZE)]

    @property
    def t_stats(self) -> list[float]:
        """Its t."""
        return [test.t_stat for test in self.tests]

    def walk_recorded(self, variant: int) -> Road:
        """The road of a variant whose family has registered all the others before."""

        def registered(study: Study) -> FamilyTrials:
            return family_of(study, self.others(variant))

        with self.bench.study(self.scores(variant)) as study:
            return walk(study, registered, self.number, first_trial=False)

    def walk_hidden(self, variant: int) -> Road:
        """The road of a variant handed in as if nothing else had been tried."""
        with self.bench.study(self.scores(variant)) as study:
            return walk(study, single_trial, self.number, first_trial=True)

    def others(self, variant: int) -> tuple[Trial, ...]:
        """Every other variant as the registry keeps it."""
        return tuple(
            Trial("earlier", str(k), test.p_one_sided, self.bench.daily_sharpe(self.scores(k)))
            for k, test in enumerate(self.tests)
            if k != variant
        )


# ---------------------------------------------------------------------------------------------------------------------- power


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


def edge_table(n_markets: int, design: Design, reference_edge: float = 2e-4) -> EdgeTable:
    """Long simulation: each market is traded with and without the edge, so that what it earns by luck cancels.

    Without an edge a score earns nothing before costs, which is known and not estimated: the mean net return there is minus the mean cost. The
    mean is linear in the edge, the volatility all but constant.
    """
    costs, gains, volatilities, n_days = [], [], [], 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(n_markets):
            bench = Bench(design, 40_000 + number, Path(folder))
            scores = _planted_scores(bench, 50_000 + number)
            with bench.study(scores) as study, bench.study(scores, reference_edge) as edged:
                without, with_edge = (s.backtest(s.variants[0]) for s in (study, edged))
            costs.append(with_edge.cost.mean())
            gains.append((with_edge.gross - without.gross).mean())
            volatilities.append(with_edge.net_returns(1.0).std(ddof=1))
            n_days += with_edge.n_days
    return EdgeTable(
        -float(np.mean(costs)), float(np.mean(gains)) / reference_edge, float(np.mean(volatilities)), n_days
    )


def _planted_scores(bench: Bench, seed: int) -> FloatArray:
    return draw_scores(
        np.random.default_rng(seed), bench.design.n_days, bench.design.n_names, PERSISTENT_HALF_LIFE_DAYS
    )


def power(n_seeds: int, table: EdgeTable, design: Design) -> dict[str, Any]:
    """How often does real skill pass, by its true annual net Sharpe ratio and the length of the file? One preregistered trial.

    The floor of 60 rebalances, which no monthly candidate on five years can reach, is waived there and counted apart.
    """
    roads: dict[tuple[float, int], list[Road]] = {(sharpe, years): [] for sharpe in TRUE_SHARPES for years in YEARS}
    measured: dict[tuple[float, int], list[float]] = {cell: [] for cell in roads}
    design = replace(design, years=max(YEARS))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(n_seeds):
            bench = Bench(design, 60_000 + number, Path(folder))
            scores = _planted_scores(bench, 70_000 + number)
            for sharpe, years in roads:
                n_days = years * TRADING_DAYS_PER_YEAR
                with bench.study(scores, table.edge_for(sharpe), n_days) as study:
                    road = walk(study, single_trial, number, first_trial=True, waived=[REBALANCE_FLOOR])
                    roads[sharpe, years].append(road)
                    returns = study.judged_returns(study.variants[0], 1.0)
                    measured[sharpe, years].append(sharpe_ratio(returns, periods_per_year=TRADING_DAYS_PER_YEAR))
    return {
        f"net Sharpe {sharpe:g} over {years} years": _power_cell(cell_roads, measured[sharpe, years])
        for (sharpe, years), cell_roads in roads.items()
    }


def _power_cell(roads: Sequence[Road], measured: Sequence[float]) -> dict[str, Any]:
    promoted = [road for road in roads if road.failed_gate is None]
    strict = [road for road in promoted if (road.value("s1.ic_t") or 0.0) >= SIGNIFICANT_T[1]]
    return {
        **{
            f"through {stage}": asdict(rate(sum(r.passed_stage(stage) for r in roads), len(roads)))
            for stage in ("s1", "s2", "s3")
        },
        "through s3 with t >= 3": asdict(rate(len(strict), len(roads))),
        "through s3 with the floor of 60 rebalances": asdict(
            rate(sum(map(_has_enough_rebalances, promoted)), len(roads))
        ),
        "mean measured net Sharpe": float(np.mean(measured)),
        "last gate": dict(Counter(road.last_gate for road in roads).most_common()),
    }


def _has_enough_rebalances(road: Road) -> bool:
    threshold = policy().threshold_rows()[REBALANCE_FLOOR].resolve(first_trial=True)
    return threshold.holds(road.value(REBALANCE_FLOOR))


# ------------------------------------------------------------------------------------------------------- real prices, no signal


def shuffled_real(count: int) -> dict[str, Any]:
    """How often does momentum on real prices pass s1.ic_t once its scores are dealt to other names?

    Twice: anew on each date, and with one exchange of names for all dates, which keeps the signal's persistence.
    """
    if not REAL_PRICES.is_file():
        return {"skipped": f"{REAL_PRICES.name} is not there"}
    with tempfile.TemporaryDirectory() as folder:
        panel, candidate = _real_panel(Path(folder))
    signal = momentum(panel, 252, 21)
    portfolio = candidate.portfolio
    forward = forward_returns(panel, portfolio.execution_delay_days, portfolio.horizon_days, portfolio.execution_price)
    first = rebalance_rows(np.isfinite(signal), portfolio.rebalance_days, candidate.universe.min_names)[0]
    rows = np.arange(first, panel.n_dates, portfolio.horizon_days)
    rng = np.random.default_rng(20)
    return {
        "shuffled on each date": _shuffled(count, signal[rows], forward[rows], rng, each_date=True),
        "names exchanged for all dates": _shuffled(count, signal[rows], forward[rows], rng, each_date=False),
    }


def _real_panel(folder: Path) -> tuple[Panel, Candidate]:
    config = planted_candidate(folder, 21, 2).config()
    config["data"] = {
        "path": str(REAL_PRICES),
        "as_of": np.datetime64("2018-02-07").item(),
        "columns": {"symbol": "Name"},
    }
    candidate = Candidate.from_config(config, folder)
    panel, _ = load_panel(candidate, ArrayStore(folder / "cache"))
    return panel.until(panel.n_dates - candidate.walk_forward.holdout_days), candidate


def _shuffled(
    count: int, signal: FloatArray, forward: FloatArray, rng: np.random.Generator, *, each_date: bool
) -> dict[str, Any]:
    mask = np.ones(signal.shape, dtype=bool)
    t_stats = []
    for _ in range(count):
        dealt = rng.permuted(signal, axis=1) if each_date else signal[:, rng.permutation(signal.shape[1])]
        t_stats.append(student_t_of_mean(non_overlapping(rank_ic(dealt, forward, mask, 50), 1)).t_stat)
    return {
        **{f"s1.ic_t >= {bound:g}": asdict(rate(sum(t >= bound for t in t_stats), count)) for bound in SIGNIFICANT_T},
        "standard deviation of t": _spread(t_stats),
    }


# ---------------------------------------------------------------------------------------------------------------- command line

NOISE_KINDS: Final = (
    ("persistent, 21-day labels", PERSISTENT_HALF_LIFE_DAYS, 21),
    ("white, 21-day labels", 0.0, 21),
    ("persistent, 1-day labels", PERSISTENT_HALF_LIFE_DAYS, 1),
    ("white, 1-day labels", 0.0, 1),
)


def calibrate(options: argparse.Namespace) -> dict[str, Any]:
    """Run the parts whose counts are not 0 and return their figures with the settings they ran under."""
    design = Design(n_names=options.names, years=options.years)
    parts: dict[str, Any] = {}
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        seconds[name] = round(time.perf_counter() - started, 1)

    if options.noise:
        with timed("noise"):
            parts["noise"] = noise(options.noise // len(NOISE_KINDS), options.studied, NOISE_KINDS, design)
    if options.families:
        with timed("families"):
            parts["families"] = families(options.families, design)
    if options.seeds:
        with timed("power"):
            table = edge_table(options.edge_markets, design)
            parts["edge"] = {**asdict(table), **{f"edge for {s:g}": table.edge_for(s) for s in TRUE_SHARPES}}
            parts["power"] = power(options.seeds, table, design)
    if options.shuffles:
        with timed("shuffles"):
            parts["shuffled real prices"] = shuffled_real(options.shuffles)
    return {"settings": {**asdict(design), **vars(options), "out": options.out.name}, "seconds": seconds, **parts}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; writes the figures as JSON and returns 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument("--noise", type=int, default=2000, help="noise candidates, a quarter of each kind")
    parser.add_argument(
        "--studied", type=int, default=50, help="noise candidates of each kind whose placebo and DSR are measured too"
    )
    parser.add_argument("--families", type=int, default=200, help=f"families of {FAMILY_SIZE} noise variants")
    parser.add_argument("--seeds", type=int, default=100, help="markets for each true Sharpe ratio and length")
    parser.add_argument("--edge-markets", type=int, default=12, help="markets behind the true Sharpe ratio")
    parser.add_argument("--shuffles", type=int, default=500, help="shuffles of real prices' momentum, of each kind")
    parser.add_argument("--names", type=int, default=150, help="names in each simulated market")
    parser.add_argument("--years", type=int, default=10, help="length of the simulated files of noise and families")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args(arguments)
    options.out.write_text(json.dumps(calibrate(options), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
