"""A promoted book against what it promised: in bounds, watch, roll back, incomplete; and every file that is not what it must be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engines.errors import DataError, StageGateError
from fixtures.market import MarketSpec, make_market
from reports.deployment.live import LiveFiles
from reports.deployment.monitor import Monitoring, monitor
from reports.deployment.monitor_text import monitoring_lines, prometheus_text
from reports.deployment.templates import ROLLBACK, WATCHLIST
from reports.desk.cli import main
from reports.record.clock import utc_now
from reports.record.errors import RecordError, RequestRefused
from reports.record.registry import Registry
from tests.reports.frozen_candidate import TAG
from tests.reports.promoted_tag import Promoted, live_days, live_table, promote, write_csv
from tests.reports.recorded_tag import record_stage

AS_OF = date(2018, 9, 6)
TODAY = date(2026, 1, 1)
Table = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> Promoted:
    """One promoted tag; monitoring writes nothing, so all tests share it."""
    return promote(tmp_path_factory.mktemp("promoted"))


@dataclass(frozen=True, slots=True)
class Desk:
    """A promoted tag and a folder for live files."""

    promoted: Promoted
    folder: Path

    def read(self, table: Table, as_of: date = AS_OF, **files: Path) -> Monitoring:
        live = LiveFiles(write_csv(self.folder / "returns.csv", table), **files)
        return monitor(self.promoted.places, TAG, live, as_of, TODAY)


@pytest.fixture
def desk(promoted: Promoted, tmp_path: Path) -> Desk:
    return Desk(promoted, tmp_path)


def states(found: Monitoring, kind: str) -> dict[str, str]:
    return {finding.name: finding.state for finding in found.findings if finding.kind == kind}


# ------------------------------------------------------------------------------------------------ states


def test_a_book_that_goes_on_as_it_was_is_in_bounds(desk: Desk) -> None:
    found = desk.read(live_table())
    assert (found.state, found.exit_status, found.n_days) == ("in bounds", 0, 150)
    assert set(states(found, "trigger").values()) == {"in bounds"}
    assert states(found, "watch")["rank IC"] == "not read"
    assert (found.first_day, found.registry_seq) == ("2018-02-08", desk.promoted.s4.seq)


def test_a_turned_edge_rolls_back_and_says_since_when_and_what_to_do(desk: Desk) -> None:
    found = desk.read(live_table(edge=-1.5))
    assert (found.state, found.exit_status) == ("roll back", 11)
    fired = next(finding for finding in found.findings if finding.name == "lost edge")
    assert (fired.state, fired.severity, fired.who) == ("roll back", "hard", "flatten the book, call otto")
    assert "2018-02-08" < fired.first_breach <= found.last_day
    line = next(line for line in monitoring_lines(found) if "lost edge" in line)
    assert line.startswith("ROLL BACK")
    assert "flatten the book, call otto" in line


def test_a_trigger_that_fired_stays_fired(desk: Desk) -> None:
    table = live_table()
    table["return"][20] = -0.2
    found = desk.read(table)
    assert states(found, "trigger")["crash day"] == "roll back"
    assert next(f for f in found.findings if f.name == "crash day").first_breach == str(live_days(21)[-1])


def test_dearer_trades_are_watched_from_the_day_they_are(desk: Desk) -> None:
    table = live_table()
    table["cost"] = np.where(np.arange(150) < 80, 1.0, 2.0) * table["cost"]
    found = desk.read(table)
    assert (found.state, found.exit_status) == ("watch", 10)
    assert [name for name, state in states(found, "watch").items() if state == "watch"] == ["cost"]
    table["cost"] = np.where(np.arange(150) < 80, 2.0, 1.0) * live_table()["cost"]
    assert desk.read(table).exit_status == 0, "a watched metric that came back is in order again"


def test_a_soft_trigger_watches(tmp_path: Path) -> None:
    softened = promote(tmp_path / "p", {ROLLBACK: ('severity = "hard"', 'severity = "soft"')})
    table = live_table()
    table["return"][20] = -0.2
    assert Desk(softened, tmp_path).read(table).exit_status == 10


def test_a_window_that_is_not_full_waits(desk: Desk) -> None:
    found = desk.read({name: column[:100] for name, column in live_table().items()}, as_of=date(2018, 6, 28))
    assert states(found, "trigger")["low Sharpe"] == "waiting"
    assert next(f for f in found.findings if f.name == "low Sharpe").note == "100 of 126 days"
    assert found.exit_status == 0


def test_a_trigger_whose_input_is_not_there_is_incomplete(tmp_path: Path) -> None:
    """Not in bounds and not a watch: what could not be read may be a rollback. A hard trigger that fired weighs more."""
    costly = 'metric = "daily_loss"', 'metric = "cost_ratio"\nwindow_days = 63'
    book = Desk(promote(tmp_path / "p", {ROLLBACK: costly}), tmp_path)
    table = {name: column for name, column in live_table().items() if name in ("date", "return")}
    found = book.read(table)
    assert (found.state, found.exit_status) == ("incomplete", 2)
    assert "needs column cost of --live" in "\n".join(monitoring_lines(found))
    table["return"] = table["return"] - 0.004
    assert book.read(table).exit_status == 11


def test_a_feed_that_stopped_is_incomplete(desk: Desk) -> None:
    found = desk.read(live_table(), as_of=date(2018, 9, 20))
    assert (found.exit_status, states(found, "feed")) == (2, {"live returns": "incomplete"})


def test_what_a_person_reads_decides_nothing_here(tmp_path: Path) -> None:
    by_hand = promote(tmp_path / "p", {WATCHLIST: ('metric = "cost_ratio"\nwindow_days = 63\n', "")})
    found = Desk(by_hand, tmp_path).read(live_table())
    assert (states(found, "watch")["cost"], found.exit_status) == ("by hand", 0)


def test_a_long_only_book_is_judged_over_the_market(tmp_path: Path) -> None:
    desk = Desk(promote(tmp_path / "p", long_only=True), tmp_path)
    table = live_table()
    table["return"] = table["return"] + table["market"]
    assert len(desk.read(table).findings) == 13
    del table["market"]
    with pytest.raises(DataError, match="judged by its return over the market"):
        desk.read(table)


# ------------------------------------------------------------------------------------------------ positions and data


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Sixty names from before the research data end to the last live day."""
    return make_market(MarketSpec(seed=3, n_days=250, n_names=60, first_date=date(2017, 9, 21))).prices


