"""What a record relies on of the machine and of whoever starts a process: that a child's end is heard, where words go, whose git and ssh-keygen are asked."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from io import TextIOWrapper
from typing import Final, Protocol

SYSTEM_FOLDERS: Final = ("/usr/bin", "/bin", "/usr/local/bin")
STREAMS: Final = ("stdin", "stdout", "stderr")

BEGUN_NS: Final = time.time_ns()
"""When this process began to read code of ours, of which this module is among the first."""


class Screen(Protocol):
    """Where words are shown."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


def settle() -> None:
    """Undo what a caller hands on that a record cannot stand on. To be called first by every program of ours.

    1. With SIGCHLD ignored, as some schedulers leave it, the system forgets how a child ended, and Python takes it for well: a signature that does not
       hold would.
    2. Where a standard stream is closed, the next file that is opened, the registry perhaps, takes its number, and with it what is printed. It is opened
       on nothing.
    3. A letter that a stream cannot spell is printed as its number.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, name in enumerate(STREAMS):
        try:
            os.fstat(number)
        except OSError:
            nothing = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
            os.set_inheritable(nothing, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def put(screen: Screen, text: str) -> None:
    """Show words. Where nobody reads any more, or there is no room, these and all that follow go to nowhere: what is recorded does not hang on who watches."""
    try:
        screen.write(text)
        screen.flush()
    except OSError:
        if isinstance(screen, TextIOWrapper):
            _divert(screen)


def _divert(stream: TextIOWrapper) -> None:
    """Lead a stream, and what it still holds, to nowhere."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)
    with suppress(OSError):
        stream.flush()


def program(name: str) -> str:
    """Path of an installed program: the system's own, else the first on PATH, which a caller sets as they like; the bare name where there is none."""
    return shutil.which(name, path=os.pathsep.join(SYSTEM_FOLDERS)) or shutil.which(name) or name
