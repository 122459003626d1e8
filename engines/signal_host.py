"""The other side of engines.signal_process: executes a user's signal file on the panel it is sent.

Started by name with nothing but its pipes. For each call it forks, and in the fork, before a line of the user's file runs:

- files: none can be opened, read or written, by Python or by a library (RLIMIT_NOFILE is 0), so that a signal knows the panel and not what lies on the disk;
- imports: what the interpreter and the environment hold can be, and nothing else;
- standard output: goes to standard error.
"""

from __future__ import annotations

import importlib
import os
import random
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from engines.errors import SignalError
from engines.fitting import checked_state
from engines.panel import Panel
from engines.signal_process import END_OF_ANSWER, ROOT, Arrays, Pipe, receive_arrays, receive_head, send, state_of
from engines.signals import STATE, call_signal, checked_score, number_or_array


def serve() -> None:
    """Answer calls from standard input on standard output until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")  # of numbers that are not there, once a call
    asked, answers = Pipe(os.fdopen(os.dup(0), "rb", buffering=0)), Pipe(os.fdopen(os.dup(1), "wb"))
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    while True:
        try:
            head = receive_head(asked)
        except EOFError:
            return
        for name in head["imports"]:
            _import_if_there(name)
        child = os.fork()
        if child == 0:
            _answer(head, asked, answers)
        _end_unless_answered(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        answers.write(END_OF_ANSWER)
        answers.flush()


def _end_unless_answered(status: int) -> None:
    """End as the fork of a call ended, unless it ended in order: who asked sees the pipe close and learns how."""
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    if status:
        os._exit(status)


def _import_if_there(name: str) -> None:
    """Import what a user's file will import. One that fails will fail in the file too, where it may be expected."""
    try:
        importlib.import_module(name)
    except (ImportError, AttributeError):
        return


class _Installed:
    """The only finder in a fork: finds what the interpreter and the environment hold, and opens files for as long as that takes."""

    def __init__(self) -> None:
        self._finders = tuple(sys.meta_path)
        self._roots = tuple(Path(root).resolve() for root in (sys.prefix, sys.base_prefix, ROOT / "engines"))
        self._open = False
        self._limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        sys.addaudithook(self._audit)
        self.close()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the finders of the interpreter find, when it lies where installed modules lie."""
        with self.files():
            found = (finder.find_spec(name, path, target) for finder in self._finders)
            spec = next((each for each in found if each is not None), None)
        if spec is None or spec.loader is None or not spec.has_location:
            return spec
        if not any(root in Path(spec.origin or "").resolve().parents for root in self._roots):
            return None
        spec.loader = _Opening(spec.loader, self)
        return spec

    @contextmanager
    def files(self) -> Iterator[None]:
        """Let files be opened within the block."""
        was_open, self._open = self._open, True
        resource.setrlimit(resource.RLIMIT_NOFILE, self._limit)
        try:
            yield
        finally:
            if not was_open:
                self.close()

    def close(self) -> None:
        """Let no file be opened from here on."""
        self._open = True
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, self._limit[1]))
        self._open = False

    def _audit(self, event: str, _arguments: tuple[object, ...]) -> None:
        if event in ("resource.setrlimit", "resource.prlimit") and not self._open:
            raise PermissionError("a signal may not change its limits")


class _Opening(Loader):
    """A loader whose module may be read from its file."""

    def __init__(self, loader: Loader, installed: _Installed) -> None:
        self._loader = loader
        self._installed = installed

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the loader does."""
        with self._installed.files():
            return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As the loader does."""
        with self._installed.files():
            self._loader.exec_module(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def _answer(head: Mapping[str, Any], asked: Pipe, answers: Pipe) -> None:
    """In the fork: make the call, send what came of it, and end."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        arrays = receive_arrays(asked, head)
        random.seed()
        np.random.seed()  # noqa: NPY002 the user's file may draw from it, and every fork would draw the same
        sys.meta_path[:] = [_Installed()]
        try:
            found, answer = _call(head, arrays), {}
        except SignalError as error:
            found, answer = {}, {"error": error.what, "where": error.where, "remedy": error.remedy}
        send(answers, answer, found)
        os._exit(0)
    finally:
        os._exit(1)  # SystemExit, KeyboardInterrupt, MemoryError: no answer


def _call(head: Mapping[str, Any], arrays: Arrays) -> Arrays:
    state = state_of(arrays)
    parts: dict[str, Any] = {name: arrays[name] for name in arrays.keys() - _prefixed(state)}
    panel = Panel(**_panel_parts(head["panel"]), **parts)
    function = _function(head)
    parameters = dict(head["parameters"])
    if head["fitted"]:
        parameters[STATE] = {name: number_or_array(value) for name, value in state.items()}
    returned = call_signal(function, head["what"], head["label"], panel, **parameters)
    if head["role"] == "fit":
        return dict(checked_state(returned, head["what"], head["label"]))
    return {"score": checked_score(returned, panel.close.shape, head["what"], head["label"])}


def _prefixed(state: Arrays) -> set[str]:
    return {f"state.{name}" for name in state}


def _panel_parts(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The panel's parts that are no arrays; JSON knows no tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in parts.items()}


def _function(head: Mapping[str, Any]) -> Callable[..., object]:
    """The function of the user's file, which is executed for it."""
    module = ModuleType("candidate_signal")
    module.__file__ = head["file"]
    sys.modules[module.__name__] = module  # dataclasses and annotations inside the file look their module up
    try:
        exec(compile(head["source"], head["file"], "exec"), module.__dict__)  # noqa: S102
    except Exception as error:
        raise SignalError(
            f"{head['file']} cannot be imported: {type(error).__name__}: {error}",
            where="signal.function",
            remedy="import the file by itself and mend what it raises; it may use installed packages, and open no file",
        ) from error
    function = getattr(module, head["function"], None)
    if not callable(function):
        raise SignalError(
            f"{head['file']} defines no function {head['function']!r}; it is a {type(function).__name__}",
            where="signal.function",
            remedy=f"define {head['function']}(panel, **parameters) in {head['file']}",
        )
    return function  # type: ignore[no-any-return]
