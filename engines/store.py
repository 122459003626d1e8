"""Content-addressed store of arrays: whatever is computed twice from the same inputs is computed once.

    <root>/<kind>-<first 32 hex digits of sha256(key)>/
        <name>.npy      one file an array, no pickles
        meta.json       {"body": {"key", "meta", "arrays": {name: sha256}}, "sha256": of the body's canonical JSON}
    <root>/<kind>-<...>.lock    held by the one process that builds; never deleted

An entry is written under a temporary name, synced and renamed into place, so that it is either whole or absent whenever the machine stops.
Every file is hashed each time an entry is opened: a damaged entry is set aside as <entry>.damaged-<n> and built anew, never used.
"""

from __future__ import annotations

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

LOCK_TIMEOUT_SECONDS: Final = 3600.0
META_FILE: Final = "meta.json"

Arrays = dict[str, np.ndarray[Any, Any]]
Entry = tuple[Arrays, dict[str, Any]]
Build = Callable[[], tuple[Mapping[str, np.ndarray[Any, Any]], Mapping[str, Any]]]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class _DamagedEntryError(Exception):
    """An entry whose bytes are not those that were written."""


@dataclass(frozen=True, slots=True)
class ArrayStore:
    """The store below `root`; any number of processes may use it at once."""

    root: Path
    lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS

    def get_or_build(self, kind: str, key: Mapping[str, Any], build: Build) -> Entry:
        """The arrays (read-only, memory-mapped) and the JSON-able meta stored under (kind, key), built when they are not there.

        One process builds while the others wait; `build` may itself ask for other entries. What `build` raises is passed
        on and nothing is stored.

        Raises:
            StoreError: a name, an array or a meta that cannot be stored, a root that cannot be written, or a lock that is
                not released in time.

        """
        entry = self.root / f"{_checked(kind)}-{sha256_json(dict(key))[:32]}"
        with _disk(entry):
            found = _open_if_whole(entry)
        if found is not None:
            return found
        with self._locked(entry):
            with _disk(entry):
                found = _open_if_whole(entry)
            return found if found is not None else _build(entry, key, build)

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


def _build(entry: Path, key: Mapping[str, Any], build: Build) -> Entry:
    """Build, write and open an entry, under its lock."""
    with _disk(entry):
        _set_aside(entry)
    arrays, meta = build()
    with _disk(entry):
        _write(entry, key, arrays, meta)
        try:
            return _open(entry)
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


def _open_if_whole(entry: Path) -> Entry | None:
    """The entry when it is there and undamaged."""
    try:
        return _open(entry)
    except (FileNotFoundError, NotADirectoryError, _DamagedEntryError):
        return None


def _open(entry: Path) -> Entry:
    body = _read_body(entry / META_FILE)
    arrays: Arrays = {}
    for name, digest in body["arrays"].items():
        path = entry / f"{name}.npy"
        if sha256_file(path) != digest:
            raise _DamagedEntryError(f"{path.name} is not what was written")
        arrays[name] = _map(path)
    return arrays, body["meta"]


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
    entry: Path, key: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]], meta: Mapping[str, Any]
) -> None:
    partial = Path(tempfile.mkdtemp(prefix=f"{entry.name}.partial-", dir=entry.parent))
    try:
        digests = {name: _write_array(partial / f"{_checked(name)}.npy", array) for name, array in arrays.items()}
        body = {"key": dict(key), "meta": dict(meta), "arrays": digests}
        text = canonical_json({"body": body, "sha256": sha256_bytes(canonical_json(body))})
        with (partial / META_FILE).open("xb") as file:
            file.write(text)
            _sync(file)
        _sync_directory(partial)
        partial.rename(entry)
        _sync_directory(entry.parent)
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"the result cannot be stored: {error}", where=str(entry), remedy="return plain arrays and JSON-able meta"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_array(path: Path, array: np.ndarray[Any, Any]) -> str:
    """Write one array and return the sha256 of its file."""
    with path.open("x+b") as file:
        np.lib.format.write_array(file, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False)
        _sync(file)
    return sha256_file(path)


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
