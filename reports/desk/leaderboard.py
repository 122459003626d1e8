"""Which tags stand furthest from failing? By the margin of the weakest hard gate, never by a score that missing parts could win."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports.desk.book import Book
from reports.record.chain import Row


@dataclass(frozen=True, slots=True)
class Placing:
    """One tag on the leaderboard. margin: of the weakest hard gate, in steps of its scale; None when nothing was measured."""

    rank: int
    tag: str
    candidate: str
    family: str
    verdict: str
    marks: tuple[str, ...]
    weakest_gate: str
    margin: float | None
    net_sharpe_x1_5: float | None
    deflated_sharpe: float | None


def leaderboard(rows: Sequence[Row], stage: str = "s3") -> tuple[Placing, ...]:
    """The tags that finished `stage`, by the margin of their weakest hard gate, widest first; what was not measured comes last.

    Each tag counts once, with its official run where it has one. Failing, unofficial, superseded and revoked tags are marked.
    """
    finished: dict[str, Row] = {}
    for row in rows:
        known = finished.get(row["decision_tag"])
        if (row["stage"], row["event"]) == (stage, "FINISHED") and (known is None or known["official"] != "true"):
            finished[row["decision_tag"]] = row
    ordered = sorted(finished.values(), key=lambda row: -_margin_or_less(row))
    book = Book.of(rows)
    return tuple(
        Placing(
            rank=rank,
            tag=row["decision_tag"],
            candidate=row["candidate"],
            family=row["family"],
            verdict=row["verdict"],
            marks=_marks(book, row),
            weakest_gate=row["weakest_gate"],
            margin=_metric(row, "weakest_margin"),
            net_sharpe_x1_5=_metric(row, "net_sharpe_x1_5"),
            deflated_sharpe=_metric(row, "deflated_sharpe"),
        )
        for rank, row in enumerate(ordered, 1)
    )


def _marks(book: Book, row: Row) -> tuple[str, ...]:
    tag = row["decision_tag"]
    found = {
        "failing": row["verdict"] != "PASS",
        "unofficial": row["official"] != "true",
        "superseded": tag in book.heirs,
        "revoked": tag in book.revoked,
    }
    return tuple(mark for mark, holds in found.items() if holds)


def _metric(row: Row, column: str) -> float | None:
    """A metric cell as a number; None when it is empty, not finite or no number."""
    try:
        value = float(row[column])
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _margin_or_less(row: Row) -> float:
    margin = _metric(row, "weakest_margin")
    return -math.inf if margin is None else margin
