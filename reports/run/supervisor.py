"""A tagged run, from refusal to FINISHED.

The process a person starts runs no gate itself. It checks entry, claims the tag with a STARTED row, starts the gates in a clean child, judges what
came back against the frozen cells, re-derives what decides from the returns it stores itself, writes the pack, and only then the FINISHED row.
A crash at any point leaves nothing, a STARTED row, or a pack without a row: a failure is never lost and a pass never inferred.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, TextIO

from engines.digest import sha256_file
from engines.errors import StageGateError
from reports.criteria.codetree import CodeTree, imprints, inspect_code
from reports.criteria.freeze import drift
from reports.criteria.machine import packages_sha256
from reports.criteria.policy import POLICY_FILE, ExpectedCell
from reports.criteria.stream import read_stream
from reports.criteria.verdict import EXIT_STATUS, Returned, Verdict, judge, overrule, read_json_report
from reports.pack import audit, packet
from reports.pack.render import LINES, ReportHeader, failures
from reports.record.clock import iso, stamp, utc_now
from reports.record.durable import load_json, publish_directory, replace, write_new
from reports.record.errors import RecordError
from reports.record.registry import Registry, Row
from reports.record.workspace import STAGES, next_stage
from reports.run.child import ChildRun, child_command, child_environment, clean_environment, run_child
from reports.run.entry import Entry, check_entry
from reports.run.ground import surveyed
from reports.run.kernels import prepare_kernels
from reports.run.live import watched
from reports.run.progress import NOTES_VARIABLE, Progress
from reports.run.rederive import contradictions
from reports.run.remeasure import Remeasured, Remeasurement, standing_by
from reports.run.request import RunRequest
from reports.run.session import GateSession, judged_cells, run_file_bytes
from reports.run.terminal import Canvas, failure_lines, refusal_lines, say, table_lines
from reports.verification import attestation

REFUSED: Final = 4


@dataclass(frozen=True, slots=True)
class Run:
    """A run whose tag is claimed: where it writes and what its STARTED row says."""

    entry: Entry
    run_id: str
    started: datetime
    started_row: Row
    partial: Path
    final: Path

    @property
    def stage(self) -> str:
        return self.entry.request.stage


def supervise(request: RunRequest, terminal: TextIO) -> int:
    """Carry a tagged run from entry to FINISHED; returns 0 PASS, 1 FAIL, 2 INCOMPLETE, 4 refused."""
    registry = Registry(request.workspace)
    moment = utc_now()
    run_id = f"{stamp(moment)}-{secrets.token_hex(4)}"
    with standing_by(environment_of(request), request.repository) as measurement:
        try:
            with surveyed(request, registry) as ground:
                entry = check_entry(request, ground, moment)
            if entry.official:
                attestation.demand_usable_key(registry.workspace)
        except StageGateError as refusal:
            show_refusal(terminal, request, refusal)
            return REFUSED
        with registry.run_lock(run_id):
            return recorded(entry, registry, run_id, moment, measurement, terminal)


def recorded(
    entry: Entry, registry: Registry, run_id: str, moment: datetime, measurement: Remeasurement, terminal: TextIO
) -> int:
    """Claim the tag's stage with a STARTED row and carry the run to FINISHED; returns the exit status."""
    try:
        started_row = registry.claim({**identity(entry, run_id), "utc": iso(moment)})
    except StageGateError as refusal:
        show_refusal(terminal, entry.request, refusal)
        return REFUSED
    try:
        run = open_run(entry, run_id, moment, started_row)
        say(terminal, [opening_text(run)])
        verdict, finished = carry(run, registry, measurement, terminal)
    except (OSError, StageGateError) as error:
        say(terminal, [broken_text(entry.request.stage, started_row, error)])
        return EXIT_STATUS["INCOMPLETE"]
    say(terminal, closing_lines(run, verdict, finished, Canvas.of(terminal, entry.request.presentation)))
    say(terminal, attestation.attestation_lines(registry.workspace, started_row, finished))
    return EXIT_STATUS[verdict.name]


