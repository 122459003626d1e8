"""One line a candidate: what a person reads first after a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from reports.criteria.verdict import CellResult

_HEADINGS: Final = ("candidate", "outcome", "hard cells not passed", "nearest to failing, or failing most")


def summary_text(judged: Iterable[tuple[str, str, Sequence[CellResult]]]) -> str:
    """A table of (candidate, outcome, cells) with the number of hard cells that did not pass and the weakest of those that decide."""
    rows = [_HEADINGS, *((name, outcome, *_decisive(cells)) for name, outcome, cells in judged)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def rehearsed_outcome(cells: Sequence[CellResult]) -> str:
    """What a recorded run with these cells would come to."""
    if not cells or any(cell.outcome == "missing" for cell in cells):
        return "did not come back"
    return "would fail" if any(cell.decides_against for cell in cells) else "would pass"


def _decisive(cells: Sequence[CellResult]) -> tuple[str, str]:
    against = [cell for cell in cells if cell.decides_against]
    measured = [cell for cell in cells if cell.cell.level == "hard" and cell.weakest is not None]
    inexact = [
        cell
        for cell in measured
        if cell.weakest and not (cell.weakest.threshold.relation == "==" and cell.weakest.holds)
    ]
    weakest = min(
        inexact,
        key=lambda cell: (cell.weakest.holds, cell.weakest.comfort) if cell.weakest else (True, 0.0),
        default=None,
    )
    if weakest is None or weakest.weakest is None:
        return str(len(against)), "-"
    entry = weakest.weakest
    value = "not measured" if entry.value is None else f"{entry.value:.6g}"
    return str(len(against)), f"{entry.threshold.id} {value} {entry.threshold.relation} {entry.threshold.bound:.6g}"
