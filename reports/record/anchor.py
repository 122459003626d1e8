"""Witnesses of the registry's head that do not live in the registry: what a dropped tail or a rebuilt chain
contradicts.

A witness remembers the highest head it was told: the registry's id (the row_hash of its first row), seq and
row_hash. A registry whose row `seq` is not that row has lost rows or was rebuilt, whatever its own hashes say.

StateMemory  files under state_dir, by registry id and real path of the registry, on this account's disk outside the
             workspace
GitAnchor    `git:refs/...`: a commit per head on a ref of the repository that holds the workspace, pushed to its
             remote (remote.pushDefault, else origin) where it has one, never by force, and asked back from there
FileAnchor   `file:PATH`: one file, on another volume
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

from engines.digest import sha256_bytes
from reports.record.chain import Row
from reports.record.durable import dump_json, explained, is_there, load_json, read_regular, replace
from reports.record.errors import RecordError
from reports.record.host import program
from reports.record.workspace import Workspace

STATE_DIR_VARIABLE: Final = "STAGEGATE_STATE_DIR"
GIT_TIMEOUT_SECONDS: Final = 30
HEAD_BYTES_LIMIT: Final = 64 * 2**10
_IDENTITY: Final = ("stagegate", "stagegate@localhost")


class AnchorUnreachableError(RecordError):
    """A witness of the registry's head cannot be asked, or has nothing to say where it should."""


@contextmanager
def _asking(remedy: str) -> Iterator[None]:
    """Turn a RecordError of the block into the witness's own error."""
    try:
        yield
    except AnchorUnreachableError:
        raise
    except RecordError as error:
        raise AnchorUnreachableError(error.what, where=error.where, remedy=remedy) from error


@dataclass(frozen=True, slots=True)
class Head:
    """The last row of a registry at one moment. `registry` is the row_hash of its first row, `path` where it lay."""

    registry: str
    seq: int
    row_hash: str
    path: str

    @classmethod
    def of(cls, rows: Sequence[Row], registry_path: Path) -> Head:
        """Head of `rows`, which are not empty."""
        return cls(rows[0].row_hash, rows[-1].seq, rows[-1].row_hash, os.path.realpath(registry_path))

    def contradiction(self, rows: Sequence[Row]) -> str:
        """How `rows` fail to hold this head; empty when they do."""
        if self.seq > len(rows):
            return f"{self.seq} rows were seen, {len(rows)} are there: rows were dropped"
        found = rows[self.seq - 1].row_hash
        return (
            ""
            if found == self.row_hash
            else f"row {self.seq} was seen as {self.row_hash[:12]}..., found {found[:12]}...: the chain was rebuilt"
        )

    def to_bytes(self) -> bytes:
        """The head as a witness stores it."""
        return dump_json({"schema": 1, **asdict(self)})

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Head:
        """Inverse of `to_bytes`. AnchorUnreachableError when the bytes are no head."""
        with _asking(_RENEW):
            record: Any = load_json(data, where)
        form = {"schema": int, "registry": str, "seq": int, "row_hash": str, "path": str}
        if (
            not isinstance(record, dict)
            or {name: type(value) for name, value in record.items()} != form
            or record["seq"] < 1
        ):
            raise AnchorUnreachableError("is no head of a registry", where=where, remedy=_RENEW)
        return cls(record["registry"], record["seq"], record["row_hash"], record["path"])


_RENEW: Final = (
    "restore it from a backup; or check the registry by other means, move it aside and run `stagegate recover`"
)


class Witness(Protocol):
    """Someone outside the registry who remembers its head."""

    @property
    def name(self) -> str:
        """What messages call this witness."""

    @property
    def required(self) -> bool:
        """Whether silence about a registry that has rows is a fault."""

    def heads(self) -> tuple[Head, ...]:
        """Heads this registry must hold. AnchorUnreachableError when they cannot be had. Changes nothing."""

    def remember(self, head: Head) -> None:
        """Make `head` durable as the highest. AnchorUnreachableError when that cannot be done."""


