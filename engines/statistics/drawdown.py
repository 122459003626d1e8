"""How deep and how long under water, starting from the money put in."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engines.statistics.samples import FloatArray, observed
from engines.statistics.sharpe import annual_growth


def drawdowns(returns: npt.ArrayLike) -> FloatArray:
    """How far below its highest value so far does wealth stand after each period?

    W_t = prod(1 + r) up to t, W_0 = 1 counts as a peak; drawdown_t = W_t / max(W_0..W_t) - 1.

    Args:
        returns: shape (n,), decimals per period. NaN are left out.

    Returns:
        Shape (m,), decimals <= 0, one per observed return.

    Raises:
        StatisticsError: infinite returns, or not one-dimensional.
    """
    wealth = np.concatenate([[1.0], np.cumprod(1.0 + observed(returns))])
    return np.asarray(wealth / np.maximum.accumulate(wealth) - 1.0)[1:]


def max_drawdown(returns: npt.ArrayLike) -> float:
    """What was the largest loss from a peak, counting the starting wealth as one?

    min over t of W_t / max(W_0..W_t) - 1, compounded. Grows with the length of the record, so compare only
    records of one length.

    Args:
        returns: shape (n,), decimals per period. NaN are left out.

    Returns:
        Decimal <= 0; 0 when wealth never fell; NaN when nothing was observed.

    Raises:
        StatisticsError: infinite returns, or not one-dimensional.

    Reference: Magdon-Ismail & Atiya (2004), Maximum Drawdown, Risk 17(10).
    """
    depths = drawdowns(returns)
    return float(depths.min()) if depths.size else math.nan


def pain_index(returns: npt.ArrayLike) -> float:
    """How deep under water was wealth on average?

    mean over periods of |drawdown|.

    Args:
        returns: shape (n,), decimals per period. NaN are left out.

    Returns:
        Decimal >= 0; NaN when nothing was observed.

    Raises:
        StatisticsError: infinite returns, or not one-dimensional.

    Reference: Becker (2006); Bacon, Practical Portfolio Performance Measurement and Attribution, 2nd ed.
    """
    depths = drawdowns(returns)
    return float(-depths.mean()) if depths.size else math.nan


def calmar_ratio(returns: npt.ArrayLike, *, periods_per_year: float) -> float:
    """How much yearly growth for each unit of the deepest drawdown?

    CAGR / |max drawdown|, both over the observed returns alone (empyrical counts a leading NaN row as time
    passed, which lowers the CAGR).

    Args:
        returns: shape (n,), decimals per period. NaN are left out.
        periods_per_year: 252 for days, 52 for weeks.

    Returns:
        The ratio; NaN when nothing was observed or there was no drawdown to divide by.

    Raises:
        StatisticsError: infinite returns, or not one-dimensional.

    Reference: Young (1991), Futures magazine.
    """
    depth = max_drawdown(returns)
    return annual_growth(returns, periods_per_year=periods_per_year) / -depth if depth < 0.0 else math.nan
