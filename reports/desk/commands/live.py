"""What is asked of a book with money on it: monitor."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

from reports.desk.command_line import REPOSITORY, Answer, CommandLine, workspace_of


def add_commands(line: CommandLine) -> None:
    """Add monitor."""
    asked = "is a promoted book in bounds? 0 yes, 10 watch, 11 roll back, 2 incomplete"
    monitor = line.add_tagged("monitor", monitor_book, asked)
    monitor.add_argument("--live", type=Path, required=True, metavar="FILE", help="daily returns: date, return, ..")
    monitor.add_argument("--positions", type=Path, metavar="FILE", help="the book: date, symbol, weight, ..")
    monitor.add_argument("--data", type=Path, metavar="FILE", help="the candidate's price file as it has grown")
    monitor.add_argument(
        "--as-of", type=date.fromisoformat, metavar="DATE", help="judge as of this day (default: today)"
    )
    monitor.add_argument("--textfile", type=Path, metavar="FILE", help="also write the answer for Prometheus")


def monitor_book(arguments: argparse.Namespace) -> Answer:
    """Read the watchlist and the triggers of a promoted tag on live files. Writes the textfile, and nothing when anything is refused."""
    from reports.criteria.freeze import Places
    from reports.deployment.live import LiveFiles
    from reports.deployment.monitor import monitor
    from reports.deployment.monitor_text import monitoring_lines, prometheus_text
    from reports.record.clock import utc_now
    from reports.record.durable import replace

    moment = utc_now()
    files = LiveFiles(arguments.live, arguments.positions, arguments.data)
    places = Places(workspace_of(arguments), REPOSITORY)
    found = monitor(places, arguments.tag, files, arguments.as_of or moment.date(), moment.date())
    if arguments.textfile is not None:
        replace(arguments.textfile.absolute(), prometheus_text(found, moment))
    return found.to_json(), monitoring_lines(found), found.exit_status
