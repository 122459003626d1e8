"""Sharpe ratios: how large, how uncertain, and how long a record it takes to believe one.

Every Sharpe ratio here is per period (one observation of the returns it came from) unless its name says
annual. Kurtosis is raw: 3 for a normal. The pinned formulas are those of 2012; the 2025 variants stand beside
them under their own names because both are in use and differ on one and the same record (0.913 against
0.987).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engines.errors import StatisticsError
from engines.statistics.samples import observed, return_moments


def sharpe_ratio(
    returns: npt.ArrayLike, *, periods_per_year: float | None = None, risk_free_per_period: float = 0.0
) -> float:
    """How much mean excess return does a series earn per unit of its standard deviation?

    SR = mean(r - rf) / std(r - rf, ddof=1), times sqrt(periods_per_year) when that is given.

    Args:
        returns: shape (n,), decimals per period. NaN are left out.
        periods_per_year: for the annualised ratio (252 days, 12 months); None for the ratio per period, which
            all inference here wants.
        risk_free_per_period: decimal per period.

    Returns:
        The ratio; NaN for n < 2 or constant returns.

    Raises:
        StatisticsError: infinite returns, or not one-dimensional.

    Reference: Sharpe (1994), The Sharpe Ratio, Journal of Portfolio Management 21(1).
    """
    per_period = return_moments(observed(returns) - risk_free_per_period).sharpe
    return per_period if periods_per_year is None else per_period * math.sqrt(periods_per_year)


def adjusted_sharpe_ratio(returns: npt.ArrayLike, *, periods_per_year: float) -> float:
    """What is the annual Sharpe ratio worth after a penalty for negative skew and fat tails?

    ASR = SR (1 + S/6 SR - K/24 SR^2), with SR = geometric annual return / (std(ddof=1)
    sqrt(periods_per_year)), S the biased skew and K the excess kurtosis of the returns.

    Args:
        returns: shape (n,), decimals per period. NaN are left out.
        periods_per_year: 252 for days, 12 for months.

    Returns:
        The adjusted annual ratio; NaN for n < 2, constant returns, or a series that loses everything.

    Raises:
        StatisticsError: infinite returns, or not one-dimensional.

    Reference: Pezier & White (2006); Bacon, Practical Portfolio Performance Measurement and Attribution, 2nd
    ed.
    """
    moments = return_moments(returns)
    growth = annual_growth(returns, periods_per_year=periods_per_year)
    sharpe = growth / (moments.std * math.sqrt(periods_per_year))
    return sharpe * (1.0 + moments.skew / 6.0 * sharpe - (moments.kurtosis - 3.0) / 24.0 * sharpe**2)


def annual_growth(returns: npt.ArrayLike, *, periods_per_year: float) -> float:
    """At which yearly rate did one unit of wealth grow?

    CAGR = (prod(1 + r))^(periods_per_year / n) - 1 over the n observed returns: a NaN row is no time passed.

    Args:
        returns: shape (n,), decimals per period. NaN are left out.
        periods_per_year: 252 for days, 12 for months.

    Returns:
        Decimal per year; NaN when nothing was observed or wealth ends below zero.

    Raises:
        StatisticsError: infinite returns, or not one-dimensional.
    """
    sample = observed(returns)
    wealth = float(np.prod(1.0 + sample))
    if sample.size == 0 or wealth < 0.0:
        return math.nan
    return float(wealth ** (periods_per_year / sample.size) - 1.0)


def sharpe_variance_factor(sharpe: float, skew: float = 0.0, kurtosis: float = 3.0) -> float:
    """By how much do skew and fat tails widen the sampling distribution of a Sharpe ratio?

    V(SR) = 1 - skew SR + (kurtosis - 1)/4 SR^2; T times the asymptotic variance of the estimator for
    independent returns.

    Args:
        sharpe: per period.
        skew: third standardised moment.
        kurtosis: raw fourth standardised moment, 3 for a normal.

    Returns:
        The factor, > 0; NaN when an argument is NaN.

    Raises:
        StatisticsError: moments no sample can have: kurtosis < 1 (an excess kurtosis was passed), or a factor
        <= 0.

    Reference: Mertens (2002); Opdyke (2007); Bailey & Lopez de Prado (2012), eq. 8.
    """
    if kurtosis < 1.0:
        raise StatisticsError(
            f"kurtosis {kurtosis:g} is below 1, which no sample has",
            remedy="pass the raw kurtosis (3 for a normal), not the excess",
        )
    factor = 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2
    if factor <= 0.0:
        raise StatisticsError(
            f"skew {skew:g} with kurtosis {kurtosis:g} gives the Sharpe estimator the variance {factor:g}",
            remedy="check the moments: raw kurtosis is at least skew squared plus 1",
        )
    return factor


def sharpe_standard_error(sharpe: float, n_obs: int, skew: float = 0.0, kurtosis: float = 3.0) -> float:
    """How uncertain is a Sharpe ratio estimated from independent returns of any shape?

    SE = sqrt((1 - skew SR + (kurtosis - 1)/4 SR^2) / (T - 1)).

    Args:
        sharpe: per period.
        n_obs: T, number of returns.
        skew: third standardised moment.
        kurtosis: raw, 3 for a normal.

    Returns:
        Standard error per period; NaN for n_obs < 2 or NaN arguments.

    Raises:
        StatisticsError: impossible moments (sharpe_variance_factor).

    Reference: Bailey & Lopez de Prado (2012), The Sharpe Ratio Efficient Frontier, Journal of Risk 15(2), eq.
    8.
    """
    if n_obs < 2:
        return math.nan
    return math.sqrt(sharpe_variance_factor(sharpe, skew, kurtosis) / (n_obs - 1))


def sharpe_standard_error_lo_iid(sharpe: float, n_obs: int) -> float:
    """How uncertain is a Sharpe ratio when returns are independent and normal?

    SE = sqrt((1 + SR^2/2) / T). Divides by T where sharpe_standard_error divides by T - 1: two published
    conventions, kept apart.

    Args:
        sharpe: per period.
        n_obs: T, number of returns.

    Returns:
        Standard error per period; NaN for n_obs < 1 or a NaN Sharpe.

    Reference: Lo (2002), The Statistics of Sharpe Ratios, Financial Analysts Journal 58(4), eq. 9.
    """
    return math.nan if n_obs < 1 else math.sqrt((1.0 + sharpe**2 / 2.0) / n_obs)


def lo_ar1_annualisation_factor(autocorrelation: float, periods_per_year: int) -> float:
    """By how much does sqrt(q) annualisation misstate the Sharpe ratio of autocorrelated returns?

    eta = (1 + 2 rho/(1 - rho) (1 - (1 - rho^q)/(q (1 - rho))))^(-1/2); annual SR = sqrt(q) SR eta. Below 1
    when rho > 0.

    Args:
        autocorrelation: rho, lag-one autocorrelation of returns that follow an AR(1), inside (-1, 1).
        periods_per_year: q.

    Returns:
        The factor; NaN for a NaN autocorrelation.

    Raises:
        StatisticsError: autocorrelation outside (-1, 1), or q < 1.

    Reference: Lo (2002), eq. 22.
    """
    if abs(autocorrelation) >= 1.0 or periods_per_year < 1:
        raise StatisticsError(
            f"autocorrelation {autocorrelation:g} or {periods_per_year} periods a year is out of range",
            remedy="an AR(1) has |rho| < 1, and a year at least one period",
        )
    rho, q = autocorrelation, periods_per_year
    return float((1.0 + 2.0 * rho / (1.0 - rho) * (1.0 - (1.0 - rho**q) / (q * (1.0 - rho)))) ** -0.5)


def probabilistic_sharpe_ratio(
    sharpe: float, n_obs: int, skew: float = 0.0, kurtosis: float = 3.0, *, benchmark: float = 0.0
) -> float:
    """How probable is it that the true Sharpe ratio exceeds a benchmark, given this record?

    PSR = Phi((SR - SR*) sqrt(T - 1) / sqrt(1 - skew SR + (kurtosis - 1)/4 SR^2)), variance at the observed
    SR.

    Args:
        sharpe: observed, per period.
        n_obs: T, number of returns.
        skew: third standardised moment.
        kurtosis: raw, 3 for a normal.
        benchmark: SR*, per period.

    Returns:
        Probability in [0, 1]; NaN for n_obs < 2 or NaN arguments.

    Raises:
        StatisticsError: impossible moments (sharpe_variance_factor).

    Reference: Bailey & Lopez de Prado (2012), Journal of Risk 15(2), eq. 9.
    """
    from scipy.special import ndtr

    return float(ndtr((sharpe - benchmark) / sharpe_standard_error(sharpe, n_obs, skew, kurtosis)))


def min_track_record_length(
    sharpe: float, skew: float = 0.0, kurtosis: float = 3.0, *, benchmark: float = 0.0, probability: float = 0.95
) -> float:
    """How many observations must a record have before PSR reaches `probability`?

    MinTRL = 1 + (1 - skew SR + (kurtosis - 1)/4 SR^2) (z_p / (SR - SR*))^2. The square hides the sign, so a
    Sharpe ratio at or below zero, or at or below the benchmark, gets infinity: no record is long enough.

    Args:
        sharpe: observed, per period.
        skew: third standardised moment.
        kurtosis: raw, 3 for a normal.
        benchmark: SR*, per period.
        probability: confidence asked for, inside (0.5, 1).

    Returns:
        Observations (not years); inf when sharpe <= max(0, benchmark); NaN for NaN arguments.

    Raises:
        StatisticsError: probability outside (0.5, 1), or impossible moments.

    Reference: Bailey & Lopez de Prado (2012), eq. 11.
    """
    factor = sharpe_variance_factor(sharpe, skew, kurtosis)
    return 1.0 + factor * _observations_per_unit_variance(sharpe, benchmark, probability)


def probabilistic_sharpe_ratio_2025(
    sharpe: float, n_obs: int, skew: float = 0.0, kurtosis: float = 3.0, *, benchmark: float = 0.0
) -> float:
    """How probable is a true Sharpe ratio above a benchmark, by the 2025 variant of PSR?

    PSR = Phi((SR - SR*) sqrt(T) / sqrt(1 - skew SR* + (kurtosis - 1)/4 SR*^2)): variance at the benchmark
    (the null), divisor T. Not interchangeable with probabilistic_sharpe_ratio; no gate uses it.

    Args:
        sharpe: observed, per period.
        n_obs: T, number of returns.
        skew: third standardised moment.
        kurtosis: raw, 3 for a normal.
        benchmark: SR*, per period.

    Returns:
        Probability in [0, 1]; NaN for n_obs < 1 or NaN arguments.

    Raises:
        StatisticsError: impossible moments.

    Reference: Lopez de Prado, Lipton & Zoonekynd (2025), How to Use the Sharpe Ratio.
    """
    from scipy.special import ndtr

    if n_obs < 1:
        return math.nan
    return float(ndtr((sharpe - benchmark) * math.sqrt(n_obs / sharpe_variance_factor(benchmark, skew, kurtosis))))


def min_track_record_length_2025(
    sharpe: float, skew: float = 0.0, kurtosis: float = 3.0, *, benchmark: float = 0.0, alpha: float = 0.05
) -> float:
    """How many observations does the 2025 variant ask for?

    MinTRL = (1 - skew SR* + (kurtosis - 1)/4 SR*^2) (z_{1-alpha} / (SR - SR*))^2: variance at the benchmark,
    no leading 1.

    Args:
        sharpe: observed, per period.
        skew: third standardised moment.
        kurtosis: raw, 3 for a normal.
        benchmark: SR*, per period.
        alpha: one-sided size, inside (0, 0.5).

    Returns:
        Observations; inf when sharpe <= max(0, benchmark); NaN for NaN arguments.

    Raises:
        StatisticsError: alpha outside (0, 0.5), or impossible moments.

    Reference: Lopez de Prado, Lipton & Zoonekynd (2025).
    """
    factor = sharpe_variance_factor(benchmark, skew, kurtosis)
    return factor * _observations_per_unit_variance(sharpe, benchmark, 1.0 - alpha)


def _observations_per_unit_variance(sharpe: float, benchmark: float, probability: float) -> float:
    """(z_p / (SR - SR*))^2, or infinity where no record is long enough."""
    from scipy.special import ndtri

    if not 0.5 < probability < 1.0:
        raise StatisticsError(
            f"a confidence of {probability:g} is outside (0.5, 1)",
            remedy="0.95 asks for a 5 % one-sided test of the benchmark",
        )
    if sharpe <= max(0.0, benchmark):
        return math.inf
    return float((ndtri(probability) / (sharpe - benchmark)) ** 2)
