"""What the bench says in one process is what a clean child with two workers says."""

from __future__ import annotations

from tests.gates.test_planted_defects import CASES

TURNED_ROUND = next(case for case in CASES if (case.stage, case.name) == ("s2", "turned round"))


def test_a_clean_child_agrees(bench):
    case = TURNED_ROUND
    with bench.rehearsed(bench.candidate(case.changes, case.files)) as rehearsed:
        run = rehearsed.run_in_child(case.stage, workers=2)
    assert (run.broken("hard"), run.broken("diagnostic"), run.unmeasured) == (case.fails, case.shows, case.unmeasured)
    assert run.verdict.name == "FAIL"
