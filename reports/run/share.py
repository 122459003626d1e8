"""What a batch's one child brought back, divided among its candidates, so that each is judged as if it had run by itself.

- A candidate's share holds its own nodes, under the names that its freeze has for them.
- A node that no candidate of the batch expects is in everyone's share: something ran that nobody asked for.
- How the process ended, and what is wrong with its stream, is in everyone's share: without an orderly end nobody has three witnesses.
- A worker that died is held against those whose cells it took along. Who had come back whole before, or was finished by its replacement, has lost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.criteria.stream import Stream
from reports.criteria.verdict import PHASES, Returned
from reports.run.session import GateSession


def shares(returned: Returned, sessions: Sequence[GateSession]) -> tuple[Returned, ...]:
    """One share a session, in their order."""
    frozen = [{session.node_of(cell.node): cell.node for cell in session.cell_by_node.values()} for session in sessions]
    known = frozenset(node for names in frozen for node in names)
    return tuple(_share(returned, names, known) for names in frozen)


def _share(returned: Returned, names: Mapping[str, str], known: frozenset[str]) -> Returned:
    return Returned(
        returned.exit_status,
        _report_share(returned.json_report, names, known),
        stream_share(returned.stream, names, known),
    )


def stream_share(stream: Stream, names: Mapping[str, str], known: frozenset[str]) -> Stream:
    """The stream with the nodes of `names` (here -> in the freeze), and those that nobody knows."""
    phases = {
        names.get(node, node): found for node, found in stream.phases.items() if node in names or node not in known
    }
    whole = all(_came_back(stream, node) for node in names)
    return Stream(
        workers=stream.workers,
        collected={
            worker: tuple(names.get(node, node) for node in nodes if node in names or node not in known)
            for worker, nodes in stream.collected.items()
        },
        phases=phases,
        down={worker: "" if whole else error for worker, error in stream.down.items()},
        exit=stream.exit,
        faults=list(stream.faults),
    )


def _came_back(stream: Stream, node: str) -> bool:
    """Whether a node has each phase once, or a setup that did not pass and its teardown."""
    phases = stream.phases.get(node, [])
    when = sorted(phase.when for phase in phases)
    broken_setup = any(phase.when == "setup" and phase.outcome != "passed" for phase in phases)
    return when == sorted(PHASES) or (broken_setup and when == ["setup", "teardown"])


def _report_share(
    report: Mapping[str, Any] | None, names: Mapping[str, str], known: frozenset[str]
) -> Mapping[str, Any] | None:
    """The json report with the tests of `names`, and those that nobody knows; everything else of it stands."""
    if report is None:
        return None
    tests = [
        {**test, "nodeid": names.get(str(test.get("nodeid")), test.get("nodeid"))}
        for test in report.get("tests", [])
        if str(test.get("nodeid")) in names or str(test.get("nodeid")) not in known
    ]
    return {**report, "tests": tests}
