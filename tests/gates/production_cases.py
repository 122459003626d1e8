"""S3: an edge that costs eat, that is not there in the stricter universe, that luck explains, that no market carries, or whose record was touched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.study import Study
from engines.walk_forward import OutOfSample
from tests.gates import signal_files
from tests.gates.case import Case, these
from tests.gates.harness import Rehearsed, planted
from tests.gates.scope_cases import append_byte
from tests.gates.stress_cases import NO_COSTS, in_last_shard, losing, with_risk

Returns = NDArray[np.float64]
Planting = Callable[[OutOfSample], OutOfSample]


def on_walk_forward(change: Planting, part: str = "walk_forward") -> Callable[[Study], Study]:
    """A change of the out-of-sample series, or of those in the stricter universe."""
    return lambda study: planted(study, **{part: change(getattr(study, part))})


def net_ic_at(multiplier: float, level: float, n_windows: int = 1000) -> Planting:
    """Net ICs at one multiplier that are `level` throughout the first windows."""

    def change(part: OutOfSample) -> OutOfSample:
        row = part.multipliers.index(multiplier)
        ics = part.daily_net_ics.copy()
        ics[row, (part.window_of_day < n_windows) & np.isfinite(ics[row])] = level
        return replace(part, daily_net_ics=ics)

    return change


def costs_times(factor: float) -> Planting:
    """Costs that are `factor` times as high."""
    return lambda part: replace(
        part,
        spread_cost=factor * part.spread_cost,
        impact_cost=factor * part.impact_cost,
        borrow_cost=factor * part.borrow_cost,
    )


def noise(part: OutOfSample, volatility: float) -> Returns:
    """Seeded noise with a mean of zero in each window."""
    drawn = np.random.default_rng(9).normal(0.0, volatility, part.n_days)
    return drawn - part.window_means(drawn)[part.window_of_day]


def few_good_windows(part: OutOfSample) -> OutOfSample:
    """Four windows of nine a shade below zero at twice the costs, the others far above."""
    shade = 2.0 * part.cost - 5e-6 + noise(part, 1e-4)
    return replace(part, gross=np.where(part.window_of_day < 4, shade, part.gross + 0.005))


def noisy(part: OutOfSample, net_bps: float, volatility: float) -> OutOfSample:
    """A net return of `net_bps` a day in every window, in days of this volatility."""
    return replace(part, gross=part.cost + 1e-4 * net_bps + noise(part, volatility))


def spaced_ic(often: float, high: float, low: float, between: float) -> Planting:
    """Non-overlapping ICs of `high` on a share `often` of their dates and of `low` on the others; `between` on all other dates."""

    def change(part: OutOfSample) -> OutOfSample:
        daily = np.where(np.isfinite(part.daily_ic), between, np.nan)
        first = int(np.flatnonzero(np.isfinite(daily))[0])
        n_spaced = daily[first :: part.horizon_days].size
        drawn = np.random.default_rng(3).permutation(np.arange(n_spaced) < often * n_spaced)
        daily[first :: part.horizon_days] = np.where(drawn, high, low)
        return replace(part, daily_ic=np.where(np.isfinite(part.daily_ic), daily, np.nan))

    return change


def edit_pack(name: str) -> Callable[[Rehearsed], None]:
    """A file of the S2 pack, one byte longer than it was published."""

    def edit(rehearsed: Rehearsed) -> None:
        (path,) = rehearsed.workspace.gate_results.glob(f"stress_robustness_*/{name}")
        with path.open("ab") as file:
            file.write(b"\n")

    return edit


def edit_freeze_file(rehearsed: Rehearsed) -> None:
    with rehearsed.session.freeze_path.open("ab") as file:
        file.write(b"\n")


def edit_registry(rehearsed: Rehearsed) -> None:
    """S2's verdict in the registry, turned by hand."""
    path: Path = rehearsed.workspace.registry
    raw = path.read_bytes()
    assert raw.count(b"rehearsal-owner") > 1
    path.write_bytes(raw.replace(b"rehearsal-owner", b"another-owner--", 1))


COST_EATEN: Final = these(
    "s3.cost_gate_x2_0_positive.net_sharpe",
    "s3.net_sharpe.level",
    "s3.net_sharpe.windows",
    "s3.shard_net_t",
    "s3.deflated_sharpe",
)
TOO_SHORT: Final = ("s3.min_backtest_length.track_record", "s3.min_backtest_length.years")

