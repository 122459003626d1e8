"""Wiring only: options to a request or a rehearsal, and the fixtures by whose names gates read as finance."""

# ruff: noqa: E402 - bytecode goes before a module of ours is read, and the number of threads is settled before anything imports numpy

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import execnet

REPOSITORY = Path(__file__).resolve().parent
IS_RECORDED = any(argument.startswith("--decision-tag") for argument in sys.argv)
if IS_RECORDED:
    # cached bytecode is in no commit, and Python would run it in place of the source that is
    for _folder in ("engines", "fixtures", "gates", "reports"):
        for _cached in (REPOSITORY / _folder).rglob("*.pyc"):
            _cached.unlink(missing_ok=True)

from reports.run.child import RUN_VARIABLE, one_thread_a_process
from reports.run.workers import ForkServer, asks_for_workers

one_thread_a_process(os.environ)
PRELOADED = (
    "pytest",
    "fixtures.demo",
    "engines.study",
    "reports.criteria.looks",
    "reports.criteria.trials",
    "reports.record.registry",
    "reports.run.batch",
    "reports.run.batch_summary",
    "reports.run.live",
    "reports.run.request",
    "reports.run.scope",
    "reports.run.session",
    "scipy.special",
)
# a recorded run's workers are those of its child; the sooner the server is started, the more it imports beside this process
fork_server = ForkServer(PRELOADED) if asks_for_workers(sys.argv[1:]) and not IS_RECORDED else None

from contextlib import ExitStack

import pytest

from engines.errors import StageGateError
from fixtures.demo import ensure_market
from reports.criteria.looks import looks
from reports.criteria.trials import family_trials
from reports.record.host import settle
from reports.record.registry import Registry
from reports.run import scope
from reports.run.batch import candidate_files, chosen_candidates
from reports.run.request import (
    is_recorded,
    is_worker,
    monitor_command,
    stages_asked,
    tagged_request,
    workspace_of,
)
from reports.run.session import sessions_of

pytest_plugins = ("reports.run.plugin",)

DEMO_CANDIDATE = REPOSITORY / "fixtures" / "demo" / "candidate.toml"


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """A monitoring goes to its command, a tagged run to the supervisor; everything else is ordinary pytest."""
    settle()
    if config.getoption("--live") is not None and RUN_VARIABLE not in os.environ:
        return _monitor(config)
    if not is_recorded(config):
        return None
    from reports.run.batch_run import supervise_batch
    from reports.run.supervisor import REFUSED, supervise
    from reports.run.terminal import Canvas, refusal_lines, say

    try:
        request = tagged_request(config, REPOSITORY)
        for path in candidate_files(request):
            ensure_market(path)
    except StageGateError as refusal:
        say(sys.stderr, refusal_lines(Canvas.of(sys.stderr), "run", refusal))
        return REFUSED
    try:
        return (supervise if request.pattern is None else supervise_batch)(request, sys.stdout)
    finally:
        gc.freeze()  # a person waits while the interpreter ends: it need not look through all that was imported


def _monitor(config: pytest.Config) -> int:
    """`pytest gates/s4 --live ..` is `stagegate monitor ..`."""
    from reports.desk.cli import main, refuse

    invocation = config.invocation_params
    words = [str(argument) for argument in invocation.args]
    try:
        command = monitor_command(words, os.environ, invocation_dir=invocation.dir, repository=REPOSITORY)
    except StageGateError as refusal:
        return refuse(refusal, as_json=False)
    return main(command)


def pytest_configure(config: pytest.Config) -> None:
    """Gates without a session are rehearsed: on the candidates that are named, or on the embedded market's."""
    stages = () if is_worker(config) or RUN_VARIABLE in os.environ else stages_asked(config, REPOSITORY)
    if not stages:
        return
    from reports.run.rehearsal import rehearsal

    stack = ExitStack()
    try:
        candidates = chosen_candidates(config, DEMO_CANDIDATE)
        for path in candidates.values():
            ensure_market(path)
        cache_of = workspace_of(config, REPOSITORY)
        os.environ[RUN_VARIABLE] = str(stack.enter_context(rehearsal(candidates, REPOSITORY, stages, cache_of)))
    except StageGateError as error:
        raise pytest.UsageError(str(error)) from error
    config.add_cleanup(lambda: os.environ.pop(RUN_VARIABLE, None))
    config.add_cleanup(stack.close)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[execnet.XSpec]) -> None:
    """Workers are forks of one process that has imported what they need."""
    if fork_server is not None:
        fork_server.start_workers_of(specs)


def pytest_unconfigure() -> None:
    """The workers have ended, or end now; the interpreter need not look through all that was imported before it ends."""
    if fork_server is not None:
        fork_server.close()
    gc.freeze()


@pytest.fixture(scope="session")
def candidate(gate_session):
    """The frozen candidate."""
    return gate_session.candidate


@pytest.fixture(scope="session")
def seed(gate_session):
    """The one seed of the run, from the freeze."""
    return gate_session.freeze.seed


