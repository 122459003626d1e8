"""The process that workers are forked from: it imports once what all of them need, and waits.

    controller      starts this process and holds one end of `control`; when that closes, for whatever reason, the server ends
    hand_over.py    is what xdist starts for each worker: it sends its standard streams, folder and environment to `listener`, and ends
    worker          a fork of the server with those streams: it does what `python -c` would do with the line that execnet sends

A fork holds what was imported in the same memory and starts in a tenth of the time. It is made while the server has one thread, has opened nothing and
has run no test, so that it is as good as a fresh process. Linux only.
"""

from __future__ import annotations

import array
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

N_STREAMS: Final = 3
GRACE_SECONDS: Final = 10.0
"""How long workers may take to end after the controller has; xdist gives them as long."""


def main(listener_fd: int, control_fd: int, folder: str, preload: Sequence[str]) -> None:
    """Import what is named, then fork a worker for whoever asks until the controller closes `control`; wait for the workers, kill what does not end, and clear `folder`."""
    try:
        with socket.socket(fileno=listener_fd) as listener, socket.socket(fileno=control_fd) as control:
            _import(preload)
            workers = _serve(listener, control)
        _wait_for(workers)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _import(names: Sequence[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whether a run goes on is the controller's to say
    for name in names:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # so that a collection in a worker does not touch, and thereby copy, what it shares
    if len(list(Path("/proc/self/task").iterdir())) != 1:
        raise RuntimeError("an imported module has started a thread: a fork would lack it")


def _serve(listener: socket.socket, control: socket.socket) -> list[int]:
    """The process ids of all workers that were forked."""
    workers: list[int] = []
    poll = select.poll()
    for end in (listener, control):
        poll.register(end, select.POLLIN)
    while control.fileno() not in (ready := dict(poll.poll())):
        if listener.fileno() in ready:
            streams, cwd, environ = _received(listener)
            worker = os.fork()
            if worker == 0:
                listener.close()
                control.close()
                _become_worker(streams, cwd, environ)
            workers.append(worker)
            for stream in streams:
                os.close(stream)
    return workers


def _received(listener: socket.socket) -> tuple[list[int], str, dict[str, str]]:
    """The three streams, the folder and the environment that hand_over.py sends."""
    connection, _ = listener.accept()
    with connection:
        streams = array.array("i")
        _, ancillary, *_ = connection.recvmsg(1, socket.CMSG_SPACE(N_STREAMS * streams.itemsize))
        streams.frombytes(ancillary[0][2][: N_STREAMS * streams.itemsize])
        words = json.loads(b"".join(iter(lambda: connection.recv(65536), b"")))
    return streams.tolist(), words["cwd"], words["environ"]


def _become_worker(streams: Iterable[int], cwd: str, environ: dict[str, str]) -> None:
    """Be the process that execnet believes it started, and end as it would; never returns."""
    status = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environ)
        sys.argv = ["-c"]
        sys.modules["__main__"] = main_module = ModuleType("__main__")
        exec(eval(sys.stdin.readline()), main_module.__dict__)  # noqa: S102, S307 - execnet's own first line, from its own pipe
        status = 0
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    finally:
        if sys.exc_info()[0] is not None:  # nobody caught it: say so, as the interpreter does
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _wait_for(workers: list[int]) -> None:
    """Wait until they have ended; kill those that do not in time."""
    deadline = time.monotonic() + GRACE_SECONDS
    while workers and time.monotonic() < deadline:
        workers = [worker for worker in workers if os.waitpid(worker, os.WNOHANG)[0] == 0]
        time.sleep(0.01)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
