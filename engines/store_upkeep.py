"""What lies in an ArrayStore, and how it is kept within its limit: list, check, remove, evict.

    <root>/limit.json     {"gigabytes": 20.0}; without it DEFAULT_LIMIT_GB
    <root>/<entry>.partial-removed-*    an entry on its way out: set aside in one step under its lock, then deleted

An entry that is being built, or removed by somebody else, is left alone. A process that has an entry open keeps it: its pages stay until it ends. One that
finds an entry gone builds it anew.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from filelock import FileLock, Timeout

from engines.digest import canonical_json
from engines.errors import StoreError

GIGABYTE: Final = 1_000_000_000
DEFAULT_LIMIT_GB: Final = 20.0
LIMIT_FILE: Final = "limit.json"
META_FILE: Final = "meta.json"

State = Literal["whole", "damaged", "partial"]

_ENTRY: Final = re.compile(
    r"(?P<entry>(?P<kind>[A-Za-z0-9._-]+?)-[0-9a-f]{32})(?:\.(?P<left>damaged|partial)-.*)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Stored:
    """A folder of the store. entry: the name under which it is locked; state: damaged and partial ones are never read; used: seconds since 1970."""

    path: Path
    entry: str
    kind: str
    state: State
    size_bytes: int
    used: float

    @property
    def of(self) -> str:
        """What it was computed from, as far as its meta can be read: the first digits of the files' or the panel's hash, and the parameters."""
        try:
            key: dict[str, Any] = json.loads((self.path / META_FILE).read_bytes())["body"]["key"]
            files = key.get("content", {}).get("files", {})
            told = [f"{name} {digest[:8]}" for name, digest in sorted(files.items())]
            told += [f"panel {key['panel'][:8]}"] if "panel" in key else []
            told += [f"{name}={value}" for name, value in sorted(key.get("parameters", {}).items())]
            return ", ".join(told)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return ""


def stored(root: Path) -> tuple[Stored, ...]:
    """Every folder of the store, the one used longest ago first. What disappears meanwhile is left out."""
    found = [one for path in _folders(root) if (one := _looked_at(path)) is not None]
    return tuple(sorted(found, key=lambda one: (one.used, one.path.name)))


def _folders(root: Path) -> Iterator[Path]:
    try:
        with os.scandir(root) as found:
            yield from (Path(each.path) for each in found if each.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return


def _looked_at(path: Path) -> Stored | None:
    name = _ENTRY.fullmatch(path.name)
    if name is None:
        return None
    try:
        size_bytes = sum((Path(folder) / file).lstat().st_size for folder, _, files in os.walk(path) for file in files)
        meta = path / META_FILE
        used = (meta if meta.exists() else path).stat().st_mtime
    except OSError:
        return None
    state: State = "damaged" if name["left"] == "damaged" else "partial" if name["left"] else "whole"
    return Stored(path, name["entry"], name["kind"], state, size_bytes, used)


def limit_bytes(root: Path) -> int:
    """How many bytes the store may hold. StoreError when the limit's file is none."""
    path = root / LIMIT_FILE
    try:
        gigabytes = json.loads(path.read_bytes())["gigabytes"]
    except FileNotFoundError:
        gigabytes = DEFAULT_LIMIT_GB
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"the limit of the cache cannot be read: {error}",
            where=str(path),
            remedy="remove the file, or run `stagegate cache --limit GB`",
        ) from error
    if isinstance(gigabytes, bool) or not isinstance(gigabytes, int | float) or not 0.0 < gigabytes < 1e6:
        raise StoreError(
            f"the limit of the cache is {gigabytes!r:.40}, expected gigabytes above 0",
            where=str(path),
            remedy="remove the file, or run `stagegate cache --limit GB`",
        )
    return round(gigabytes * GIGABYTE)


def set_limit(root: Path, gigabytes: float) -> None:
    """Remember another limit."""
    root.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f"{LIMIT_FILE}.", dir=root)
    with os.fdopen(descriptor, "wb") as file:
        file.write(canonical_json({"gigabytes": gigabytes}))
    Path(name).replace(root / LIMIT_FILE)


def remove(root: Path, chosen: Iterable[Stored]) -> tuple[tuple[Stored, ...], tuple[Stored, ...]]:
    """Delete entries and leftovers; (those that went, those that were left because their lock is held)."""
    went: list[Stored] = []
    held: list[Stored] = []
    for one in chosen:
        (went if _removed(root, one) else held).append(one)
    return tuple(went), tuple(held)


def _removed(root: Path, one: Stored) -> bool:
    lock = FileLock(root / f"{one.entry}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return False
    try:
        aside = Path(tempfile.mkdtemp(prefix=f"{one.entry}.partial-removed-", dir=root))
        if one.path.exists():
            one.path.rename(aside / "entry")
        shutil.rmtree(aside)
    finally:
        lock.release()
    return True


def evict(root: Path, keep: Path) -> tuple[Stored, ...]:
    """Delete leftovers, then what was used longest ago, until the store keeps its limit; never `keep`, which was just built. Those that went."""
    found = stored(root)
    excess = sum(one.size_bytes for one in found) - limit_bytes(root)
    went: list[Stored] = []
    for one in sorted(found, key=lambda one: one.state == "whole"):  # stable: leftovers first, then by last use
        if excess <= 0:
            break
        if one.path != keep and _removed(root, one):
            went.append(one)
            excess -= one.size_bytes
    return tuple(went)
