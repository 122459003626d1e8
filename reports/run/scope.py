"""What the gates of S0, S3 and S4 read of the record, as plain findings: a list of faults, or what was read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from engines.digest import sha256_file
from engines.errors import DataError
from engines.monitoring import Reference, out_of_sample_book
from engines.panel import contract_faults, read_header
from engines.study import Study
from reports.committee.signoff import SignOff, signoff_of
from reports.criteria.codetree import inspect_code
from reports.criteria.freeze import drift
from reports.criteria.machine import packages_sha256
from reports.criteria.policy import loosened
from reports.criteria.rerun import written
from reports.deployment import readiness
from reports.deployment.champion import Champions
from reports.deployment.champion import champions as find_champions
from reports.deployment.readiness import Rollback, Watchlist
from reports.record.errors import RecordError
from reports.record.registry import Registry
from reports.run.session import GateSession
from reports.verification.pack_check import verify_pack


def decision_note(session: GateSession) -> dict[str, str]:
    """The decision note: who asks what, of which universe, under which protocol."""
    config = session.freeze.record["candidate"]["config"]
    return {
        "tag": session.freeze.tag,
        "owner": session.freeze.owner,
        "date": session.freeze.record["created_utc"],
        "research question": config["hypothesis"],
        "universe constraints": config["universe_constraints"],
        "protocol version": config["protocol_version"],
        "hypothesis family": config["family"],
    }


def decision_note_faults(session: GateSession) -> tuple[str, ...]:
    """Fields of the decision note that are empty or placeholders."""
    note = decision_note(session)
    return tuple(f"{name} is {value!r}" for name, value in note.items() if written(value) == "not written")


def header_faults(session: GateSession) -> tuple[str, ...]:
    """Where the file's header, types and first rows contradict what the candidate declares."""
    try:
        return contract_faults(session.candidate, read_header(session.candidate))
    except DataError as error:
        return (str(error),)


def loosened_thresholds(session: GateSession) -> tuple[str, ...]:
    """Overrides of the candidate that are looser than the policy as it lies today."""
    first_trial = bool(session.freeze.record["history"]["first_trial"])
    return loosened(session.policy, session.candidate.policy, first_trial=first_trial)


def unpinned_inputs(session: GateSession) -> tuple[str, ...]:
    """What the freeze does not pin, or pins as something else than what lies there. A rehearsal does not judge the code tree."""
    code = session.freeze.code if session.rehearsal else inspect_code(session.places.repository)
    unpinned = tuple(f"{name} has no hash" for name, value in _pins(session.freeze.record).items() if not value)
    return (*unpinned, *code.dirt, *drift(session.freeze, session.places, code, packages_sha256()))


def _pins(record: Any) -> dict[str, Any]:
    return {
        "commit": record["code"]["git_commit"],
        "code tree": record["code"]["tree_sha256"],
        "gates": record["code"]["gates_sha256"],
        "packages": record["packages_sha256"],
        "policy": record["policy_sha256"],
        "candidate": record["candidate"]["sha256"],
        "data": record["data"]["sha256"],
    }


def rerun_faults(session: GateSession) -> tuple[str, ...]:
    """Duties of a rerun that the freeze does not show as met."""
    history = session.freeze.record["history"]
    faults = []
    if history["superseded_ended"] and not history["supersedes"]:
        faults.append("the last tag of this candidate did not pass and is not named")
    if history["supersedes"] and not history["root_cause"]:
        faults.append(f"no root cause is named for {history['supersedes']}")
    if history["must_differ"] and not history["differs_in"]:
        faults.append(f"nothing differs from {history['supersedes']}, which failed")
    return tuple(faults)


def selection_faults(session: GateSession, stage: str, collected: Sequence[str]) -> tuple[str, ...]:
    """Expected cells of a stage that were not collected, and collected nodes of it that nobody expects."""
    expected = {session.node_of(cell.node) for cell in session.expected_of(stage)}
    ours = {node for node in collected if node.startswith(f"gates/{stage}/")}
    lacking = tuple(f"not collected: {node}" for node in sorted(expected - ours))
    return (*lacking, *(f"not expected: {node}" for node in sorted(ours - expected)))


def governance_faults(session: GateSession) -> tuple[str, ...]:
    """S2 official PASS with a whole pack, registry verifies, and freeze, data, code and policy unchanged."""
    tag = session.freeze.tag
    try:
        passed = Registry(session.places.workspace.root).latest_finished(tag, "s2")
    except RecordError as error:
        return (str(error),)
    if passed is None or passed["verdict"] != "PASS":
        return (f"s2 of {tag} has no official PASS",)
    frozen = session.places.workspace.freeze(tag)
    moved = (
        ()
        if f"sha256:{sha256_file(frozen)}" == passed["freeze_sha256"]
        else ("the freeze is not the one s2 passed under",)
    )
    return (*moved, *verify_pack(session.places.workspace, passed), *unpinned_inputs(session))


def sign_off(session: GateSession) -> SignOff:
    """The signatures over the S3 report of this tag, as of the start of the run."""
    return signoff_of(session.places.workspace, session.freeze.tag, datetime.fromisoformat(session.started_utc))


def deployment_note_faults(session: GateSession) -> tuple[str, ...]:
    """What the deployment notes lack."""
    return readiness.deployment_note_faults(session.places.workspace, session.freeze.tag, session.freeze.sha256)


def watchlist(session: GateSession) -> Watchlist:
    """The watchlist as read, with its faults."""
    return readiness.read_watchlist(session.places.workspace.packet_dir(session.freeze.tag))


def champions(session: GateSession, study: Study) -> Champions:
    """The candidate beside what runs already, on their common out-of-sample days."""
    return find_champions(session.places, session.freeze, study.walk_forward)


def rollback(session: GateSession, study: Study) -> Rollback:
    """The rollback triggers, evaluated on the out-of-sample record and on planted breaches."""
    return readiness.judge_rollback(session.places.workspace.packet_dir(session.freeze.tag), _reference(session, study))


def trigger_behaviour(session: GateSession, study: Study, found: Rollback) -> str:
    """How the rollback triggers behave on resampled years, in one line."""
    return found.behaviour(_reference(session, study))


def _reference(session: GateSession, study: Study) -> Reference:
    series = study.walk_forward
    return Reference(out_of_sample_book(series), series.horizon_days, session.freeze.seed)
