"""Eight writers at once, killed at random moments, and the recovery after them: is every acknowledged row kept, and nothing torn left?

Twice over: with writes as they are, where a row is one call, and with every write of the registry split into small pieces with a pause between
them, so that a kill leaves a torn line as a full disk or a power cut does (`--mode split`). A kill is of one writer; the other seven go on, are
refused at its torn line, and recover while others write.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from reports.record import registry as registry_module
from reports.record.anchor import witnesses
from reports.record.errors import RecordError
from reports.record.registry import Registry
from reports.record.workspace import Workspace
from reports.verification.recover import recover
from reports.verification.verify import verify_workspace
from tests.faults.campaign import conclude, in_scratch, spawn, wait_for
from tests.reports.sample_record import begin, run_stage

Mode = Literal["plain", "split"]
MODES: Final[tuple[Mode, ...]] = ("plain", "split")
WRITERS: Final = 8
LONGEST_LIFE_SECONDS: Final = 0.5
PIECE_BYTES: Final = 128
PAUSE_SECONDS: Final = 0.001


@dataclass(slots=True)
class Outcome:
    """Kills after which everything held, lines that kills left torn, rows acknowledged, and what did not hold."""

    passed: int
    torn: int
    acknowledged: int
    problems: list[str]


def campaign(folder: Path, count: int, seed: int, mode: Mode = "plain") -> Outcome:
    """Kill `count` writers, eight in each round, and recover and compare after each round."""
    generator = random.Random(seed)
    outcome = Outcome(0, 0, 0, [])
    for number in range(-(-count // WRITERS)):
        kills = min(WRITERS, count - number * WRITERS)
        place = folder / f"{mode}-{number}"
        workspace = begin(place / "desk")
        told = [place / f"told-{writer}" for writer in range(WRITERS)]
        _kill_one_by_one(generator, workspace, told, mode)
        outcome.torn += bool(workspace.registry.exists() and not _ends_whole(workspace))
        if number % 2:
            _killed_after(generator, lambda workspace=workspace: recover(workspace))
        problem = check(workspace, told)
        outcome.acknowledged += sum(len(_acknowledged(path)) for path in told)
        outcome.passed += 0 if problem else kills
        outcome.problems += [f"{mode}, round {number}: {problem}"] if problem else []
    return outcome


def _kill_one_by_one(generator: random.Random, workspace: Workspace, told: Sequence[Path], mode: Mode) -> None:
    """Start eight writers and kill each at a moment of its own, the others still writing."""
    writers = [spawn(lambda number=number: write(workspace, told[number], number, mode)) for number in range(len(told))]
    moments = sorted(generator.uniform(0, LONGEST_LIFE_SECONDS) for _ in writers)
    _wait_for_a_row(workspace)
    begun = time.monotonic()
    for moment, writer in zip(moments, generator.sample(writers, len(writers)), strict=True):
        time.sleep(max(0.0, begun + moment - time.monotonic()))
        os.kill(writer, signal.SIGKILL)
    for writer in writers:
        wait_for(writer)


def _wait_for_a_row(workspace: Workspace) -> None:
    """Until somebody writes: a busy machine takes its time to start eight processes."""
    patience = time.monotonic() + 10
    while time.monotonic() < patience and not workspace.registry.exists():
        time.sleep(PAUSE_SECONDS)


def _killed_after(generator: random.Random, body: Callable[[], object]) -> None:
    child = spawn(lambda: body() and None)
    time.sleep(generator.uniform(0, 0.06))
    os.kill(child, signal.SIGKILL)
    wait_for(child)


def write(workspace: Workspace, told: Path, number: int, mode: Mode) -> None:
    """Run stage after stage until killed, and tell of each row once it is acknowledged; recover where a torn line stops everybody."""
    if mode == "split":
        registry_module.write_fully = write_in_pieces  # type: ignore[attr-defined]
    acknowledged = os.open(told, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for turn in range(10_000):
        tag = f"tag-{number}-{turn}"
        try:
            with Registry(workspace.root).run_lock(f"{tag}.s0"):
                row = run_stage(workspace, tag, verdict=("PASS", "FAIL")[turn % 2])
        except RecordError as error:
            if "torn line" not in error.what:
                raise
            with suppress(RecordError):  # another writer may be killed in the middle of a line meanwhile
                recover(workspace)
            continue
        os.write(acknowledged, row.row_hash.encode() + b"\n")


def write_in_pieces(descriptor: int, data: bytes) -> None:
    """Write `data` as a device does that takes little at a time."""
    for start in range(0, len(data), PIECE_BYTES):
        os.write(descriptor, data[start : start + PIECE_BYTES])
        time.sleep(PAUSE_SECONDS)


def _ends_whole(workspace: Workspace) -> bool:
    return workspace.registry.read_bytes().endswith(b"\n")


def _acknowledged(told: Path) -> list[str]:
    return told.read_text().split() if told.exists() else []


def check(workspace: Workspace, told: Sequence[Path]) -> str:
    """Recover, verify, and compare with what was acknowledged; empty when all holds."""
    recover(workspace)
    verification = verify_workspace(workspace)
    if verification.exit_code:
        return f"verify says {verification.exit_code}: {verification.findings[0]}"
    if workspace.registry.exists() and not _ends_whole(workspace):
        return "a torn line is left"
    there = {row.row_hash for row in Registry(workspace.root).rows()}
    lost = [row_hash for path in told for row_hash in _acknowledged(path) if row_hash not in there]
    remembered = max((head.seq for head in witnesses(workspace)[0].heads()), default=0)
    if lost or remembered > len(there):
        return f"{len(lost)} acknowledged rows are lost, {remembered} rows remembered, {len(there)} there"
    return ""


def _at_length() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="kills of each mode")
    parser.add_argument("--mode", choices=MODES, action="append", help="only this mode (default: both)")
    asked = parser.parse_args()

    def run(scratch: Path) -> None:
        outcomes = {
            mode: campaign(scratch, asked.count, int.from_bytes(os.urandom(4)), mode) for mode in asked.mode or MODES
        }
        for mode, outcome in outcomes.items():
            print(
                f"{mode}: {outcome.passed} kills held, {outcome.torn} torn lines, {outcome.acknowledged} rows acknowledged"
            )
        conclude(
            sum(outcome.passed for outcome in outcomes.values()),
            [problem for outcome in outcomes.values() for problem in outcome.problems],
        )

    in_scratch(run)


if __name__ == "__main__":
    _at_length()
