"""Writers, and the recovery after them, killed at random moments: is every acknowledged row kept, and nothing torn left?

A killed process leaves whole lines, because a line is one write; what a power cut leaves is made by cutting the last line that was neither
acknowledged nor remembered.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from reports.record.anchor import witnesses
from reports.record.registry import Registry
from reports.record.workspace import Workspace
from reports.verification.recover import recover
from reports.verification.verify import verify_workspace
from tests.faults.campaign import conclude, count_from_command_line, in_scratch, spawn, wait_for
from tests.reports.sample_record import begin, run_stage

KILLS_PER_REGISTRY = 40
LONGEST_LIFE_SECONDS = 0.06


def campaign(folder: Path, count: int, seed: int) -> tuple[int, list[str]]:
    """Kill `count` writers; returns after how many everything held, and what did not hold after the others."""
    generator = random.Random(seed)
    passed, problems = 0, []
    for number in range(count):
        workspace = begin(folder / f"desk-{number // KILLS_PER_REGISTRY}")
        told = folder / f"told-{number // KILLS_PER_REGISTRY}"
        killed_after(generator, lambda workspace=workspace, told=told, number=number: write(workspace, told, number))
        cut = number % 2 == 1 and cut_last_line(workspace, told, generator)
        if number % 3 == 0:
            killed_after(generator, lambda workspace=workspace: recover(workspace))
        problem = check(workspace, told)
        passed += not problem
        problems += [f"kill {number}{' and cut' if cut else ''}: {problem}"] if problem else []
    return passed, problems


def killed_after(generator: random.Random, body: Callable[[], object]) -> None:
    """Let a process live for a random moment."""
    child = spawn(lambda: body() and None)
    time.sleep(generator.uniform(0, LONGEST_LIFE_SECONDS))
    os.kill(child, signal.SIGKILL)
    wait_for(child)


def write(workspace: Workspace, told: Path, number: int) -> None:
    """Run stage after stage until killed, and tell of each row once it is acknowledged."""
    acknowledged = os.open(told, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for turn in range(1000):
        verdict = ("PASS", "FAIL")[turn % 2]
        row = run_stage(workspace, f"tag-{number}-{turn}", verdict=verdict)
        os.write(acknowledged, row.row_hash.encode() + b"\n")


def cut_last_line(workspace: Workspace, told: Path, generator: random.Random) -> bool:
    """Cut the last line where a power cut could have, before its fsync returned."""
    if not workspace.registry.exists():
        return False
    raw = workspace.registry.read_bytes()
    rows = Registry(workspace.root).rows()
    acknowledged = told.read_text().split() if told.exists() else []
    remembered = max((head.seq for head in witnesses(workspace)[0].heads()), default=0)
    if not rows or rows[-1].row_hash in acknowledged or remembered >= len(rows):
        return False
    line = len(rows[-1].raw) + 1
    os.truncate(workspace.registry, len(raw) - generator.randrange(1, line))
    return True


def check(workspace: Workspace, told: Path) -> str:
    """Recover, verify, and compare with what was acknowledged; empty when all holds."""
    recover(workspace)
    verification = verify_workspace(workspace)
    if verification.exit_code:
        return f"verify says {verification.exit_code}: {verification.findings[0]}"
    there = {row.row_hash for row in Registry(workspace.root).rows()}
    lost = [row_hash for row_hash in (told.read_text().split() if told.exists() else []) if row_hash not in there]
    return f"{len(lost)} acknowledged rows are lost" if lost else ""


if __name__ == "__main__":
    asked = count_from_command_line(1000, __doc__)
    in_scratch(lambda scratch: conclude(*campaign(scratch, asked, int.from_bytes(os.urandom(4)))))
