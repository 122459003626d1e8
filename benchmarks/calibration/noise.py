"""How often does noise pass? s1.ic_t and s3.deflated_sharpe of every candidate, and the road through S1 to S3 of whoever clears s1.ic_t."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

import numpy as np

from benchmarks.bench import Bench, SimulatedBench, single_trial
from benchmarks.gate_runner import PASSED, walk
from benchmarks.planted_market import FloatArray, draw_scores
from engines.statistics.rates import rate
from engines.study import Study

SIGNIFICANT_T: Final = (2.0, 3.0)
DEFLATED_BOUND: Final = 0.95


class Noise(Protocol):
    """Numbered candidates without skill on one bench."""

    @property
    def bench(self) -> Bench:
        """What they share."""

    def signal(self, number: int) -> FloatArray:
        """The signal of a candidate before the holdout, (T, N); only the dates on which it is judged and traded are needed."""

    def study(self, number: int) -> Study:
        """The study of the same candidate."""


@dataclass(frozen=True, slots=True)
class SimulatedNoise:
    """Scores that know nothing of the market they are on; drawn anew each time, for a family of them would fill the memory."""

    bench: SimulatedBench
    half_life_days: float
    stream: tuple[int, ...]

    def scores(self, number: int) -> FloatArray:
        """The scores of a candidate, (T, N)."""
        design, rng = self.bench.design, np.random.default_rng([*self.stream, number])
        return draw_scores(rng, design.n_days, design.n_names, self.half_life_days)

    def signal(self, number: int) -> FloatArray:
        """See Noise."""
        return self.bench.signal(self.scores(number))

    def study(self, number: int) -> Study:
        """See Noise."""
        return self.bench.study(self.scores(number))


def judge_noise(noise: Noise, numbers: Sequence[int], waived: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The quick look at each candidate, and how far the preregistered ones with t >= 2 walk."""
    judged = []
    for number in numbers:
        look = noise.bench.look(noise.signal(number))
        road = None
        if look.test.t_stat >= SIGNIFICANT_T[0]:
            road = walk(noise.study(number), single_trial, number, first_trial=True, waived=waived)
        judged.append(
            {
                "t": look.test.t_stat,
                "dsr": look.deflated_sharpe(1.0),
                "dsr_gross": look.deflated_sharpe(0.0),
                "last_gate": "s1.ic_t" if road is None else road.last_gate,
            }
        )
    return judged


def noise_rates(judged: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The shares that passed, with their intervals."""
    count = len(judged)

    def share(passed: int) -> dict[str, Any]:
        return asdict(rate(passed, count))

    return {
        **{f"s1.ic_t >= {bound:g}": share(sum(one["t"] >= bound for one in judged)) for bound in SIGNIFICANT_T},
        "s3.deflated_sharpe": share(sum(one["dsr"] >= DEFLATED_BOUND for one in judged)),
        "s3.deflated_sharpe before costs": share(sum(one["dsr_gross"] >= DEFLATED_BOUND for one in judged)),
        "s1 to s3": share(sum(one["last_gate"] == PASSED for one in judged)),
        "standard deviation of t": float(np.std([one["t"] for one in judged], ddof=1)) if count > 1 else None,
        "last gate": dict(Counter(one["last_gate"] for one in judged).most_common()),
    }
