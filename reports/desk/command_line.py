"""What every command of stagegate is made of: its line in the parser, its workspace, its answer."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from reports.record.workspace import Workspace

REFUSED: Final = 4
REPOSITORY: Final = Path(__file__).resolve().parents[2]
STAGE_CHOICES: Final = ("s0", "s1", "s2", "s3", "s4")

Answer = tuple[Any, Iterable[str], int]
"""What a command found: for --json, as lines of text, and the exit status."""

Command = Callable[[argparse.Namespace], Answer]


class Parser(argparse.ArgumentParser):
    """A parser whose errors are refusals, as everywhere in this project."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line and leave with the exit status of a refusal."""
        self.print_usage(sys.stderr)
        self.exit(REFUSED, f"refused: {message}\n")


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The parser that is being built; each module of reports.desk.commands adds its commands to it."""

    subparsers: argparse._SubParsersAction[Parser]
    common: Parser

    def add(self, name: str, command: Command, summary: str) -> Parser:
        """A command with the options that all have, --workspace and --json."""
        added = self.subparsers.add_parser(
            name, parents=[self.common], help=summary, description=summary, allow_abbrev=False
        )
        added.set_defaults(command=command)
        return added

    def add_tagged(self, name: str, command: Command, summary: str) -> Parser:
        """A command about one tag."""
        added = self.add(name, command, summary)
        added.add_argument("tag", metavar="TAG", help="decision tag")
        return added


def workspace_of(arguments: argparse.Namespace) -> Workspace:
    """The workspace that was named, or the repository. RequestRefused when there is no such folder."""
    from reports.record.errors import RequestRefused
    from reports.record.workspace import Workspace

    root = Path(arguments.workspace).resolve() if arguments.workspace else REPOSITORY
    if not root.is_dir():
        raise RequestRefused(
            "there is no such workspace", where=str(root), remedy="name an existing folder with --workspace"
        )
    return Workspace(root)


def place_of(arguments: argparse.Namespace) -> str:
    """The --workspace option for a command that a person types next."""
    return f" --workspace {shlex.quote(arguments.workspace)}" if arguments.workspace else ""


def of(count: int, thing: str) -> str:
    """`1 tag`, `2 tags`."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def printable(text: str) -> str:
    """`text` without characters that would move a terminal's cursor or colour it."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)
