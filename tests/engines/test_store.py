"""The array store: computed once, whole or absent, and never believed when damaged."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engines.errors import StoreError
from engines.store import ArrayStore

KEY = {"data": "abc", "lookback_days": 252}


def build() -> tuple[dict[str, Any], dict[str, Any]]:
    return {"close": np.arange(6.0).reshape(2, 3), "symbols": np.array(["AAA", "B"])}, {"quality": {"rows": 6}}


def never() -> tuple[dict[str, Any], dict[str, Any]]:
    raise AssertionError("built again although it was there")


def entry_of(store: ArrayStore) -> Path:
    return next(path for path in store.root.iterdir() if path.is_dir() and ".damaged" not in path.name)


def test_what_was_built_is_found_again(tmp_path: Path) -> None:
    store = ArrayStore(tmp_path / "cache")
    store.get_or_build("panel", KEY, build)
    arrays, meta = ArrayStore(tmp_path / "cache").get_or_build("panel", dict(reversed(KEY.items())), never)
    np.testing.assert_array_equal(arrays["close"], [[0, 1, 2], [3, 4, 5]])
    assert arrays["symbols"].tolist() == ["AAA", "B"]
    assert meta == {"quality": {"rows": 6}}


@pytest.mark.parametrize("lasting", [True, False])
def test_only_a_lasting_store_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lasting: bool) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    ArrayStore(tmp_path / "cache", lasting=lasting).get_or_build("panel", KEY, build)
    arrays, _ = ArrayStore(tmp_path / "cache", thorough=True).get_or_build("panel", KEY, never)
    np.testing.assert_array_equal(arrays["close"], [[0, 1, 2], [3, 4, 5]])
    assert bool(synced) is lasting


def test_another_key_or_kind_is_another_entry(tmp_path: Path) -> None:
    store = ArrayStore(tmp_path)
    for kind, key in (("panel", KEY), ("panel", {**KEY, "lookback_days": 251}), ("book", KEY)):
        store.get_or_build(kind, key, build)
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 3


def test_arrays_are_read_only_and_memory_mapped(tmp_path: Path) -> None:
    arrays, _ = ArrayStore(tmp_path).get_or_build("panel", KEY, build)
    assert isinstance(arrays["close"].base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        arrays["close"][0, 0] = 9


@settings(max_examples=30)
@given(
    hnp.arrays(
        st.sampled_from([np.float64, np.int16, np.bool_, np.dtype("M8[D]"), np.dtype("U3")]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    )
)
def test_any_plain_array_survives_the_trip(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray[Any, Any]
) -> None:
    store = ArrayStore(tmp_path_factory.mktemp("store"))
    arrays, _ = store.get_or_build("any", KEY, lambda: ({"values": array}, {}))
    assert arrays["values"].dtype == array.dtype
    assert arrays["values"].shape == array.shape
    assert arrays["values"].tobytes() == array.tobytes()
    assert not arrays["values"].flags.writeable


@pytest.mark.parametrize("file", ["close.npy", "symbols.npy", "meta.json"])
@pytest.mark.parametrize("where", [0, 0.5, 1])
def test_a_flipped_byte_is_noticed_and_the_entry_built_again(tmp_path: Path, file: str, where: float) -> None:
    store = ArrayStore(tmp_path)
    store.get_or_build("panel", KEY, build)
    path = entry_of(store) / file
    data = bytearray(path.read_bytes())
    data[int(where * (len(data) - 1))] ^= 1
    path.write_bytes(data)
    arrays, meta = store.get_or_build("panel", KEY, build)
    assert arrays["close"].sum() == 15
    assert meta == {"quality": {"rows": 6}}
    aside = next(tmp_path.glob("*.damaged-1"))
    assert (aside / file).read_bytes() == bytes(data)


def test_an_edited_meta_is_noticed(tmp_path: Path) -> None:
    store = ArrayStore(tmp_path)
    store.get_or_build("panel", KEY, build)
    path = entry_of(store) / "meta.json"
    path.write_text(path.read_text().replace('"rows":6', '"rows":5'))
    assert store.get_or_build("panel", KEY, build)[1] == {"quality": {"rows": 6}}


@pytest.mark.parametrize("file", ["close.npy", "meta.json"])
def test_a_missing_or_cut_file_is_built_again(tmp_path: Path, file: str) -> None:
    store = ArrayStore(tmp_path)
    for damage in (Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])):
        store.get_or_build("panel", KEY, build)
        damage(entry_of(store) / file)
        arrays, _ = store.get_or_build("panel", KEY, build)
        assert arrays["close"].sum() == 15


def test_each_damaged_entry_keeps_its_bytes(tmp_path: Path) -> None:
    store = ArrayStore(tmp_path)
    for _ in range(3):
        store.get_or_build("panel", KEY, build)
        (entry_of(store) / "meta.json").write_text("{}")
    store.get_or_build("panel", KEY, build)
    assert sorted(path.suffix for path in tmp_path.glob("*.damaged-*")) == [".damaged-1", ".damaged-2", ".damaged-3"]


@pytest.mark.parametrize("kind", [ZeroDivisionError, PermissionError, TimeoutError, TypeError])
def test_what_a_build_raises_is_passed_on_and_nothing_is_stored(tmp_path: Path, kind: type[Exception]) -> None:
    def fail() -> tuple[dict[str, Any], dict[str, Any]]:
        raise kind("of the builder")

    store = ArrayStore(tmp_path)
    with pytest.raises(kind, match="of the builder"):
        store.get_or_build("panel", KEY, fail)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    assert store.get_or_build("panel", KEY, build)[0]["close"].sum() == 15


def test_a_build_may_ask_for_another_entry(tmp_path: Path) -> None:
    store = ArrayStore(tmp_path)

    def outer() -> tuple[dict[str, Any], dict[str, Any]]:
        return {"twice": 2 * store.get_or_build("inner", KEY, build)[0]["close"]}, {}

    assert store.get_or_build("outer", KEY, outer)[0]["twice"].sum() == 30


@pytest.mark.parametrize(
    "content",
    [
        ({"x": np.array([object()])}, {}),
        ({"x": np.zeros(1)}, {"value": float("nan")}),
        ({"x": np.zeros(1)}, {"value": object()}),
        ({"../x": np.zeros(1)}, {}),
        ({"x/y": np.zeros(1)}, {}),
    ],
)
def test_what_cannot_be_stored_is_refused_and_leaves_nothing(tmp_path: Path, content: Any) -> None:
    with pytest.raises(StoreError):
        ArrayStore(tmp_path).get_or_build("panel", KEY, lambda: content)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


@pytest.mark.parametrize("kind", ["", "../panel", "a/b", ".hidden"])
def test_a_kind_that_is_no_name_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(StoreError, match="cannot name a cached array"):
        ArrayStore(tmp_path).get_or_build(kind, KEY, build)


def test_a_pickle_in_the_place_of_an_array_is_never_loaded(tmp_path: Path) -> None:
    store = ArrayStore(tmp_path)
    store.get_or_build("panel", KEY, build)
    np.save(entry_of(store) / "close.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert store.get_or_build("panel", KEY, build)[0]["close"].sum() == 15


def test_a_lock_that_is_not_released_ends_in_an_error(tmp_path: Path) -> None:
    store = ArrayStore(tmp_path, lock_timeout_seconds=0.05)
    store.get_or_build("panel", KEY, build)
    lock = next(tmp_path.glob("*.lock"))
    (entry_of(store) / "meta.json").unlink()
    with FileLock(lock), pytest.raises(StoreError, match="another process has been building"):
        store.get_or_build("panel", KEY, build)


def test_a_root_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(StoreError, match="cannot be read or written"):
        ArrayStore(tmp_path / "cache").get_or_build("panel", KEY, build)


def _count_builds(root: str, tally: str) -> None:
    def tallied() -> tuple[dict[str, Any], dict[str, Any]]:
        with open(tally, "a") as file:  # noqa: PTH123
            file.write("x")
        time.sleep(0.05)
        return build()

    arrays, _ = ArrayStore(Path(root)).get_or_build("panel", KEY, tallied)
    assert arrays["close"].sum() == 15


def test_of_many_processes_one_builds(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=_count_builds, args=(str(tmp_path / "cache"), str(tmp_path / "tally"))) for _ in range(8)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0] * 8
    assert (tmp_path / "tally").read_text() == "x"


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from engines.store import ArrayStore
step, calls = int(sys.argv[2]), 0
def dying(function):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call
for name in ("fsync", "rename", "mkdir"):
    setattr(os, name, dying(getattr(os, name)))
ArrayStore(Path(sys.argv[1])).get_or_build("panel", {"k": 1}, lambda: ({"a": np.ones(4), "b": np.zeros(3)}, {}))
"""


@pytest.mark.parametrize("step", range(1, 9))
def test_a_kill_at_any_step_leaves_the_entry_whole_or_absent(tmp_path: Path, step: int) -> None:
    died = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "cache"), str(step)], timeout=60)
    assert died.returncode in (0, -signal.SIGKILL)
    (tmp_path / "cache").mkdir(exist_ok=True)
    arrays, _ = ArrayStore(tmp_path / "cache").get_or_build(
        "panel", {"k": 1}, lambda: ({"a": np.ones(4), "b": np.zeros(3)}, {})
    )
    assert arrays["a"].sum() == 4
    assert not [path for path in (tmp_path / "cache").iterdir() if ".partial-" in path.name or ".damaged-" in path.name]
