"""A price file that is read in batches gives what it gives in one piece, and a build that is killed leaves nothing half built."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines import panel_build, reading
from engines.axes import read_axes
from engines.candidate import NUMERIC_COLUMNS
from engines.errors import DataError
from engines.panel import load_panel
from engines.panel_build import build_panel
from engines.signatures import SETTLED_NS
from engines.store import ArrayStore, read_note
from tests.engines.price_files import AS_OF, CONFIG, candidate_over, prices

CELLS = st.sampled_from([1.0, 2.0, 2.5, 0.0, -1.0, float("nan"), float("inf")])


@st.composite
def dirty_files(draw: st.DrawFn) -> pd.DataFrame:
    """Keys that repeat, with the same values and with others, in any order; some without a date or a symbol, some after as_of."""
    day = st.sampled_from(["2020-01-01", "2020-01-02", "2020-01-03", "2030-01-01", "nonsense", ""])
    keys = draw(st.lists(st.tuples(day, st.sampled_from(["A", "B", "C", ""])), max_size=20))
    keys.append(("2020-01-02", "B"))
    cells = {name: draw(st.lists(CELLS, min_size=len(keys), max_size=len(keys))) for name in NUMERIC_COLUMNS}
    return pd.DataFrame({"date": [day for day, _ in keys], "symbol": [name for _, name in keys], **cells})


def built(path: Path, batch_rows: int) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
    """The panel of a parquet file that is read so many rows at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BATCH_ROWS", batch_rows)
        return build_panel(
            candidate_over(path.parent, path=path.name), lambda _name, shape, kind: np.empty(shape, kind)
        )


@settings(max_examples=40)
@given(frame=dirty_files(), batch_rows=st.integers(1, 7))
def test_batches_change_nothing(tmp_path: Path, frame: pd.DataFrame, batch_rows: int) -> None:
    path = tmp_path / "prices.parquet"
    frame.to_parquet(path, index=False)
    (whole, meta), (arrays, others_meta) = built(path, 1000), built(path, batch_rows)
    assert others_meta == meta
    assert arrays.keys() == whole.keys()
    for name, array in whole.items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].tobytes() == np.ascontiguousarray(array).tobytes()


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 1000])
def test_duplicates_and_disorder_across_a_boundary_are_counted(tmp_path: Path, batch_rows: int) -> None:
    frame = prices(3, ("AAA", "BBB"))
    twin, other = frame.iloc[[0]], frame.iloc[[1]].assign(close=frame["low"][1])
    pd.concat([frame, twin, other]).to_parquet(tmp_path / "prices.parquet", index=False)
    arrays, meta = built(tmp_path / "prices.parquet", batch_rows)
    quality = meta["quality"]
    assert (quality["duplicate_exact"], quality["duplicate_conflicting"]) == (1, 1)
    assert quality["out_of_order"] == 1
    assert quality["n_rows"] == 8
    np.testing.assert_array_equal(arrays["close"][:, 0], frame["close"][:3])  # the first row of a key stands


@pytest.mark.parametrize("kind", ["csv", "csv.gz"])
def test_a_csv_of_many_blocks_is_the_same_as_its_parquet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    frame = prices(400, ("AAA", "BBB"))
    frame.to_parquet(tmp_path / "prices.parquet", index=False)
    frame.to_csv(tmp_path / f"prices.{kind}", index=False)
    monkeypatch.setattr(reading, "_CHUNK_BYTES", 256)
    batches = list(reading.read_batches(tmp_path / f"prices.{kind}", {n: n for n in frame.columns}, where="prices"))
    assert len(batches) > 5
    assert np.concatenate([batch.row_numbers for batch in batches]).tolist() == list(range(1, 801))
    columnar, _ = built(tmp_path / "prices.parquet", 1000)
    text, _ = built(tmp_path / f"prices.{kind}", 1000)
    for name in NUMERIC_COLUMNS:
        np.testing.assert_array_equal(text[name], columnar[name])