def open_run(entry: Entry, run_id: str, moment: datetime, started_row: Row) -> Run:
    """Claim the pack's name and, at s0, write the freeze."""
    workspace = entry.places.workspace
    partial, final = claim_pack(workspace.gate_results, STAGES[entry.request.stage], moment)
    if entry.freeze_bytes is not None:
        write_new(workspace.freeze(entry.freeze.tag), entry.freeze_bytes)
    return Run(entry, run_id, moment, started_row, partial, final)


def identity(entry: Entry, run_id: str) -> dict[str, str]:
    """The columns that every row of a run carries."""
    request, freeze = entry.request, entry.freeze
    summary = freeze.summary("")
    history = freeze.record["history"]
    return {
        "stage": request.stage,
        "decision_tag": request.tag,
        "run_id": run_id,
        "candidate": entry.candidate.name,
        "family": entry.candidate.family,
        "owner": freeze.owner,
        "official": "true" if entry.official else "false",
        "config_sha256": summary["config_sha256"],
        "data_sha256": summary["data_sha256"],
        "git_commit": entry.code.git_commit,
        "freeze_sha256": f"sha256:{freeze.sha256}",
        "supersedes": history["supersedes"] or "",
        "root_cause": history["root_cause"] or "",
    }


def claim_pack(gate_results: Path, stage_name: str, moment: datetime) -> tuple[Path, Path]:
    """(partial, final) folder of a pack whose name nobody else has: mkdir decides between two runs of the same second."""
    for attempt in range(1, 1000):
        suffix = "" if attempt == 1 else f"-{attempt}"
        final = gate_results / f"{stage_name}_{stamp(moment)}{suffix}"
        partial = gate_results / f".partial-{final.name}"
        try:
            partial.mkdir(parents=True)
        except FileExistsError:
            continue
        if not final.exists():
            return partial, final
    raise RecordError(
        "no free name for the pack",
        where=str(gate_results),
        remedy="look at the .partial folders there and run `stagegate recover`",
    )


def carry(run: Run, registry: Registry, measurement: Remeasurement, terminal: TextIO) -> tuple[Verdict, Row]:
    """Run the gates and, apart from them, the measurement; judge, write the pack and then the FINISHED row."""
    run_file = write_run_file([run], run.run_id, run.partial)
    begin_measuring([run], run_file, measurement, terminal)
    child = gates_in_child([run], run_file, terminal, run.partial)
    changed = after_the_run(run, child, inspect_code(run.entry.request.repository))
    (measured,) = measurement.results()
    return conclude(run, child, changed, measured, registry)


def begin_measuring(runs: Sequence[Run], run_file: Path, measurement: Remeasurement, terminal: TextIO) -> None:
    """Begin the measurement of these runs apart from their gates."""
    prepare_kernels([run.entry.candidate.data_path for run in runs], terminal)
    measurement.begin(run_file, [run.entry.freeze.sha256 for run in runs])


def conclude(
    run: Run, child: ChildRun, changed: Sequence[str], measured: Remeasured | RecordError, registry: Registry
) -> tuple[Verdict, Row]:
    """Judge what the run's child left in the pack, complete the pack with what was measured apart, and write the FINISHED row."""
    facts = pack_facts(run, child)
    verdict = overrule(judge(run_cells(run), returned(run, child)), changed)
    audit.write_freeze(run.partial, facts.workspace, facts.freeze)
    if isinstance(measured, RecordError):
        shown = audit.Exhibits()
        verdict = overrule(verdict, [str(measured)])
    else:
        audit.write_stage_files(run.partial, measured.files)
        shown = measured.exhibits
        verdict = overrule(verdict, contradictions(verdict, measured.figures))
    report = audit.write_report(run.partial, run.final, facts, verdict, shown)
    write_page(run, report)
    manifest_sha256 = audit.write_manifest(run.partial)
    publish_directory(run.partial, run.final)
    finished = registry.append("FINISHED", finished_fields(run, verdict, manifest_sha256))
    complete_packet(run, verdict, manifest_sha256)
    return verdict, finished


