"""Commands that say where tags stand. They read; handoff and site alone write, pages that are made anew each time."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from reports.desk.command_line import REFUSED, STAGE_CHOICES, Answer, CommandLine, of, place_of, workspace_of

if TYPE_CHECKING:
    from reports.desk.leaderboard import Placing
    from reports.desk.standing import TagStanding


def add_commands(line: CommandLine) -> None:
    """status, report, leaderboard, site, handoff."""
    line.add("status", status, "where every tag stands, what it waits for, what to type next")
    report = line.add_tagged("report", show_report, "a run's report: as a page, as markdown or as json")
    report.add_argument(
        "--stage", choices=STAGE_CHOICES, help="the last run of this stage (default: the tag's last run)"
    )
    report.add_argument(
        "--format", choices=("html", "md", "json"), default="md", help="html is one self-contained page (default: md)"
    )
    line.add("leaderboard", show_leaderboard, "tags by the margin of their weakest hard gate").add_argument(
        "--stage", choices=STAGE_CHOICES, default="s3", help="the stage that is compared (default: s3)"
    )
    line.add("site", make_site, "the whole record as a static site: decisions, tags, families, failures").add_argument(
        "--out", metavar="DIR", required=True, help="a new folder, or an earlier site, which is made anew"
    )
    line.add(
        "handoff", write_handoff_page, "write docs/production_research/HANDOFF.md: enough for a colleague to go on"
    )


def status(arguments: argparse.Namespace) -> Answer:
    """Where every tag stands."""
    from reports.desk.standing import standings
    from reports.record.clock import utc_now
    from reports.record.registry import Registry

    workspace = workspace_of(arguments)
    found = standings(workspace, Registry(workspace.root).rows(), utc_now(), place_of(arguments))
    nothing = [f"no tag yet. Begin with: stagegate packet TAG s0{place_of(arguments)}"]
    return (
        {"schema": 1, "tags": [asdict(tag) for tag in found]},
        [line for tag in found for line in standing_lines(tag)] or nothing,
        0,
    )


def standing_lines(tag: TagStanding) -> list[str]:
    """One tag of the status."""
    lines = [f"{tag.tag}  {tag.stage} {tag.state}  {tag.candidate} ({tag.family}), {tag.owner}, {tag.utc}"]
    lines += [f"    unofficial  {', '.join(tag.unofficial)}"] if tag.unofficial else []
    lines += [f"    waits for   {tag.waits_for}"]
    return lines + ([f"    next        {tag.next_command}"] if tag.next_command else [])


def show_report(arguments: argparse.Namespace) -> Answer:
    """Show the report of a run; exit 4 when there is none to show, with a page that says why."""
    from reports.desk.report import show_report
    from reports.record.registry import Registry

    workspace = workspace_of(arguments)
    found = show_report(workspace, Registry(workspace.root).rows(), arguments.tag, arguments.stage, arguments.format)
    return found.report, found.text.splitlines(), 0 if found.whole else REFUSED


def show_leaderboard(arguments: argparse.Namespace) -> Answer:
    """Rank the tags that finished a stage."""
    from reports.desk.leaderboard import leaderboard
    from reports.record.registry import Registry

    found = leaderboard(Registry(workspace_of(arguments).root).rows(), arguments.stage)
    placed = {"schema": 1, "stage": arguments.stage, "placings": [asdict(placing) for placing in found]}
    return placed, leaderboard_lines(found) if found else [f"no tag has finished {arguments.stage}"], 0


def make_site(arguments: argparse.Namespace) -> Answer:
    """Write the site; what verification found is told here as on every page of it."""
    from reports.desk.site import write_site

    found = write_site(workspace_of(arguments), Path(arguments.out).absolute())
    counts = f"{of(found.tags, 'tag')}, {of(found.files, 'file')}; open index.html"
    findings = [f"the record does not verify: {text}" for text in found.findings]
    return {"schema": 1, **asdict(found)}, [f"written  {found.folder}", f"         {counts}", *findings], 0


def write_handoff_page(arguments: argparse.Namespace) -> Answer:
    """Hand over what is in flight."""
    from reports.desk.handoff import handoff, write_handoff
    from reports.record.clock import utc_now
    from reports.record.registry import Registry

    workspace, place = workspace_of(arguments), place_of(arguments)
    found = handoff(workspace, Registry(workspace.root).rows(), utc_now(), place)
    path = workspace.relative(write_handoff(workspace, found, place))
    counts = f"{of(len(found.in_flight), 'tag')} in flight, {of(len(found.follow_ups), 'open follow-up')}, {of(found.rows, 'row')}"
    return {"schema": 1, "written": path, **asdict(found)}, [f"written  {path}", f"         {counts}"], 0


def leaderboard_lines(placings: Sequence[Placing]) -> list[str]:
    """The leaderboard as a table."""
    headings = (
        "rank",
        "tag",
        "candidate",
        "family",
        "verdict",
        "weakest gate",
        "margin in steps",
        "net Sharpe x1.5",
        "DSR",
    )
    rows = [
        (
            *(
                str(place.rank),
                place.tag,
                place.candidate,
                place.family,
                ", ".join((place.verdict, *place.marks)),
                place.weakest_gate or "-",
            ),
            *(
                "-" if place.margin is None else f"{place.margin:+.2f}",
                shown(place.net_sharpe_x1_5),
                shown(place.deflated_sharpe),
            ),
        )
        for place in placings
    ]
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in (headings, *rows)
    ]


def shown(number: float | None) -> str:
    """Four significant digits, `-` for what was not measured."""
    return "-" if number is None else f"{number:.4g}"
