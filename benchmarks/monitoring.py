"""How often do the proposed triggers cry wolf, and how long do they take, when the truth is known?

    python -m benchmarks.monitoring --records 200 --out figures.json

Each record is some years of a book with a known true Sharpe ratio, as S3 would leave it; the triggers are those that `stagegate packet TAG s4`
proposes for it, and one for each metric they do not use. Then the same truth goes on for a year (false alarms), or changes in the way that
the trigger is there to notice (days until it does). So the figures hold what a real desk has: bounds set on an estimate.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from engines.costs import TRADING_DAYS_PER_YEAR
from engines.drift import cusum_bound, lost_edge_cusum
from engines.monitoring import METRICS, Book, Reference
from engines.statistics.rates import Rate, rate
from reports.deployment.alarms import CHANGED_DAYS, CHANGES
from reports.deployment.templates import FALSE_ALARM_A_YEAR, proposed_triggers
from reports.deployment.triggers import Trigger, evaluate

VOLATILITY: Final = 0.08 / TRADING_DAYS_PER_YEAR**0.5
REBALANCE_DAYS: Final = 21
SHOCKS: Final = ("normal", "t5", "regimes")
TRUTHS: Final = (("normal", 1.0), ("normal", 2.0), ("normal", 3.0), ("t5", 2.0), ("regimes", 2.0))
"""Shocks and true annual Sharpe ratio of what is simulated."""


@dataclass(frozen=True, slots=True)
class Truth:
    """A book whose Sharpe ratio, tails and volatility regimes are known."""

    sharpe: float
    shocks: str

    def book(self, n_days: int, rng: np.random.Generator) -> Book:
        """So many days of it: rebalanced monthly, costs with each rebalance, beta 0, a rank IC of 0.05 a day with noise of 0.1."""
        noise = rng.standard_normal(n_days)
        if self.shocks == "t5":
            noise = rng.standard_t(5, n_days) / (5 / 3) ** 0.5
        if self.shocks == "regimes":
            noise *= np.exp(0.3 * _persistent(rng.standard_normal(n_days), 60.0) - 0.09)
        net = VOLATILITY * (noise + self.sharpe / TRADING_DAYS_PER_YEAR**0.5)
        traded = (np.arange(n_days) + rng.integers(REBALANCE_DAYS)) % REBALANCE_DAYS == 0
        turnover = np.where(traded, rng.uniform(0.6, 1.2, n_days), 0.0)
        return Book(
            dates=np.busday_offset("2015-01-01", np.arange(n_days), roll="forward"),
            net=net,
            market=0.01 * rng.standard_normal(n_days),
            cost=0.001 * turnover * rng.uniform(0.8, 1.2, n_days) + 2e-5,
            turnover=turnover,
            ic=0.05 + 0.1 * rng.standard_normal(n_days),
            gross_exposure=2.0 + 0.02 * rng.standard_normal(n_days),
            net_exposure=0.02 * rng.standard_normal(n_days),
        )


def _persistent(noise: Any, half_life_days: float) -> Any:
    """Stationary AR(1) of unit variance."""
    decay, path = 0.5 ** (1.0 / half_life_days), noise.copy()
    for day in range(1, path.size):
        path[day] = decay * path[day - 1] + (1.0 - decay**2) ** 0.5 * noise[day]
    return path


def triggers_of(reference: Reference) -> Iterator[Trigger]:
    """The proposed triggers, and one for each metric that they do not use, at the bound where the watchlist or the gates end."""
    proposed = proposed_triggers(reference)
    yield from proposed
    bounds: dict[str, tuple[int | None, str, float]] = {
        "rolling_mean_net": (126, "<", reference.mean - 3.5 * reference.std / 126**0.5),
        "rolling_volatility": (63, ">", 1.6 * reference.std * TRADING_DAYS_PER_YEAR**0.5),
        "net_sharpe_p": (126, "<", 0.002),
        "rolling_ic": (126, "<", 0.0),
        "turnover_ratio": (63, ">", 1.5),
        "cost_ratio": (63, ">", 1.5),
        "beta_abs": (126, ">", 0.5),
        "gross_exposure": (None, ">", 2.2),
        "net_exposure_abs": (None, ">", 0.1),
    }
    for metric, (window_days, relation, bound) in bounds.items():
        fields = {"name": metric, "metric": metric, "window_days": window_days, "relation": relation, "bound": bound}
        yield Trigger.model_validate({**fields, "severity": "soft", "action": "simulated, nothing is traded"})


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One trigger over many records of one truth."""

    metric: str
    change: str
    false_alarms: Rate
    detected: Rate
    median_days: float | None


