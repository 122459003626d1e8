"""S4 champion: said when there is none; passed by what is different, and by what is clearly better."""

from __future__ import annotations

import pytest

from tests.gates.champions import AFTER_THE_CHAMPION, CHAMPION, poorer, unrelated, with_champion


def note_of(run) -> str:
    return run.cell("s4.champion").evidence[1].note


def test_no_champion_is_said(honest):
    run = honest.run("s4")
    assert run.cell("s4.champion").outcome == "passed"
    assert "no champion: nothing of family" in note_of(run)
    assert "no live book is declared" in note_of(run)


@pytest.mark.parametrize("change", [unrelated, poorer], ids=["different", "clearly better"])
def test_an_honest_challenger_passes(bench, change):
    with bench.rehearsed(bench.candidate({}), AFTER_THE_CHAMPION) as rehearsed:
        with_champion(change)(rehearsed)
        run = rehearsed.run("s4")
    assert run.verdict.name == "PASS", run.messages
    assert f"champion {CHAMPION}" in note_of(run)
    assert "Ledoit-Wolf p" in note_of(run)


def test_what_was_promoted_after_the_freeze_is_no_champion(bench):
    with bench.rehearsed(bench.candidate({})) as rehearsed:
        with_champion(poorer)(rehearsed)
        run = rehearsed.run("s4")
    assert "no champion" in note_of(run)
