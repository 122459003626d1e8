"""What a batch's one child left behind, divided among its candidates, so that each is judged as if it had run by itself.

- A candidate's share holds its own nodes, under the names that its freeze has for them.
- A node that no candidate of the batch expects is in everyone's share: something ran that nobody asked for.
- How the process ended, and what is wrong with its stream, is in everyone's share: without an orderly end nobody has three witnesses.
- Exit status 1 says that a test did not pass. Where that was another candidate's, the share ends with 0, as a run of its own would have.
- Exit status 0 beside a test that did not pass is a lie of the process, and held against everyone.
- A worker that died is held against those whose cells it took along. Who had come back whole before, or was finished by another, has lost nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from reports.criteria.verdict import PHASES
from reports.run.session import GateSession

Names = Mapping[str, str]
"""Node id in the batch -> in the candidate's freeze."""

_DAMAGED: Final = {"event": "damaged"}


def names_of(sessions: Sequence[GateSession]) -> tuple[Names, ...]:
    """The nodes of each candidate."""
    return tuple({node: cell.node for node, cell in session.cell_by_node.items()} for session in sessions)


def acquitted(stream: bytes, candidates: Sequence[Names], exit_status: int | None) -> tuple[bool, ...]:
    """Whether the process's exit status 1 is others' alone: some node did not pass, and none of this candidate's."""
    failed = _not_passed(stream)
    return tuple(
        exit_status == 1 and bool(failed) and not any(node in failed for node in names) for names in candidates
    )


def denied(stream: bytes, exit_status: int | None) -> tuple[str, ...]:
    """What concerns everyone: that the process's exit status denies a test that did not pass, whoever's it was."""
    failed = sorted(_not_passed(stream)) if exit_status == 0 else []
    return tuple(f"the process ended with exit status 0 although {node} did not pass" for node in failed[:1])


def _not_passed(stream: bytes) -> set[str]:
    events = map(_event, stream.splitlines())
    return {str(event.get("node")) for event in events if event.get("outcome") not in (None, "passed")}


def divide_stream(stream: bytes, candidates: Sequence[Names], cleared: Sequence[bool]) -> tuple[bytes, ...]:
    """The evidence stream of each candidate; `cleared` as `acquitted` says. A line that cannot be read stays as it is in everyone's."""
    lines = stream.splitlines(keepends=True)
    events = [_event(line) for line in lines]
    owner = {node: number for number, names in enumerate(candidates) for node in names}
    whole = [all(map(_came_back, phases.values())) for phases in _phases_by_owner(events, candidates, owner)]
    shares: list[list[bytes]] = [[] for _ in candidates]
    for line, event in zip(lines, events, strict=True):
        node = event.get("node")
        concerned = [owner[node]] if isinstance(node, str) and node in owner else range(len(candidates))
        for number in concerned:
            changed = _changed(event, candidates[number], owner, whole=whole[number], cleared=cleared[number])
            shares[number].append(line if changed is None else json.dumps(changed, allow_nan=False).encode() + b"\n")
    return tuple(b"".join(share) for share in shares)


def divide_report(report: bytes, candidates: Sequence[Names], cleared: Sequence[bool]) -> tuple[bytes, ...]:
    """The json report of each candidate, its summary counted anew; as it is where it cannot be read. `cleared` as `acquitted` says."""
    try:
        record = json.loads(report)
        tests = [(str(test["nodeid"]), test) for test in record["tests"]]
    except (ValueError, KeyError, TypeError):
        return (report,) * len(candidates)
    known = frozenset(node for names in candidates for node in names)
    strays = [test for node, test in tests if node not in known]
    by_node: dict[str, list[Any]] = {}
    for node, test in tests:
        by_node.setdefault(node, []).append(test)
    shares = []
    for names, is_cleared in zip(candidates, cleared, strict=True):
        mine = [{**test, "nodeid": name} for node, name in names.items() for test in by_node.get(node, ())]
        counts = Counter(str(test.get("outcome")) for test in (*mine, *strays))
        summary = {**counts, "total": counts.total(), "collected": counts.total()}
        end = {"exitcode": 0, "exitcode_of_all": 1} if is_cleared and record.get("exitcode") == 1 else {}
        shares.append(json.dumps({**record, **end, "summary": summary, "tests": [*mine, *strays]}).encode())
    return tuple(shares)


def _event(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        return dict(_DAMAGED)
    return event if isinstance(event, dict) else dict(_DAMAGED)


def _phases_by_owner(
    events: Sequence[Mapping[str, Any]], candidates: Sequence[Names], owner: Mapping[str, int]
) -> tuple[dict[str, list[Mapping[str, Any]]], ...]:
    found: tuple[dict[str, list[Mapping[str, Any]]], ...] = tuple({node: [] for node in names} for names in candidates)
    for event in events:
        node = str(event.get("node"))
        if event.get("event") == "phase" and node in owner:
            found[owner[node]][node].append(event)
    return found


def _came_back(phases: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a node has each phase once, or a setup that did not pass and its teardown."""
    when = sorted(str(phase.get("when")) for phase in phases)
    broken_setup = any(phase.get("when") == "setup" and phase.get("outcome") != "passed" for phase in phases)
    return when == sorted(PHASES) or (broken_setup and when == ["setup", "teardown"])


def _changed(
    event: Mapping[str, Any], names: Names, owner: Mapping[str, int], *, whole: bool, cleared: bool
) -> dict[str, Any] | None:
    """The event as the candidate's stream has it; None where that is as it is."""
    match event.get("event"):
        case "phase" if event.get("node") in names:
            return {**event, "node": names[event["node"]]}
        case "collected" if isinstance(event.get("nodes"), list):
            nodes = [names.get(node, node) for node in event["nodes"] if node in names or node not in owner]
            return {**event, "nodes": nodes}
        case "worker_down" if whole and event.get("error"):
            return {**event, "error": "", "error_of_others": event["error"]}
        case "finished" if cleared and event.get("exit") == 1:
            return {**event, "exit": 0, "exit_of_all": 1}
    return None
