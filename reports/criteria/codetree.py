"""The code a verdict rests on: which commit, whether the working tree is exactly it, and the hash of every file of it."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engines.digest import sha256_bytes, sha256_file
from reports.record.errors import RequestRefused
from reports.record.host import program

RECORD_FOLDERS: Final = ("runs", "gate_results", "docs/production_research")
"""Where records live: written by runs, therefore no part of the code."""

CODE_FOLDERS: Final = ("engines", "fixtures", "gates", "reports")
"""Where importable code lives: a file here that git does not track could change what runs, even one that git ignores."""

CODE_SUFFIXES: Final = (".py", ".so", ".pth", ".pyd")

CLOCK_STEP_NS: Final = 10_000_000
"""How far the time of a change may lag behind: the system takes it from a clock that moves this coarsely at most."""

SETTINGS: Final = ("core.fsmonitor=false", "core.commitGraph=false", "core.quotePath=false")
"""git asks no other program, and no summary of its own, what is in the tree."""


@dataclass(frozen=True, slots=True)
class CodeTree:
    """A working tree at one moment. `dirt` lists every way in which it is not its commit; empty means clean."""

    git_commit: str
    tree_sha256: str
    gates_sha256: str
    dirt: tuple[str, ...]


def inspect_code(repository: Path) -> CodeTree:
    """Hash the code tree and compare it with its commit.

    tree_sha256 is the hash of the sorted lines `sha256  path` over every tracked file outside the record folders, computed from the files'
    bytes as they lie (so that neither git's index nor its attributes can vouch for something else); gates_sha256 the same over gates/.
    RequestRefused without git or without a commit: such a tree can never be named a year later.
    """
    commit = _git(repository, "rev-parse", "--verify", "HEAD").strip()
    tracked = [path for path in _git(repository, "ls-files", "-z").split("\0") if path and not _is_record(path)]
    lines = [f"{_hash_or_absence(repository / path)}  {path}" for path in sorted(tracked)]
    gates = [line for line in lines if line.split("  ", 1)[1].startswith("gates/")]
    return CodeTree(f"git:{commit}", _hash_lines(lines), _hash_lines(gates), _dirt(repository, set(tracked)))


Imprint = tuple[tuple[int, int, int, int], ...]
"""Device, inode, size and time of the last change (ns, set by the system alone): of the file that a path leads to, then of each link on the way."""


def imprints(paths: Iterable[Path]) -> dict[Path, Imprint | None]:
    """What the file system says of each path; None where it leads to nothing. A link that was turned and turned back shows, and so does a file behind it."""
    links: dict[Path, tuple[int, int, int, int] | None] = {}

    def link(path: Path) -> tuple[int, int, int, int] | None:
        if path not in links:
            links[path] = _told_by(path.lstat()) if path.is_symlink() else None
        return links[path]

    found: dict[Path, Imprint | None] = {}
    for path in paths:
        try:
            on_the_way = [told for each in (path, *path.parents) if (told := link(each)) is not None]
            found[path] = (_told_by(path.stat()), *on_the_way)
        except OSError:
            found[path] = None
    return found


def written_since(repository: Path, moment_ns: int) -> tuple[Path, ...]:
    """The code files that were written to, exchanged or renamed after a moment (ns of the system's clock): what was read before it may have been another text."""
    latest = {path: max(each[3] for each in found) for path, found in imprints(code_files(repository)).items() if found}
    return tuple(path for path, changed_ns in latest.items() if changed_ns > moment_ns - CLOCK_STEP_NS)


def _told_by(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns


def code_files(repository: Path) -> tuple[Path, ...]:
    """Every tracked file outside the record folders."""
    tracked = _git(repository, "ls-files", "-z").split("\0")
    return tuple(repository / path for path in sorted(tracked) if path and not _is_record(path))


def code_as_it_is(repository: Path) -> CodeTree:
    """The code tree, however dirty; a named stand-in where there is no git, which only a rehearsal accepts."""
    try:
        return inspect_code(repository)
    except RequestRefused as refusal:
        return CodeTree("git:none", "none", "none", (refusal.what,))


def _hash_lines(lines: list[str]) -> str:
    return sha256_bytes("".join(f"{line}\n" for line in lines).encode())


def _hash_or_absence(path: Path) -> str:
    if path.is_symlink():
        return sha256_bytes(str(path.readlink()).encode())
    return sha256_file(path) if path.is_file() else "absent"


def _is_record(path: str) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in RECORD_FOLDERS)


def _dirt(repository: Path, tracked: set[str]) -> tuple[str, ...]:
    """What git calls modified or untracked, plus what it was told to overlook: importable files, other bytes, links in place of code."""
    status = _git(repository, "status", "--porcelain", "-z", "--untracked-files=no", "--no-renames").split("\0")
    dirty = [
        f"{_WORDS.get(entry[:2].strip()[:1], 'modified')}: {entry[3:]}"
        for entry in status
        if entry and not _is_record(entry[3:])
    ]
    dirty += [f"untracked: {path}" for path in _untracked(repository)]
    hidden = [
        f"ignored by git, yet importable: {path}"
        for path in _importable(repository)
        if path not in tracked and f"untracked: {path}" not in dirty
    ]
    named = {entry.partition(": ")[2] for entry in dirty}
    others = [f"differs from its commit: {path}" for path in _not_as_committed(repository) if path not in named]
    links = [f"a link in place of code: {path}" for path in sorted(tracked) if _is_code_link(repository, path)]
    return (*dirty, *hidden, *others, *links)


def _untracked(repository: Path) -> list[str]:
    """Files that git does not track and the committed .gitignore does not name, whatever an exclude file of the clone or of the user says."""
    listed = _git(repository, "ls-files", "--others", "--exclude-per-directory=.gitignore", "-z").split("\0")
    return [path for path in listed if path and not _is_record(path)]


def _not_as_committed(repository: Path) -> list[str]:
    """Files outside the record folders whose bytes are not those of the commit, asked of neither git's index nor its filters."""
    listed = _git(repository, "ls-tree", "-r", "-z", "--full-tree", "HEAD").split("\0")
    blobs = {entry.partition("\t")[2]: entry.partition("\t")[0].split()[2] for entry in listed if entry}
    return [
        path for path, blob in blobs.items() if not _is_record(path) and _blob_id(repository / path, len(blob)) != blob
    ]


def _blob_id(path: Path, digits: int) -> str:
    """What git calls a file of these bytes, `absent` for what is no file; `digits` tells which of its two hash functions is in use."""
    if path.is_symlink():
        data = os.fsencode(path.readlink())
    elif path.is_file():
        data = path.read_bytes()
    else:
        return "absent"
    name = "sha1" if digits == 40 else "sha256"
    return hashlib.new(name, b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _is_code_link(repository: Path, path: str) -> bool:
    """Whether code, or a folder of it, is a link: what lies behind it is in no commit."""
    is_code = path.partition("/")[0] in CODE_FOLDERS or path.endswith(CODE_SUFFIXES)
    return is_code and (repository / path).is_symlink()


_WORDS: Final = {
    "M": "modified",
    "A": "added, not committed",
    "D": "deleted",
    "U": "unmerged",
    "T": "type changed",
}


def _importable(repository: Path) -> list[str]:
    found = [path for path in repository.iterdir() if path.suffix in CODE_SUFFIXES and path.is_file()]
    for folder in CODE_FOLDERS:
        found.extend(path for path in (repository / folder).rglob("*") if path.suffix in CODE_SUFFIXES)
    return sorted(path.relative_to(repository).as_posix() for path in found)


def _git(repository: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    # no other commit stands in for this one, and the index is not written
    environment |= {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_OPTIONAL_LOCKS": "0"}
    settings = [part for setting in SETTINGS for part in ("-c", setting)]
    command = [program("git"), "-C", str(repository), *settings, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, env=environment, check=True, timeout=60)
    except FileNotFoundError as error:
        raise RequestRefused(
            "git is not installed, so the code cannot be pinned: expected the git command, found none",
            remedy="install git (Debian package git)",
        ) from error
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (error.stderr or b"").decode(errors="replace").strip()
        raise RequestRefused(
            f"the code is not a git checkout with a commit: expected one, found: {said or error}",
            where=str(repository),
            remedy="run from a clone of the repository; without git a run is never official",
        ) from error
    return done.stdout.decode(errors="surrogateescape")
