"""Which files make a batch, and what stops one: names that are one, look alike, or cannot be tags."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.errors import CandidateError, StageGateError
from reports.run.batch import batch_files
from reports.run.request import refuse_unquoted
from tests.reports.frozen_candidate import CANDIDATE


def put(folder: Path, file: str, name: str) -> Path:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(CANDIDATE.replace(NAME_LINE, f'name = "{name}"'), encoding="utf-8")
    return path


NAME_LINE = next(line for line in CANDIDATE.splitlines() if line.startswith("name = "))


def test_files_come_by_the_names_in_them_in_the_order_of_their_paths(tmp_path):
    second, first = put(tmp_path, "b/candidate.toml", "alpha"), put(tmp_path, "a/candidate.toml", "zeta")
    put(tmp_path, "c/notes.txt", "other")
    assert batch_files("*/candidate.toml", tmp_path) == {"zeta": first, "alpha": second}
    assert list(batch_files("*/candidate.toml", tmp_path)) == ["zeta", "alpha"]
    assert batch_files(str(tmp_path / "*" / "*.toml"), Path("/nowhere")) == {"zeta": first, "alpha": second}


@pytest.mark.parametrize("other", ["Mom-12", "mom_12", "mom.12", "MOM__12"])
def test_names_that_look_alike_are_refused_with_both_files(tmp_path, other):
    put(tmp_path, "a.toml", "mom-12"), put(tmp_path, "b.toml", other)
    with pytest.raises(StageGateError) as refusal:
        batch_files("*.toml", tmp_path)
    assert "look alike" in refusal.value.what
    assert all(part in refusal.value.what for part in ("mom-12", other, "a.toml", "b.toml"))


@pytest.mark.parametrize("other", ["mom-1-2", "mom12", "mom-121"])
def test_names_that_a_reader_tells_apart_are_taken(tmp_path, other):
    put(tmp_path, "a.toml", "mom-12"), put(tmp_path, "b.toml", other)
    assert list(batch_files("*.toml", tmp_path)) == ["mom-12", other]


def test_one_name_in_two_files_is_refused(tmp_path):
    put(tmp_path, "a.toml", "same"), put(tmp_path, "b.toml", "same")
    with pytest.raises(StageGateError, match="are both named same"):
        batch_files("*.toml", tmp_path)


@pytest.mark.parametrize("name", ["two words", "a/b", "..", "-x", "trailing.", "ümlaut"])
def test_a_name_that_cannot_be_a_tag_is_refused_with_its_file(tmp_path, name):
    path = put(tmp_path, "a.toml", name)
    with pytest.raises(CandidateError) as refusal:
        batch_files("*.toml", tmp_path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("pattern", ["none-*.toml", ""])
def test_a_pattern_that_matches_no_candidate_is_refused(tmp_path, pattern):
    put(tmp_path, "a.toml", "one")
    with pytest.raises(StageGateError):
        batch_files(pattern, tmp_path)


def test_a_file_that_is_no_candidate_stops_the_batch_and_is_named(tmp_path):
    put(tmp_path, "a.toml", "one")
    (tmp_path / "b.toml").write_text("schema = 1\n", encoding="utf-8")
    with pytest.raises(CandidateError, match=r"b\.toml"):
        batch_files("*.toml", tmp_path)


def test_a_pattern_that_the_shell_expanded_is_recognised():
    refuse_unquoted(["gates/s1"])
    with pytest.raises(StageGateError, match="quote it"):
        refuse_unquoted(["gates/s1", "candidates/b.toml"])
