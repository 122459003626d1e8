"""pytest's hooks, translated: what a gate session collects, records and streams. The deciding is done by the functions these call."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from reports.criteria.policy import GateRow, cell_parameters, parameter_id, shard_names
from reports.criteria.stream import Stream, StreamWriter, read_stream
from reports.criteria.verdict import CellResult, judge_cells
from reports.run.batch_summary import rehearsed_outcome, summary_text
from reports.run.live import USUAL, DrawnEvents, GateEvents
from reports.run.progress import NOTES_VARIABLE, NoteWriter, Progress
from reports.run.request import add_options, is_worker
from reports.run.session import (
    EVIDENCE_PROPERTY,
    SESSIONS_KEY,
    EvidenceRecorder,
    GateSession,
    sessions_named_by,
    sessions_of,
)
from reports.run.terminal import Canvas, rehearsal_lines

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.workermanage import WorkerController

    from reports.run.scheduling import GateScheduling

STREAM_KEY: Final = pytest.StashKey[StreamWriter]()
MESSAGE_LIMIT: Final = 2000


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of request.py."""
    add_options(parser)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Open the gate sessions of the run file that the environment names, if any."""
    config.stash[SESSIONS_KEY] = sessions_named_by(os.environ)
    if sessions_of(config) and config.option.tbstyle == "auto":
        # a failed gate says in one line what it measured; who wants more asks with --tb=long
        config.option.tbstyle = "short"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Spread a gate's test over the cells of its policy row, in a batch for each candidate that is asked."""
    sessions = sessions_of(metafunc.config)
    row = sessions[0].policy.row_of_test(metafunc.definition.nodeid) if sessions else None
    if row is None:
        return
    batch = any(session.name for session in sessions)
    asked = [(number, session) for number, session in enumerate(sessions) if row.applies_to(session.candidate)]
    if not asked or (row.cells == "-" and not batch):
        return
    names = [
        name for name, present in (("shard", "shard" in row.cells), ("cost_multiplier", "cost" in row.cells)) if present
    ]
    cells = [(number, session, pair) for number, session in asked for pair in _pairs(row, session)]
    values = [
        ((number,) if batch else ()) + tuple(value for value in pair if value is not None) for number, _, pair in cells
    ]
    ids = ["-".join(part for part in (session.name, parameter_id(*pair)) if part) for _, session, pair in cells]
    if batch:
        # one scope for all: a session's fixtures live as long as its candidate is the one being judged
        metafunc.parametrize(["gate_session", *names], values, ids=ids, indirect=["gate_session"], scope="session")
    else:
        metafunc.parametrize(names, values, ids=ids)


def _pairs(row: GateRow, session: GateSession) -> Sequence[tuple[str | None, float | None]]:
    return cell_parameters(row.cells, shard_names(session.candidate.walk_forward.shards), session.multipliers)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the gates that no frozen candidate is asked, by the rule that left their cells out of the freeze; keep a candidate's gates together."""
    sessions = sessions_of(config)
    if not sessions:
        return
    policy = sessions[0].policy
    unasked = {row.node for row in policy.gate if not any(row.applies_to(session.candidate) for session in sessions)}
    left_out = [item for item in items if item.nodeid.partition("[")[0] in unasked]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    if len(sessions) > 1:
        turn = {node: number for number, session in enumerate(sessions) for node in session.cell_by_node}
        items.sort(key=lambda item: turn.get(item.nodeid, -1))


@pytest.fixture(scope="session")
def gate_session(request: pytest.FixtureRequest) -> GateSession:
    """What a gate runs on: the one candidate's session, or the one of the batch whose turn it is."""
    sessions = sessions_of(request.config)
    if not sessions:
        raise pytest.UsageError("gates run in a gate session: start them as `pytest gates/..`, from the repository")
    return sessions[getattr(request, "param", 0)]


@pytest.fixture
def evidence(request: pytest.FixtureRequest, gate_session: GateSession) -> EvidenceRecorder:
    """Record a measurement for a threshold of this gate, then judge it: `assert evidence("s3.shard_net_t", t, n_obs=n)`."""
    cell = gate_session.cell_by_node.get(request.node.nodeid)
    if cell is None:
        pytest.fail(
            f"{request.node.nodeid} is no expected cell: give the test a row in gates/policy.toml", pytrace=False
        )
    properties: list[tuple[str, object]] = request.node.user_properties
    return EvidenceRecorder(cell, lambda name, value: properties.append((name, value)))


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GateScheduling | None:
    """Gates are handed out in groups, unless a rehearsal asks xdist for another distribution by name."""
    sessions = sessions_of(config)
    if not sessions or config.getoption("dist") != "load":
        return None
    from reports.run.scheduling import GateScheduling, group_of_node

    return GateScheduling(config, log, group_of_node(sessions))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Open the evidence stream on the controller."""
    config = session.config
    sessions = sessions_of(config)
    if sessions and not is_worker(config):
        stream = StreamWriter(sessions[0].stream_path)
        stream.write("session", workers=worker_count(config))
        config.stash[STREAM_KEY] = stream


def worker_count(config: pytest.Config) -> int:
    """How many workers xdist was told to start; 0 when the controller runs the gates itself."""
    return int(config.getoption("numprocesses", None) or 0)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Without workers, what was collected is known here."""
    stream = session.config.stash.get(STREAM_KEY, None)
    if stream is not None and worker_count(session.config) == 0:
        stream.write("collected", worker="controller", nodes=[item.nodeid for item in session.items])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: WorkerController, ids: Sequence[str]) -> None:
    """With workers, each says what it collected; only they know what was deselected."""
    stream = node.config.stash.get(STREAM_KEY, None)
    if stream is not None:
        stream.write("collected", worker=node.gateway.id, nodes=list(ids))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController, error: object) -> None:
    """A worker ended, in order or not."""
    stream = node.config.stash.get(STREAM_KEY, None)
    if stream is not None:
        finished = getattr(node, "workeroutput", None) is not None
        stream.write(
            "worker_down",
            worker=node.gateway.id,
            error=str(error) if error else "" if finished else "it sent no closing word",
        )


