"""The sha256 of input files, remembered beside a store by each file's signature: a price file of hundreds of megabytes is hashed once, not at every start."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engines.digest import canonical_json, sha256_bytes
from engines.signatures import Signature, hashed_while_unchanged, signature
from engines.store import ArrayStore

FOLDER: Final = "file-digests"


@dataclass(frozen=True, slots=True)
class FileDigests:
    """What is remembered beside `store`; a thorough store hashes each file every time and remembers it for the others.

    <root>/file-digests/<sha256 of the path>.json    {"path", "signature", "sha256"}
    """

    store: ArrayStore

    def sha256(self, path: Path) -> str:
        """Bare hex sha256 of a file's bytes. Raises OSError when it cannot be read."""
        note = self.store.root / FOLDER / f"{sha256_bytes(os.fsencode(path.resolve()))[:32]}.json"
        if not self.store.thorough and (known := _read(note)) is not None and known[0] == signature(path.stat()):
            return known[1]
        digest, seen = hashed_while_unchanged(path)
        if seen is not None:
            _write(note, path, seen, digest)
        return digest


def _read(note: Path) -> tuple[Signature, str] | None:
    try:
        record = json.loads(note.read_bytes())
        return record["signature"], record["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(note: Path, path: Path, seen: Signature, digest: str) -> None:
    """Remember a digest; what cannot be remembered is hashed again the next time."""
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=note.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(canonical_json({"path": str(path), "signature": seen, "sha256": digest}))
        Path(name).replace(note)
    except OSError:
        return
