"""Content-addressed store of arrays: whatever is computed twice from the same inputs is computed once.

    <root>/<kind>-<first 32 hex digits of sha256(key)>/
        <name>.npy      one file an array, no pickles
        meta.json       {"body": {"key", "meta", "arrays": {name: sha256}}, "sha256": of the body's canonical JSON}; its time is that of the last use
        hashed.json     {name: signature of the file when its sha256 was last found right}; see engines.signatures
    <root>/<kind>-<...>.lock    held by the one process that builds; never deleted

An entry is written under a temporary name, synced and renamed into place, so that it is either whole or absent whenever the machine stops; in a store that
is not lasting it is not synced.
A store keeps the limit of engines.store_upkeep: whoever builds an entry of some size sends away what was used longest ago.
When an entry is opened every file is hashed whose signature is not the noted one, in a thorough store (a recorded run's) every file always. A damaged
entry is set aside as <entry>.damaged-<n> and built anew, never used.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from filelock import FileLock, Timeout

from engines.digest import canonical_json, sha256_bytes, sha256_file, sha256_json
from engines.errors import StoreError
from engines.signatures import Signature, hashed_while_unchanged, settled_signature, signature
from engines.store_upkeep import META_FILE, evict

LOCK_TIMEOUT_SECONDS: Final = 3600.0
WORTH_A_LOOK_BYTES: Final = 1 << 20
"""After an entry of this size the store is looked through for what must go; smaller ones do not fill a disk by themselves."""
NOTE_FILE: Final = "hashed.json"

Arrays = dict[str, np.ndarray[Any, Any]]
Entry = tuple[Arrays, dict[str, Any]]
Built = tuple[Mapping[str, np.ndarray[Any, Any]], Mapping[str, Any]]
Build = Callable[[], Built]
BuildInPlace = Callable[["Scratch"], Built]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class _DamagedEntryError(Exception):
    """An entry whose bytes are not those that were written."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """The folder in which an entry is being built."""

    folder: Path

    def array(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
        """An array of a file: what a build returns under this name is stored without a copy, any other name is thrown away with the folder."""
        path = self.folder / f"{name}.npy"
        with _disk(self.folder):
            array = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), shape, version=(1, 0))
            with path.open(
                "r+b"
            ) as file:  # a full disk is met here, not as a fatal signal at some later store to memory
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        return array


@dataclass(frozen=True, slots=True)
class ArrayStore:
    """The store below `root`; any number of processes may use it at once.

    thorough: hash every file each time it is opened, whatever its signature says.
    lasting: sync what is written; a store that goes with the process it serves need not.
    """

    root: Path
    lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS
    thorough: bool = False
    lasting: bool = True

    def get_or_build(self, kind: str, key: Mapping[str, Any], build: Build) -> Entry:
        """The arrays (read-only, memory-mapped) and the JSON-able meta stored under (kind, key), built when they are not there.

        One process builds while the others wait; `build` may itself ask for other entries. What `build` raises is passed
        on and nothing is stored.

        Raises:
            StoreError: a name, an array or a meta that cannot be stored, a root that cannot be written, or a lock that is
                not released in time.

        """
        return self.get_or_build_in_place(kind, key, lambda _scratch: build())

    def get_or_build_in_place(self, kind: str, key: Mapping[str, Any], build: BuildInPlace) -> Entry:
        """As `get_or_build`, of arrays too large to be held in memory: `build` lays them out in files of its scratch folder."""
        entry = self.root / f"{_checked(kind)}-{sha256_json(dict(key))[:32]}"
        with _disk(entry):
            found = _open_if_whole(entry, self.thorough)
        if found is not None:
            return found
        with self._locked(entry):
            with _disk(entry):
                found = _open_if_whole(entry, self.thorough)
            return found if found is not None else _build(entry, key, build, lasting=self.lasting)

    @contextmanager
    def _locked(self, entry: Path) -> Iterator[None]:
        lock = FileLock(f"{entry}.lock", timeout=self.lock_timeout_seconds)
        try:
            with _disk(entry):
                self.root.mkdir(parents=True, exist_ok=True)
                lock.acquire()
        except Timeout as error:
            raise StoreError(
                f"another process has been building this entry for {self.lock_timeout_seconds:.0f} s",
                where=str(entry),
                remedy="wait for it or end it, then repeat",
            ) from error
        try:
            yield
        finally:
            lock.release()


@contextmanager
def _disk(entry: Path) -> Iterator[None]:
    """What the file system refuses becomes a StoreError; what a build raises never passes here."""
    try:
        yield
    except Timeout:
        raise
    except OSError as error:
        raise StoreError(
            f"the cache cannot be read or written: {error}",
            where=str(entry),
            remedy="give this user write permission and space there",
        ) from error


def _build(entry: Path, key: Mapping[str, Any], build: BuildInPlace, *, lasting: bool) -> Entry:
    """Build, write and open an entry, under its lock."""
    with _disk(entry):
        _set_aside(entry)
        partial = Path(tempfile.mkdtemp(prefix=f"{entry.name}.partial-", dir=entry.parent))
    try:
        arrays, meta = build(Scratch(partial))
        with _disk(entry):
            _write(entry, partial, key, arrays, meta, lasting=lasting)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if sum(array.nbytes for array in arrays.values()) >= WORTH_A_LOOK_BYTES:
        with _disk(entry):
            evict(entry.parent, keep=entry)
    with _disk(entry):
        try:
            return _open(entry, thorough=False)
        except _DamagedEntryError as error:
            raise StoreError(
                f"the entry was damaged while it was written: {error}",
                where=str(entry),
                remedy="check the disk, then repeat",
            ) from error


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise StoreError(
            f"{name!r} cannot name a cached array", where="ArrayStore", remedy="use letters, digits, '.', '_' and '-'"
        )
    return name


def _open_if_whole(entry: Path, thorough: bool) -> Entry | None:
    """The entry when it is there and undamaged."""
    try:
        return _open(entry, thorough)
    except (FileNotFoundError, NotADirectoryError, _DamagedEntryError):
        return None


def _open(entry: Path, thorough: bool) -> Entry:
    body = _read_body(entry / META_FILE)
    noted = {} if thorough else read_note(entry)
    signatures = {
        name: _verified(entry / f"{name}.npy", body["arrays"][name], noted.get(name)) for name in body["arrays"]
    }
    if signatures != noted:
        _write_note(entry, {name: seen for name, seen in signatures.items() if seen is not None})
    arrays = {name: _map(entry / f"{name}.npy") for name in body["arrays"]}
    _mark_used(entry)
    return arrays, body["meta"]


def _mark_used(entry: Path) -> None:
    """So that it shows what the store can do without; in a store that may only be read nothing is ever cleared."""
    with _where_writable():
        os.utime(entry / META_FILE)


@contextmanager
def _where_writable() -> Iterator[None]:
    """What a store that may only be read refuses is left undone."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.EROFS):
            raise


