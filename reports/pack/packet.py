"""The explainability packet of a stage: docs/production_research/<tag>/<stage>.md.

    # <tag> <stage>
    ## What changed                 a person, before the run
    ## Why                          a person, before the run
    ## Expected impact and risk     a person, before the run
    ## Next action                  a person, before the run
    ## Evidence                     the run: paths and hashes
    ## Outcome                      the run: the verdict and what decided it

The check asks whether a person wrote something, not whether it is good: that is for the reader of the pull request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from reports.record.durable import make_directory, write_new
from reports.record.errors import RequestRefused
from reports.record.workspace import STAGES, Workspace, check_tag

PROMPTS: Final[Mapping[str, str]] = {
    "What changed": "What differs from the last tag of this family, or from what runs today: signal, universe, data, costs.",
    "Why": "The economic reason, and the evidence that made you propose it.",
    "Expected impact and risk": "What you expect to gain in figures, what could go wrong, and how you would notice.",
    "Next action": "What you will do when this stage passes, and what when it does not.",
}
"""Sections that a person writes -> what the template asks."""

RUN_SECTIONS: Final = ("Evidence", "Outcome")
HEADINGS: Final = (*PROMPTS, *RUN_SECTIONS)

_WRITTEN_BY_THE_RUN: Final = "<!-- written by the run -->"
_COMMENT: Final = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING: Final = re.compile(r" {0,3}(#{1,2})[ \t]+(.*?)[ \t]*#*[ \t]*")
_LEFT_TO_DO: Final = re.compile(
    r"\b(?:TODO|TBD|TBC|FIXME|XXX)\b|\b(?i:todo|tbd)\s*[:!]|<[a-z]+(?: [a-z]+)+>|\{\{|(?i:lorem ipsum)"
)
_PLACEHOLDERS: Final = frozenset(
    (
        *(
            "na",
            "none",
            "nothing",
            "nil",
            "null",
            "no",
            "yes",
            "ok",
            "x",
            "todo",
            "tbd",
            "test",
            "text",
            "placeholder",
            "unknown",
        ),
        *(
            "as above",
            "see above",
            "same",
            "to do",
            "not applicable",
            "fill in",
            "fill me in",
            "to be written",
            "to be done",
        ),
        *(
            "to be determined",
            "your text here",
            "write here",
            "some text",
            "work in progress",
            "wip",
            "coming soon",
            "later",
        ),
        *("asdf", "foo bar", "no comment"),
    )
)
_FEWEST_WORDS: Final = 2
_FEWEST_LETTERS: Final = 12
"""A section has two words, or as many letters (not every script puts spaces between words)."""


def packet_template(tag: str, stage: str) -> str:
    """The packet of a stage, unwritten. A packet that still is this is refused."""
    asked = [f"## {heading}\n\n<!-- {prompt} -->\n" for heading, prompt in PROMPTS.items()]
    left = [f"## {heading}\n\n{_WRITTEN_BY_THE_RUN}\n" for heading in RUN_SECTIONS]
    return "\n".join([f"# {tag} {stage}\n", *asked, *left])


def write_template(workspace: Workspace, tag: str, stage: str) -> Path:
    """Write the template where the packet belongs; returns its path. RequestRefused when something stands there already."""
    return write_once(workspace, check_tag(tag), f"{check_stage(stage)}.md", packet_template(tag, stage))


def check_stage(stage: str) -> str:
    """`stage` when it is one. RequestRefused names the stages."""
    if stage in STAGES:
        return stage
    raise RequestRefused(f"{stage!r} is no stage", where="STAGE", remedy=f"name one of {', '.join(STAGES)}")


def write_once(workspace: Workspace, tag: str, name: str, text: str) -> Path:
    """Write a file of a tag's packets that a person goes on with. RequestRefused when it exists: nothing is overwritten."""
    path = workspace.packet_dir(tag) / name
    if path.is_symlink() or path.exists():
        raise RequestRefused("the file exists already and is left as it is", where=str(path), remedy="edit it")
    if any(folder.is_symlink() for folder in (workspace.research, path.parent)):
        raise RequestRefused(
            "a link stands where the packets' folder belongs", where=str(path.parent), remedy="put a folder there"
        )
    make_directory(path.parent)
    write_new(path, text.encode())
    return path


