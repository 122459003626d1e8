"""What do the gates let through? Noise, the best of many noise variants, and real skill of known size, judged by the committed policy.

    python -m benchmarks.calibration --journal FOLDER --out FILE.json
        [--seeds N] [--noise N] [--families N] [--shuffles N] [--real-families N]

Every part can be left out with a count of 0. What is measured is kept in FOLDER: the same command goes on where it was stopped, and prints what it
has when all is there. Rates come with exact (Clopper-Pearson) 95 % intervals. docs/calibration.md holds the figures of a run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.bench import Design, SimulatedBench
from benchmarks.calibration.families import FAMILY_SIZE, family_rates, judge_family
from benchmarks.calibration.journal import Journal
from benchmarks.calibration.noise import SimulatedNoise, judge_noise, noise_rates
from benchmarks.calibration.power import PERSISTENT_HALF_LIFE_DAYS, REBALANCE_FLOOR, TRUE_SHARPES, edge_table, power
from benchmarks.calibration.real import REAL_PRICES, DealtNoise, RealBench
from benchmarks.planted_market import COSTS

BLOCK: Final = 50
"""Noise candidates that share a market, and a line of the journal."""
NOISE_KINDS: Final = (
    ("persistent, 21-day labels", PERSISTENT_HALF_LIFE_DAYS, 21),
    ("white, 21-day labels", 0.0, 21),
    ("persistent, 1-day labels", PERSISTENT_HALF_LIFE_DAYS, 1),
    ("white, 1-day labels", 0.0, 1),
)
DEALS: Final = (("shuffled on each date", True), ("names exchanged for all dates", False))
WEEK_DAYS: Final = 5


def with_horizon(design: Design, horizon_days: int) -> Design:
    """The same design at another horizon; with one-day labels it trades weekly and smooths over two days, the least that can be perturbed both ways."""
    if horizon_days > 1:
        return replace(design, horizon_days=horizon_days, rebalance_days=horizon_days)
    return replace(design, horizon_days=1, rebalance_days=WEEK_DAYS, smooth_days=2)


def noise_part(count: int, design: Design, folder: Path) -> dict[str, Any]:
    """`count` candidates of each kind, BLOCK on each market."""
    found = {}
    for name, half_life_days, horizon_days in NOISE_KINDS:
        kind = with_horizon(design, horizon_days)
        journal = Journal(folder, "noise", {**asdict(kind), "half_life_days": half_life_days, "block": BLOCK})
        judged: list[dict[str, Any]] = []
        for first in range(0, count, BLOCK):
            numbers = range(first, min(first + BLOCK, count))
            judged += journal.figure(
                f"{numbers.start}-{numbers.stop}",
                lambda numbers=numbers, kind=kind, half_life_days=half_life_days: _noise_block(
                    kind, half_life_days, numbers
                ),
            )
        found[name] = noise_rates(judged)
    return found


def _noise_block(design: Design, half_life_days: float, numbers: range) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        bench = SimulatedBench(design, 10_000 + numbers.start // BLOCK, Path(folder))
        stream = (int(half_life_days), design.horizon_days)
        return judge_noise(SimulatedNoise(bench, half_life_days, stream), numbers)


def families_part(count: int, design: Design, folder: Path) -> dict[str, Any]:
    """`count` families of FAMILY_SIZE persistent variants, each on a market of its own."""
    journal = Journal(folder, "families", {**asdict(design), "family_size": FAMILY_SIZE})

    def measure(number: int) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as scratch:
            bench = SimulatedBench(design, 20_000 + number, Path(scratch))
            noise = SimulatedNoise(bench, PERSISTENT_HALF_LIFE_DAYS, (30_000 + number,))
            return judge_family(noise, number, FAMILY_SIZE)

    return family_rates([journal.figure(str(n), lambda n=n: measure(n)) for n in range(count)])


def power_part(seeds: int, edge_markets: int, design: Design, folder: Path) -> dict[str, Any]:
    """`seeds` markets for each true Sharpe ratio and length."""
    journal = Journal(folder, "power", {**asdict(design), "edge_markets": edge_markets})
    table = edge_table(edge_markets, design, journal)
    edges = {f"edge for {sharpe:g}": table.edge_for(sharpe) for sharpe in TRUE_SHARPES}
    return {"edge": {**asdict(table), **edges}, "power": power(seeds, table, design, journal)}


def real_part(shuffles: int, families: int, costs: str, folder: Path) -> dict[str, Any]:
    """`shuffles` deals of each kind and `families` families of deals within dates, on the real panel. The floor of 60 rebalances is waived."""
    if not REAL_PRICES.is_file():
        return {"skipped": f"{REAL_PRICES.name} is not there"}
    waived, found = [REBALANCE_FLOOR], {}
    with tempfile.TemporaryDirectory() as scratch:
        bench = RealBench(Path(scratch), costs)
        for name, each_date in DEALS if shuffles else ():
            journal = Journal(folder, "real", {"costs": costs, "each_date": each_date, "block": BLOCK})
            judged: list[dict[str, Any]] = []
            for first in range(0, shuffles, BLOCK):
                numbers, noise = range(first, min(first + BLOCK, shuffles)), DealtNoise(bench, each_date)
                judged += journal.figure(
                    f"{numbers.start}-{numbers.stop}",
                    lambda noise=noise, numbers=numbers: judge_noise(noise, numbers, waived),
                )
            found[name] = noise_rates(judged)
        if families:
            journal = Journal(folder, "real-families", {"costs": costs, "family_size": FAMILY_SIZE})

            def measure(number: int) -> dict[str, Any]:
                noise = DealtNoise(bench, each_date=True, first=1_000_000 + number * FAMILY_SIZE)
                return judge_family(noise, number, FAMILY_SIZE, waived)

            found["families"] = family_rates([journal.figure(str(n), lambda n=n: measure(n)) for n in range(families)])
    return found


def calibrate(options: argparse.Namespace) -> dict[str, Any]:
    """Run the parts whose counts are not 0 and return their figures with the settings they ran under."""
    design = Design(n_names=options.names, years=options.years, costs=options.costs)
    parts: dict[str, Any] = {}
    if options.seeds:
        parts |= power_part(options.seeds, options.edge_markets, design, options.journal)
    if options.shuffles or options.real_families:
        parts["real prices"] = real_part(options.shuffles, options.real_families, options.costs, options.journal)
    if options.families:
        parts["families"] = families_part(options.families, design, options.journal)
    if options.noise:
        parts["noise"] = noise_part(options.noise, design, options.journal)
    settings = {name: value for name, value in vars(options).items() if name not in ("journal", "out")}
    return {"settings": {**asdict(design), **settings}, **parts}


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument("--seeds", type=int, default=0, help="markets for each true Sharpe ratio and length")
    parser.add_argument("--noise", type=int, default=0, help="noise candidates of each of the four kinds")
    parser.add_argument("--families", type=int, default=0, help=f"families of {FAMILY_SIZE} noise variants")
    parser.add_argument("--shuffles", type=int, default=0, help="shuffles of real prices' momentum, of each kind")
    parser.add_argument("--real-families", type=int, default=0, help="families of shuffles")
    parser.add_argument("--edge-markets", type=int, default=12, help="markets behind the true Sharpe ratio")
    parser.add_argument("--names", type=int, default=150, help="names in each simulated market")
    parser.add_argument("--years", type=int, default=10, help="length of the simulated files")
    parser.add_argument("--costs", choices=tuple(COSTS), default="large caps", help="what trading costs")
    parser.add_argument("--journal", type=Path, required=True, help="folder in which what is measured is kept")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; writes the figures as JSON and returns 0."""
    options = parsed(arguments)
    options.out.write_text(json.dumps(calibrate(options), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
