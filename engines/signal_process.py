"""A user's signal in a process of its own: a panel goes in, numbers come out, and nothing else passes between them.

What a user's file does to the interpreter that runs it thus never reaches the one that measures and judges. The process knows the panel it is given and
nothing of the run; each call begins with the file freshly executed, so that no call knows what another was given; see engines.signal_host for what is
closed to it.

A message, both ways: the length of the head (8 bytes, big-endian), the head as JSON with the names of its arrays, then each array as .npy.
"""

from __future__ import annotations

import ast
import atexit
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from engines.digest import sha256_bytes
from engines.errors import SignalError

if TYPE_CHECKING:
    from engines.panel import Panel

Arrays = dict[str, NDArray[Any]]

ROOT: Final = Path(__file__).resolve().parents[1]
PASSED_ON: Final = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH", "TMPDIR", "SYSTEMROOT")
THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_HOST: Final = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from engines.signal_host import serve; serve()"
_STATE_PREFIX: Final = "state."
CHUNK_BYTES: Final = 1 << 20
END_OF_ANSWER: Final = bytes(8)
"""Sent once a call's own process has ended; in place of an answer, it is none."""


@dataclass(frozen=True, slots=True)
class UserFile:
    """A user's signal file as it was read once: everything that runs is this text."""

    name: str
    source: str
    bound: frozenset[str]  # names that the file binds at its top level
    imports: tuple[str, ...]  # modules that it names in imports, wherever they stand


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a function of a user's file. role: `score` or `fit`; what, label: how an error names it."""

    file: UserFile
    function: str
    role: str
    what: str
    label: str
    parameters: Mapping[str, Any]
    state: Mapping[str, NDArray[Any]] | None = None


