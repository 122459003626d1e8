"""What does not come back is INCOMPLETE, what crashes is closed by recovery, and neither is ever lost or taken for a pass."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.conftest import Road
from tests.end_to_end.desk import Desk, commit, copy_repository, rewrite
from tests.end_to_end.warm import WarmInterpreter

TAG = "mischief-1"
HOOK = """    from pathlib import Path

    exec((Path(candidate.base_dir) / "mischief.py").read_text())
"""
"""A gate that does whatever a file beside the candidate says: committed before S0, as a careless gate would be."""

PATIENCE_SECONDS = 60
SLEEP = "import time, pathlib; pathlib.Path(candidate.base_dir, 'asleep').touch(); time.sleep(300)"


def careless_repository(folder: Path) -> None:
    copy_repository(folder)
    gate = folder / "gates" / "s0" / "test_scope.py"
    rewrite(
        gate,
        "def test_no_threshold_is_loosened(loosened_thresholds, candidate, evidence):\n",
        "def test_no_threshold_is_loosened(loosened_thresholds, candidate, evidence):\n" + HOOK,
    )
    commit(folder, "A careless gate")


@pytest.fixture
def careless(road: Road, tmp_path: Path) -> Desk:
    """A fresh desk whose gates do what mischief.py says."""
    repository = road.built("careless", careless_repository)
    return replace(road.fresh(tmp_path), repository=repository)


def plan(desk: Desk, mischief: str) -> None:
    (desk.candidate.parent / "mischief.py").write_text(mischief, encoding="utf-8")


def assert_recorded_incomplete(desk: Desk, warm: WarmInterpreter, status: int, output: str) -> None:
    """Exit 2, a FINISHED INCOMPLETE row with a whole pack, and a record that verifies."""
    assert status == 2, output
    assert "verdict       INCOMPLETE" in output
    assert [(row["event"], row["verdict"]) for row in desk.rows()] == [("STARTED", ""), ("FINISHED", "INCOMPLETE")]
    report = desk.report("s0")
    assert (report["verdict"], report["overall_pass"]) == ("INCOMPLETE", False)
    assert report["failures"]
    verified = warm.stagegate(desk, "verify")
    assert verified.status == 0, verified.output


def test_an_honest_gate_in_the_same_place_passes(careless, warm):
    plan(careless, "")
    ended = warm.stage(careless, TAG, "s0")
    assert ended.status == 0, ended.output


MISCHIEF = {
    "a process that leaves": ("import os; os._exit(0)", "0"),
    "a worker that is killed": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "2"),
    "pytest.exit": ("import pytest; pytest.exit('done', returncode=0)", "0"),
}


@pytest.mark.parametrize("name", MISCHIEF)
def test_a_gate_that_does_not_come_back_makes_the_run_incomplete(careless, warm, name):
    mischief, workers = MISCHIEF[name]
    plan(careless, mischief)
    ended = warm.stage(careless, TAG, "s0", "-n", workers)
    assert_recorded_incomplete(careless, warm, ended.status, ended.output)


def test_a_figure_that_could_not_be_measured_is_a_recorded_failure(careless, warm):
    plan(careless, "evidence('s0.policy_not_loosened', float('nan'))")
    ended = warm.stage(careless, TAG, "s0")
    assert ended.status == 1, ended.output
    finished = careless.finished("s0")
    assert (finished["verdict"], finished["weakest_gate"], finished["weakest_margin"]) == (
        "FAIL",
        "s0.policy_not_loosened",
        "",
    )
    verified = warm.stagegate(careless, "verify")
    assert verified.status == 0, verified.output


def started_and_asleep(desk: Desk) -> subprocess.Popen[bytes]:
    """A run whose child sits in a gate."""
    plan(desk, SLEEP)
    supervisor = desk.start(TAG, "s0")
    wait_until(lambda: (desk.candidate.parent / "asleep").exists() or supervisor.poll() is not None)
    assert supervisor.poll() is None, supervisor.communicate()[0].decode()
    return supervisor


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupted_run_is_recorded_as_incomplete(careless, warm, number):
    supervisor = started_and_asleep(careless)
    supervisor.send_signal(number)
    output = supervisor.communicate(timeout=PATIENCE_SECONDS)[0].decode()
    assert_recorded_incomplete(careless, warm, supervisor.returncode, output)
    assert f'"interrupted_by": "{number.name}"' in (careless.pack("s0") / "environment.json").read_text(
        encoding="utf-8"
    )


def test_a_killed_supervisor_leaves_a_started_row_that_recovery_closes(careless, warm):
    supervisor = started_and_asleep(careless)
    gates = psutil.Process(supervisor.pid).children()
    supervisor.kill()
    supervisor.communicate()
    for process in gates:
        os.killpg(process.pid, signal.SIGKILL)

    assert [row["event"] for row in careless.rows()] == ["STARTED"]
    before = careless.listing()
    found = warm.stagegate(careless, "verify")
    assert (found.status, careless.listing()) == (7, before), found.output
    assert "recover" in found.output

    recovered = warm.stagegate(careless, "recover")
    assert recovered.status == 0, recovered.output
    assert [(row["event"], row["verdict"]) for row in careless.rows()] == [("STARTED", ""), ("ABANDONED", "")]
    assert warm.stagegate(careless, "verify").status == 0
    assert warm.stagegate(careless, "recover").output.strip() == "nothing to recover"

    plan(careless, "")
    again = careless.stage_arguments("mischief-2", "s0")
    careless.write_packet("mischief-2", "s0")
    refused = warm.pytest(careless, *again)
    assert refused.status == 4, refused.output
    assert "ended as ABANDONED: expected a new tag to name it" in refused.output
    refused = warm.pytest(careless, *again, "--supersedes", TAG, "--root-cause", "data:late file")
    assert refused.status == 4, refused.output
    assert "use environment:" in refused.output
    taken = warm.pytest(careless, *again, "--supersedes", TAG, "--root-cause", "environment:the machine lost power")
    assert taken.status == 0, taken.output
