"""Workers forked from a server that has imported what they need: they are like fresh ones, and go with their run, however it ends."""

from __future__ import annotations

import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import execnet
import psutil
import pytest

from reports.run.workers import ForkServer, asks_for_workers

REPOSITORY = Path(__file__).resolve().parents[2]
CONFTEST = """
import os

import pytest

from reports.run.workers import ForkServer

server = ForkServer(("pytest", "numpy", PRELOADED)) if "PYTEST_XDIST_WORKER" not in os.environ else None


def pytest_configure():
    if server is not None:
        os.environ["SAID_LATE"] = "yes"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs):
    server.start_workers_of(specs)


def pytest_unconfigure():
    if server is not None:
        server.close()
"""
TELLS = """
import json
import os
import sys
from pathlib import Path


def test_tell(tmp_path_factory):
    told = {"parent": os.getppid(), "cwd": os.getcwd(), "late": os.environ.get("SAID_LATE"), "argv": sys.argv}
    told["numpy"] = "numpy" in sys.modules
    Path(f"told-{os.environ['PYTEST_XDIST_WORKER']}.json").write_text(json.dumps(told))


test_once_more = test_tell
"""


class Project:
    """A folder with a conftest.py that starts its workers as ours does."""

    def __init__(self, folder: Path, tests: str, preloaded: str = "json") -> None:
        self.folder = folder
        self.temporary = folder / (
            "a folder for temporary files, whose name is longer than a socket's may be " + "x" * 90
        )
        self.temporary.mkdir()
        (folder / "pyproject.toml").write_text("[tool.pytest]\naddopts = ['-p', 'no:cacheprovider']\n")
        (folder / "conftest.py").write_text(CONFTEST.replace("PRELOADED", repr(preloaded)))
        (folder / "test_it.py").write_text(tests)

    def start(self, workers: int) -> subprocess.Popen[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-n", str(workers)],
            cwd=self.folder,
            env=clean | {"PYTHONPATH": str(REPOSITORY), "TMPDIR": str(self.temporary)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, workers: int = 2) -> tuple[int, str]:
        process = self.start(workers)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    def left_over(self) -> list[str]:
        """Folders of servers that are still there."""
        return [path.name for path in self.temporary.glob("stagegate-workers-*")]


def wait_until(found: Sequence[Path]) -> None:
    deadline = time.monotonic() + 30
    while not all(path.exists() for path in found):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_each_worker_is_a_fork_with_the_streams_the_folder_and_the_environment_of_a_fresh_one(tmp_path: Path) -> None:
    project = Project(tmp_path, TELLS)
    status, output = project.run()
    assert status == 0, output
    told = [json.loads(path.read_text()) for path in tmp_path.glob("told-*.json")]
    assert len(told) == 2
    assert len({each["parent"] for each in told}) == 1
    assert told[0] | {"parent": 0} == {
        "parent": 0,
        "cwd": str(tmp_path),
        "late": "yes",
        "argv": ["-c"],
        "numpy": True,
    }
    assert project.left_over() == []


def test_a_worker_that_dies_is_told_and_replaced(tmp_path: Path) -> None:
    project = Project(
        tmp_path,
        "import os\n\n\ndef test_dies():\n    os._exit(0)\n\n\ndef test_lives():\n    pass\n\n\ntest_too = test_lives\n",
    )
    status, output = project.run()
    assert status == 1
    assert "worker 'gw0' crashed while running 'test_it.py::test_dies'" in output
    assert "1 failed, 2 passed" in output
    assert project.left_over() == []


def test_a_server_that_cannot_import_ends_the_run(tmp_path: Path) -> None:
    project = Project(tmp_path, "def test_nothing():\n    pass\n", preloaded="no_such_module")
    status, output = project.run()
    assert status not in (0, 5)
    assert "No module named 'no_such_module'" in output
    assert project.left_over() == []


@pytest.fixture
def many_open_files() -> Iterator[None]:
    """More than select(2) can wait for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    numbers = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    yield
    for number in numbers:
        os.close(number)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_open_files")
def test_a_worker_runs_the_line_it_is_given_and_says_what_nobody_caught() -> None:
    spec = execnet.XSpec("popen")
    server = ForkServer(("json",))
    server.start_workers_of([spec])
    said = []
    for line in ("print('json' in sys.modules); raise SystemExit(4)", "raise KeyError('lost')"):
        command = [*shlex.split(spec.python), "-u", "-c", "import sys;exec(eval(sys.stdin.readline()))"]
        done = subprocess.run(
            command, input=f"{'import sys; ' + line!r}\n", capture_output=True, text=True, check=False, timeout=30
        )
        said.append((done.stdout, done.stderr.splitlines()[-1:]))
    server.close()
    assert said == [("True\n", []), ("", ["KeyError: 'lost'"])]


def test_a_module_that_starts_a_thread_is_not_forked(tmp_path: Path) -> None:
    (tmp_path / "threaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    )
    project = Project(tmp_path, "def test_nothing():\n    pass\n", preloaded="threaded")
    status, output = project.run()
    assert status not in (0, 5)
    assert "has started a thread" in output


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_outlives_a_run_that_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    waits = "import time\nfrom pathlib import Path\n\nimport pytest\n\n\n@pytest.mark.parametrize('part', ['a', 'b'])\ndef test_waits(part):\n    Path(part).touch()\n    time.sleep(60)\n"
    project = Project(tmp_path, waits)
    process = project.start(2)
    wait_until([tmp_path / "a", tmp_path / "b"])
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 3
    if number == signal.SIGKILL:
        process.kill()
    else:
        os.killpg(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
    assert project.left_over() == []


WORKERS_ASKED = [
    "gates/s3 -n 8",
    "gates -n auto",
    "gates/s1 -n8",
    "-n 2",
    "--numprocesses=4 gates",
    "--numprocesses 10 gates",
]
NONE_ASKED = [
    "gates/s3",
    "gates/s3 -n 0",
    "gates -n0",
    "tests -n 2",
    "-n 2 tests/reports/test_workers.py",
    "--numprocesses=0 gates",
    "-v gates",
]


@pytest.mark.skipif(sys.platform != "linux", reason="the fork server is for Linux")
@pytest.mark.parametrize(
    ("line", "expected"), [(line, True) for line in WORKERS_ASKED] + [(line, False) for line in NONE_ASKED]
)
def test_which_command_lines_ask_for_workers(line: str, expected: bool) -> None:
    assert asks_for_workers(line.split()) is expected


def test_gates_find_what_they_need_imported(tmp_path: Path) -> None:
    (tmp_path / "recorder.py").write_text(
        "import sys\nfrom pathlib import Path\n\nbefore = set(sys.modules)\n\n\ndef pytest_sessionfinish(session):\n"
        "    if hasattr(session.config, 'workerinput'):\n"
        f"        Path({str(tmp_path / 'new')!r}).write_text(' '.join(set(sys.modules) - before))\n"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "STAGEGATE"))}
    subprocess.run(
        [sys.executable, "-m", "pytest", "gates/s0", "-q", "-n", "1", "-p", "recorder"],
        cwd=REPOSITORY,
        env=clean | {"PYTHONPATH": str(tmp_path)},
        check=False,
        capture_output=True,
    )
    new = (tmp_path / "new").read_text().split()
    ours = {name for name in new if name.startswith(("engines", "reports", "fixtures", "numpy", "scipy"))}
    only_s0_reads = {"engines.contract", "engines.long_table", "engines.reference"}
    assert ours <= {"reports.run.plugin", "reports.run.workers"} | only_s0_reads
