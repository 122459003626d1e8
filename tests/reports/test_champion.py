"""What runs already, as the record and stagegate.toml name it: found, compared, absent, or a fault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.errors import DataError
from engines.walk_forward import OutOfSample
from reports.criteria.codetree import CodeTree
from reports.criteria.freeze import Freeze, Places, drift, parse_freeze
from reports.criteria.live_book import read_live_book
from reports.deployment.champion import Champions, champion_row, champions
from reports.record.durable import dump_json
from reports.record.registry import Registry
from tests.reports.frozen_candidate import CODE, NO_HISTORY, Frozen, lay_out
from tests.reports.promoted_tag import write_csv
from tests.reports.recorded_tag import FROZEN, HASH, new_workspace, out_of_sample, record_stage, stored_series

SERIES = out_of_sample(600, seed=3)
OTHER = out_of_sample(600, seed=4)


@dataclass(frozen=True, slots=True)
class Desk:
    """A candidate before S4, in a workspace where other tags may have been promoted."""

    frozen: Frozen

    @property
    def places(self) -> Places:
        return self.frozen.places

    def promote(self, tag: str, series: OutOfSample, **changes: Any) -> None:
        files = {"freeze.json": FROZEN, **stored_series(series)}
        for stage in ("s3", "s4"):
            record_stage(self.places.workspace, tag, stage, **{"family": "frozen", "files": files, **changes})

    def revoke(self, tag: str) -> None:
        columns = {"stage": "s4", "run_id": "r", "candidate": "c", "family": "frozen", "owner": "o", "official": "true"}
        Registry(self.places.workspace.root).append("REVOKED", {"decision_tag": tag, "detail": "withdrawn", **columns})

    def freeze(self, history: Mapping[str, Any] | None = None) -> Freeze:
        """The candidate frozen now, at the registry's last row."""
        rows = Registry(self.places.workspace.root).rows()
        past = {**NO_HISTORY, "registry_seq": len(rows), **(history or {})}
        return parse_freeze(dump_json(self.frozen.again().record(history=past)), "the freeze")

    def compare(self, series: OutOfSample = SERIES) -> Champions:
        return champions(self.frozen.again().places, self.freeze(), series)

    def declare_live_book(self, table: Mapping[str, np.ndarray]) -> Path:
        settings = self.places.workspace.settings_path
        settings.write_text(settings.read_text() + '[live_book]\nreturns = "book.csv"\n', encoding="utf-8")
        return write_csv(self.places.workspace.root / "book.csv", table)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    frozen = lay_out(tmp_path)
    new_workspace(frozen.places.workspace.root)
    return Desk(frozen.again())


def book(series: OutOfSample = OTHER) -> dict[str, np.ndarray]:
    return {"date": series.dates.astype(str), "return": series.net_returns(1.0)}


# ------------------------------------------------------------------------------------------------ the champion


def test_nothing_is_promoted(desk: Desk) -> None:
    desk.promote("elsewhere", OTHER, family="another")
    found = desk.compare()
    assert (found.rivals, found.faults, found.allowance, found.n_days) == ((), (), 0.0, 0)
    assert found.note == (
        "no champion: nothing of family frozen is promoted as of registry row 4; no live book is declared"
    )


def test_the_last_promoted_of_the_family_is_the_champion(desk: Desk) -> None:
    desk.promote("first", SERIES)
    desk.promote("second", OTHER)
    found = desk.compare()
    assert [name for name, _ in found.rivals] == ["champion second"]
    assert found.n_days == 600
    assert found.allowance < 1
    assert "Sharpe" in found.note


def test_a_revoked_champion_gives_way_to_the_one_before(desk: Desk) -> None:
    desk.promote("first", SERIES)
    desk.promote("second", OTHER)
    desk.revoke("second")
    found = desk.compare()
    assert [name for name, _ in found.rivals] == ["champion first"]
    assert found.allowance == pytest.approx(2.0), "the same series again"


@pytest.mark.parametrize("changes", [{"official": False}, {"verdict": "FAIL"}])
def test_what_did_not_pass_officially_is_no_champion(desk: Desk, changes: dict[str, Any]) -> None:
    desk.promote("other", OTHER, **changes)
    assert "no champion" in desk.compare().note


