"""How xdist's workers are started: forked from one process that imports while the controller does. See fork_server.py for the other side."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import execnet

HAND_OVER: Final = Path(__file__).with_name("hand_over.py")
SERVER: Final = """
import sys
sys.path[:] = {path!r}
from reports.run.fork_server import main
main({listener}, {control}, {folder!r}, {preload!r})
"""
END_SECONDS: Final = 30.0
_WORKERS: Final = re.compile(r"(?:^|\s)(?:-n|--numprocesses)[=\s]*(?!0\s)\w")
_OWN_TESTS: Final = re.compile(r"(?:^|\s)(?:\S*/)?tests(?:/|\s)")


def asks_for_workers(arguments: Sequence[str]) -> bool:
    """Does a command line run gates on several workers? A guess, made before pytest has read it, that decides nothing but how workers are started."""
    line = f"{' '.join(arguments)} "
    return sys.platform == "linux" and bool(_WORKERS.search(line)) and not _OWN_TESTS.search(line)


class ForkServer:
    """The server and the folder of its socket, which only this account may enter; both go with `close`, or when this process ends without it.

    preload: modules that every worker needs. None that brings a plugin of pytest, which rewrites the assertions of those as it imports them.
    """

    def __init__(self, preload: Sequence[str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="stagegate-workers-"))
        self._control, control = socket.socketpair()
        with control, socket.socket(socket.AF_UNIX) as listener:
            self._bind(listener)
            ends = {"listener": listener.fileno(), "control": control.fileno()}
            code = SERVER.format(path=sys.path, folder=str(self._folder), preload=tuple(preload), **ends)
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                pass_fds=tuple(ends.values()),
            )

    def _bind(self, listener: socket.socket) -> None:
        folder = os.open(self._folder, os.O_DIRECTORY)
        try:
            listener.bind(f"/proc/self/fd/{folder}/socket")  # the path of a socket may be no longer than 107 bytes
        finally:
            os.close(folder)
        listener.listen(socket.SOMAXCONN)

    def start_workers_of(self, specs: Iterable[execnet.XSpec]) -> None:
        """Have xdist start the workers of these specs here; those on other machines, or of another Python, stay as they are."""
        for spec in specs:
            if spec.popen and not spec.python:
                spec.python = shlex.join([sys.executable, "-I", "-S", str(HAND_OVER), str(self._folder)])

    def close(self) -> None:
        """End the server, which waits for its workers."""
        self._control.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            shutil.rmtree(self._folder, ignore_errors=True)
