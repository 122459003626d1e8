"""What the site says of each tag, read from registry, packs and freezes as they lie on disk. Whatever is damaged is said, never raised."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from engines.digest import sha256_bytes
from engines.errors import StageGateError
from reports.desk.account import CellAccount, cells_of, number, read_report
from reports.desk.book import CLOSED, Book, state_of
from reports.desk.report import show_report
from reports.desk.standing import standings
from reports.desk.whereabouts import Whereabouts
from reports.record.chain import Row
from reports.record.durable import load_json, read_regular
from reports.record.errors import RecordError
from reports.record.workspace import STAGES, TAG_PATTERN, Workspace
from reports.verification.verify import dead_runs

CURVE_POINTS: Final = 120
CURVE_COSTS: Final = "1"
"""The cost multiplier whose net curve is compared."""

NOWHERE: Final = Whereabouts((), {})
"""A worst cell is shown without its dates and names: `stagegate explain` has them."""

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class StageView:
    """The last run of one stage. page: the name of its page in the site, empty where the tag has no run of it; whole: that page is a report."""

    stage: str
    state: str
    official: bool
    weakest_gate: str
    margin: str
    utc: str
    page: str
    whole: bool


@dataclass(frozen=True, slots=True)
class TagView:
    """One tag. stem: what its pages are named after. cells: each gate at its worst cell. curve: (day, cumulative net return), thinned out."""

    stem: str
    tag: str
    candidate: str
    family: str
    owner: str
    stage: str
    state: str
    marks: tuple[str, ...]
    waits_for: str
    next_command: str
    utc: str
    weakest_gate: str
    margin: str
    sharpe: str
    deflated_sharpe: str
    trials: str
    supersedes: str
    superseded_by: str
    stages: tuple[StageView, ...]
    cells: tuple[CellAccount, ...]
    config: Mapping[str, str]
    config_fault: str
    curve: tuple[tuple[str, float], ...]
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Described:
    """Every tag, the latest first, and the pages of their reports: file name -> html."""

    tags: tuple[TagView, ...]
    pages: Mapping[str, str]


def describe(workspace: Workspace, rows: Sequence[Row], at: datetime) -> Described:
    """The views of all tags of `rows`, which are of known stages."""
    book, dead, pages = Book.of(rows), dead_runs(workspace, rows), dict[str, str]()
    waiting = _waiting(workspace, rows, at)
    views = [_tag(workspace, book, tag, dead, waiting.get(tag, ("-", "")), pages) for tag in reversed(tuple(book.tags))]
    return Described(tuple(sorted(views, key=lambda view: view.utc, reverse=True)), pages)


def stem_of(tag: str) -> str:
    """The name of a tag's page: the tag, or its hash where it is no plain name or differs from another only in case."""
    plain = TAG_PATTERN.fullmatch(tag) and ".." not in tag and not tag.endswith(".") and tag == tag.lower()
    return tag if plain else f"{re.sub('[^a-z0-9-]', '-', tag.lower())[:24]}.{sha256_bytes(tag.encode())[:12]}"


def _waiting(workspace: Workspace, rows: Sequence[Row], at: datetime) -> Mapping[str, tuple[str, str]]:
    try:
        return {each.tag: (each.waits_for, each.next_command) for each in standings(workspace, rows, at, "")}
    except StageGateError as error:
        told = f"cannot be said: {error.what}"
        return {row["decision_tag"]: (told, "") for row in rows}


def _tag(
    workspace: Workspace, book: Book, tag: str, dead: frozenset[str], waiting: tuple[str, str], pages: dict[str, str]
) -> TagView:
    rows, last, stem = book.tags[tag], book.last(tag), stem_of(tag)
    reports = {stage: read_report(workspace, row)[0] for stage, row in _last_runs(rows).items()}
    measured = _measured(rows)
    config, fault = _config(workspace, tag)
    return TagView(
        stem=stem,
        tag=tag,
        candidate=last["candidate"],
        family=last["family"],
        owner=last["owner"],
        stage=last["stage"],
        state=state_of(last, dead),
        marks=tuple(_marks(book, last)),
        waits_for=waiting[0],
        next_command=waiting[1],
        utc=last["utc"],
        weakest_gate=last["weakest_gate"] or "-",
        margin=_figure(last["weakest_margin"]),
        sharpe=_figure(measured["net_sharpe_x1_5"]),
        deflated_sharpe=_figure(measured["deflated_sharpe"]),
        trials=measured["n_trials"] or "-",
        supersedes=next((row["supersedes"] for row in rows if row["supersedes"]), ""),
        superseded_by=book.heirs.get(tag, ""),
        stages=tuple(_stages(workspace, rows, tag, dead, pages)),
        cells=tuple(cell for report in reports.values() for cell in _worst(report)),
        config=config,
        config_fault=fault,
        curve=next((curve for stage in reversed(STAGES) if (curve := _curve(reports.get(stage, {})))), ()),
        rows=rows,
    )


