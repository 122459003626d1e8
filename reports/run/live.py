"""The progress of a run on a terminal: a few lines at the bottom that are drawn anew, while everything else scrolls above them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import pytest

from reports.run.progress import Event, NoteReader, Progress, keep_usual, read_usual

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from reports.record.host import Screen

REDRAWN_PER_SECOND: Final = 4
USUAL: Final = "usual_seconds.json"
"""File in the cache's progress folder: how long each gate took last."""


class Scroll:
    """Writes whole lines above the drawn ones; what does not end in a newline waits for the rest of its line."""

    def __init__(self, console: Console) -> None:
        self._console, self._rest = console, ""

    def write(self, text: str) -> None:
        """Take in what a process printed."""
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            self._print(line)

    def flush(self) -> None:
        """Lines are shown as soon as they are whole."""

    def close(self) -> None:
        """Show what never ended in a newline."""
        if self._rest:
            self._print(self._rest)

    def _print(self, line: str) -> None:
        from rich.text import Text

        self._console.print(Text.from_ansi(line), soft_wrap=True, highlight=False)


@contextmanager
def drawn(
    stream: TextIO, progress: Progress, *, blocks: bool, ask: Callable[[], None] = lambda: None
) -> Iterator[Scroll]:
    """Draw `progress` at the bottom of a terminal while the context lasts; `ask` brings it up to date before each drawing."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(file=stream, highlight=False)

    def lines() -> Text:
        ask()
        shown = progress.lines(time.monotonic(), console.width, blocks=blocks)
        return Text("\n".join(shown), no_wrap=True, overflow="crop")

    live = Live(
        console=console,
        get_renderable=lines,
        refresh_per_second=REDRAWN_PER_SECOND,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    scroll = Scroll(console)
    live.start()
    try:
        yield scroll
    finally:
        # whoever watched may have gone; the run goes on without them
        with suppress(OSError):
            scroll.close()
            live.stop()


@contextmanager
def watched(stream: TextIO, progress: Progress, notes: Path, *, blocks: bool) -> Iterator[Screen]:
    """Draw the progress of a child that notes its events in the file `notes`; what it prints scrolls above, and the file is gone afterwards."""
    notes.parent.mkdir(parents=True, exist_ok=True)
    notes.touch()
    usual, reader = notes.with_name(USUAL), NoteReader(notes)
    progress.usual = read_usual(usual)

    def ask() -> None:
        for event, node in reader.new():
            progress.note(event, node, time.monotonic())

    with drawn(stream, progress, blocks=blocks, ask=ask) as scroll:
        yield scroll
    ask()
    notes.unlink()
    keep_usual(usual, progress.took)


class GateEvents:
    """pytest's hooks of the controller as events of progress."""

    def __init__(self, event: Event) -> None:
        self._event = event

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A gate begins, here or in a worker."""
        self._event("start", nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A phase came back; the last one ends the gate."""
        if report.failed:
            self._event("failed", report.nodeid)
        if report.when == "teardown":
            self._event("end", report.nodeid)


class DrawnEvents:
    """A rehearsal's progress, drawn in place of pytest's dots from the first gate on."""

    def __init__(self, stream: TextIO, progress: Progress, usual: Path, *, blocks: bool) -> None:
        self._stream, self._progress, self._usual, self._blocks = stream, progress, usual, blocks
        self._stack = ExitStack()
        self._begun = False
        progress.usual = read_usual(usual)

    def event(self, event: str, node: str) -> None:
        """Take in an event; the first one begins the drawing."""
        if not self._begun:
            self._begun = True
            self._stack.enter_context(drawn(self._stream, self._progress, blocks=self._blocks))
        self._progress.note(event, node, time.monotonic())

    def close(self) -> None:
        """Draw no more, and remember how long the gates took."""
        self._stack.close()
        keep_usual(self._usual, self._progress.took)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        """With workers, what was collected is known now."""
        self._progress.narrow(ids)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Count as pytest counts, and print no letter."""
        if not isinstance(report, pytest.TestReport) or hasattr(report, "wasxfail"):
            return None
        if report.failed and report.when != "call":
            return "error", "", ""
        return (report.outcome, "", "") if report.when == "call" or not report.passed else ("", "", "")
