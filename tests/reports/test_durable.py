"""Writes that survive, locks that exclude, JSON that means one thing."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.record import durable
from reports.record.durable import (
    dump_json,
    is_locked,
    load_json,
    locked,
    make_directory,
    publish_directory,
    read_regular,
    replace,
    write_new,
)
from reports.record.errors import RecordError

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


def test_a_new_file_is_written_once_and_never_over(tmp_path: Path) -> None:
    path = tmp_path / "freeze.json"
    write_new(path, b"first")
    with pytest.raises(RecordError, match="never overwritten"):
        write_new(path, b"second")
    assert path.read_bytes() == b"first"


def test_a_new_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "freeze.json").symlink_to(elsewhere)
    with pytest.raises(RecordError):
        write_new(tmp_path / "freeze.json", b"x")
    assert not elsewhere.exists()


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.write
    monkeypatch.setattr(durable.os, "write", lambda descriptor, data: whole(descriptor, bytes(data)[:3]))
    write_new(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_a_failed_fsync_is_told_and_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def failing(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(durable.os, "fsync", failing)
    with pytest.raises(RecordError, match="Input/output error"):
        replace(tmp_path / "a", b"x")
    assert len(calls) == 1
    assert not (tmp_path / "a").exists()


def test_replace_leaves_old_or_new_when_killed_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "head.json"
    replace(path, b"0" * 4096)
    for round_number in range(20):
        child = os.fork()
        if child == 0:
            while True:
                for digit in b"0123456789":
                    replace(path, bytes([digit]) * 4096)
        time.sleep(0.002 * (1 + round_number % 5))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert len(set(path.read_bytes())) == 1
        assert path.stat().st_size == 4096


def test_a_directory_is_published_whole_under_a_name_nobody_has(tmp_path: Path) -> None:
    partial, final = tmp_path / ".partial", tmp_path / "pack"
    make_directory(partial / "deep")
    write_new(partial / "deep" / "a", b"a")
    publish_directory(partial, final)
    assert (final / "deep" / "a").read_bytes() == b"a"
    assert not partial.exists()


@pytest.mark.parametrize("occupied", ["empty directory", "full directory", "file", "link"])
def test_a_name_that_is_taken_is_never_published_over(tmp_path: Path, occupied: str) -> None:
    partial, final = tmp_path / ".partial", tmp_path / "pack"
    partial.mkdir()
    if occupied == "file":
        final.write_bytes(b"mine")
    elif occupied == "link":
        final.symlink_to(tmp_path / "nowhere")
    else:
        final.mkdir()
        if occupied == "full directory":
            (final / "a").write_bytes(b"mine")
    with pytest.raises(RecordError, match="choose a new name"):
        publish_directory(partial, final)
    assert partial.is_dir()


def test_of_many_publishers_of_one_name_one_wins(tmp_path: Path) -> None:
    children = []
    for number in range(6):
        (tmp_path / f".partial-{number}").mkdir()
        (tmp_path / f".partial-{number}" / "who").write_text(str(number))
        child = os.fork()
        if child == 0:
            try:
                publish_directory(tmp_path / f".partial-{number}", tmp_path / "pack")
            except RecordError:
                os._exit(1)
            os._exit(0)
        children.append(child)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert sorted(statuses) == [0, 1, 1, 1, 1, 1]
    assert (tmp_path / "pack" / "who").read_text() == str(statuses.index(0))


def test_the_lock_excludes_and_its_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "registry.lock"
    assert not is_locked(path)
    with locked(path, 1):
        assert is_locked(path)
        with pytest.raises(RecordError, match="held the lock"), locked(path, 0.05):
            pass
    assert path.exists()
    assert not is_locked(path)


def test_a_killed_holder_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with locked(path, 1):
            os.write(writer, b"held")
            time.sleep(60)
    assert os.read(reader, 4) == b"held"
    assert is_locked(path)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not is_locked(path)


def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(RecordError, match=r"No locks available.*local disk"), locked(tmp_path / "lock", 1):
        pass


@pytest.mark.parametrize("kind", ["directory", "pipe", "link", "missing", "too large"])
def test_only_regular_files_of_a_sane_size_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "MANIFEST"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/dev/zero")
    elif kind == "too large":
        path.write_bytes(b"x" * 101)
    with pytest.raises(RecordError):
        read_regular(path, limit_bytes=100)


@given(JSON_VALUES)
def test_json_of_record_round_trips(value: object) -> None:
    assert load_json(dump_json(value), "report") == value


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": 1, "a": 2}',
        b'{"a": NaN}',
        b"[Infinity]",
        b"[-Infinity]",
        b"[1e999]",
        b'"\xff"',
        b"[" * 100_000,
        b"",
        b"{",
        b"1 2",
        b"9" * 5000,
    ],
)
def test_json_that_means_nothing_or_two_things_is_refused(data: bytes) -> None:
    with pytest.raises(RecordError, match=re.escape("[report.json]")):
        load_json(data, "report.json")


@given(st.binary(max_size=200))
def test_reading_json_has_an_answer_for_any_bytes(data: bytes) -> None:
    try:
        value = load_json(data, "any")
    except RecordError:
        return
    assert load_json(dump_json(value), "any") == value


def test_json_of_record_holds_no_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump_json({"t": float("nan")})