def write_page(run: Run, report: bytes) -> None:
    """Write the page of the report, from the bytes of the report json and nothing else."""
    from reports.pages.report_page import page_of

    stem = audit.report_stem(run.stage)
    write_new(run.partial / f"{stem}.html", page_of(load_json(report, f"{stem}.json"), f"{stem}.json").encode())


def write_run_file(runs: Sequence[Run], name: str, folder: Path) -> Path:
    """Write what tells every process of the runs what to run on."""
    run_file = runs[0].entry.places.workspace.manifests / f"{name}.json"
    write_new(run_file, run_file_bytes([session_of(run, folder) for run in runs]))
    return run_file


def environment_of(request: RunRequest) -> dict[str, str]:
    """The whole environment of a process that is started before it is known what to run on."""
    return clean_environment(os.environ, threads_per_worker(request))


def session_of(run: Run, folder: Path) -> GateSession:
    """The run as its gates see it; their evidence stream lies in `folder`."""
    places = run.entry.places
    return GateSession(
        run_id=run.run_id,
        stages=(run.stage,),
        places=places,
        cache=places.workspace.cache,
        freeze_path=places.workspace.freeze(run.entry.request.tag),
        multipliers=run.entry.multipliers,
        started_utc=iso(run.started),
        stream_path=folder / "evidence_stream.jsonl",
        rehearsal=False,
        name=run.entry.request.name,
    )


def gates_in_child(runs: Sequence[Run], run_file: Path, terminal: TextIO, folder: Path) -> ChildRun:
    """Start the gates in the clean child and wait; how it ended. What it leaves lies in `folder`: of the pack, or of the batch."""
    run, request = runs[0], runs[0].entry.request
    environment = child_environment(os.environ, run_file, threads_per_worker(request))
    command = child_command(
        request.repository, run.stage, request.processes, request.presentation, folder / "pytest_report.json"
    )
    write_new(folder / "command.sh", audit.command_script(request.command, command, environment).encode())
    canvas = Canvas.of(terminal, request.presentation)
    if not canvas.moving:
        return run_child(command, environment, request.repository, folder / "run.log", terminal)
    notes = run.entry.places.workspace.cache / "progress" / f"{run.run_id}.jsonl"
    with watched(terminal, progress_of(runs, folder), notes, blocks=canvas.blocks) as screen:
        noting = {**environment, NOTES_VARIABLE: str(notes)}
        return run_child(command, noting, request.repository, folder / "run.log", screen)


def progress_of(runs: Sequence[Run], folder: Path) -> Progress:
    """The progress that a terminal shows, with nothing back yet."""
    processes = runs[0].entry.request.processes
    workers = int(processes) if processes.isdigit() else os.cpu_count() or 1
    cells = {node: cell for run in runs for node, cell in session_of(run, folder).cell_by_node.items()}
    return Progress(f"{runs[0].stage} {STAGES[runs[0].stage]}", cells, workers, time.monotonic())


