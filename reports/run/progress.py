"""How far a run of gates has come: per shard, what is being measured, and how long it may still take. Facts in, lines out.

    start, end      one event a gate, from pytest's own hooks of the controller
    notes file      the same events as JSON lines, from the child of a recorded run to the supervisor that draws them; not part of the record

The time left is what the remaining gates took when they ran last (kept in the cache, which anybody may delete), at the pace of this run. Without a last
time it is not guessed before a quarter of the cells is back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from reports.criteria.policy import ExpectedCell
from reports.run.terminal import bar

WHOLE_RUN: Final = "all data"
"""What stands where a cell belongs to no shard."""

NOTES_VARIABLE: Final = "STAGEGATE_NOTES"
"""Names the notes file to the child of a run that somebody watches."""

BAR_WIDTH: Final = 16
Event = Callable[[str, str], None]
"""Takes ("start" or "end" or "failed", node)."""


@dataclass(slots=True)
class Progress:
    """The state of a run. cells: node -> expected cell; usual: node -> seconds that it took last; times are those of any steady clock."""

    title: str
    cells: Mapping[str, ExpectedCell]
    workers: int
    began: float
    usual: Mapping[str, float] = field(default_factory=dict)
    running: dict[str, float] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def narrow(self, nodes: Sequence[str]) -> None:
        """Only these were collected."""
        self.cells = {node: self.cells[node] for node in nodes if node in self.cells}

    def note(self, event: str, node: str, at: float) -> None:
        """Take in one event; what is no expected cell is nobody's progress."""
        if node not in self.cells:
            return
        if event == "start":
            self.running[node] = at
        elif event == "end":
            self.took[node] = at - self.running.pop(node, at)
        else:
            self.failed.add(node)

    def seconds_left(self, at: float) -> float | None:
        """How long the run may still take; None when nothing is known to tell it from."""
        left = [node for node in self.cells if node not in self.took]
        elapsed = at - self.began
        if all(node in self.usual for node in left) and self.usual:
            done = sum(self.usual.get(node, 0.0) for node in list(self.took))
            under_way = sum(min(at - since, self.usual[node]) for node, since in list(self.running.items()))
            ahead = sum(self.usual[node] for node in left) - under_way
            pace = (done + under_way) / elapsed if elapsed > 0 and done + under_way > 0 else float(max(1, self.workers))
            return max(0.0, ahead) / pace
        if 4 * len(self.took) < len(self.cells):
            return None
        return elapsed * len(left) / max(1, len(self.took))

    def lines(self, at: float, width: int, *, blocks: bool) -> list[str]:
        """A head line, then one line a shard with its bar and what is being measured there; none is wider than `width`."""
        left = self.seconds_left(at)
        told = f"{clock(at - self.began)}" + ("" if left is None else f", about {clock(left)} left")
        failed = f", {len(self.failed)} failed" if self.failed else ""
        head = f"{self.title}: {len(self.took)} of {len(self.cells)} cells{failed}, {told}"
        return [
            line[:width]
            for line in (head, *(self._line(shard, nodes, blocks) for shard, nodes in self._shards().items()))
        ]

    def _shards(self) -> dict[str, list[str]]:
        shards: dict[str, list[str]] = {}
        for node, cell in self.cells.items():
            shards.setdefault(cell.shard or WHOLE_RUN, []).append(node)
        return shards

    def _line(self, shard: str, nodes: Sequence[str], blocks: bool) -> str:
        done = sum(node in self.took for node in nodes)
        filled = bar(done / len(nodes), BAR_WIDTH, blocks=blocks).replace(" ", "░" if blocks else ".")
        now = ", ".join(described(self.cells[node]) for node in nodes if node in self.running)
        return f"  {shard:<9} {filled} {done:>3}/{len(nodes):<3} {now}".rstrip()


def described(cell: ExpectedCell) -> str:
    """What is being measured: the gate, its multiplier, and what its first threshold counts."""
    at = "" if cell.cost_multiplier is None else f" x{cell.cost_multiplier:g}"
    return f"{cell.gate}{at}: {cell.thresholds[0].unit}"


def clock(seconds: float) -> str:
    """`0:09`, `12:40`, `1:02:03`."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


# ------------------------------------------------------------------------------------------------- between processes


class NoteWriter:
    """Appends events to the notes file; in the child of a recorded run."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def __call__(self, event: str, node: str) -> None:
        self._file.write(json.dumps([event, node]) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Nothing more will be noted."""
        self._file.close()


class NoteReader:
    """Reads what was appended since it was asked last; a line that is not whole yet waits."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, 0

    def new(self) -> list[tuple[str, str]]:
        """The events since the last call."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole, _, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + bool(whole)
        return [(event, node) for event, node in map(json.loads, whole.splitlines())]


def read_usual(path: Path) -> dict[str, float]:
    """Node -> seconds of the last time; nothing when the cache holds nothing of the kind."""
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return (
        {str(node): float(took) for node, took in found.items() if isinstance(took, int | float)}
        if isinstance(found, dict)
        else {}
    )


def keep_usual(path: Path, took: Mapping[str, float]) -> None:
    """Remember how long each gate took, beside what is known of others."""
    if not took:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(
        json.dumps({**read_usual(path), **{node: round(seconds, 3) for node, seconds in took.items()}}),
        encoding="utf-8",
    )
    partial.replace(path)
