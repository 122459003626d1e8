"""The freeze: what it pins, that it is the same for the same inputs, and that it notices every change."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from reports.criteria.freeze import drift, parse_freeze, read_freeze
from reports.record.durable import dump_json, write_new
from reports.record.errors import RecordError, RequestRefused
from reports.record.workspace import Workspace
from tests.reports.frozen_candidate import CODE, NO_HISTORY, TAG, Frozen, lay_out

PACKAGES = "4" * 64


@pytest.fixture
def frozen(tmp_path) -> Frozen:
    return lay_out(tmp_path)


def test_the_same_inputs_give_the_same_bytes(frozen):
    assert dump_json(frozen.record()) == dump_json(frozen.record())


def test_nothing_drifts_by_itself(frozen):
    assert drift(frozen.freeze(), frozen.places, CODE, PACKAGES) == ()


EDITS: dict[str, Callable[[Frozen], object]] = {
    "data": lambda frozen: (frozen.candidate_path.parent / "prices.csv").write_text("x"),
    "reference.sector": lambda frozen: (frozen.candidate_path.parent / "sectors.csv").unlink(),
    "candidate file": lambda frozen: frozen.candidate_path.open("a").write("# more\n"),
    "policy": lambda frozen: frozen.policy_path.open("a").write("# more\n"),
    "stagegate.toml": lambda frozen: frozen.places.workspace.settings_path.write_text("[workstation]\nmin_cores = 2\n"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_changed_file_is_named_with_what_was_expected_and_found(frozen, name):
    freeze = frozen.freeze()
    EDITS[name](frozen)
    (found,) = drift(freeze, frozen.again().places, CODE, PACKAGES)
    assert found.startswith(f"{name} changed since the freeze: expected ")
    assert ", found " in found


def test_a_link_that_leads_elsewhere_than_when_it_was_frozen_is_a_change(frozen, tmp_path):
    link, kept, other = frozen.candidate_path.parent / "prices.csv", tmp_path / "kept", tmp_path / "other"
    link.rename(kept)
    link.symlink_to(kept)
    freeze = frozen.again().freeze()
    assert drift(freeze, frozen.places, CODE, PACKAGES) == ()
    other.write_text("x")
    link.unlink()
    link.symlink_to(other)
    (found,) = drift(freeze, frozen.places, CODE, PACKAGES)
    assert found.startswith("data changed since the freeze")


@pytest.mark.parametrize(
    ("code", "packages", "name"),
    [
        (replace(CODE, tree_sha256="9" * 64), PACKAGES, "code tree"),
        (replace(CODE, gates_sha256="9" * 64), PACKAGES, "gates"),
        (CODE, "9" * 64, "packages"),
    ],
)
def test_changed_code_and_packages_are_named(frozen, code, packages, name):
    (found,) = drift(frozen.freeze(), frozen.places, code, packages)
    assert found.startswith(f"{name} changed")


def test_another_commit_of_the_same_tree_is_no_drift(frozen):
    assert drift(frozen.freeze(), frozen.places, replace(CODE, git_commit="git:" + "9" * 40), PACKAGES) == ()


def test_paths_are_found_again_where_workspace_and_repository_have_moved(frozen, tmp_path):
    freeze = frozen.freeze()
    assert freeze.record["candidate"]["path"] == "workspace:c/candidate.toml"
    frozen.places.workspace.root.rename(tmp_path / "moved")
    moved = replace(frozen.places, workspace=Workspace(tmp_path / "moved"))
    assert drift(freeze, moved, CODE, PACKAGES) == ()
    assert freeze.candidate(moved).data_path == tmp_path / "moved" / "c" / "prices.csv"


def test_the_frozen_candidate_is_the_one_that_was_frozen_not_the_one_that_lies_there(frozen):
    freeze = frozen.freeze()
    before = frozen.candidate.config()
    frozen.candidate_path.write_text(frozen.candidate_path.read_text().replace("target_aum = 1e7", "target_aum = 9e9"))
    assert freeze.candidate(frozen.places).config() == before


def test_the_seed_belongs_to_the_configuration(frozen):
    seed = frozen.freeze().seed
    assert frozen.freeze(tag="another").seed == seed
    frozen.candidate_path.write_text(frozen.candidate_path.read_text().replace("fee_bps = 1.0", "fee_bps = 1.5"))
    assert frozen.freeze().seed != seed


def test_a_first_preregistered_trial_gets_its_own_bound_and_a_second_does_not(frozen):
    first = frozen.freeze()
    second = frozen.freeze(history={**NO_HISTORY, "family_tags": ["earlier"]})
    assert [freeze.expected("s3")[0].thresholds[0].bound for freeze in (first, second)] == [2.0, 3.0]


def test_a_loosened_threshold_is_refused(frozen):
    frozen.candidate_path.write_text(frozen.candidate_path.read_text() + '\n[policy]\n"s3.shard_t" = -2.0\n')
    with pytest.raises(RequestRefused, match=r"s3.shard_t >= -2 is looser than the policy's >= -1.65"):
        frozen.record()


def test_a_tightened_threshold_is_frozen(frozen):
    frozen.candidate_path.write_text(frozen.candidate_path.read_text() + '\n[policy]\n"s3.shard_t" = 0.5\n')
    bounds = {
        each.bound for cell in frozen.freeze().expected("s3") if cell.gate == "s3.shard_t" for each in cell.thresholds
    }
    assert bounds == {0.5}


def test_a_freeze_is_read_back_by_its_tag(frozen):
    write_new(frozen.places.workspace.freeze(TAG), dump_json(frozen.record()))
    assert read_freeze(frozen.places.workspace, TAG) == frozen.freeze()


def test_another_tags_freeze_is_not_taken(frozen):
    write_new(frozen.places.workspace.freeze("other"), dump_json(frozen.record()))
    with pytest.raises(RecordError, match=f"names tag {TAG}, expected other"):
        read_freeze(frozen.places.workspace, "other")


def test_no_freeze_says_what_to_run(frozen):
    with pytest.raises(RecordError, match="no freeze of tag nobody") as caught:
        read_freeze(frozen.places.workspace, "nobody")
    assert "run s0" in caught.value.remedy


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"schema": 2}', b'{"schema": 1}', b'{"schema": 1, "schema": 1}', b"\xff"]
)
def test_what_is_no_freeze_is_a_record_error(data):
    with pytest.raises(RecordError):
        parse_freeze(data, "there")


@pytest.mark.parametrize("key", ["decision_tag", "seed", "candidate", "expected", "history", "policy_sha256"])
def test_a_missing_part_is_named(frozen, key):
    record = frozen.record()
    del record[key]
    with pytest.raises(RecordError, match=key):
        parse_freeze(json.dumps(record).encode(), "there")
