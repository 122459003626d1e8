"""The second measurement as a process: it goes with what it has forked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from reports.record.errors import RecordError
from reports.run.remeasure import Remeasurement

FORKING = """if True:
    import os, sys, time
    if os.fork() == 0:
        time.sleep(600)
    print("forked", flush=True)
    time.sleep({seconds})
"""


def started(script: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def test_what_it_has_forked_ends_with_it() -> None:
    process = started(FORKING.format(seconds=600))
    assert process.stdout is not None
    assert process.stdout.readline() == b"forked\n"
    (fork,) = psutil.Process(process.pid).children()
    Remeasurement(process).end()
    assert process.returncode is not None
    fork.wait(timeout=30)


@pytest.mark.parametrize(
    "script", ["raise SystemExit('no such file')", "import os; os.kill(os.getpid(), 9)", "print([])"]
)
def test_what_does_not_answer_for_each_run_measured_none(script: str) -> None:
    measurement = Remeasurement(started(script))
    measurement.begin(Path("run.json"), ["0" * 64, "1" * 64])
    results = measurement.results()
    assert len(results) == 2
    assert all(isinstance(result, RecordError) for result in results)
