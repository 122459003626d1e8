"""The clean child: what it inherits, what it is told, and what becomes of a signal."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from reports.run.child import (
    PASSED_ON,
    PLUGINS,
    RUN_VARIABLE,
    THREAD_VARIABLES,
    child_command,
    child_environment,
    run_child,
)

DIRTY = {
    "HOME": "/home/olga",
    "PATH": "/bin",
    "PYTHONPATH": "/evil",
    "PYTEST_ADDOPTS": "-k x",
    "LD_PRELOAD": "/evil.so",
    "GIT_DIR": "/evil",
    "OMP_NUM_THREADS": "64",
    "TZ": "Asia/Tokyo",
    "PYTHONHASHSEED": "random",
    "AWS_SECRET_ACCESS_KEY": "secret",
}


def run(tmp_path: Path, body: str) -> tuple[object, bytes, str]:
    """Run a child of this body; its ChildRun, its log and what the terminal saw."""
    terminal = io.StringIO()
    command = [sys.executable, "-c", body]
    ended = run_child(command, {"PATH": os.environ["PATH"]}, tmp_path, tmp_path / "run.log", terminal)
    return ended, (tmp_path / "run.log").read_bytes(), terminal.getvalue()


def test_nothing_is_inherited_that_is_not_on_the_list():
    clean = child_environment(DIRTY, Path("/w/run.json"), 1)
    assert {name for name in clean if name in DIRTY and clean[name] == DIRTY[name]} == {"HOME", "PATH"}
    assert clean.keys() <= {
        *PASSED_ON, *THREAD_VARIABLES, RUN_VARIABLE, "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTHONHASHSEED", "PYTHONNOUSERSITE", "PYTHONUNBUFFERED", "TZ",
    }  # fmt: skip
    assert (clean["TZ"], clean["PYTHONHASHSEED"], clean["OMP_NUM_THREADS"]) == ("UTC", "0", "1")
    assert clean[RUN_VARIABLE] == "/w/run.json"


def test_the_command_line_is_ours():
    command = child_command(Path("/r"), "s3", "8", ("-v",), Path("/w/report.json"))
    assert command[:4] == [sys.executable, "-m", "pytest", "gates/s3"]
    assert command[command.index("-c") + 1] == "/r/pyproject.toml"
    assert command[command.index("-n") + 1] == "8"
    assert [command[place + 1] for place, part in enumerate(command) if part == "-p"] == list(PLUGINS)
    assert "--json-report-file=/w/report.json" in command
    assert command[-1] == "-v"


def test_what_it_prints_is_shown_and_logged_without_colour(tmp_path):
    body = r"import sys; print('\x1b[32mgreen\x1b[0m'); sys.stdout.flush(); print('to stderr', file=sys.stderr); sys.exit(3)"
    ended, log, shown = run(tmp_path, body)
    assert (ended.exit_status, ended.interrupted_by) == (3, None)
    assert log == b"green\nto stderr\n"
    assert shown == "\x1b[32mgreen\x1b[0m\nto stderr\n"


def test_bytes_that_are_no_text_are_logged_as_they_are(tmp_path):
    _, log, shown = run(tmp_path, r"import sys; sys.stdout.buffer.write(b'\xff\xfe\n')")
    assert log == b"\xff\xfe\n"
    assert shown.endswith("\n")


def test_a_child_that_is_killed_says_by_which_signal(tmp_path):
    ended, _, _ = run(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert ended.exit_status == -signal.SIGKILL


def test_a_child_cannot_read_the_terminal(tmp_path):
    _, log, _ = run(tmp_path, "import sys; print(repr(sys.stdin.read()))")
    assert log == b"''\n"


def test_a_log_is_never_overwritten(tmp_path):
    (tmp_path / "run.log").touch()
    with pytest.raises(FileExistsError):
        run(tmp_path, "print(1)")


def test_whoever_watches_may_leave(tmp_path):
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    command = [sys.executable, "-c", "print('still here')"]
    ended = run_child(command, {}, tmp_path, tmp_path / "run.log", Gone())
    assert ended.exit_status == 0
    assert (tmp_path / "run.log").read_text() == "still here\n"


SUPERVISOR = """
import os, sys
from pathlib import Path
from typing import Any
from reports.run.child import run_child

body = "import time, signal; {handler}; print('ready', flush=True); time.sleep(60)"
ended = run_child([sys.executable, "-c", body], dict(os.environ), Path.cwd(), Path(sys.argv[1]), sys.stdout)
print(ended.exit_status, ended.interrupted_by, flush=True)
"""


def interrupted(tmp_path: Path, handler: str, *numbers: signal.Signals) -> list[str]:
    """What a supervisor prints whose child is asleep when these signals come in."""
    command = [sys.executable, "-c", SUPERVISOR.replace("{handler}", handler), str(tmp_path / "run.log")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert process.stdout is not None
    lines = [process.stdout.readline().strip()]
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.2)
    lines += process.communicate(timeout=30)[0].split("\n")
    return [line for line in lines if line]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_reaches_the_child_and_is_remembered(tmp_path, number):
    handler = "signal.signal(signal.SIGINT, signal.SIG_DFL)"
    assert interrupted(tmp_path, handler, number) == ["ready", f"{-signal.SIGINT} {number.name}"]


def test_a_second_interrupt_kills_a_child_that_does_not_listen(tmp_path):
    handler = "signal.signal(signal.SIGINT, signal.SIG_IGN)"
    assert interrupted(tmp_path, handler, signal.SIGTERM, signal.SIGTERM) == ["ready", f"{-signal.SIGKILL} SIGTERM"]


def test_the_former_handlers_return(tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    run(tmp_path, "pass")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands orphans to whoever asks for them")
def test_what_outlives_the_child_is_killed_and_named(tmp_path):
    leaving = (
        "import subprocess, sys\n"
        "left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True,"
        " stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(left.pid)\n"
    )
    ended, log, _ = run(tmp_path, leaving)
    (named,) = ended.outlived
    assert f"({int(log)})" in named
    with pytest.raises(ProcessLookupError):
        os.kill(int(log), 0)


def test_a_child_that_leaves_nothing_behind_is_said_to(tmp_path):
    assert run(tmp_path, "pass")[0].outlived == ()


def test_an_interrupt_before_the_child_is_there_reaches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = subprocess.Popen

    def late(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        os.kill(os.getpid(), signal.SIGINT)
        return started(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", late)
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    ended = run_child(command, {"PATH": os.environ["PATH"]}, tmp_path, tmp_path / "run.log", io.StringIO())
    assert (ended.interrupted_by, ended.exit_status) in {("SIGINT", 1), ("SIGINT", -signal.SIGINT)}
