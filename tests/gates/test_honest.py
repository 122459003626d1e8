"""An honest candidate passes every gate of every stage."""

from __future__ import annotations

import pytest

from reports.record.workspace import STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_an_honest_candidate_passes_every_gate(stage, honest):
    run = honest.run(stage)
    assert run.verdict.name == "PASS", [r.message for r in run.verdict.cells if r.outcome != "passed"]
    assert run.broken("hard") == run.broken("diagnostic") == run.unmeasured == run.absent == frozenset()
