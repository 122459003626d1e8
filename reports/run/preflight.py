"""Could a recorded run start here, now? Asked on the workstation before the hours are spent; reads everything, writes nothing.

    python -m reports.run.preflight [--tag TAG] [--workspace DIR] [--min-free-gb GB]

One JSON document on standard output; exit 0 when every check holds, 4 with the reasons on standard error when one does not.

1. cores, memory: the machine against [workstation] of stagegate.toml.
2. disk: free space where the workspace lies.
3. code_tree: a git checkout, committed, with nothing modified, untracked or hidden beside it.
4. package_lock: what is installed is what requirements.lock names for this platform and Python.
5. record: the workspace can be written to and its registry verifies.
6. no_other_run: no process carries a recorded run of this workspace.
7. freeze (with --tag): it exists, and every file it pins is readable and unchanged, as are code, packages, policy and settings.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement

from engines.errors import StageGateError
from reports.criteria.codetree import inspect_code
from reports.criteria.freeze import REMEDY, Places, drift, read_freeze
from reports.criteria.machine import Machine, installed_packages, packages_sha256, this_machine
from reports.record.durable import dump_json, is_locked, read_regular
from reports.record.errors import RecordError
from reports.record.host import settle
from reports.record.registry import Registry
from reports.record.workspace import Workspace, check_tag
from reports.run.ground import check_writable

REFUSED: Final = 4
REPOSITORY: Final = Path(__file__).resolve().parents[2]
LOCK_FILE: Final = "requirements.lock"
MIN_FREE_GB: Final = 5.0
SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold: what was found, what was expected, how to mend it."""

    name: str
    holds: bool
    found: str
    expected: str
    remedy: str

    @property
    def reason(self) -> str:
        """The check as one sentence of a refusal."""
        return f"{self.name}: found {self.found}, expected {self.expected}. To mend: {self.remedy}"


