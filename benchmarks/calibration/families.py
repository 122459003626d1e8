"""How often is the best of a family of noise variants promoted, with the family on record and with the search hidden?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from benchmarks.bench import family_of, single_trial
from benchmarks.calibration.noise import SIGNIFICANT_T, Noise
from benchmarks.gate_runner import PASSED, Road, walk
from engines.statistics.rates import rate
from engines.study import Study
from reports.criteria.trials import FamilyTrials, Trial

FAMILY_SIZE: Final = 100


def judge_family(noise: Noise, seed: int, size: int, waived: Sequence[str] = ()) -> dict[str, Any]:
    """Measure `size` noise variants and judge those that a researcher would hand in.

    The best by net Sharpe ratio is asked the whole of S3, and then S1 to S3, as the last of a family that has registered all the others; then both
    again as if nothing else had been tried. Every variant with t >= 3, which is what S1 asks of a later trial, walks S1 to S3 too.
    """
    looks = [noise.bench.look(noise.signal(number)) for number in range(size)]
    trials = [Trial("earlier", str(n), look.test.p_one_sided, look.daily_sharpe) for n, look in enumerate(looks)]
    t_stats = [look.test.t_stat for look in looks]
    best = int(np.argmax([look.daily_sharpe for look in looks]))

    def road(study: Study, variant: int, *, recorded: bool, stages: Sequence[str]) -> Road:
        def registered(of: Study) -> FamilyTrials:
            return family_of(of, tuple(trials[:variant] + trials[variant + 1 :]))

        family = registered if recorded else single_trial
        return walk(study, family, seed, first_trial=not recorded, waived=waived, stages=stages)

    study = noise.study(best)
    return {
        "best_t": t_stats[best],
        "best_daily_sharpe": looks[best].daily_sharpe,
        "recorded_s3": road(study, best, recorded=True, stages=("s3",)).last_gate,
        "hidden_s3": road(study, best, recorded=False, stages=("s3",)).last_gate,
        "recorded": road(study, best, recorded=True, stages=("s1", "s2", "s3")).last_gate,
        "hidden": road(study, best, recorded=False, stages=("s1", "s2", "s3")).last_gate,
        "significant": {
            str(n): road(noise.study(n), n, recorded=True, stages=("s1", "s2", "s3")).last_gate
            for n, t_stat in enumerate(t_stats)
            if t_stat >= SIGNIFICANT_T[1]
        },
    }


def family_rates(judged: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The shares of families that passed, with their intervals."""
    count = len(judged)

    def share(passed: int) -> dict[str, Any]:
        return asdict(rate(passed, count))

    ways = ("recorded_s3", "hidden_s3", "recorded", "hidden")
    walked = Counter(gate for one in judged for gate in one["significant"].values())
    return {
        **{f"the best passes: {way}": share(sum(one[way] == PASSED for one in judged)) for way in ways},
        "some variant has t >= 3": share(sum(bool(one["significant"]) for one in judged)),
        "some variant with t >= 3 is promoted": share(sum(PASSED in one["significant"].values() for one in judged)),
        **{f"last gate: {way}": dict(Counter(one[way] for one in judged).most_common()) for way in ways},
        "last gate: every variant with t >= 3": dict(walked.most_common()),
    }
