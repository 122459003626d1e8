"""Measure a run's candidate a second time, apart from its gates: what a stage leaves behind, and the figures that follow from it.

    python -m reports.run.remeasure     reads one line of JSON, {"run_file": .., "freezes": [sha256, ..]}, and prints, as JSON, for each session of
                                        that file {"files": .., "exhibits": .., "figures": ..}, or a text that says why it cannot be measured

The supervisor starts this before it checks entry, so that it has imported what it needs when the gates start, and it is a process that shares nothing with
them but the frozen files: it reads the data itself, into a cache of its own that nobody has written to before, and its answer goes to the supervisor
alone. What the gates' processes, their cache or a hook among them make of a number therefore cannot reach the returns that a pack stores, and evidence
that was not measured on these returns contradicts them. A fork of it works on the same cache from the other end, because a person waits for this
measurement when the gates have long come back.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from engines.errors import StageGateError
from engines.study import Study, open_study
from reports.pack import audit
from reports.pack.artifacts import StageInputs, stage_artifacts
from reports.record.durable import write_new
from reports.record.errors import RecordError
from reports.run.child import RUN_VARIABLE
from reports.run.rederive import measure
from reports.run.session import GateSession, sessions_named_by

ONLY_A_COLD_CACHE_NEEDS: Final = ("engines.panel_build", "pandas", "pandera.pandas", "pyarrow.parquet", "scipy.special")
"""Imported while there is nothing else to do; everywhere else by who needs it."""
WALKED_STAGES: Final = ("s2", "s3")
"""Stages that leave the series of a walk-forward behind."""


@dataclass(frozen=True, slots=True)
class Remeasured:
    """files: what the stage must leave, name -> bytes; exhibits: what its report shows; figures: by `threshold [cell]`."""

    files: Mapping[str, bytes]
    exhibits: audit.Exhibits
    figures: Mapping[str, float]


class Remeasurement:
    """A measurement in a process of its own, which waits to be told what to measure."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._runs = 0

    def begin(self, run_file: Path, freezes: Sequence[str]) -> None:
        """Have it measure the runs of the run file, whose freezes had these sha256 when entry was checked."""
        self._runs = len(freezes)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended: its results say so
            self._process.stdin.write(f"{json.dumps({'run_file': str(run_file), 'freezes': list(freezes)})}\n".encode())
            self._process.stdin.flush()

    def results(self) -> list[Remeasured | RecordError]:
        """Wait for it: what was measured of each run, an error where that could not be done; everywhere, when the process did not come back."""
        said, complaint = self._process.communicate()
        answers = json.loads(said) if self._process.returncode == 0 else []
        if len(answers) != self._runs:
            last = complaint.decode(errors="replace").strip().splitlines()[-1:]
            answers = [last[0] if last else f"exit status {self._process.returncode}"] * self._runs
        return [_immeasurable(answer) if isinstance(answer, str) else _remeasured(answer) for answer in answers]

    def end(self) -> None:
        """Kill it, and what it has forked, when it still runs."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()


def _remeasured(answer: Mapping[str, Any]) -> Remeasured:
    files = {name: text.encode() for name, text in answer["files"].items()}
    return Remeasured(files, audit.Exhibits(**answer["exhibits"]), answer["figures"])


def _immeasurable(why: str) -> RecordError:
    return RecordError(
        f"the stage could not be measured apart from its gates: {why}",
        where="stored returns",
        remedy="see `stagegate explain`; what keeps the measurement from being made mostly keeps the gates from passing too",
    )


@contextmanager
def standing_by(environment: Mapping[str, str], repository: Path) -> Iterator[Remeasurement]:
    """Start the process now, to be told later what to measure, and later still to be asked for its results; it ends with the block at the latest."""
    process = subprocess.Popen(
        [sys.executable, "-m", "reports.run.remeasure"],
        cwd=repository,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    measurement = Remeasurement(process)
    try:
        yield measurement
    finally:
        measurement.end()


def remeasure(session: GateSession, freeze_sha256: str, folder: Path) -> dict[str, Any]:
    """Measure what the session's stage must leave, in a cache below `folder`, which is empty or holds earlier measurements of this process.

    RecordError when the freeze is not the one that was checked at entry, or the stored series cannot be read back; DataError, SignalError and
    CandidateError as a study raises them.
    """
    if session.freeze.sha256 != freeze_sha256:
        raise RecordError(
            f"the freeze changed after entry: expected sha256:{freeze_sha256}, found sha256:{session.freeze.sha256}",
            where=str(session.freeze_path),
            remedy="restore it; nothing may write to runs/freeze while a run is under way",
        )
    (stage,) = session.stages
    with _measured_from_the_end(session, stage, folder / "cache"):
        study = _study(session, folder / "cache")
        inputs = StageInputs(session.places.workspace, session.freeze, study)
        files, shown = stage_artifacts(stage, inputs), audit.exhibits(stage, inputs)
    pack = folder / session.run_id
    for name, data in {"freeze.json": session.freeze_path.read_bytes(), **files}.items():
        write_new(pack / name, data)
    texts = {name: data.decode() for name, data in files.items()}
    return {"files": texts, "exhibits": asdict(shown), "figures": measure(pack)}


def _study(session: GateSession, cache: Path) -> Study:
    return open_study(session.candidate, cache, thorough=True, lasting=False)


@contextmanager
def _measured_from_the_end(session: GateSession, stage: str, cache: Path) -> Iterator[None]:
    """Meanwhile a fork measures into the same cache what the stage's walk-forwards are made of, the last part first."""
    if stage not in WALKED_STAGES:
        yield
        return
    fork = multiprocessing.get_context("fork").Process(target=_measure_backwards, args=(session, stage, cache))
    fork.start()
    try:
        yield
    finally:
        fork.kill()
        fork.join()


def _measure_backwards(session: GateSession, stage: str, cache: Path) -> None:
    with suppress(
        OSError, StageGateError
    ):  # what stands in its way stands in the way of the process it works for, which says so
        _study(session, cache).measure_backwards(stressed=stage == "s3")


def _answer(session: GateSession, freeze_sha256: str, folder: Path) -> dict[str, Any] | str:
    try:
        return remeasure(session, freeze_sha256, folder)
    except (OSError, StageGateError) as error:
        return " ".join(str(error).split())


def main() -> int:
    """Measure what the supervisor asks for, if it does; a session that cannot be measured leaves the others measured."""
    for name in ONLY_A_COLD_CACHE_NEEDS:
        importlib.import_module(name)
    asked = sys.stdin.readline()
    if not asked:
        return 0
    words = json.loads(asked)
    sessions = sessions_named_by({RUN_VARIABLE: words["run_file"]})
    with TemporaryDirectory(prefix="stagegate-remeasure-") as folder:
        answers = [_answer(*each, Path(folder)) for each in zip(sessions, words["freezes"], strict=True)]
    json.dump(answers, sys.stdout)
    return 0


if __name__ == "__main__":
    ended = main()
    sys.stdout.flush()
    os._exit(ended)  # taking the interpreter down is a quarter of a second that a person would wait for
