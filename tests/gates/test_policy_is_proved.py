"""No row of the policy without a case that breaks it, no case without a row."""

from __future__ import annotations

from reports.criteria.policy import POLICY_FILE, load_policy
from tests.gates.harness import REPOSITORY
from tests.gates.test_planted_defects import CASES

POLICY = load_policy(REPOSITORY / POLICY_FILE)


def thresholds(level: str) -> set[str]:
    return {threshold.id for row in POLICY.gate if row.level == level for threshold in row.thresholds}


def test_every_hard_threshold_is_broken_by_a_case():
    assert thresholds("hard") == set().union(*(case.fails for case in CASES))


def test_every_diagnostic_threshold_is_shown_broken_by_a_case():
    assert thresholds("diagnostic") == set().union(*(case.shows for case in CASES))


def test_a_shown_diagnostic_never_decides():
    """A case that breaks diagnostics alone must pass its stage."""
    alone = [case for case in CASES if case.shows and not case.fails | case.unmeasured]
    assert alone
    assert {case.verdict for case in alone} == {"PASS"}


def test_every_case_names_gates_that_exist():
    keys = {row.key for row in POLICY.gate}
    named = {gate for case in CASES for gate in (*case.unmeasured, *case.mentions)}
    assert named <= keys


def test_case_names_tell_cases_apart():
    names = [(case.stage, case.name) for case in CASES]
    assert len(set(names)) == len(names)


def test_thresholds_of_a_case_belong_to_its_stage():
    assert [case.name for case in CASES if any(not name.startswith(f"{case.stage}.") for name in case.thresholds)] == []
