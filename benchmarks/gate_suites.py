"""Whole gate runs as a person starts them, and what they are measured against: suites that import as much and measure nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.frame import DisagreementError, Size
from fixtures.demo import CANDIDATE, DEMO_MARKET
from fixtures.market import MarketSpec, make_market

REPOSITORY: Final = Path(__file__).resolve().parents[1]
TIME_LIMIT_S: Final = 900.0
RECORDER: Final = '''\
"""Writes down which modules a process of a gate run has imported when it ends."""

import os
import sys
from pathlib import Path


def pytest_sessionfinish(session):
    if hasattr(session.config, "workerinput") or not session.config.getoption("numprocesses", None):
        Path(os.environ["IMPORTED_MODULES"]).write_text("\\n".join(sys.modules), encoding="utf-8")
'''
EMPTY_CONFTEST: Final = '''\
"""Imports what a gate run imports."""

import contextlib
import importlib
from pathlib import Path

for name in Path(__file__).with_name("modules.txt").read_text(encoding="utf-8").splitlines():
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
'''
EMPTY_TESTS: Final = '''\
"""Measures nothing."""

import pytest


@pytest.mark.parametrize("cell", range({count}))
def test_nothing(cell):
    pass
'''
_OURS_AT_RUN_TIME: Final = re.compile(
    r"(conftest|gates|benchmarks|recorder|__main__|__mp_main__|__channelexec__)(\.|$)"
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended and what it printed."""

    status: int
    output: str


def gates(stage: str, *options: str, **variables: str) -> Ended:
    """Rehearse a stage from the repository. Raises DisagreementError when it did not end in order."""
    ended = _pytest([f"gates/{stage}", "-q", *options], REPOSITORY, variables)
    if ended.status not in (0, 1):
        raise DisagreementError(
            f"gates/{stage} ended with {ended.status}: {ended.output[-2000:]}",
            where="benchmarks",
            remedy="rehearse it by hand first",
        )
    return ended


def cells_of(ended: Ended) -> int:
    """How many gates ran."""
    counts = re.findall(r"(\d+) (?:passed|failed)", ended.output.splitlines()[-1])
    return sum(map(int, counts))


@dataclass(frozen=True, slots=True)
class EmptySuite:
    """As many tests as a stage has cells, with the same imports, plugins and settings, and nothing in them."""

    folder: Path

    @classmethod
    def like(cls, folder: Path, stage: str, *options: str) -> EmptySuite:
        """Run the stage on a warm cache to learn what it imports and how many cells it has, and lay out the suite in `folder`."""
        folder.mkdir()
        gates(stage, *options)  # what only a cold cache has it import is not the suite's to import
        (folder / "recorder.py").write_text(RECORDER, encoding="utf-8")
        modules = folder / "modules.txt"
        ended = gates(stage, "-p", "recorder", *options, PYTHONPATH=str(folder), IMPORTED_MODULES=str(modules))
        names = [name for name in modules.read_text(encoding="utf-8").splitlines() if not _OURS_AT_RUN_TIME.match(name)]
        modules.write_text("\n".join(names), encoding="utf-8")
        (folder / "conftest.py").write_text(EMPTY_CONFTEST, encoding="utf-8")
        (folder / "test_empty.py").write_text(EMPTY_TESTS.format(count=cells_of(ended)), encoding="utf-8")
        settings = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
        addopts = next(line for line in settings.splitlines() if line.startswith("addopts = "))
        (folder / "pyproject.toml").write_text(f"[tool.pytest]\n{addopts}\n", encoding="utf-8")
        return cls(folder)

    def run(self, *options: str) -> None:
        """Run it. Raises DisagreementError when it does not pass."""
        ended = _pytest(["test_empty.py", "-q", *options], self.folder, {})
        if ended.status != 0:
            raise DisagreementError(
                f"the empty suite ended with {ended.status}: {ended.output[-2000:]}",
                where="benchmarks",
                remedy="look at its conftest",
            )


def started_gates(stage: str, *options: str, **variables: str) -> subprocess.Popen[str]:
    """A rehearsal that has begun; what it prints goes nowhere."""
    return subprocess.Popen(
        _command([f"gates/{stage}", "-q", *options]),
        cwd=REPOSITORY,
        env=_environment(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _pytest(arguments: Sequence[str], folder: Path, variables: dict[str, str]) -> Ended:
    done = subprocess.run(
        _command(arguments),
        cwd=folder,
        env=_environment(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=TIME_LIMIT_S,
    )
    return Ended(done.returncode, done.stdout)


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "pytest", *arguments]


def _environment(variables: dict[str, str]) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "STAGEGATE"))}
    return clean | variables


def planted_candidate(folder: Path, size: Size) -> Path:
    """The demonstration candidate on a synthetic market of `size` in which its edge is planted, with as many shards as fit."""
    market = make_market(
        MarketSpec(
            seed=DEMO_MARKET.seed,
            n_names=size.n_symbols,
            n_days=size.n_dates,
            drift_vol_per_year=DEMO_MARKET.drift_vol_per_year,
            drift_half_life_days=DEMO_MARKET.drift_half_life_days,
        )
    )
    market.write(folder / "market")
    text = CANDIDATE.read_text(encoding="utf-8")
    text = re.sub(r"(?m)^as_of = .*$", f"as_of = {str(market.prices['date'].max())[:10]}", text)
    if size.name == "small":
        text = re.sub(r"(?m)^shards = .*$", "shards = 2", text)
    path = folder / "candidate.toml"
    path.write_text(text, encoding="utf-8")
    return path
