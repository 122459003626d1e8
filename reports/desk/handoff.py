"""docs/production_research/HANDOFF.md: enough for a colleague who knows nothing to go on. Made anew each time, from the record alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from reports.desk.account import entries, read_report
from reports.desk.book import CLOSED, Book
from reports.desk.standing import TagStanding, standings
from reports.pack.markdown import markdown_table
from reports.pack.packet import sections
from reports.record.chain import Row
from reports.record.clock import iso
from reports.record.durable import make_directory, read_regular, replace
from reports.record.errors import RecordError, RequestRefused
from reports.record.workspace import Workspace

HANDOFF: Final = "HANDOFF.md"
VERDICTS_SHOWN: Final = 10
STEPS_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """A run that ended, with the paths of its evidence relative to the workspace."""

    tag: str
    stage: str
    verdict: str
    official: bool
    utc: str
    weakest_gate: str
    report: str
    packet: str


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Something that a tag leaves open: what a person wrote as the next action, what the report warns of, or what its remediation begins with."""

    tag: str
    what: str
    source: str


@dataclass(frozen=True, slots=True)
class Handoff:
    """What the page says. in_flight: tags that something can still be done for; done: how many there are besides."""

    written_utc: str
    rows: int
    head: str
    in_flight: tuple[TagStanding, ...]
    done: int
    verdicts: tuple[Verdict, ...]
    follow_ups: tuple[FollowUp, ...]


def handoff(workspace: Workspace, rows: Sequence[Row], at: datetime, place: str) -> Handoff:
    """What is in flight, how the last runs ended, what is open. RequestRefused for an empty registry: there is nothing to hand over."""
    if not rows:
        raise RequestRefused(
            "the registry is empty: there is nothing to hand over",
            where=str(workspace.registry),
            remedy=f"begin with: stagegate packet TAG s0{place}",
        )
    book, found = Book.of(rows), standings(workspace, rows, at, place)
    in_flight = tuple(tag for tag in found if not tag.waits_for.startswith("nothing"))
    ended = [row for row in rows if row["event"] in CLOSED][-VERDICTS_SHOWN:]
    return Handoff(
        written_utc=iso(at),
        rows=len(rows),
        head=rows[-1].row_hash,
        in_flight=in_flight,
        done=len(found) - len(in_flight),
        verdicts=tuple(_verdict(workspace, row) for row in reversed(ended)),
        follow_ups=tuple(follow for tag in in_flight for follow in _follow_ups(workspace, book.last(tag.tag))),
    )


def _verdict(workspace: Workspace, row: Row) -> Verdict:
    return Verdict(
        tag=row["decision_tag"],
        stage=row["stage"],
        verdict=row["verdict"] or row["event"],
        official=row["official"] == "true",
        utc=row["utc"],
        weakest_gate=row["weakest_gate"],
        report=row["report"],
        packet=workspace.relative(workspace.packet(row["decision_tag"], row["stage"])),
    )


def _follow_ups(workspace: Workspace, row: Row) -> Iterator[FollowUp]:
    """What the last run of a tag leaves open."""
    tag, packet = row["decision_tag"], workspace.packet(row["decision_tag"], row["stage"])
    action = _next_action(packet)
    if action:
        yield FollowUp(tag, action, workspace.relative(packet))
    report, messages = read_report(workspace, row)
    listed = report.get("notes")
    for note in (*messages, *(listed if isinstance(listed, list) else ())):
        yield FollowUp(tag, str(note), row["report"] or f"registry row {row.seq}")
    for step in list(entries(report, "remediation"))[:STEPS_SHOWN]:
        what = f"{step.get('gate') or 'the run'}: likely {step.get('likely_cause')}. Look closer: {step.get('look_closer')}"
        yield FollowUp(tag, what, row["report"])


def _next_action(packet: Path) -> str:
    try:
        text = read_regular(packet).decode("utf-8", "replace")
    except RecordError:
        return ""
    return " ".join(dict(sections(text)).get("Next action", "").split())


def write_handoff(workspace: Workspace, found: Handoff, place: str) -> Path:
    """Write the page in place of the last one; returns its path."""
    path = workspace.research / HANDOFF
    make_directory(path.parent)
    replace(path, page(found, place).encode())
    return path


def page(found: Handoff, place: str) -> str:
    """The page as markdown."""
    flight = [(tag.tag, f"{tag.stage} {tag.state}", tag.candidate, tag.owner, tag.waits_for) for tag in found.in_flight]
    ended = [
        (each.tag, each.stage, each.verdict + ("" if each.official else " (unofficial)"), each.utc, each.weakest_gate or "-", each.report or "-", each.packet)
        for each in found.verdicts
    ]  # fmt: skip
    parts = [
        "# Handoff",
        f"Made by `stagegate handoff{place}` at {found.written_utc} from {found.rows} registry rows, head `{found.head[:12]}`. Not edited by hand: make it anew.",
        _ORIENTATION.format(place=place),
        f"## In flight\n\nTags that wait for something: {len(found.in_flight)}; closed: {found.done} (`stagegate status{place}`).",
        markdown_table(("tag", "stage", "candidate", "owner", "waits for"), flight)
        if flight
        else "Nothing is in flight.",
        "## Next commands",
        "\n".join(["```sh", *_commands(found.in_flight), "```"]),
        "## Last verdicts",
        markdown_table(("tag", "stage", "verdict", "utc", "weakest gate", "report", "packet"), ended),
        "## Open follow-ups",
        markdown_table(("tag", "what", "from"), [(each.tag, each.what, each.source) for each in found.follow_ups])
        if found.follow_ups
        else "None on record.",
    ]
    return "\n\n".join(parts) + "\n"


def _commands(in_flight: Sequence[TagStanding]) -> Iterator[str]:
    for tag in in_flight:
        yield f"# {tag.tag}: {tag.waits_for}"
        yield tag.next_command or "# nothing to type yet"


_ORIENTATION: Final = """\
A candidate is promoted through five stages, s0 scope freeze to s4 deployment readiness; each recorded run is started with `pytest gates/<stage> --decision-tag TAG`,
preceded by `stagegate packet TAG <stage>`, whose four parts a person writes. A tag that did not pass stays spent: the next one names it with `--supersedes` and
`--root-cause`. The record is `gate_results/gate_registry.csv` and the packs beside it; nothing in it is edited by hand.

- `stagegate verify{place}`: does the record hold?
- `stagegate explain TAG{place}`: what failed, where, by how much, what would have to be true to pass
- `stagegate failures{place}`: what fails again and again, and which root causes followed
- `README.md` and `docs/tutorial.md` of the stagegate repository: everything else"""
