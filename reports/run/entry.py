"""May this run start? Everything that is checked before a tag is claimed. Nothing is written here.

Rules, in the order they are checked; each refusal names what was expected, what was found and what to do.

1. The code that runs is the repository's, committed, with nothing modified, untracked or hidden beside it, and packages as they were installed.
2. The registry verifies; the tag's stage is not spent, the tag not revoked, its predecessor an official PASS under the same freeze whose pack still holds.
3. s0: owner and candidate are named, the tag is new, a candidate whose last tag did not pass names it, its root cause and a difference;
   the signal runs, and the file is long enough for the walk-forward. Later stages: nothing that the freeze pins has changed.
4. The packet's human parts are written. s4: the committee has signed, and the deployment files are complete.
5. s2 and s3: the machine meets the profile, or --unofficial is given.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from engines.candidate import Candidate, load_candidate
from engines.study import open_study
from reports.criteria.codetree import CodeTree, Imprint, code_files, imprints
from reports.criteria.freeze import (
    REMEDY,
    Freeze,
    Places,
    build_freeze,
    drift,
    input_files,
    parse_freeze,
    read_freeze,
)
from reports.criteria.looks import KIND_OF_STAGE, looks
from reports.criteria.machine import Machine, this_machine
from reports.criteria.rerun import ROOT_CAUSES, difference, rerun_warnings, root_cause_class
from reports.pack import packet
from reports.record.clock import iso
from reports.record.durable import dump_json
from reports.record.errors import RequestRefused
from reports.record.registry import Row
from reports.record.workspace import Workspace, previous_stage
from reports.run.ground import Ground
from reports.run.request import RunRequest
from reports.run.sealed_window import check_deployable
from reports.verification.pack_check import verify_pack

PROFILED_STAGES: Final = ("s2", "s3")


@dataclass(frozen=True, slots=True)
class Entry:
    """A request that may start, with everything the run will stand on."""

    request: RunRequest
    places: Places
    code: CodeTree
    packages_sha256: str
    machine: Machine
    official: bool
    official_reasons: tuple[str, ...]
    freeze: Freeze
    freeze_bytes: bytes | None
    candidate: Candidate
    packet_text: str
    multipliers: tuple[float, ...]
    notes: tuple[str, ...]
    imprints: Mapping[Path, Imprint | None]


def check_entry(request: RunRequest, ground: Ground, moment: datetime) -> Entry:
    """Check the rules of one tag in turn; RequestRefused or another StageGateError when one does not hold."""
    places, code, packages, rows = ground.places, ground.code, ground.packages_sha256, ground.rows
    check_unspent(rows, request)
    if request.stage == "s0":
        freeze_bytes: bytes | None = _new_freeze(request, places, code, packages, rows, moment)
        freeze = parse_freeze(freeze_bytes or b"", "the new freeze")
    else:
        freeze_bytes, freeze = None, _standing_freeze(request, places, code, packages, rows)
    machine, official, reasons = check_profile(request, places.workspace)
    candidate = freeze.candidate(places)
    multipliers = check_choices(request, candidate)
    text = check_packet(places.workspace, request.tag, request.stage)
    if request.stage == "s4":
        check_deployable(places.workspace, rows, request.tag, f"sha256:{freeze.sha256}", moment)
    notes = (
        *(scope_notes(candidate, freeze, ground.scratch) if request.stage == "s0" else ()),
        *rerun_warnings(freeze.record["history"]),
        *look_notes(rows, freeze, request.stage),
    )
    return Entry(
        request,
        places,
        code,
        packages,
        machine,
        official,
        reasons,
        freeze,
        freeze_bytes,
        candidate,
        text,
        multipliers,
        notes,
        imprints(
            (*code_files(request.repository), freeze.candidate_path(places), *input_files(candidate).values()),
        ),
    )


def check_unspent(rows: Sequence[Row], request: RunRequest) -> None:
    """RequestRefused when the tag's stage was started officially before, the tag was revoked, or another tag differs by case only."""
    for row in rows:
        tag = row["decision_tag"]
        if tag != request.tag:
            if tag.lower() == request.tag.lower():
                raise RequestRefused(
                    f"tag {request.tag} differs by case only from another: expected a tag of its own, found {tag} in registry row {row.seq}",
                    where="--decision-tag",
                    remedy="choose another tag",
                )
            continue
        if row["event"] == "REVOKED":
            raise RequestRefused(
                f"tag {tag} was revoked: expected a tag that stands, found REVOKED in registry row {row.seq}",
                where="--decision-tag",
                remedy="start a new tag from s0",
            )
        if row["event"] == "STARTED" and row["stage"] == request.stage and row["official"] == "true":
            raise RequestRefused(
                f"{request.stage} of tag {tag} is spent: expected no official start of it, found registry row {row.seq}, run {row['run_id']}",
                where="--decision-tag",
                remedy=f"see `stagegate status`; a further attempt needs a new tag from s0 with --supersedes {tag} --root-cause",
            )