CASES: Final = (
    Case(
        name="a net IC that one and a half times the costs turn",
        stage="s3",
        fails=these("s3.cost_gate_x1_5_positive.net_ic"),
        study=on_walk_forward(net_ic_at(1.5, -0.01)),
    ),
    Case(
        name="a net IC that twice the costs turn",
        stage="s3",
        fails=these("s3.cost_gate_x2_0_positive.net_ic"),
        study=on_walk_forward(net_ic_at(2.0, 0.0)),
    ),
    Case(
        name="a profit that twice the costs eat",
        stage="s3",
        fails=COST_EATEN,
        shows=these("s3.break_even_multiplier"),
        study=on_walk_forward(costs_times(5.5)),
    ),
    Case(
        name="a profit that one and a half times the costs eat",
        stage="s3",
        fails=COST_EATEN | these("s3.cost_gate_x1_5_positive.net_sharpe"),
        shows=these("s3.break_even_multiplier", *TOO_SHORT),
        study=on_walk_forward(costs_times(8.0)),
    ),
    Case(
        name="a shard that loses",
        stage="s3",
        fails=these("s3.shard_net_t", "s3.deflated_sharpe"),
        mentions={"s3.shard_net_t": "[wf-3 x1]"},
        study=on_walk_forward(lambda part: losing(part, in_last_shard(part))),
    ),
    Case(
        name="four windows of nine a shade below zero",
        stage="s3",
        fails=these("s3.net_sharpe.windows"),
        study=on_walk_forward(few_good_windows),
    ),
    Case(
        name="costs that cost nothing",
        stage="s3",
        fails=these("s3.cost_drag_bps"),
        shows=these("s3.break_even_multiplier"),
        changes=NO_COSTS,
    ),
    Case(
        name="no IC in the stricter universe",
        stage="s3",
        fails=these("s3.wf_gate_positive_mean"),
        study=on_walk_forward(net_ic_at(1.5, -0.9, n_windows=2), "stressed_walk_forward"),
    ),
    Case(
        name="windows of the stricter universe just below zero",
        stage="s3",
        fails=these("s3.wf_gate_pos_ratio"),
        study=on_walk_forward(net_ic_at(1.5, -0.001, n_windows=3), "stressed_walk_forward"),
    ),
    Case(
        name="a market bet in the stricter universe",
        stage="s3",
        fails=these("s3.risk_gate_beta_abs"),
        study=with_risk("stressed_risk", beta=0.6),
    ),
    Case(
        name="a book of the stricter universe that is thrown over",
        stage="s3",
        fails=these("s3.risk_gate_turnover_overlap"),
        study=with_risk("stressed_risk", turnover_overlap=0.1),
    ),
    Case(
        name="a size bet in the stricter universe",
        stage="s3",
        fails=these("s3.risk_gate_size_corr_abs"),
        study=with_risk("stressed_risk", size_correlation=0.5),
    ),
    Case(
        name="six sectors of ten",
        stage="s3",
        fails=these("s3.risk_gate_industry_coverage"),
        changes={**signal_files.CHANGES, "min_names = 50": "min_names = 40"},
        files=signal_files.bent("six sectors of ten"),
    ),
    Case(
        name="an IC that its family explains",
        stage="s3",
        fails=these("s3.stat_gate_factor_pass.q"),
        study=on_walk_forward(spaced_ic(0.65, 0.10, -0.17, 0.05)),
    ),
    Case(
        name="an IC that is rarely positive and then large",
        stage="s3",
        fails=these("s3.stat_gate_factor_pass.positive_ratio"),
        study=on_walk_forward(spaced_ic(0.4, 0.3, -0.01, 0.05)),
    ),
    Case(
        name="an IC between the dates that count",
        stage="s3",
        fails=these("s3.stat_gate_factor_pass.mean"),
        study=on_walk_forward(spaced_ic(0.9, 0.1, -0.01, -0.1)),
    ),
    Case(
        name="a Sharpe ratio that the family's trials explain",
        stage="s3",
        fails=these("s3.deflated_sharpe"),
        study=on_walk_forward(lambda part: noisy(part, 6.0, 0.005)),
    ),
    Case(
        name="a record that is too short",
        stage="s3",
        fails=these("s3.deflated_sharpe"),
        shows=these(*TOO_SHORT),
        study=on_walk_forward(lambda part: noisy(part, 8.0, 0.02)),
    ),
    Case(
        name="typical orders too large",
        stage="s3",
        fails=these("s3.participation.median"),
        study=with_risk(participation_median=0.06),
    ),
    Case(
        name="the largest orders too large",
        stage="s3",
        fails=these("s3.participation.p95"),
        study=with_risk(participation_p95=0.2),
    ),
    Case(
        name="no room to grow",
        stage="s3",
        fails=these("s3.capacity"),
        study=with_risk(capacity_ratio=1.5),
    ),
    Case(
        name="more capital than the market carries",
        stage="s3",
        fails=these("s3.participation.p95"),
        changes={"target_aum = 1e7": "target_aum = 2e7"},
    ),
    *(
        Case(
            name=f"{name} of the S2 pack was edited",
            stage="s3",
            fails=these("s3.governance"),
            mentions={"s3.governance": name},
            record=edit_pack(name),
        )
        for name in ("stress_robustness_report.json", "run.log", "MANIFEST")
    ),
    Case(
        name="the freeze was edited",
        stage="s3",
        fails=these("s3.governance"),
        mentions={"s3.governance": "the freeze is not the one s2 passed under"},
        record=edit_freeze_file,
    ),
    Case(
        name="the candidate file changed after s2",
        stage="s3",
        fails=these("s3.governance"),
        mentions={"s3.governance": "candidate file changed since the freeze"},
        record=append_byte("candidate.toml"),
    ),
    Case(
        name="a registry row was edited",
        stage="s3",
        fails=these("s3.governance"),
        unmeasured=these("s3.stat_gate_factor_pass", "s3.deflated_sharpe", "s3.min_backtest_length"),
        record=edit_registry,
    ),
)
