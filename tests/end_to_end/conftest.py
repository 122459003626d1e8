"""One road from S0 to S4, built once and shared by all workers; whoever spoils a workspace takes a copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from reports.record.workspace import STAGES
from tests.end_to_end.desk import Desk, copy_repository, found_committee, new_desk, small_market
from tests.end_to_end.warm import WarmInterpreter

TAG = "small-momentum-1"


@dataclass(frozen=True, slots=True)
class Road:
    """A desk that walks one tag through the stages as far as it is asked, and keeps a copy of each state."""

    root: Path

    def built(self, name: str, build: Callable[[Path], object]) -> Path:
        """`root/name`, built by one process while others wait."""
        folder, done = self.root / name, self.root / f"{name}.done"
        with FileLock(self.root / f"{name}.lock"):
            if not done.exists():
                build(folder)
                done.touch()
        return folder

    @property
    def repository(self) -> Path:
        return self.built("repository", copy_repository)

    @property
    def market(self) -> Path:
        return self.built("market", small_market)

    @property
    def desk(self) -> Desk:
        return self.at_work_in(self.root / "desk")

    def fresh(self, folder: Path) -> Desk:
        """A desk of its own that has not run anything."""
        return new_desk(folder, self.repository, self.market)

    def after(self, stage: str) -> Desk:
        """The desk as it was when `stage` of TAG had passed; not to be written to."""
        folder = self.built(f"after-{stage}", lambda folder: self._advance(stage, folder))
        return self.at_work_in(folder)

    def at(self, stage: str, folder: Path) -> Desk:
        """A copy of `after(stage)`, free to be spoiled."""
        return self.after(stage).elsewhere(folder)

    def at_work_in(self, folder: Path) -> Desk:
        """The desk whose workspace lies in `folder`."""
        return Desk(
            self.repository, folder / "workspace", folder / "workspace" / "candidates" / "small" / "candidate.toml"
        )

    def _advance(self, stage: str, folder: Path) -> None:
        order = list(STAGES)
        if stage == order[0]:
            found_committee(self.fresh(self.root / "desk"))
        else:
            self.after(order[order.index(stage) - 1])
        if stage == "s4":
            self.desk.sign(TAG)
            self.desk.write_deployment(TAG)
        ended = self.desk.stage(TAG, stage)
        assert ended.status == 0, ended.output
        self.desk.elsewhere(folder)


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Road:
    """The shared road, in a folder that all workers of this test run see."""
    base = tmp_path_factory.getbasetemp()
    root = (base if worker_id == "master" else base.parent) / "road"
    root.mkdir(exist_ok=True)
    return Road(root)


@pytest.fixture(scope="session")
def warm() -> Iterator[WarmInterpreter]:
    """An interpreter that starts pytest quickly."""
    interpreter = WarmInterpreter()
    yield interpreter
    interpreter.close()
