"""Does the scheduler keep every worker able to go on, whoever dies?"""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from reports.run.scheduling import GateScheduling

GROUPS = {"a1": "wf-1", "a2": "wf-1", "a3": "wf-1", "b1": "wf-2", "c1": "wf-3", "d1": "wf-4"}
NODES = list(GROUPS)


class Worker:
    """What the scheduler knows of a worker: what it was sent, and whether it was told to end."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.sent: list[str] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        self.sent += [NODES[index] for index in indices]

    def shutdown(self) -> None:
        self.shutting_down = True

    def can_start(self, done: int) -> bool:
        """A worker starts a gate when it knows the next one, or that there is none."""
        return len(self.sent) - done >= 2 or self.shutting_down


@pytest.fixture
def scheduling() -> GateScheduling:
    config = SimpleNamespace(getvalue=lambda _: ["2*popen"], option=SimpleNamespace(loadscopereorder=True))
    return GateScheduling(config, None, GROUPS)


def joined(scheduling: GateScheduling, name: str) -> Worker:
    worker = Worker(name)
    scheduling.add_node(worker)
    return worker


def finish(scheduling: GateScheduling, worker: Worker, *nodes: str) -> None:
    for node in nodes:
        scheduling.mark_test_complete(worker, NODES.index(node))


def begun(scheduling: GateScheduling) -> tuple[Worker, Worker]:
    one, two = joined(scheduling, "gw0"), joined(scheduling, "gw1")
    for worker in (one, two):
        scheduling.add_node_collection(worker, NODES)
    scheduling.schedule()
    return one, two


def test_a_shard_stays_with_its_worker(scheduling):
    one, _ = begun(scheduling)
    assert one.sent[:3] == ["a1", "a2", "a3"]


def test_a_replacement_that_inherits_groups_of_one_can_start(scheduling):
    one, two = begun(scheduling)
    scheduling.remove_node(two)
    assert scheduling.remove_node(one) == "a1"
    replacement = joined(scheduling, "gw2")
    scheduling.add_node_collection(replacement, NODES)
    scheduling.schedule()
    done = 0
    while scheduling.has_pending:
        assert replacement.can_start(done) or scheduling.tests_finished, replacement.sent
        finish(scheduling, replacement, replacement.sent[done])
        done += 1
    assert set(replacement.sent) >= {"a2", "a3"}
    assert "a1" not in replacement.sent


def test_a_replacement_gets_nothing_before_it_has_collected(scheduling):
    one, two = begun(scheduling)
    assert scheduling.remove_node(one) == "a1"
    late = joined(scheduling, "gw2")
    finish(scheduling, two, *two.sent)
    scheduling.remove_node(two)
    assert late.sent == []
    assert not late.shutting_down
    scheduling.add_node_collection(late, NODES)
    scheduling.schedule()
    assert late.sent