@dataclass(frozen=True, slots=True)
class Preflight:
    """Every check of one workspace, in order."""

    workspace: str
    tag: str | None
    checks: tuple[Check, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why a recorded run would not start here; empty when it would."""
        return tuple(check.reason for check in self.checks if not check.holds)

    def to_json(self) -> dict[str, Any]:
        """The document that is printed."""
        return {
            "schema": 1,
            "ready": not self.reasons,
            "workspace": self.workspace,
            "decision_tag": self.tag,
            "checks": [{**asdict(check), "remedy": "" if check.holds else check.remedy} for check in self.checks],
            "reasons": list(self.reasons),
        }


def preflight(
    places: Places, tag: str | None, *, machine: Machine | None = None, min_free_gb: float = MIN_FREE_GB
) -> Preflight:
    """Ask every check. Each answers for itself: one that cannot be asked counts as not holding."""
    workspace = places.workspace
    asked: dict[str, Callable[[], tuple[Check, ...]]] = {
        "machine": lambda: machine_checks(workspace, machine or this_machine()),
        "disk": lambda: (disk_check(workspace.root, min_free_gb),),
        "code_tree": lambda: (code_check(places.repository),),
        "package_lock": lambda: (lock_check(places.repository, installed_packages()),),
        "record": lambda: (record_check(workspace),),
        "no_other_run": lambda: (alive_check(workspace),),
    }
    if tag is not None:
        asked["freeze"] = lambda: (freeze_check(places, tag),)
    checks = tuple(check for name, ask in asked.items() for check in _answered(name, ask))
    return Preflight(str(workspace.root), tag, checks)


def _answered(name: str, ask: Callable[[], tuple[Check, ...]]) -> tuple[Check, ...]:
    """What `ask` finds; what it cannot ask becomes a check that does not hold."""
    try:
        return ask()
    except StageGateError as error:
        found = f"{error.what} ({error.where})" if error.where else error.what
        return (Check(name, False, found, "an answer that can be had", error.remedy or "mend what is named"),)
    except OSError as error:
        found = f"{error.strerror or error} ({error.filename})"
        return (Check(name, False, found, "an answer that can be had", "check path and permissions"),)


def machine_checks(workspace: Workspace, machine: Machine) -> tuple[Check, ...]:
    """Cores and memory against the workstation profile."""
    profile = workspace.settings.workstation
    remedy = "use the workstation, or run s2 and s3 with --unofficial, which promotes nothing"
    return (
        Check("cores", machine.cores >= profile.min_cores, f"{machine.cores}", f">= {profile.min_cores}", remedy),
        Check(
            "memory",
            machine.memory_gb >= profile.min_memory_gb,
            f"{machine.memory_gb:.1f} GB",
            f">= {profile.min_memory_gb:g} GB",
            remedy,
        ),
    )


def disk_check(root: Path, min_free_gb: float) -> Check:
    """Free space, in GB of 1e9 bytes, on the disk that holds the workspace."""
    free_gb = shutil.disk_usage(root).free / 1e9
    return Check(
        "disk",
        free_gb >= min_free_gb,
        f"{free_gb:.1f} GB free",
        f">= {min_free_gb:g} GB",
        "make room; runs/cache/ can be deleted at any time, it is built anew",
    )


def code_check(repository: Path) -> Check:
    """Whether the code is exactly its commit."""
    code = inspect_code(repository)
    found = _some(code.dirt) if code.dirt else f"clean at {code.git_commit}"
    return Check("code_tree", not code.dirt, found, "a clean checkout", "commit or remove these")


def lock_check(repository: Path, installed: Mapping[str, str]) -> Check:
    """Whether each package of the lock is installed in the locked version."""
    wanted = locked_versions(read_regular(repository / LOCK_FILE).decode())
    differing = [
        f"{name} {installed.get(name, 'is missing')} for {version}"
        for name, version in wanted.items()
        if installed.get(name) != version
    ]
    found = _some(differing) if differing else f"{len(wanted)} packages as locked"
    return Check("package_lock", not differing, found, f"the versions of {LOCK_FILE}", "run ./scripts/setup.sh")


def locked_versions(text: str, environment: dict[str, str] | None = None) -> dict[str, str]:
    """Name -> version of the packages that a lock names for this platform and Python (`environment`: marker -> value, for another one)."""
    versions = {}
    for line in text.replace("\\\n", " ").splitlines():
        pinned = line.partition("--hash")[0].partition("#")[0].strip()
        if not pinned:
            continue
        requirement = Requirement(pinned)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            versions[requirement.name.lower().replace("_", "-")] = str(requirement.specifier).removeprefix("==")
    return versions


def record_check(workspace: Workspace) -> Check:
    """Whether rows can be appended: the folders are writable and the chain verifies."""
    check_writable(workspace)
    rows = Registry(workspace.root).rows()
    return Check("record", True, f"{len(rows)} rows, all verified", "a registry that verifies", "")


def alive_check(workspace: Workspace) -> Check:
    """Whether any process carries a recorded run of this workspace: it would compete for the machine and move what is judged."""
    alive = [path.stem for path in sorted((workspace.gate_results / ".runs").glob("*.lock")) if is_locked(path)]
    return Check(
        "no_other_run",
        not alive,
        f"run {_some(alive)}" if alive else "none",
        "no recorded run under way",
        "wait for it to end; `stagegate status` shows it",
    )


def freeze_check(places: Places, tag: str) -> Check:
    """Whether the tag's freeze is there and all that it pins is within reach and unchanged."""
    freeze = read_freeze(places.workspace, check_tag(tag))
    moved = drift(freeze, places, inspect_code(places.repository), packages_sha256())
    found = _some(moved) if moved else f"sha256:{freeze.sha256}, nothing changed since"
    return Check("freeze", not moved, found, "everything as frozen", REMEDY)


def _some(items: Sequence[str]) -> str:
    more = f"; and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return "; ".join(items[:SHOWN]) + more


def main(argv: Sequence[str] | None = None) -> int:
    """Print the document; 0 when a recorded run could start, 4 otherwise."""
    parser = argparse.ArgumentParser(
        prog="preflight", description="Could a recorded run start here, now?", allow_abbrev=False
    )
    parser.add_argument("--workspace", type=Path, default=REPOSITORY, help="default: the repository")
    parser.add_argument("--tag", help="also check this tag's freeze and everything it pins")
    parser.add_argument(
        "--min-free-gb", type=float, default=MIN_FREE_GB, help=f"free disk space asked for (default: {MIN_FREE_GB:g})"
    )
    arguments = parser.parse_args(argv)
    settle()
    try:
        found = preflight(_places(arguments.workspace), arguments.tag, min_free_gb=arguments.min_free_gb)
    except StageGateError as refusal:
        print(f"refused: {refusal}", file=sys.stderr)
        return REFUSED
    sys.stdout.write(dump_json(found.to_json()).decode())
    for reason in found.reasons:
        print(reason, file=sys.stderr)
    return REFUSED if found.reasons else 0


def _places(folder: Path) -> Places:
    root = folder.resolve()
    if not root.is_dir():
        raise RecordError(
            "there is no such workspace", where=str(root), remedy="name an existing folder with --workspace"
        )
    return Places(Workspace(root), REPOSITORY)


if __name__ == "__main__":
    sys.exit(main())
