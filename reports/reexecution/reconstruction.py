"""The world of a recorded run, as it was when the run started, in a temporary folder.

Every path P that the run read becomes MIRROR/P, so that relative paths between repository, workspace, candidate and data still lead where they led:

    MIRROR/<repository>     the frozen commit, checked out afresh
    MIRROR/<workspace>      the freeze, the registry up to the STARTED row, the packs and freezes that its gates read, stagegate.toml, the inputs
    MIRROR/<elsewhere>      inputs that the candidate names by a relative path that leads out of both

Nothing is written outside of the mirror: the checkout borrows the repository's objects and leaves its worktrees, refs and index alone. An input is
copied by its hash, so that what runs is what was frozen; one that is named by an absolute path is read where it lies, after its hash was checked.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engines.digest import sha256_bytes, sha256_file
from reports.criteria.codetree import inspect_code
from reports.criteria.freeze import Freeze, Places, input_files, parse_freeze
from reports.record.chain import HEADER, Row
from reports.record.durable import is_there, read_regular
from reports.record.errors import RecordError
from reports.record.host import program
from reports.record.ledger import is_plain_path
from reports.record.workspace import Workspace, check_tag
from reports.verification.pack_check import pack_folders

DEPLOYMENT_FILES: Final = ("deployment_notes.md", "watchlist.toml", "rollback_triggers.toml")
COMPARES_WITH_THE_WORLD: Final = ("s0.reproducible_inputs", "s3.governance")
"""Gates that compare the freeze with settings and packages, and so judge the reconstruction rather than the candidate where these are others."""

JUDGES_SIGNATURES: Final = "s4.sign_off"
_COMMIT: Final = re.compile(r"git:([0-9a-f]{40}|[0-9a-f]{64})")
_FETCH: Final = "verify from a clone that has the commit"
_FIND: Final = "restore the file from where it was frozen"


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A finished run: its two rows, its pack and the freeze it was made under."""

    started: Row
    finished: Row
    pack: Path
    freeze_bytes: bytes
    freeze: Freeze

    @property
    def stage(self) -> str:
        return self.finished["stage"]

    @property
    def tag(self) -> str:
        return self.finished["decision_tag"]


def recorded_run(workspace: Workspace, started: Row, finished: Row) -> RecordedRun:
    """The run of a FINISHED row. RecordError when its pack or the freeze that it names is not there."""
    check_tag(finished["decision_tag"])
    pack = (workspace.root / finished["report"]).parent
    if not is_plain_path(finished["report"]) or pack not in pack_folders(workspace.gate_results):
        raise RecordError("there is no such pack", where=finished["report"], remedy="restore it from a backup")
    for path in (workspace.freeze(finished["decision_tag"]), pack / "freeze.json"):
        data = read_regular(path) if is_there(path) else b""
        if f"sha256:{sha256_bytes(data)}" == finished["freeze_sha256"]:
            return RecordedRun(started, finished, pack, data, parse_freeze(data, workspace.relative(path)))
    raise RecordError(
        f"the freeze {finished['freeze_sha256']} is neither at its place nor in the pack",
        where=workspace.relative(workspace.freeze(finished["decision_tag"])),
        remedy="restore it from a backup",
    )


