"""pytest's hooks, translated: what a gate session collects, records and streams. The deciding is done by the functions these call."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import pytest

from reports.criteria.policy import cell_parameters, parameter_id, shard_names
from reports.criteria.stream import StreamWriter, read_stream
from reports.criteria.verdict import judge_cells
from reports.pack.render import table_text
from reports.run.request import add_options, is_worker
from reports.run.session import EVIDENCE_PROPERTY, SESSION_KEY, EvidenceRecorder, GateSession, gate_session

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

STREAM_KEY: Final = pytest.StashKey[StreamWriter]()
MESSAGE_LIMIT: Final = 2000


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of request.py."""
    add_options(parser)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Open the gate session that the environment names, if any."""
    session = GateSession.load(os.environ)
    if session is not None:
        config.stash[SESSION_KEY] = session


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Spread a gate's test over the cells of its policy row."""
    session = metafunc.config.stash.get(SESSION_KEY, None)
    row = session.policy.row_of_test(metafunc.definition.nodeid) if session else None
    if session is None or row is None or row.cells == "-":
        return
    walk_forward = session.candidate.walk_forward
    pairs = cell_parameters(row.cells, shard_names(walk_forward.shards), session.multipliers)
    names = [
        name for name, present in (("shard", "shard" in row.cells), ("cost_multiplier", "cost" in row.cells)) if present
    ]
    values = [tuple(value for value in pair if value is not None) for pair in pairs]
    metafunc.parametrize(names, values, ids=[parameter_id(*pair) for pair in pairs])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the gates that the frozen candidate is not asked, by the same rule that left their cells out of the freeze."""
    session = config.stash.get(SESSION_KEY, None)
    if session is None:
        return
    rows = {row.node: row for row in session.policy.gate if not row.applies_to(session.candidate)}
    left_out = [item for item in items if item.nodeid.partition("[")[0] in rows]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> EvidenceRecorder:
    """Record a measurement for a threshold of this gate, then judge it: `assert evidence("s3.shard_net_t", t, n_obs=n)`."""
    cell = gate_session(request.config).cell_by_node.get(request.node.nodeid)
    if cell is None:
        pytest.fail(
            f"{request.node.nodeid} is no expected cell: give the test a row in gates/policy.toml", pytrace=False
        )
    properties: list[tuple[str, object]] = request.node.user_properties
    return EvidenceRecorder(cell, lambda name, value: properties.append((name, value)))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Open the evidence stream on the controller."""
    config = session.config
    if SESSION_KEY in config.stash and not is_worker(config):
        stream = StreamWriter(config.stash[SESSION_KEY].stream_path)
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
    """Have every report of the loop streamed."""
    stream = session.config.stash.get(STREAM_KEY, None)
    reporter = None if stream is None else StreamReporter(stream)
    if reporter is not None:
        session.config.pluginmanager.register(reporter, "stagegate-stream")
    try:
        return (yield)
    finally:
        if reporter is not None:
            session.config.pluginmanager.unregister(reporter)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Close the stream with the session's own exit status."""
    stream = session.config.stash.get(STREAM_KEY, None)
    if stream is not None:
        stream.write("finished", exit=int(exitstatus))
        stream.close()
        del session.config.stash[STREAM_KEY]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """A rehearsal ends with the table of gates that a recorded run would show; a recorded run's supervisor prints its own."""
    session = config.stash.get(SESSION_KEY, None)
    if session is None or not session.rehearsal or is_worker(config) or not session.stream_path.is_file():
        return
    stream = read_stream(session.stream_path)
    returned = [cell for stage in session.stages for cell in session.expected_of(stage) if cell.node in stream.phases]
    if returned:
        terminalreporter.write_sep("-", "gates")
        terminalreporter.write_line(table_text(judge_cells(returned, stream)))
        terminalreporter.write_line(f"rehearsal of {session.candidate.name}: nothing was recorded")
