"""Two whole runs of one stage of one tag at the same moment, many times over: is exactly one let in each time, and the other refused?

python -m tests.faults.run_race [--count 20]
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.end_to_end.desk import Desk
from tests.faults.campaign import conclude, count_from_command_line, in_scratch
from tests.faults.tiny_suite import TAG, tiny_desk, tiny_repository

PASSED, REFUSED = 0, 4


def campaign(folder: Path, count: int) -> tuple[int, list[str]]:
    """Run `count` races; returns how many had one winner, and what went wrong in the others."""
    repository = tiny_repository(folder / "repository")
    fresh = tiny_desk(folder / "fresh", repository)
    passed, problems = 0, []
    for number in range(1, count + 1):
        problem = race(fresh.elsewhere(folder / "desk"))
        shutil.rmtree(folder / "desk")
        print(f"race {number}: {problem or 'one passed, one was refused, one STARTED row'}", flush=True)
        if problem:
            problems.append(f"race {number}: {problem}")
        else:
            passed += 1
    return passed, problems


def race(desk: Desk) -> str:
    """Start two runs at once and wait for both; what is wrong with how they ended, or nothing."""
    running = [desk.start(TAG, "s0") for _ in range(2)]
    said = [process.communicate()[0].decode(errors="replace") for process in running]
    ended = sorted(process.returncode for process in running)
    if ended != [PASSED, REFUSED]:
        return f"the two ended with {ended}: {said}"
    refusal = next(text for process, text in zip(running, said, strict=True) if process.returncode == REFUSED)
    if "  to mend: " not in refusal:
        return f"the refusal does not say how to mend it: {refusal}"
    events = [row["event"] for row in desk.rows()]
    packs = [path.name for path in (desk.workspace / "gate_results").glob("*scope_freeze_*")]
    if events != ["STARTED", "FINISHED"] or len(packs) != 1:
        return f"the registry has {events}, the packs are {packs}"
    return ""


if __name__ == "__main__":
    asked = count_from_command_line(20, __doc__)
    in_scratch(lambda scratch: conclude(*campaign(scratch, asked)))