@dataclass(frozen=True, slots=True)
class Mirror:
    """A folder in which real places are rebuilt. `real` are the places of this verification."""

    root: Path
    real: Places

    def of(self, path: Path) -> Path:
        """Where `path` lies in the mirror."""
        plain = Path(os.path.normpath(path))
        return self.root / plain.relative_to(plain.anchor)

    def claim(self, path: Path) -> Path:
        """`path`, with the folders above it, to be written to. RecordError when that would write outside of the mirror."""
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise RecordError(
                "a reconstruction would write outside of its folder",
                where=str(path),
                remedy="look for `..` in the freeze's paths, and for links in the frozen commit",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def places(self) -> Places:
        """Repository and workspace in the mirror."""
        return Places(Workspace(self.of(self.real.workspace.root)), self.of(self.real.repository))

    # ------------------------------------------------------------------------------------------------ once a freeze

    def check_out(self, freeze: Freeze) -> None:
        """The frozen commit's tree, with the frozen hash. RecordError when the repository lacks the commit or it is another tree."""
        match = _COMMIT.fullmatch(str(freeze.record["code"]["git_commit"]))
        if match is None:
            raise RecordError(f"the freeze names no commit: {freeze.record['code']['git_commit']}", where=freeze.tag)
        _borrow_and_check_out(self.real.repository, match[1], self.of)
        code = inspect_code(self.places.repository)
        for name, found in (("tree_sha256", code.tree_sha256), ("gates_sha256", code.gates_sha256)):
            if found != freeze.record["code"][name]:
                raise RecordError(
                    f"{name} of the commit is {found}, frozen was {freeze.record['code'][name]}",
                    where=f"commit {match[1]}",
                    remedy="the freeze names another commit than the code it was made with, or git rewrites files on checkout",
                )

    def place_inputs(self, freeze: Freeze) -> None:
        """The candidate and every input file, by hash. RecordError names the one that is gone or changed, CandidateError a malformed candidate."""
        record = freeze.record
        self._place(record["candidate"]["path"], None, record["candidate"]["sha256"])
        for name, path in input_files(freeze.candidate(self.real)).items():
            entry = record["data"] if name == "data" else record["inputs"][name]
            self._place(entry["path"], path, entry["sha256"])
        if record.get("live_book"):
            self._place(record["live_book"]["path"], None, record["live_book"]["sha256"])

    def _place(self, spelled: str, written: Path | None, sha256: str) -> None:
        """Put the frozen file `spelled` wherever its hash, and the engine by the path as `written`, will look for it in the mirror."""
        targets = {self.places.find(spelled)} - {Path(spelled)}
        targets |= set() if written is None else {self.of(written)}
        source = self.real.find(spelled)
        for target in targets:
            if not (target.is_file() and sha256_file(target) == sha256):
                _copy(source, self.claim(target), sha256)
        if not targets:
            _demand_hash(source, source, sha256)

    def place_settings(self, freeze: Freeze) -> bool:
        """The frozen stagegate.toml; whether it could be had."""
        frozen, settings = freeze.record.get("settings_sha256"), self.places.workspace.settings_path
        standing = self.real.workspace.settings_path
        if not settings.is_file() and frozen and standing.is_file() and sha256_file(standing) == frozen:
            shutil.copyfile(standing, self.claim(settings))
        return self.places.workspace.settings_sha256 == frozen

    # --------------------------------------------------------------------------------------------------- once a run

    def place_record(self, run: RecordedRun, rows: Sequence[Row]) -> None:
        """The registry up to the run's STARTED row, with the packs and freezes of the tag and of its family's earlier tags."""
        workspace, known = self.places.workspace, rows[: run.started.seq]
        tags = {run.tag, *run.freeze.record["history"]["family_tags"]}
        self.claim(workspace.registry).write_bytes(
            b"".join(line + b"\n" for line in (HEADER, *(row.raw for row in known)))
        )
        self.claim(workspace.freeze(run.tag)).write_bytes(run.freeze_bytes)
        packs = {pack.name: pack for pack in pack_folders(self.real.workspace.gate_results)}
        for row in known:
            name = Path(row["report"]).parent.name
            if row["event"] == "FINISHED" and row["decision_tag"] in tags and name in packs:
                _copy_tree(packs[name], self.claim(workspace.gate_results / name))
        for tag in map(check_tag, sorted(tags - {run.tag})):
            if self.real.workspace.freeze(tag).is_file():
                shutil.copyfile(self.real.workspace.freeze(tag), self.claim(workspace.freeze(tag)))

    def place_deployment(self, run: RecordedRun) -> bool:
        """What s4 judges of the packet's folder, from its pack; whether the committee's list is the one of the pack."""
        workspace = self.places.workspace
        folder = workspace.packet_dir(run.tag)
        for name in (*DEPLOYMENT_FILES, *_names_below(run.pack, "signatures")):
            if (run.pack / name).is_file():
                shutil.copyfile(run.pack / name, self.claim(folder / name))
        lists = (workspace.allowed_signers, workspace.revoked_keys)
        restored = [self._restored(path, run.pack / path.name) for path in lists]
        return all(restored)

    def _restored(self, listed: Path, kept: Path) -> bool:
        """Put a list of the committee where it belongs, from the pack that kept it; whether it is the kept one now."""
        if not kept.is_file():
            return not listed.is_file()
        if listed.is_relative_to(self.root):
            shutil.copyfile(kept, self.claim(listed))
        return listed.is_file() and sha256_file(listed) == sha256_file(kept)


def _names_below(folder: Path, name: str) -> Iterator[str]:
    for path in sorted((folder / name).glob("*")):
        yield path.relative_to(folder).as_posix()


def _copy_tree(source: Path, target: Path) -> None:
    if not target.exists():
        shutil.copytree(source, target, symlinks=True)


def _copy(source: Path, target: Path, sha256: str) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise RecordError(f"a frozen file is gone: {error.strerror}", where=str(source), remedy=_FIND) from error
    _demand_hash(source, target, sha256)


def _demand_hash(source: Path, copy: Path, sha256: str) -> None:
    try:
        found = sha256_file(copy)
    except OSError as error:
        raise RecordError(f"a frozen file is gone: {error.strerror}", where=str(source), remedy=_FIND) from error
    if found != sha256:
        raise RecordError(
            f"changed since the freeze: expected {sha256}, found {found}", where=str(source), remedy=_FIND
        )


def _borrow_and_check_out(repository: Path, commit: str, mirrored: Callable[[Path], Path]) -> None:
    """A repository of its own in the mirror that borrows the objects of `repository`, with `commit` checked out and no hook run."""
    top, objects, exclude, kind = git(
        repository,
        "rev-parse",
        "--path-format=absolute",
        "--show-toplevel",
        *("--git-path", "objects", "--git-path", "info/exclude", "--show-object-format"),
    ).splitlines()
    checkout = mirrored(Path(top))
    checkout.mkdir(parents=True, exist_ok=True)
    git(checkout, "init", "--quiet", "--template=", f"--object-format={kind}")
    for name, text in (("objects/info/alternates", f"{objects}\n"), ("info/exclude", _text(Path(exclude)))):
        (checkout / ".git" / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / ".git" / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    git(checkout, "-c", "core.hooksPath=/dev/null", "checkout", "--quiet", "--force", "--detach", commit)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="surrogateescape") if path.is_file() else ""


def git(folder: Path, *arguments: str) -> str:
    """What git prints in `folder`. RecordError when it is missing or does not do what it was asked."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = [program("git"), "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, env=environment, check=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise RecordError("git is not installed", where=str(folder), remedy="install git") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise RecordError(
            f"the frozen commit cannot be checked out: {said or error}", where=str(folder), remedy=_FETCH
        ) from error
    return done.stdout.decode(errors="surrogateescape")
