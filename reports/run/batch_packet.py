"""One text for a batch: a person writes the four parts once, and each tag gets a packet of its own that says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reports.pack.packet import (
    PROMPTS,
    RUN_SECTIONS,
    check_human_parts,
    check_stage,
    packet_template,
    sections,
    write_once,
)
from reports.record.durable import make_directory, read_regular, write_new
from reports.record.errors import RequestRefused
from reports.record.registry import Registry
from reports.record.workspace import Workspace, check_tag
from reports.run.batch import batch_files
from reports.run.entry import last_unpassed

FOLDER: Final = "batches"


@dataclass(frozen=True, slots=True)
class BatchPackets:
    """template: the batch's text when it was written just now, still to be filled in. written, kept: packets of tags, new and found there."""

    template: Path | None
    written: tuple[Path, ...]
    kept: tuple[Path, ...]


def batch_text(workspace: Workspace, prefix: str, stage: str) -> Path:
    """Where the text of a batch lies."""
    return workspace.research / FOLDER / prefix / f"{stage}.md"


def write_batch_packets(workspace: Workspace, prefix: str, stage: str, pattern: str, folder: Path) -> BatchPackets:
    """Write the template of the batch's text when there is none; else the packet of every tag that lacks one, from the text.

    A candidate whose tag did not pass an earlier stage gets none. RequestRefused when the text is not written, and as `batch_files`.
    """
    path = batch_text(workspace, check_tag(prefix), check_stage(stage))
    files = batch_files(pattern, folder)
    if not path.is_file():
        make_directory(path.parent)
        write_new(path, packet_template(prefix, stage).encode())
        return BatchPackets(path, (), ())
    text = read_regular(path).decode("utf-8", "replace")
    problems = check_human_parts(text, prefix, stage)
    if problems:
        raise RequestRefused(
            f"the text of the batch is not written: {'; '.join(problems)}",
            where=str(path),
            remedy="write What changed, Why, Expected impact and risk, Next action, then repeat",
        )
    rows = Registry(workspace.root).rows()
    tags = {name: check_tag(f"{prefix}-{name}") for name in files}
    going = {name: tag for name, tag in tags.items() if stage == "s0" or last_unpassed(rows, tag) is None}
    kept = tuple(path for tag in going.values() if (path := workspace.packet(tag, stage)).is_file())
    source = workspace.relative(path)
    written = tuple(
        write_once(workspace, tag, f"{stage}.md", packet_from(text, tag, stage, f"{name} of batch {prefix}, {source}"))
        for name, tag in going.items()
        if not workspace.packet(tag, stage).is_file()
    )
    return BatchPackets(None, written, kept)


def packet_from(text: str, tag: str, stage: str, source: str) -> str:
    """A tag's packet with the human parts of the batch's text; the first says that it was written once for all."""
    bodies = dict(sections(text))
    parts = {heading: bodies[heading].strip() for heading in PROMPTS}
    first = next(iter(PROMPTS))
    parts[first] = f"Written once for all candidates of a batch ({source}).\n\n{parts[first]}"
    human = [f"## {heading}\n\n{body}\n" for heading, body in parts.items()]
    left = [f"## {heading}\n\n<!-- written by the run -->\n" for heading in RUN_SECTIONS]
    return "\n".join([f"# {tag} {stage}\n", *human, *left])
