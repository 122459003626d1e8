"""Every reader of a file that somebody else may have written, given a few hostile files; `python -m tests.faults.fuzz_readers` gives it many."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults.fuzz_readers import fuzz_reader
from tests.faults.fuzzed_readers import readers

pytestmark = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed (Debian: openssh-client)"
)


def test_every_reader_answers_in_typed_errors_only(tmp_path: Path) -> None:
    tallies = [fuzz_reader(name, reader, tmp_path, 25, 15, 11) for name, reader in readers(tmp_path).items()]
    assert len(tallies) > 20
    assert [problem for tally in tallies for problem in tally.problems or ()] == []
    assert all(tally.inputs >= 27 for tally in tallies)


def test_a_reader_that_raises_anything_else_is_told_apart(tmp_path: Path) -> None:
    honest = readers(tmp_path)["statement"]

    def careless(data: bytes, _: Path) -> None:
        data.decode()

    tally = fuzz_reader("careless", type(honest)(honest.honest, honest.made_up, careless), tmp_path, 60, 5, 11)
    assert tally.failures > 0
    assert "UnicodeDecodeError" in (tally.problems or [""])[0]
