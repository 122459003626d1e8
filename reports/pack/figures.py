"""The figures of a report as the report json holds them: numbers at most weekly, each figure with a caption that its own numbers speak.

Every page, table and drawing is made from these and from nothing else. Six significant digits; what was not measured is null.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engines.costs import TRADING_DAYS_PER_YEAR
from engines.figures import (
    cost_curve,
    measure_growth,
    shard_names,
    shard_t_grid,
    universe_size,
    window_exposures,
    window_ics,
)
from engines.statistics import expected_max_sharpe, null_trial_std, sharpe_ratio
from engines.walk_forward import OutOfSample
from reports.criteria.trials import FamilyTrials, family_trials
from reports.pack import captions
from reports.pack.artifacts import StageInputs

Figure = dict[str, Any]
MAX_TRIALS: Final = 200
MAX_EXAMPLES: Final = 5


def stage_figures(stage: str, inputs: StageInputs) -> dict[str, Figure]:
    """Every figure of a stage's report by name; the same freeze gives the same numbers. A stage that measures no series has none."""
    return {name: build(stage, inputs) for name, build in BUILDERS.items() if stage in STAGES_OF[name]}


def _growth(stage: str, inputs: StageInputs) -> Figure:
    study = inputs.study
    series = study.walk_forward
    grown = measure_growth(series)
    held_back = study.full.dates[study.sealed.n_dates :]
    sealed = None if stage == "s4" or held_back.size == 0 else {"first": str(held_back[0]), "last": str(held_back[-1])}
    figure = {
        "dates": grown.dates.astype(str).tolist(),
        "gross": _numbers(grown.gross),
        "market": _numbers(grown.market),
        "net": _by_multiplier(series, grown.net),
        "drawdown": _by_multiplier(series, grown.drawdown),
        "net_sharpe": {_name(m): _number(value) for m, value in zip(series.multipliers, grown.sharpe, strict=True)},
        "deepest": {
            _name(m): {**asdict(found), "depth": _number(found.depth)}
            for m, found in zip(series.multipliers, grown.deepest, strict=True)
        },
        "first": str(series.dates[0]),
        "last": str(series.dates[-1]),
        "days": series.n_days,
        "sealed_holdout": sealed,
    }
    return {"caption": captions.growth(figure), **figure}


def _holdout(_stage: str, inputs: StageInputs) -> Figure:
    series = inputs.study.holdout
    grown = measure_growth(series)
    figure = {
        "dates": grown.dates.astype(str).tolist(),
        "gross": _numbers(grown.gross),
        "net": _by_multiplier(series, grown.net),
        "drawdown": _by_multiplier(series, grown.drawdown),
        "net_sharpe": {_name(m): _number(value) for m, value in zip(series.multipliers, grown.sharpe, strict=True)},
        "first": str(series.dates[0]),
        "last": str(series.dates[-1]),
        "days": series.n_days,
        "variant": series.chosen[0],
    }
    return {"caption": captions.holdout(figure), **figure}


def _windows(_stage: str, inputs: StageInputs) -> Figure:
    found = window_ics(inputs.study.walk_forward, inputs.freeze.seed)
    rows = [{name: _number(value) for name, value in asdict(each).items()} for each in found]
    return {"caption": captions.windows(rows), "confidence": 0.95, "windows": rows}


def _cost_heat(stage: str, inputs: StageInputs) -> Figure:
    series = inputs.study.walk_forward
    floors = [
        each.bound
        for cell in inputs.freeze.expected(stage)
        if cell.gate.endswith("shard_net_t")
        for each in cell.thresholds
    ]
    figure = {
        "shards": list(shard_names(series)),
        "multipliers": list(series.multipliers),
        "net_t": [_numbers(row) for row in shard_t_grid(series)],
        "bound": min(floors, default=None),
    }
    return {"caption": captions.cost_heat(figure), **figure}


def _cost_curve(_stage: str, inputs: StageInputs) -> Figure:
    curve = cost_curve(inputs.study.walk_forward)
    figure = {
        "multipliers": _numbers(curve.multipliers),
        "net_return_per_year": _numbers(curve.annual_return),
        "net_sharpe": _numbers(curve.sharpe),
        "break_even_multiplier": _number(curve.break_even),
    }
    return {"caption": captions.cost_curve(figure), **figure}


def _exposure(stage: str, inputs: StageInputs) -> Figure:
    study = inputs.study
    risk = study.risk
    bounds = [
        each.bound
        for cell in inputs.freeze.expected(stage)
        if cell.gate.endswith("beta_abs")
        for each in cell.thresholds
    ]
    figure = {
        "beta": _number(risk.beta),
        "bound": min(bounds, default=None),
        "size_correlation": _number(risk.size_correlation),
        "industry_coverage": _number(risk.industry_coverage),
        "turnover_overlap": _number(risk.turnover_overlap),
        "max_drawdown": _number(risk.max_drawdown),
        "windows": [
            {name: _number(value) for name, value in asdict(each).items()}
            for each in window_exposures(study.walk_forward)
        ],
    }
    return {"caption": captions.exposure(figure), **figure}


