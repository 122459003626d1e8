"""The stagegate command: everything that is not a test run. `stagegate --help` lists the commands; reports/desk/commands holds them.

Each command translates its arguments to one function of the record and prints the answer, as text or with --json as one JSON document. Exit
status: 0, 4 when refused, and those of verify. Imports wait until a command needs them, so that --help and status answer at once.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence

from engines.errors import StageGateError
from reports.desk.command_line import REFUSED, CommandLine, Parser, printable
from reports.desk.commands import decisions, lessons, live, overview, record, upkeep
from reports.record.host import put, settle


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. A person's mistake is a message, never a traceback."""
    settle()
    arguments = build_parser().parse_args(argv)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found, lines, status = arguments.command(arguments)
            text = (
                json.dumps(found, indent=1, ensure_ascii=False) if arguments.json else "\n".join(map(printable, lines))
            )
    except (StageGateError, OSError) as error:
        return refuse(error, as_json=arguments.json)
    for warning in caught:
        put(sys.stderr, f"warning: {printable(str(warning.message))}\n")
    return show(text, status)


def show(text: str, status: int) -> int:
    """Print the answer; a reader that stopped reading (`stagegate status | head`) is no error."""
    put(sys.stdout, f"{text}\n")
    return status


def refuse(error: StageGateError | OSError, *, as_json: bool) -> int:
    """Say what was refused, where and how to mend it."""
    if isinstance(error, StageGateError):
        parts = {"refused": error.what, "where": error.where, "remedy": error.remedy}
    else:
        parts = {
            "refused": error.strerror or str(error),
            "where": str(error.filename or ""),
            "remedy": "check path and permissions",
        }
    if as_json:
        put(sys.stdout, f"{json.dumps(parts, indent=1, ensure_ascii=False)}\n")
    labels = {"refused": "refused:", "where": "  where:  ", "remedy": "  to mend:"}
    put(sys.stderr, "".join(f"{labels[key]} {printable(text)}\n" for key, text in parts.items() if text))
    return REFUSED


def build_parser() -> Parser:
    """The command line. Abbreviated options are refused."""
    common = Parser(add_help=False)
    common.add_argument(
        "--workspace", metavar="DIR", help="folder that holds gate_results/, runs/ and docs/production_research/"
    )
    common.add_argument("--json", action="store_true", help="answer with one JSON document")
    parser = Parser(
        prog="stagegate", description="Everything around the gates that is not a test run.", allow_abbrev=False
    )
    line = CommandLine(parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser), common)
    for group in (overview, lessons, decisions, live, record, upkeep):
        group.add_commands(line)
    return parser


if __name__ == "__main__":
    sys.exit(main())
