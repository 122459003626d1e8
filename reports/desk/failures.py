"""What fails on this desk, again and again? Patterns over all tags, by gate and fingerprint, and the root causes that followed.

A fingerprint is the message of a failure without what is of one run only: tags, run ids, paths, hashes, dates and numbers. Two tags that failed alike
share it, so that the third is recognised.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from engines.digest import sha256_bytes
from reports.criteria.rerun import root_cause_class
from reports.desk.account import entries, read_report
from reports.desk.book import CLOSED, Book
from reports.record.chain import Row
from reports.record.workspace import Workspace

WORDS_LIMIT: Final = 200
EXAMPLES_SHOWN: Final = 3
_RUN_ONLY: Final = (
    (re.compile(r"(?:[\w.~:-]*/)+[\w.~-]+"), "PATH"),
    (re.compile(r"\b\d{8}T\d{6}Z-[0-9a-f]{8}\b"), "RUN"),
    (re.compile(r"\b(?:sha256:|git:)?[0-9a-f]{12,64}\b"), "HASH"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:T[\d:]+Z?)?\b"), "DATE"),
    (re.compile(r"(?<![\w.])[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?!\w)"), "#"),
    (re.compile(r"\b(wf-|x|gw)\d+(?:\.\d+)?\b"), r"\1#"),
)


@dataclass(frozen=True, slots=True)
class Followed:
    """A root cause that was named for tags with this failure: its class, how often, how many of the new tags got past the stage, and in what words."""

    root_cause: str
    tags: int
    passed: int
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One way to fail. gate is empty where a run as a whole did not come back. Counts are of official runs; unofficial ones are counted beside."""

    gate: str
    fingerprint: str
    message: str
    tags: int
    cells: int
    unofficial: int
    candidates: int
    last_tag: str
    last_utc: str
    report: str
    followed: tuple[Followed, ...]


@dataclass(slots=True)
class _Seen:
    """What is gathered of a pattern, run by run."""

    message: str
    last: Row
    cells: int = 0
    unofficial: int = 0
    tags: dict[str, Row] = field(default_factory=dict)


def failures(workspace: Workspace, rows: Sequence[Row]) -> tuple[Pattern, ...]:
    """Every pattern, the most frequent first; of equals the latest."""
    book = Book.of(rows)
    seen: dict[tuple[str, str], _Seen] = {}
    for row in rows:
        if row["event"] in CLOSED and row["verdict"] != "PASS":
            _gather(seen, row, Counter(_messages(workspace, row)))
    found = [_pattern(book, gate, mark, pattern) for (gate, mark), pattern in seen.items()]
    return tuple(sorted(found, key=lambda pattern: (pattern.tags, pattern.unofficial, pattern.last_utc), reverse=True))


def _gather(seen: dict[tuple[str, str], _Seen], row: Row, messages: Mapping[tuple[str, str], int]) -> None:
    for (gate, message), cells in messages.items():
        pattern = seen.setdefault((gate, fingerprint(gate, message)), _Seen(message, row))
        pattern.last = row
        if row["official"] == "true":
            pattern.cells += cells
            pattern.tags[row["decision_tag"]] = row
        else:
            pattern.unofficial += 1


def _messages(workspace: Workspace, row: Row) -> Iterator[tuple[str, str]]:
    """(gate, message without what is of this run only) of every failure of a run."""
    report, others = read_report(workspace, row)
    known = {row["decision_tag"]: "TAG", row["run_id"]: "RUN", row["supersedes"]: "TAG"}
    told = [(str(entry.get("gate", "")), str(entry.get("message", ""))) for entry in entries(report, "failures")]
    for gate, message in told or [("", other) for other in others or (row["event"],)]:
        yield gate, generalised(message, known)


def generalised(message: str, known: Mapping[str, str]) -> str:
    """A message without tags, run ids, paths, hashes, dates and numbers. known: text of this run -> what stands for it."""
    for text, stands in known.items():
        if text and text in message:
            message = re.sub(rf"(?<![\w.-]){re.escape(text)}(?![\w-])", stands, message)
    for pattern, stands in _RUN_ONLY:
        message = pattern.sub(stands, message)
    return " ".join(message.split())[:WORDS_LIMIT]


def fingerprint(gate: str, message: str) -> str:
    """Eight characters that two failures share exactly when their gate and general message are the same."""
    return sha256_bytes(f"{gate}\n{message}".encode())[:8]


def _pattern(book: Book, gate: str, mark: str, seen: _Seen) -> Pattern:
    return Pattern(
        gate=gate,
        fingerprint=mark,
        message=seen.message,
        tags=len(seen.tags),
        cells=seen.cells,
        unofficial=seen.unofficial,
        candidates=len({row["candidate"] for row in seen.tags.values()}),
        last_tag=seen.last["decision_tag"],
        last_utc=seen.last["utc"],
        report=seen.last["report"],
        followed=tuple(_followed(book, seen)),
    )


def _followed(book: Book, seen: _Seen) -> Iterator[Followed]:
    """The root causes that were named for the tags of a pattern, the most frequent first."""
    heirs = [(book.tags[book.heirs[tag]], row["stage"]) for tag, row in seen.tags.items() if tag in book.heirs]
    counted = Counter(_class(rows[0]) for rows, _ in heirs)
    for name, count in counted.most_common():
        mine = [(rows, stage) for rows, stage in heirs if _class(rows[0]) == name]
        words = dict.fromkeys(rows[0]["root_cause"] for rows, _ in mine)
        passed = sum(_got_past(rows, stage) for rows, stage in mine)
        yield Followed(name, count, passed, tuple(words)[:EXAMPLES_SHOWN])


def _class(row: Row) -> str:
    return root_cause_class(row["root_cause"]) or "not named"


def _got_past(rows: Sequence[Row], stage: str) -> bool:
    return any(row["stage"] == stage and row["verdict"] == "PASS" and row["official"] == "true" for row in rows)