@pytest.fixture(scope="session")
def study(gate_session):
    """Everything measured of the candidate on its panel; each part is computed once, whatever the number of workers."""
    from engines.study import open_study

    return open_study(gate_session.candidate, gate_session.cache, thorough=not gate_session.rehearsal)


@pytest.fixture(scope="session")
def panel(study):
    """The panel before the sealed holdout."""
    return study.sealed


@pytest.fixture(scope="session")
def quality(study):
    """What is wrong with the file."""
    return study.quality


@pytest.fixture(scope="session")
def missing_member_ratio(quality):
    """Share of point-in-time members that the panel lacks; None without a membership table."""
    return quality.missing_member_ratio


@pytest.fixture(scope="session")
def baseline(study):
    """IC, coverage and observations of the declared variant before any stress."""
    return study.baseline


@pytest.fixture(scope="session")
def walk_forward(study):
    """Out-of-sample figures over all windows."""
    return study.walk_forward


@pytest.fixture
def shard_backtest(walk_forward, shard):
    """Out-of-sample figures of one shard."""
    return walk_forward.shard(shard)


@pytest.fixture
def shard_stress(study, shard):
    """What each stressor moved in one shard."""
    return study.shard_stress(shard)


@pytest.fixture(scope="session")
def segments(study):
    """Out-of-sample IC by volatility, trend and calendar."""
    return study.segments


@pytest.fixture(scope="session")
def risk(study):
    """Risk figures out of sample."""
    return study.risk


@pytest.fixture(scope="session")
def stressed_walk_forward(study):
    """Out-of-sample figures in the stricter universe."""
    return study.stressed_walk_forward


@pytest.fixture(scope="session")
def stressed_risk(study):
    """Risk figures in the stricter universe."""
    return study.stressed_risk


@pytest.fixture(scope="session")
def family(gate_session, study):
    """Everything the candidate's family has tried, at the registry position of the freeze."""
    return family_trials(gate_session.places.workspace, gate_session.freeze, study)


@pytest.fixture(scope="session")
def holdout(study):
    """The sealed final window, opened."""
    return study.holdout


@pytest.fixture(scope="session")
def holdout_looks(gate_session):
    """How often this window was looked at before."""
    rows = Registry(gate_session.places.workspace.root).rows()
    return looks(rows, gate_session.freeze, "sealed", "s4")


@pytest.fixture(scope="session")
def decision_note_faults(gate_session):
    """What the decision note lacks."""
    return scope.decision_note_faults(gate_session)


@pytest.fixture(scope="session")
def header_faults(gate_session):
    """Where the file contradicts the declared contract."""
    return scope.header_faults(gate_session)


@pytest.fixture(scope="session")
def loosened_thresholds(gate_session):
    """Overrides that are looser than the policy."""
    return scope.loosened_thresholds(gate_session)


@pytest.fixture(scope="session")
def unpinned_inputs(gate_session):
    """Inputs without a hash in the freeze, or that differ from it."""
    return scope.unpinned_inputs(gate_session)


@pytest.fixture(scope="session")
def rerun_faults(gate_session):
    """Duties of a rerun that are not met."""
    return scope.rerun_faults(gate_session)


@pytest.fixture(scope="session")
def governance_faults(gate_session):
    """Ways in which the record does not hold."""
    return scope.governance_faults(gate_session)


@pytest.fixture
def selection_faults(request, gate_session):
    """Expected cells that this process did not collect, and collected ones that nobody expects."""
    others = {node for other in sessions_of(request.config) if other != gate_session for node in other.cell_by_node}
    collected = [item.nodeid for item in request.session.items if item.nodeid not in others]
    return scope.selection_faults(gate_session, "s2", collected)


@pytest.fixture(scope="session")
def expected_count(gate_session):
    """How many cells s2 expects."""
    return len(gate_session.expected_of("s2"))


@pytest.fixture(scope="session")
def sign_off(gate_session):
    """The signatures over the S3 report."""
    return scope.sign_off(gate_session)


@pytest.fixture(scope="session")
def deployment_note_faults(gate_session):
    """What the deployment notes lack."""
    return scope.deployment_note_faults(gate_session)


@pytest.fixture(scope="session")
def watchlist(gate_session):
    """The watchlist as read and checked."""
    return scope.watchlist(gate_session)


@pytest.fixture(scope="session")
def champions(gate_session, study):
    """The candidate beside the last promoted one of its family and the desk's live book."""
    return scope.champions(gate_session, study)


@pytest.fixture(scope="session")
def rollback(gate_session, study):
    """The rollback triggers as read, evaluated out of sample and on planted breaches."""
    return scope.rollback(gate_session, study)


@pytest.fixture(scope="session")
def trigger_behaviour(gate_session, study, rollback):
    """How often the triggers fire without cause, and how long they take, in one line."""
    return scope.trigger_behaviour(gate_session, study, rollback)
