"""The files that each stage must leave, besides the report and the audit pack: name in the pack -> bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from engines.attribution import Contributions
from engines.costs import TRADING_DAYS_PER_YEAR
from engines.risk import Risk
from engines.segments import Segments
from engines.statistics import newey_west_tstat_of_mean, sharpe_ratio
from engines.study import Study
from engines.universe import Universe
from engines.walk_forward import OutOfSample
from reports.criteria.freeze import Freeze
from reports.criteria.looks import KIND_OF_STAGE, looks, looks_json
from reports.criteria.trials import family_json, family_trials, own_trials, trials_json
from reports.pack.stored_returns import csv_bytes, daily_ic_csv, returns_csv, windows_csv
from reports.record.durable import dump_json, read_regular
from reports.record.registry import Registry
from reports.record.workspace import Workspace

Files = dict[str, bytes]
CONTRIBUTIONS_HEAD: Final = ("shard", "symbol", "gross", "cost", "turnover")


@dataclass(frozen=True, slots=True)
class StageInputs:
    """What the files of a stage are made from."""

    workspace: Workspace
    freeze: Freeze
    study: Study


def stage_artifacts(stage: str, inputs: StageInputs) -> Files:
    """Every file of a stage, derived from the study and the record; the same freeze gives the same bytes."""
    return WRITERS[stage](inputs)


def _scope_freeze(inputs: StageInputs) -> Files:
    record = inputs.freeze.record
    config = record["candidate"]["config"]
    note = {
        "schema": 1,
        "decision_tag": record["decision_tag"],
        "owner": record["owner"],
        "date": record["created_utc"],
        "research_question": config["hypothesis"],
        "universe_constraints": config["universe_constraints"],
        "protocol_version": config["protocol_version"],
        "family": config["family"],
        "preregistered": config["preregistered"],
        "supersedes": record["history"]["supersedes"],
        "root_cause": record["history"]["root_cause"],
        "differs_in": record["history"]["differs_in"],
    }
    declaration = {"schema": 1, "data": record["data"], "inputs": record["inputs"], "declared": config["data"]}
    return {
        "decision_note.json": dump_json(note),
        "data_contract.json": dump_json(declaration),
        "windows.csv": _planned_windows(inputs.study),
    }


def _planned_windows(study: Study) -> bytes:
    dates = study.sealed.dates
    rows = [
        (
            window.number,
            window.shard_id,
            *(str(dates[row]) for row in (window.train[0], window.train[1] - 1, window.test[0], window.test[1] - 1)),
        )
        for window in study.windows
    ]
    return csv_bytes(("window", "shard", "train_first", "train_last", "test_first", "test_last"), rows)


def _baseline_validation(inputs: StageInputs) -> Files:
    study = inputs.study
    baseline = study.baseline
    metrics = {
        "schema": 1,
        "ic_mean": _number(baseline.ic.mean()) if baseline.ic.size else None,
        "ic_dates": baseline.ic.size,
        "ic_non_overlapping": baseline.spaced_ic.size,
        "coverage_ratio": _number(baseline.coverage_ratio),
        "fewest_names": baseline.fewest_names,
        "rebalances": baseline.n_rebalances,
        "costs": inputs.freeze.record["candidate"]["config"]["costs"],
    }
    return {
        "data_quality_report.json": dump_json({"schema": 1, **study.quality.to_json()}),
        "data_quality_report.md": study.quality.to_markdown().encode(),
        "baseline_metrics.json": dump_json(metrics),
        "baseline_ic.csv": daily_ic_csv(baseline.daily_ic, study.sealed.dates),
        "trials.json": trials_json(own_trials(inputs.freeze.tag, study)),
    }


def _stress_robustness(inputs: StageInputs) -> Files:
    study = inputs.study
    return {
        "window_looks.json": _looks(inputs, "s2"),
        **_series("", study.walk_forward, study),
        "contributions.csv": contributions_csv(study.contributions),
        "segments.csv": segments_csv(study.segments),
        "risk.json": dump_json(risk_json(study.risk)),
        "universe_audit.csv": universe_csv(study.universe, study),
    }


def _production_gates(inputs: StageInputs) -> Files:
    study = inputs.study
    return {
        "window_looks.json": _looks(inputs, "s3"),
        "family_trials.json": family_json(family_trials(inputs.workspace, inputs.freeze, study)),
        **_series("", study.walk_forward, study),
        **_series("stressed_", study.stressed_walk_forward, study),
        "contributions.csv": contributions_csv(study.contributions),
        "cost_stress_results.csv": cost_stress_csv(study.walk_forward),
        "stressed_risk.json": dump_json(risk_json(study.stressed_risk)),
        "stressed_universe_audit.csv": universe_csv(study.stressed_universe, study),
    }


def _deployment_readiness(inputs: StageInputs) -> Files:
    folder = inputs.workspace.packet_dir(inputs.freeze.tag)
    signatures = sorted((folder / "signatures").glob("*"))
    chosen = [folder / name for name in ("deployment_notes.md", "watchlist.toml", "rollback_triggers.toml")]
    found = [
        path
        for path in (*chosen, *signatures, inputs.workspace.allowed_signers, inputs.workspace.revoked_keys)
        if path.is_file() and not path.is_symlink()
    ]
    return {"window_looks.json": _looks(inputs, "s4")} | {
        path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name: read_regular(path)
        for path in found
    }


def _looks(inputs: StageInputs, stage: str) -> bytes:
    rows = Registry(inputs.workspace.root).rows()
    return looks_json(looks(rows, inputs.freeze, KIND_OF_STAGE[stage], stage), inputs.study)


WRITERS: Final[dict[str, Callable[[StageInputs], Files]]] = {
    "s0": _scope_freeze,
    "s1": _baseline_validation,
    "s2": _stress_robustness,
    "s3": _production_gates,
    "s4": _deployment_readiness,
}


def _series(prefix: str, series: OutOfSample, study: Study) -> Files:
    return {
        f"{prefix}returns.csv": returns_csv(series),
        f"{prefix}windows.csv": windows_csv(series, study.sealed.dates),
    }


def contributions_csv(found: Contributions) -> bytes:
    """contributions.csv: what each name that was traded added to the out-of-sample returns of each shard, and what it cost."""
    rows = [
        (
            shard,
            str(found.symbols[name]),
            *(float(amounts[number, name]) for amounts in (found.gross, found.cost, found.turnover)),
        )
        for number, shard in enumerate(found.shards)
        for name in np.flatnonzero((found.gross[number] != 0.0) | (found.turnover[number] != 0.0)).tolist()
    ]
    return csv_bytes(CONTRIBUTIONS_HEAD, rows)


def segments_csv(segments: Segments) -> bytes:
    """segments.csv: the out-of-sample IC of each regime."""
    rows = [(part.name, part.n_days, part.n_spaced, part.mean_ic, part.t) for part in segments.segments]
    return csv_bytes(("segment", "days", "non_overlapping", "ic_mean", "ic_t"), rows)


def cost_stress_csv(series: OutOfSample) -> bytes:
    """cost_stress_results.csv: what each multiplier leaves, per shard and over all test windows."""
    rows = []
    for shard in (*dict.fromkeys(window.shard_id for window in series.windows), "all"):
        part = series if shard == "all" else series.shard(shard)
        for multiplier in series.multipliers:
            net = part.net_returns(multiplier)
            annual = sharpe_ratio(part.judged_returns(multiplier), periods_per_year=TRADING_DAYS_PER_YEAR)
            windows = float((part.window_net_returns(multiplier) > 0).mean())
            net_ic = part.net_ic(multiplier)
            figures = (
                float(1e4 * net.mean()),
                newey_west_tstat_of_mean(net),
                annual,
                windows,
                float(net_ic.mean()) if net_ic.size else float("nan"),
            )
            rows.append((shard, multiplier, part.n_days, *figures))
    head = (
        "shard",
        "cost_multiplier",
        "days",
        "mean_net_bps_per_day",
        "net_t",
        "net_sharpe_annual",
        "positive_windows",
        "net_ic_mean",
    )
    return csv_bytes(head, rows)


def universe_csv(universe: Universe, study: Study) -> bytes:
    """universe_audit.csv: names in the universe on each date, and names that each active rule rejected."""
    counts = [universe.mask.sum(axis=1), *(universe.rejected[rule] for rule in universe.active)]
    rows = list(zip(study.sealed.dates.astype(str).tolist(), *(column.tolist() for column in counts), strict=True))
    return csv_bytes(("date", "names", *(f"rejected_{rule}" for rule in universe.active)), rows)


def risk_json(risk: Risk) -> Mapping[str, Any]:
    """Risk figures as JSON: null where a figure cannot be measured, arrays left to the csv files."""
    return {
        "schema": 1,
        **{name: _number(value) for name, value in asdict(risk).items() if not isinstance(value, np.ndarray)},
    }


def _number(value: Any) -> Any:
    """A built-in number, or a list of them; None for one that is not finite."""
    if isinstance(value, tuple):
        return [_number(part) for part in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
