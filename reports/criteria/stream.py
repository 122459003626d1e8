"""The evidence stream: what the gate run's controller saw, one JSON line an event, in the order it saw it.

    {"event": "session", "workers": 8}                                  once, first; 0 workers: the controller runs the gates itself
    {"event": "collected", "worker": "gw0", "nodes": [...]}             what a worker collected, before anything ran
    {"event": "phase", "worker", "node", "when", "outcome", "xfail", "message", "evidence": [...]}
    {"event": "worker_down", "worker": "gw0", "error": ""}              a worker finished; error is empty when it came back in order
    {"event": "finished", "exit": 0}                                    once, last

Only the controller writes it. A stream without its last line is a run that did not come back. It is appended to, so that a line which somebody else
wrote into it stays there, and breaks the order that the reader demands.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reports.criteria.evidence import Evidence, whole_number
from reports.record.errors import RecordError


class StreamWriter:
    """Appends events to the stream file, each flushed before the next is seen."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "x", encoding="utf-8", opener=_appending)  # noqa: SIM115 - Path.open takes no opener

    def write(self, event: str, **fields: Any) -> None:
        """Append one event; OSError is not swallowed: a stream that cannot be written ends the run."""
        self._file.write(json.dumps({"event": event, **fields}, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file; the supervisor makes it durable with the rest of the pack."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _appending(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_APPEND, 0o666)


@dataclass(frozen=True, slots=True)
class Phase:
    """Setup, call or teardown of one test as it came back."""

    when: str
    outcome: str
    xfail: bool
    message: str
    evidence: tuple[Evidence, ...]


@dataclass(slots=True)
class Stream:
    """A stream read back: what was collected where, what came back of each node, who came back at all."""

    workers: int | None = None
    collected: dict[str, tuple[str, ...]] = field(default_factory=dict)
    phases: dict[str, list[Phase]] = field(default_factory=dict)
    down: dict[str, str] = field(default_factory=dict)
    exit: int | None = None
    faults: list[str] = field(default_factory=list)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take in one event. KeyError, TypeError or ValueError when it is none, or stands where it may not."""
        if self.exit is not None:
            raise ValueError("it stands behind the last line")
        match record["event"]:
            case "session":
                _demand(self.workers is None and not self.collected and not self.phases, "the session starts anew")
                self.workers = whole_number(record["workers"])
            case "collected":
                _demand(record["worker"] not in self.collected, f"worker {record['worker']} collects twice")
                self.collected[record["worker"]] = tuple(record["nodes"])
            case "phase":
                evidence = tuple(Evidence.from_json(entry) for entry in record["evidence"])
                phase = Phase(record["when"], record["outcome"], bool(record["xfail"]), record["message"], evidence)
                self.phases.setdefault(record["node"], []).append(phase)
            case "worker_down":
                _demand(record["worker"] not in self.down, f"worker {record['worker']} ends twice")
                self.down[record["worker"]] = record["error"]
            case "finished":
                self.exit = whole_number(record["exit"])
            case unknown:
                raise ValueError(f"unknown event {unknown!r}")


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def read_stream(path: Path) -> Stream:
    """Read a stream file; whatever is wrong with it stands in `faults`, never raises for its content."""
    stream = Stream()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        stream.faults.append(f"the evidence stream cannot be read: {error}")
        return stream
    for number, line in enumerate(lines, 1):
        try:
            stream.add(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError, RecordError) as error:
            stream.faults.append(f"the evidence stream is damaged at line {number}: {error}")
    return stream
