"""The clean child: pytest started afresh, with an environment and a command line of the supervisor's own making, shown and logged as it runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from reports.record.host import Screen, put

if TYPE_CHECKING:
    import psutil

RUN_VARIABLE: Final = "STAGEGATE_RUN"
"""Names the run file that tells a gate session what to run on; set by the supervisor or by a rehearsal, for the workers too."""

PASSED_ON: Final = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "PATH",
    "TMPDIR",
    "STAGEGATE_STATE_DIR",
    "SYSTEMROOT",
    "VIRTUAL_ENV",
)
THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "ARROW_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
PLUGINS: Final = ("xdist.plugin", "pytest_metadata.plugin", "pytest_jsonreport.plugin", "reports.run.plugin")
INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ESCAPES: Final = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


PR_SET_CHILD_SUBREAPER: Final = 36
GRACE_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class ChildRun:
    """How the child ended: its exit status (negative: killed by that signal) and the signal that interrupted us, if any.

    outlived: processes that it left behind, by name, which were then killed.
    """

    exit_status: int
    interrupted_by: str | None
    outlived: tuple[str, ...] = ()


def clean_environment(environ: Mapping[str, str], threads_per_worker: int) -> dict[str, str]:
    """The whole environment of every process of a recorded run; nothing else is inherited."""
    clean = {name: environ[name] for name in PASSED_ON if name in environ}
    clean |= {name: str(threads_per_worker) for name in THREAD_VARIABLES}
    return clean | {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        "TZ": "UTC",
    }


def child_environment(environ: Mapping[str, str], run_file: Path, threads_per_worker: int) -> dict[str, str]:
    """The clean environment, and in it what to run on."""
    return clean_environment(environ, threads_per_worker) | {RUN_VARIABLE: str(run_file)}


def one_thread_a_process(environ: MutableMapping[str, str]) -> None:
    """Keep compute libraries to one thread in this process and in workers it starts, unless the environment says otherwise.

    Workers are how gates use several cores: threads on top of them only wait for each other, and sums over threads differ in their last bits. It holds for
    libraries that are imported afterwards.
    """
    for name in THREAD_VARIABLES:
        environ.setdefault(name, "1")


def child_command(
    repository: Path, stage: str, processes: str, presentation: Sequence[str], json_report: Path
) -> list[str]:
    """The child's command line: the whole stage, from the repository's own configuration, with the plugins named one by one."""
    plugins = [part for name in PLUGINS for part in ("-p", name)]
    fixed = [f"gates/{stage}", "-c", str(repository / "pyproject.toml"), "--rootdir", str(repository), *plugins]
    report = [
        "--json-report",
        f"--json-report-file={json_report}",
        "--json-report-omit",
        "log",
        "streams",
        "warnings",
        "collectors",
    ]
    return [sys.executable, "-m", "pytest", *fixed, "-n", processes, *report, *presentation]


def run_child(
    command: Sequence[str], environment: Mapping[str, str], repository: Path, log: Path, terminal: Screen
) -> ChildRun:
    """Run the child to its end; everything it prints goes to `terminal` as it comes and, without colour, to `log`.

    SIGINT, SIGTERM and SIGHUP are passed on to the child's process group and remembered, so that an interrupted run is still recorded.
    """
    with _forwarding() as interrupted, _adopting() as orphans, log.open("xb") as logfile:
        process = subprocess.Popen(
            command,
            cwd=repository,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        interrupted.begin(process.pid)
        assert process.stdout is not None
        for chunk in iter(lambda: os.read(process.stdout.fileno(), 65536), b""):  # type: ignore[union-attr]
            logfile.write(_ESCAPES.sub(b"", chunk))
            logfile.flush()
            put(terminal, chunk.decode("utf-8", errors="replace"))
        process.stdout.close()
        status = process.wait()
        outlived = _end(orphans())
    return ChildRun(status, interrupted.name, outlived)


@contextmanager
def _adopting() -> Iterator[Callable[[], list[psutil.Process]]]:
    """Become the parent of whatever the child leaves behind (Linux only); the value says what that is by now."""
    import ctypes

    import psutil

    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    mine = psutil.Process()
    before = {process.pid for process in mine.children()}
    yield lambda: [process for process in mine.children() if process.pid not in before]


def _end(orphans: Sequence[psutil.Process]) -> tuple[str, ...]:
    """Give processes a moment to end by themselves and kill those that do not; these by name."""
    import psutil

    _, alive = psutil.wait_procs(orphans, timeout=GRACE_SECONDS)
    names = []
    for process in alive:
        try:
            names.append(f"{process.name()} ({process.pid})")
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=GRACE_SECONDS)
    return tuple(names)


class _Interruption:
    """Passes a first interrupt on to the child's group as SIGINT and every further one as SIGKILL."""

    def __init__(self) -> None:
        self.group: int | None = None
        self.name: str | None = None

    def begin(self, group: int) -> None:
        """From now on interrupts go to this group, one that came before it was there first."""
        self.group = group
        if self.name:
            os.killpg(group, signal.SIGINT)

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        forward = signal.SIGKILL if self.name else signal.SIGINT
        self.name = signal.Signals(number).name
        if self.group is not None:
            try:
                os.killpg(self.group, forward)
            except ProcessLookupError:
                return


@contextmanager
def _forwarding() -> Iterator[_Interruption]:
    """Forward interrupts while the child runs; the former handlers return afterwards."""
    interruption = _Interruption()
    former = {number: signal.signal(number, interruption) for number in INTERRUPTS}
    try:
        yield interruption
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
