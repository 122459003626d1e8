"""Is a pack what its MANIFEST and its registry row say? Reads the directories under gate_results/, writes nothing.

1. MANIFEST is in the format of sha256sum, sorted by path, every path plain and named once.
2. Every file listed is there with its hash, every file there is listed, nothing is a link or a device.
3. The audit pack is whole: command.sh, environment.json, run.log, one report json with its .md beside it.
4. The report contradicts neither itself nor its rows.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from engines.digest import sha256_bytes, sha256_file
from reports.record.chain import Row
from reports.record.durable import explained, is_there, load_json, read_regular
from reports.record.errors import RecordError
from reports.record.ledger import is_plain_path
from reports.record.workspace import STAGES, Workspace
from reports.verification.report_check import contradictions, differences

AUDIT_FILES: Final = ("command.sh", "environment.json", "run.log")
MANIFEST: Final = "MANIFEST"
SHOWN_LINES: Final = 20
"""Bad lines of a MANIFEST that are named one by one."""
_MANIFEST_LINE: Final = re.compile(r"([0-9a-f]{64})  (.+)")


@dataclass(frozen=True, slots=True)
class Pack:
    """One pack directory as found.

    `faults` is empty when it is whole; `report` is None when it cannot be read as a JSON object;
    `unreadable` says that the device or the rights withheld a file, so that the pack itself may be whole.
    """

    folder: Path
    stage: str
    manifest_sha256: str
    report: Mapping[str, Any] | None
    faults: tuple[str, ...]
    unreadable: bool

    @property
    def report_path(self) -> Path:
        """Where the report json of this stage belongs."""
        return self.folder / f"{STAGES[self.stage]}_report.json"

    @property
    def run_id(self) -> str:
        """The run that the report says it is of; empty when it does not say."""
        run_id = (self.report or {}).get("run_id")
        return run_id if isinstance(run_id, str) else ""


def stage_of(folder_name: str) -> str:
    """The stage whose packs are named like this, empty when it is no pack's name."""
    return next((stage for stage, name in STAGES.items() if folder_name.startswith(f"{name}_")), "")


def pack_folders(gate_results: Path) -> tuple[Path, ...]:
    """Directories (and links) that are named like packs and not empty, in the order of their names.

    An empty one is a name that was claimed by a run which never published: it says nothing. RecordError when they
    cannot be listed.
    """
    if not is_there(gate_results):
        return ()
    with explained("list the packs", gate_results):
        named = [entry for entry in gate_results.iterdir() if stage_of(entry.name)]
        return tuple(
            sorted(entry for entry in named if entry.is_symlink() or not entry.is_dir() or any(entry.iterdir()))
        )


def read_pack(folder: Path) -> Pack:
    """Read one pack and find everything that is wrong with it, by itself. Never raises for what it finds."""
    stage = stage_of(folder.name)
    name = f"{STAGES[stage]}_report.json"
    faults: list[str] = []
    failures: list[Exception] = []
    manifest, report = b"", None
    try:
        manifest = read_regular(folder / MANIFEST)
        faults.extend(manifest_faults(folder, manifest))
    except (OSError, RecordError) as error:
        failures.append(error)
        faults.append(f"MANIFEST or a file that it lists: {error}")
    try:
        report = load_json(read_regular(folder / name), name)
        faults.extend(f"{name}: {fault}" for fault in contradictions(report))
    except RecordError as error:
        failures.append(error)
        faults.append(f"{name}: {error.what}")
    return Pack(
        folder=folder,
        stage=stage,
        manifest_sha256=sha256_bytes(manifest) if manifest else "",
        report=report if isinstance(report, dict) else None,
        faults=tuple(faults),
        unreadable=any(_withheld(failure) for failure in failures),
    )


