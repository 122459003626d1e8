"""Code that Python runs before a line of ours, and packages that are not what was installed.

1. A .pth file of the environment, a sitecustomize or a usercustomize runs in every interpreter: each must belong to an installed distribution, with the
   bytes that its RECORD names, or to the interpreter itself.
2. A module that was loaded from the environment must have the bytes that its distribution's RECORD names.
"""

# ruff: noqa: PTH112, PTH113, PTH118, PTH208
# texts in place of paths: eight hundred files are looked at, four times as fast
from __future__ import annotations

import base64
import hashlib
import os
import site
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import Final

from reports.record.errors import RequestRefused

CUSTOMIZING: Final = ("sitecustomize", "usercustomize")
HASH: Final = "sha256"


def startup_faults() -> tuple[str, ...]:
    """What was started or loaded here and is not part of an installed distribution, as sentences; empty when all is as installed."""
    folders = [os.path.realpath(folder) for folder in (*site.getsitepackages(), *_user_site())]
    starting = [os.path.join(folder, name) for folder in folders for name in _names(folder) if name.endswith(".pth")]
    starting += [path for name in CUSTOMIZING if (path := _file_of(name)) and not _is_interpreters(path, folders)]
    loaded = [path for name in sorted(sys.modules) if (path := _file_of(name)) and _is_below(path, folders)]
    recorded = _recorded(folders, {*starting, *loaded})
    return (
        *(f"{path} runs in every Python, and {fault}" for path in starting if (fault := _fault(path, recorded))),
        *(f"{path} was loaded, and {fault}" for path in loaded if (fault := _fault(path, recorded))),
    )


def _names(folder: str) -> list[str]:
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def demand_as_installed() -> None:
    """RequestRefused when `startup_faults` finds any."""
    faults = startup_faults()
    if faults:
        raise RequestRefused(
            f"other code than what is installed runs here: expected none, found {'; '.join(faults[:3])}",
            where="environment",
            remedy="remove it, or make the environment anew: rm -r .venv && ./scripts/setup.sh",
        )


def _user_site() -> tuple[str, ...]:
    return (site.getusersitepackages(),) if site.ENABLE_USER_SITE else ()


def _recorded(folders: list[str], wanted: set[str]) -> dict[str, str]:
    """File -> its hash as RECORD spells it, for each of `wanted` that a distribution of these folders installed."""
    found = {}
    for distribution in metadata.distributions(path=folders):
        base = str(distribution.locate_file(""))
        for line in (distribution.read_text("RECORD") or "").splitlines():
            name, _, rest = line.partition(f",{HASH}=")
            if rest and (path := f"{base}/{name}") in wanted:
                found[path] = rest.partition(",")[0]
    return found


def _file_of(name: str) -> str:
    """The source or library behind a loaded module; empty when there is none."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return file if isinstance(file, str) and os.path.isfile(file) else ""


def _is_interpreters(path: str, folders: list[str]) -> bool:
    """Whether a file belongs to the interpreter rather than to what was installed into it."""
    standard = (os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))
    return _is_below(os.path.realpath(path), list(standard)) and not _is_below(path, folders)


def _is_below(path: str, folders: list[str]) -> bool:
    return any(path.startswith(folder + os.sep) for folder in folders)


def _fault(path: str, recorded: dict[str, str]) -> str:
    expected = recorded.get(path)
    if expected is None:
        return "no installed package has it"
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, HASH).digest()
    found = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return "" if found == expected else f"is not as its package installed it: expected sha256 {expected}, found {found}"
