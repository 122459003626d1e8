"""The attempts of the false-pass campaign: what selects, skips, lies, dies, edits or forges, and the honest controls beside them.

An attempt that changes gates or conftest.py commits the change, so that the clean tree cannot be what stops it.
"""

from __future__ import annotations

from typing import Final

from tests.faults.attempts.code import TREE
from tests.faults.attempts.environments import ENVIRONMENTS, HONEST_ENVIRONMENT
from tests.faults.attempts.gates import RUNS
from tests.faults.attempts.preparing import PASS, nothing
from tests.faults.attempts.record import HONEST_AGAIN, HONEST_TAGS, RECORD
from tests.faults.attempts.requests import ASKED
from tests.faults.attempts.signals import HONEST_SIGNALS, SIGNALS
from tests.faults.attempts.signatures import SIGN_OFF, signed_and_written
from tests.faults.attempts.starting import HONEST_STARTS, STARTING
from tests.faults.tiny_suite import Attempt

HONEST: Final = (
    *HONEST_SIGNALS,
    HONEST_ENVIRONMENT,
    HONEST_AGAIN,
    *HONEST_TAGS,
    *HONEST_STARTS,
    Attempt(
        "a winner elsewhere",
        nothing,
        variables={"TZ": "Pacific/Kiritimati", "LC_ALL": "tr_TR.UTF-8", "LANG": "de_DE"},
        allowed=PASS,
    ),
    Attempt("a winner", nothing, allowed=PASS),
    Attempt("a winner, verbose", nothing, options=("-v", "--tb=short", "--color=no", "--durations=3"), allowed=PASS),
    Attempt("a winner, shards stated", nothing, options=("--wf-shards", "2"), allowed=PASS),
    Attempt("a winner, multipliers stated", nothing, options=("--cost-multipliers", "1.5,2.0"), allowed=PASS),
    Attempt("a winner, threads shared", nothing, options=("--threads=2",), allowed=PASS),
    Attempt(
        "a winner, harmless variables",
        nothing,
        variables={"PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "7"},
        allowed=PASS,
    ),
    Attempt("a winner at s1", nothing, "s1", "s0", allowed=PASS),
    Attempt("a winner at s2", nothing, "s2", "s1", allowed=PASS),
    Attempt("a winner at s3", nothing, "s3", "s2", allowed=PASS),
    Attempt(
        "a winner that the committee signed",
        signed_and_written,
        "s4",
        "s3",
        allowed=PASS,
    ),
    Attempt(
        "a comment in a gate, committed",
        lambda ground: (ground.gate.open("a").write("# reviewed\n"), ground.commit()),
        allowed=PASS,
    ),
)

ATTEMPTS: Final[tuple[Attempt, ...]] = (*ASKED, *RUNS, *TREE, *ENVIRONMENTS, *SIGNALS, *RECORD, *SIGN_OFF, *STARTING)
