"""The freeze: everything a verdict rests on, written once at S0 and compared with the world before and after every later stage.

runs/freeze/<tag>.freeze.json holds the candidate (file hash and full configuration), the hash of every input file, of the code tree, of the
installed packages and of the policy, the desk's settings, the seed, the registry position at which trials were counted, and the list of
expected cells of all five stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engines.candidate import Candidate
from engines.digest import sha256_bytes, sha256_file, sha256_json
from reports.criteria.codetree import CodeTree
from reports.criteria.evidence import Level, Relation
from reports.criteria.policy import POLICY_FILE, ExpectedCell, expected_cells, load_policy
from reports.record.durable import load_json
from reports.record.errors import RecordError
from reports.record.workspace import Workspace

SCHEMA: Final = 1
REMEDY: Final = "restore what was frozen, or start a new tag from s0 with --supersedes and --root-cause"


class _File(BaseModel):
    model_config = ConfigDict(strict=True)
    path: str
    sha256: str


class _Code(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    git_commit: str | None
    tree_sha256: str
    gates_sha256: str


class _Candidate(_File):
    config: dict[str, Any]


class _History(BaseModel):
    model_config = ConfigDict(strict=True)
    variants: list[str]
    family_tags: list[str]
    registry_seq: int


class _Threshold(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    id: str
    relation: Relation
    bound: float
    unit: str
    scale: float


class _Cell(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    gate: str
    level: Level
    node: str
    shard: str | None
    cost_multiplier: float | None
    thresholds: list[_Threshold] = Field(min_length=1)
    needs: str | None
    absent: str


@dataclass(frozen=True, slots=True)
class Places:
    """The two roots that paths in records are relative to."""

    workspace: Workspace
    repository: Path

    def spell(self, path: Path) -> str:
        """`workspace:..`, `repository:..` or an absolute path: how a freeze names a file so that it is found again on another machine."""
        resolved = path.resolve()
        for name, root in (("workspace", self.workspace.root), ("repository", self.repository)):
            if resolved.is_relative_to(root.resolve()):
                return f"{name}:{resolved.relative_to(root.resolve()).as_posix()}"
        return str(resolved)

    def find(self, spelled: str) -> Path:
        """Inverse of `spell`."""
        root, colon, rest = spelled.partition(":")
        if colon and root in ("workspace", "repository"):
            return (self.workspace.root if root == "workspace" else self.repository) / rest
        return Path(spelled)


@dataclass(frozen=True, slots=True)
class Freeze:
    """A freeze as read back, with the hash of its bytes."""

    record: Mapping[str, Any]
    sha256: str

    @property
    def tag(self) -> str:
        return str(self.record["decision_tag"])

    @property
    def owner(self) -> str:
        return str(self.record["owner"])

    @property
    def seed(self) -> int:
        return int(self.record["seed"])

    @property
    def code(self) -> CodeTree:
        """The code tree that was frozen, which was clean."""
        return CodeTree(**self.record["code"], dirt=())

    def expected(self, stage: str) -> tuple[ExpectedCell, ...]:
        """The frozen cells of one stage, in the order of the policy."""
        return tuple(cell for cell in map(ExpectedCell.from_json, self.record["expected"]) if cell.stage == stage)

    @property
    def variant_labels(self) -> tuple[str, ...]:
        """Every variant that this freeze registered as a trial, the declared one first."""
        return tuple(self.record["history"]["variants"])

    def candidate_path(self, places: Places) -> Path:
        return places.find(self.record["candidate"]["path"])

    def candidate(self, places: Places) -> Candidate:
        """The frozen candidate, from the frozen configuration rather than from the file as it lies today."""
        return Candidate.from_config(self.record["candidate"]["config"], self.candidate_path(places).parent)

    def summary(self, path: str) -> dict[str, Any]:
        """The `freeze` object of a report."""
        record = self.record
        return {
            "path": path,
            "sha256": f"sha256:{self.sha256}",
            "config_sha256": f"sha256:{record['config_sha256']}",
            "data_sha256": f"sha256:{record['data']['sha256']}",
            "policy_sha256": f"sha256:{record['policy_sha256']}",
            "gates_sha256": f"sha256:{record['code']['gates_sha256']}",
            "git_commit": record["code"]["git_commit"],
        }


def input_files(candidate: Candidate) -> dict[str, Path]:
    """Every file besides candidate.toml that decides numbers: the data, the reference tables and a signal of the user's own."""
    files = {"data": candidate.data_path}
    files |= {f"reference.{name}": candidate.reference_path(name) for name in candidate.data.reference}
    if candidate.signal_file is not None:
        files["signal"] = candidate.signal_file
    return files


