"""The store's upkeep with real files, real locks, real processes and a real kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from engines.errors import StoreError
from engines.store import WORTH_A_LOOK_BYTES, ArrayStore, damaged_files
from engines.store_upkeep import DEFAULT_LIMIT_GB, GIGABYTE, evict, limit_bytes, remove, set_limit, stored

REPOSITORY = Path(__file__).resolve().parents[2]
LARGE = WORTH_A_LOOK_BYTES


def put(root: Path, number: int, size_bytes: int = LARGE, used: float | None = None) -> Path:
    """An entry of a size; `used` is when it was last opened."""
    before = set(root.glob("*")) if root.exists() else set()
    ArrayStore(root).get_or_build("panel", {"number": number}, lambda: ({"a": np.zeros(size_bytes // 8)}, {}))
    (entry,) = [path for path in set(root.glob("*")) - before if path.is_dir()]
    if used is not None:
        os.utime(entry / "meta.json", (used, used))
    return entry


def test_what_lies_there_is_told_with_size_age_and_origin(tmp_path: Path) -> None:
    entry = put(tmp_path, 1, used=1e9)
    (tmp_path / f"{entry.name}.damaged-1").mkdir()
    (tmp_path / f"{entry.name}.partial-x").mkdir()
    (tmp_path / "file-digests").mkdir()
    found = {one.path.name: one for one in stored(tmp_path)}
    assert {one.state for one in found.values()} == {"whole", "damaged", "partial"}
    assert found[entry.name].size_bytes > LARGE
    assert found[entry.name].used == 1e9
    assert stored(tmp_path / "nowhere") == ()


def test_a_flipped_byte_is_named_and_an_honest_entry_is_not(tmp_path: Path) -> None:
    entry = put(tmp_path, 1)
    assert damaged_files(entry) == ()
    with (entry / "a.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x01")
    assert damaged_files(entry) == ("a.npy",)
    (entry / "meta.json").write_text("{}")
    assert damaged_files(entry) == ("meta.json",)


def test_what_was_used_longest_ago_goes_first_and_what_was_just_built_stays(tmp_path: Path) -> None:
    old, middle = put(tmp_path, 1, used=1e9), put(tmp_path, 2, used=1.1e9)
    leftover = tmp_path / f"{old.name}.partial-gone"
    leftover.mkdir()
    (leftover / "a.npy").write_bytes(b"x" * LARGE)
    set_limit(tmp_path, 2.5 * LARGE / GIGABYTE)
    new = put(tmp_path, 3)
    assert new.exists()
    assert middle.exists()
    assert not old.exists()
    assert not leftover.exists()
    set_limit(tmp_path, 1.0 / GIGABYTE)
    evict(tmp_path, keep=new)
    assert [one.path for one in stored(tmp_path)] == [new]


def test_an_entry_that_somebody_builds_is_left_alone(tmp_path: Path) -> None:
    held, free = put(tmp_path, 1), put(tmp_path, 2)
    with FileLock(tmp_path / f"{held.name}.lock"):
        went, left = remove(tmp_path, stored(tmp_path))
    assert [one.path for one in went] == [free]
    assert [one.path for one in left] == [held]
    assert held.exists()
    arrays, _ = ArrayStore(tmp_path).get_or_build("panel", {"number": 2}, lambda: ({"a": np.ones(3)}, {}))
    assert arrays["a"].tolist() == [1.0, 1.0, 1.0]


def test_a_build_that_fills_the_store_does_not_lose_its_own_ground(tmp_path: Path) -> None:
    set_limit(tmp_path, 0.5 * LARGE / GIGABYTE)
    store = ArrayStore(tmp_path)

    def outer() -> tuple[dict[str, np.ndarray], dict[str, object]]:
        inner, _ = store.get_or_build("panel", {"inner": 1}, lambda: ({"a": np.ones(LARGE // 8)}, {}))
        return {"b": inner["a"] + 1.0}, {}

    arrays, _ = store.get_or_build("signal", {"outer": 1}, outer)
    assert float(arrays["b"].sum()) == 2.0 * (LARGE // 8)


def test_who_has_an_entry_open_keeps_it(tmp_path: Path) -> None:
    arrays, _ = ArrayStore(tmp_path).get_or_build("panel", {}, lambda: ({"a": np.arange(LARGE // 8)}, {}))
    remove(tmp_path, stored(tmp_path))
    assert stored(tmp_path) == ()
    assert int(arrays["a"][-1]) == LARGE // 8 - 1


@pytest.mark.parametrize("text", ["", "{}", '{"gigabytes": "20"}', '{"gigabytes": 0}', '{"gigabytes": true}', "[1]"])
def test_a_limit_that_is_none_is_refused_with_its_remedy(tmp_path: Path, text: str) -> None:
    assert limit_bytes(tmp_path) == DEFAULT_LIMIT_GB * GIGABYTE
    (tmp_path / "limit.json").write_text(text)
    with pytest.raises(StoreError, match="limit"):
        limit_bytes(tmp_path)


EVICTING = """
import sys
from pathlib import Path
import numpy as np
from engines.store import ArrayStore
root, size = Path(sys.argv[1]), int(sys.argv[3])
for number in range(int(sys.argv[2]), 10**6):
    arrays, _ = ArrayStore(root).get_or_build("panel", {"n": number % 7}, lambda: ({"a": np.full(size, number % 7)}, {}))
    assert float(arrays["a"][-1]) == number % 7
    print(number, flush=True)
"""


def test_processes_that_build_evict_and_are_killed_leave_a_store_that_serves(tmp_path: Path) -> None:
    set_limit(tmp_path, 3.5 * LARGE / GIGABYTE)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", EVICTING, str(tmp_path), str(start), str(LARGE // 8)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
        )
        for start in (0, 3)
    ]
    for worker in workers:
        assert worker.stdout is not None
        for _ in range(25):
            assert worker.stdout.readline()
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    for number in range(7):
        arrays, _ = ArrayStore(tmp_path, thorough=True).get_or_build(
            "panel", {"n": number}, lambda number=number: ({"a": np.full(LARGE // 8, number)}, {})
        )
        assert float(arrays["a"][-1]) == number
    whole = [one for one in stored(tmp_path) if one.state == "whole"]
    assert sum(one.size_bytes for one in whole) <= 3.5 * LARGE
    assert not [one for one in stored(tmp_path) if one.state == "damaged"]


def test_the_command_lists_checks_and_clears(tmp_path: Path) -> None:
    entry = put(tmp_path / "runs" / "cache", 1)

    def typed(*options: str) -> tuple[int, dict[str, object]]:
        command = [sys.executable, "-m", "reports.desk.cli", "cache", *options, "--json", "--workspace", str(tmp_path)]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout)

    status, found = typed("--limit", "3")
    assert (status, found["limit_bytes"]) == (0, 3 * GIGABYTE)
    assert typed("--verify") == (0, {"schema": 1, "hashed": 1, "damaged": {}})
    (entry / "a.npy").write_bytes(b"")
    assert typed("--verify") == (7, {"schema": 1, "hashed": 1, "damaged": {entry.name: ["a.npy"]}})
    assert typed("--clear", "panel", "--older-than", "1")[1]["cleared"] == []
    assert typed("--clear", "nothing")[0] == 4
    assert typed("--limit", "0")[0] == 4
    assert typed("--clear", "all")[1]["cleared"] == [entry.name]
    assert not entry.exists()
