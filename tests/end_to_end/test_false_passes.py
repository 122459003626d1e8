"""A few of the false-pass campaign's attempts, one of each kind, beside the honest control. The whole: python -m tests.faults.false_passes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults import run_race
from tests.faults.false_pass_attempts import ATTEMPTS, HONEST
from tests.faults.tiny_suite import Campground

KINDS = (
    "signal: shows tomorrow where the gates run",
    "signal: reads the prices by a library of its own",
    "a measurement planted in the cache",
    "environment: a .pth file that runs code",
    "bytecode of a judge without bounds",
    "a winner",
    "gate: a swallowed failure",
    "gate: NaN",
    "gate: a later definition",
    "hook: sets the exit status",
    "act: edits the freeze",
    "--collect-only",
    "python -O",
    "another directory's copy",
    "skip-worktree",
    "a committed link",
    "an untracked conftest.py",
    "a loosened threshold",
)
CHOSEN = {attempt.name: attempt for attempt in (*HONEST, *ATTEMPTS) if attempt.name in KINDS}


@pytest.fixture(scope="module")
def campground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campground]:
    ground = Campground(tmp_path_factory.mktemp("campground"), "0")
    yield ground
    ground.close()


@pytest.mark.parametrize("name", KINDS)
def test_an_undeserved_pass_is_not_given(campground, name):
    assert campground.make(CHOSEN[name]) in CHOSEN[name].allowed


def test_the_campaign_is_as_large_as_it_says():
    names = [attempt.name for attempt in (*HONEST, *ATTEMPTS)]
    assert len(set(names)) == len(names)
    assert len(HONEST) >= 8
    assert len(ATTEMPTS) >= 300


def test_of_two_whole_runs_at_once_one_is_let_in(tmp_path):
    assert run_race.campaign(tmp_path, 1) == (1, [])
