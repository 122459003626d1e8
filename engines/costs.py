"""One definition of cost: half-spread and fees, square-root impact, borrow. Every use of a cost in the project is one of these functions.

Costs are decimals of capital at multiplier 1. They are linear in the multiplier, so that one backtest serves every multiplier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from engines.candidate import CostSpec

TRADING_DAYS_PER_YEAR = 252
BPS = 1e-4


def spread_rate(costs: CostSpec) -> float:
    """What does one dollar traded one way pay in half-spread and fees? (half_spread_bps + fee_bps) / 1e4."""
    return (costs.half_spread_bps + costs.fee_bps) * BPS


def participation(
    weight_change: NDArray[np.float64], adv_usd: NDArray[np.float64], target_aum: float
) -> NDArray[np.float64]:
    """What share of a usual day's trading is each order? |dw| x target_aum / ADV, same shape; NaN without an ADV."""
    return np.abs(weight_change) * target_aum / adv_usd


def impact_rate(
    weight_change: NDArray[np.float64],
    daily_volatility: NDArray[np.float64],
    adv_usd: NDArray[np.float64],
    costs: CostSpec,
    target_aum: float,
) -> NDArray[np.float64]:
    """How far does each order move its own price? impact_coefficient x sigma x sqrt(|dw| x target_aum / ADV), (..., N) decimal.

    The last axis is the cross-section of a day. A trade whose name has no ADV or no volatility (NaN) pays the largest rate of that
    day's trades, or 0 when no trade of the day has one; a name that does not trade has rate 0.

    Reference: the square-root law; Almgren, Thum, Hauptmann and Li (2005), Risk 18(7), and Toth et al. (2011), Phys. Rev. X 1.
    """
    traded = weight_change != 0.0
    share = participation(weight_change, adv_usd, target_aum)
    rate = np.where(traded, costs.impact_coefficient * daily_volatility * np.sqrt(share), 0.0)
    unknown = ~np.isfinite(rate)
    if unknown.any():
        rate = np.where(unknown, 0.0, rate)
        rate = np.where(unknown, rate.max(axis=-1, keepdims=True), rate)
    return rate


def impact_unknown(
    weight_change: NDArray[np.float64], daily_volatility: NDArray[np.float64], adv_usd: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which trades had to borrow the day's largest impact because their name has no ADV or volatility? Same shape, bool."""
    known: NDArray[np.bool_] = np.isfinite(daily_volatility) & np.isfinite(adv_usd)
    unknown: NDArray[np.bool_] = (weight_change != 0.0) & ~known
    return unknown


def borrow_rate_per_day(costs: CostSpec) -> float:
    """What does one dollar short pay a day? borrow_bps_per_year / 1e4 / 252."""
    return costs.borrow_bps_per_year * BPS / TRADING_DAYS_PER_YEAR


def unassumed_costs(costs: CostSpec, short_fraction: float) -> tuple[str, ...]:
    """Which costs does nobody answer for? Names of the parameters that are not positive, and "source" when it is blank.

    Borrow is not asked of a long-only book (short_fraction 0).
    """
    asked = [
        "half_spread_bps",
        "fee_bps",
        "impact_coefficient",
        *(["borrow_bps_per_year"] if short_fraction > 0.0 else []),
    ]
    zero = [name for name in asked if not getattr(costs, name) > 0.0]
    return (*zero, *(() if costs.source.strip() else ("source",)))
