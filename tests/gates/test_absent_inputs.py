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


@pytest.mark.parametrize("stage", NEEDS)
def test_an_input_declared_absent_is_counted(stage, bench):
    with bench.rehearsed(bench.candidate({**TABLES, "[signal]": REASONS})) as rehearsed:
        run = rehearsed.run(stage)
    assert (run.verdict.name, run.absent) == ("PASS", frozenset(NEEDS[stage].values()))
    assert "is absent: share counts are not published" in run.explanation(NEEDS[stage]["market_cap"])
    assert run.cell(NEEDS[stage]["sector"]).evidence == ()
    if stage == "s3":
        assert "no market caps declared" in run.cell("s3.wf_gate_positive_mean").evidence[0].note


@pytest.mark.parametrize("stage", NEEDS)
def test_an_input_left_out_fails_the_gates_that_need_it(stage, bench):
    with bench.rehearsed(bench.candidate(TABLES)) as rehearsed:
        run = rehearsed.run(stage)
    assert (run.verdict.name, run.absent) == ("FAIL", frozenset())
    assert run.broken("hard") == frozenset(NEEDS[stage].values())
    for needed, gate in NEEDS[stage].items():
        assert f"needs [data.reference] {needed}, which the candidate does not declare" in run.explanation(gate)


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
