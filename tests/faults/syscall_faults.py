"""A fault in each system call of a claim, of a whole run's end and of a recovery, one at a time, put there by strace.

Errors: ENOSPC, EIO and EROFS wherever the call could give them, ENOLCK for locks. Deaths: SIGKILL at the entry of each call. After every one of them
recovery must bring back a record that verifies, holds every row it held before and every row that was acknowledged.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engines.errors import StageGateError
from reports.record.registry import AnchorLagWarning, Registry
from reports.record.workspace import Workspace
from reports.verification.recover import recover
from reports.verification.verify import verify_workspace
from tests.faults.campaign import conclude, count_from_command_line, in_scratch, spawn, wait_for
from tests.reports.sample_record import begin, finish, rewrite, run_stage, start, write_pack

FAULTS = {
    "openat": ("error=ENOSPC", "error=EIO", "error=EROFS", "signal=SIGKILL"),
    "write": ("error=ENOSPC", "error=EIO", "error=EROFS", "signal=SIGKILL"),
    "fsync": ("error=ENOSPC", "error=EIO", "signal=SIGKILL"),
    "rename": ("error=ENOSPC", "error=EIO", "error=EROFS", "signal=SIGKILL"),
    "mkdir": ("error=ENOSPC", "error=EIO", "error=EROFS", "signal=SIGKILL"),
    "ftruncate": ("error=EIO", "error=EROFS", "signal=SIGKILL"),
    "flock": ("error=ENOLCK", "signal=SIGKILL"),
    "close": ("signal=SIGKILL",),
}
REFUSED = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """Faults after which all held, how many of all ended the process or made it refuse, and what did not hold."""

    passed: int
    struck: int
    problems: list[str]


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that writes records: what must be there first, and what is done."""

    name: str
    prepare: Callable[[Workspace], object]
    run: Callable[[Workspace], object]


def _after_a_crash(workspace: Workspace) -> None:
    write_pack(workspace, start(workspace, stage="s1"), "FAIL")
    start(workspace, "carry-01")
    rewrite(workspace, lambda raw: raw + b"5,STARTED,s0,val")


OPERATIONS = (
    Operation("first claim", lambda workspace: None, start),
    Operation("claim", run_stage, lambda workspace: start(workspace, stage="s1")),
    Operation(
        "pack and finish", start, lambda workspace: finish(workspace, Registry(workspace.root).rows()[0], "FAIL")
    ),
    Operation("recover", lambda workspace: (run_stage(workspace), _after_a_crash(workspace)), recover),
)


def missing() -> str:
    """Why this campaign cannot run here; empty when it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "-qq", "-e", "trace=none", "true"], capture_output=True, text=True)
    return f"strace may not trace here: {tried.stderr.strip()}" if tried.returncode else ""


def campaign(folder: Path, every: int = 1) -> Outcome:
    """Try every fault, or each `every`-th; one workspace for each."""
    passed, struck, problems = 0, 0, []
    cases = [case for operation in OPERATIONS for case in cases_of(operation, folder)]
    for number, (operation, call, nth, fault) in enumerate(cases[::every]):
        place = folder / f"case-{number}"
        problem = attempt(operation, place, call, nth, fault)
        struck += not (place / "told").exists()
        shutil.rmtree(place)
        passed += not problem
        problems += [f"{operation.name}, {call} {nth}, {fault}: {problem}"] if problem else []
    return Outcome(passed, struck, problems)


def cases_of(operation: Operation, folder: Path) -> Iterator[tuple[Operation, str, int, str]]:
    """Each system call of an undisturbed run, with each fault that can strike it."""
    place = folder / f"counted {operation.name}"
    workspace = prepared(operation, place)
    log = place / "calls"
    status = traced(operation, workspace, place, ["-o", str(log), "-e", f"trace={','.join(FAULTS)}"])
    if status:
        raise RuntimeError(f"{operation.name} ended with {status} although nothing was disturbed")
    calls = re.findall(r"^(?:\d+ +)?(\w+)\(", log.read_text(), re.MULTILINE)
    for call, faults in FAULTS.items():
        yield from ((operation, call, nth, fault) for nth in range(1, calls.count(call) + 1) for fault in faults)


def prepared(operation: Operation, place: Path) -> Workspace:
    """A workspace in which the operation may start."""
    workspace = begin(place / "desk")
    operation.prepare(workspace)
    return workspace


def traced(operation: Operation, workspace: Workspace, place: Path, options: list[str]) -> int:
    """Run the operation in a process of its own under strace; returns how it ended. What it acknowledged stands in `told`."""
    gate, opener = os.pipe()

    def body() -> None:
        signal.alarm(60)
        warnings.simplefilter("ignore", AnchorLagWarning)
        os.close(opener)
        os.read(gate, 1)
        try:
            operation.run(workspace)
        except StageGateError:
            os._exit(REFUSED)
        with suppress(OSError):  # the fault may strike here, where nothing is acknowledged yet
            (place / "told").touch()

    child = spawn(body)
    os.close(gate)
    tracer = subprocess.Popen(["strace", "-f", "-p", str(child), *options], stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    attached = tracer.stderr.readline()
    os.close(opener)
    status = wait_for(child)
    tracer.communicate()
    if "attached" not in attached:
        raise RuntimeError(f"strace did not attach: {attached}")
    return status


def attempt(operation: Operation, place: Path, call: str, nth: int, fault: str) -> str:
    """Let the fault strike, recover, and compare; empty when all holds."""
    workspace = prepared(operation, place)
    held = _whole_lines(workspace)
    status = traced(
        operation,
        workspace,
        place,
        ["-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{fault}:when={nth}"],
    )
    if status not in (0, REFUSED, -signal.SIGKILL):
        return f"ended with {status}"
    recover(workspace)
    verification = verify_workspace(workspace)
    if verification.findings:
        return f"verify says {verification.exit_code}: {verification.findings[0]}"
    lines = _whole_lines(workspace)
    if lines[: len(held)] != held:
        return "a row that was there is gone"
    if (place / "told").exists() and operation.name != "recover" and len(lines) == len(held):
        return "the acknowledged row is lost"
    return ""


def _whole_lines(workspace: Workspace) -> list[bytes]:
    raw = workspace.registry.read_bytes() if workspace.registry.exists() else b""
    return raw[: raw.rfind(b"\n") + 1].splitlines()


if __name__ == "__main__":
    step = count_from_command_line(1, "Try each COUNT-th fault (1: all of them).")
    cannot = missing()
    if cannot:
        conclude(0, (), skipped=f"skipped: {cannot}")

    def _at_length(scratch: Path) -> None:
        outcome = campaign(scratch, step)
        print(f"{outcome.struck} faults ended the process or were told as a refusal, the others were survived")
        conclude(outcome.passed, outcome.problems)

    in_scratch(_at_length)
