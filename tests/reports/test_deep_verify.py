"""stagegate verify --deep on a real desk: an honest record comes out again, and a forgery that every hash agrees with does not."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from engines.digest import sha256_bytes
from reports.criteria.freeze import Freeze, Places
from reports.record.chain import GENESIS, HEADER, Chain, Row, link, read_chain
from reports.record.json_difference import differences
from reports.record.workspace import STAGES, Workspace
from reports.reexecution import deep_verify as deep
from reports.reexecution.deep_verify import DeepVerification
from reports.reexecution.reconstruction import Mirror, recorded_run
from reports.reexecution.replay_comparison import Mismatch, Recorded, Replayed, Uncompared, compare
from reports.verification.verify import verify_workspace
from tests.end_to_end.conftest import TAG, Road, road
from tests.end_to_end.desk import SETTINGS, Desk, git
from tests.reports.test_attestation import write_key
from tests.reports.test_verify import AUDITOR, list_again

__all__ = ["road"]


def chain_of(desk: Desk) -> Chain:
    return read_chain((desk.workspace / "gate_results" / "gate_registry.csv").read_bytes())


def rebuild(desk: Desk, **cells: str) -> None:
    """Write the last row again with other cells and the hash of its pack's MANIFEST as it is now, the chain whole."""
    rows = chain_of(desk).rows
    manifest = (desk.workspace / rows[-1]["report"]).parent / "MANIFEST"
    values = {**rows[-1], "manifest_sha256": f"sha256:{sha256_bytes(manifest.read_bytes())}", **cells}
    last = link(values, rows[-1].seq, rows[-2].row_hash if len(rows) > 1 else GENESIS)
    raw = b"".join(line + b"\n" for line in (HEADER, *(row.raw for row in (*rows[:-1], last))))
    (desk.workspace / "gate_results" / "gate_registry.csv").write_bytes(raw)