@pytest.fixture
def prices(market: pd.DataFrame, tmp_path: Path) -> Path:
    market.to_csv(tmp_path / "prices.csv", index=False)
    return tmp_path / "prices.csv"


def positions(market: pd.DataFrame, n_days: int = 150) -> pd.DataFrame:
    """A book of every name, half long and half short by the return that follows: a signal that knows."""
    days = pd.to_datetime(live_days(n_days))
    close = market.assign(date=pd.to_datetime(market["date"])).pivot(index="date", columns="symbol", values="close")
    ahead = (close.shift(-22) / close - 1).loc[days].stack(future_stack=True).rename("signal").reset_index()
    names = len(close.columns)
    ahead["weight"] = np.where(ahead["symbol"].rank(method="dense") % 2, 2.0, -2.0) / names
    return ahead


def test_positions_and_data_bring_exposures_ic_and_the_contract(desk: Desk, market: pd.DataFrame, prices: Path) -> None:
    positions(market).to_parquet(desk.folder / "positions.parquet")
    found = desk.read(live_table(), positions=desk.folder / "positions.parquet", data=prices)
    values = {finding.name: finding.value for finding in found.findings}
    assert values["gross exposure"] == pytest.approx(2.0, abs=0.1)
    assert values["net exposure"] == pytest.approx(0.0, abs=0.1)
    assert values["rank IC"] > 0.5
    assert states(found, "data") == {"s1.dq.numeric_integrity": "in bounds"}
    assert found.exit_status == 0, monitoring_lines(found)


def test_new_data_that_break_their_contract_are_watched(desk: Desk, market: pd.DataFrame) -> None:
    broken = market.astype({"close": object})
    broken.loc[broken.index[-500:-440], "close"] = "oops"
    broken.to_csv(desk.folder / "prices.csv", index=False)
    found = desk.read(live_table(), data=desk.folder / "prices.csv")
    assert states(found, "data") == {"s1.dq.numeric_integrity": "watch"}
    assert (found.exit_status, found.findings[-1].value, found.findings[-1].who) == (10, 60.0, "olga")


def test_without_new_data_the_frozen_file_says_which_names_there_are(desk: Desk) -> None:
    before = listing(desk.promoted.workspace.root)
    table = {"date": live_days(150).astype(str), "symbol": np.full(150, "A"), "weight": np.full(150, 2.0)}
    path = write_csv(desk.folder / "positions.csv", table)
    found = desk.read(live_table(), positions=path)
    assert (states(found, "watch")["gross exposure"], states(found, "watch")["net exposure"]) == ("in bounds", "watch")
    assert states(found, "watch")["rank IC"] == "not read"
    write_csv(path, {**table, "symbol": np.full(150, "B")})
    with pytest.raises(DataError, match="1 of 1 names are unknown to the market data: B"):
        desk.read(live_table(), positions=path)
    assert listing(desk.promoted.workspace.root) == before


