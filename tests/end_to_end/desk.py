"""A desk as a person has it: a committed copy of the repository, a workspace beside it, a small market and a candidate that deserves promotion."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engines.digest import sha256_file
from fixtures.market import MarketSpec, make_market
from reports.pack.packet import PROMPTS

SOURCE: Final = Path(__file__).resolve().parents[2]
OWNER: Final = "olga"
COMMITTEE: Final = ("risk@desk.invalid", "research@desk.invalid")
RUN_TIMEOUT_SECONDS: Final = 240

SMALL_MARKET: Final = MarketSpec(
    seed=7,
    n_days=700,
    n_names=100,
    drift_vol_per_year=1.2,
    drift_half_life_days=378.0,
    late_listing_fraction=0.02,
    delisting_fraction=0.05,
    median_market_cap_usd=6e10,
    market_cap_log_sd=0.8,
)
"""A drift so strong that two years of a hundred names are enough to see it."""

CANDIDATE: Final = """\
schema = 1
name = "small-momentum"
family = "small-momentum"
hypothesis = "Winners of the last quarter keep winning over the next week."
universe_constraints = "Members of the synthetic index of the day, price >= 2 USD"
protocol_version = "1"
preregistered = true

[data]
path = "market/prices.parquet"
as_of = 2016-09-07

[data.reference]
sector = "market/sectors.parquet"
market_cap = "market/market_caps.parquet"
membership = "market/membership.parquet"
benchmark = "market/benchmark.parquet"
delistings = "market/delistings.parquet"

[signal]
function = "momentum"
parameters = { lookback_days = 63, skip_days = 1 }
grid = { lookback_days = [63, 84] }
neutralise = ["size"]

[universe]
min_price = 2.0
min_dollar_volume = 1e5
min_market_cap = 1e8
min_history_days = 63

[portfolio]
long_fraction = 0.2
short_fraction = 0.2
weighting = "equal"
horizon_days = 5
rebalance_days = 5
execution_delay_days = 1
execution_price = "open"
target_aum = 1e6

[costs]
half_spread_bps = 2.0
fee_bps = 0.5
impact_coefficient = 0.5
borrow_bps_per_year = 25.0
source = "synthetic: broker schedule"

[walk_forward]
train_days = 126
test_days = 63
embargo_days = 6
shards = 2
cost_multipliers = [1.0, 1.5, 2.0]
holdout_days = 63
"""

CORES: Final = min(2, len(os.sched_getaffinity(0)))
"""What the desk's profile asks for: where there are two cores, a run pinned to one is below it."""

SETTINGS: Final = f"""\
[workstation]
min_cores = {CORES}
min_memory_gb = 1.0

[committee]
allowed_signers = "docs/production_research/allowed_signers"
signatures_required = 2

[registry]
state_dir = ".state"
"""

SECTIONS: Final = {
    "What changed": "First registration of the small momentum candidate.",
    "Why": "The market carries a persistent drift, which a quarter of returns should find.",
    "Expected impact and risk": "A net Sharpe ratio above two; the risk is a change of leadership.",
    "Next action": "Run the next stage when this one passes.",
}
NOTES: Final = {
    "What is deployed": "Quarterly momentum on the synthetic market, on paper only.",
    "Capital and ramp": "One million USD on paper in a single step.",
    "Execution": "At the open of the day after the signal, by hand.",
    "Data and operations": "One file, checked by the operations desk each week.",
    "Rollback": "Orders to close at the next open, decided by the operations desk.",
}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended and all that it printed."""

    status: int
    output: str


def git(folder: Path, *arguments: str) -> str:
    """Run git as a person without settings of their own; what it printed."""
    identity = ("-c", "user.name=Desk", "-c", "user.email=desk@example.invalid", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *identity, *arguments]
    environment = clean_environment(folder)
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def clean_environment(home: Path) -> dict[str, str]:
    """What a person's shell has, and nothing of the test run that started us."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "GIT_CONFIG_NOSYSTEM": "1"}