def _withheld(failure: Exception) -> bool:
    """Whether a failure to read says nothing about the bytes, which may be whole."""
    cause = failure if isinstance(failure, OSError) else failure.__cause__
    return isinstance(cause, OSError) and cause.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def manifest_faults(folder: Path, manifest: bytes) -> Iterator[str]:
    """How the files of `folder` differ from what its MANIFEST lists. OSError when they cannot be read."""
    if folder.is_symlink():
        yield "is a link, expected a directory"
    listed, malformed = parse_manifest(manifest)
    yield from malformed
    there, strange = _files(folder)
    yield from strange
    for name in sorted(there - set(listed)):
        yield f"{_shown(name)} is not listed in MANIFEST"
    for name, digest in listed.items():
        if name not in there:
            yield f"{_shown(name)} is missing"
        elif sha256_file(folder / name) != digest:
            yield f"{_shown(name)} was changed: its hash is not the one in MANIFEST"
    yield from (
        f"the audit pack lacks {name}"
        for name in (*AUDIT_FILES, f"{STAGES[stage_of(folder.name)]}_report.md")
        if name not in there
    )


def parse_manifest(manifest: bytes) -> tuple[dict[str, str], tuple[str, ...]]:
    """Path -> hash of a MANIFEST, and what is wrong with its lines."""
    try:
        text = manifest.decode()
    except UnicodeDecodeError as error:
        return {}, (f"MANIFEST is not UTF-8: {error}",)
    listed: dict[str, str] = {}
    bad: list[int] = []
    faults = [] if text.endswith("\n") else ["MANIFEST does not end in a newline"]
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        match = _MANIFEST_LINE.fullmatch(line)
        if match is None or not is_plain_path(match[2]) or match[2] in listed:
            bad.append(number)
        else:
            listed[match[2]] = match[1]
    faults.extend(f"MANIFEST line {number} is not 'hash  path' with a new plain path" for number in bad[:SHOWN_LINES])
    if len(bad) > SHOWN_LINES:
        faults.append(f"MANIFEST has {len(bad) - SHOWN_LINES} more such lines")
    if list(listed) != sorted(listed):
        faults.append("MANIFEST is not sorted by path")
    return listed, tuple(faults)


def _files(folder: Path) -> tuple[set[str], list[str]]:
    """Paths of the files below `folder` but MANIFEST, and complaints about what is neither file nor directory."""
    files, strange = set(), []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        for name in (*folders, *names):
            path = Path(parent, name)
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                strange.append(f"{_shown(relative)} is a link or a device, expected a file")
            elif path.is_file() and relative != MANIFEST:
                files.add(relative)
    return files, strange


def _raise(error: OSError) -> NoReturn:
    raise error


def _shown(name: str) -> str:
    """A file name that is safe to print, whatever bytes it has."""
    return ascii(name)[1:-1] if not name.isprintable() else name


def row_faults(workspace: Workspace, finished: Row, started: Mapping[str, str] | None) -> tuple[str, ...]:
    """How a FINISHED row and the pack it names fail to vouch for each other; empty when they do."""
    report_path = workspace.root / finished["report"]
    folder = report_path.parent
    if not is_plain_path(finished["report"]) or folder.parent != workspace.gate_results:
        return (f"report {finished['report']!r} is not a file of a pack under gate_results/",)
    if stage_of(folder.name) != finished["stage"]:
        return (f"{folder.name} is no {STAGES.get(finished['stage'], finished['stage'])} pack",)
    if not os.path.lexists(folder):
        return (f"the pack {folder.name} is missing",)
    pack = read_pack(folder)
    faults = list(pack.faults)
    if pack.report_path != report_path:
        faults.append(f"the registry names {report_path.name}, expected {pack.report_path.name}")
    if f"sha256:{pack.manifest_sha256}" != finished["manifest_sha256"]:
        faults.append("MANIFEST is not the one that the registry row was written for: its hash is not manifest_sha256")
    if pack.report is not None:
        faults.extend(f"{pack.report_path.name}: {fault}" for fault in differences(pack.report, finished, started))
    return tuple(faults)


def verify_pack(workspace: Workspace, finished: Row) -> tuple[str, ...]:
    """The faults of the pack of one FINISHED row, each naming the pack; empty when it holds."""
    name = Path(finished["report"]).parent.name
    return tuple(f"registry row {finished.seq}, {name}: {fault}" for fault in row_faults(workspace, finished, None))