def _last_runs(rows: Sequence[Row]) -> Mapping[str, Row]:
    """Stage -> the last row of its last run that began."""
    begun = {row["stage"]: row for row in rows if row["event"] == "STARTED"}
    closed = {row["run_id"]: row for row in rows if row["event"] in CLOSED}
    return {stage: closed.get(begun[stage]["run_id"], begun[stage]) for stage in STAGES if stage in begun}


def _stages(
    workspace: Workspace, rows: Sequence[Row], tag: str, dead: frozenset[str], pages: dict[str, str]
) -> Iterator[StageView]:
    runs = _last_runs(rows)
    for stage in STAGES:
        row = runs.get(stage)
        if row is None:
            yield StageView(stage, "-", True, "-", "-", "-", "", whole=False)
            continue
        page = f"{stem_of(tag)}.{stage}.html"
        shown = show_report(workspace, rows, tag, stage, "html")
        pages[page] = shown.text
        yield StageView(
            stage=stage,
            state=state_of(row, dead),
            official=row["official"] == "true",
            weakest_gate=row["weakest_gate"] or "-",
            margin=_figure(row["weakest_margin"]),
            utc=row["utc"],
            page=page,
            whole=shown.whole,
        )


def _marks(book: Book, last: Row) -> Iterator[str]:
    tag = last["decision_tag"]
    if last["official"] != "true":
        yield "unofficial"
    if tag in book.heirs:
        yield "superseded"
    if tag in book.revoked:
        yield "revoked"


def _measured(rows: Sequence[Row]) -> Mapping[str, str]:
    """Each metric as the tag's last official run that measured it has it."""
    official = [row for row in rows if row["event"] == "FINISHED" and row["official"] == "true"]
    names = ("net_sharpe_x1_5", "deflated_sharpe", "n_trials")
    return {name: next((row[name] for row in reversed(official) if row[name]), "") for name in names}


def _worst(report: Mapping[str, Any]) -> Iterator[CellAccount]:
    """Each gate of a report at the cell with the least margin; one that was not measured is worse than any."""
    by_gate: dict[str, list[CellAccount]] = {}
    for cell in cells_of(report, NOWHERE):
        by_gate.setdefault(cell.gate, []).append(cell)
    for cells in by_gate.values():
        yield min(cells, key=lambda cell: (cell.margin is not None or cell.outcome == "absent", cell.margin or 0.0))


def _curve(report: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    """The net curve of a report, thinned to at most CURVE_POINTS and the last; empty where it has none that can be drawn."""
    figures = report.get("figures")
    growth = figures.get("growth") if isinstance(figures, dict) else None
    net = growth.get("net") if isinstance(growth, dict) else None
    values = net.get(CURVE_COSTS) if isinstance(net, dict) else None
    dates = growth.get("dates") if isinstance(growth, dict) else None
    if not isinstance(values, list) or not isinstance(dates, list):
        return ()
    points = [
        (day, value)
        for day, given in zip(dates, values, strict=False)
        if isinstance(day, str) and _DAY.fullmatch(day) and (value := number(given)) is not None
    ]
    step = max(1, len(points) // CURVE_POINTS)
    return tuple(dict.fromkeys((*points[::step], *points[-1:])))


def _config(workspace: Workspace, tag: str) -> tuple[Mapping[str, str], str]:
    """The candidate's configuration as frozen, flat, and why there is none."""
    if not TAG_PATTERN.fullmatch(tag):
        return {}, "The tag is no plain name, so that no freeze can be its own."
    path = workspace.freeze(tag)
    try:
        freeze = load_json(read_regular(path), workspace.relative(path))
    except RecordError as error:
        return {}, f"The freeze cannot be read: it {error.what}."
    candidate = freeze.get("candidate") if isinstance(freeze, dict) else None
    config = candidate.get("config") if isinstance(candidate, dict) else None
    if not isinstance(config, dict):
        return {}, "The freeze holds no configuration."
    return dict(_flat(config)), ""


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    else:
        yield key, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _figure(text: str) -> str:
    """A metric cell as it is shown; `-` for what was not measured, text that is no number as it stands."""
    try:
        return f"{float(text):.4g}" if text else "-"
    except ValueError:
        return text
