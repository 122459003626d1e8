"""A recorded batch: one run a candidate, each with its own tag, pack, verdict and rows, out of one child that shares what they have in common.

1. Every candidate passes entry before any is started; one refusal refuses the batch, and all refusals are named. After s0, a candidate whose tag did not
   pass an earlier stage does not go on: it is left out by name.
2. Each tag's stage is claimed by a STARTED row of its own.
3. The gates of all run in one clean child, whose raw files are kept whole under runs/batches/<batch>; each candidate's share of them goes into its pack.
4. Each is judged from its share as a run of its own would be, and closed by its FINISHED row.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, TextIO

from engines.digest import sha256_file
from engines.errors import StageGateError
from reports.criteria.codetree import inspect_code
from reports.criteria.verdict import EXIT_STATUS, Verdict
from reports.record.clock import iso, stamp, utc_now
from reports.record.durable import dump_json, make_directory, write_new
from reports.record.errors import RequestRefused
from reports.record.registry import Registry, Row
from reports.run.batch import requests_of
from reports.run.batch_summary import summary_text
from reports.run.child import ChildRun
from reports.run.entry import Entry, check_entry, last_unpassed
from reports.run.ground import Ground, surveyed
from reports.run.remeasure import Remeasurement, standing_by
from reports.run.request import RunRequest
from reports.run.session import GateSession
from reports.run.share import acquitted, denied, divide_report, divide_stream, names_of
from reports.run.supervisor import (
    REFUSED,
    Run,
    after_the_run,
    begin_measuring,
    broken_text,
    closing_lines,
    conclude,
    environment_of,
    gates_in_child,
    identity,
    open_run,
    opening_text,
    session_of,
    show_refusal,
    write_run_file,
)
from reports.run.terminal import Canvas, say
from reports.verification import attestation

SHOWN_REFUSALS: Final = 10
STREAM: Final = "evidence_stream.jsonl"
REPORT: Final = "pytest_report.json"
LOG: Final = "run.log"


@dataclass(frozen=True, slots=True)
class Concluded:
    """How one candidate of a batch ended."""

    run: Run
    verdict: Verdict
    finished: Row


def supervise_batch(request: RunRequest, terminal: TextIO) -> int:
    """Carry every candidate of a batch from entry to FINISHED; returns the worst of their exit statuses, or 4 when the batch is refused."""
    registry = Registry(request.workspace)
    moment = utc_now()
    with ExitStack() as stack:
        measurement = stack.enter_context(standing_by(environment_of(request), request.repository))
        try:
            with surveyed(request, registry) as ground:
                going, left_out = going_on(requests_of(request), ground)
                entries = check_all(going, ground, moment)
            if any(entry.official for entry in entries):
                attestation.demand_usable_key(registry.workspace)
        except StageGateError as refusal:
            show_refusal(terminal, request, refusal)
            return REFUSED
        say(terminal, [f"LEFT OUT {tag}: {why}" for tag, why in left_out.items()])
        run_ids = [f"{stamp(moment)}-{secrets.token_hex(4)}" for _ in entries]
        for run_id in run_ids:
            stack.enter_context(registry.run_lock(run_id))
        return recorded(entries, run_ids, registry, moment, measurement, terminal)


def going_on(requests: Sequence[RunRequest], ground: Ground) -> tuple[list[RunRequest], dict[str, str]]:
    """Whose turn it is, and who is left out with the reason. RequestRefused when nobody is left."""
    ended = {
        request.tag: last_unpassed(ground.rows, request.tag) if request.stage != "s0" else None for request in requests
    }
    left_out = {tag: f"it ended as {how}" for tag, how in ended.items() if how is not None}
    going = [request for request in requests if request.tag not in left_out]
    if not going:
        raise RequestRefused(
            f"none of the {len(requests)} candidates passed every earlier stage",
            where="--candidates",
            remedy="see `stagegate status`",
        )
    return going, left_out


def check_all(requests: Sequence[RunRequest], ground: Ground, moment: datetime) -> tuple[Entry, ...]:
    """The entry of each. RequestRefused names every candidate that may not start: then none does."""
    entries, refusals = [], {}
    for request in requests:
        try:
            entries.append(check_entry(request, ground, moment))
        except StageGateError as refusal:
            refusals[request.tag] = refusal
    if not refusals:
        return tuple(entries)
    shown = [f"{tag}: {refusal.what}" for tag, refusal in refusals.items()][:SHOWN_REFUSALS]
    more = [f"and {len(refusals) - len(shown)} more"] if len(refusals) > len(shown) else []
    first = next(iter(refusals.values()))
    raise RequestRefused(
        "\n  ".join([f"{len(refusals)} of {len(requests)} candidates may not start, so none does:", *shown, *more]),
        where=first.where,
        remedy=f"{first.remedy}; or narrow --candidates to those that may start",
    )


def recorded(
    entries: Sequence[Entry],
    run_ids: Sequence[str],
    registry: Registry,
    moment: datetime,
    measurement: Remeasurement,
    terminal: TextIO,
) -> int:
    """Claim each tag's stage with a STARTED row and carry all to FINISHED; returns the worst exit status."""
    started: list[Row] = []
    try:
        for entry, run_id in zip(entries, run_ids, strict=True):
            started.append(registry.claim({**identity(entry, run_id), "utc": iso(moment)}))
    except StageGateError as refusal:
        if not started:
            show_refusal(terminal, entries[0].request, refusal)
            return REFUSED
        # another run took a tag of this batch between the checks and the claim
        say(terminal, [broken_text(entries[0].request.stage, started[0], refusal)])
        return EXIT_STATUS["INCOMPLETE"]
    try:
        runs = [open_run(*each) for each in zip(entries, run_ids, [moment] * len(entries), started, strict=True)]
        say(terminal, [opening_text(run) for run in runs])
        concluded = carry_all(runs, registry, measurement, terminal)
    except (OSError, StageGateError) as error:
        say(terminal, [broken_text(entries[0].request.stage, started[0], error)])
        return EXIT_STATUS["INCOMPLETE"]
    say(terminal, summary_lines(concluded))
    return max(EXIT_STATUS[each.verdict.name] for each in concluded)


