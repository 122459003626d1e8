"""The registry: one locked append at a time, a chain over raw bytes, rules about what may follow what."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.record import durable
from reports.record.chain import (
    COLUMNS,
    GENESIS,
    HEADER,
    LINE_BYTES_LIMIT,
    cell_text,
    link,
    mask,
    parse_line,
    read_chain,
    unmask,
)
from reports.record.errors import RecordError, RequestRefused
from reports.record.ledger import Ledger
from reports.record.registry import Registry, Row, lock_path
from reports.record.workspace import Workspace
from tests.faults import append_storm, claim_race, every_byte
from tests.reports.sample_record import begin, fields, finish, promote, rewrite, run_stage, start

AUDITOR = Path(__file__).resolve().parents[3] / "shared" / "audit_check.py"
SPREADSHEET_TRAPS = (
    "=1+1",
    "+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    " =1",
    "'=1",
    "''@x",
    "\uff1d1",
    "-",
    "=cmd|' /C calc'!A0",
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return begin(tmp_path / "desk")


def test_columns_are_those_of_the_file_format() -> None:
    assert ",".join(COLUMNS[:7]) == "seq,event,stage,decision_tag,run_id,candidate,family"
    assert ",".join(COLUMNS[7:12]) == "owner,official,verdict,overall_pass,utc"
    assert COLUMNS[-2:] == ("prev_hash", "row_hash")
    assert len(set(COLUMNS)) == len(COLUMNS)


def test_a_row_is_found_again_as_it_was_given(workspace: Workspace) -> None:
    given_fields = fields(owner='Ada, "the first"', root_cause="costs: spread\nwas too low", supersedes="momentum-00")
    claimed = Registry(workspace.root).claim(given_fields)
    (row,) = Registry(workspace.root).rows()
    assert row == claimed
    assert row["owner"] == 'Ada, "the first"'
    assert row["root_cause"] == "costs: spread was too low"
    assert (row.seq, row["event"], row["official"], row["overall_pass"], row["verdict"]) == (
        1,
        "STARTED",
        "true",
        "false",
        "",
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["utc"])


def test_every_column_is_text_for_us_and_the_auditor(workspace: Workspace) -> None:
    for tag in ("00123", "1e5", "NA", "true"):
        run_stage(workspace, tag, official=tag != "NA")
    assert [row["decision_tag"] for row in Registry(workspace.root).rows()][::2] == ["00123", "1e5", "NA", "true"]


def test_hashes_get_their_prefix_once(workspace: Workspace) -> None:
    row = Registry(workspace.root).claim(
        fields(config_sha256="e" * 64, data_sha256="sha256:" + "e" * 64, git_commit="1234567")
    )
    assert row["config_sha256"] == row["data_sha256"] == "sha256:" + "e" * 64
    assert row["git_commit"] == "git:1234567"


@pytest.mark.parametrize("trap", SPREADSHEET_TRAPS)
def test_no_cell_is_executed_by_a_spreadsheet(workspace: Workspace, trap: str) -> None:
    Registry(workspace.root).claim(fields(owner=trap))
    (row,) = Registry(workspace.root).rows()
    assert row["owner"] == trap.replace("\t", " ")
    stored = next(csv.reader(io.StringIO(row.raw.decode())))[COLUMNS.index("owner")]
    assert stored.lstrip(" '") == trap.strip().lstrip(" '")
    assert stored.startswith("'")


@given(st.text())
def test_masking_loses_nothing_and_leaves_nothing_executable(text: str) -> None:
    assert unmask(mask(text)) == text
    assert mask(text)[:1] not in ("=", "+", "@")
    assert not re.match(r"-(?!\d+(\.\d+)?(e-?\d+)?$)", mask(text))


@given(st.floats())
def test_numbers_are_exact_and_never_executed(value: float) -> None:
    text = cell_text(value)
    assert text == "" if value != value or value in (float("inf"), float("-inf")) else float(text) == value
    assert mask(text) == text


def test_a_metric_that_was_not_measured_is_empty(workspace: Workspace) -> None:
    begun = start(workspace)
    row = finish(workspace, begun, "FAIL")
    assert {row["ic_t"], row["net_sharpe_x2_0"], row["n_trials"]} == {""}
    again = Registry(workspace.root).claim(
        fields("other", ic_mean=float("nan"), ic_t="-inf", n_trials=7, wf_ic_mean=-1e-7, deflated_sharpe=1e22)
    )
    assert [again[name] for name in ("ic_mean", "ic_t", "n_trials", "wf_ic_mean", "deflated_sharpe")] == [
        "",
        "",
        "7",
        "-1e-07",
        "1e22",
    ]


@given(st.lists(st.text(max_size=40), min_size=1, max_size=5))
def test_any_text_makes_one_line_that_parses_back(texts: list[str]) -> None:
    cells = {
        column: cell_text(text)
        for column, text in zip(("owner", "root_cause", "detail", "family", "candidate"), texts, strict=False)
    }
    row = link(cells, 1, GENESIS)
    assert not set(row.raw) & set(b"\n\r\0")
    again = parse_line(row.raw)
    assert isinstance(again, Row)
    assert {column: again[column] for column in cells} == cells


@given(st.binary(max_size=400))
def test_reading_has_an_answer_for_any_bytes(raw: bytes) -> None:
    chain = read_chain(HEADER + b"\n" + raw)
    assert chain.faults or chain.torn_tail or raw == b""
    assert read_chain(raw).rows == ()


def test_a_column_that_nobody_knows_names_the_nearest(workspace: Workspace) -> None:
    with pytest.raises(RecordError, match="use decision_tag"):
        Registry(workspace.root).claim({**fields(), "decison_tag": "x"})
    with pytest.raises(RecordError, match="row_hash"):
        Registry(workspace.root).claim({**fields(), "row_hash": "0" * 64})


@pytest.mark.parametrize("tag", ["../../x", "=cmd", "a\nb", "a\0b", "\u0430bc", "", "x" * 65, "a..b", "a."])
def test_a_tag_that_is_no_plain_name_is_refused(workspace: Workspace, tag: str) -> None:
    with pytest.raises(RequestRefused, match="decision_tag"):
        Registry(workspace.root).claim(fields(tag))
    assert Registry(workspace.root).rows() == ()


def test_a_line_longer_than_readers_accept_is_not_written(workspace: Workspace) -> None:
    with pytest.raises(RecordError, match="shorten"):
        Registry(workspace.root).claim(fields(root_cause="x" * LINE_BYTES_LIMIT))
    assert Registry(workspace.root).rows() == ()


def test_a_tag_stage_is_spent_by_its_official_start(workspace: Workspace) -> None:
    start(workspace)
    with pytest.raises(RequestRefused, match=r"spent by run momentum-01\.s0"):
        start(workspace, run_id="again")
    assert start(workspace, stage="s1")["seq"] == "2"


def test_unofficial_starts_spend_nothing(workspace: Workspace) -> None:
    for number in range(3):
        run_stage(workspace, stage="s2", run_id=f"try-{number}", official=False, verdict="FAIL")
    assert start(workspace, stage="s2")["official"] == "true"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run_id": "nobody"}, "never STARTED"),
        ({"stage": "s3"}, "started with stage s0, found s3"),
        ({"decision_tag": "other"}, "started with decision_tag"),
        ({"official": False}, "started with official true"),
        ({"verdict": "MAYBE"}, "expected one of PASS, FAIL, INCOMPLETE"),
        ({"verdict": "FAIL", "overall_pass": True}, "overall_pass is true beside verdict FAIL"),
        ({"verdict": "PASS", "overall_pass": False}, "overall_pass is false beside verdict PASS"),
        ({"manifest_sha256": ""}, "manifest_sha256"),
        ({"report": "../../etc/passwd"}, "plain report path"),
        ({"report": "/etc/passwd"}, "plain report path"),
        ({"data_sha256": "xyz"}, "data_sha256"),
    ],
)
def test_a_finish_that_does_not_follow_is_refused(
    workspace: Workspace, change: dict[str, object], message: str
) -> None:
    begun = start(workspace)
    honest = {
        **fields(),
        "verdict": "PASS",
        "overall_pass": True,
        "manifest_sha256": "a" * 64,
        "report": "gate_results/p/r.json",
    }
    with pytest.raises(RecordError, match=re.escape(message)):
        Registry(workspace.root).append("FINISHED", {**honest, **change})
    assert Registry(workspace.root).append("FINISHED", honest).seq == begun.seq + 1


def test_a_run_is_closed_once(workspace: Workspace) -> None:
    run_stage(workspace)
    with pytest.raises(RecordError, match="closed before, as FINISHED"):
        Registry(workspace.root).append("ABANDONED", fields())


def test_signing_needs_an_official_pass_of_s3(workspace: Workspace) -> None:
    promote(workspace, stages=("s0", "s1", "s2"))
    signed = {**fields(stage="s3", run_id="momentum-01.s3"), "detail": "role=risk;signer=eve@desk"}
    with pytest.raises(RecordError, match="no official PASS of s3"):
        Registry(workspace.root).append("SIGNED", signed)
    run_stage(workspace, stage="s3")
    assert Registry(workspace.root).append("SIGNED", signed)["detail"] == "role=risk;signer=eve@desk"
    assert Registry(workspace.root).append("REVOKED", {**signed, "detail": "vendor error"})["event"] == "REVOKED"


def test_a_further_condition_is_asked_under_the_lock(workspace: Workspace) -> None:
    promote(workspace)

    def never_twice(rows: tuple[Row, ...]) -> None:
        if any(row["event"] == "SIGNED" for row in rows):
            raise RecordError("signed before")

    signed = fields(stage="s3", run_id="momentum-01.s3")
    Registry(workspace.root).append("SIGNED", signed, check=never_twice)
    with pytest.raises(RecordError, match="signed before"):
        Registry(workspace.root).append("SIGNED", signed, check=never_twice)


def test_latest_finished_is_found_by_tag_and_stage(workspace: Workspace) -> None:
    run_stage(workspace, stage="s2", run_id="rehearsed", official=False, verdict="FAIL")
    passed = run_stage(workspace, stage="s2")
    registry = Registry(workspace.root)
    assert registry.latest_finished("momentum-01", "s2") == passed
    rehearsed = registry.latest_finished("momentum-01", "s2", official=False)
    assert rehearsed is not None
    assert rehearsed["run_id"] == "rehearsed"
    assert registry.latest_finished("momentum-01", "s3") is None


def test_a_clock_that_was_set_back_stops_a_claim_not_a_result(workspace: Workspace) -> None:
    begun = start(workspace, utc="2026-11-23T17:05:09Z")
    with pytest.raises(RequestRefused, match="a clock was moved"):
        start(workspace, "other", utc="2026-11-23T16:00:00Z")
    early = {
        **fields(),
        "verdict": "FAIL",
        "manifest_sha256": "a" * 64,
        "report": "gate_results/p/r.json",
        "utc": "2026-11-23T16:00:00Z",
    }
    assert Registry(workspace.root).append("FINISHED", early).seq == begun.seq + 1


def test_nothing_is_appended_to_a_registry_that_was_changed(workspace: Workspace) -> None:
    run_stage(workspace, verdict="FAIL")
    rewrite(workspace, lambda raw: raw.replace(b",FAIL,", b",PASS,"))
    with pytest.raises(RecordError, match="row 2 was changed"):
        start(workspace, stage="s1")
    with pytest.raises(RecordError, match="row 2 was changed"):
        Registry(workspace.root).rows()


def test_a_torn_last_line_stops_reading_and_writing_until_recovered(workspace: Workspace) -> None:
    run_stage(workspace)
    rewrite(workspace, lambda raw: raw + b"3,STARTED,s1")
    for action in (Registry(workspace.root).rows, lambda: start(workspace, stage="s1")):
        with pytest.raises(RecordError, match=r"12 bytes.*stagegate recover"):
            action()


def test_the_registry_is_not_written_through_a_link(workspace: Workspace, tmp_path: Path) -> None:
    start(workspace)
    real = tmp_path / "elsewhere.csv"
    workspace.registry.rename(real)
    workspace.registry.symlink_to(real)
    before = real.read_bytes()
    with pytest.raises(RecordError, match="symbolic link"):
        start(workspace, stage="s1")
    assert real.read_bytes() == before


def test_deleting_the_lock_file_lets_no_second_writer_in(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "QUEUE_TIMEOUT_SECONDS", 0.5)
    start(workspace)
    registry = Registry(workspace.root)
    with registry.held():
        lock_path(workspace).unlink()
        with pytest.raises(RecordError, match="lock file, which somebody deleted"):
            start(workspace, stage="s1")
    assert len(registry.rows()) == 1


def test_a_refused_claim_begins_no_registry_where_one_was_lost(workspace: Workspace) -> None:
    run_stage(workspace)
    workspace.registry.unlink()
    with pytest.raises(RecordError, match="rows were dropped"):
        start(workspace)
    assert not workspace.registry.exists()


def test_the_file_opens_in_pandas_and_a_spreadsheet(workspace: Workspace) -> None:
    promote(workspace)
    table = pd.read_csv(workspace.registry)
    assert list(table.columns) == list(COLUMNS)
    assert table["overall_pass"].dtype == bool
    assert table.loc[table["event"] == "FINISHED", "verdict"].tolist() == ["PASS"] * 4
    assert table["manifest_sha256"].dropna().str.startswith("sha256:").all()


@pytest.mark.skipif(not AUDITOR.is_file(), reason="the auditor's reader is not beside this repository")
def test_an_independent_reader_accepts_what_is_written(workspace: Workspace) -> None:
    promote(workspace)
    run_stage(workspace, "carry-01", verdict="FAIL", owner="=cmd", root_cause='-x, "y"')
    Registry(workspace.root).append("SIGNED", fields(stage="s3", run_id="momentum-01.s3"))
    done = subprocess.run([sys.executable, AUDITOR, workspace.root], capture_output=True, text=True)
    assert done.stdout == "11 rows, 5 packs, 5 tag stages: consistent\n"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_a_claim_leaves_no_file_open(workspace: Workspace) -> None:
    before = {path.name for path in Path("/proc/self/fd").iterdir()}
    start(workspace)
    assert {path.name for path in Path("/proc/self/fd").iterdir()} == before


def test_the_ledger_knows_what_is_open(workspace: Workspace) -> None:
    run_stage(workspace)
    begun = start(workspace, stage="s1")
    ledger = Ledger.of(Registry(workspace.root).rows())
    assert ledger.open_runs == (begun,)
    assert ledger.spent == {("momentum-01", "s0"): "momentum-01.s0", ("momentum-01", "s1"): "momentum-01.s1"}


def test_every_byte_of_a_registry_counts() -> None:
    assert every_byte.registry_campaign(count=400, seed=1) == (400, [])


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed (Debian: openssh-client)")
def test_every_byte_of_a_record_counts(tmp_path: Path) -> None:
    passed, missed = every_byte.record_campaign(tmp_path, count=4, seed=1)
    assert missed == []
    assert passed > 60


def test_each_witness_alone_sees_what_the_chain_cannot(tmp_path: Path) -> None:
    assert every_byte.witness_campaign(tmp_path) == (9, [])


def test_of_racing_claims_exactly_one_wins(tmp_path: Path) -> None:
    assert claim_race.campaign(tmp_path, count=6) == (6, [])


def test_a_storm_of_appends_loses_and_tears_nothing(tmp_path: Path) -> None:
    result = append_storm.campaign(tmp_path, processes=8, appends=5)
    assert (result.acknowledged, result.problems) == (40, [])
