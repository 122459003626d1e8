"""stagegate verify --deep: do the recorded figures come out again?

Every finished run is executed once more, from its freeze, with the code of the frozen commit, in a process of its own on a reconstruction of what it
stood on (reports.reexecution.reconstruction), and what it leaves is compared with its pack:

1. evidence.json, and gates, verdict and weakest gate of the report json: each number bit for bit, and the notes of cells that passed.
2. The stage's files (returns.csv, windows.csv, cost_stress_results.csv, baseline_ic.csv ..) and the markdown report: byte for byte.
3. The metric columns of the registry row, and the pack's copies of what the freeze pins.

A forger who rewrites pack, MANIFEST, registry and every witness still has to make the frozen code produce the forged figures. Reads everything,
writes nothing outside of a temporary folder; what cannot be executed again is a finding. It runs the recorded code and, where the candidate has one,
its signal function: with the rights of whoever calls it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from engines.errors import StageGateError
from reports.criteria.freeze import Places
from reports.criteria.machine import installed_packages
from reports.record.chain import Row
from reports.record.durable import dump_json, load_json, read_regular
from reports.record.errors import RecordError
from reports.record.registry import settled_chain
from reports.record.workspace import Workspace
from reports.reexecution.reconstruction import (
    COMPARES_WITH_THE_WORLD,
    JUDGES_SIGNATURES,
    Mirror,
    RecordedRun,
    recorded_run,
)
from reports.reexecution.replay import SCHEMA, ReplayRequest
from reports.reexecution.replay_comparison import (
    RESTORED_STAGE,
    Mismatch,
    Recorded,
    Replayed,
    Uncompared,
    compare,
    compared_files,
    read_recorded,
)
from reports.run.child import RUN_VARIABLE, child_environment

MISMATCHED: Final = 6
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Repeated:
    """A run that was executed again: how many cells and files were compared."""

    run: str
    cells: int
    files: int

    def __str__(self) -> str:
        return f"executed again: {self.run}: {self.cells} cells and {self.files} files compared"


@dataclass(frozen=True, slots=True)
class DeepVerification:
    """What was executed again and what differed. exit_code: 0, or 6 when anything does."""

    repeated: tuple[Repeated, ...]
    mismatches: tuple[Mismatch, ...]
    uncompared: tuple[Uncompared, ...]

    @property
    def exit_code(self) -> int:
        """0 when every recorded figure that was compared came out again, 6 otherwise."""
        return MISMATCHED if self.mismatches else 0

    def lines(self) -> list[str]:
        """The verification as text, one line a finding."""
        return [*map(str, self.repeated), *map(str, self.uncompared), *map(str, self.mismatches)]

    def to_json(self) -> dict[str, Any]:
        """The verification with built-in types only."""
        return {**asdict(self), "exit_code": self.exit_code}


Finding = Mismatch | Uncompared | Repeated


def deep_verify(
    workspace: Workspace,
    repository: Path,
    tag: str | None = None,
    processes: str = "0",
    progress: Progress = lambda _: None,
) -> DeepVerification:
    """Execute every finished run again, or those of one tag, and compare. Never raises for what it finds on disk.

    repository: where the frozen commits are. processes: -n of each stage. progress is told before each run, which takes as long as it took.
    """
    findings = list(_findings(Places(workspace, repository.resolve()), tag, processes, progress))
    return DeepVerification(
        tuple(found for found in findings if isinstance(found, Repeated)),
        tuple(found for found in findings if isinstance(found, Mismatch)),
        tuple(found for found in findings if isinstance(found, Uncompared)),
    )


def _findings(real: Places, tag: str | None, processes: str, progress: Progress) -> Iterator[Finding]:
    try:
        chain = settled_chain(real.workspace)
    except RecordError as error:
        yield Mismatch("registry", "gate_registry.csv", "a registry that can be read", str(error))
        return
    if chain.faults:
        yield Uncompared("registry", f"rows behind {len(chain.rows)}", f"the chain does not hold: {chain.faults[0]}")
    started = {row["run_id"]: row for row in chain.rows if row["event"] == "STARTED"}
    finished = [row for row in chain.rows if row["event"] == "FINISHED" and tag in (None, row["decision_tag"])]
    for name in dict.fromkeys(row["decision_tag"] for row in finished):
        with TemporaryDirectory(prefix="stagegate-deep-", ignore_cleanup_errors=True) as folder:
            bench = Bench(Path(folder).resolve(), real, processes)
            for row in finished:
                if row["decision_tag"] == name:
                    progress(f"executing again {described(row)}")
                    yield from _guarded(bench, chain.rows, started.get(row["run_id"]), row)


def described(row: Mapping[str, str]) -> str:
    """A run as findings name it."""
    return f"{row['stage']} of {row['decision_tag']} (registry row {row['seq']}, {Path(row['report']).parent.name})"


def _guarded(bench: Bench, rows: Sequence[Row], started: Row | None, finished: Row) -> Iterator[Finding]:
    """The findings of one run; what keeps it from being executed again is one too."""
    name = described(finished)
    try:
        if started is None:
            raise RecordError("no STARTED row announces the run", where=f"registry row {finished.seq}")
        yield from bench.examine(rows, recorded_run(bench.real.workspace, started, finished), name)
    except (StageGateError, OSError) as error:
        yield Mismatch(name, "the run", "that it can be executed again", str(error))


@dataclass(frozen=True, slots=True)
class Bench:
    """A temporary folder in which the runs of one tag are executed again, with one fresh cache."""

    folder: Path
    real: Places
    processes: str

    @property
    def mirror(self) -> Mirror:
        """Where the world of the tag is rebuilt."""
        return Mirror(self.folder / "mirror", self.real)

    def examine(self, rows: Sequence[Row], run: RecordedRun, name: str) -> Iterator[Finding]:
        """Execute a run again and compare it with its record. StageGateError or OSError when it cannot be executed."""
        if run.finished["verdict"] not in ("PASS", "FAIL"):
            yield Uncompared(name, "the run", f"it ended {run.finished['verdict']}, so there is no outcome to compare")
            return
        try:
            recorded = read_recorded(run, name)
            unlike = self._reconstruct(rows, run)
            request = self._request(run, recorded)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise RecordError(f"freeze or report are malformed: {error!r}", where=name) from error
        replayed = self._execute(request)
        frozen = str(run.freeze.record["packages_sha256"])
        if replayed.packages_sha256 != frozen:
            unlike |= dict.fromkeys(COMPARES_WITH_THE_WORLD, "the installed packages are not the frozen ones")
            yield Mismatch(
                name, "installed packages", frozen, f"{replayed.packages_sha256}: {_other_packages(run.pack)}"
            )
        unlike = {gate: why for gate, why in unlike.items() if gate.startswith(f"{run.stage}.")}
        yield from compare(recorded, replayed, unlike)
        compared = sum(cell.get("gate") not in unlike for cell in replayed.evidence)
        yield Repeated(name, compared, len(compared_files(run.stage, replayed)))

    def _reconstruct(self, rows: Sequence[Row], run: RecordedRun) -> dict[str, str]:
        """Rebuild what the run stood on. Returns the gates that judge what could not be rebuilt, each with the reason."""
        mirror, checked_out = self.mirror, self.folder / f"checked-out-{run.freeze.sha256}"
        if not checked_out.exists():
            mirror.check_out(run.freeze)
            checked_out.touch()
        mirror.place_inputs(run.freeze)
        unlike: dict[str, str] = {}
        if not mirror.place_settings(run.freeze):
            gates = (*COMPARES_WITH_THE_WORLD, JUDGES_SIGNATURES)
            unlike |= dict.fromkeys(gates, "stagegate.toml is not the frozen one, which is kept nowhere")
        mirror.place_record(run, rows)
        if run.stage == RESTORED_STAGE and not mirror.place_deployment(run):
            unlike[JUDGES_SIGNATURES] = (
                "the committee's list is not the one of the pack and lies outside of the workspace"
            )
        return unlike

    def _request(self, run: RecordedRun, recorded: Recorded) -> ReplayRequest:
        return ReplayRequest(
            stage=run.stage,
            decision_tag=run.tag,
            workspace=self.mirror.places.workspace.root,
            cache=self.folder / "cache",
            cost_multipliers=tuple(float(each) for each in recorded.report["inputs"]["cost_multipliers"]),
            started_utc=str(recorded.report["started_utc"]),
            processes=self.processes,
            report=run.pack / recorded.report_name,
            output=self.folder / f"row-{run.finished.seq}",
        )

    def _execute(self, request: ReplayRequest) -> Replayed:
        """Run the request with the frozen code, in a clean process. RecordError when that process does not answer."""
        repository, request_file = self.mirror.places.repository, self.folder / f"{request.output.name}.json"
        if not (repository / "reports" / "reexecution" / "replay.py").is_file():
            raise RecordError(
                "the frozen code is older than re-execution", where="reports/reexecution/replay.py", remedy=_BY_HAND
            )
        request.output.mkdir()
        request_file.write_bytes(dump_json(request.to_json()))
        environment = child_environment(os.environ, request_file, 1)
        del environment[RUN_VARIABLE]
        environment["STAGEGATE_STATE_DIR"] = str(self.folder / "state")
        done = subprocess.run(
            [sys.executable, "-m", "reports.reexecution.replay", str(request_file)],
            cwd=repository,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
            raise RecordError(f"the frozen code does not run again: {last[0]}", where=request.stage)
        return _read_replayed(request.output, repository)


_BY_HAND: Final = "check out the commit and repeat the stages in a workspace of your own, as docs/verification.md says"


def _read_replayed(output: Path, repository: Path) -> Replayed:
    """The answer of a re-execution. RecordError when it is none, or of other code than the frozen."""
    outcome, files = load_json(read_regular(output / "outcome.json"), "outcome.json"), output / "files"
    if not isinstance(outcome, dict) or outcome.get("schema") != SCHEMA:
        raise RecordError(f"the frozen code does not answer in schema {SCHEMA}", where="outcome.json", remedy=_BY_HAND)
    if outcome["repository"] != str(repository):
        raise RecordError(
            f"the code that ran lies in {outcome['repository']}, expected {repository}", where="outcome.json"
        )
    return Replayed(
        evidence=outcome["evidence"],
        report=outcome["report"],
        columns=outcome["columns"],
        packages_sha256=outcome["packages_sha256"],
        incomplete=tuple(outcome["incomplete"]),
        files={path.relative_to(files).as_posix(): path for path in sorted(files.rglob("*")) if path.is_file()},
    )


def _other_packages(pack: Path) -> str:
    """Which packages are installed in another version than the pack's environment.json lists."""
    environment = load_json(read_regular(pack / "environment.json"), "environment.json")
    listed = environment.get("packages") if isinstance(environment, dict) else None
    then, now = listed if isinstance(listed, dict) else {}, installed_packages()
    changed = [
        f"{name} {then.get(name)} -> {now.get(name)}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
    return ", ".join(changed) or f"the interpreter, now {sys.version.split()[0]}"