class StreamReporter:
    """Writes each phase of each test to the stream; registered on the controller only, where alone the stream is open."""

    def __init__(self, stream: StreamWriter) -> None:
        self._stream = stream

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One event a phase; evidence is taken from the call, where gates record it."""
        recorded = (
            [value for name, value in report.user_properties if name == EVIDENCE_PROPERTY]
            if report.when == "call"
            else []
        )
        self._stream.write(
            "phase",
            worker=worker_of(report),
            node=report.nodeid,
            when=report.when,
            outcome=report.outcome,
            xfail=hasattr(report, "wasxfail"),
            message=crash_message(report),
            evidence=recorded,
        )


def worker_of(report: pytest.TestReport) -> str:
    """The id of the worker that sent a report; `controller` without workers."""
    node: WorkerController | None = getattr(report, "node", None)
    return "controller" if node is None else str(node.gateway.id)


def crash_message(report: pytest.TestReport) -> str:
    """The last word of a phase that did not pass; empty when it passed."""
    if report.passed:
        return ""
    crash: Any = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else report.longreprtext
    return str(text)[:MESSAGE_LIMIT]


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[None]:
    """Have every report of the loop streamed, and its progress drawn or noted where somebody watches."""
    stream = session.config.stash.get(STREAM_KEY, None)
    with ExitStack() as stack:
        for listener in () if stream is None else (StreamReporter(stream), *_listeners(session, stack)):
            session.config.pluginmanager.register(listener)
            stack.callback(session.config.pluginmanager.unregister, listener)
        return (yield)


def _listeners(session: pytest.Session, stack: ExitStack) -> Iterator[object]:
    """Who follows the progress of this process: a terminal, the supervisor's, or nobody."""
    config = session.config
    first, reporter = sessions_of(config)[0], config.pluginmanager.getplugin("terminalreporter")
    if NOTES_VARIABLE in os.environ:
        notes = NoteWriter(Path(os.environ[NOTES_VARIABLE]))
        stack.callback(notes.close)
        yield GateEvents(notes)
    elif first.rehearsal and reporter is not None and canvas_of(config, reporter).moving:
        cells = {node: cell for each in sessions_of(config) for node, cell in each.cell_by_node.items()}
        progress = Progress("rehearsal", cells, worker_count(config), time.monotonic())
        if worker_count(config) == 0:
            progress.narrow([item.nodeid for item in session.items])
        reporter.showfspath = False
        drawing = DrawnEvents(reporter._tw._file, progress, first.cache / "progress" / USUAL, blocks=True)
        stack.callback(drawing.close)
        yield drawing
        yield GateEvents(drawing.event)


def canvas_of(config: pytest.Config, reporter: pytest.TerminalReporter) -> Canvas:
    """What pytest's terminal can show."""
    options = [str(argument) for argument in config.invocation_params.args]
    return replace(Canvas.of(reporter._tw._file, options), colour=reporter._tw.hasmarkup)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Close the stream with the session's own exit status."""
    stream = session.config.stash.get(STREAM_KEY, None)
    if stream is not None:
        stream.write("finished", exit=int(exitstatus))
        stream.close()
        del session.config.stash[STREAM_KEY]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> Iterator[None]:
    """A rehearsal ends with the table of gates, below everything that pytest says of failures; a recorded run's supervisor prints its own."""
    try:
        return (yield)
    finally:
        _show_gates(terminalreporter, config)


def _show_gates(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    sessions = [session for session in sessions_of(config) if session.rehearsal and session.stream_path.is_file()]
    if not sessions or is_worker(config):
        return
    stream = read_stream(sessions[0].stream_path)
    canvas = canvas_of(config, terminalreporter)
    judged = {session: _judged(session, stream) for session in sessions}
    for session, cells in judged.items():
        if cells:
            terminalreporter.write_sep("-", f"gates of {session.name}" if session.name else "gates")
            for line in rehearsal_lines(canvas, cells, rehearsed_outcome(cells)):
                terminalreporter.write_line(line)
            terminalreporter.write_line(f"rehearsal of {session.candidate.name}: nothing was recorded")
    if len(sessions) > 1:
        terminalreporter.write_sep("-", "batch")
        terminalreporter.write_line(
            summary_text((session.name, rehearsed_outcome(cells), cells) for session, cells in judged.items())
        )


def _judged(session: GateSession, stream: Stream) -> tuple[CellResult, ...]:
    """What became of the session's cells, of those that ran."""
    cells = {node: cell for node, cell in session.cell_by_node.items() if node in stream.phases}
    mine = Stream(phases={cell.node: stream.phases[node] for node, cell in cells.items()})
    return judge_cells(list(cells.values()), mine)