def check_profile(request: RunRequest, workspace: Workspace) -> tuple[Machine, bool, tuple[str, ...]]:
    """The machine, whether the run is official on it, and why not."""
    machine = this_machine()
    short = machine.below(workspace.settings.workstation) if request.stage in PROFILED_STAGES else ()
    if short and not request.unofficial:
        raise RequestRefused(
            f"the machine is below the workstation profile: expected what it asks for, found {'; '.join(short)}",
            where="[workstation] of stagegate.toml",
            remedy=f"run {request.stage} on the workstation, or add --unofficial for a run that promotes nothing",
        )
    asked = ("--unofficial was given",) if request.unofficial and request.stage in PROFILED_STAGES else ()
    reasons = (*short, *asked)
    return machine, not reasons, reasons


def check_choices(request: RunRequest, candidate: Candidate) -> tuple[float, ...]:
    """The multipliers that are judged, as frozen unless narrowed. RequestRefused when a choice contradicts the freeze."""
    frozen = tuple(candidate.walk_forward.cost_multipliers)
    if request.wf_shards is not None and request.wf_shards != candidate.walk_forward.shards:
        raise RequestRefused(
            f"--wf-shards is not as frozen: expected {candidate.walk_forward.shards}, found {request.wf_shards}",
            where="--wf-shards",
            remedy="leave it out, or state the frozen number",
        )
    chosen = request.cost_multipliers or frozen
    strange = sorted(set(chosen) - set(frozen))
    if strange:
        raise RequestRefused(
            f"a multiplier is not frozen: expected some of {', '.join(f'{value:g}' for value in frozen)}, found {strange[0]:g}",
            where="--cost-multipliers",
            remedy="choose among the frozen ones",
        )
    return tuple(value for value in frozen if value in chosen)


def check_packet(workspace: Workspace, tag: str, stage: str) -> str:
    """The packet's text; RequestRefused when it is missing or its human parts are not written."""
    path = workspace.packet(tag, stage)
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        problems: Sequence[str] = ("it does not exist",)
    except (OSError, UnicodeDecodeError) as error:
        problems = (f"it cannot be read: {error}",)
    else:
        problems = packet.check_human_parts(text, tag, stage)
        if not problems:
            return text
    raise RequestRefused(
        f"the explainability packet is not written: expected its four human parts, found: {'; '.join(problems)}",
        where=str(path),
        remedy=f"run `stagegate packet {tag} {stage}`, then write What changed, Why, Expected impact and risk, Next action",
    )


def look_notes(rows: Sequence[Row], freeze: Freeze, stage: str) -> tuple[str, ...]:
    """How often the out-of-sample windows that this run will see were looked at before; nothing for a stage that sees none."""
    windows = KIND_OF_STAGE.get(stage)
    return () if windows is None else (looks(rows, freeze, windows, stage).note,)


def scope_notes(candidate: Candidate, freeze: Freeze, scratch: Path) -> tuple[str, ...]:
    """Call the signal and lay out the walk-forward once, and say now what the length of the file rules out later.

    The panel is built below `scratch`, a temporary folder, so that a refusal leaves nothing behind. StageGateError when the file is no panel, the
    signal raises or breaks its contract, or there are fewer windows than shards.
    """
    scope = open_study(candidate, scratch).check_scope()
    needed = next(
        (
            each.bound
            for cell in freeze.expected("s1")
            for each in cell.thresholds
            if each.id == "s1.observations.rebalances"
        ),
        0.0,
    )
    if scope.n_rebalances >= needed:
        return ()
    return (
        f"the file is too short: {scope.n_rebalances} rebalances from {scope.first_rebalance} to {scope.last_date}, "
        f"s1.observations asks for {needed:g}; this tag cannot leave s1",
    )


