"""A share with what its sample size leaves open."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.special import betaincinv


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of `trials` with its exact 95 % interval."""

    passed: int
    trials: int
    share: float
    lower: float
    upper: float


def rate(passed: int, trials: int) -> Rate:
    """How often does it happen? Clopper and Pearson (1934), Biometrika 26: 95 %, never shorter than nominal."""
    lower = float(betaincinv(passed, trials - passed + 1, 0.025)) if passed else 0.0
    upper = float(betaincinv(passed + 1, trials - passed, 0.975)) if passed < trials else 1.0
    return Rate(passed, trials, passed / trials, lower, upper)
