"""Where a desk keeps its records, and the desk's own settings (stagegate.toml)."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from engines.digest import sha256_bytes
from reports.record.durable import is_there, read_regular
from reports.record.errors import RecordError, RequestRefused

STAGES: Final[dict[str, str]] = {
    "s0": "scope_freeze",
    "s1": "baseline_validation",
    "s2": "stress_robustness",
    "s3": "production_gates",
    "s4": "deployment_readiness",
}
"""Stage -> its explicit name, in the order of promotion."""

TAG_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_tag(tag: str) -> str:
    """Return `tag` when it can safely name files, rows and cells; RequestRefused otherwise."""
    if TAG_PATTERN.fullmatch(tag) and ".." not in tag and not tag.endswith("."):
        return tag
    raise RequestRefused(
        f"decision tag {tag[:80]!r} is not a plain name: expected one, found other characters, none or too many",
        where="--decision-tag",
        remedy="use 1 to 64 of the ASCII letters, digits, '.', '_' and '-', starting with a letter or digit and without '..'",
    )


def previous_stage(stage: str) -> str | None:
    """The stage whose PASS `stage` needs, or None for s0."""
    order = list(STAGES)
    position = order.index(stage)
    return order[position - 1] if position else None


def next_stage(stage: str) -> str | None:
    """The stage that a PASS of `stage` opens, or None after s4."""
    order = list(STAGES)
    position = order.index(stage) + 1
    return order[position] if position < len(order) else None


SETTINGS_BYTES_LIMIT: Final = 2**20
MEND_SETTINGS: Final = "mend it, or remove it for the defaults"


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Workstation(_Settings):
    """The machine profile that makes S2 and S3 official."""

    min_cores: int = Field(default=8, ge=1)
    min_memory_gb: float = Field(default=60.0, gt=0)


class Committee(_Settings):
    """Who may sign, and how many must."""

    allowed_signers: str = "docs/production_research/allowed_signers"
    revoked_keys: str = "docs/production_research/revoked_keys"
    signatures_required: int = Field(default=2, ge=1)


class RegistrySettings(_Settings):
    """Where the head of the registry's chain is remembered outside the workspace."""

    anchor: str = ""
    state_dir: str = "~/.local/state/stagegate"


class Attestation(_Settings):
    """Which Ed25519 key signs the packs of official runs, and whose signatures count. Paths in PEM, relative to the workspace."""

    key: str = ""
    public_keys: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _can_be_checked(self) -> Self:
        if self.key and not self.public_keys:
            raise ValueError("key is set and public_keys is empty, so nobody could check what is signed")
        return self


class LiveBookSettings(_Settings):
    """The book that runs already: a csv of date and return, relative to the workspace. A candidate is compared with it at s4."""

    returns: str = ""


class DeskSettings(_Settings):
    """stagegate.toml, every default spelled out."""

    workstation: Workstation = Workstation()
    committee: Committee = Committee()
    registry: RegistrySettings = RegistrySettings()
    attestation: Attestation = Attestation()
    live_book: LiveBookSettings = LiveBookSettings()


@dataclass(frozen=True)
class Workspace:
    """Paths of one workspace. Nothing is created by asking for a path."""

    root: Path

    @property
    def gate_results(self) -> Path:
        return self.root / "gate_results"

    @property
    def registry(self) -> Path:
        return self.gate_results / "gate_registry.csv"

    @property
    def manifests(self) -> Path:
        return self.root / "runs" / "manifests"

    @property
    def cache(self) -> Path:
        return self.root / "runs" / "cache"

    @property
    def research(self) -> Path:
        return self.root / "docs" / "production_research"

    @property
    def settings_path(self) -> Path:
        return self.root / "stagegate.toml"

    def freeze(self, tag: str) -> Path:
        return self.root / "runs" / "freeze" / f"{tag}.freeze.json"

    def packet_dir(self, tag: str) -> Path:
        return self.research / tag

    def packet(self, tag: str, stage: str) -> Path:
        return self.packet_dir(tag) / f"{stage}.md"

    def relative(self, path: Path) -> str:
        """`path` as files of record spell it: relative to the workspace, with forward slashes."""
        return path.relative_to(self.root).as_posix()

    @cached_property
    def settings_sha256(self) -> str | None:
        """Hash of stagegate.toml, None when the workspace has none. RequestRefused when it cannot be read."""
        data = self._settings_bytes()
        return None if data is None else sha256_bytes(data)

    def _settings_bytes(self) -> bytes | None:
        """The bytes of stagegate.toml, None when nothing stands there: a folder, a pipe or a dead link is not taken for the defaults."""
        if not is_there(self.settings_path):
            return None
        try:
            return read_regular(self.settings_path, SETTINGS_BYTES_LIMIT)
        except RecordError as error:
            raise RequestRefused(
                f"stagegate.toml cannot be read: expected a plain file, found: {error.what}",
                where=str(self.settings_path),
                remedy=MEND_SETTINGS,
            ) from error

    @cached_property
    def settings(self) -> DeskSettings:
        """stagegate.toml, validated. RequestRefused names the key that is wrong."""
        data = self._settings_bytes()
        if data is None:
            return DeskSettings()
        try:
            return DeskSettings.model_validate(tomllib.loads(data.decode()))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RequestRefused(
                f"stagegate.toml cannot be read: expected a TOML file or none, found: {error}",
                where=str(self.settings_path),
                remedy=MEND_SETTINGS,
            ) from error
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise RequestRefused(
                f"stagegate.toml: {key}: expected a known key and its type, found {first['input']!r}: {first['msg']}",
                where=str(self.settings_path),
                remedy="correct or remove the key; the keys are [workstation], [committee], [registry], [attestation] and [live_book] of docs/desk.md",
            ) from error

    @property
    def live_book(self) -> Path | None:
        """The file of the desk's live book; None when none is declared."""
        declared = self.settings.live_book.returns
        return self.root / declared if declared else None

    @property
    def allowed_signers(self) -> Path:
        return self.root / self.settings.committee.allowed_signers

    @property
    def revoked_keys(self) -> Path:
        return self.root / self.settings.committee.revoked_keys