def _standing_freeze(request: RunRequest, places: Places, code: CodeTree, packages: str, rows: Sequence[Row]) -> Freeze:
    """The tag's freeze, unchanged, with its previous stage passed under it and that stage's pack intact."""
    tag, before = request.tag, previous_stage(request.stage)
    passed = next(
        (
            row
            for row in reversed(rows)
            if row["decision_tag"] == tag
            and row["stage"] == before
            and row["event"] == "FINISHED"
            and row["official"] == "true"
        ),
        None,
    )
    if passed is None or passed["verdict"] != "PASS":
        found = (
            "no finished official run" if passed is None else f"verdict {passed['verdict']} (registry row {passed.seq})"
        )
        raise RequestRefused(
            f"{request.stage} follows on {before}: expected an official PASS of {before} for tag {tag}, found {found}",
            where="registry",
            remedy=f"see `stagegate status`; run {before} first",
        )
    freeze = read_freeze(places.workspace, tag)
    if passed["freeze_sha256"] != f"sha256:{freeze.sha256}":
        raise RequestRefused(
            f"the freeze is not the one {before} passed under: expected {passed['freeze_sha256']}, found sha256:{freeze.sha256}",
            where=str(places.workspace.freeze(tag)),
            remedy=REMEDY,
        )
    faults = (*verify_pack(places.workspace, passed), *drift(freeze, places, code, packages))
    if faults:
        raise RequestRefused(
            f"what was frozen has changed: expected all as it was, found: {'; '.join(faults)}",
            where=f"tag {tag}",
            remedy=REMEDY,
        )
    for name, given, frozen in (
        ("--owner", request.owner, freeze.owner),
        ("--candidate", request.candidate, freeze.candidate_path(places)),
    ):
        if (
            given is not None
            and given != frozen
            and not (isinstance(given, Path) and given.resolve() == Path(frozen).resolve())
        ):
            raise RequestRefused(
                f"{name} is not as frozen: expected {frozen}, found {given}",
                where=name,
                remedy="leave it out: after s0 the tag is enough",
            )
    if request.supersedes or request.root_cause:
        raise RequestRefused(
            f"--supersedes and --root-cause belong to s0: expected neither at {request.stage}, found {request.supersedes or request.root_cause!r}",
            where="command line",
            remedy="leave them out: the freeze holds them",
        )
    return freeze


def _new_freeze(
    request: RunRequest, places: Places, code: CodeTree, packages: str, rows: Sequence[Row], moment: datetime
) -> bytes:
    """The freeze that s0 will write. RequestRefused when the candidate may not start under this tag."""
    if request.candidate is None or request.owner is None:
        lacking = "--candidate" if request.candidate is None else "--owner"
        raise RequestRefused(
            f"s0 needs {lacking}: expected both --candidate and --owner, found {lacking} missing",
            where="command line",
            remedy="pytest gates/s0 --candidate FILE --decision-tag TAG --owner NAME",
        )
    if places.workspace.freeze(request.tag).exists() or any(row["decision_tag"] == request.tag for row in rows):
        raise RequestRefused(
            f"tag {request.tag} exists already: expected a new one, found its freeze or a registry row",
            where="--decision-tag",
            remedy="choose a new tag; a tag is used once",
        )
    candidate = load_candidate(request.candidate)
    check_inputs(candidate)
    history = candidate_history(rows, candidate, request.supersedes, request.root_cause)
    # what is tried in the same batch is tried: its tags count for the family as if they had come before
    history["family_tags"] += request.siblings
    return build_and_compare(request, candidate, places, code, packages, history, moment)


def check_inputs(candidate: Candidate) -> None:
    """RequestRefused when a file that the candidate declares cannot be read."""
    for name, path in input_files(candidate).items():
        if not (path.is_file() and os.access(path, os.R_OK)):
            raise RequestRefused(
                f"{name} of the candidate cannot be read: expected a regular file that this user may read, "
                f"found {'something else' if path.exists() else 'nothing'}",
                where=str(path),
                remedy="correct the path in candidate.toml, or bring the file there",
            )


