"""The bench of the proof: a small market, an honest candidate on it, and whole stages run with one thing planted.

Stages run in this process through pytest's own entry point, on a rehearsal's records, with the real conftest, fixtures and gates, and are judged by the
real verdict from the evidence stream, the json report and the exit status.
"""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from filelock import FileLock

import engines.study
import reports.run.rehearsal
from engines.candidate import load_candidate
from engines.study import Study, open_study
from fixtures.market import MarketSpec, make_market
from reports.criteria.stream import read_stream
from reports.criteria.verdict import CellResult, Returned, Verdict, judge, read_json_report
from reports.run.child import RUN_VARIABLE, child_command, child_environment
from reports.run.rehearsal import rehearsal
from reports.run.session import GateSession, run_file_bytes, sessions_named_by

REPOSITORY: Final = Path(__file__).resolve().parents[2]
HONEST: Final = Path(__file__).with_name("honest.toml")
MARKET: Final = MarketSpec(seed=7, n_days=800, n_names=100, drift_vol_per_year=0.5, drift_half_life_days=250.0)

QUIETLY: Final = ("-q", "--tb=line", "-p", "no:unraisableexception")
"""How stages are run in this process: without a whole garbage collection at the end of each."""

Changes = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StageRun:
    """One stage as it was judged."""

    verdict: Verdict

    def cell(self, gate: str) -> CellResult:
        """The first cell of a gate that did not pass, else its first one."""
        cells = [result for result in self.verdict.cells if result.cell.gate == gate]
        return next((result for result in cells if result.outcome != "passed"), cells[0])

    def broken(self, level: str) -> frozenset[str]:
        """Thresholds of failed cells of this level whose own measurement does not hold, wherever they are measured."""
        return frozenset(
            evidence.threshold.id
            for result in self.verdict.cells
            for evidence in result.evidence
            if result.cell.level == level and result.outcome == "failed" and not evidence.holds
        )

    @property
    def unmeasured(self) -> frozenset[str]:
        """Gates with a cell that failed although no measurement of it is at fault: it raised, or measured nothing."""
        return frozenset(
            result.cell.gate
            for result in self.verdict.cells
            if result.outcome == "failed" and all(evidence.holds for evidence in result.evidence)
        )

    @property
    def messages(self) -> tuple[str, ...]:
        """What every cell that did not pass says."""
        return tuple(
            f"{result.cell.gate} [{result.cell.id}]: {result.message}"
            for result in self.verdict.cells
            if result.outcome != "passed"
        )

    def explanation(self, gate: str) -> str:
        """What the first cell of a gate that did not pass says, with the notes of its evidence."""
        result = self.cell(gate)
        return "; ".join([result.message, *(evidence.note for evidence in result.evidence)])

    @property
    def absent(self) -> frozenset[str]:
        """Gates whose cells are absent."""
        return frozenset(result.cell.gate for result in self.verdict.cells if result.outcome == "absent")


