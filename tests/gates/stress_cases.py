"""S2: windows that touch, an edge that is one window's, one regime's or one parameter's, a stress that moves nothing, a book that is something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.segments import Segment, Segments
from engines.stress import Perturbation
from engines.study import Study
from engines.walk_forward import OutOfSample
from tests.gates import signal_files
from tests.gates.case import Case, these
from tests.gates.harness import planted

Days = NDArray[np.bool_]


def with_gap(study: Study, gap_days: int) -> Study:
    """Training windows of the walk-forward that end only `gap_days` before their test windows."""
    part = study.walk_forward
    windows = tuple(replace(w, train=(w.train[0], w.test[0] - gap_days)) for w in part.windows)
    return planted(study, walk_forward=replace(part, windows=windows))


def with_window_ic(study: Study, n_windows: int, level: float) -> Study:
    """The first `n_windows` test windows with the same daily IC throughout."""
    part = study.walk_forward
    inside = (part.window_of_day < n_windows) & np.isfinite(part.daily_ic)
    return planted(study, walk_forward=replace(part, daily_ic=np.where(inside, level, part.daily_ic)))


def losing(part: OutOfSample, days: Days, *, multiplier: float = 1.0, loss_bps: float = 3.0) -> OutOfSample:
    """Out-of-sample days that lose `loss_bps` after costs at `multiplier`, by one basis point more and less in turn."""
    swing = np.where(np.arange(part.n_days) % 2, 1e-4, -1e-4)
    return replace(part, gross=np.where(days, multiplier * part.cost - 1e-4 * loss_bps + swing, part.gross))


def in_last_shard(part: OutOfSample) -> Days:
    """The days of the last shard."""
    days: Days = np.isin(part.rows, part.shard(part.windows[-1].shard_id).rows)
    return days


def with_segments(*segments: tuple[float, float]) -> Callable[[Study], Study]:
    """Segments of these (mean IC, t)."""
    made = tuple(Segment(f"regime {number}", mean, t, 100, 20) for number, (mean, t) in enumerate(segments))
    return lambda study: planted(study, segments=Segments(made))


def with_shard_stress(**figures: float) -> Callable[[Study], Study]:
    """Stressors that moved this in every shard."""
    return lambda study: planted(study, shard_stress=lambda shard: replace(study.shard_stress(shard), **figures))


def with_risk(part: str = "risk", **figures: float) -> Callable[[Study], Study]:
    """Risk figures planted in `risk` or `stressed_risk`."""
    return lambda study: planted(study, **{part: replace(getattr(study, part), **figures)})


def with_neighbours(*sharpes: float) -> Callable[[Study], Study]:
    """Neighbouring parameters with these annual net Sharpe ratios; the declared ones have 2."""
    labels = tuple(f"neighbour {number}" for number in range(len(sharpes)))
    return lambda study: planted(study, perturbation=Perturbation(2.0, labels, np.array(sharpes)))


def with_variant_returns(mean: float, *, rotating: bool = False) -> Callable[[Study], Study]:
    """Twelve variants of noise around `mean` a day; rotating: each earns in its own stretch of time what it loses in all others."""

    def returns(n_days: int) -> NDArray[np.float64]:
        noise = np.random.default_rng(5).normal(mean, 0.01, (n_days, 12))
        noise += mean - noise.mean(axis=0)
        if rotating:
            own = np.arange(n_days)[:, None] * 12 // n_days == np.arange(12)
            noise = mean + 1e-4 * noise + np.where(own, 0.011, -0.001)
        return noise

    return lambda study: planted(study, variant_returns=lambda: returns(study.variant_returns().shape[0]))


def risk_case(name: str, threshold: str, *, level: str = "hard", **figures: float) -> Case:
    """One risk figure out of bounds."""
    broken = these(threshold)
    if level == "diagnostic":
        return Case(name=name, stage="s2", shows=broken, verdict="PASS", study=with_risk(**figures))
    return Case(name=name, stage="s2", fails=broken, study=with_risk(**figures))


def bent_case(fault: str, *fails: str, shows: frozenset[str] = frozenset()) -> Case:
    """The honest momentum with a fault of signal_files."""
    return Case(
        name=fault,
        stage="s2",
        fails=these(*fails),
        shows=shows,
        changes=signal_files.CHANGES,
        files=signal_files.bent(fault),
    )


NO_COSTS: Final = {
    "half_spread_bps = 2.0": "half_spread_bps = 0.0",
    "fee_bps = 0.5": "fee_bps = 0.0",
    "impact_coefficient = 0.5": "impact_coefficient = 0.0",
    "borrow_bps_per_year = 50.0": "borrow_bps_per_year = 0.0",
}

CASES: Final = (
    Case(
        name="training labels reach into the test",
        stage="s2",
        fails=these("s2.purge.overlap"),
        study=lambda study: with_gap(study, 5),
    ),
    Case(
        name="training ends the day before the test",
        stage="s2",
        fails=these("s2.purge.overlap", "s2.purge.embargo"),
        study=lambda study: with_gap(study, 0),
    ),
    Case(
        name="two terrible windows among good ones",
        stage="s2",
        fails=these("s2.wf_ic_mean"),
        study=lambda study: with_window_ic(study, 2, -0.9),
    ),
    Case(
        name="a third of the windows just below zero",
        stage="s2",
        fails=these("s2.wf_positive_ratio"),
        study=lambda study: with_window_ic(study, 3, -0.001),
    ),
    Case(
        name="a shard that loses",
        stage="s2",
        fails=these("s2.shard_net_t"),
        mentions={"s2.shard_net_t": "[wf-3 x1]"},
        study=lambda study: planted(study, walk_forward=losing(study.walk_forward, in_last_shard(study.walk_forward))),
    ),
    Case(
        name="a shard that loses at twice the costs",
        stage="s2",
        fails=these("s2.shard_net_t"),
        mentions={"s2.shard_net_t": "[wf-3 x2]"},
        study=lambda study: planted(
            study,
            walk_forward=losing(study.walk_forward, in_last_shard(study.walk_forward), multiplier=2.0, loss_bps=0.3),
        ),
    ),
    Case(
        name="an edge in two regimes of four",
        stage="s2",
        fails=these("s2.segments.positive"),
        study=with_segments((0.05, 4.0), (0.05, 4.0), (-0.001, -0.1), (-0.001, -0.1)),
    ),
    Case(
        name="one regime against the edge",
        stage="s2",
        fails=these("s2.segments.worst_t"),
        mentions={"s2.segments": "regime 3"},
        study=with_segments((0.05, 4.0), (0.05, 4.0), (0.05, 4.0), (-0.05, -2.5)),
    ),
    Case(
        name="costs that cost nothing",
        stage="s2",
        fails=these("s2.stress_bites.cost"),
        changes=NO_COSTS,
    ),
    Case(
        name="a stricter universe that rejects nobody",
        stage="s2",
        fails=these("s2.stress_bites.universe"),
        study=with_shard_stress(rejected_name_days=0),
    ),
    Case(
        name="a delay that changes no fill",
        stage="s2",
        fails=these("s2.stress_bites.delay"),
        study=with_shard_stress(changed_fill_ratio=0.0),
    ),
    risk_case("a market bet", "s2.risk.beta_abs", beta=-0.6),
    risk_case("a book that is thrown over", "s2.risk.turnover_overlap", turnover_overlap=0.1),
    risk_case("a size bet", "s2.risk.size_corr_abs", size_correlation=-0.5),
    risk_case("a sector bet", "s2.risk.industry_coverage", industry_coverage=0.4),
    risk_case("a loss out of proportion", "s2.risk.max_drawdown", drawdown_in_volatilities=3.0),
    risk_case("a loss that nobody bears", "s2.risk.drawdown_level", level="diagnostic", max_drawdown=0.4),
    risk_case("a tail", "s2.risk.cvar99", cvar99_ratio=3.0),
    risk_case("a handful of names", "s2.risk.weight_hhi", hhi_times_names=4.0),
    risk_case("a risk that is not a number", "s2.risk.beta_abs", beta=float("nan")),
    bent_case("six sectors of ten", "s2.risk.industry_coverage"),
    bent_case("small firms", "s2.risk.size_corr_abs"),
    bent_case("only these parameters", "s2.perturbation.median", "s2.perturbation.minimum"),
    Case(
        name="a spike among its neighbours",
        stage="s2",
        fails=these("s2.perturbation.median"),
        study=with_neighbours(0.5, 0.6, 1.9, 0.4),
    ),
    Case(
        name="one neighbour that loses",
        stage="s2",
        fails=these("s2.perturbation.minimum"),
        study=with_neighbours(-0.1, 1.9, 2.0, 2.1),
    ),
    Case(
        name="the best of noise",
        stage="s2",
        fails=these("s2.oos_loss_probability"),
        shows=these("s2.pbo"),
        study=with_variant_returns(0.0),
    ),
    Case(
        name="a best that is always last year's",
        stage="s2",
        shows=these("s2.pbo"),
        verdict="PASS",
        study=with_variant_returns(0.01, rotating=True),
    ),
    bent_case(
        "turned round",
        "s2.wf_ic_mean",
        "s2.wf_positive_ratio",
        "s2.shard_net_t",
        "s2.segments.positive",
        "s2.segments.worst_t",
        "s2.risk.max_drawdown",
        "s2.perturbation.median",
        "s2.perturbation.minimum",
        shows=these("s2.risk.drawdown_level"),
    ),
    Case(
        name="a cell is deselected",
        stage="s2",
        fails=these("s2.no_skips"),
        verdict="INCOMPLETE",
        mentions={"s2.no_skips": "not collected: gates/s2/test_risk.py::test_beta_is_small"},
        arguments=("--deselect", "gates/s2/test_risk.py::test_beta_is_small"),
    ),
)
