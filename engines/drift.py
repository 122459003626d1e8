"""Has the edge gone? A sequential test with a stated rate of false alarms, and resampled years to measure how any alarm behaves."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engines.errors import StatisticsError
from engines.statistics.samples import FloatArray, IntArray, observed

CHAIN_STATES = 240
BOUND_TOLERANCE = 1e-6


def lost_edge_cusum(returns: npt.ArrayLike, mean: float, std: float) -> FloatArray:
    """How much evidence has gathered, since the day it began, that the mean return fell from `mean` to zero?

    Page's CUSUM of the log-likelihood ratio of N(0, std^2) against N(mean, std^2), in nats:
    S_t = max(0, S_{t-1} + (mean^2 / 2 - mean r_t) / std^2), S_0 = 0. At 3 the returns since some day are e^3 = 20 times
    likelier without the edge than with it. Among tests with as few false alarms it needs the fewest days to see exactly this change.

    Args:
        returns: shape (D,), decimals per day, NaN left out.
        mean: mean daily return while the edge lasts.
        std: standard deviation of daily returns.

    Returns:
        S, shape (m,), one per observed return; all NaN when `mean` or `std` is not positive: there is no edge to lose.

    Raises:
        StatisticsError: infinite returns, or not one-dimensional.

    Reference: Page (1954), Continuous Inspection Schemes, Biometrika 41; Moustakides (1986), Annals of Statistics 14, for its optimality.
    """
    sample = observed(returns)
    if not (mean > 0.0 and std > 0.0):
        return np.full(sample.size, math.nan)
    path = np.concatenate([[0.0], np.cumsum((0.5 * mean**2 - mean * sample) / std**2)])
    return np.asarray(path - np.minimum.accumulate(path))[1:]


def cusum_alarm_probability(edge: float, bound: float, n_days: int) -> float:
    """How probable is a false alarm within `n_days`, while the edge lasts?

    P(max S_t > bound, t <= n_days) for `lost_edge_cusum` of independent normal returns with mean / std = `edge`, starting at 0: S is a
    Markov chain, cut into 240 states (Brook & Evans). Fat tails change little where `edge` is small, for S is then a sum of many days.

    Args:
        edge: daily mean over standard deviation, > 0.
        bound: > 0, in nats.
        n_days: >= 1.

    Returns:
        Probability in [0, 1].

    Raises:
        StatisticsError: an argument that is not positive.

    Reference: Brook & Evans (1972), An Approach to the Probability Distribution of CUSUM Run Length, Biometrika 59.
    """
    chain = _transitions(edge, bound)
    alive = np.zeros(CHAIN_STATES)
    alive[0] = 1.0
    for _ in range(n_days):
        alive = alive @ chain
    return max(0.0, float(1.0 - alive.sum()))


def cusum_average_run_days(edge: float, bound: float) -> float:
    """How many days pass on average before a false alarm, while the edge lasts? Mean of the same chain's run length from S = 0.

    Args:
        edge: daily mean over standard deviation, > 0.
        bound: > 0, in nats.

    Returns:
        Days, >= 1.

    Raises:
        StatisticsError: an argument that is not positive.

    Reference: Brook & Evans (1972), Biometrika 59.
    """
    chain = _transitions(edge, bound)
    return float(np.linalg.solve(np.eye(CHAIN_STATES) - chain, np.ones(CHAIN_STATES))[0])


def cusum_bound(edge: float, n_days: int, false_alarm: float) -> float:
    """Which bound has this probability of a false alarm within `n_days`, while the edge lasts?

    Args:
        edge: daily mean over standard deviation, > 0.
        n_days: >= 1.
        false_alarm: inside (0, 1).

    Returns:
        The bound in nats, to 1e-6; NaN when `edge` is not positive: there is no edge to lose.

    Raises:
        StatisticsError: `n_days` or `false_alarm` out of range.
    """
    if not 0.0 < false_alarm < 1.0:
        raise StatisticsError(f"a false alarm probability of {false_alarm:g} is outside (0, 1)")
    if not edge > 0.0:
        return math.nan
    low, high = 0.0, 1.0
    while cusum_alarm_probability(edge, high, n_days) > false_alarm:
        low, high = high, 2.0 * high
    while high - low > BOUND_TOLERANCE:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if cusum_alarm_probability(edge, middle, n_days) > false_alarm else (low, middle)
    return high


def _transitions(edge: float, bound: float) -> FloatArray:
    """(states, states) one-day probabilities of the chain that has not alarmed yet; state 0 is S = 0, a row sums to less than 1."""
    from scipy.special import ndtr

    if not (edge > 0.0 and bound > 0.0):
        raise StatisticsError(
            f"a CUSUM of edge {edge:g} with bound {bound:g} is not defined", remedy="both must be > 0"
        )
    width = 2.0 * bound / (2.0 * CHAIN_STATES - 1.0)
    level = width * np.arange(CHAIN_STATES)
    upper = ndtr((level[None, :] + 0.5 * width - level[:, None] + 0.5 * edge**2) / edge)
    lower = np.concatenate([np.zeros((CHAIN_STATES, 1)), upper[:, :-1]], axis=1)
    return np.asarray(upper - lower)


def resampled_days(n_obs: int, n_days: int, n_paths: int, block_length: float, seed: int) -> IntArray:
    """Which observed days make up each simulated stretch of days? Stationary bootstrap of any length.

    Blocks of consecutive days of geometric length with mean `block_length`, wrapping around, so that what is simulated keeps the
    dependence of what was observed: over days, and across everything that was observed on the same day.

    Args:
        n_obs: days observed, >= 1.
        n_days: days of each simulated stretch, >= 1.
        n_paths: how many stretches, >= 1.
        block_length: mean length of a block in days, >= 1.
        seed: the same seed gives the same days.

    Returns:
        Positions in the observed days, shape (n_paths, n_days).

    Raises:
        StatisticsError: an argument out of range.

    Reference: Politis & Romano (1994), The Stationary Bootstrap, JASA 89.
    """
    if min(n_obs, n_days, n_paths) < 1 or not block_length >= 1.0:
        raise StatisticsError(
            f"{n_paths} stretches of {n_days} days from {n_obs} in blocks of {block_length:g} are not defined"
        )
    rng = np.random.default_rng(seed)
    position = np.arange(n_days)
    begins = rng.random((n_paths, n_days)) < 1.0 / block_length
    begins[:, 0] = True
    first = rng.integers(0, n_obs, (n_paths, n_days))
    block = np.maximum.accumulate(np.where(begins, position, 0), axis=1)
    return np.asarray((np.take_along_axis(first, block, axis=1) + position - block) % n_obs)
