"""Whether a file is still the one that was hashed: told by its signature, so that what did not change is not read again.

A signature is the file's device, inode, size, time of modification and time of change of status. No program can write to a file without moving the last
of these, whatever it does to the others; within one tick of the clock it could stay, so a signature counts only once the file has been left alone for longer
(as git's index does). What a disk loses by itself shows in no signature: where that matters, everything is hashed (`ArrayStore.thorough`).
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from engines.digest import sha256_file

SETTLED_NS: Final = 100_000_000
"""Longer than the tick by which any file system in use stamps its files, in nanoseconds."""

Signature = list[int]
"""JSON-able."""


def signature(found: os.stat_result) -> Signature:
    """What would change with the file."""
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def settled_signature(path: Path) -> Signature | None:
    """The file's signature, or None when it was written to so lately that a further write might not show."""
    found = path.stat()
    return signature(found) if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) > SETTLED_NS else None


def hashed_while_unchanged(path: Path) -> tuple[str, Signature | None]:
    """The file's sha256 with the signature that stands for it; without one when the file is too new, or changed while it was read."""
    before = settled_signature(path)
    digest = sha256_file(path)
    return digest, before if before == signature(path.stat()) else None
