"""Digests: the one way in which this project names content."""

from __future__ import annotations

import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Any


def sha256_bytes(data: bytes) -> str:
    """Bare hex sha256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Bare hex sha256 of a file's bytes, read in a stream."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> bytes:
    """One spelling for one value: sorted keys, no spaces, UTF-8, dates as isoformat; ValueError for NaN and infinity, TypeError for other types."""

    def spell(other: Any) -> str:
        if isinstance(other, date):
            return other.isoformat()
        raise TypeError(f"{type(other).__name__} has no canonical spelling")

    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=spell
    ).encode()


def sha256_json(value: Any) -> str:
    """Bare hex sha256 of the canonical spelling of `value`."""
    return sha256_bytes(canonical_json(value))
