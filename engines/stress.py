"""Named scenarios, and whether each moved what it must: higher cost, a stricter universe, a longer delay, perturbed parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.candidate import Variant
from engines.universe import stricter
from engines.walk_forward import OutOfSample

if TYPE_CHECKING:
    from engines.backtest import Backtest
    from engines.candidate import Candidate, PortfolioSpec, UniverseSpec
    from engines.panel import Panel

STRESS_MINIMUMS: dict[str, float] = {"min_price": 5.0, "min_dollar_volume": 5e6, "min_market_cap": 2e9}
OWN_MINIMUM_FACTOR = 1.5
EXTRA_DELAY_DAYS = 1
PERTURBATION = 0.2


@dataclass(frozen=True, slots=True)
class ShardStress:
    """What each stressor moved in one shard. A stress that moves nothing proves nothing."""

    cost_drag_bps: float  # mean daily net return lost when costs double, basis points
    rejected_name_days: int  # members of the candidate's universe that the stricter one rejects, summed over days
    changed_fill_ratio: float  # share of fills that one more day of delay moves to another price, or loses
    n_days: int
    n_fills: int


@dataclass(frozen=True, slots=True)
class Perturbation:
    """Annual net Sharpe ratios of the declared parameters and of their neighbours."""

    chosen_sharpe: float
    labels: tuple[str, ...]
    sharpes: NDArray[np.float64]  # (n,); NaN where the neighbour is no valid signal

    @property
    def median_ratio(self) -> float:
        """Median Sharpe of the neighbourhood / the chosen one's; NaN unless the chosen one is positive and every neighbour is measured."""
        return (
            float(np.median(self.sharpes)) / self.chosen_sharpe
            if self.sharpes.size and self.chosen_sharpe > 0.0
            else math.nan
        )

    @property
    def minimum(self) -> float:
        """Lowest Sharpe of the neighbourhood; NaN when one is not measured or there is none."""
        return float(self.sharpes.min()) if self.sharpes.size else math.nan


def stress_universe(panel: Panel, spec: UniverseSpec) -> tuple[UniverseSpec, str]:
    """Which universe is the stricter one, and which of its filters had to be left out for want of an input?

    price >= 5, median dollar volume >= 5e6, market cap >= 2e9, or the candidate's own minimum where that is higher. A candidate that is as strict
    already has its own minimums raised by half: a stress that changes nothing proves nothing. Without market caps only their filter is left
    out. The note says which of these happened.
    """
    minimums = dict(STRESS_MINIMUMS)
    note = ""
    if panel.market_cap is None:
        del minimums["min_market_cap"]
        note = "no market caps declared: the stricter universe has no market cap filter"
    if stricter(spec, **minimums) == spec:
        minimums = {name: OWN_MINIMUM_FACTOR * getattr(spec, name) for name in minimums}
        own = "the candidate is as strict as the stress: its own minimums are raised by half"
        note = f"{note}; {own}" if note else own
    return stricter(spec, **minimums), note


def delayed(portfolio: PortfolioSpec) -> PortfolioSpec:
    """The same portfolio, executed one trading day later."""
    return portfolio.model_copy(update={"execution_delay_days": portfolio.execution_delay_days + EXTRA_DELAY_DAYS})


def perturbed_variants(declared: Variant) -> tuple[Variant, ...]:
    """The neighbours: each numeric parameter in turn 20 % lower and 20 % higher, the others as declared.

    Whole numbers stay whole and move by at least 1; a parameter that is 0, text or a boolean has no neighbour.
    """
    points = []
    for name, value in declared.parameters.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value == 0:
            continue
        moved = [_moved(value, factor) for factor in (1.0 - PERTURBATION, 1.0 + PERTURBATION)]
        points += [{**declared.parameters, name: neighbour} for neighbour in moved]
    return tuple(Variant(",".join(f"{name}={value}" for name, value in point.items()), point) for point in points)


def _moved(value: float, factor: float) -> float:
    if not isinstance(value, int):
        return value * factor
    moved = round(value * factor)
    return moved if moved != value else value + (1 if factor > 1.0 else -1)


def shard_stress(
    shard: OutOfSample,
    rejected_on: NDArray[np.int64],
    backtests: Mapping[str, Backtest],
    delayed_backtests: Mapping[str, Backtest],
    candidate: Candidate,
) -> ShardStress:
    """What did each stressor move on the test days of a shard?

    `rejected_on` counts, for each date of the panel, the names of the candidate's universe that the stricter one rejects; the backtests are by variant
    label, once as declared and once with one more day of delay.
    """
    delay_days = candidate.portfolio.execution_delay_days
    changed = [
        changed_fills(backtests[label], delayed_backtests[label], delay_days, window.test)
        for label, window in zip(shard.chosen, shard.windows, strict=True)
    ]
    fills = np.concatenate(changed) if changed else np.empty(0, dtype=bool)
    return ShardStress(
        cost_drag_bps=float(1e4 * (shard.net_returns(1.0) - shard.net_returns(2.0)).mean()),
        rejected_name_days=int(rejected_on[shard.rows].sum()),
        changed_fill_ratio=float(fills.mean()) if fills.size else math.nan,
        n_days=shard.n_days,
        n_fills=int(fills.size),
    )


def changed_fills(base: Backtest, late: Backtest, delay_days: int, span: tuple[int, int]) -> NDArray[np.bool_]:
    """Which fills of `base` on the rows of `span` does `late` make at another price, or not at all? (n,) bool.

    Fills are matched by signal date and name.
    """
    n_names = base.target_weights.shape[1]
    inside = (base.trade_row >= span[0]) & (base.trade_row < span[1])
    wanted = (base.trade_row[inside] - delay_days) * n_names + base.trade_name[inside]
    found = (late.trade_row - delay_days - EXTRA_DELAY_DAYS) * n_names + late.trade_name
    if found.size == 0:
        return np.ones(wanted.size, dtype=bool)
    place = np.minimum(np.searchsorted(found, wanted), found.size - 1)
    changed: NDArray[np.bool_] = (found[place] != wanted) | (late.trade_price[place] != base.trade_price[inside])
    return changed
