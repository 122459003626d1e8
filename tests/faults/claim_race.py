"""Four processes claim one stage of one tag at the same moment, many times over: does exactly one win each time?"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from reports.record.errors import RequestRefused
from reports.record.registry import Registry
from reports.record.workspace import Workspace
from tests.faults.campaign import conclude, count_from_command_line, in_scratch, spawn, wait_for
from tests.reports.sample_record import begin, fields

RACERS = 4
ROUNDS_PER_REGISTRY = 50


def campaign(folder: Path, count: int) -> tuple[int, list[str]]:
    """Run `count` races; returns how many had one winner, and what went wrong in the others."""
    passed, problems = 0, []
    for number in range(count):
        workspace = begin(folder / f"desk-{number // ROUNDS_PER_REGISTRY}")
        tag = f"tag-{number}"
        winners = race(workspace, tag)
        rows = [row for row in Registry(workspace.root).rows() if row["decision_tag"] == tag]
        if winners == 1 and len(rows) == 1:
            passed += 1
        else:
            problems.append(f"race {number}: {winners} winners, {len(rows)} rows")
    return passed, problems


def race(workspace: Workspace, tag: str) -> int:
    """How many of the racers were told that they had the tag."""
    reader, writer = os.pipe()

    def claim(number: int) -> None:
        signal.alarm(60)
        os.close(writer)
        os.read(reader, 1)
        try:
            Registry(workspace.root).claim(fields(tag, run_id=f"{tag}.{number}"))
        except RequestRefused:
            os._exit(4)

    racers = [spawn(lambda number=number: claim(number)) for number in range(RACERS)]
    os.close(writer)
    os.close(reader)
    return [wait_for(racer) for racer in racers].count(0)


if __name__ == "__main__":
    asked = count_from_command_line(1000, __doc__)
    in_scratch(lambda scratch: conclude(*campaign(scratch, asked)))
