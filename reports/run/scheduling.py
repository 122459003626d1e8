"""Which worker runs which gate: the cells of a shard together, so that what they share is assembled once.

xdist's own `--dist loadgroup` does nothing under pytest 9.2 (it writes the group to a field that pytest no longer reads), so gate sessions bring a
scheduler of their own. Where a cell runs decides nothing: what is expensive lies in the store, and every figure is the same wherever it is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    import pytest
    from xdist.remote import Producer
    from xdist.workermanage import WorkerController

    from reports.run.session import GateSession


def group_of_node(sessions: Sequence[GateSession]) -> dict[str, str]:
    """Which group each gate belongs to: in a batch its candidate, else its shard, or its module when it has no shard."""
    return {
        node: session.name or cell.shard or node.partition("::")[0]
        for session in sessions
        for node, cell in session.cell_by_node.items()
    }


class GateScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Hands out gates in groups, each group to one worker. A gate that took its worker down is not tried again; the rest of its group is."""

    def __init__(self, config: pytest.Config, log: Producer | None, group_of: Mapping[str, str]) -> None:
        super().__init__(config, log)
        self._group_of = group_of

    def _split_scope(self, nodeid: str) -> str:
        """The group of a node; the test itself for a node that has none."""
        return self._group_of.get(nodeid, nodeid)

    def _reschedule(self, node: WorkerController) -> None:
        """Give a worker more when it runs low. One that has not collected yet is asked again when it has; a worker starts a gate when it knows the next one,
        so none is left with a single gate while groups wait.
        """
        if node not in self.registered_collections:
            return
        super()._reschedule(node)
        while self.workqueue and not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
            self._assign_work_unit(node)

    def remove_node(self, node: WorkerController) -> str | None:
        """Forget a worker; what it left undone goes back to the queue, but for the gate that it ended in, which is returned."""
        assigned = self.assigned_work.pop(node)
        undone = {group: [item for item, done in unit.items() if not done] for group, unit in assigned.items()}
        crashed: str | None = next((items[0] for items in undone.values() if items), None)
        for group, items in undone.items():
            left = dict.fromkeys((item for item in items if item != crashed), False)
            if left:
                self.workqueue[group] = left
        for other in self.assigned_work:
            self._reschedule(other)
        return crashed