def test_ragged_rows_keep_their_numbers_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = prices(200, ("AAA", "BBB"))
    lines = frame.to_csv(index=False).splitlines()
    for row in (3, 150, 399, 400):
        lines[row] += ",more"
    (tmp_path / "prices.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    whole = built(tmp_path / "prices.csv", 1000)[1]
    monkeypatch.setattr(reading, "_CHUNK_BYTES", 256)
    assert built(tmp_path / "prices.csv", 1000)[1] == whole
    assert whole["quality"]["ragged"] == 4
    assert [place["row"] for place in whole["quality"]["examples"]["ragged"]] == [3, 150, 399, 400]


@pytest.mark.parametrize("grown", [prices(6), prices(5, ("AAA", "BBB", "CCC", "DDD"))], ids=["a date", "a symbol"])
def test_a_key_that_appears_between_the_two_readings_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grown: pd.DataFrame
) -> None:
    prices().to_parquet(tmp_path / "prices.parquet", index=False)

    def read_then_grow(*arguments: Any) -> Any:
        axes = read_axes(*arguments)
        grown.to_parquet(tmp_path / "prices.parquet", index=False)
        return axes

    monkeypatch.setattr(panel_build, "read_axes", read_then_grow)
    with pytest.raises(DataError, match="changed while it was read"):
        load_panel(candidate_over(tmp_path, path="prices.parquet"), ArrayStore(tmp_path / "cache"))
    assert not [path for path in (tmp_path / "cache").iterdir() if path.name.startswith("panel-") and path.is_dir()]


KILLED = """
import json, os, signal, sys
from pathlib import Path
from engines import layout
from engines.candidate import Candidate
from engines.panel import load_panel
from engines.store import ArrayStore
moment, real = sys.argv[3], getattr(layout.PanelLayout, sys.argv[3])
def dying(self, *arguments):
    real(self, *arguments)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(layout.PanelLayout, moment, dying)
folder = Path(sys.argv[1])
load_panel(Candidate.from_config(json.loads(sys.argv[2]), folder), ArrayStore(folder / "cache"))
"""


@pytest.mark.parametrize("moment", ["__init__", "add", "finish"])
def test_a_kill_while_the_file_goes_by_leaves_nothing_that_is_used(tmp_path: Path, moment: str) -> None:
    frame = prices()
    frame.to_parquet(tmp_path / "prices.parquet", index=False)
    config = json.dumps({**CONFIG, "data": {**CONFIG["data"], "path": "prices.parquet"}})
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), config, moment], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    cache = tmp_path / "cache"
    assert [path for path in cache.iterdir() if ".partial-" in path.name]
    panel, _ = load_panel(candidate_over(tmp_path, path="prices.parquet"), ArrayStore(cache))
    np.testing.assert_array_equal(panel.close[:, 0], frame["close"][:5])
    assert not [path for path in cache.iterdir() if ".partial-" in path.name]


def flip(path: Path, *, keeping_time: bool) -> None:
    """Change the last byte in place: size, inode and, if wanted, the time of modification stay."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    if keeping_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("thorough", [False, True])
@pytest.mark.parametrize("keeping_time", [False, True])
def test_a_flipped_byte_of_a_panel_is_found_before_it_is_used(
    tmp_path: Path, thorough: bool, keeping_time: bool
) -> None:
    prices().to_parquet(tmp_path / "prices.parquet", index=False)
    candidate, cache = candidate_over(tmp_path, path="prices.parquet"), tmp_path / "cache"
    load_panel(candidate, ArrayStore(cache))
    time.sleep(2 * SETTLED_NS / 1e9)
    honest = load_panel(candidate, ArrayStore(cache))[0].close.copy()
    assert "close" in read_note(next(cache.glob("panel-*/")))
    assert not list(cache.glob("*.damaged-*"))
    flip(next(cache.glob("panel-*/close.npy")), keeping_time=keeping_time)
    panel, _ = load_panel(candidate, ArrayStore(cache, thorough=thorough))
    np.testing.assert_array_equal(panel.close, honest)
    assert list(cache.glob("panel-*.damaged-1"))


def test_as_of_is_the_last_day_of_the_panel_whatever_the_batches(tmp_path: Path) -> None:
    frame = prices(4, ("AAA", "BBB"))
    late = prices(1, ("ZZZ",)).assign(date="2031-01-01")
    pd.concat([late, frame]).to_parquet(tmp_path / "prices.parquet", index=False)
    arrays, meta = built(tmp_path / "prices.parquet", 1)
    assert arrays["symbols"].tolist() == ["AAA", "BBB"]
    assert str(arrays["dates"][-1]) <= str(AS_OF)
    assert meta["quality"]["after_as_of"] == 1
