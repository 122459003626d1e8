"""Many hypotheses at once: adjusted p-values, and how often a discovery is false."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engines.errors import StatisticsError
from engines.statistics.samples import FloatArray


@dataclass(frozen=True, slots=True)
class MultipleTest:
    """Adjusted p-values in the order given, and which hypotheses fall at `alpha` (adjusted <= alpha)."""

    alpha: float
    adjusted: FloatArray
    rejected: npt.NDArray[np.bool_]

    @property
    def n_rejected(self) -> int:
        """Number of hypotheses rejected."""
        return int(self.rejected.sum())


def benjamini_hochberg(p_values: npt.ArrayLike, alpha: float = 0.05) -> MultipleTest:
    """Which discoveries stand when at most a share `alpha` of them may be false?

    Step-up: q_(i) = min over j >= i of p_(j) M / j, capped at 1. Controls the false discovery rate for
    independent or positively dependent tests.

    Args:
        p_values: shape (M,), each in [0, 1], one per hypothesis of the family.
        alpha: false discovery rate allowed.

    Returns:
        MultipleTest in the order of `p_values`.

    Raises:
        StatisticsError: an empty family, NaN (a hypothesis without a p-value cannot be left out of its
        family), or values outside [0, 1].

    Reference: Benjamini & Hochberg (1995), JRSS-B 57, 289-300.
    """
    return _false_discovery(p_values, alpha, harmonic=False)


def benjamini_yekutieli(p_values: npt.ArrayLike, alpha: float = 0.05) -> MultipleTest:
    """Which discoveries stand at a false discovery rate of `alpha` whatever the dependence between tests?

    As benjamini_hochberg with every p-value multiplied by c(M) = sum of 1/i for i = 1..M.

    Args:
        p_values: shape (M,), each in [0, 1].
        alpha: false discovery rate allowed.

    Returns:
        MultipleTest in the order of `p_values`.

    Raises:
        StatisticsError: an empty family, NaN, or values outside [0, 1].

    Reference: Benjamini & Yekutieli (2001), Annals of Statistics 29(4), 1165-1188.
    """
    return _false_discovery(p_values, alpha, harmonic=True)


def holm(p_values: npt.ArrayLike, alpha: float = 0.05) -> MultipleTest:
    """Which hypotheses fall when the probability of even one false rejection may be at most `alpha`?

    Step-down: a_(i) = max over j <= i of (M - j + 1) p_(j), capped at 1. Needs no assumption on dependence
    and rejects whatever Bonferroni does.

    Args:
        p_values: shape (M,), each in [0, 1].
        alpha: family-wise error rate allowed.

    Returns:
        MultipleTest in the order of `p_values`.

    Raises:
        StatisticsError: an empty family, NaN, or values outside [0, 1].

    Reference: Holm (1979), Scandinavian Journal of Statistics 6(2), 65-70.
    """
    p = _family(p_values)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)))
    return _decide(adjusted, alpha)


def bonferroni(p_values: npt.ArrayLike, alpha: float = 0.05) -> MultipleTest:
    """Which hypotheses fall when each must clear alpha / M on its own?

    a_i = min(1, M p_i).

    Args:
        p_values: shape (M,), each in [0, 1].
        alpha: family-wise error rate allowed.

    Returns:
        MultipleTest in the order of `p_values`.

    Raises:
        StatisticsError: an empty family, NaN, or values outside [0, 1].

    Reference: Dunn (1961), JASA 56, 52-64.
    """
    p = _family(p_values)
    return _decide(np.minimum(1.0, p * p.size), alpha)


def posterior_false_discovery_rate(prior_true: float, alpha: float, beta: float) -> float:
    """If a strategy passes a test, how probable is it that it is nevertheless worthless?

    pFDR = alpha (1 - p1) / (alpha (1 - p1) + (1 - beta) p1).

    Args:
        prior_true: p1, share of tested strategies that have an edge, in [0, 1].
        alpha: size of the test, in [0, 1].
        beta: probability of missing a true edge (1 - power), in [0, 1].

    Returns:
        Probability in [0, 1]; NaN for NaN arguments.

    Raises:
        StatisticsError: an argument outside [0, 1], or a test that never rejects (0 / 0).

    Reference: Lopez de Prado (2020), Machine Learning for Asset Managers, section 8; Lopez de Prado, Lipton &
    Zoonekynd (2025).
    """
    for name, value in (("prior_true", prior_true), ("alpha", alpha), ("beta", beta)):
        if value < 0.0 or value > 1.0:
            raise StatisticsError(f"{name} = {value:g} is outside [0, 1]")
    false_positives = alpha * (1.0 - prior_true)
    positives = false_positives + (1.0 - beta) * prior_true
    if positives == 0.0:
        raise StatisticsError(
            "a test that never rejects has no discoveries to be false", remedy="raise alpha or the power"
        )
    return false_positives / positives


def _false_discovery(p_values: npt.ArrayLike, alpha: float, *, harmonic: bool) -> MultipleTest:
    """Step-up adjustment in the operations of scipy.stats.false_discovery_control, so that it gives the same bits without scipy.stats' second of imports."""
    p = _family(p_values)
    if p.size == 1:
        return _decide(p, alpha)
    order = np.argsort(p)
    rank = np.arange(1, p.size + 1, dtype=np.float64)
    scaled = p[order] * (p.size / rank)
    if harmonic:
        scaled = scaled * np.sum(1.0 / rank)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return _decide(np.clip(adjusted, 0.0, 1.0), alpha)


def _family(p_values: npt.ArrayLike) -> FloatArray:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or p.size == 0:
        raise StatisticsError(f"a family of tests is a non-empty series of p-values, found shape {p.shape}")
    outside = ~((p >= 0.0) & (p <= 1.0))
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        raise StatisticsError(
            f"{int(outside.sum())} p-values are NaN or outside [0, 1]",
            where=f"position {first}: {p[first]}",
            remedy="give a hypothesis that could not be tested the p-value 1",
        )
    return p


def _decide(adjusted: FloatArray, alpha: float) -> MultipleTest:
    if not 0.0 < alpha < 1.0:
        raise StatisticsError(f"alpha = {alpha:g} is outside (0, 1)")
    return MultipleTest(alpha, adjusted, adjusted <= alpha)