@dataclass(frozen=True, slots=True)
class StateMemory:
    """The highest head this account has seen of the registry at one path, one file by registry id and path.

    A registry that turns up at a new path while the one it was is gone has moved, and must hold what was seen
    there. Where both exist one is a copy, and each is held to its own past.
    """

    state_dir: Path
    registry_path: Path

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"the highest head seen ({self.state_dir})"

    @property
    def required(self) -> bool:
        """It may be silent: another account may have written every row so far."""
        return False

    def heads(self) -> tuple[Head, ...]:
        """What was seen at this path; where nothing was, what was seen of a registry that has moved here."""
        own = self._file_name(os.path.realpath(self.registry_path))
        with _asking(_STATE_REMEDY), explained("read", self.state_dir):
            seen_here = [_read_head(folder / own) for folder in _entries(self.state_dir) if is_there(folder / own)]
            return tuple(seen_here or self._seen_before_a_move())

    def _seen_before_a_move(self) -> list[Head]:
        first = _first_row_hash(self.registry_path)
        remembered = _entries(self.state_dir / first) if first else []
        heads = [_read_head(path) for path in remembered if path.suffix == ".json"]
        return [head for head in heads if _first_row_hash(Path(head.path)) != first]

    def remember(self, head: Head) -> None:
        """Remember `head`."""
        path = self.state_dir / head.registry / self._file_name(head.path)
        with _asking(_STATE_REMEDY):
            replace(path, head.to_bytes())

    @staticmethod
    def _file_name(real_path: str) -> str:
        return f"{sha256_bytes(os.fsencode(real_path))[:32]}.json"


_STATE_REMEDY: Final = f"make the directory readable and writable, or name another one in {STATE_DIR_VARIABLE}"


def _entries(folder: Path) -> list[Path]:
    """What a directory holds, by name; nothing when it was not begun. OSError when it cannot be listed."""
    return sorted(folder.iterdir()) if is_there(folder) else []


_ROW_HASH_AT_END: Final = re.compile(rb",([0-9a-f]{64})\n\Z")


def _first_row_hash(registry_path: Path) -> str:
    """Id of the registry at `registry_path`; empty when there is none."""
    try:
        with registry_path.open("rb") as stream:
            stream.readline(HEAD_BYTES_LIMIT)
            line = stream.readline(HEAD_BYTES_LIMIT)
    except OSError:
        return ""
    found = _ROW_HASH_AT_END.search(line)
    return found[1].decode() if found else ""


def _read_head(path: Path) -> Head:
    with _asking(_RENEW):
        return Head.from_bytes(read_regular(path, HEAD_BYTES_LIMIT), str(path))


@dataclass(frozen=True, slots=True)
class FileAnchor:
    """One head in one file, for one registry."""

    path: Path

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"the anchor file:{self.path}"

    @property
    def required(self) -> bool:
        """Whether silence about a registry that has rows is a fault."""
        return True

    def heads(self) -> tuple[Head, ...]:
        """The one head in the file, none when the file was not begun."""
        with self._mounted():
            return (_read_head(self.path),) if is_there(self.path) else ()

    def remember(self, head: Head) -> None:
        """Put `head` in the place of the one before."""
        with self._mounted():
            replace(self.path, head.to_bytes())

    @contextmanager
    def _mounted(self) -> Iterator[None]:
        with _asking("mount the volume of the anchor for writing, or correct [registry] anchor in stagegate.toml"):
            if not is_there(self.path.parent):
                raise RecordError("the directory of the anchor is not there", where=str(self.path.parent))
            yield