def build_and_compare(
    request: RunRequest,
    candidate: Candidate,
    places: Places,
    code: CodeTree,
    packages: str,
    history: Mapping[str, Any],
    moment: datetime,
) -> bytes:
    """The bytes of the new freeze, with what differs from the superseded tag. RequestRefused when something must and nothing does."""
    record = build_freeze(
        candidate,
        request.candidate or Path(),
        tag=request.tag,
        owner=request.owner or "",
        created_utc=iso(moment),
        places=places,
        code=code,
        packages_sha256=packages,
        history=history,
    )
    if history["supersedes"]:
        old = read_freeze(places.workspace, history["supersedes"])
        record["history"]["differs_in"] = list(difference(old.record, record))
        if history["must_differ"] and not record["history"]["differs_in"]:
            raise RequestRefused(
                f"nothing differs from tag {old.tag}, which failed, and the same inputs give the same verdict: expected a difference, found none",
                where="--supersedes",
                remedy="change parameters, data, code, packages or policy (a new name or other words do not count), and name the root cause; the record does not reset a failure",
            )
    return dump_json(record)


def candidate_history(
    rows: Sequence[Row], candidate: Candidate, supersedes: str | None, root_cause: str | None
) -> dict[str, Any]:
    """Where the candidate stands in the registry: its family's tags, its last tag and what a rerun owes.

    RequestRefused when the last tag of the candidate did not pass and is not named with a root cause, or when another tag is named.
    """
    family_tags = list(dict.fromkeys(row["decision_tag"] for row in rows if row["family"] == candidate.family))
    mine = list(dict.fromkeys(row["decision_tag"] for row in rows if row["candidate"] == candidate.name))
    owed = last_unpassed(rows, mine[-1]) if mine else None
    if supersedes is not None and supersedes not in {row["decision_tag"] for row in rows}:
        raise RequestRefused(
            f"--supersedes names a tag that is not in the registry: expected one of its tags, found {supersedes}",
            where="--supersedes",
            remedy="name an existing tag",
        )
    if owed is not None and supersedes != mine[-1]:
        raise RequestRefused(
            f"the last tag of {candidate.name}, {mine[-1]}, ended as {owed}: expected a new tag to name it, found {supersedes or 'nothing'}",
            where="--supersedes",
            remedy=f'add --supersedes {mine[-1]} --root-cause CLASS:"what was wrong" with CLASS one of {", ".join(ROOT_CAUSES)}',
        )
    if supersedes is not None:
        check_root_cause(root_cause, environment_only=owed in ("INCOMPLETE", "ABANDONED"))
    elif root_cause is not None:
        raise RequestRefused(
            "--root-cause needs --supersedes: expected both or neither, found --root-cause alone",
            where="--root-cause",
            remedy="name the tag whose root cause this is",
        )
    return {
        "registry_seq": rows[-1].seq if rows else 0,
        "family_tags": family_tags,
        "supersedes": supersedes,
        "root_cause": root_cause,
        "superseded_ended": owed,
        "must_differ": owed == "FAIL",
        "differs_in": [],
    }


def last_unpassed(rows: Sequence[Row], tag: str) -> str | None:
    """FAIL, INCOMPLETE or ABANDONED when an official run of the tag ended so; None when nothing of it did."""
    ended = {
        row["run_id"]: row["verdict"] or row["event"]
        for row in rows
        if row["decision_tag"] == tag and row["event"] in ("FINISHED", "ABANDONED")
    }
    official = [
        row for row in rows if row["decision_tag"] == tag and row["event"] == "STARTED" and row["official"] == "true"
    ]
    for row in reversed(official):
        outcome = ended.get(row["run_id"], "ABANDONED")
        if outcome != "PASS":
            return str(outcome)
    return None


def check_root_cause(root_cause: str | None, *, environment_only: bool) -> None:
    """RequestRefused when the root cause is missing, has no class, an unknown class or no text."""
    named = root_cause_class(root_cause or "")
    if not named:
        raise RequestRefused(
            f"--root-cause is incomplete: expected CLASS:text, found {root_cause!r}",
            where="--root-cause",
            remedy=f"start it with one of {', '.join(f'{name}:' for name in ROOT_CAUSES)} and say what was wrong",
        )
    if environment_only and named not in ("environment", "external"):
        raise RequestRefused(
            f"the superseded tag did not come back, which says nothing about its {named}: expected environment or external, found {named}",
            where="--root-cause",
            remedy="use environment: and say what happened",
        )
