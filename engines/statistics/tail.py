"""Losses: quantiles, expected shortfall, downside deviation."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engines.errors import StatisticsError
from engines.statistics.samples import observed


def var_historical(returns: npt.ArrayLike, cutoff: float = 0.05) -> float:
    """Which return is undercut in a share `cutoff` of periods?

    The linearly interpolated empirical quantile (numpy's default, R's type 7).

    Args:
        returns: shape (n,), decimals per period. NaN are left out.
        cutoff: share of worst periods, in [0, 1]: 0 the worst return, 1 the best.

    Returns:
        A return: negative for a loss; NaN when nothing was observed.

    Raises:
        StatisticsError: cutoff outside [0, 1], infinite returns, or not one-dimensional.

    Reference: Jorion, Value at Risk, 3rd ed., ch. 10.
    """
    _check_share("cutoff", cutoff)
    sample = observed(returns)
    return float(np.quantile(sample, cutoff)) if sample.size else math.nan


def cvar_historical(returns: npt.ArrayLike, cutoff: float = 0.05) -> float:
    """What is the mean return of the worst periods?

    Mean of the int((n - 1) cutoff) + 1 smallest returns, as in empyrical: whole observations, so coarse for
    small n (cvar_rockafellar_uryasev is not).

    Args:
        returns: shape (n,), decimals per period. NaN are left out before n is counted.
        cutoff: share of worst periods, in [0, 1]: 0 the worst return, 1 the mean of all.

    Returns:
        A return: negative for a loss; NaN when nothing was observed.

    Raises:
        StatisticsError: cutoff outside [0, 1], infinite returns, or not one-dimensional.
    """
    _check_share("cutoff", cutoff)
    sample = observed(returns)
    if sample.size == 0:
        return math.nan
    n_worst = int((sample.size - 1) * cutoff) + 1
    return float(np.sort(sample)[:n_worst].mean())


def cvar_rockafellar_uryasev(returns: npt.ArrayLike, beta: float = 0.95) -> float:
    """What is the mean loss in the worst share 1 - beta of periods, counting a fraction of the observation at the edge?

    min over a of a + mean(max(0, -r - a))/(1 - beta), which for a sample is the sum of the floor((1 - beta)
    n) largest losses plus the fraction left of the next, over (1 - beta) n. Coherent and continuous in beta.

    Args:
        returns: shape (n,), decimals per period. NaN are left out.
        beta: confidence, in [0, 1); at 0 the mean loss of all periods.

    Returns:
        A loss: positive for a loss (the opposite sign of cvar_historical); NaN when nothing was observed.

    Raises:
        StatisticsError: beta outside [0, 1), infinite returns, or not one-dimensional.

    Reference: Rockafellar & Uryasev (2000), Optimization of Conditional Value-at-Risk, Journal of Risk 2(3).
    """
    _check_share("beta", beta)
    if beta == 1.0:
        raise StatisticsError(
            "beta = 1 leaves no period to take the mean of", remedy="ask for the largest loss instead"
        )
    sample = observed(returns)
    if sample.size == 0:
        return math.nan
    tail_size = (1.0 - beta) * sample.size
    losses = np.sort(-sample)[::-1]
    weights = np.clip(tail_size - np.arange(sample.size), 0.0, 1.0)
    return float(weights @ losses / tail_size)


def downside_deviation(
    returns: npt.ArrayLike, *, minimum_return: float = 0.0, periods_per_year: float | None = None
) -> float:
    """How far do returns fall short of a minimum acceptable return?

    sqrt(mean(min(0, r - MAR)^2)) over all n periods, not the bad ones alone; times sqrt(periods_per_year)
    when given.

    Args:
        returns: shape (n,), decimals per period. NaN are left out.
        minimum_return: MAR, decimal per period.
        periods_per_year: for the annual figure; None for the figure per period.

    Returns:
        Decimal >= 0; NaN when nothing was observed.

    Raises:
        StatisticsError: infinite returns, or not one-dimensional.

    Reference: Sortino & van der Meer (1991), Journal of Portfolio Management 17(4).
    """
    sample = observed(returns)
    if sample.size == 0:
        return math.nan
    shortfall = math.sqrt(float(np.mean(np.minimum(0.0, sample - minimum_return) ** 2)))
    return shortfall if periods_per_year is None else shortfall * math.sqrt(periods_per_year)


def sortino_ratio(
    returns: npt.ArrayLike, *, minimum_return: float = 0.0, periods_per_year: float | None = None
) -> float:
    """How much mean excess over a minimum acceptable return for each unit of shortfall?

    mean(r - MAR) / downside_deviation, times sqrt(periods_per_year) when given. Flatters records that have
    not yet met a bad period.

    Args:
        returns: shape (n,), decimals per period. NaN are left out.
        minimum_return: MAR, decimal per period.
        periods_per_year: for the annual ratio; None for the ratio per period.

    Returns:
        The ratio; inf when no period fell short and the mean excess is positive; NaN for fewer than two
        returns or when nothing ever differed from MAR.

    Raises:
        StatisticsError: infinite returns, or not one-dimensional.

    Reference: Sortino & van der Meer (1991), Journal of Portfolio Management 17(4).
    """
    sample = observed(returns)
    if sample.size < 2:
        return math.nan
    excess = float(np.mean(sample - minimum_return))
    shortfall = downside_deviation(sample, minimum_return=minimum_return)
    if shortfall == 0.0:
        return math.inf if excess > 0.0 else math.nan
    return excess / shortfall * (1.0 if periods_per_year is None else math.sqrt(periods_per_year))


def _check_share(name: str, share: float) -> None:
    if not 0.0 <= share <= 1.0:
        raise StatisticsError(
            f"{name} = {share:g} is outside [0, 1]", remedy="pass a share of periods, 0.05 for the worst 5 %"
        )
