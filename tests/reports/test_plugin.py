"""The plugin's hooks in a real pytest: what is collected, what `evidence` records before it judges, and what the stream then holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reports.criteria.stream import Stream, read_stream
from reports.criteria.verdict import Returned, Verdict, judge, read_json_report
from reports.record.durable import dump_json, write_new
from reports.run.child import PLUGINS, RUN_VARIABLE
from reports.run.session import GateSession, judged_cells, run_file_bytes, sessions_named_by
from tests.reports.frozen_candidate import TAG, Frozen, lay_out

REPOSITORY = Path(__file__).resolve().parents[2]
HONEST = '''"""Gates."""

import numpy as np


def test_edge(evidence):
    assert evidence("s3.edge", np.float32(3.5), n_obs=np.int64(9), note="as measured", interval=(np.float64(3.0), 4.0))


def test_shard(shard, cost_multiplier, evidence):
    assert evidence("s3.shard_t", 1.0 / cost_multiplier, n_obs=9)


def test_costs(cost_multiplier, evidence):
    assert evidence("s3.costs", 1.0, n_obs=9)


def test_size(evidence):
    assert evidence("s3.size", None)


def test_grid(evidence):
    assert evidence("s3.grid", 0.9)
'''


class Gates:
    """A repository with gates/s3/test_edge.py and a frozen candidate, and a pytest that runs it as the supervisor's child would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.frozen: Frozen = lay_out(root)
        places = self.frozen.places
        write_new(places.workspace.freeze(TAG), dump_json(self.frozen.record()))
        self.session = GateSession(
            run_id="run-1",
            stages=("s3",),
            places=places,
            cache=places.workspace.cache,
            freeze_path=places.workspace.freeze(TAG),
            multipliers=(1.0, 1.5, 2.0),
            started_utc="2026-11-23T17:05:09Z",
            stream_path=root / "stream.jsonl",
            rehearsal=False,
        )
        self.output = ""
        self.status = -1

    def run(self, source: str = HONEST, *options: str) -> Verdict:
        """Run these gates and judge what came back."""
        repository = self.frozen.places.repository
        (repository / "gates" / "s3").mkdir(exist_ok=True)
        (repository / "gates" / "s3" / "test_edge.py").write_text(source, encoding="utf-8")
        (repository / "pyproject.toml").write_text("[tool.pytest]\nstrict = true\n", encoding="utf-8")
        write_new(self.root / "run.json", run_file_bytes([self.session]))
        plugins = [part for name in PLUGINS for part in ("-p", name)]
        report = self.root / "report.json"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "gates/s3",
            *plugins,
            "--json-report",
            f"--json-report-file={report}",
        ]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider", *options],
            cwd=repository,
            env=environment | {RUN_VARIABLE: str(self.root / "run.json")},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        self.output, self.status = done.stdout + done.stderr, done.returncode
        expected = judged_cells(self.session.freeze, "s3", self.session.multipliers)
        return judge(expected, Returned(done.returncode, read_json_report(report), self.stream))

    @property
    def stream(self) -> Stream:
        return read_stream(self.session.stream_path)


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path)


def outcomes(verdict: Verdict) -> dict[str, str]:
    """Outcome of each cell by gate and cell."""
    return {f"{result.cell.gate} [{result.cell.id}]": result.outcome for result in verdict.cells}


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_honest_run_passes_in_every_cell_with_any_number_of_workers(gates, workers):
    verdict = gates.run(HONEST, "-n", workers)
    assert verdict.name == "PASS", gates.output
    stream = gates.stream
    assert (stream.workers, stream.exit, stream.faults) == (int(workers), 0, [])
    assert sorted(stream.collected) == (["gw0", "gw1"] if workers == "2" else ["controller"])
    for nodes in stream.collected.values():
        assert [node.partition("::")[2] for node in nodes] == [
            "test_edge",
            *(f"test_shard[wf-{shard}-x{cost}]" for shard in (1, 2) for cost in ("1", "1.5", "2")),
            *(f"test_costs[x{cost}]" for cost in ("1", "1.5", "2")),
            "test_size",
        ]
    assert set(stream.phases) == set(next(iter(stream.collected.values())))
    assert all([phase.when for phase in phases] == ["setup", "call", "teardown"] for phases in stream.phases.values())


def test_numpy_scalars_come_back_as_plain_numbers(gates):
    gates.run(HONEST, "-n", "2")
    phases = gates.stream.phases["gates/s3/test_edge.py::test_edge"]
    (measured,) = phases[1].evidence
    assert (measured.value, measured.n_obs, measured.note, measured.interval) == (3.5, 9, "as measured", (3.0, 4.0))


def test_evidence_is_recorded_before_it_is_judged(gates):
    verdict = gates.run(HONEST.replace("np.float32(3.5)", "np.float32(-1.25)"))
    assert (verdict.name, gates.status) == ("FAIL", 1)
    (edge, *_) = verdict.cells
    assert edge.evidence[0].value == -1.25
    assert "s3.edge: measured -1.25, required > 2, margin -3.25 (n = 9): as measured" in gates.output


def test_a_diagnostic_that_does_not_hold_fails_nothing(gates):
    found = outcomes(gates.run())
    assert {found[f"s3.costs [x{cost}]"] for cost in ("1", "1.5", "2")} == {"failed"}
    assert gates.status == 0


def test_an_absent_input_is_absent_and_records_nothing(gates):
    found = outcomes(gates.run())
    assert found["s3.size [-]"] == "absent"
    assert gates.stream.phases["gates/s3/test_edge.py::test_size"][1].evidence == ()


