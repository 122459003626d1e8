"""Puts measured tables into docs/performance.md, and the growth of time and memory into a plot.

    python -m benchmarks.tables FILE.json ..      files that `python -m benchmarks --json FILE` wrote; of a row measured twice the last counts

Between the markers of the page everything is made anew; what stands around them is written by hand.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.__main__ import PACKAGES

REPOSITORY: Final = Path(__file__).resolve().parents[1]
PAGE: Final = REPOSITORY / "docs" / "performance.md"
PLOT: Final = REPOSITORY / "docs" / "examples" / "growth.svg"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HEAD: Final = "| work | size | threads | against | ours | theirs | ratio | spread | bar | |\n|---|---|---|---|---|---|---|---|---|---|"
TIMES: Final = 4


def main(files: Sequence[str]) -> int:
    """Write the page and the plot."""
    reports = [json.loads(Path(file).read_text(encoding="utf-8")) for file in files]
    rows = list({(row["work"], row["size"], row["peer"]): row for report in reports for row in report["rows"]}.values())
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{measured(reports, rows)}\n\n{END}{after}", encoding="utf-8")
    grown = [row for row in rows if row["peer"] == "exponent" and row["size"] == "large"]
    if grown:
        PLOT.write_text(plot(grown), encoding="utf-8")
    return 0


def measured(reports: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> str:
    """When and on what, and every row."""
    machine, versions = reports[-1]["machine"], reports[-1]["versions"]
    began = min(report["machine"]["started_utc"] for report in reports)
    ended = max(report["finished_utc"] for report in reports)
    load = max(value for report in reports for value in report["machine"]["load_average_before"][:1])
    packages = ", ".join(f"{name} {versions[name]}" for name in PACKAGES if versions.get(name))
    lines = [
        f"Measured {began} to {ended} on {machine['cores']} cores ({machine['cpu']}, {machine['memory_gb']} GB), Python {machine['python']}, load at the start at most {load:.1f}.",
        f"{packages}.",
        "",
        HEAD,
        *(table_row(row) for row in sorted(rows, key=lambda row: (row["work"], row["size"] != "large"))),
    ]
    return "\n".join(lines)


def table_row(row: Mapping[str, Any]) -> str:
    """One row of a table."""
    bar = "" if row["bar"] is None else f"{row['relation']} {row['bar']:g}"
    if row["stretch"] is not None:
        bar += f" (stretch {row['stretch']:g})"
    met = {None: "", True: "met", False: "**not met**"}[row["met"]]
    spread = "" if row["spread"] is None else f"{row['spread']:.2f}"
    cells = [
        row["work"],
        row["size"].upper(),
        str(row["threads"]),
        row["peer"],
        _seconds(row["ours_s"]),
        _seconds(row["peer_s"]),
        f"{row['ratio']:.3g}" if row["ratio"] is not None else "-",
        spread,
        bar,
        met,
    ]
    return f"| {' | '.join(cells)} |"


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{1e3 * value:.3g} ms" if value < 1.0 else f"{value:.3g} s"


# ------------------------------------------------------------------------------------------------------------------ plot

WIDTH, HEIGHT, MARGIN = 640, 320, 56
COLOURS: Final = {"symbols": "#1f6feb", "dates": "#b35900", "multipliers": "#1a7f37", "shards": "#8250df"}


def plot(rows: Sequence[Mapping[str, Any]]) -> str:
    """Two panels, time and memory: how many times as much for four times as many, beside the line of "four times takes four times"."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12" role="img">',
        "<title>Growth of time and memory when there is four times as much of one thing; both axes are logarithmic</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for number, what in enumerate(("time", "memory")):
        parts += _panel(what, number * WIDTH / 2, [row for row in rows if row["work"].endswith(what)])
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(what: str, left: float, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    start, end, bottom, top = left + MARGIN, left + WIDTH / 2 - 90, HEIGHT - MARGIN, MARGIN
    unit = (bottom - top) / 1.4

    def height(times: float) -> float:
        return bottom - unit * (math.log(max(times, 0.25), TIMES) + 0.2)

    yield f'<text x="{start:.0f}" y="{top - 22}" font-weight="bold">{what}, times as much</text>'
    for times in (1, 2, 4):
        yield f'<line x1="{start:.0f}" x2="{end:.0f}" y1="{height(times):.1f}" y2="{height(times):.1f}" stroke="#d0d7de"/>'
        yield f'<text x="{start - 8:.0f}" y="{height(times) + 4:.1f}" text-anchor="end">{times}</text>'
    yield f'<line x1="{start:.0f}" y1="{height(1):.1f}" x2="{end:.0f}" y2="{height(4):.1f}" stroke="#57606a" stroke-dasharray="4 3"/>'
    yield f'<text x="{start:.0f}" y="{bottom + 20}">1 x</text><text x="{end:.0f}" y="{bottom + 20}" text-anchor="end">4 x as many</text>'
    labels: list[float] = []
    for row in sorted(rows, key=lambda row: -float(row["ratio"])):
        name = next(name for name in COLOURS if f": {name} x" in row["work"])
        times = float(TIMES ** row["ratio"])
        place = max([height(times), *(label + 15 for label in labels)]) if labels else height(times)
        labels.append(place)
        yield f'<line x1="{start:.0f}" y1="{height(1):.1f}" x2="{end:.0f}" y2="{height(times):.1f}" stroke="{COLOURS[name]}" stroke-width="2"/>'
        yield f'<text x="{end + 6:.0f}" y="{place + 4:.1f}" fill="{COLOURS[name]}">{name} {times:.2g}</text>'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