def copy_repository(destination: Path) -> Path:
    """The working tree of this repository as a clean git repository of its own."""
    listed = git(SOURCE, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in listed:
        if name and (SOURCE / name).is_file() and not name.startswith(("runs/", "gate_results/")):
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(SOURCE / name, destination / name)
    git(destination, "init", "--quiet", "--initial-branch=main")
    commit(destination, "Copy of the working tree")
    return destination


def commit(repository: Path, message: str) -> None:
    """Commit everything that lies in the tree."""
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", message)


@dataclass(frozen=True, slots=True)
class Desk:
    """One repository, one workspace, one candidate."""

    repository: Path
    workspace: Path
    candidate: Path

    def command(self, *arguments: str) -> list[str]:
        """The command line of pytest in the repository, on this workspace."""
        return [sys.executable, "-m", "pytest", *arguments, "--workspace", str(self.workspace)]

    def pytest(self, *arguments: str, variables: Mapping[str, str] | None = None) -> Ended:
        """Run pytest in the repository as a person would."""
        return self._run(self.command(*arguments), variables or {})

    def stagegate(self, *arguments: str) -> Ended:
        """Run the stagegate command."""
        return self._run([sys.executable, "-m", "reports.desk.cli", *arguments, "--workspace", str(self.workspace)], {})

    def stage(self, tag: str, stage: str, *options: str) -> Ended:
        """Write the packet and run a stage, with owner and candidate at s0."""
        if not self.packet(tag, stage).exists():
            self.write_packet(tag, stage)
        return self.pytest(*self.stage_arguments(tag, stage), *options)

    def stage_arguments(self, tag: str, stage: str) -> tuple[str, ...]:
        """What a person types for a stage, without the workspace."""
        scope = ("--candidate", str(self.candidate), "--owner", OWNER) if stage == "s0" else ()
        return (f"gates/{stage}", "--decision-tag", tag, *scope)

    def start(self, tag: str, stage: str) -> subprocess.Popen[bytes]:
        """Start a stage and leave it running; the packet is written first."""
        self.write_packet(tag, stage)
        command = self.command(*self.stage_arguments(tag, stage))
        return subprocess.Popen(
            command,
            cwd=self.repository,
            env=clean_environment(self.workspace.parent),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def on_one_core(self, *arguments: str) -> Ended:
        """The same as `pytest`, pinned to a single core."""
        return self._run(["taskset", "-c", str(min(os.sched_getaffinity(0))), *self.command(*arguments)], {})

    def packet(self, tag: str, stage: str) -> Path:
        return self.workspace / "docs" / "production_research" / tag / f"{stage}.md"

    def write_packet(self, tag: str, stage: str) -> None:
        """Write what a person must write before a stage."""
        path = self.packet(tag, stage)
        path.parent.mkdir(parents=True, exist_ok=True)
        human = "".join(f"## {heading}\n\n{SECTIONS[heading]}\n\n" for heading in PROMPTS)
        path.write_text(f"# {tag} {stage}\n\n{human}## Evidence\n\n## Outcome\n", encoding="utf-8")

    def write_deployment(self, tag: str) -> None:
        """Take the templates of s4 and fill what they leave to a person."""
        ended = self.stagegate("packet", tag, "s4")
        assert ended.status == 0, ended.output
        self.write_packet(tag, "s4")
        folder = self.packet(tag, "s4").parent
        notes = folder / "deployment_notes.md"
        text = notes.read_text(encoding="utf-8")
        for heading, body in NOTES.items():
            text = re.sub(rf"(?m)^## {heading}\n(?:(?!^## ).*\n?)*", f"## {heading}\n\n{body}\n\n", text)
        notes.write_text(text, encoding="utf-8")
        for name, key, value in (
            ("watchlist.toml", "owner", "operations"),
            ("rollback_triggers.toml", "action", "close the book at the next open"),
        ):
            path = folder / name
            path.write_text(
                path.read_text(encoding="utf-8").replace(f'{key} = ""', f'{key} = "{value}"'), encoding="utf-8"
            )

    def sign(self, tag: str) -> None:
        """Every member of the committee signs the S3 report."""
        for name in COMMITTEE:
            ended = self.stagegate("sign", tag, "--role", name.partition("@")[0], "--key", str(self.key(name)))
            assert ended.status == 0, ended.output

    def key(self, name: str) -> Path:
        return self.workspace.parent / "keys" / name.partition("@")[0]

    def rows(self) -> list[dict[str, str]]:
        """The registry, read as any program would."""
        path = self.workspace / "gate_results" / "gate_registry.csv"
        return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []

    def finished(self, stage: str) -> dict[str, str]:
        """The FINISHED row of the last run of a stage."""
        return [row for row in self.rows() if (row["event"], row["stage"]) == ("FINISHED", stage)][-1]

    def pack(self, stage: str) -> Path:
        """The folder of the last finished run of a stage."""
        return (self.workspace / self.finished(stage)["report"]).parent

    def report(self, stage: str) -> dict[str, Any]:
        """The report json of the last finished run of a stage."""
        return dict(json.loads((self.workspace / self.finished(stage)["report"]).read_text(encoding="utf-8")))

    def listing(self) -> dict[str, str]:
        """Every file and folder of the workspace, each file with its hash; left out are locks of runs, and what Python keeps of a conftest.py it was shown."""
        return {
            path.relative_to(self.workspace).as_posix(): sha256_file(path) if path.is_file() else "folder"
            for path in sorted(self.workspace.rglob("*"))
            if not {"__pycache__", ".runs"} & set(path.parts)
        }

    def elsewhere(self, folder: Path) -> Desk:
        """The same repository with a copy of the workspace, free to be spoiled."""
        shutil.copytree(self.workspace, folder / "workspace", symlinks=True)
        return Desk(
            self.repository, folder / "workspace", folder / "workspace" / self.candidate.relative_to(self.workspace)
        )

    def _run(self, command: Iterable[str], variables: Mapping[str, str]) -> Ended:
        done = subprocess.run(
            list(command),
            cwd=self.repository,
            env={**clean_environment(self.workspace.parent), **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=RUN_TIMEOUT_SECONDS,
            check=False,
        )
        return Ended(done.returncode, done.stdout.decode(errors="replace"))


def new_desk(folder: Path, repository: Path, market: Path) -> Desk:
    """A workspace in `folder` with its settings, its committee and a candidate on the market that lies in `market`."""
    workspace, candidate = folder / "workspace", folder / "workspace" / "candidates" / "small"
    (workspace / "docs" / "production_research").mkdir(parents=True)
    (workspace / "stagegate.toml").write_text(SETTINGS, encoding="utf-8")
    shutil.copytree(market, candidate / "market")
    (candidate / "candidate.toml").write_text(CANDIDATE, encoding="utf-8")
    return Desk(repository, workspace, candidate / "candidate.toml")


def found_committee(desk: Desk) -> None:
    """Throw-away keys, listed among those who may sign."""
    lines = []
    for name in COMMITTEE:
        path = desk.key(name)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        kind, key, *_ = path.with_suffix(".pub").read_text(encoding="utf-8").split()
        lines.append(f"{name} {kind} {key}\n")
    (desk.workspace / "docs" / "production_research" / "allowed_signers").write_text("".join(lines), encoding="utf-8")


def small_market(folder: Path) -> Path:
    """Build the small market's files."""
    make_market(SMALL_MARKET).write(folder)
    return folder


def rewrite(path: Path, old: str, new: str) -> None:
    """Replace a text that occurs in a file."""
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new), encoding="utf-8")
