"""The bench of the proof, one a worker; the market and the cache below it are shared."""

from __future__ import annotations

import pytest

from tests.gates.harness import Bench, make_bench


@pytest.fixture(scope="session")
def bench(tmp_path_factory, request) -> Bench:
    """Where candidates are made and stages run."""
    own = tmp_path_factory.getbasetemp()
    return make_bench(own.parent if hasattr(request.config, "workerinput") else own, own / "runs")


@pytest.fixture(scope="session")
def honest(bench):
    """The honest candidate with its records."""
    with bench.rehearsed(bench.honest) as rehearsed:
        yield rehearsed


@pytest.fixture(scope="session")
def measured(bench):
    """The honest candidate's study, measured."""
    return bench.open_study()


@pytest.fixture(scope="session")
def run_case(bench, request):
    """Run the stage of a case with its defect planted."""

    def run(case):
        if case.study is not None:
            planted = case.study(request.getfixturevalue("measured"))
            return request.getfixturevalue("honest").run(case.stage, study=planted, arguments=case.arguments)
        with bench.rehearsed(bench.candidate(case.changes, case.files), case.registry_seq) as rehearsed:
            if case.record is not None:
                case.record(rehearsed)
            return rehearsed.judged_as_tagged(case.tagged).run(case.stage, arguments=case.arguments)

    return run
