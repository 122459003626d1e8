"""Code that Python runs before a line of ours, code from elsewhere, and packages that are not what was installed.

1. A .pth file of the environment, a sitecustomize or a usercustomize runs in every interpreter: each must belong to a distribution that is known to
   start something, with the bytes that its RECORD names, or to the interpreter itself.
2. Modules are looked for, and were loaded from, the repository, the environment and the interpreter alone.
3. A module that was loaded from the environment must have the bytes that its distribution's RECORD names.
"""

# ruff: noqa: PTH100, PTH110, PTH112, PTH113, PTH120, PTH208
# texts in place of paths: eight hundred files are looked at, four times as fast
from __future__ import annotations

import base64
import hashlib
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

from reports.record.errors import RequestRefused

CUSTOMIZING: Final = ("sitecustomize", "usercustomize")
STARTERS: Final = ("setuptools", "stagegate")
"""Distributions of the lock, and this one, that bring a .pth file; another one's code would run in every process."""
HASH: Final = "sha256"
REPOSITORY: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def startup_faults() -> tuple[str, ...]:
    """What was started or loaded here and is neither the repository's nor part of an installed distribution, as sentences; empty when all is as installed."""
    sites = _as_named_and_as_found((*site.getsitepackages(), *_user_site()))
    standard = _as_named_and_as_found(sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
    ours = sites | standard | _as_named_and_as_found((REPOSITORY, sysconfig.get_path("scripts")))
    starting = [f"{folder}/{name}" for folder in sorted(set(sites.values())) for name in _pth_files(folder)]
    starting += [
        path for name in CUSTOMIZING if (path := _file_of(name, ours)) and not _is_interpreters(path, standard, sites)
    ]
    files = [path for name in sorted(sys.modules) if (path := _file_of(name, ours))]
    loaded = [path for path in files if _is_below(path, sites)]
    recorded = _recorded(sorted(set(sites.values())), {*starting, *loaded})
    return (
        *(f"modules are looked for in {folder}, outside of the repository and the environment" for folder in _searched() if not _is_below(folder, ours)),
        *(f"{path} was loaded from outside of the repository and the environment" for path in files if not _is_below(path, ours)),
        *(f"{path} runs in every Python, and {fault}" for path in starting if (fault := _fault(path, recorded, STARTERS))),
        *(f"{path} was loaded, and {fault}" for path in loaded if (fault := _fault(path, recorded))),
    )  # fmt: skip


def _as_named_and_as_found(folders: Iterable[str]) -> dict[str, str]:
    """Folder -> the same without links, under both of its names: modules are found by the first, distributions by the second."""
    return {name: os.path.realpath(folder) for folder in folders for name in (folder, os.path.realpath(folder))}


def _searched() -> list[str]:
    """Where modules are looked for, as far as it is there."""
    return [folder for entry in sys.path if os.path.exists(folder := os.path.abspath(entry))]


def _pth_files(folder: str) -> list[str]:
    """The .pth files of a folder."""
    return sorted(name for name in os.listdir(folder) if name.endswith(".pth")) if os.path.isdir(folder) else []


def demand_as_installed() -> None:
    """RequestRefused when `startup_faults` finds any."""
    faults = startup_faults()
    if faults:
        raise RequestRefused(
            f"other code than what is installed runs here: expected none, found {'; '.join(faults[:3])}",
            where="environment",
            remedy="start `pytest` from the repository; remove what is named, or make the environment anew: rm -r .venv && ./scripts/setup.sh",
        )


def _user_site() -> tuple[str, ...]:
    return (site.getusersitepackages(),) if site.ENABLE_USER_SITE else ()


def _recorded(folders: list[str], wanted: set[str]) -> dict[str, tuple[str, str]]:
    """File -> its hash as RECORD spells it and whose RECORD that is, for each of `wanted` that a distribution of these folders installed."""
    found = {}
    for distribution in metadata.distributions(path=folders):
        base = str(distribution.locate_file(""))
        for line in (distribution.read_text("RECORD") or "").splitlines():
            name, _, rest = line.partition(f",{HASH}=")
            if rest and (path := f"{base}/{name}") in wanted:
                starts = name.endswith(".pth") or name.removesuffix(".py") in CUSTOMIZING
                found[path] = rest.partition(",")[0], distribution.name if starts else ""
    return found


def _file_of(name: str, folders: Mapping[str, str]) -> str:
    """The source or library behind a loaded module, without links on the way to the folder it was found in; empty when there is none."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if not isinstance(file, str) or not os.path.isfile(file):
        return ""
    path = os.path.abspath(file)
    return next(
        (real + path[len(folder) :] for folder, real in folders.items() if path.startswith(folder + os.sep)), path
    )


def _is_interpreters(path: str, standard: Mapping[str, str], sites: Mapping[str, str]) -> bool:
    """Whether a file belongs to the interpreter rather than to what was installed into it."""
    return _is_below(path, standard) and not _is_below(path, sites)


def _is_below(path: str, folders: Mapping[str, str]) -> bool:
    return any(path == folder or path.startswith(folder + os.sep) for folder in folders)


def _fault(path: str, recorded: Mapping[str, tuple[str, str]], owners: Sequence[str] = ()) -> str:
    expected, owner = recorded.get(path, ("", ""))
    if not expected:
        return "no installed package has it"
    if owners and owner not in owners:
        return f"it is of {owner}, expected one of {', '.join(owners)}"
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, HASH).digest()
    found = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return "" if found == expected else f"is not as its package installed it: expected sha256 {expected}, found {found}"