def check_human_parts(text: str, tag: str, stage: str) -> tuple[str, ...]:
    """What is missing from a packet before its stage may run; empty when a person has written every part."""
    found = sections(text)
    headings = [heading for heading, _ in found]
    first = title(text)
    problems = [] if first == f"{tag} {stage}" else [f"the first heading is {first!r}, expected '# {tag} {stage}'"]
    problems += [f"'## {heading}' is missing" for heading in HEADINGS if heading not in headings]
    problems += [
        f"'## {heading}' stands there {headings.count(heading)} times"
        for heading in HEADINGS
        if headings.count(heading) > 1
    ]
    problems += [
        f"'## {heading}' is no section of a packet; use ###"
        for heading in dict.fromkeys(headings)
        if heading not in HEADINGS
    ]
    if not problems and headings != list(HEADINGS):
        problems.append(f"the sections are in the order {', '.join(headings)}; expected {', '.join(HEADINGS)}")
    bodies = dict(found)
    unwritten = {heading: why_unwritten(bodies[heading], PROMPTS[heading]) for heading in PROMPTS if heading in bodies}
    return (*problems, *(f"'## {heading}' {why}" for heading, why in unwritten.items() if why))


def placeholder(text: str) -> str:
    """Why a text stands for something that is still to be written; empty when it does not."""
    plain = " ".join(re.findall(r"\w+", text)).casefold()
    if not plain:
        return "is not written"
    if plain in _PLACEHOLDERS or plain.replace(" ", "") in _PLACEHOLDERS:
        return f"holds the placeholder {' '.join(text.split())!r}"
    left = _LEFT_TO_DO.search(text)
    return f"still holds {left[0]!r}" if left else ""


def why_unwritten(body: str, prompt: str = "") -> str:
    """Why a section is not something that a person wrote in answer to `prompt`; empty when it is."""
    text = _COMMENT.sub(" ", body)
    words, asked = (re.findall(r"\w+", part.casefold()) for part in (text, prompt))
    if words and words == asked:
        return "is the template's own text"
    letters = sum(letter.isalpha() for letter in text)
    short = letters < _FEWEST_LETTERS and (len(words) < _FEWEST_WORDS or letters < 2 * _FEWEST_WORDS)
    return placeholder(text) or (f"says only {' '.join(text.split())!r}" if short else "")


def complete(text: str, evidence_lines: Sequence[str], outcome_lines: Sequence[str]) -> str:
    """The packet with Evidence and Outcome filled by a run, every byte of the human parts as it was.

    What an earlier (unofficial) run wrote stays above. Lines are made inert, so that a message can neither open a section nor hide one.
    """
    for heading, lines in zip(RUN_SECTIONS, (evidence_lines, outcome_lines), strict=True):
        text = _extended(text, heading, [_inert(line) for line in lines])
    return text


def _extended(text: str, heading: str, lines: Sequence[str]) -> str:
    """`text` with `lines` at the end of the section `heading`, which is added at the end of the text when it is missing."""
    newline = "\r\n" if "\r\n" in text else "\n"
    spans = {found: (start, stop) for found, start, stop in _spans(text)}
    if heading not in spans:
        text = f"{text.rstrip()}{newline}{newline}## {heading}{newline}"
        spans[heading] = (len(text), len(text))
    start, stop = spans[heading]
    kept = text[start:stop].replace(_WRITTEN_BY_THE_RUN, "").strip()
    parts = [part for part in (kept, newline.join(lines)) if part]
    body = f"{newline}{(newline * 2).join(parts)}{newline}"
    return f"{text[:start]}{body}{newline if stop < len(text) else ''}{text[stop:]}"


def _inert(line: str) -> str:
    """One line that is text wherever it stands in a markdown file."""
    plain = " ".join(line.split()).replace("<!--", "&lt;!--")
    return f"\\{plain}" if plain.startswith(("#", "```", "~~~", "===", "---")) else plain


def title(text: str) -> str:
    """The `# title` that a text begins with; empty when it begins with anything else."""
    first = _HEADING.fullmatch(text.lstrip("\ufeff\r\n ").partition("\n")[0].rstrip("\r"))
    return first[2] if first and first[1] == "#" else ""


def sections(text: str) -> list[tuple[str, str]]:
    """(heading, body) of every `## heading`, in order."""
    return [(heading, text[start:stop]) for heading, start, stop in _spans(text)]


def _spans(text: str) -> Iterator[tuple[str, int, int]]:
    """(heading, start, stop) of the body below each `## heading`; headings inside code fences and comments are text."""
    masked = _COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    heading, start, offset, fence = "", 0, 0, ""
    for line in _LINE.findall(masked):
        bare = line.rstrip("\r\n")
        mark = _FENCE.match(bare)
        match = None if fence else _HEADING.fullmatch(bare)
        if mark and (not fence or (mark[1].startswith(fence) and not bare.strip(" `~"))):
            fence = "" if fence else mark[1]
        elif match:
            if heading:
                yield heading, start, offset
            heading, start = (match[2], offset + len(line)) if match[1] == "##" else ("", 0)
        offset += len(line)
    if heading:
        yield heading, start, len(text)