def behaviours(truth: Truth, n_records: int, years: int, seed: int) -> list[Behaviour]:
    """Every trigger on `n_records` records of `years` of a truth, each followed by a year as before and by two years changed."""
    quiet: dict[str, list[bool]] = {}
    noticed: dict[str, list[int | None]] = {}
    for number in range(n_records):
        rng = np.random.default_rng([seed, number])
        reference = Reference(truth.book(years * TRADING_DAYS_PER_YEAR, rng), REBALANCE_DAYS, number)
        year, later = truth.book(TRADING_DAYS_PER_YEAR, rng), truth.book(CHANGED_DAYS, rng)
        for trigger in triggers_of(reference):
            quiet.setdefault(trigger.metric, []).append(_first(trigger, year, reference) is not None)
            changed = CHANGES[trigger.metric].of(later, true_reference(truth, reference))
            noticed.setdefault(trigger.metric, []).append(_first(trigger, changed, reference))
    return [
        Behaviour(
            metric=metric,
            change=CHANGES[metric].name,
            false_alarms=rate(sum(quiet[metric]), n_records),
            detected=rate(sum(day is not None for day in noticed[metric]), n_records),
            median_days=_median(noticed[metric]),
        )
        for metric in METRICS
    ]


def true_reference(truth: Truth, reference: Reference) -> Reference:
    """A reference whose mean is the true one: what changes is the truth, not the estimate."""
    exact = VOLATILITY * truth.sharpe / TRADING_DAYS_PER_YEAR**0.5
    net = reference.book.net - reference.book.net.mean() + exact
    return replace(reference, book=replace(reference.book, net=net), _sharpes={})


def _first(trigger: Trigger, book: Book, reference: Reference) -> int | None:
    reading = evaluate(trigger, book, reference)
    return None if reading is None or reading.first is None else reading.first + 1


def _median(days: Sequence[int | None]) -> float | None:
    """Median days until noticed, None when fewer than half are."""
    found = sorted(float("inf") if day is None else day for day in days)
    middle = statistics.median(found)
    return None if middle == float("inf") else float(middle)


def stated_rate(truth: Truth, n_years: int, seed: int) -> Rate:
    """False alarms of the CUSUM within a year when its reference is the truth itself: what its bound promises."""
    edge = truth.sharpe / TRADING_DAYS_PER_YEAR**0.5
    bound = cusum_bound(edge, TRADING_DAYS_PER_YEAR, FALSE_ALARM_A_YEAR)
    rng = np.random.default_rng([seed, 99])
    years = (truth.book(TRADING_DAYS_PER_YEAR, rng).net for _ in range(n_years))
    fired = sum(bool(lost_edge_cusum(net, VOLATILITY * edge, VOLATILITY).max() > bound) for net in years)
    return rate(fired, n_years)


def markdown(figures: dict[str, Any]) -> str:
    """The figures as the tables of docs/monitoring.md."""
    truths = [name for name in figures if name != "settings"]
    lines = ["| truth | false alarms of the CUSUM in a first year, reference known |", "|---|---|"]
    lines += [f"| {name} | {_share(figures[name]['stated CUSUM'])} |" for name in truths]
    head = "| metric | " + " | ".join(truths) + " |"
    dashes = "|---|" + "---|" * len(truths)
    rows = {name: {row["metric"]: row for row in figures[name]["triggers"]} for name in truths}
    lines += ["", "False alarms in a year without a change:", "", head, dashes]
    for metric in METRICS:
        cells = [_share(rows[name][metric]["false_alarms"]) for name in truths]
        lines.append(f"| `{metric}` | " + " | ".join(cells) + " |")
    lines += ["", "Median days until the change is noticed, and the share noticed within two years:", ""]
    lines += ["| metric | change | " + " | ".join(truths) + " |", "|---|---|" + "---|" * len(truths)]
    for metric in METRICS:
        cells = [_speed(rows[name][metric]) for name in truths]
        lines.append(f"| `{metric}` | {CHANGES[metric].name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _share(found: dict[str, Any]) -> str:
    return f"{100 * found['share']:.1f} % ({100 * found['lower']:.1f} .. {100 * found['upper']:.1f})"


def _speed(row: dict[str, Any]) -> str:
    days = "more than 504" if row["median_days"] is None else f"{row['median_days']:.0f}"
    return f"{days}, {100 * row['detected']['share']:.0f} %"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the campaign and write its figures; 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.monitoring", description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=200, help="records of each truth")
    parser.add_argument("--stated", type=int, default=5000, help="years for the CUSUM's stated rate")
    parser.add_argument("--years", type=int, default=6, help="length of a record")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(argv)
    figures: dict[str, Any] = {"settings": {**vars(given), "out": given.out.name}}
    for shocks, sharpe in TRUTHS:
        truth = Truth(sharpe, shocks)
        rows = behaviours(truth, given.records, given.years, given.seed)
        figures[f"{shocks}, Sharpe {sharpe:g}"] = {
            "stated CUSUM": asdict(stated_rate(truth, given.stated, given.seed)),
            "triggers": [asdict(row) for row in rows],
        }
        print(f"{shocks}, Sharpe {sharpe:g}: done", flush=True)
    given.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(markdown(figures), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