def test_a_gate_that_the_candidate_is_not_asked_is_left_out(gates):
    assert not any("test_grid" in node for node in gates.run().unexpected)
    assert not any("test_grid" in node for node in gates.stream.phases)


def test_an_unknown_threshold_is_named_with_those_there_are(gates):
    verdict = gates.run(HONEST.replace('"s3.edge"', '"s3.egde"'))
    assert verdict.name == "FAIL"
    assert "gate s3.edge has no threshold s3.egde; it has s3.edge" in gates.output


def test_a_test_without_a_row_fails_the_run(gates):
    verdict = gates.run(HONEST + '\n\ndef test_more(evidence):\n    assert evidence("s3.edge", 9.0)\n')
    assert verdict.name == "FAIL"
    assert "is no expected cell: give the test a row in gates/policy.toml" in gates.output
    assert verdict.unexpected == ("gates/s3/test_edge.py::test_more is no expected cell of this stage",)


@pytest.mark.parametrize("value", ["float('nan')", "float('inf')", "None"])
def test_what_is_not_measured_never_holds(gates, value):
    verdict = gates.run(HONEST.replace("np.float32(3.5)", value))
    assert verdict.name == "FAIL"
    assert "not measured, required > 2" in gates.output


def test_the_multipliers_of_the_run_are_the_cells_that_run(gates):
    gates.session = GateSession(**{**_fields(gates.session), "multipliers": (1.5, 2.0)})
    assert gates.run().name == "PASS", gates.output
    assert not any("x1]" in node for node in gates.stream.phases)


def _fields(session: GateSession) -> dict[str, object]:
    names = (
        "run_id",
        "stages",
        "places",
        "cache",
        "freeze_path",
        "multipliers",
        "started_utc",
        "stream_path",
        "rehearsal",
    )
    return {name: getattr(session, name) for name in names}


def test_a_killed_worker_is_in_the_stream(gates):
    killed = HONEST.replace("import numpy as np", "import os, signal\n\nimport numpy as np").replace(
        "def test_edge(evidence):\n", "def test_edge(evidence):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    verdict = gates.run(killed, "-n", "2")
    assert verdict.name == "INCOMPLETE"
    assert any(gates.stream.down.values())


def workers_of(gates: Gates) -> dict[str, set[str]]:
    """Short node -> the workers that ran any phase of it."""
    found: dict[str, set[str]] = {}
    for line in gates.session.stream_path.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["event"] == "phase":
            found.setdefault(event["node"].partition("::")[2], set()).add(event["worker"])
    return found


def of_shard(found: dict[str, set[str]], number: int) -> set[str]:
    """Every worker that had to do with a shard."""
    return {worker for node, workers in found.items() if f"wf-{number}" in node for worker in workers}


def test_the_cells_of_a_shard_land_on_one_worker(gates):
    assert gates.run(HONEST, "-n", "2").name == "PASS", gates.output
    found = workers_of(gates)
    assert len(of_shard(found, 1)) == len(of_shard(found, 2)) == 1
    assert {worker for workers in found.values() for worker in workers} == {"gw0", "gw1"}


def test_another_distribution_can_be_asked_for_by_name(gates):
    assert gates.run(HONEST, "-n", "2", "--dist", "loadfile").name == "PASS", gates.output
    assert len({worker for workers in workers_of(gates).values() for worker in workers}) == 1


def test_the_rest_of_a_killed_shard_is_done_by_one_other_worker(gates):
    killed = HONEST.replace("import numpy as np", "import os, signal\n\nimport numpy as np").replace(
        "def test_shard(shard, cost_multiplier, evidence):\n",
        "def test_shard(shard, cost_multiplier, evidence):\n"
        "    if (shard, cost_multiplier) == ('wf-1', 1.5):\n        os.kill(os.getpid(), signal.SIGKILL)\n",
    )
    verdict = gates.run(killed, "-n", "2")
    assert verdict.name == "INCOMPLETE"
    assert [f"{cell.cell.gate} [{cell.cell.id}]" for cell in verdict.cells if cell.outcome == "missing"] == [
        "s3.shard_t [wf-1 x1.5]"
    ]
    found = workers_of(gates)
    (before,), (after,) = found["test_shard[wf-1-x1]"], found["test_shard[wf-1-x2]"]
    assert found["test_shard[wf-1-x1.5]"] == {before} != {after}


def test_a_session_survives_its_run_file(gates):
    path = gates.root / "run.json"
    write_new(path, run_file_bytes([gates.session]))
    assert sessions_named_by({RUN_VARIABLE: str(path)}) == (gates.session,)
    assert sessions_named_by({}) == ()


def test_outside_a_gate_session_the_plugin_changes_nothing(tmp_path):
    (tmp_path / "test_plain.py").write_text("def test_plain():\n    assert True\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "reports.run.plugin", "-p", "no:cacheprovider", "-q"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix) == ["test_plain.py"]


def test_the_report_and_the_stream_agree_on_every_outcome(gates):
    gates.run(HONEST.replace("np.float32(3.5)", "-1.0"), "-n", "2")
    report = json.loads((gates.root / "report.json").read_text(encoding="utf-8"))
    said = {test["nodeid"]: test["outcome"] for test in report["tests"]}
    saw = {
        node: "failed" if any(phase.outcome == "failed" for phase in phases) else "passed"
        for node, phases in gates.stream.phases.items()
    }
    assert said == saw
