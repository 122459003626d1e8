"""What every campaign shares: its command line, its closing line and its own processes."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from reports.record.anchor import STATE_DIR_VARIABLE

SHOWN = 20


def count_from_command_line(default: int, description: str | None) -> int:
    """The --count of a campaign's command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--count", type=int, default=default, help=f"how many attempts (default {default})")
    return int(parser.parse_args().count)


def conclude(passed: int, problems: Sequence[str], skipped: str = "") -> None:
    """Print the first problems and the closing line, and end the process: 1 when anything failed."""
    for problem in problems[:SHOWN]:
        print(problem)
    print(f"{passed} passed, {len(problems)} failed" + (f" ({skipped})" if skipped else ""))
    sys.exit(bool(problems))


def in_scratch(run: Callable[[Path], None]) -> None:
    """Run a campaign in a directory of its own, where each workspace keeps its own memory of heads."""
    with tempfile.TemporaryDirectory(prefix="stagegate-faults-") as scratch:
        os.environ.pop(STATE_DIR_VARIABLE, None)
        run(Path(scratch))


def spawn(body: Callable[[], None]) -> int:
    """Start `body` in a process of its own, which ends with status 0, or 1 and a traceback; returns its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        body()
        status = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(status)


def wait_for(child: int) -> int:
    """Exit status of a child, negative the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