def threads_per_worker(request: RunRequest) -> int:
    """The total of compute threads shared among workers, at least one each."""
    workers = int(request.processes) if request.processes.isdigit() else 1
    return max(1, (request.threads or 1) // max(1, workers))


def run_cells(run: Run) -> tuple[ExpectedCell, ...]:
    """The frozen cells that this run must bring back."""
    return judged_cells(run.entry.freeze, run.stage, run.entry.multipliers)


def returned(run: Run, child: ChildRun) -> Returned:
    """What the child left behind."""
    return Returned(
        child.exit_status,
        read_json_report(run.partial / "pytest_report.json"),
        read_stream(run.partial / "evidence_stream.jsonl"),
    )


def after_the_run(run: Run, child: ChildRun, code: CodeTree) -> tuple[str, ...]:
    """What the gates left running, and what changed under the run: the freeze's file, or anything that it pins."""
    entry = run.entry
    frozen = entry.places.workspace.freeze(entry.freeze.tag)
    moved = (
        ()
        if frozen.is_file() and sha256_file(frozen) == entry.freeze.sha256
        else ("the freeze changed during the run",)
    )
    dirt = tuple(f"the code tree changed during the run: {entry}" for entry in code.dirt)
    left = tuple(f"{name} outlived the gates and was killed" for name in child.outlived)
    now = imprints(entry.imprints)
    touched = tuple(
        f"{path} was written to during the run" for path, seen in entry.imprints.items() if now[path] != seen
    )
    return (*left, *moved, *dirt, *touched, *drift(entry.freeze, entry.places, code, packages_sha256()))


def pack_facts(run: Run, child: ChildRun) -> audit.PackFacts:
    """What the pack says of the run besides its verdict."""
    entry, request = run.entry, run.entry.request
    workspace = entry.places.workspace
    history = entry.freeze.record["history"]
    return audit.PackFacts(
        workspace=workspace,
        header=ReportHeader(
            stage=run.stage,
            decision_tag=request.tag,
            run_id=run.run_id,
            candidate=entry.candidate.name,
            family=entry.candidate.family,
            owner=entry.freeze.owner,
            official=entry.official,
            official_reasons=entry.official_reasons,
            started_utc=iso(run.started),
            finished_utc=iso(utc_now()),
            inputs={
                "candidate": entry.freeze.record["candidate"]["path"],
                "options": list(request.arguments),
                "cost_multipliers": list(entry.multipliers),
                "wf_shards": entry.candidate.walk_forward.shards,
                "supersedes": history["supersedes"],
                "root_cause": history["root_cause"],
                "differs_in": history["differs_in"],
            },
            freeze=entry.freeze.summary(workspace.relative(workspace.freeze(request.tag))),
            notes=entry.notes,
            registry={"seq": run.started_row.seq, "prev_hash": run.started_row["prev_hash"]},
        ),
        freeze=entry.freeze,
        machine=entry.machine,
        variables=dict(request.variables),
        child_exit=child.exit_status,
        interrupted_by=child.interrupted_by,
        packet_text=entry.packet_text,
        policy_path=request.repository / POLICY_FILE,
        candidate_path=entry.freeze.candidate_path(entry.places),
    )


def finished_fields(run: Run, verdict: Verdict, manifest_sha256: str) -> dict[str, str]:
    """The columns of the FINISHED row."""
    weakest = verdict.weakest
    return {
        **identity(run.entry, run.run_id),
        "utc": iso(utc_now()),
        "verdict": verdict.name,
        "overall_pass": "true" if verdict.overall_pass else "false",
        "manifest_sha256": f"sha256:{manifest_sha256}",
        "weakest_gate": weakest.cell.gate if weakest else "",
        "weakest_margin": "" if verdict.weakest_steps is None else repr(verdict.weakest_steps),
        "report": run.entry.places.workspace.relative(run.final / f"{audit.report_stem(run.stage)}.json"),
        **audit.headline(verdict),
    }


def complete_packet(run: Run, verdict: Verdict, manifest_sha256: str) -> None:
    """Write the Evidence and Outcome sections of the packet; the human parts stay as they are."""
    workspace = run.entry.places.workspace
    path = workspace.packet(run.entry.request.tag, run.stage)
    folder = workspace.relative(run.final)
    evidence = [
        f"- pack: `{folder}`",
        f"- MANIFEST: `sha256:{manifest_sha256}`",
        f"- freeze: `sha256:{run.entry.freeze.sha256}`",
        f"- run: `{run.run_id}`",
    ]
    outcome = [
        f"{verdict.name}. {LINES[verdict.name]}",
        *(f"- {entry['gate'] or 'run'} [{entry['cell'] or '-'}]: {entry['message']}" for entry in failures(verdict)),
    ]
    replace(path, packet.complete(path.read_bytes().decode(), evidence, outcome).encode())


def show_refusal(terminal: TextIO, request: RunRequest, refusal: StageGateError) -> None:
    """Say what was refused."""
    say(terminal, refusal_lines(Canvas.of(terminal, request.presentation), request.stage, refusal))


def opening_text(run: Run) -> str:
    """What a person sees before the gates start."""
    kind = "official" if run.entry.official else "UNOFFICIAL"
    notes = "".join(f"\nNOTE {note}" for note in run.entry.notes)
    return f"{run.stage} {STAGES[run.stage]} of {run.entry.request.tag}: {kind} run {run.run_id}, registry row {run.started_row.seq}, {len(run_cells(run))} cells expected{notes}"


def broken_text(stage: str, started_row: Row, error: Exception) -> str:
    """The record itself could not be written: the STARTED row stands and recovery closes it."""
    return (
        f"INCOMPLETE {stage}: the record could not be written: {error}\n"
        f"  the STARTED row {started_row.seq} stands; what there is lies in a .partial folder of gate_results\n"
        "  to mend: make room or permission, then run `stagegate recover`"
    )


def closing_lines(run: Run, verdict: Verdict, finished: Row, canvas: Canvas) -> list[str]:
    """What a person sees at the end: the table, what did not pass, the verdict, where the record lies, what to type next."""
    workspace, weakest = run.entry.places.workspace, verdict.weakest
    report = workspace.root / finished["report"]
    lines = ["", *table_lines(canvas, verdict.cells), "", *failure_lines(canvas, failures(verdict))]
    if weakest and weakest.weakest:
        lines += canvas.labelled(
            "weakest gate", f"{weakest.cell.gate} [{weakest.cell.id}]: {weakest.weakest.describe()}"
        )
    kind = "" if run.entry.official else " (unofficial: promotes nothing)"
    said = canvas.labelled("verdict", f"{verdict.name}{kind}: {LINES[verdict.name]}")
    said[0] = said[0].replace(verdict.name, canvas.paint(verdict.name, "good" if verdict.overall_pass else "bad"), 1)
    row = f"row {finished.seq} of {workspace.relative(workspace.registry)}, {finished['event']} {finished['verdict']}"
    lines += [*said, *canvas.labelled("report", f"{report.with_suffix('.html')}", words=False)]
    lines += [*canvas.labelled("", "beside it as .md and .json"), *canvas.labelled("registry", row)]
    for number, step in enumerate(next_steps(run, verdict)):
        lines += canvas.labelled("" if number else "next", step, words=False)
    return lines


def next_steps(run: Run, verdict: Verdict) -> tuple[str, ...]:
    """The exact commands that follow, in order; what is done between them stands behind two spaces and a #."""
    request = run.entry.request
    tag, following = request.tag, next_stage(run.stage)
    place = "" if request.workspace == request.repository else f" --workspace {request.workspace}"
    if not verdict.overall_pass:
        return (f"stagegate explain {tag}{place}",)
    if not run.entry.official:
        return (f"pytest gates/{run.stage} --decision-tag {tag}{place}  # on the workstation",)
    if following is None:
        return (f"stagegate monitor {tag} --live RETURNS.csv{place}  # every day from now on",)
    packet, stage = (
        f"stagegate packet {tag} {following}{place}",
        f"pytest gates/{following} --decision-tag {tag}{place}",
    )
    if following == "s4":
        signing = f"stagegate sign {tag} --role ROLE --key KEY{place}  # each signer"
        return f"{packet}  # complete its files", signing, stage
    return f"{packet}  # write its four parts", stage