def _universe(stage: str, inputs: StageInputs) -> Figure:
    study = inputs.study
    size = universe_size(study.universe, study.sealed.dates, study.first_rebalance)
    stressed = (
        universe_size(study.stressed_universe, study.sealed.dates, study.first_rebalance) if stage == "s3" else None
    )
    figure = {
        "dates": size.dates.astype(str).tolist(),
        "names": size.names.tolist(),
        "rejected": {rule: counts.tolist() for rule, counts in size.rejected.items()},
        "stressed_names": None if stressed is None else stressed.names.tolist(),
        "stressed_rejected": None
        if stressed is None
        else {rule: counts.tolist() for rule, counts in stressed.rejected.items()},
    }
    return {"caption": captions.universe(figure), **figure}


def _trials(_stage: str, inputs: StageInputs) -> Figure:
    series = inputs.study.walk_forward
    family = family_trials(inputs.workspace, inputs.freeze, inputs.study)
    annual = math.sqrt(TRADING_DAYS_PER_YEAR)
    spread = null_trial_std(family.other_sharpes, int(np.isfinite(series.judged_returns(1.0)).sum()))
    figure = {
        "n_trials": family.n_trials,
        "tags": list(family.tags),
        "registry_seq": family.registry_seq,
        "own_net_sharpe": _number(sharpe_ratio(series.judged_returns(1.0), periods_per_year=TRADING_DAYS_PER_YEAR)),
        "best_of_worthless_sharpe": _number(annual * expected_max_sharpe(family.n_trials, spread)),
        "trials": _trial_rows(family, annual),
    }
    return {"caption": captions.trials(figure), **figure}


def _trial_rows(family: FamilyTrials, annual: float) -> list[Figure]:
    """The candidate's own variants first, then the latest of the family, at most 200 in all."""
    kept = [*family.own, *reversed(family.earlier)][:MAX_TRIALS]
    return [
        {
            "tag": trial.tag,
            "variant": trial.variant,
            "own": trial in family.own,
            "p_value": _number(trial.p_value),
            "net_sharpe": None if trial.daily_sharpe is None else _number(annual * trial.daily_sharpe),
        }
        for trial in kept
    ]


def _data_quality(_stage: str, inputs: StageInputs) -> Figure:
    quality = inputs.study.quality
    counts = {
        "rows that repeat another": quality.duplicate_exact,
        "rows with a known key and other values": quality.duplicate_conflicting,
        "cells that hold nothing": sum(quality.missing.values()),
        "cells that cannot be read": sum(quality.unparseable.values()),
        "infinite numbers": sum(quality.infinite.values()),
        "prices not above zero, volumes below it": sum(quality.non_positive.values()),
        "rows with another number of cells than the header": quality.ragged,
        "rows after as_of": quality.after_as_of,
        "rows out of order": quality.out_of_order,
        "bars whose open or close lies outside low to high": quality.bars.violations,
        "days without a close inside a name's life": quality.lives.interior_gaps,
        "closes that moved by more than half": quality.extreme_returns,
        "of these, like a split": len(quality.split_like),
        "names that copy another's closes": len(quality.identical_series),
        "days without volume": quality.zero_volume,
    }
    figure = {
        "rows": quality.n_rows,
        "symbols": quality.n_symbols,
        "dates": quality.n_dates,
        "first": str(quality.first_date),
        "last": str(quality.last_date),
        "as_of": str(quality.as_of),
        "missing_member_ratio": _number(quality.missing_member_ratio),
        "findings": [{"finding": name, "count": count} for name, count in counts.items()],
        "examples": [
            {"finding": name, **asdict(each)}
            for name, places in quality.examples.items()
            for each in places[:MAX_EXAMPLES]
        ],
    }
    return {"caption": captions.data_quality(figure), **figure}


BUILDERS: Final[dict[str, Callable[[str, StageInputs], Figure]]] = {
    "growth": _growth,
    "holdout": _holdout,
    "windows": _windows,
    "cost_heat": _cost_heat,
    "cost_curve": _cost_curve,
    "exposure": _exposure,
    "universe": _universe,
    "trials": _trials,
    "data_quality": _data_quality,
}
"""Name of a figure -> what measures it."""

STAGES_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "growth": ("s2", "s3", "s4"),
    "holdout": ("s4",),
    "windows": ("s2", "s3"),
    "cost_heat": ("s2", "s3"),
    "cost_curve": ("s2", "s3"),
    "exposure": ("s2", "s3"),
    "universe": ("s2", "s3"),
    "trials": ("s3", "s4"),
    "data_quality": ("s1", "s3"),
}
"""Name of a figure -> the stages whose report shows it."""


def _name(multiplier: float) -> str:
    return f"{multiplier:g}"


def _by_multiplier(series: OutOfSample, rows: Iterable[NDArray[np.float64]]) -> dict[str, list[float | None]]:
    return {_name(multiplier): _numbers(row) for multiplier, row in zip(series.multipliers, rows, strict=True)}


def _numbers(values: NDArray[np.float64] | Sequence[float]) -> list[float | None]:
    return [_number(float(value)) for value in values]


def _number(value: Any) -> Any:
    """Six significant digits; null for a float that is not finite; anything else as it is."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None
