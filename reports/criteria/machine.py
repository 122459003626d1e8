"""The machine a run stands on: what it has, what is installed, and whether it meets the desk's workstation profile."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import asdict, dataclass
from email.message import Message
from email.parser import HeaderParser
from importlib import metadata
from typing import Any

import psutil

from engines.digest import sha256_json
from reports.record.workspace import Workstation


@dataclass(frozen=True, slots=True)
class Machine:
    """Cores usable by this process, memory in GB (1e9 bytes) and the interpreter's surroundings."""

    cores: int
    memory_gb: float
    system: str
    python: str

    def below(self, profile: Workstation) -> tuple[str, ...]:
        """Every way in which the machine falls short of the profile; empty when it meets it."""
        faults = []
        if self.cores < profile.min_cores:
            faults.append(f"{self.cores} cores, the profile asks for {profile.min_cores}")
        if self.memory_gb < profile.min_memory_gb:
            faults.append(f"{self.memory_gb:.1f} GB of memory, the profile asks for {profile.min_memory_gb:g}")
        return tuple(faults)

    def to_json(self) -> dict[str, Any]:
        """JSON-able form for environment.json."""
        return asdict(self)


def this_machine() -> Machine:
    """Read the machine once."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return Machine(
        cores,
        round(psutil.virtual_memory().total / 1e9, 1),
        f"{platform.system()} {platform.machine()}",
        sys.version.split()[0],
    )


def installed_packages() -> dict[str, str]:
    """Name -> version of every distribution this interpreter can import, names normalised, sorted."""
    headers = [_header(dist) for dist in metadata.distributions()]
    found = {head["Name"].lower().replace("_", "-"): head["Version"] for head in headers if head["Name"]}
    return dict(sorted(found.items()))


def _header(dist: metadata.Distribution) -> Message:
    """Name and version of a distribution, without its description, which is most of the text and of the time that parsing takes."""
    text = dist.read_text("METADATA") or dist.read_text("PKG-INFO") or ""
    return HeaderParser().parsestr(text.partition("\n\n")[0])


def packages_sha256() -> str:
    """Hash of the interpreter's version and all installed packages: the lock as it really is."""
    return sha256_json({"python": sys.version.split()[0], "packages": installed_packages()})
