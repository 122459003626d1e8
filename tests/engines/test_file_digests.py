"""A remembered digest is believed only of the file that it was computed of; a thorough store believes none."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engines import file_digests
from engines.digest import sha256_file
from engines.file_digests import FileDigests
from engines.signatures import SETTLED_NS, hashed_while_unchanged
from engines.store import ArrayStore


def in_place(path: Path) -> None:
    """Same size, same inode, and the time of modification set back."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"X")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(path: Path) -> None:
    """Another file of the same size and time of modification under the same name."""
    before, other = path.stat(), path.with_name("other")
    other.write_bytes(b"X" + path.read_bytes()[1:])
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that has been left alone for long enough to be remembered."""
    path = tmp_path / "prices.csv"
    path.write_bytes(b"date,symbol\n")
    time.sleep(2 * SETTLED_NS / 1e9)
    return path


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read to be hashed."""
    seen: list[Path] = []

    def counting(path: Path) -> object:
        seen.append(path)
        return hashed_while_unchanged(path)

    monkeypatch.setattr(file_digests, "hashed_while_unchanged", counting)
    return seen


def test_a_file_is_hashed_once(tmp_path: Path, file: Path, hashed: list[Path]) -> None:
    found = {FileDigests(ArrayStore(tmp_path / "cache")).sha256(file) for _ in range(3)}
    assert found == {sha256_file(file)}
    assert hashed == [file]


def test_a_thorough_store_hashes_each_time(tmp_path: Path, file: Path, hashed: list[Path]) -> None:
    for _ in range(3):
        FileDigests(ArrayStore(tmp_path / "cache", thorough=True)).sha256(file)
    assert hashed == [file] * 3


@pytest.mark.parametrize("change", [in_place, replaced, appended])
def test_a_file_that_changed_is_hashed_again(
    tmp_path: Path, file: Path, hashed: list[Path], change: Callable[[Path], None]
) -> None:
    digests = FileDigests(ArrayStore(tmp_path / "cache"))
    before = digests.sha256(file)
    change(file)
    after = digests.sha256(file)
    assert after != before
    assert after == sha256_file(file)
    assert hashed == [file, file]


def test_a_file_written_this_instant_is_not_remembered(tmp_path: Path, hashed: list[Path]) -> None:
    path = tmp_path / "prices.csv"
    digests = FileDigests(ArrayStore(tmp_path / "cache"))
    for content in (b"one", b"two"):
        path.write_bytes(content)
        assert digests.sha256(path) == sha256_file(path)
    assert hashed == [path, path]
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"signature": 1}'])
def test_a_note_that_cannot_be_read_is_written_anew(tmp_path: Path, file: Path, damage: bytes) -> None:
    digests = FileDigests(ArrayStore(tmp_path / "cache"))
    digests.sha256(file)
    (note,) = (tmp_path / "cache" / file_digests.FOLDER).iterdir()
    whole = note.read_bytes()
    note.write_bytes(damage)
    assert digests.sha256(file) == sha256_file(file)
    assert note.read_bytes() == whole