def read_user_file(path: Path) -> UserFile:
    """Read a user's file without executing it. SignalError when it cannot be read or is no Python."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SignalError(
            f"{path.name} cannot be read: {error.strerror}",
            where="signal.function",
            remedy="put the file beside the candidate file",
        ) from error
    return _parsed(path.name, data)


@lru_cache(maxsize=8)
def _parsed(name: str, data: bytes) -> UserFile:
    try:
        source = data.decode()
        tree = ast.parse(source, name)
    except (SyntaxError, ValueError) as error:
        raise SignalError(
            f"{name} cannot be imported: {type(error).__name__}: {error}",
            where="signal.function",
            remedy="name a file of Python source, in UTF-8, that can be imported by itself",
        ) from error
    return UserFile(name, source, frozenset(_bound(tree)), tuple(dict.fromkeys(_imported(tree))))


def _bound(tree: ast.Module) -> list[str]:
    """Names that the top level binds, also under its `if` and `try`."""
    names: list[str] = []
    inside = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    waiting: list[ast.AST] = [*tree.body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.append(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.extend((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        if not isinstance(node, inside):
            waiting.extend(ast.iter_child_nodes(node))
    return names


def _imported(tree: ast.Module) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.append(node.module)
            names.extend(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def call_apart(call: Call, panel: Panel) -> Arrays:
    """What the user's function returns, as arrays by name (a score: one named `score`).

    Raises SignalError for whatever it raises, for what it returns when that is no number, and when its process does not come back.
    """
    parts = _parts(panel)
    state = {f"{_STATE_PREFIX}{name}": np.asarray(value) for name, value in (call.state or {}).items()}
    arrays = {name: value for name, value in parts.items() if isinstance(value, np.ndarray)} | state
    head = {
        "file": call.file.name,
        "source": call.file.source,
        "imports": list(call.file.imports),
        "function": call.function,
        "role": call.role,
        "what": call.what,
        "label": call.label,
        "parameters": dict(call.parameters),
        "fitted": call.state is not None,
        "panel": {name: value for name, value in parts.items() if not isinstance(value, np.ndarray)},
    }
    answer, found = _host().ask(head, arrays, call)
    if "error" in answer:
        raise SignalError(answer["error"], where=answer["where"], remedy=answer["remedy"])
    return found


def _parts(panel: Panel) -> dict[str, Any]:
    return {field.name: value for field in fields(panel) if (value := getattr(panel, field.name)) is not None}


class SignalHost:
    """The process that answers calls one at a time; started when first asked, ended with this one."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        environment = {name: os.environ[name] for name in (*PASSED_ON, *THREAD_VARIABLES) if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-s", "-c", _HOST],
            env={**environment, "PYTHONHASHSEED": "0", "PYTHONNOUSERSITE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._calls, self._answers = Pipe(self._process.stdin), Pipe(self._process.stdout)

    def ask(self, head: Mapping[str, Any], arrays: Arrays, call: Call) -> tuple[dict[str, Any], Arrays]:
        """Send a call and wait for its answer. SignalError when the process ends instead."""
        try:
            send(self._calls, head, arrays)
            answer, found = receive(self._answers)
            if self._answers.read(len(END_OF_ANSWER)) != END_OF_ANSWER:
                raise EOFError
            return answer, found
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise SignalError(
                f"{call.what} did not come back: its process ended with {self.close()}",
                where=call.label,
                remedy="run the function on the panel by itself; it must return, and neither exit nor print to file descriptor 1",
            ) from error

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked from this process."""
        return self.owner == os.getpid() and self._process.poll() is None

    def close(self) -> str:
        """End the process; says how it ended, `signal 11` or `exit status 3`."""
        for pipe in (self._calls, self._answers):
            try:
                pipe.close()
            except BrokenPipeError:  # what was still buffered has no reader
                continue
        status = self._process.wait()
        _current.clear()
        return f"signal {-status}" if status < 0 else f"exit status {status}"


_current: dict[str, SignalHost] = {}


def _host() -> SignalHost:
    host = _current.get("host")
    if host is None or not host.is_alive:
        host = _current["host"] = SignalHost()
        atexit.register(_end, host)
    return host


def _end(host: SignalHost) -> None:
    if host.is_alive:
        host.close()


class Pipe:
    """One end of a pipe: reads exactly what is asked for and nothing ahead, so that a host and its forks can take turns at it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int = 0, /) -> bytes:
        """`size` bytes, fewer at the end."""
        parts = []
        while size > 0 and (part := self._stream.read(min(size, CHUNK_BYTES))):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def write(self, data: bytes) -> None:
        """Write all of `data`."""
        self._stream.write(data)

    def flush(self) -> None:
        """Send what is buffered."""
        self._stream.flush()

    def close(self) -> None:
        """Close this end."""
        self._stream.close()


def send(stream: Pipe, head: Mapping[str, Any], arrays: Arrays) -> None:
    """Write one message."""
    text = json.dumps({**head, "arrays": list(arrays)}).encode()
    stream.write(len(text).to_bytes(8, "big") + text)
    for array in arrays.values():
        np.lib.format.write_array(stream, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False)
    stream.flush()


def receive(stream: Pipe) -> tuple[dict[str, Any], Arrays]:
    """Read one message: its head and its arrays, read-only. EOFError at the end of the stream, ValueError for what is no message."""
    head = receive_head(stream)
    return head, receive_arrays(stream, head)


def receive_head(stream: Pipe) -> dict[str, Any]:
    """The head of the next message; see `receive`."""
    length = stream.read(8)
    if len(length) < 8:
        raise EOFError
    head: dict[str, Any] = json.loads(stream.read(int.from_bytes(length, "big")))
    return head


def receive_arrays(stream: Pipe, head: Mapping[str, Any]) -> Arrays:
    """The arrays that follow a head; see `receive`."""
    arrays = {name: np.asarray(np.lib.format.read_array(stream, allow_pickle=False)) for name in head["arrays"]}
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


def state_of(arrays: Arrays) -> Arrays:
    """The part of a message's arrays that is the state of a fit."""
    return {name.removeprefix(_STATE_PREFIX): value for name, value in arrays.items() if name.startswith(_STATE_PREFIX)}


def fingerprint(file: UserFile) -> str:
    """sha256 of the text that runs."""
    return sha256_bytes(file.source.encode())
