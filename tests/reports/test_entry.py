"""Entry: each rule that a request must meet, by itself, with what it names when it is not met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import pytest

from reports.criteria.codetree import inspect_code
from reports.pack.packet import packet_template
from reports.record.errors import RequestRefused
from reports.record.registry import Registry, Row
from reports.record.workspace import Workspace
from reports.run.entry import (
    candidate_history,
    check_choices,
    check_inputs,
    check_packet,
    check_profile,
    check_root_cause,
    check_unspent,
    last_unpassed,
)
from reports.run.ground import check_code, check_writable
from reports.run.request import RunRequest
from tests.reports.frozen_candidate import lay_out
from tests.reports.recorded_tag import new_workspace, record_stage

HUMAN = {
    "What changed": "The lookback is now a year.",
    "Why": "A year is what the literature has.",
    "Expected impact and risk": "A Sharpe ratio of one; a turn of leadership is the risk.",
    "Next action": "Run the next stage.",
}


def request(workspace: Workspace, stage: str = "s0", tag: str = "new", **changes: object) -> RunRequest:
    plain = RunRequest(
        stage=stage,
        tag=tag,
        workspace=workspace.root,
        repository=workspace.root,
        candidate=None,
        owner=None,
        unofficial=False,
        supersedes=None,
        root_cause=None,
        cost_multipliers=None,
        wf_shards=None,
        threads=None,
        processes="0",
        presentation=(),
        arguments=(),
        variables={},
    )
    return replace(plain, **changes)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return new_workspace(tmp_path / "desk")


def rows_of(workspace: Workspace) -> tuple[Row, ...]:
    return Registry(workspace.root).rows()


# ------------------------------------------------------------------------------------------------ spent, revoked


def test_a_tag_that_nobody_used_is_unspent(workspace):
    record_stage(workspace, "other", "s0")
    check_unspent(rows_of(workspace), request(workspace))


@pytest.mark.parametrize("verdict", ["PASS", "FAIL", "INCOMPLETE"])
def test_an_official_run_spends_its_stage_however_it_ended(workspace, verdict):
    record_stage(workspace, "new", "s0", verdict)
    with pytest.raises(
        RequestRefused, match=r"s0 of tag new is spent: expected no official start of it, found registry row 1"
    ):
        check_unspent(rows_of(workspace), request(workspace))
    check_unspent(rows_of(workspace), request(workspace, "s1"))


def test_a_run_that_never_finished_spends_its_stage_too(workspace):
    row = {"stage": "s0", "decision_tag": "new", "run_id": "r", "candidate": "c", "family": "f", "owner": "o"}
    Registry(workspace.root).claim({**row, "official": "true"})
    with pytest.raises(RequestRefused, match="is spent"):
        check_unspent(rows_of(workspace), request(workspace))


def test_an_unofficial_run_spends_nothing(workspace):
    record_stage(workspace, "new", "s2", official=False)
    check_unspent(rows_of(workspace), request(workspace, "s2"))


def test_tags_that_differ_by_case_only_are_one_file_on_some_disks(workspace):
    record_stage(workspace, "NEW", "s0")
    with pytest.raises(RequestRefused, match="differs by case only"):
        check_unspent(rows_of(workspace), request(workspace))


# ------------------------------------------------------------------------------------------------ what a rerun owes


def history(workspace: Workspace, supersedes: str | None = None, root_cause: str | None = None) -> Mapping[str, object]:
    frozen = lay_out(Path(mkdtemp(dir=workspace.root)))
    candidate = frozen.candidate.model_copy(update={"name": "momentum-12-1", "family": "momentum"})
    return candidate_history(rows_of(workspace), candidate, supersedes, root_cause)


def test_a_first_candidate_owes_nothing(workspace):
    found = history(workspace)
    assert (found["registry_seq"], found["family_tags"], found["supersedes"], found["must_differ"]) == (
        0,
        [],
        None,
        False,
    )


def test_after_a_pass_nothing_is_owed_and_the_tag_is_a_trial(workspace):
    record_stage(workspace, "first", "s0")
    found = history(workspace)
    assert (found["family_tags"], found["superseded_ended"]) == (["first"], None)


def test_another_candidate_of_the_family_owes_nothing_and_counts_its_trials(workspace):
    record_stage(workspace, "first", "s0", "FAIL", candidate="someone-else")
    assert history(workspace)["family_tags"] == ["first"]


@pytest.mark.parametrize(
    ("verdict", "cause", "must_differ"),
    [("FAIL", "data:bad cells", True), ("INCOMPLETE", "environment:power cut", False)],
)
def test_after_a_tag_that_did_not_pass_it_is_named_with_its_cause(workspace, verdict, cause, must_differ):
    record_stage(workspace, "first", "s0", verdict)
    with pytest.raises(RequestRefused, match=f"ended as {verdict}: expected a new tag to name it, found nothing"):
        history(workspace)
    found = history(workspace, "first", cause)
    assert (found["supersedes"], found["superseded_ended"], found["must_differ"]) == ("first", verdict, must_differ)


def test_the_last_tag_is_named_and_not_an_older_one(workspace):
    record_stage(workspace, "first", "s0", "FAIL")
    record_stage(workspace, "second", "s0", "FAIL", supersedes="first")
    with pytest.raises(RequestRefused, match="second, ended as FAIL: expected a new tag to name it, found first"):
        history(workspace, "first", "data:x")


def test_a_failure_is_not_forgotten_behind_an_earlier_pass_of_the_same_tag(workspace):
    record_stage(workspace, "first", "s0")
    record_stage(workspace, "first", "s1", "FAIL")
    assert last_unpassed(rows_of(workspace), "first") == "FAIL"


def test_a_run_without_an_end_counts_as_abandoned(workspace):
    row = {
        "stage": "s0",
        "decision_tag": "first",
        "run_id": "r",
        "candidate": "momentum-12-1",
        "family": "f",
        "owner": "o",
    }
    Registry(workspace.root).claim({**row, "official": "true"})
    assert last_unpassed(rows_of(workspace), "first") == "ABANDONED"


def test_an_unofficial_failure_owes_nothing(workspace):
    record_stage(workspace, "first", "s2", "FAIL", official=False)
    assert last_unpassed(rows_of(workspace), "first") is None


@pytest.mark.parametrize(
    "cause", ["data:late file", "code: a bug", "parameter:x", "environment:x", "policy:x", "external:x"]
)
def test_a_cause_with_a_class_is_taken(cause):
    check_root_cause(cause, environment_only=False)


@pytest.mark.parametrize("cause", [None, "", "data", "data:", "data: ", "vibes:bad", "Data:x", ":x", "late file"])
def test_a_cause_without_a_class_or_text_is_refused(cause):
    with pytest.raises(RequestRefused, match="expected CLASS:text"):
        check_root_cause(cause, environment_only=False)


def test_what_did_not_come_back_says_nothing_about_the_data():
    with pytest.raises(RequestRefused, match="says nothing about its data"):
        check_root_cause("data:x", environment_only=True)
    check_root_cause("external:x", environment_only=True)


# ------------------------------------------------------------------------------------------------ choices, machine, packet, places


@pytest.mark.parametrize(
    ("chosen", "judged"), [(None, (1.0, 1.5, 2.0)), ((1.5, 2.0), (1.5, 2.0)), ((1.0, 1.5, 2.0), (1.0, 1.5, 2.0))]
)
def test_multipliers_are_judged_in_the_order_of_the_freeze(workspace, chosen, judged):
    candidate = lay_out(workspace.root / "candidate").candidate
    assert check_choices(request(workspace, cost_multipliers=chosen, wf_shards=2), candidate) == judged


def test_choices_that_contradict_the_freeze_are_refused(workspace):
    candidate = lay_out(workspace.root / "candidate").candidate
    with pytest.raises(RequestRefused, match=r"expected some of 1, 1\.5, 2, found 3"):
        check_choices(request(workspace, cost_multipliers=(1.5, 2.0, 3.0)), candidate)
    with pytest.raises(RequestRefused, match="--wf-shards is not as frozen: expected 2, found 4"):
        check_choices(request(workspace, wf_shards=4), candidate)


def below_the_profile(workspace: Workspace) -> Workspace:
    with workspace.settings_path.open("a", encoding="utf-8") as file:
        file.write("[workstation]\nmin_cores = 4096\n")
    return Workspace(workspace.root)


@pytest.mark.parametrize("stage", ["s0", "s1", "s4"])
def test_three_stages_are_official_anywhere(workspace, stage):
    _, official, reasons = check_profile(request(workspace, stage), below_the_profile(workspace))
    assert (official, reasons) == (True, ())


@pytest.mark.parametrize("stage", ["s2", "s3"])
def test_two_stages_need_the_workstation(workspace, stage):
    small = below_the_profile(workspace)
    with pytest.raises(RequestRefused, match="the profile asks for 4096"):
        check_profile(request(workspace, stage), small)
    _, official, reasons = check_profile(request(workspace, stage, unofficial=True), small)
    assert not official
    assert len([reason for reason in reasons if "4096" in reason]) == 1


def test_unofficial_is_unofficial_on_a_workstation_too(workspace):
    with workspace.settings_path.open("a", encoding="utf-8") as file:
        file.write("[workstation]\nmin_cores = 1\nmin_memory_gb = 0.1\n")
    _, official, reasons = check_profile(request(workspace, "s2", unofficial=True), Workspace(workspace.root))
    assert (official, reasons) == (False, ("--unofficial was given",))


def write_packet(workspace: Workspace, text: str) -> None:
    workspace.packet("new", "s1").parent.mkdir(parents=True)
    workspace.packet("new", "s1").write_text(text, encoding="utf-8")


def test_a_written_packet_is_handed_on(workspace):
    text = (
        "# new s1\n\n"
        + "".join(f"## {heading}\n\n{body}\n\n" for heading, body in HUMAN.items())
        + "## Evidence\n\n## Outcome\n"
    )
    write_packet(workspace, text)
    assert check_packet(workspace, "new", "s1") == text


def test_an_unwritten_packet_is_refused_with_the_command_that_begins_it(workspace):
    with pytest.raises(RequestRefused, match="it does not exist") as caught:
        check_packet(workspace, "new", "s1")
    assert "stagegate packet new s1" in caught.value.remedy
    write_packet(workspace, packet_template("new", "s1"))
    with pytest.raises(RequestRefused, match="the explainability packet is not written"):
        check_packet(workspace, "new", "s1")


def test_a_packet_that_is_no_text_is_refused(workspace):
    write_packet(workspace, "")
    workspace.packet("new", "s1").write_bytes(b"\xff\xfe")
    with pytest.raises(RequestRefused, match="it cannot be read"):
        check_packet(workspace, "new", "s1")


def test_a_file_where_records_belong_is_refused(workspace):
    check_writable(workspace)
    workspace.gate_results.touch()
    with pytest.raises(RequestRefused, match="cannot be written to"):
        check_writable(workspace)


def test_every_input_must_be_readable(workspace):
    candidate = lay_out(workspace.root / "candidate").candidate
    check_inputs(candidate)
    candidate.reference_path("sector").unlink()
    with pytest.raises(
        RequestRefused, match=r"reference\.sector of the candidate cannot be read: expected a regular file"
    ) as caught:
        check_inputs(candidate)
    assert caught.value.where.endswith("sectors.csv")
    candidate.reference_path("sector").mkdir()
    with pytest.raises(RequestRefused, match="found something else"):
        check_inputs(candidate)


def test_the_code_that_runs_is_the_code_that_is_checked(tmp_path):
    with pytest.raises(RequestRefused, match="the code that runs is another copy"):
        check_code(tmp_path)


def test_dirt_is_named_up_to_five_entries(monkeypatch, pytestconfig):
    root = pytestconfig.rootpath
    dirty = replace(inspect_code(root), dirt=tuple(f"modified: {number}.py" for number in range(8)))
    monkeypatch.setattr("reports.run.ground.inspect_code", lambda repository: dirty)
    with pytest.raises(RequestRefused, match=r"modified: 4\.py; and 3 more"):
        check_code(root)
