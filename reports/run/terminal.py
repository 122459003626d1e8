"""What a person sees of a run: refusals, the table of gates, the closing words. Text in, lines out; plain wherever it is not a terminal."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TextIO

from engines.errors import StageGateError
from reports.criteria.verdict import CellResult, Verdict
from reports.pack.render import by_gate, cell_json, number, worst
from reports.record.host import put
from reports.record.workspace import STAGES

PLAIN_WIDTH: Final = 100
MARGIN: Final = 14
"""Columns of the labels on the left of the closing words."""

PLAIN_OPTIONS: Final = ("-q", "--quiet", "-v", "--verbose", "-s", "--capture", "--pdb", "--trace")
LISTED_FAILURES: Final = 12
COLOURS: Final = {"good": "32", "bad": "31", "aside": "33", "strong": "1", "faint": "2"}
KIND_OF_OUTCOME: Final = {"passed": "good", "failed": "bad", "missing": "bad", "absent": "faint"}
HEADINGS: Final = ("gate", "worst cell", "measured", "bound", "margin", "", "outcome")
NARROWEST_BAR: Final = 4
WIDEST_BAR: Final = 12


@dataclass(frozen=True, slots=True)
class Canvas:
    """What the place that is written to can show. Without `live`, prose stays in one line each: a log is searched, not read.

    moving: whether progress may be drawn: on a terminal, outside of CI, unless NO_COLOR, -q or -v ask for plain lines.
    """

    width: int
    live: bool
    colour: bool
    blocks: bool
    moving: bool = False

    @classmethod
    def of(cls, stream: TextIO, options: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> Canvas:
        """The canvas of a stream; `options` are the presentation options of the command line, of which --color counts."""
        live = stream.isatty() and environ.get("TERM", "") != "dumb"
        width = shutil.get_terminal_size((80, 24)).columns if live else PLAIN_WIDTH
        wanted = live and not environ.get("NO_COLOR")
        for option in options:
            wanted = {"--color=yes": True, "--color=no": False}.get(option, wanted)
        plain = (
            environ.get("NO_COLOR") or environ.get("CI") or any(option.startswith(PLAIN_OPTIONS) for option in options)
        )
        blocks = "utf" in (getattr(stream, "encoding", None) or "").lower()
        return cls(width, live, wanted, blocks, moving=live and not plain)

    def paint(self, text: str, kind: str) -> str:
        """`text` in the colour of its kind; as it is without colour."""
        return f"\x1b[{COLOURS[kind]}m{text}\x1b[0m" if self.colour and text else text

    def labelled(self, label: str, text: str, *, words: bool = True) -> list[str]:
        """`label` on the left and the text beside it, wrapped on a terminal; paths and commands (`words` false) are never broken."""
        room = max(20, self.width - MARGIN)
        fits = not (self.live and words) or len(text) <= room
        lines = [text] if fits else textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
        return [f"{label if number == 0 else '':<{MARGIN}}{line}" for number, line in enumerate(lines)]


def refusal_lines(canvas: Canvas, stage: str, refusal: StageGateError) -> list[str]:
    """A refusal: what, where, how to mend it, and that nothing was written."""
    head = f"REFUSED {stage}: {refusal.what}"
    wrapped = textwrap.wrap(head, canvas.width, subsequent_indent="  ") if canvas.live else [head]
    lines = [
        line.replace("REFUSED", canvas.paint("REFUSED", "bad"), number == 0) for number, line in enumerate(wrapped)
    ]
    if refusal.where:
        lines += [f"  where:   {refusal.where}"]
    if refusal.remedy:
        lines += (
            [f"  {line}" for line in canvas.labelled("to mend:", refusal.remedy)]
            if canvas.live
            else [f"  to mend: {refusal.remedy}"]
        )
    return [*lines, "  nothing was written, no tag is spent"]


def say(stream: TextIO, lines: Iterable[str]) -> None:
    """Print lines."""
    put(stream, "".join(f"{line}\n" for line in lines))


# ------------------------------------------------------------------------------------------------- the table of gates


@dataclass(frozen=True, slots=True)
class Row:
    """One gate at its worst cell, as text. share: signed distance to the bound squeezed into (-1, 1); None when not measured."""

    stage: str
    gate: str
    cell: str
    cells: int
    measured: str
    bound: str
    margin: str
    share: float | None
    outcome: str
    diagnostic: bool


def table_rows(cells: Iterable[CellResult]) -> list[Row]:
    """One row a gate, in the order of the freeze."""
    rows = []
    for gate, results in by_gate(cells).items():
        bad = worst(results)
        shown = cell_json(bad)
        stage, _, name = gate.partition(".")
        rows.append(
            Row(
                stage=stage,
                gate=name,
                cell=bad.cell.id,
                cells=len(results),
                measured=number(shown["measured"]),
                bound=f"{shown['relation']} {number(shown['bound'])}",
                margin=number(shown["margin"]),
                share=None if shown["steps"] is None else shown["steps"] / (1.0 + abs(shown["steps"])),
                outcome=bad.outcome,
                diagnostic=bad.cell.level != "hard" and bad.outcome != "absent",
            )
        )
    return rows


def table_lines(canvas: Canvas, cells: Iterable[CellResult]) -> list[str]:
    """The table of gates, by stage, within the width of the canvas; a name that does not fit is cut at its end."""
    rows = table_rows(cells)
    roomy = canvas.width >= PLAIN_WIDTH
    texts = [_texts(row, roomy) for row in rows]
    gap = "  " if roomy else " "
    widths = [max(map(len, column)) for column in zip(HEADINGS, *texts, strict=True)]
    rest = canvas.width - sum(widths) - len(gap) * (len(widths) - 1)
    widths[5] = min(WIDEST_BAR, max(NARROWEST_BAR, rest))
    widths[0] -= max(0, widths[5] - rest)
    lines = [_ruled(HEADINGS, widths, gap)]
    for at, (row, text) in enumerate(zip(rows, texts, strict=True)):
        if at == 0 or rows[at - 1].stage != row.stage:
            lines.append(
                canvas.paint(f"-- {row.stage} {STAGES.get(row.stage, '')} ".ljust(len(lines[0]), "-"), "faint")
            )
        lines.append(_line(canvas, row, text, widths, gap))
    marked = any(row.diagnostic for row in rows)
    return [*lines, *([canvas.paint("* diagnostic: measured, shown, decides nothing", "faint")] if marked else [])]


def _texts(row: Row, roomy: bool) -> tuple[str, ...]:
    cell = f"{row.cell} of {row.cells}" if roomy and row.cells > 1 else row.cell
    outcome = f"{row.outcome}*" if row.diagnostic else row.outcome
    return row.gate, cell, row.measured, row.bound, row.margin, "", outcome


def _ruled(texts: Sequence[str], widths: Sequence[int], gap: str) -> str:
    return gap.join(
        _fitted(text, width, right=2 <= at <= 4) for at, (text, width) in enumerate(zip(texts, widths, strict=True))
    )


def _fitted(text: str, width: int, *, right: bool) -> str:
    cut = text if len(text) <= width else f"{text[: max(0, width - 1)]}~"
    return cut.rjust(width) if right else cut.ljust(width)


def _line(canvas: Canvas, row: Row, texts: Sequence[str], widths: Sequence[int], gap: str) -> str:
    cells = [
        _fitted(text, width, right=2 <= at <= 4) for at, (text, width) in enumerate(zip(texts, widths, strict=True))
    ]
    kind = "aside" if row.diagnostic and row.outcome == "failed" else KIND_OF_OUTCOME[row.outcome]
    cells[5] = canvas.paint(bar(row.share, widths[5], blocks=canvas.blocks), kind)
    cells[6] = canvas.paint(cells[6].rstrip(), kind)
    return gap.join(cells).rstrip()


def bar(share: float | None, width: int, *, blocks: bool) -> str:
    """How far from its bound: filled from the left on the passing side, from the right where it falls short; empty when not measured."""
    if share is None:
        return " " * width
    full, short = ("█", "▒") if blocks else ("#", "-")
    filled = min(width, max(int(share != 0), round(abs(share) * width)))
    return (full * filled).ljust(width) if share >= 0 else (short * filled).rjust(width)


# -------------------------------------------------------------------------------------------------- the closing words


def rehearsal_lines(canvas: Canvas, cells: Sequence[CellResult], outcome: str) -> list[str]:
    """The end of a rehearsal: the table, the gate nearest to failing, what a recorded run would come to, and how to make one."""
    weakest = Verdict("PASS", tuple(cells), (), ()).weakest
    lines = [*table_lines(canvas, cells), ""]
    if weakest and weakest.weakest:
        lines += canvas.labelled(
            "weakest gate", f"{weakest.cell.gate} [{weakest.cell.id}]: {weakest.weakest.describe()}"
        )
    kind = {"would pass": "good", "would fail": "bad"}.get(outcome, "aside")
    said = "recorded, it" if outcome.startswith("would") else "it"
    lines.append(f"{'outcome':<{MARGIN}}{said} {canvas.paint(outcome, kind)}")
    return [*lines, *canvas.labelled("next", "stagegate packet TAG s0", words=False)]


def failure_lines(canvas: Canvas, failures: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What did not pass, each wrapped under its own head; twelve at most."""
    for entry in failures[:LISTED_FAILURES]:
        where = f"{entry['gate'] or 'run'} [{entry['cell'] or '-'}]"
        message = str(entry["message"])
        text = message if entry["gate"] and message.startswith(entry["gate"]) else f"{where}: {message}"
        for paragraph in text.splitlines()[:6]:
            yield from (
                textwrap.wrap(paragraph, canvas.width, initial_indent="  ", subsequent_indent="      ")
                if canvas.live
                else [f"  {paragraph}"]
            )
    if len(failures) > LISTED_FAILURES:
        yield f"  and {len(failures) - LISTED_FAILURES} more, in the report"
