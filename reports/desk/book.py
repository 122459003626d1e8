"""The registry, sorted by tag once: what every overview of the desk starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from reports.record.chain import Row

CLOSED: Final = ("FINISHED", "ABANDONED")


@dataclass(frozen=True, slots=True)
class Book:
    """Rows by tag, in the order of each tag's first row. heirs: superseded tag -> the first tag that supersedes it. revoked: tag -> its REVOKED row."""

    rows: Sequence[Row]
    tags: Mapping[str, Sequence[Row]]
    heirs: Mapping[str, str]
    revoked: Mapping[str, Row]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Self:
        """Sort the rows."""
        tags: dict[str, list[Row]] = {}
        heirs: dict[str, str] = {}
        revoked: dict[str, Row] = {}
        for row in rows:
            tag = row["decision_tag"]
            tags.setdefault(tag, []).append(row)
            if row["supersedes"]:
                heirs.setdefault(row["supersedes"], tag)
            if row["event"] == "REVOKED":
                revoked.setdefault(tag, row)
        return cls(rows, tags, heirs, revoked)

    def last(self, tag: str) -> Row:
        """The last official row of a tag's runs, or its first row when it has none."""
        official = (
            row
            for row in reversed(self.tags[tag])
            if row["official"] == "true" and row["event"] in (*CLOSED, "STARTED")
        )
        return next(official, self.tags[tag][0])


def state_of(row: Row, dead: frozenset[str]) -> str:
    """How a run stands by its last row: its verdict, ABANDONED, RUNNING, or INTERRUPTED when it is among the dead runs."""
    if row["event"] == "STARTED":
        return "INTERRUPTED" if row["run_id"] in dead else "RUNNING"
    return row["verdict"] or row["event"]