def edit_json(path: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def again(desk: Desk, tag: str | None = None) -> DeepVerification:
    return deep.deep_verify(Workspace(desk.workspace), desk.repository, tag)


def subjects(found: DeepVerification) -> list[str]:
    return [mismatch.subject for mismatch in found.mismatches]


@pytest.mark.slow
def test_an_honest_record_comes_out_again_and_nothing_is_written(road: Road) -> None:
    desk = road.after("s4")
    before, status = desk.listing(), git(desk.repository, "status", "--porcelain", "--ignored")
    refs = git(desk.repository, "for-each-ref"), git(desk.repository, "worktree", "list")
    ended = desk.stagegate("verify", "--deep", "--json")
    assert ended.status == 0, ended.output
    answer = json.loads(ended.output[ended.output.index("{") :])
    assert (answer["exit_code"], answer["deep"]["mismatches"]) == (0, [])
    assert [left["subject"] for left in answer["deep"]["uncompared"]] == ["deployment files and signatures"]
    assert [re.sub(r" \(.*", "", each["run"]) for each in answer["deep"]["repeated"]] == [
        f"{stage} of {TAG}" for stage in STAGES
    ]
    evidence = [json.loads((desk.pack(stage) / "evidence.json").read_bytes()) for stage in STAGES]
    assert [each["cells"] for each in answer["deep"]["repeated"]] == [len(cells) for cells in evidence]
    assert desk.listing() == before
    assert git(desk.repository, "status", "--porcelain", "--ignored") == status
    assert (git(desk.repository, "for-each-ref"), git(desk.repository, "worktree", "list")) == refs


def test_a_forgery_that_every_hash_agrees_with_does_not_come_out_again(road: Road, tmp_path: Path) -> None:
    desk = road.at("s1", tmp_path / "desk")
    pack = desk.pack("s1")
    cells = json.loads((pack / "evidence.json").read_bytes())
    measured = next(cell["measured"] for cell in cells if cell["gate"] == "s1.ic_mean")
    forged = measured + 2**-54

    def improve(cell: dict[str, Any]) -> None:
        for entry in (cell, *cell["evidence"]):
            entry["measured"] = forged

    edit_json(pack / "evidence.json", lambda told: [improve(cell) for cell in told if cell["gate"] == "s1.ic_mean"])
    report = pack / "baseline_validation_report.json"
    edit_json(report, lambda told: told["gates"]["s1.ic_mean"].update(measured_worst=forged))
    edit_json(report, lambda told: [improve(cell) for cell in told["gates"]["s1.ic_mean"]["cells"]])
    lines = (pack / "baseline_ic.csv").read_text().splitlines()
    lines[-9] = f"{lines[-9].split(',')[0]},0.25"
    (pack / "baseline_ic.csv").write_text("\n".join(lines) + "\n")
    for name in ("baseline_validation_report.md", "baseline_validation_report.html"):
        with (pack / name).open("a") as page:
            page.write("Reviewed by the committee.\n")
    (pack / "letter.txt").write_text("trust me\n")
    list_again(pack)
    rebuild(desk, ic_mean=repr(forged))
    assert verify_workspace(Workspace(desk.workspace)).exit_code == 0
    if AUDITOR.is_file():
        assert subprocess.run(["python3", str(AUDITOR), str(desk.workspace)], check=False).returncode == 0

    found = again(desk)
    assert found.exit_code == 6
    assert set(subjects(found)) == {
        "evidence.json: s1.ic_mean [-].measured",
        "evidence.json: s1.ic_mean [-].evidence[0].measured",
        "baseline_validation_report.json: s1.ic_mean [-].measured",
        "baseline_validation_report.json: s1.ic_mean [-].evidence[0].measured",
        "baseline_validation_report.json: gates.s1.ic_mean.measured_worst",
        "registry: ic_mean",
        f"baseline_ic.csv: line {len(lines) - 8}",
        *(subject for subject in subjects(found) if subject.startswith("baseline_validation_report.md: line ")),
        *(subject for subject in subjects(found) if subject.startswith("baseline_validation_report.html: line ")),
        "letter.txt",
    }
    for page in ("baseline_validation_report.md", "baseline_validation_report.html"):
        assert any(subject.startswith(page) for subject in subjects(found))
    named = {mismatch.subject: (mismatch.expected, mismatch.found) for mismatch in found.mismatches}
    assert named["evidence.json: s1.ic_mean [-].measured"] == (repr(measured), repr(forged))
    assert {re.sub(r" of .*", "", mismatch.run) for mismatch in found.mismatches} == {"s1"}
    assert len(found.repeated) == 2


def remove_data(desk: Desk) -> None:
    (desk.candidate.parent / "market" / "prices.parquet").unlink()


def change_data(desk: Desk) -> None:
    with (desk.candidate.parent / "market" / "market_caps.parquet").open("ab") as file:
        file.write(b"\0")


def change_candidate(desk: Desk) -> None:
    desk.candidate.write_text(desk.candidate.read_text() + "\n# a remark\n")


def remove_pack(desk: Desk) -> None:
    shutil.rmtree(desk.pack("s0"))


def remove_freeze(desk: Desk) -> None:
    freeze = desk.workspace / "runs" / "freeze" / f"{TAG}.freeze.json"
    freeze.unlink()
    (desk.pack("s0") / "freeze.json").write_text("{}")


def spoil_report(desk: Desk) -> None:
    (desk.workspace / desk.finished("s0")["report"]).write_text("{}")


def spoil_evidence(desk: Desk) -> None:
    (desk.pack("s0") / "evidence.json").write_text("NaN")


IMPOSSIBLE: dict[str, tuple[Callable[[Desk], object], str]] = {
    "data gone": (remove_data, r"a frozen file is gone: .*prices\.parquet"),
    "data changed": (
        change_data,
        r"changed since the freeze: expected [0-9a-f]{64}, found [0-9a-f]{64} \[.*market_caps",
    ),
    "candidate changed": (change_candidate, r"changed since the freeze: .*candidate\.toml"),
    "pack gone": (remove_pack, "there is no such pack"),
    "freeze gone": (remove_freeze, "is neither at its place nor in the pack"),
    "report spoilt": (spoil_report, "freeze or report are malformed"),
    "evidence spoilt": (spoil_evidence, "NaN is no JSON number"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_run_that_cannot_be_executed_again_is_a_finding(road: Road, tmp_path: Path, name: str) -> None:
    spoil, reason = IMPOSSIBLE[name]
    desk = road.at("s0", tmp_path / "desk")
    spoil(desk)
    found = again(desk)
    assert (found.exit_code, found.repeated, subjects(found)) == (6, (), ["the run"])
    assert re.search(reason, found.mismatches[0].found), found.mismatches[0].found


def frozen_differently(desk: Desk, change: Callable[[dict[str, Any]], object]) -> None:
    """The freeze of s0 rewritten wherever it is kept, and the row's hash of it with it."""
    freeze = desk.workspace / "runs" / "freeze" / f"{TAG}.freeze.json"
    edit_json(freeze, change)
    shutil.copyfile(freeze, desk.pack("s0") / "freeze.json")
    rebuild(desk, freeze_sha256=f"sha256:{sha256_bytes(freeze.read_bytes())}")


FREEZES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "unknown commit": (lambda it: it["code"].update(git_commit=f"git:{'0' * 40}"), "the frozen commit cannot be checked out"),
    "option as commit": (lambda it: it["code"].update(git_commit="git:--upload-pack=sh"), "the freeze names no commit"),
    "other code": (lambda it: it["code"].update(tree_sha256="0" * 64), "tree_sha256 of the commit is"),
    "path that leads out": (
        lambda it: it["candidate"].update(path="workspace:../../../../../../../../../outside.toml"),
        "would write outside of its folder|is gone",
    ),
    "no history": (lambda it: it.update(history=[]), "the freeze is malformed at history"),
}  # fmt: skip


@pytest.mark.parametrize("name", FREEZES)
def test_a_forged_freeze_is_a_finding(road: Road, tmp_path: Path, name: str) -> None:
    change, reason = FREEZES[name]
    desk = road.at("s0", tmp_path / "desk")
    frozen_differently(desk, change)
    found = again(desk)
    assert (found.exit_code, found.repeated, subjects(found)) == (6, (), ["the run"])
    assert re.search(reason, found.mismatches[0].found), found.mismatches[0].found


def test_a_reconstruction_never_writes_outside_of_its_folder(road: Road, tmp_path: Path) -> None:
    desk, outside = road.after("s0"), tmp_path / "outside"
    outside.mkdir()
    mirror = Mirror(tmp_path / "mirror", Places(Workspace(desk.workspace), desk.repository))
    mirror.of(desk.workspace).mkdir(parents=True)
    (mirror.of(desk.workspace) / "gate_results").symlink_to(outside)
    started, finished = chain_of(desk).rows[:2]
    with pytest.raises(Exception, match="would write outside of its folder"):
        mirror.place_record(recorded_run(Workspace(desk.workspace), started, finished), (started, finished))
    assert list(outside.iterdir()) == []


def test_an_input_outside_of_the_workspace_is_found_by_its_relative_path(road: Road, tmp_path: Path) -> None:
    desk, outside = road.after("s0"), tmp_path / "vendor" / "prices.parquet"
    outside.parent.mkdir()
    shutil.copyfile(desk.candidate.parent / "market" / "prices.parquet", outside)
    record = json.loads((desk.pack("s0") / "freeze.json").read_bytes())
    record["candidate"]["config"]["data"]["path"] = os.path.relpath(outside, desk.candidate.parent)
    record["data"]["path"] = str(outside)
    mirror = Mirror(tmp_path / "mirror", Places(Workspace(desk.workspace), desk.repository))
    mirror.place_inputs(Freeze(record, ""))
    placed = Freeze(record, "").candidate(mirror.places).data_path.resolve()
    assert placed == mirror.of(outside)
    assert placed.read_bytes() == outside.read_bytes()


def test_what_cannot_be_reconstructed_is_named_and_other_packages_are_a_mismatch(road: Road, tmp_path: Path) -> None:
    desk = road.at("s0", tmp_path / "desk")
    with (desk.workspace / "stagegate.toml").open("a") as settings:
        settings.write("# one more line\n")
    frozen_differently(desk, lambda it: it.update(packages_sha256="0" * 64))
    list_again(desk.pack("s0"))
    rebuild(desk)
    found = again(desk)
    assert subjects(found) == ["installed packages"]
    assert [(entry.subject, entry.why) for entry in found.uncompared if entry.subject.startswith("s0.")] == [
        ("s0.reproducible_inputs", "the installed packages are not the frozen ones")
    ]
    assert "scope_freeze_report.json: verdict" in [entry.subject for entry in found.uncompared]
    assert [each.cells for each in found.repeated] == [4]


def test_an_unreadable_registry_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "gate_results" / "gate_registry.csv").mkdir(parents=True)
    found = deep.deep_verify(Workspace(tmp_path), tmp_path)
    assert (found.exit_code, subjects(found)) == (6, ["gate_registry.csv"])


# ------------------------------------------------------------------------------------------ attested when recorded


def test_an_official_run_is_attested_and_a_key_that_others_can_read_is_refused(road: Road, tmp_path: Path) -> None:
    desk = road.fresh(tmp_path / "desk")
    key = write_key(tmp_path / "desk.pem", Ed25519PrivateKey.generate())
    own = f'[attestation]\nkey = "{key}"\npublic_keys = ["{key.with_suffix(".pub.pem")}"]\n'
    (desk.workspace / "stagegate.toml").write_text(SETTINGS + own)
    key.chmod(0o644)
    refused = desk.stage(TAG, "s0")
    assert (refused.status, desk.rows()) == (4, [])
    assert "the signing key can be read by other accounts: its mode is 644" in refused.output
    key.chmod(0o600)
    ended = desk.stage(TAG, "s0")
    assert ended.status == 0, ended.output
    path = desk.workspace / "gate_results" / "attestations" / f"{desk.pack('s0').name}.dsse.json"
    assert f"attestation   {path}" in ended.output
    assert desk.stagegate("verify").status == 0
    path.write_bytes(path.read_bytes().replace(b"sig", b"sIg"))
    assert desk.stagegate("verify").status == 6


# -------------------------------------------------------------------------------------------------- the comparison

CELL = {"gate": "s2.a", "level": "hard", "id": "-", "outcome": "passed", "measured": 0.1, "note": "", "evidence": []}


@pytest.fixture
def pair(road: Road, tmp_path: Path) -> tuple[Recorded, Replayed]:
    """An s0 run beside a replay that agrees with it."""
    desk = road.after("s0")
    pack = tmp_path / "pack"
    shutil.copytree(desk.pack("s0"), pack)
    report = json.loads((pack / "scope_freeze_report.json").read_bytes())
    row = chain_of(desk).rows[1]
    run = changed(recorded_run(Workspace(desk.workspace), chain_of(desk).rows[0], row), pack=pack)
    evidence = json.loads((pack / "evidence.json").read_bytes())
    names = (
        "decision_note.json",
        "data_contract.json",
        "windows.csv",
        "scope_freeze_report.md",
        "scope_freeze_report.html",
    )
    files = {name: desk.pack("s0") / name for name in names}
    columns = {"weakest_gate": row["weakest_gate"], "weakest_margin": row["weakest_margin"]}
    return deep.read_recorded(run, "s0"), Replayed(evidence, report, columns, "", (), files)


def found_in(pair: tuple[Recorded, Replayed], **unlike: str) -> list[str]:
    return [entry.subject for entry in compare(*pair, unlike) if isinstance(entry, Mismatch)]


def test_the_same_is_no_mismatch(pair: tuple[Recorded, Replayed]) -> None:
    assert list(compare(*pair, {})) == []


def test_a_replay_that_does_not_come_back_says_so_alone(pair: tuple[Recorded, Replayed]) -> None:
    recorded, replayed = pair
    assert found_in((recorded, changed(replayed, incomplete=("worker gw0 did not come back",), evidence=[]))) == [
        "the run"
    ]


@pytest.mark.parametrize("evidence", [None, [], {}, "PASS", [1], [CELL, CELL], [{"gate": []}]])
def test_whatever_stands_in_place_of_evidence_is_a_mismatch(pair: tuple[Recorded, Replayed], evidence: Any) -> None:
    recorded, replayed = pair
    found = found_in((changed(recorded, evidence=evidence), replayed))
    assert found
    assert all(subject.startswith("evidence.json: ") for subject in found)


@pytest.mark.parametrize(
    "gates", [None, [], {}, {"s0.a": None}, {"s0.a": {"cells": None}}, {"s0.a": {"cells": [None]}}]
)
def test_whatever_stands_in_place_of_gates_is_a_mismatch(pair: tuple[Recorded, Replayed], gates: Any) -> None:
    recorded, replayed = pair
    found = found_in((changed(recorded, report={**recorded.report, "gates": gates}), replayed))
    assert found
    assert all(subject.startswith("scope_freeze_report.json: ") for subject in found)


def test_notes_count_where_a_cell_passed(pair: tuple[Recorded, Replayed]) -> None:
    recorded, replayed = pair
    evidence = [{**cell, "note": "edited"} for cell in recorded.evidence]
    assert found_in((changed(recorded, evidence=evidence), replayed)) == [
        f"evidence.json: {cell['gate']} [-].note" for cell in recorded.evidence
    ]
    failed = [{**cell, "outcome": "failed"} for cell in replayed.evidence]
    other = [{**cell, "note": "raised at 0x7f3a"} for cell in failed]
    assert found_in((changed(recorded, evidence=other), changed(replayed, evidence=failed))) == []


def test_a_failure_of_the_moment_is_named_and_not_compared(pair: tuple[Recorded, Replayed]) -> None:
    recorded, replayed = pair
    failure = {"gate": "", "cell": "", "message": "the code tree changed during the run"}
    report = {**recorded.report, "verdict": "FAIL", "overall_pass": False, "failures": [failure]}
    (recorded.pack / "windows.csv").unlink()
    found = list(compare(changed(recorded, report=report), replayed, {}))
    assert {type(entry) for entry in found} == {Uncompared}
    assert {entry.subject for entry in found} == {
        "scope_freeze_report.json: verdict",
        "scope_freeze_report.json: overall_pass",
        "windows.csv",
    }


def test_a_gate_that_was_not_reconstructed_is_left_out_and_the_others_are_not(pair: tuple[Recorded, Replayed]) -> None:
    recorded, replayed = pair
    unlike = {"s0.reproducible_inputs": "other packages"}
    moved = [{**cell, "measured": 7.0} for cell in recorded.evidence]
    found = found_in((changed(recorded, evidence=moved), replayed), **unlike)
    kept = [cell["gate"] for cell in recorded.evidence if cell["gate"] not in unlike]
    assert found == [f"evidence.json: {gate} [-].measured" for gate in kept]


@pytest.mark.parametrize("name", ["freeze.json", "policy.toml", "candidate.toml", "windows.csv", "decision_note.json"])
@pytest.mark.parametrize("change", ["edit", "remove", "link"])
def test_every_file_of_a_pack_counts(pair: tuple[Recorded, Replayed], name: str, change: str) -> None:
    path = pair[0].pack / name
    data = path.read_bytes()
    path.unlink()
    if change == "edit":
        path.write_bytes(data + b"\n")
    if change == "link":
        (path.parent.parent / name).write_bytes(data)
        path.symlink_to(path.parent.parent / name)
    assert [subject.partition(":")[0] for subject in found_in(pair)] == [name]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON)
def test_two_values_differ_exactly_where_their_spelling_does(one: Any, other: Any) -> None:
    assert list(differences("", one, one)) == []
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (list(differences("", one, other)) == []) is same


def test_a_row_without_its_beginning_is_a_finding(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = road.after("s0")
    only: tuple[Row, ...] = chain_of(desk).rows[1:2]
    monkeypatch.setattr(deep, "settled_chain", lambda _: Chain(only, (), b""))
    found = again(desk)
    assert (found.exit_code, found.mismatches[0].found.partition(" [")[0]) == (6, "no STARTED row announces the run")
