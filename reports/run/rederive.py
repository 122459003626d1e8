"""Re-derive what decides from the returns that a pack stores, without the gates: {"s3.shard_net_t [wf-2 x1.5]": -0.31, ...}.

Nothing is read but the pack. Where a figure differs from the evidence by a bit, the evidence was not measured on these returns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from engines.costs import TRADING_DAYS_PER_YEAR
from engines.statistics import newey_west_tstat_of_mean, sharpe_ratio, student_t_of_mean
from engines.walk_forward import OutOfSample
from reports.criteria.verdict import Verdict
from reports.pack.stored_returns import read_daily_ic, read_out_of_sample
from reports.record.durable import load_json, read_regular

Figures = Iterator[tuple[str, float]]


def measure(pack: Path) -> dict[str, float]:
    """Every figure that can be re-derived from this pack, by `threshold [cell]`."""
    config = load_json(read_regular(pack / "freeze.json"), "freeze.json")["candidate"]["config"]
    return {
        name: float(value)
        for source, figures in SOURCES.items()
        if (pack / source).is_file()
        for name, value in figures(pack, config)
    }


def _baseline(pack: Path, config: Mapping[str, Any]) -> Figures:
    ic, spaced = read_daily_ic(pack / "baseline_ic.csv", int(config["portfolio"]["horizon_days"]))
    yield "s1.ic_mean [-]", ic.mean()
    yield "s1.ic_t [-]", student_t_of_mean(spaced).t_stat


def _walk_forward(pack: Path, config: Mapping[str, Any]) -> Figures:
    series = read_out_of_sample(pack / "returns.csv", pack / "windows.csv", config)
    yield "s2.wf_ic_mean [-]", series.ic.mean()
    yield "s2.wf_positive_ratio [-]", (series.window_ic > 0).mean()
    yield "s3.cost_gate_x1_5_positive.net_ic [-]", series.net_ic(1.5).mean()
    yield "s3.cost_gate_x2_0_positive.net_ic [-]", series.net_ic(2.0).mean()
    yield "s3.cost_gate_x1_5_positive.net_sharpe [-]", _annual_sharpe(series, 1.5)
    yield "s3.cost_gate_x2_0_positive.net_sharpe [-]", _annual_sharpe(series, 2.0)
    for multiplier in series.multipliers:
        yield f"s3.net_sharpe.level [x{multiplier:g}]", _annual_sharpe(series, multiplier)
        yield f"s3.net_sharpe.windows [x{multiplier:g}]", (series.window_net_returns(multiplier) > 0).mean()
    yield from _by_shard(series)


def _by_shard(series: OutOfSample) -> Figures:
    for shard in dict.fromkeys(window.shard_id for window in series.windows):
        part = series.shard(shard)
        yield f"s3.cost_drag_bps [{shard}]", 1e4 * (part.net_returns(1.0) - part.net_returns(2.0)).mean()
        for multiplier in series.multipliers:
            t_stat = newey_west_tstat_of_mean(part.net_returns(multiplier))
            yield f"s2.shard_net_t [{shard} x{multiplier:g}]", t_stat
            yield f"s3.shard_net_t [{shard} x{multiplier:g}]", t_stat


def _stressed(pack: Path, config: Mapping[str, Any]) -> Figures:
    series = read_out_of_sample(pack / "stressed_returns.csv", pack / "stressed_windows.csv", config)
    yield "s3.wf_gate_positive_mean [-]", series.net_ic(1.5).mean()
    yield "s3.wf_gate_pos_ratio [-]", (series.window_net_ic(1.5) > 0).mean()


def _annual_sharpe(series: OutOfSample, multiplier: float) -> float:
    return sharpe_ratio(series.judged_returns(multiplier), periods_per_year=TRADING_DAYS_PER_YEAR)


SOURCES: Final[dict[str, Callable[[Path, Mapping[str, Any]], Figures]]] = {
    "baseline_ic.csv": _baseline,
    "returns.csv": _walk_forward,
    "stressed_returns.csv": _stressed,
}
"""File of a pack -> the figures that follow from it."""


def contradictions(verdict: Verdict, derived: Mapping[str, float]) -> tuple[str, ...]:
    """Where the evidence of passed hard cells is not what the stored returns give."""
    found = []
    for result in verdict.cells:
        for entry in result.evidence:
            name = f"{entry.threshold.id} [{result.cell.id}]"
            if name in derived and not _same(entry.value, derived[name]):
                found.append(f"{name}: the evidence says {entry.value!r}, the stored returns give {derived[name]!r}")
    return tuple(found)


def _same(value: float | None, derived: float) -> bool:
    return value == derived or (value is None and not math.isfinite(derived))
