"""Writes that survive a crash, a lock that excludes, and JSON that means one thing.

Every function either leaves exactly what it promises, on disk, or raises RecordError. A failed fsync is never tried
again: the kernel may have dropped the dirty pages, and a second call would report success for bytes that are gone.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, NoReturn

from filelock import FileLock, Timeout

from reports.record.errors import RecordError

LOCK_POLL_SECONDS: Final = 0.01
LOCK_TIMEOUT_SECONDS: Final = 120.0
QUEUE_TIMEOUT_SECONDS: Final = 60.0
JSON_BYTES_LIMIT: Final = 256 * 2**20

_REMEDIES: Final = {
    errno.ENOSPC: "free space on this file system, then run `stagegate recover`",
    errno.EDQUOT: "free space in this account's quota, then run `stagegate recover`",
    errno.EROFS: "mount the file system for writing, or choose another --workspace",
    errno.EACCES: "give this account the right to read and write there",
    errno.EIO: "the device reports errors: check it before anything else is recorded, then run `stagegate recover`",
    errno.ENOLCK: "the file system gives no locks: keep the workspace on a local disk, or enable locking on the mount",
    errno.ENOSYS: "the file system gives no locks: keep the workspace on a local disk, or enable locking on the mount",
    errno.EAGAIN: "another process writes there without the lock file, which somebody deleted: let it end, then repeat",
    errno.ELOOP: "a symbolic link stands where a file of record belongs: put the file itself there",
    errno.EEXIST: "a record is never overwritten: choose a new name",
    errno.ENOTEMPTY: "a record is never overwritten: choose a new name",
}


@contextmanager
def explained(action: str, path: Path) -> Iterator[None]:
    """Turn an OSError of the block into a RecordError that says what could not be done, where, and how to mend it."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "see the reason given, then run `stagegate recover`")
        raise RecordError(f"cannot {action}: {error.strerror or error}", where=str(path), remedy=remedy) from error


def write_fully(descriptor: int, data: bytes) -> None:
    """Write all of `data`: in one os.write when the kernel takes it whole, else the rest in further calls."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_directory(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(folder: Path) -> None:
    """Create `folder` and what is missing above it, each name durable in its parent."""
    if folder.is_dir():
        return
    make_directory(folder.parent)
    with explained("create the directory", folder):
        with suppress(FileExistsError):
            folder.mkdir()
        sync_directory(folder.parent)


def write_new(path: Path, data: bytes) -> None:
    """Create `path`, and directories missing above it, with exactly `data`, durable in file and name.

    RecordError when anything stands there already.
    """
    make_directory(path.parent)
    with explained("create the file", path):
        _create(path, data)
        sync_directory(path.parent)


def replace(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one step: a reader sees all of the old bytes or all of the new, also after a crash."""
    make_directory(path.parent)
    partial = path.with_name(f".{path.name}.{token_hex(8)}.partial")
    with explained("write the file", path):
        _create(partial, data)
        partial.replace(path)
        sync_directory(path.parent)