def _verified(path: Path, digest: str, noted: Signature | None) -> Signature | None:
    """The signature under which the file is known to have this digest; None when it is too new to have one. _DamagedEntryError for another digest."""
    if noted is not None and signature(path.stat()) == noted:
        return noted
    found, seen = hashed_while_unchanged(path)
    if found != digest:
        raise _DamagedEntryError(f"{path.name} is not what was written")
    return seen


def damaged_files(entry: Path) -> tuple[str, ...]:
    """Which files of an entry are not what was written, hashed one and all; its meta when that cannot be read."""
    try:
        digests = _read_body(entry / META_FILE)["arrays"]
    except (OSError, _DamagedEntryError):
        return (META_FILE,)
    return tuple(
        f"{name}.npy"
        for name, digest in sorted(digests.items())
        if not (entry / f"{name}.npy").is_file() or sha256_file(entry / f"{name}.npy") != digest
    )


def read_note(entry: Path) -> dict[str, Signature]:
    """The signatures noted beside an entry; none when the note cannot be read."""
    try:
        noted = json.loads((entry / NOTE_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def _write_note(entry: Path, signatures: Mapping[str, Signature]) -> None:
    """Replace the note; a note that cannot be written costs time at the next opening and nothing else."""
    with _where_writable():
        descriptor, name = tempfile.mkstemp(prefix=f"{NOTE_FILE}.", dir=entry)
        with os.fdopen(descriptor, "wb") as file:
            file.write(canonical_json(signatures))
        Path(name).replace(entry / NOTE_FILE)


def _read_body(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_bytes())
        body: dict[str, Any] = record["body"]
        whole = sha256_bytes(canonical_json(body)) == record["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise _DamagedEntryError(f"{path.name} is not what was written") from error
    if not whole:
        raise _DamagedEntryError(f"{path.name} is not what was written")
    return body


def _map(path: Path) -> np.ndarray[Any, Any]:
    """The array of a .npy file, read-only; memory-mapped unless it is empty, which cannot be mapped."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
    if 0 in shape or shape == ():
        array = np.load(path, allow_pickle=False)
        array.flags.writeable = False
        return np.asarray(array)
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _set_aside(entry: Path) -> None:
    """Clear the way for a new build, under the lock: a damaged entry keeps its bytes under another name, leftovers of a killed build go."""
    for leftover in entry.parent.glob(f"{entry.name}.partial-*"):
        shutil.rmtree(leftover)
    if os.path.lexists(entry):
        number = 1
        while os.path.lexists(aside := entry.with_name(f"{entry.name}.damaged-{number}")):
            number += 1
        entry.rename(aside)


def _write(
    entry: Path,
    partial: Path,
    key: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray[Any, Any]],
    meta: Mapping[str, Any],
    *,
    lasting: bool,
) -> None:
    try:
        written = {
            name: _write_array(partial / f"{_checked(name)}.npy", array, lasting=lasting)
            for name, array in arrays.items()
        }
        digests = {name: digest for name, (digest, _) in written.items()}
        body = {"key": dict(key), "meta": dict(meta), "arrays": digests}
        text = canonical_json({"body": body, "sha256": sha256_bytes(canonical_json(body))})
        with (partial / META_FILE).open("xb") as file:
            file.write(text)
            _flush(file, lasting=lasting)
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"the result cannot be stored: {error}", where=str(entry), remedy="return plain arrays and JSON-able meta"
        ) from error
    kept = {META_FILE, *(f"{name}.npy" for name in arrays)}
    for left in [path for path in partial.iterdir() if path.name not in kept]:
        left.unlink()
    _write_note(partial, {name: seen for name, (_, seen) in written.items() if seen == _settled(partial, name)})
    if lasting:
        _sync_directory(partial)
    partial.rename(entry)
    if lasting:
        _sync_directory(entry.parent)


def _settled(partial: Path, name: str) -> Signature | None:
    return settled_signature(partial / f"{name}.npy")


def _write_array(path: Path, array: np.ndarray[Any, Any], *, lasting: bool) -> tuple[str, Signature]:
    """Write one array, unless it lies in this file already; the sha256 of the file, and the signature it had then."""
    if isinstance(array, np.memmap) and str(array.filename) == str(path.resolve()):
        if lasting:
            array.flush()
            with path.open("r+b") as file:
                os.fsync(file.fileno())
    else:
        with path.open("x+b") as file:
            np.lib.format.write_array(file, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False)
            _flush(file, lasting=lasting)
    seen = signature(path.stat())
    return sha256_file(path), seen


def _flush(file: IO[bytes], *, lasting: bool) -> None:
    file.flush()
    if lasting:
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
