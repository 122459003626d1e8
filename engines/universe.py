"""Which names could be traded on each date, judged by what was known at that close, and who was rejected by which rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.errors import DataError
from engines.liquidity import trailing_median_dollar_volume

if TYPE_CHECKING:
    from engines.candidate import UniverseSpec
    from engines.panel import Panel

RULES = ("price", "dollar_volume", "market_cap", "history", "membership")


@dataclass(frozen=True, slots=True)
class Universe:
    """The point-in-time universe and its audit."""

    mask: NDArray[np.bool_]  # (T, N) passes every active rule
    broken: NDArray[np.uint8]  # (T, N) bit k set: rejected by active[k]
    active: tuple[str, ...]  # the rules in force, in the order of RULES

    @property
    def rejected(self) -> dict[str, NDArray[np.int64]]:
        """How many names does each active rule reject on each date? (T,) each; a name that breaks two rules counts under both."""
        return {rule: self.rejected_by(rule).sum(axis=1) for rule in self.active}

    def rejected_by(self, rule: str) -> NDArray[np.bool_]:
        """Which names does this rule reject? (T, N); nobody when the rule is not active."""
        if rule not in self.active:
            return np.zeros(self.mask.shape, dtype=bool)
        rejected: NDArray[np.bool_] = (self.broken & np.uint8(1 << self.active.index(rule))) != 0
        return rejected


def build_universe(panel: Panel, spec: UniverseSpec) -> Universe:
    """Who may be held as of each close? One rule per filter of [universe], and membership where a membership table is declared.

    - price: close >= min_price;
    - dollar_volume: median of up to the last 20 rows of close x volume >= min_dollar_volume;
    - market_cap: last known market cap >= min_market_cap;
    - history: rows with a close so far, this one included, >= min_history_days;
    - membership: in the last membership snapshot on or before the date.

    A filter that is 0 excludes nobody, even a name without a price that day; an active one excludes a name whose input is NaN.
    Raises DataError when min_market_cap is positive and no market cap is declared.
    """
    passed = _passed_rules(panel, spec)
    broken = np.zeros(panel.close.shape, dtype=np.uint8)
    for bit, ok in enumerate(passed.values()):
        broken |= np.where(ok, np.uint8(0), np.uint8(1 << bit))
    return Universe(mask=broken == 0, broken=broken, active=tuple(passed))


def stricter(spec: UniverseSpec, **minimums: float) -> UniverseSpec:
    """The same universe with each named filter at least as high as given: max(own, minimum)."""
    return spec.model_copy(update={name: max(getattr(spec, name), least) for name, least in minimums.items()})


def _passed_rules(panel: Panel, spec: UniverseSpec) -> dict[str, NDArray[np.bool_]]:
    """Who passes each active rule; comparisons with NaN are False, so an unknown input does not pass."""
    passed: dict[str, NDArray[np.bool_]] = {}
    if spec.min_price > 0:
        passed["price"] = panel.close >= spec.min_price
    if spec.min_dollar_volume > 0:
        passed["dollar_volume"] = trailing_median_dollar_volume(panel) >= spec.min_dollar_volume
    if spec.min_market_cap > 0:
        if panel.market_cap is None:
            raise DataError(
                f"universe.min_market_cap is {spec.min_market_cap:g}, but the candidate declares no market caps",
                where="universe.min_market_cap",
                remedy="declare data.reference.market_cap, or leave the filter out",
            )
        passed["market_cap"] = panel.market_cap >= spec.min_market_cap
    if spec.min_history_days > 0:
        passed["history"] = np.cumsum(np.isfinite(panel.close), axis=0) >= spec.min_history_days
    if panel.member is not None:
        passed["membership"] = panel.member
    return passed
