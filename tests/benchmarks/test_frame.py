"""The benchmarks' frame: what a bar means, that disagreement and absence stop a measurement, and the json that comes out."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.frame import (
    SIZES,
    Bar,
    DisagreementError,
    MissingPeerError,
    Row,
    Run,
    Timing,
    alternate,
    must_agree,
    peer_module,
    timed_row,
    with_peer,
)

REPOSITORY = Path(__file__).resolve().parents[2]
ABSENT = "a_peer_that_nobody_has"


def run(tmp_path: Path, *, allow_missing: bool = False) -> Run:
    return Run(SIZES["small"], tmp_path, allow_missing=allow_missing)


@pytest.mark.parametrize(
    ("bar", "ratio", "met"),
    [(Bar(">=", 40), 2.0, False), (Bar(">=", 2), 2.0, True), (Bar("<=", 0.5), 0.5, True), (Bar("<=", 0.4), 0.5, False)],
)
def test_a_ratio_is_worded_as_its_bar(tmp_path: Path, bar: Bar, ratio: float, met: bool) -> None:
    row = timed_row("work", run(tmp_path), "peer", Timing((1.0, 1.0, 9.0), (2.0, 2.0, 18.0)), bar=bar)
    assert (row.ours_s, row.peer_s, row.ratio, row.met, row.spread) == (1.0, 2.0, ratio, met, 0.0)


def test_both_sides_are_timed_in_turn() -> None:
    calls: list[str] = []
    timing = alternate(lambda: calls.append("ours"), lambda: calls.append("peer"), rounds=4)
    assert calls == ["ours", "peer"] * 5
    assert len(timing.ours_s) == len(timing.peer_s) == 4


def test_numbers_that_disagree_stop_the_benchmark() -> None:
    assert must_agree("same", [1.0, math.nan], [1.0, math.nan], 0.0) == 0.0
    for theirs in ([1.0, 2.0], [1.0 + 1e-6, math.nan], [1.0]):
        with pytest.raises(DisagreementError):
            must_agree("other", [1.0, math.nan], theirs, 1e-9)


def test_an_absent_peer_is_an_error_and_when_allowed_a_bar_not_met(tmp_path: Path) -> None:
    def measured() -> list[Row]:
        peer_module(ABSENT)
        return []

    with pytest.raises(MissingPeerError, match=ABSENT):
        with_peer(run(tmp_path), "work", ABSENT, Bar(">=", 2), measured)
    (row,) = with_peer(run(tmp_path, allow_missing=True), "work", ABSENT, Bar(">=", 2), measured)
    assert (row.met, row.bar, row.ours_s, row.peer_s, row.ratio) == (False, 2, None, None, None)


def test_the_command_writes_rows_versions_and_machine(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "benchmarks", "ic", "--size", "small", "--allow-missing", "--json", str(out)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["errors"] == [], done.stderr
    row = report["rows"][0]
    assert {"work", "size", "threads", "peer", "ours_s", "peer_s", "ratio", "spread", "bar", "met"} <= row.keys()
    assert row["peer"] == "np.sort of both matrices"
    assert row["relation"] == "<="
    assert min(row["ratio"], row["ours_s"], row["peer_s"]) > 0.0
    assert report["versions"]["numpy"] == np.__version__
    assert report["machine"]["cores"] >= 1
