"""pytest and stagegate, each run a process of its own, forked from an interpreter that has imported the third-party packages and nothing of ours.

A refusal takes a third of a second that way instead of more than one, most of which Python spends importing numpy, scipy and pydantic.
Everything else is as when a person types the command: own process, own environment, own working directory, the repository's own code.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.end_to_end.desk import Desk, Ended, clean_environment

_SERVER: Final = """
import json, os, sys
import filelock, numpy, pandas, pandera.pandas, psutil, pyarrow.parquet, pydantic, pytest, scipy.special, xdist.plugin, pytest_jsonreport.plugin

def run(order):
    os.environ.clear()
    os.environ.update(order["variables"])
    os.chdir(order["folder"])
    sys.path[0] = order["folder"]
    with open(os.devnull) as nothing, open(order["output"], "wb") as output:
        os.dup2(nothing.fileno(), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.argv = [order["program"], *order["arguments"]]
    if order["program"] == "stagegate":
        from reports.desk.cli import main
        raise SystemExit(main())
    raise SystemExit(int(pytest.main()))

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        run(json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class WarmInterpreter:
    """Starts a program on order, one at a time."""

    def __init__(self) -> None:
        environment = clean_environment(Path.cwd()) | {"OPENBLAS_NUM_THREADS": "1"}
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def pytest(self, desk: Desk, *arguments: str, variables: Mapping[str, str] | None = None) -> Ended:
        """Run pytest as `Desk.pytest` does."""
        return self._run("pytest", desk, arguments, variables or {})

    def stagegate(self, desk: Desk, *arguments: str) -> Ended:
        """Run the stagegate command as `Desk.stagegate` does."""
        return self._run("stagegate", desk, arguments, {})

    def _run(self, program: str, desk: Desk, arguments: Sequence[str], variables: Mapping[str, str]) -> Ended:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        handle, output = tempfile.mkstemp(prefix="stagegate-output-")
        os.close(handle)
        order = {
            "program": program,
            "arguments": [*arguments, "--workspace", str(desk.workspace)],
            "folder": str(desk.repository),
            "variables": {**clean_environment(desk.workspace.parent), **variables},
            "output": output,
        }
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        status = int(self._server.stdout.readline())
        text = Path(output).read_text(encoding="utf-8", errors="replace")
        Path(output).unlink()
        return Ended(status, text)

    def stage(self, desk: Desk, tag: str, stage: str, *options: str) -> Ended:
        """Run a stage as `Desk.stage` does."""
        if not desk.packet(tag, stage).exists():
            desk.write_packet(tag, stage)
        return self.pytest(desk, *desk.stage_arguments(tag, stage), *options)

    def close(self) -> None:
        """End the interpreter."""
        self._server.communicate()
