"""What the bench says in one process is what a clean child with two workers says."""

from __future__ import annotations

import pytest

from tests.gates.test_planted_defects import CASES

CHOSEN = [case for case in CASES if (case.stage, case.name) in {("s1", "swapped_high_and_low"), ("s2", "turned round")}]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CHOSEN])
def test_a_clean_child_agrees(case, bench):
    with bench.rehearsed(bench.candidate(case.changes, case.files)) as rehearsed:
        run = rehearsed.run_in_child(case.stage, workers=2)
    assert (run.broken("hard"), run.broken("diagnostic"), run.unmeasured) == (case.fails, case.shows, case.unmeasured)
    assert run.verdict.name == "FAIL"