Damage = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (
            lambda book: book.assign(symbol=book["symbol"].replace("SYN07", "SYN77")),
            "unknown to the market data: SYN77",
        ),
        (lambda book: pd.concat([book, book.tail(1)]), "stands there twice on one date"),
        (lambda book: book.assign(weight=100 * book["weight"]), "the gross exposure is typically"),
        (lambda book: book.assign(weight=book["weight"].where(book.index != 4)), "weight is"),
        (
            lambda book: book.assign(date=book["date"] + pd.Timedelta(days=200)),
            "positions of dates without a live return",
        ),
        (lambda book: book.drop(columns="weight"), "no column 'weight'"),
        (lambda book: book.head(0), "holds no row"),
    ],
)
def test_positions_that_are_none_are_refused(
    desk: Desk, market: pd.DataFrame, prices: Path, damage: Damage, fault: str
) -> None:
    damage(positions(market)).to_parquet(desk.folder / "positions.parquet")
    with pytest.raises(DataError, match=fault):
        desk.read(live_table(), positions=desk.folder / "positions.parquet", data=prices)


def test_the_markets_own_calendar_is_the_measure(desk: Desk, market: pd.DataFrame, prices: Path) -> None:
    table = {name: np.delete(column, 40) for name, column in live_table().items()}
    with pytest.raises(DataError, match="lacks dates on which the market traded: 2018-04-05"):
        desk.read(table, data=prices)
    market[market["date"] != np.datetime64("2018-04-05")].to_csv(prices, index=False)
    with pytest.raises(DataError, match="has dates on which the market did not trade: 2018-04-05"):
        desk.read(live_table(), data=prices)


# ------------------------------------------------------------------------------------------------ live returns that are none


def without(rows: slice | list[int]) -> Callable[[Table], Table]:
    return lambda table: {name: np.delete(column, np.r_[rows]) for name, column in table.items()}


def with_column(name: str, change: Callable[[np.ndarray], Any]) -> Callable[[Table], Table]:
    return lambda table: {**table, name: np.asarray(change(table[name].copy()))}


def put(row: int, value: Any) -> Callable[[np.ndarray], np.ndarray]:
    def change(column: np.ndarray) -> np.ndarray:
        changed = column.astype(object)
        changed[row] = value
        return changed

    return change


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (without(slice(30, 45)), "nothing between 2018-03-21 and 2018-04-12: 22 days"),
        (without(list(range(0, 150, 5))), "0.80 times as many as the market has"),
        (with_column("date", put(11, "2018-02-24")), "weekdays on which the market never traded: 2018-02-24"),
        (with_column("date", put(10, "2018-02-21")), "2018-02-21 stands there twice"),
        (with_column("date", put(10, "2018-02-12")), "not sorted"),
        (with_column("date", put(149, "2027-01-05")), "after 2018-09-06"),
        (with_column("date", put(0, "2018-02-07")), "no day can be both"),
        (with_column("date", put(5, "soon")), "a date is missing or unreadable"),
        (with_column("date", put(5, "")), r"unreadable \[.*returns.csv, row 6\]"),
        (with_column("return", put(5, "nan")), "return is 'nan', expected a finite number"),
        (with_column("return", put(5, "inf")), "return is 'inf'"),
        (with_column("return", put(5, "1,5%")), "another number of cells"),
        (with_column("return", put(5, "up")), "return is 'up'"),
        (with_column("return", put(5, "-1.0")), "no day loses more than all"),
        (with_column("return", lambda column: 100 * column), "column return is typically 88"),
        (with_column("return", lambda column: column / 100), "column return is typically 0.0"),
        (with_column("market", lambda column: 100 * column), "column market is typically"),
        (with_column("cost", lambda column: 1e4 * column), "column cost is typically"),
        (with_column("cost", put(5, -1e-4)), "cost is -0.0001, expected at least 0"),
        (with_column("turnover", lambda column: 100 * column), "column turnover is typically"),
        (lambda table: {name: column for name, column in table.items() if name != "return"}, "no column 'return'"),
        (lambda table: {name: column[:0] for name, column in table.items()}, "holds no row"),
    ],
)
def test_live_returns_that_are_none_are_refused(desk: Desk, damage: Callable[[Table], Table], fault: str) -> None:
    before = listing(desk.promoted.workspace.root)
    with pytest.raises(DataError, match=fault):
        desk.read(damage(live_table()))
    assert listing(desk.promoted.workspace.root) == before


def test_the_same_returns_undamaged_are_read(desk: Desk) -> None:
    assert desk.read(live_table()).n_days == 150