@dataclass(frozen=True, slots=True)
class GitAnchor:
    """Heads as commits on a ref of the repository that holds the workspace, one file for each workspace in it."""

    ref: str
    workspace: Path

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"the anchor git:{self.ref}"

    @property
    def required(self) -> bool:
        """Whether silence about a registry that has rows is a fault."""
        return True

    def heads(self) -> tuple[Head, ...]:
        """The heads in the last commits of the ref here and at the remote for this workspace, none when there is none yet."""
        tips = dict.fromkeys(filter(None, (self._tip(), self._remote_tip())))
        return tuple(head for tip in tips for head in self._heads_in(tip))

    def _heads_in(self, commit: str) -> Iterator[Head]:
        listed = self._git("ls-tree", "--full-tree", "-z", commit, "--", self._entry())
        if listed:
            blob = listed.split(b"\0")[0].split(b"\t")[0].split()[-1].decode()
            yield Head.from_bytes(self._git("cat-file", "blob", blob), f"{self.ref}:{self._entry()}")

    def remember(self, head: Head) -> None:
        """Commit `head` on the ref, and push it where there is a remote; a ref that moved meanwhile is left as it is."""
        if not any(
            known.row_hash == head.row_hash for tip in filter(None, (self._tip(),)) for known in self._heads_in(tip)
        ):
            self._commit(head)
        remote = self._remote()
        if remote:
            self._git("push", "--quiet", "--no-verify", remote, f"{self.ref}:{self.ref}", remedy=_PUSH)

    def _commit(self, head: Head) -> None:
        tip = self._tip()
        entry = self._entry()
        blob = self._git("hash-object", "-w", "--stdin", stdin=head.to_bytes()).decode().strip()
        others = (
            [
                line
                for line in self._git("ls-tree", "--full-tree", "-z", tip).split(b"\0")
                if line and line.split(b"\t")[1].decode() != entry
            ]
            if tip
            else []
        )
        tree = (
            self._git("mktree", "-z", stdin=b"\0".join([*others, f"100644 blob {blob}\t{entry}".encode(), b""]))
            .decode()
            .strip()
        )
        parent = ("-p", tip) if tip else ()
        message = f"registry {head.registry[:12]} row {head.seq} {head.row_hash}\n"
        commit = self._git("commit-tree", tree, *parent, stdin=message.encode()).decode().strip()
        self._git("update-ref", self.ref, commit, tip or "0" * len(commit))

    def _remote(self) -> str:
        """The remote that the ref is pushed to: remote.pushDefault, else origin; empty when there is none."""
        names = self._git("remote").decode().split()
        preferred = self._git("config", "--default", "origin", "--get", "remote.pushDefault").decode().strip()
        return preferred if preferred in names else ""

    def _remote_tip(self) -> str:
        """Commit at the remote's ref, empty when there is neither. AnchorUnreachableError when it cannot be asked or is unknown here."""
        remote = self._remote()
        listed = self._git("ls-remote", remote, self.ref, remedy=_PUSH).decode().split() if remote else []
        if not listed:
            return ""
        try:
            self._git("cat-file", "-e", f"{listed[0]}^{{commit}}")
        except AnchorUnreachableError as error:
            raise AnchorUnreachableError(
                f"{remote} holds commit {listed[0][:12]} at {self.ref}, which is not in this repository",
                where=f"git:{self.ref} in {self.workspace}",
                remedy=f"look at it: `git fetch {remote} {self.ref}`; another clone has recorded since, or the ref here was wound back",
            ) from error
        return listed[0]

    def _entry(self) -> str:
        prefix = self._git("rev-parse", "--show-prefix").decode(errors="surrogateescape").strip()
        return quote(f"{prefix}gate_results/gate_registry.csv", safe="")

    def _tip(self) -> str:
        """Commit at the ref, empty when there is no such ref yet."""
        self._git("check-ref-format", self.ref)
        found = self._git("for-each-ref", "--format=%(objectname) %(refname)", self.ref).decode().split("\n")
        return next((line.split()[0] for line in found if line.endswith(f" {self.ref}")), "")

    def _git(self, *arguments: str, stdin: bytes = b"", remedy: str = "") -> bytes:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        environment |= {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes"}
        for role in ("AUTHOR", "COMMITTER"):
            environment[f"GIT_{role}_NAME"], environment[f"GIT_{role}_EMAIL"] = _IDENTITY
        command = [
            program("git"),
            "-C",
            str(self.workspace),
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.fsync=all",
            *arguments,
        ]
        try:
            done = subprocess.run(
                command, input=stdin, capture_output=True, env=environment, check=True, timeout=GIT_TIMEOUT_SECONDS
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error).encode()
            raise AnchorUnreachableError(
                f"git {arguments[0]} failed: {said.decode(errors='replace').strip()}",
                where=f"git:{self.ref} in {self.workspace}",
                remedy=remedy
                or "keep the workspace in a git repository, or change [registry] anchor in stagegate.toml",
            ) from error
        return done.stdout


_PUSH: Final = "make the remote reachable (`git ls-remote`), then run `stagegate recover`, which pushes what it lacks; the ref is never forced"


def witnesses(workspace: Workspace, environment: Mapping[str, str] = os.environ) -> tuple[Witness, ...]:
    """Who remembers the head of this workspace's registry, by stagegate.toml and the environment."""
    with explained("read the settings", workspace.settings_path):
        settings = workspace.settings.registry
    state_dir = Path(environment.get(STATE_DIR_VARIABLE) or settings.state_dir).expanduser()
    memory = StateMemory(workspace.root / state_dir, workspace.registry)
    return (memory, *_configured(settings.anchor, workspace.root))


def _configured(anchor: str, root: Path) -> Iterable[Witness]:
    kind, _, place = anchor.partition(":")
    if not anchor:
        return ()
    if kind == "git" and place.startswith("refs/"):
        return (GitAnchor(place, root),)
    if kind == "file" and place:
        return (FileAnchor(root / Path(place).expanduser()),)
    raise AnchorUnreachableError(
        f"[registry] anchor is {anchor!r}",
        where="stagegate.toml",
        remedy="write git:refs/notes/stagegate or file:/path/to/a/file",
    )