def _create(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        write_fully(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish_directory(partial: Path, final: Path) -> None:
    """Give the finished directory `partial` its name of record `final`, both under one parent, every file of it
    durable first.

    The name is claimed with mkdir, which only one of two publishers can win; rename alone would silently replace an
    empty directory. A crash leaves `partial`, or `partial` beside an empty `final`, or `final` complete.
    RecordError when `final` exists.
    """
    with explained("publish the directory", final):
        _sync_tree(partial)
        final.mkdir()
        partial.rename(final)
        sync_directory(final.parent)


def _sync_tree(folder: Path) -> None:
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            descriptor = os.open(Path(parent, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_directory(Path(parent))


def is_there(path: Path) -> bool:
    """Whether anything stands at `path`, a broken link too. RecordError when that cannot be told."""
    with explained("look at the file", path):
        try:
            path.lstat()
        except FileNotFoundError:
            return False
    return True


def read_regular(path: Path, limit_bytes: int = JSON_BYTES_LIMIT) -> bytes:
    """All bytes of a regular file.

    RecordError for a link, a pipe, a directory, a missing file and one above `limit_bytes`.
    """
    with explained("read the file", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return read_descriptor(descriptor, path, limit_bytes)
        finally:
            os.close(descriptor)


def read_descriptor(descriptor: int, path: Path, limit_bytes: int) -> bytes:
    """All bytes behind an open descriptor, from its first byte on; `path` is for the message."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise RecordError("is not a regular file", where=str(path), remedy="put the file itself there")
    if status.st_size > limit_bytes:
        raise RecordError(
            f"has {status.st_size} bytes, expected at most {limit_bytes}",
            where=str(path),
            remedy="restore the file from a backup",
        )
    pieces, position = [], 0
    while piece := os.pread(descriptor, 2**20, position):
        pieces.append(piece)
        position += len(piece)
    return b"".join(pieces)


@contextmanager
def in_turn(queue_path: Path) -> Iterator[None]:
    """Stand in line at `queue_path` until those who came before have left it, at most QUEUE_TIMEOUT_SECONDS.

    It orders, it does not exclude: that is for the lock that is taken inside. Linux wakes those who wait for a flock in the order in
    which they came, where a lock that is polled goes to whoever asks at the right moment, and some wait for very long.
    """
    make_directory(queue_path.parent)
    with explained("stand in line for the lock", queue_path):
        descriptor = os.open(queue_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        with explained("stand in line for the lock", queue_path):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _wait_for_turn(descriptor)
        yield
    finally:
        os.close(descriptor)


def _wait_for_turn(descriptor: int) -> None:
    """Wait in a thread, which may be left waiting: closing the descriptor gives up the place in the line."""
    failures: list[OSError] = []

    def wait() -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            failures.append(error)

    waiting = threading.Thread(target=wait, name="registry queue", daemon=True)
    waiting.start()
    waiting.join(QUEUE_TIMEOUT_SECONDS)
    if failures:
        raise failures[0]


@contextmanager
def locked(lock_path: Path, timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> Iterator[None]:
    """Hold the lock at `lock_path`, alone among all processes of this machine.

    The lock file stays when the lock is released: deleting it would let a second holder in. RecordError when the
    lock is not had within `timeout_seconds`, and where the file system gives no locks (there is no fallback to a
    weaker one).
    """
    make_directory(lock_path.parent)
    lock = FileLock(lock_path, poll_interval=LOCK_POLL_SECONDS, fallback_to_soft=False, preserve_lock_file=True)
    with explained("take the lock", lock_path):
        try:
            lock.acquire(timeout=timeout_seconds)
        except Timeout as error:
            _lock_refused(lock_path, timeout_seconds, error)
    try:
        yield
    finally:
        with explained("release the lock", lock_path):
            lock.release()


@contextmanager
def locked_if_free(lock_path: Path) -> Iterator[bool]:
    """Hold the lock at `lock_path` where nobody holds it now; yields whether it is held. RecordError where the file system gives no locks."""
    make_directory(lock_path.parent)
    lock = FileLock(lock_path, fallback_to_soft=False, preserve_lock_file=True)
    with explained("take the lock", lock_path):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            held = False
        else:
            held = True
    try:
        yield held
    finally:
        with explained("release the lock", lock_path):
            lock.release()


def _lock_refused(lock_path: Path, timeout_seconds: float, error: Timeout) -> NoReturn:
    raise RecordError(
        f"another process has held the lock for {timeout_seconds:g} s",
        where=str(lock_path),
        remedy="wait for it to end, or stop it; never delete the lock file",
    ) from error


def is_locked(lock_path: Path) -> bool:
    """Whether a living process holds the lock at `lock_path`.

    Changes nothing: a lock file that is absent was never held.
    """
    if not is_there(lock_path):
        return False
    with explained("ask for the lock", lock_path):
        descriptor = os.open(lock_path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False


def dump_json(value: Any) -> bytes:
    """`value` as a JSON file of record: UTF-8, indent 1, keys in their given order, a newline at the end.

    ValueError for NaN and Infinity: what was not measured is null with a note.
    """
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def load_json(data: bytes, where: str) -> Any:
    """Parse a JSON file of record.

    RecordError for duplicate keys, NaN and Infinity, bytes that are not UTF-8, and nesting without end.
    """
    try:
        return json.loads(
            data.decode(),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except (ValueError, RecursionError) as error:
        reason = "is nested too deeply" if isinstance(error, RecursionError) else f"is not JSON of record: {error}"
        raise RecordError(reason, where=where, remedy="restore the file from a backup") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, value in pairs:
        if key in members:
            raise ValueError(f"duplicate key {key!r}")
        members[key] = value
    return members


def _no_constant(token: str) -> NoReturn:
    raise ValueError(f"{token} is no JSON number")


def _whole(token: str) -> int:
    _finite(token)
    return int(token)


def _finite(token: str) -> float:
    number = float(token)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{token} is beyond the range of a double")
    return number