def carry_all(runs: Sequence[Run], registry: Registry, measurement: Remeasurement, terminal: TextIO) -> list[Concluded]:
    """Run everybody's gates in one child and, apart from them, the measurements; then conclude one by one."""
    batch_id = f"batch-{runs[0].run_id}"
    request = runs[0].entry.request
    folder = runs[0].entry.places.workspace.root / "runs" / "batches" / batch_id
    make_directory(folder)
    run_file = write_run_file(runs, batch_id, folder)
    begin_measuring(runs, run_file, measurement, terminal)
    child = gates_in_child(runs, run_file, terminal, folder)
    ends = divide(runs, folder, batch_id, child)
    code = inspect_code(request.repository)
    lies = denied((folder / STREAM).read_bytes(), child.exit_status) if (folder / STREAM).is_file() else ()
    changed = [(*lies, *after_the_run(run, child, code)) for run in runs]
    measured = measurement.results()
    concluded = []
    for run, end, changes, result in zip(runs, ends, changed, measured, strict=True):
        verdict, finished = conclude(run, end, changes, result, registry)
        canvas = Canvas.of(terminal, request.presentation)
        say(terminal, ["", run.entry.request.tag, *closing_lines(run, verdict, finished, canvas)[1:]])
        say(terminal, attestation.attestation_lines(registry.workspace, run.started_row, finished))
        concluded.append(Concluded(run, verdict, finished))
    return concluded


def divide(runs: Sequence[Run], folder: Path, batch_id: str, child: ChildRun) -> list[ChildRun]:
    """Put each candidate's share of what the child left into its pack, with the hashes of the whole; returns how the child ended as each one's own."""
    sessions = [session_of(run, folder) for run in runs]
    names = names_of(sessions)
    whole = {name: folder / name for name in (STREAM, REPORT, LOG) if (folder / name).is_file()}
    stream = whole[STREAM].read_bytes() if STREAM in whole else b""
    cleared = acquitted(stream, names, child.exit_status)
    parts = {STREAM: divide_stream(stream, names, cleared)} if STREAM in whole else {}
    if REPORT in whole:
        parts[REPORT] = divide_report(whole[REPORT].read_bytes(), names, cleared)
    command = (folder / "command.sh").read_bytes()
    workspace = runs[0].entry.places.workspace
    hashes = {
        name: {"path": workspace.relative(path), "sha256": f"sha256:{sha256_file(path)}"}
        for name, path in whole.items()
    }
    for number, (run, session) in enumerate(zip(runs, sessions, strict=True)):
        write_new(run.partial / "command.sh", command)
        write_new(run.partial / LOG, _log_share(batch_id, len(runs), session, hashes).encode())
        write_new(run.partial / "batch.json", dump_json(_batch_record(batch_id, runs, number, child, hashes)))
        for name, shares in parts.items():
            write_new(run.partial / name, shares[number])
    return [replace(child, exit_status=0) if is_cleared else child for is_cleared in cleared]


def _batch_record(
    batch_id: str, runs: Sequence[Run], number: int, child: ChildRun, hashes: Mapping[str, Mapping[str, str]]
) -> dict[str, object]:
    return {
        "schema": 1,
        "batch": batch_id,
        "name": runs[number].entry.request.name,
        "position": number + 1,
        "child_exit": child.exit_status,
        "tags": [run.entry.request.tag for run in runs],
        "taken_from": dict(hashes),
    }


def _log_share(batch_id: str, count: int, session: GateSession, hashes: Mapping[str, Mapping[str, str]]) -> str:
    """run.log of one pack: where the log of the whole lies. Its own tests, with their messages, stand in the stream and the json report beside it."""
    kept = hashes.get(LOG)
    place = f"{kept['path']} ({kept['sha256']})" if kept else "nowhere: the process left none"
    return f"{session.name} was judged in {batch_id} with {count - 1} other candidates; the log of the whole: {place}\n"


def summary_lines(concluded: Sequence[Concluded]) -> list[str]:
    """One line a candidate, then how many ended how."""
    table = summary_text((each.run.entry.request.tag, each.verdict.name, each.verdict.cells) for each in concluded)
    names = [each.verdict.name for each in concluded]
    counts = ", ".join(f"{names.count(name)} {name}" for name in EXIT_STATUS if name in names)
    return ["", table, "", f"batch of {len(concluded)}: {counts}"]