def listing(root: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------------------ a record that does not carry it


def refused(
    root: Path, change: Callable[[Promoted], None], kind: type[StageGateError], fault: str, folder: Path
) -> None:
    promoted = promote(root)
    change(promoted)
    with pytest.raises(kind, match=fault):
        Desk(promoted, folder).read(live_table())


def touch(promoted: Promoted, stage: str, name: str) -> None:
    row = promoted.s3 if stage == "s3" else promoted.s4
    path = (promoted.workspace.root / row["report"]).parent / name
    path.write_bytes(path.read_bytes() + b"\n")


@pytest.mark.parametrize(
    ("change", "kind", "fault"),
    [
        (lambda p: Registry(p.workspace.root).append("REVOKED", {"stage": "s4", "decision_tag": TAG, "run_id": "r", "detail": "wrong data", "candidate": "c", "family": "f", "owner": "o", "official": "true"}), RequestRefused, "was revoked in registry row 5: wrong data"),
        (lambda p: touch(p, "s3", "returns.csv"), RecordError, "returns.csv was changed"),
        (lambda p: touch(p, "s4", ROLLBACK), RecordError, "rollback_triggers.toml was changed"),
        (lambda p: p.workspace.registry.write_bytes(p.workspace.registry.read_bytes().replace(b"olga", b"oleg", 1)), RecordError, "the registry does not hold"),
        (lambda p: p.workspace.registry.write_bytes(b"\n".join(p.workspace.registry.read_bytes().split(b"\n")[:-2]) + b"\n"), RecordError, "contradicts the registry"),
    ],
    ids=["revoked", "s3 pack", "s4 pack", "edited row", "dropped row"],
)  # fmt: skip
def test_a_record_that_does_not_hold_is_refused(
    change: Callable[[Promoted], None], kind: type[StageGateError], fault: str, tmp_path: Path
) -> None:
    refused(tmp_path / "p", change, kind, fault, tmp_path)


def test_a_tag_that_is_not_promoted_is_refused(desk: Desk, tmp_path: Path) -> None:
    record_stage(desk.promoted.workspace, "halfway", "s3")
    live = LiveFiles(write_csv(tmp_path / "r.csv", live_table()))
    for tag, stage in (("halfway", "s4"), ("nobody", "s3")):
        with pytest.raises(RequestRefused, match=f"tag {tag} has no official PASS of {stage}"):
            monitor(desk.promoted.places, tag, live, AS_OF, TODAY)


# ------------------------------------------------------------------------------------------------ the command


def typed(desk: Desk, *words: str) -> int:
    place = ("--workspace", str(desk.promoted.workspace.root))
    return main(["monitor", TAG, "--live", str(desk.folder / "returns.csv"), "--as-of", "2018-09-06", *words, *place])


def test_the_command_answers_in_json_and_for_prometheus(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    write_csv(desk.folder / "returns.csv", live_table(edge=-1.5))
    textfile = desk.folder / "metrics" / "book.prom"
    assert typed(desk, "--json", "--textfile", str(textfile)) == 11
    answer = json.loads(capsys.readouterr().out)
    assert (answer["schema"], answer["state"], answer["exit_status"]) == (1, "roll back", 11)
    assert answer["files"]["returns"]["sha256"].startswith("sha256:")
    assert {finding["value"] for finding in answer["findings"] if finding["state"] == "not read"} == {None}
    text = textfile.read_text(encoding="utf-8")
    assert f'stagegate_monitor_state{{tag="{TAG}"}} 11.0' in text
    assert [path.name for path in textfile.parent.iterdir()] == ["book.prom"]


def test_the_textfile_is_what_prometheus_reads(desk: Desk) -> None:
    found = desk.read(live_table())
    families: dict[str, int] = {}
    for line in prometheus_text(found, utc_now()).decode().splitlines():
        if line.startswith("# TYPE"):
            _, _, name, kind = line.split()
            assert (kind, name in families) == ("gauge", False)
            families[name] = 0
        elif not line.startswith("#"):
            name, _, value = line.partition("{")[0], *line.rpartition(" ")[1:]
            families[name] += 1
            assert np.isfinite(float(value))
    assert families["stagegate_monitor_condition_state"] == len(found.findings)
    assert families["stagegate_monitor_value"] < len(found.findings)


def test_a_refusal_leaves_the_textfile_alone(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    textfile = desk.folder / "book.prom"
    textfile.write_text("as it was")
    write_csv(desk.folder / "returns.csv", {"date": live_days(9).astype(str), "return": np.full(9, np.inf)})
    assert typed(desk, "--textfile", str(textfile)) == 4
    assert "return is 'inf', expected a finite number" in capsys.readouterr().err
    assert textfile.read_text() == "as it was"
    (desk.folder / "returns.csv").unlink()
    assert typed(desk) == 4
    with pytest.raises(SystemExit, match="4"):
        typed(desk, "--as-of", "tomorrow")
