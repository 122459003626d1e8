"""An input that does not exist, and says so, is counted; one that is merely left out fails the gates that need it."""

from __future__ import annotations

import pytest

NEEDS = {
    "s2": {"market_cap": "s2.risk.size_corr_abs", "sector": "s2.risk.industry_coverage"},
    "s3": {"market_cap": "s3.risk_gate_size_corr_abs", "sector": "s3.risk_gate_industry_coverage"},
}
TABLES = {
    'sector = "market/sectors.parquet"\n': "",
    'market_cap = "market/market_caps.parquet"\n': "",
}
REASONS = (
    '[data.absent]\nsector = "no classification exists here"\nmarket_cap = "share counts are not published"\n\n[signal]'
)


@pytest.fixture(scope="module", params=[True, False], ids=["declared absent", "left out"])
def candidate(request, bench):
    declared = {"[signal]": REASONS} if request.param else {}
    with bench.rehearsed(bench.candidate({**TABLES, **declared})) as rehearsed:
        yield request.param, rehearsed


@pytest.mark.parametrize("stage", NEEDS)
def test_inputs_that_are_not_there(stage, candidate):
    declared, rehearsed = candidate
    run = rehearsed.run(stage)
    gates = frozenset(NEEDS[stage].values())
    if declared:
        assert (run.verdict.name, run.absent, run.broken("hard")) == ("PASS", gates, frozenset())
        assert "is absent: share counts are not published" in run.explanation(NEEDS[stage]["market_cap"])
        assert run.cell(NEEDS[stage]["sector"]).evidence == ()
    else:
        assert (run.verdict.name, run.absent, run.broken("hard")) == ("FAIL", frozenset(), gates)
        for needed, gate in NEEDS[stage].items():
            assert f"needs [data.reference] {needed}, which the candidate does not declare" in run.explanation(gate)


def test_without_market_caps_the_stricter_universe_says_so(candidate):
    _, rehearsed = candidate
    passed = rehearsed.run("s3").cell("s3.wf_gate_positive_mean")
    assert passed.outcome == "passed"
    assert "no market caps declared" in passed.evidence[0].note
    assert rehearsed.run("s2").cell("s2.stress_bites").outcome == "passed"


def test_an_absent_membership_table_leaves_the_universe_bias_unjudged(bench):
    """Declared absent it is absent; left out, the diagnostic shows what is missing. Neither decides."""
    table = {'membership = "market/membership.parquet"\n': ""}
    reason = {"[signal]": '[data.absent]\nmembership = "no index covers this market"\n\n[signal]'}
    with bench.rehearsed(bench.candidate({**table, **reason})) as rehearsed:
        run = rehearsed.run("s1")
        assert (run.verdict.name, run.absent) == ("PASS", frozenset({"s1.dq.universe_bias"}))
    with bench.rehearsed(bench.candidate(table)) as rehearsed:
        run = rehearsed.run("s1")
        assert (run.verdict.name, run.broken("diagnostic")) == ("PASS", frozenset({"s1.dq.universe_bias"}))
        assert "needs [data.reference] membership" in run.explanation("s1.dq.universe_bias")