def build_freeze(
    candidate: Candidate,
    candidate_path: Path,
    *,
    tag: str,
    owner: str,
    created_utc: str,
    places: Places,
    code: CodeTree,
    packages_sha256: str,
    history: Mapping[str, Any],
) -> dict[str, Any]:
    """The record of a new freeze.

    `history` says where the candidate stands in the registry: family tags before this one, registry position, supersedes and root cause.
    The seed is taken from the configuration, so that nobody chooses it and the same candidate always has the same one.
    """
    policy_path = places.repository / POLICY_FILE
    first_trial = candidate.preregistered and len(candidate.variants()) == 1 and not history["family_tags"]
    cells = expected_cells(load_policy(policy_path), candidate, first_trial=first_trial)
    config_sha256 = sha256_json(candidate.config())
    files = input_files(candidate)
    return {
        "schema": SCHEMA,
        "decision_tag": tag,
        "owner": owner,
        "created_utc": created_utc,
        "as_of": candidate.data.as_of.isoformat(),
        "seed": int(config_sha256[:8], 16),
        "candidate": {
            "path": places.spell(candidate_path),
            "sha256": sha256_file(candidate_path),
            "config": candidate.config(),
        },
        "config_sha256": config_sha256,
        "data": {
            "path": places.spell(files["data"]),
            "sha256": sha256_file(files["data"]),
            "bytes": files["data"].stat().st_size,
        },
        "inputs": {
            name: {"path": places.spell(path), "sha256": sha256_file(path)}
            for name, path in files.items()
            if name != "data"
        },
        "code": {"git_commit": code.git_commit, "tree_sha256": code.tree_sha256, "gates_sha256": code.gates_sha256},
        "packages_sha256": packages_sha256,
        "policy_sha256": sha256_file(policy_path),
        "settings_sha256": places.workspace.settings_sha256,
        "live_book": live_book_record(places),
        "history": {
            **history,
            "first_trial": first_trial,
            "variants": [variant.label for variant in candidate.variants()],
        },
        "expected": [cell.to_json() for cell in cells],
    }


def live_book_record(places: Places) -> dict[str, str] | None:
    """The desk's live book as a freeze pins it; None when none is declared. DataError when it is no book."""
    path = places.workspace.live_book
    if path is None:
        return None
    from reports.criteria.live_book import read_live_book

    read_live_book(path)
    return {"path": places.spell(path), "sha256": sha256_file(path)}


class _Form(BaseModel):
    """What every reader of a freeze relies on. Whatever else stands there is kept as it is."""

    model_config = ConfigDict(strict=True)

    decision_tag: str
    owner: str
    seed: int
    candidate: _Candidate
    config_sha256: str
    data: _File
    inputs: dict[str, _File]
    code: _Code
    packages_sha256: str
    policy_sha256: str
    settings_sha256: str | None
    live_book: _File | None = None
    history: _History
    expected: list[_Cell]


def parse_freeze(data: bytes, where: str) -> Freeze:
    """Read a freeze from its bytes; RecordError when it is not one."""
    record = load_json(data, where)
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise RecordError(f"this is no freeze of schema {SCHEMA}", where=where, remedy=REMEDY)
    try:
        _Form.model_validate(record)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise RecordError(f"the freeze is malformed at {place}: {first['msg']}", where=where, remedy=REMEDY) from error
    return Freeze(record, sha256_bytes(data))


def read_freeze(workspace: Workspace, tag: str) -> Freeze:
    """Read the freeze of a tag; RecordError when it is missing, malformed or another tag's."""
    path = workspace.freeze(tag)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordError(
            f"there is no freeze of tag {tag}: {error.strerror}", where=str(path), remedy="run s0 for this tag first"
        ) from error
    freeze = parse_freeze(data, str(path))
    if freeze.tag != tag:
        raise RecordError(f"the freeze names tag {freeze.tag}, expected {tag}", where=str(path), remedy=REMEDY)
    return freeze


def drift(freeze: Freeze, places: Places, code: CodeTree, packages_sha256: str) -> tuple[str, ...]:
    """Every way in which the world differs from the freeze, as sentences `what: expected .., found ..`; empty when it is unchanged."""
    record = freeze.record
    pairs = {
        "code tree": (record["code"]["tree_sha256"], code.tree_sha256),
        "gates": (record["code"]["gates_sha256"], code.gates_sha256),
        "packages": (record["packages_sha256"], packages_sha256),
        "policy": (record["policy_sha256"], _hash_of(places.repository / POLICY_FILE)),
        "stagegate.toml": (record["settings_sha256"], places.workspace.settings_sha256),
        "candidate file": (record["candidate"]["sha256"], _hash_of(freeze.candidate_path(places))),
    }
    frozen = {"data": record["data"], **record["inputs"]}
    read = input_files(
        freeze.candidate(places)
    )  # through whatever links, as a run reads them, not where they lay when they were frozen
    pairs |= {
        name: (entry["sha256"], _hash_of(read[name]) if name in read else "no such input")
        for name, entry in frozen.items()
    }
    if record.get("live_book"):
        pairs["live book"] = (record["live_book"]["sha256"], _hash_of(places.find(record["live_book"]["path"])))
    return tuple(
        f"{name} changed since the freeze: expected {expected}, found {found}"
        for name, (expected, found) in pairs.items()
        if expected != found
    )


def _hash_of(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        return f"unreadable ({error.strerror})"
