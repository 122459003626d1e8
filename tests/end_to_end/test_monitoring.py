"""A book that was really promoted, monitored as a desk would: both spellings, in bounds and decayed, and nothing of the record is touched."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.end_to_end.conftest import TAG, Road
from tests.end_to_end.desk import Desk

N_DAYS = 130
DAYS = np.busday_offset("2016-09-08", np.arange(N_DAYS)).astype(str).tolist()


@pytest.fixture(scope="module")
def promoted(road: Road) -> Desk:
    return road.after("s4")


def live_file(promoted: Desk, path: Path, lost_bps: float) -> Path:
    """The last days of the out-of-sample record over again, each `lost_bps` poorer."""
    with (promoted.pack("s3") / "returns.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[-N_DAYS:]
    lines = ["date,return,cost,turnover,market"]
    for day, row in zip(DAYS, rows, strict=True):
        cost = sum(float(row[name]) for name in ("spread_cost", "impact_cost", "borrow_cost"))
        net = float(row["gross"]) - cost - 1e-4 * lost_bps
        lines.append(f"{day},{net!r},{cost!r},{row['turnover']},{row['market']}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_promoted_book_is_monitored_in_both_spellings(promoted: Desk, tmp_path: Path) -> None:
    before = promoted.listing()
    as_of = ("--as-of", DAYS[-1])
    kept, lost = (live_file(promoted, tmp_path / f"{bps}.csv", bps) for bps in (0, 60))
    quiet = promoted.stagegate("monitor", TAG, "--live", str(kept), *as_of, "--json")
    assert quiet.status == 0, quiet.output
    assert json.loads(quiet.output)["state"] == "in bounds"
    fired = promoted.stagegate("monitor", TAG, "--live", str(lost), *as_of)
    spelled = promoted.pytest("gates/s4", "--live", str(lost), "--decision-tag", TAG, *as_of)
    assert (fired.status, spelled.status) == (11, 11), fired.output
    assert fired.output == spelled.output
    assert "ROLL BACK  trigger  lost edge (hard)" in fired.output
    assert promoted.listing() == before


def test_a_tag_that_is_not_promoted_yet_is_refused(road: Road, tmp_path: Path) -> None:
    desk = road.after("s3")
    ended = desk.stagegate("monitor", TAG, "--live", str(tmp_path / "none.csv"))
    assert ended.status == 4
    assert f"tag {TAG} has no official PASS of s4: nothing of it is deployed" in ended.output
