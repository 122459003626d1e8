"""What every tag of a run stands on alike: the code that runs, the packages, the registry as it is. Looked at once, however many candidates there are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from reports.criteria.codetree import CodeTree, inspect_code, written_since
from reports.criteria.freeze import Places
from reports.criteria.machine import packages_sha256
from reports.criteria.startup import demand_as_installed
from reports.record.errors import RequestRefused
from reports.record.host import BEGUN_NS
from reports.record.registry import Registry, Row
from reports.record.workspace import Workspace
from reports.run.request import RunRequest


@dataclass(frozen=True, slots=True)
class Ground:
    """Checked once for a run. `scratch` is a folder that lasts as long as the checks of entry do."""

    places: Places
    code: CodeTree
    packages_sha256: str
    rows: tuple[Row, ...]
    scratch: Path


@contextmanager
def surveyed(request: RunRequest, registry: Registry) -> Iterator[Ground]:
    """The ground of a request. RequestRefused when records cannot be written or the code is not what was committed; RecordError as `Registry.rows`."""
    places = Places(Workspace(request.workspace), request.repository)
    check_writable(places.workspace)
    code = check_code(request.repository)
    with TemporaryDirectory(prefix="stagegate-") as folder:
        yield Ground(
            places,
            code,
            packages_sha256(),
            registry.rows(),
            Path(folder),
        )


def check_writable(workspace: Workspace) -> None:
    """RequestRefused when records could not be written where they belong."""
    for path in (workspace.gate_results, workspace.root / "runs", workspace.research):
        nearest = next(folder for folder in (path, *path.parents) if folder.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
            raise RequestRefused(
                "the workspace cannot be written to: expected a folder with write permission, found none",
                where=str(nearest),
                remedy="give this user write permission, or name another --workspace",
            )


def check_code(repository: Path) -> CodeTree:
    """The code tree, clean and the one that is running. RequestRefused otherwise."""
    running = Path(__file__).resolve().parents[2]
    if running != repository.resolve():
        raise RequestRefused(
            f"the code that runs is another copy: expected {repository}, found {running}",
            remedy="start pytest from the repository whose gates you run",
            where="code tree",
        )
    demand_as_installed()
    code = inspect_code(repository)
    if code.dirt:
        shown = "; ".join(code.dirt[:5]) + (f"; and {len(code.dirt) - 5} more" if len(code.dirt) > 5 else "")
        raise RequestRefused(
            f"the code tree is not clean: expected exactly its commit, found {shown}",
            where=str(repository),
            remedy="commit or remove these, then repeat; or rehearse without --decision-tag",
        )
    late = written_since(repository, BEGUN_NS)
    if late:
        raise RequestRefused(
            f"the code was written to while the run was starting, after some of it had been read: expected no change, found one of {late[0]}",
            where=str(repository),
            remedy="let the checkout come to rest, then repeat; if it is at rest, set the machine's clock",
        )
    return code
