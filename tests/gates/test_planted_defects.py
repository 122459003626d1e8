"""Every gate can fail: each planted defect breaks exactly the thresholds that it must, by their own measurement."""

from __future__ import annotations

import pytest

from tests.gates import baseline_cases, deployment_cases, production_cases, scope_cases, stress_cases

CASES = (
    *scope_cases.CASES,
    *baseline_cases.CASES,
    *stress_cases.CASES,
    *production_cases.CASES,
    *deployment_cases.CASES,
)


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{case.stage}: {case.name}") for case in CASES])
def test_a_planted_defect_fails_what_it_must(case, run_case):
    run = run_case(case)
    found = (run.broken("hard"), run.broken("diagnostic"), run.unmeasured, run.verdict.name)
    assert found == (case.fails, case.shows, case.unmeasured, case.verdict), "\n".join(run.messages)
    for gate, words in case.mentions.items():
        assert words in run.explanation(gate)
