"""A share with what its sample size leaves open."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engines.errors import StatisticsError


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of `trials` with its exact 95 % interval."""

    passed: int
    trials: int
    share: float
    lower: float
    upper: float


def rate(passed: int, trials: int) -> Rate:
    """How often does it happen, and how far is that from certain?

    The share with the bounds for which so few or so many successes are no surprise at 2.5 % a side: beta quantiles. Never shorter than nominal.

    Args:
        passed: successes, whole, in 0 .. trials. NaN is no count.
        trials: cases, >= 1.

    Returns:
        Rate at 95 %.

    Raises:
        StatisticsError: no trial, or more successes than trials.

    Reference: Clopper & Pearson (1934), Biometrika 26(4).
    """
    from scipy.special import betaincinv

    if not 0 <= passed <= trials or trials < 1:
        raise StatisticsError(f"{passed} of {trials} is no share", remedy="count at least one case")
    lower = float(betaincinv(passed, trials - passed + 1, 0.025)) if passed else 0.0
    upper = float(betaincinv(passed + 1, trials - passed, 0.975)) if passed < trials else 1.0
    return Rate(passed, trials, passed / trials, lower, upper)


def share_interval(flags: npt.ArrayLike) -> tuple[float, float]:
    """Between which bounds does a share lie at 95 %, judged by these cases?

    `rate` of the true ones. Cases are taken as independent: adjoining windows and non-overlapping dates nearly are.

    Args:
        flags: shape (n,), bool. A NaN cannot be told from true: compare first, so that it becomes false.

    Returns:
        (lower, upper); (0, 1) without a case.

    Raises:
        StatisticsError: not one-dimensional.

    Reference: Clopper & Pearson (1934), Biometrika 26(4).
    """
    cases = np.asarray(flags, dtype=bool)
    if cases.ndim != 1:
        raise StatisticsError(f"cases must be one-dimensional, found shape {cases.shape}")
    if cases.size == 0:
        return 0.0, 1.0
    found = rate(int(cases.sum()), int(cases.size))
    return found.lower, found.upper
