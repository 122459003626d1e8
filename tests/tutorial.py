"""Types the tutorial as a new user would, and compares what comes out with what the page shows.

    python -m tests.tutorial [--show]

Every shell block of docs/tutorial.md runs in the order of the page, in a home of its own; what the page leaves to a person in an editor is written by the
guided tour's hand. A shown line must come out, in the order shown, apart from times, hashes and run names. --show prints all that came out.
Exit status: 0 when every shown line came out, else 1.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fixtures.demo import CANDIDATE, CANDIDATE_COST_EATEN, ensure_market
from fixtures.demo.tour import PACKETS, PROMOTED_TAG, STOPPED_TAG, fill_deployment, fill_sections

REPOSITORY: Final = Path(__file__).resolve().parents[1]
PAGE: Final = REPOSITORY / "docs" / "tutorial.md"
TAGS: Final = {"mom-2026-01": PROMOTED_TAG, "rev-2026-01": STOPPED_TAG}
"""Tag of the page -> the tag of the tour whose words are written into its packets."""

SHIM: Final = """#!/bin/sh
'{bin}/stagegate' "$@"
status=$?
[ "$1" != packet ] || (cd '{repository}' && '{bin}/python' -m tests.tutorial --write-packet "$HOME/desk" "$2" "$3")
exit $status
"""
"""A stagegate that has whatever `packet` asks for written at once: a page may show the command and the run in one block."""

S0_AGAIN: Final = (
    "pytest gates/s0 --candidate ~/desk/candidates/momentum/candidate.toml "
    "--decision-tag mom-2026-01 --owner dora --workspace ~/desk"
)

LOSER: Final = "When a stage does not pass"
LOSER_ROAD: Final = """
mkdir -p ~/desk/docs/production_research
git -C ~/desk init --quiet
cp '{first}'/stagegate.toml '{first}'/.gitignore ~/desk
stagegate packet rev-2026-01 s0 --workspace ~/desk >/dev/null
pytest gates/s0 --candidate '{candidate}' --decision-tag rev-2026-01 --owner dora --workspace ~/desk
for stage in s1 s2 s3; do
    stagegate packet rev-2026-01 $stage --workspace ~/desk >/dev/null
    pytest gates/$stage -n 2 --decision-tag rev-2026-01 --workspace ~/desk >~/$stage.txt
done
cat ~/s3.txt
"""
LOSER_AGAIN: Final = """
stagegate packet rev-2026-02 s0 --workspace ~/desk >/dev/null
pytest gates/s0 --candidate '{candidate}' --decision-tag rev-2026-02 --owner dora --workspace ~/desk
"""

MOVING: Final = (
    (r"\d{8}T\d{6}Z", "TIME"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
    (r"TIME-[0-9a-f]{8}\b", "RUN"),
    (r"SHA256:[A-Za-z0-9+/]+", "KEY"),
    (r"\b[0-9a-f]{12,64}\b", "HASH"),
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, empty for output, its text, its line and the heading it stands under."""

    language: str
    text: str
    line: int
    heading: str


def blocks(page: str) -> Iterator[Block]:
    """Every fenced block of the page, in order."""
    heading = ""
    for found in re.finditer(r"^## (?P<heading>[^\n]*)$|^```(?P<language>\w*)\n(?P<text>.*?)^```$", page, re.M | re.S):
        if found["heading"]:
            heading = found["heading"]
        else:
            yield Block(found["language"], found["text"], page.count("\n", 0, found.start()) + 1, heading)


class Reader:
    """A new user: a home, and a shell whose PATH begins with the environment of the repository."""

    def __init__(self, home: Path) -> None:
        self.home = home
        shims = home / "shims"
        shims.mkdir(parents=True)
        binaries = REPOSITORY / ".venv" / "bin"
        (shims / "stagegate").write_text(SHIM.format(bin=binaries, repository=REPOSITORY), encoding="utf-8")
        (shims / "stagegate").chmod(0o755)
        path = f"{shims}:{binaries}:{os.environ['PATH']}"
        self.environment = {"HOME": str(home), "PATH": path, "LANG": "C.UTF-8", "COLUMNS": "80"}

    def types(self, text: str) -> str:
        """Run a block of the page; what it printed, with ~ for the home."""
        done = subprocess.run(
            ["bash", "-c", text],
            cwd=REPOSITORY,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.stdout.replace(str(self.home), "~")

    def reads(self, page: str) -> Iterator[tuple[Block, str]]:
        """Do what the page says; each shown output beside all that was printed since the block shown before."""
        printed, reader = "", self
        for block in blocks(page):
            if block.heading == LOSER and reader is self:
                reader = Reader(self.home / "of the loser")
                printed = reader.types(LOSER_ROAD.format(candidate=CANDIDATE_COST_EATEN, first=self.home / "desk"))
            if block.language == "sh":
                printed += reader.types(block.text)
            elif block.language == "toml":
                (self.home / "desk" / "candidates" / "momentum" / "candidate.toml").write_text(block.text)
            elif not block.language:
                if "REFUSED" in block.text and reader is not self:
                    printed += reader.types(LOSER_AGAIN.format(candidate=CANDIDATE_COST_EATEN))
                if block.text.startswith("s0 scope_freeze"):
                    printed += self.types(S0_AGAIN)
                yield block, printed
                printed = ""


def settled(text: str) -> list[str]:
    """The lines of an output without what differs between two runs."""
    for pattern, word in MOVING:
        text = re.sub(pattern, word, text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def missing(block: Block, printed: str) -> list[str]:
    """Shown lines that did not come out, in the order shown."""
    came_out = iter(settled(printed))
    lost = []
    for line in settled(block.text):
        rest = list(came_out)
        if line in rest:
            came_out = iter(rest[rest.index(line) + 1 :])
        else:
            lost.append(line)
            came_out = iter(rest)
    return lost


def write_packet(workspace: Path, tag: str, stage: str) -> None:
    """Write what `stagegate packet` left to a person, unless it is written."""
    path = workspace / "docs" / "production_research" / tag / f"{stage}.md"
    told_of = TAGS.get(tag, STOPPED_TAG)
    path.write_text(fill_sections(path.read_text(encoding="utf-8"), PACKETS[told_of, stage]), encoding="utf-8")
    if stage == "s4":
        fill_deployment(path.parent)


def main() -> int:
    """Type the page and compare."""
    parser = argparse.ArgumentParser(prog="python -m tests.tutorial", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--show", action="store_true", help="print all that came out")
    parser.add_argument("--write-packet", nargs=3, metavar=("WORKSPACE", "TAG", "STAGE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.write_packet:
        write_packet(Path(asked.write_packet[0]), *asked.write_packet[1:])
        return 0
    ensure_market(CANDIDATE)
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="stagegate-tutorial-") as home:
        for block, printed in Reader(Path(home)).reads(PAGE.read_text(encoding="utf-8")):
            lost = missing(block, printed)
            wrong += bool(lost)
            print(f"line {block.line}: {'as shown' if not lost else 'DIFFERS'}", flush=True)
            for line in lost:
                print(f"  not printed: {line}")
            if asked.show or lost:
                print(f"---- printed:\n{printed}----")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
