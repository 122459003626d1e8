"""Is a candidate worth having beside what runs already? Two return series on their common days: paired difference, correlation, blend."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.costs import TRADING_DAYS_PER_YEAR
from engines.errors import StatisticsError
from engines.statistics import ledoit_wolf_sharpe_difference_hac, sharpe_ratio
from engines.statistics.samples import is_constant

P_ALLOWED: Final = 0.10
CORRELATION_ALLOWED: Final = 0.5
FEWEST_COMMON_DAYS: Final = 126
COMMON_SHARE: Final = 0.9

Returns = NDArray[np.float64]
Dates = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True)
class Rivalry:
    """A challenger and what runs, on the days that both have. Sharpe ratios are annual.

    p_two_sided: of their difference, Ledoit and Wolf; NaN where the difference is rounding. blend: Sharpe ratio of the two at equal risk.
    """

    n_days: int
    first_day: str
    last_day: str
    challenger: float
    champion: float
    p_two_sided: float
    correlation: float
    blend: float

    @property
    def p_better(self) -> float:
        """p of the difference where the challenger is the better one; 1 where it is not, or where nothing tells the two apart."""
        return self.p_two_sided if self.challenger > self.champion and math.isfinite(self.p_two_sided) else 1.0

    @property
    def allowance(self) -> float:
        """min(p / 0.10, correlation / 0.5): at most 1 when the challenger is clearly better, or different enough."""
        return min(self.p_better / P_ALLOWED, self.correlation / CORRELATION_ALLOWED)

    def describe(self) -> str:
        """One line for a report."""
        return (
            f"{self.n_days} common days {self.first_day} to {self.last_day}: Sharpe {self.challenger:.2f} against {self.champion:.2f}, "
            f"Ledoit-Wolf p {self.p_two_sided:.3g}, correlation {self.correlation:.2f}; blended at equal risk {self.blend:.2f}"
        )


def rivalry(challenger_dates: Dates, challenger: Returns, champion_dates: Dates, champion: Returns) -> Rivalry:
    """Compare two daily return series on their common days.

    Paired difference of the Sharpe ratios with its two-sided p (Ledoit and Wolf 2008), Pearson correlation, and the Sharpe ratio of the mean of
    the two after each is divided by its standard deviation: what a book of both at equal risk would have earned.

    Args:
        challenger_dates, champion_dates: (D,), (E,) increasing, datetime64[D].
        challenger, champion: (D,), (E,) net returns, decimal; finite.

    Returns:
        Rivalry on the intersection of the dates.

    Raises:
        StatisticsError: fewer than 126 common days, days of either series between the first and the last common one of which the
            other lacks more than a tenth (another calendar), or a series that does not move.

    Reference: Ledoit & Wolf (2008), Journal of Empirical Finance 15(5).
    """
    common, at, beside = np.intersect1d(challenger_dates, champion_dates, assume_unique=True, return_indices=True)
    if common.size < FEWEST_COMMON_DAYS:
        raise StatisticsError(f"{common.size} common days, {FEWEST_COMMON_DAYS} are needed")
    for dates in (challenger_dates, champion_dates):
        between = int(np.count_nonzero((dates >= common[0]) & (dates <= common[-1])))
        if common.size < COMMON_SHARE * between:
            raise StatisticsError(
                f"only {common.size} of {between} days from {common[0]} to {common[-1]} are common: another calendar"
            )
    first, second = challenger[at], champion[beside]
    if is_constant(first) or is_constant(second):
        raise StatisticsError("a series that does not move cannot be compared")
    blended = first / first.std(ddof=1) + second / second.std(ddof=1)
    return Rivalry(
        n_days=int(common.size),
        first_day=str(common[0]),
        last_day=str(common[-1]),
        challenger=_annual(first),
        champion=_annual(second),
        p_two_sided=ledoit_wolf_sharpe_difference_hac(first, second).p_two_sided,
        correlation=float(np.corrcoef(first, second)[0, 1]),
        blend=0.0 if is_constant(blended) else _annual(blended),
    )


def _annual(returns: Returns) -> float:
    return sharpe_ratio(returns, periods_per_year=TRADING_DAYS_PER_YEAR)
