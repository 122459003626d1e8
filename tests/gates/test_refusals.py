"""What never reaches a gate: a loosened threshold and an owner's signature are refused at the door, and again behind it."""

from __future__ import annotations

import pytest

import reports.committee.signing
import reports.run.rehearsal
from reports.record.errors import RequestRefused, SigningError
from reports.record.workspace import STAGES


def test_a_loosened_threshold_is_refused_before_anything_is_frozen(bench):
    loosened = bench.candidate({"[signal]": '[policy]\n"s1.ic_t" = 1.0\n\n[signal]'})
    with (
        pytest.raises(RequestRefused, match=r"s1\.ic_t >= 1 is looser than the policy's >= 3"),
        bench.rehearsed(loosened),
    ):
        pytest.fail("a loosened candidate was frozen")


def test_a_tightened_threshold_is_judged(bench):
    """The honest control: stricter is allowed, and decides."""
    tightened = bench.candidate({"[signal]": '[policy]\n"s2.risk.turnover_overlap" = 0.99\n\n[signal]'})
    with bench.rehearsed(tightened) as rehearsed:
        run = rehearsed.run("s2")
    assert run.verdict.name == "FAIL"
    assert run.broken("hard") == {"s2.risk.turnover_overlap"}
    assert "required >= 0.99" in run.explanation("s2.risk.turnover_overlap")


def test_an_owner_cannot_sign(bench, monkeypatch):
    monkeypatch.setattr(reports.run.rehearsal, "OWNER", reports.run.rehearsal.COMMITTEE[0])
    with pytest.raises(SigningError, match="owner"), bench.rehearsed(bench.candidate({})):
        pytest.fail("the owner's signature was taken")


def test_an_owners_signature_that_was_taken_nevertheless_does_not_count(bench, monkeypatch):
    """A signing tool that does not look: the gate does."""
    monkeypatch.setattr(reports.run.rehearsal, "OWNER", reports.run.rehearsal.COMMITTEE[0])
    monkeypatch.setattr(reports.committee.signing, "_demand_may_sign", lambda *_: None)
    with bench.rehearsed(bench.candidate({})) as rehearsed:
        run = rehearsed.run("s4")
    assert run.broken("hard") == {"s4.sign_off"}
    assert "1 of 2 required" in run.explanation("s4.sign_off")
    assert "owner" in run.explanation("s4.sign_off")


def test_production_gates_without_a_passed_s2_fail_governance(bench, monkeypatch):
    monkeypatch.setattr(
        reports.run.rehearsal, "STAGES", {stage: name for stage, name in STAGES.items() if stage != "s2"}
    )
    with bench.rehearsed(bench.candidate({})) as rehearsed:
        run = rehearsed.run("s3")
    assert run.broken("hard") == {"s3.governance"}
    assert "s2 of rehearsal has no official PASS" in run.explanation("s3.governance")