def test_only_rows_before_the_frozen_position_count(desk: Desk) -> None:
    freeze = desk.freeze()
    desk.promote("later", OTHER)
    assert "no champion" in champions(desk.places, freeze, SERIES).note
    assert champion_row(Registry(desk.places.workspace.root).rows(), "frozen", "later") is None, "not its own champion"


@pytest.mark.parametrize("damaged", ["returns.csv", "freeze.json", "MANIFEST", "gone"])
def test_a_champion_whose_pack_does_not_hold_is_not_passed_over(desk: Desk, damaged: str) -> None:
    desk.promote("first", OTHER)
    (pack,) = desk.places.workspace.gate_results.glob("production_gates_*")
    if damaged == "gone":
        (pack / "returns.csv").unlink()
    else:
        (pack / damaged).write_bytes((pack / damaged).read_bytes() + b" ")
    found = desk.compare()
    assert found.rivals == ()
    assert len(found.faults) == 1
    assert found.faults[0].startswith("champion: ")


def test_a_champion_of_another_time_is_not_comparable(desk: Desk) -> None:
    desk.promote("first", replace(OTHER, dates=OTHER.dates - 700))
    assert "common days, 126 are needed" in desk.compare().faults[0]


# ------------------------------------------------------------------------------------------------ the live book


def test_the_live_book_is_frozen_and_compared(desk: Desk) -> None:
    desk.declare_live_book(book())
    freeze = desk.freeze()
    assert freeze.record["live_book"]["path"] == "workspace:book.csv"
    found = champions(desk.frozen.again().places, freeze, SERIES)
    assert [name for name, _ in found.rivals] == ["live book"]
    assert found.note.endswith("is promoted as of registry row 0")


def test_champion_and_live_book_are_both_asked(desk: Desk) -> None:
    desk.promote("first", OTHER)
    desk.declare_live_book(book(SERIES))
    found = desk.compare()
    assert [name for name, _ in found.rivals] == ["champion first", "live book"]
    assert found.allowance == pytest.approx(2.0), "different from the champion, and the live book over again"


def test_a_live_book_that_changed_drifts_and_is_not_compared(desk: Desk) -> None:
    path = desk.declare_live_book(book())
    freeze, places = desk.freeze(), desk.frozen.again().places
    assert drift(freeze, places, CODE, "4" * 64) == ()
    path.write_text(path.read_text() + "2018-02-08,0.001\n", encoding="utf-8")
    assert drift(freeze, places, CODE, "4" * 64)[0].startswith("live book changed since the freeze")
    assert "not the one that was frozen" in champions(places, freeze, SERIES).faults[0]


def test_a_live_book_in_percent_is_not_compared(desk: Desk) -> None:
    table = book()
    desk.declare_live_book({**table, "return": np.clip(100 * table["return"], -0.9, 0.9)})
    assert "typically" in desk.compare().faults[0]


@pytest.mark.parametrize(
    ("row", "value"),
    [("2018-02-07,0.01", "2018-02-07,nan"), ("2018-02-07,0.01", "2018-02-07,-1.5"), ("2018-02-07,0.01", "2018-02-06,0.01"), ("date,return", "day,return")],
)  # fmt: skip
def test_a_file_that_is_no_book_stops_the_freeze(desk: Desk, row: str, value: str) -> None:
    path = desk.declare_live_book({"date": np.array(["2018-02-06", "2018-02-07"]), "return": np.array([0.0, 0.01])})
    assert read_live_book(path).returns.tolist() == [0.0, 0.01]
    path.write_text(path.read_text().replace(row, value), encoding="utf-8")
    with pytest.raises(DataError):
        desk.freeze()
    path.unlink()
    with pytest.raises(DataError, match=r"book\.csv"):
        desk.freeze()


def test_without_one_the_freeze_says_so(desk: Desk) -> None:
    assert desk.freeze().record["live_book"] is None
    assert isinstance(CODE, CodeTree)
    assert HASH