@dataclass(frozen=True)
class Rehearsed:
    """A candidate with the records of a rehearsal, on which any stage can be run any number of times."""

    session: GateSession
    scratch: Path

    @property
    def workspace(self) -> Any:
        """Where the generated records lie."""
        return self.session.places.workspace

    def judged_as_tagged(self, tagged: bool) -> Rehearsed:
        """The same records, run as a rehearsal or as a tagged run would be."""
        return replace(self, session=replace(self.session, rehearsal=not tagged))

    def run(self, stage: str, *, study: Study | None = None, arguments: Sequence[str] = ()) -> StageRun:
        """Run all gates of a stage and judge what came back; with `study`, on that study instead of the one they would open."""
        prepared = self._prepared(stage)
        command = child_command(REPOSITORY, stage, "0", QUIETLY, prepared.json_report)[3:]
        command[0] = str(REPOSITORY / command[0])
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(RUN_VARIABLE, str(prepared.run_file))
            patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
            patch.delenv("PYTEST_ADDOPTS", raising=False)
            if study is not None:
                patch.setattr(engines.study, "open_study", lambda candidate, cache, *, thorough: study)
            status = int(pytest.main([*command, *arguments]))
        return prepared.judged(status)

    def run_in_child(self, stage: str, *, workers: int) -> StageRun:
        """Run all gates of a stage in a clean child with xdist, as a tagged run does, and judge what came back."""
        prepared = self._prepared(stage)
        command = child_command(REPOSITORY, stage, str(workers), ["-q"], prepared.json_report)
        environment = child_environment(os.environ, prepared.run_file, 1)
        done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, check=False, timeout=300)
        return prepared.judged(done.returncode)

    def _prepared(self, stage: str) -> _Prepared:
        folder = _new_folder(self.scratch)
        session = replace(self.session, stages=(stage,), stream_path=folder / "evidence_stream.jsonl")
        prepared = _Prepared(session, folder / "run.json", folder / "pytest_report.json")
        prepared.run_file.write_bytes(run_file_bytes([session]))
        return prepared


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A stage that is about to run: its session, and where its run file and json report lie."""

    session: GateSession
    run_file: Path
    json_report: Path

    def judged(self, exit_status: int) -> StageRun:
        """What the run left behind, judged against the frozen cells."""
        returned = Returned(exit_status, read_json_report(self.json_report), read_stream(self.session.stream_path))
        return StageRun(judge(self.session.expected_of(self.session.stages[0]), returned))


_NUMBERS: Final = count(1)


def _new_folder(scratch: Path) -> Path:
    folder = scratch / f"{os.getpid()}-{next(_NUMBERS)}"
    folder.mkdir(parents=True)
    return folder


@dataclass(frozen=True)
class Bench:
    """The honest candidate's folder, and one cache for everything that is measured on it or beside it."""

    honest: Path
    scratch: Path
    cache: Path

    @contextmanager
    def rehearsed(self, candidate_path: Path, registry_seq: int = 0) -> Iterator[Rehearsed]:
        """Records of a rehearsal of any candidate, frozen at a position of the registry (0: nothing came before it)."""
        history = {**reports.run.rehearsal.NO_HISTORY, "registry_seq": registry_seq}
        with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
            patch.setattr(reports.run.rehearsal, "NO_HISTORY", history)
            run_file = stack.enter_context(rehearsal({"": candidate_path}, REPOSITORY))
            (session,) = sessions_named_by({RUN_VARIABLE: str(run_file)})
            yield Rehearsed(replace(session, cache=self.cache), self.scratch)

    def candidate(self, changes: Changes, prepare: Callable[[Path], None] | None = None) -> Path:
        """A copy of the honest candidate with pieces of its text replaced; `prepare(folder)` may damage or add files beside it."""
        folder = _new_folder(self.scratch)
        shutil.copytree(self.honest.parent, folder, dirs_exist_ok=True)
        path = folder / "candidate.toml"
        text = path.read_text(encoding="utf-8")
        for old, new in changes.items():
            assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the honest candidate"
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
        if prepare is not None:
            prepare(folder)
        return path

    def open_study(self) -> Study:
        """The honest candidate's study with everything that gates read already measured."""
        study = open_study(load_candidate(self.honest), self.cache)
        for part in PARTS:
            getattr(study, part)
        return study


PARTS: Final = (
    "baseline",
    "walk_forward",
    "segments",
    "risk",
    "perturbation",
    "stressed_walk_forward",
    "stressed_risk",
    "holdout",
)
"""What a study measures once; measured before a plant, so that changing one does not move another."""


def planted(study: Study, **parts: object) -> Study:
    """The same study with some of its parts replaced by planted ones."""
    changed = copy.copy(study)
    for name, part in parts.items():
        assert hasattr(study, name), f"a study has no {name}"
        setattr(changed, name, part)
    return changed


def make_bench(shared: Path, own: Path) -> Bench:
    """The bench below `shared`, which several workers may build at once; what is run lies below `own`."""
    folder = shared / "honest"
    with FileLock(shared / "honest.lock"):
        if not folder.exists():
            building = shared / "honest.building"
            make_market(MARKET).write(building / "market")
            shutil.copy(HONEST, building / "candidate.toml")
            building.rename(folder)
    return Bench(folder / "candidate.toml", own, shared / "cache")
