"""What trading costs: bid-ask spreads read off daily prices, market impact, and how concentrated a book is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engines.errors import StatisticsError
from engines.statistics.samples import FloatArray, observed

PERMANENT_IMPACT_COEFFICIENT = 0.314
TEMPORARY_IMPACT_COEFFICIENT = 0.142


@dataclass(frozen=True, slots=True)
class MarketImpact:
    """Cost of one order.

    `inverse_turnover` is shares outstanding over daily volume; the rest are basis points of the price.
    """

    inverse_turnover: float
    permanent_bps: float
    temporary_bps: float
    realised_bps: float


def corwin_schultz_spread(
    high: npt.ArrayLike, low: npt.ArrayLike, close: npt.ArrayLike, *, signed: bool = False
) -> float:
    """How wide is the bid-ask spread, judged by daily ranges against two-day ranges?

    For adjacent days, a = (sqrt(2 b) - sqrt(b))/(3 - 2 sqrt 2) - sqrt(g/(3 - 2 sqrt 2)), S = 2 (e^a - 1)/(1 +
    e^a), with b the sum of both squared log ranges and g the squared two-day log range, the second day
    shifted by its overnight gap. The estimate is the mean of S. Biased down by infrequent trading and by
    volatility between days; of no use at spreads below some 10 bps, where the mean of S is mostly noise.

    Args:
        high: shape (T,), prices > 0.
        low: shape (T,).
        close: shape (T,). A pair of days with any NaN is left out.
        signed: keep the sign of the mean of S; else its absolute value, as in the R package bidask.

    Returns:
        Proportional spread (0.01 = 1 %); NaN without one complete pair of days.

    Raises:
        StatisticsError: lengths that differ, or prices <= 0 or infinite.

    Reference: Corwin & Schultz (2012), Journal of Finance 67(2), 719-760.
    """
    top, bottom, last = np.log(_prices(high=high, low=low, close=close))
    gap = np.maximum(0.0, last[:-1] - top[1:]) + np.minimum(0.0, last[:-1] - bottom[1:])
    daily = (top[1:] - bottom[1:]) ** 2 + (top[:-1] - bottom[:-1]) ** 2
    two_day = (np.maximum(top[1:] + gap, top[:-1]) - np.minimum(bottom[1:] + gap, bottom[:-1])) ** 2
    scale = 3.0 - 2.0 * math.sqrt(2.0)
    exponent = (np.sqrt(2.0 * daily) - np.sqrt(daily)) / scale - np.sqrt(two_day / scale)
    spreads = observed(2.0 * np.tanh(exponent / 2.0), "spreads")
    if spreads.size == 0:
        return math.nan
    estimate = float(spreads.mean())
    return estimate if signed else abs(estimate)


def abdi_ranaldo_spread(
    high: npt.ArrayLike, low: npt.ArrayLike, close: npt.ArrayLike, *, signed: bool = False
) -> float:
    """How wide is the bid-ask spread, judged by how far closes stand from mid-ranges?

    s^2 = mean of 4 (c_t - m_t)(c_t - m_{t+1}), m the mid of log high and log low; s = sqrt|s^2|. Biased down
    by infrequent trading.

    Args:
        high: shape (T,), prices > 0.
        low: shape (T,).
        close: shape (T,). A pair of days with any NaN is left out.
        signed: give s the sign of s^2; else s >= 0, as in the R package bidask.

    Returns:
        Proportional spread (0.01 = 1 %); NaN without one complete pair of days.

    Raises:
        StatisticsError: lengths that differ, or prices <= 0 or infinite.

    Reference: Abdi & Ranaldo (2017), Review of Financial Studies 30(12), 4437-4480.
    """
    top, bottom, last = np.log(_prices(high=high, low=low, close=close))
    mid = (top + bottom) / 2.0
    products = observed(4.0 * (last[:-1] - mid[:-1]) * (last[:-1] - mid[1:]), "spreads")
    if products.size == 0:
        return math.nan
    square = float(products.mean())
    spread = math.sqrt(abs(square))
    return math.copysign(spread, square) if signed else spread


def edge_spread(
    open_: npt.ArrayLike, high: npt.ArrayLike, low: npt.ArrayLike, close: npt.ArrayLike, *, signed: bool = False
) -> float:
    """How wide is the bid-ask spread, judged by all four prices and allowing for days with few trades?

    EDGE, computed by bidask.edge. Its square can come out negative when the spread is small against
    volatility: look at the signed figure before believing a small one.

    Args:
        open_: shape (T,), prices > 0, with high, low and close aligned. NaN are handled by the estimator.
        high: shape (T,).
        low: shape (T,).
        close: shape (T,).
        signed: give the spread the sign of its square; else >= 0.

    Returns:
        Proportional spread (0.01 = 1 %); NaN for fewer than 3 days or no variation to judge by.

    Raises:
        StatisticsError: lengths that differ, or prices <= 0 or infinite.

    Reference: Ardia, Guidotti & Kroencke (2024), Journal of Financial Economics 161, 103916.
    """
    prices = _prices(open=open_, high=high, low=low, close=close)
    from bidask import edge

    return float(edge(*prices, sign=signed))


def market_impact_athl(
    order_shares: float, adv_shares: float, shares_outstanding: float, daily_volatility_bps: float, duration_days: float
) -> MarketImpact:
    """What does an order cost in permanent and temporary impact?

    permanent I = 0.314 sigma (X/V) (Theta/V)^(1/4); temporary = 0.142 sigma |X/(V T)|^(3/5); realised J = I/2
    + temporary, with sigma the daily volatility, X the order, V daily volume, Theta shares outstanding, T the
    duration. Fitted to US large caps of 2001-2003, orders below some 10 % of a day's volume.

    Args:
        order_shares: X, negative for a sale.
        adv_shares: V > 0, average daily volume.
        shares_outstanding: Theta > 0.
        daily_volatility_bps: sigma.
        duration_days: T > 0, in trading days.

    Returns:
        MarketImpact in basis points, with the sign of the order; NaN for NaN arguments.

    Raises:
        StatisticsError: a volume, share count or duration that is not positive, or a negative volatility.

    Reference: Almgren, Thum, Hauptmann & Li (2005), Direct Estimation of Equity Market Impact, Risk 18(7).
    """
    if adv_shares <= 0 or shares_outstanding <= 0 or duration_days <= 0 or daily_volatility_bps < 0:
        raise StatisticsError(
            f"impact is not defined for volume {adv_shares:g}, shares {shares_outstanding:g}, "
            f"duration {duration_days:g} days, volatility {daily_volatility_bps:g} bps",
            remedy="the first three must be positive, the volatility not negative",
        )
    inverse_turnover = shares_outstanding / adv_shares
    participation = order_shares / adv_shares
    permanent = PERMANENT_IMPACT_COEFFICIENT * daily_volatility_bps * participation * inverse_turnover**0.25
    rate = abs(participation / duration_days) ** 0.6
    temporary = math.copysign(TEMPORARY_IMPACT_COEFFICIENT * daily_volatility_bps * rate, order_shares)
    return MarketImpact(inverse_turnover, permanent, temporary, permanent / 2.0 + temporary)


def herfindahl_normalised(weights: npt.ArrayLike) -> float:
    """How concentrated is a book, from 0 (equal weights) to 1 (all in one name)?

    (sum w^2 - 1/n) / (1 - 1/n) with w scaled to sum 1; a zero weight counts in n.

    Args:
        weights: shape (n,), of one sign (take long and short sides apart). NaN are left out.

    Returns:
        Index in [0, 1]; NaN for n < 2 or weights that are all zero.

    Raises:
        StatisticsError: weights of both signs, infinite weights, or not one-dimensional.

    Reference: Lopez de Prado (2018), Advances in Financial Machine Learning, section 14.3.
    """
    book = observed(weights, "weights")
    if np.any(book > 0.0) and np.any(book < 0.0):
        raise StatisticsError("weights have both signs", remedy="measure the long and the short side apart")
    total = float(book.sum())
    if book.size < 2 or total == 0.0:
        return math.nan
    share = book / total
    return float((share @ share - 1.0 / book.size) / (1.0 - 1.0 / book.size))


def _prices(**columns: npt.ArrayLike) -> FloatArray:
    """Price series as rows of one matrix, NaN kept; refused where a value could not have been a price."""
    series = {name: np.asarray(values, dtype=np.float64) for name, values in columns.items()}
    shapes = sorted({column.shape for column in series.values()})
    if len(shapes) != 1 or len(shapes[0]) != 1:
        raise StatisticsError(f"{', '.join(series)} must be series of one length, found shapes {shapes}")
    for name, column in series.items():
        impossible = (column <= 0.0) | np.isinf(column)
        if impossible.any():
            first = int(np.flatnonzero(impossible)[0])
            raise StatisticsError(
                f"{int(impossible.sum())} {name} prices are not positive and finite",
                where=f"position {first}: {column[first]}",
            )
    return np.stack(list(series.values()))
