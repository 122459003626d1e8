"""What is signed: the statement, the S3 report it is about, and the registry row that records it.

    docs/production_research/<tag>/signatures/<principal>.json        the statement: canonical JSON
    docs/production_research/<tag>/signatures/<principal>.json.sig    ssh-keygen -Y sign -n stagegate over it

A statement names the report by its hash, the pack by its MANIFEST's hash and the head of the registry that the
signer saw. A SIGNED row holds the hashes of both files, so that neither a file without a row nor a row without
its file counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

from engines.digest import canonical_json, sha256_bytes
from reports.record.chain import Row
from reports.record.durable import is_there, load_json, read_regular
from reports.record.errors import SigningError
from reports.record.workspace import Workspace, check_tag
from reports.verification.pack_check import MANIFEST, parse_manifest

STAGE: Final = "s3"
SCHEMA: Final = 1
SIGNATURE_BYTES_LIMIT: Final = 64 * 2**10
DETAIL_KEYS: Final = ("role", "signer", "key", "statement", "signature")
UNRECORDED: Final = "unrecorded"
"""Folder beside the signatures for what an interrupted signing left; nothing in it counts."""

LIST_REMEDY: Final = "see docs/signing.md: one line per member in the allowed_signers file that stagegate.toml names"


@dataclass(frozen=True, slots=True)
class SignedReport:
    """The S3 report that a tag's signatures are about, as its FINISHED row and its pack's MANIFEST name it."""

    tag: str
    path: str
    sha256: str
    manifest_sha256: str
    owner: str
    finished: Row
    absent_cells: int


@dataclass(frozen=True, slots=True)
class Statement:
    """What a committee member signs. Hashes carry the prefix sha256:, registry_head is row registry_seq's row_hash."""

    schema: int
    decision_tag: str
    stage: str
    verdict: str
    report: str
    report_sha256: str
    manifest_sha256: str
    registry_seq: int
    registry_head: str
    role: str
    signer: str
    signed_utc: str
    allowed_signers_sha256: str

    def to_bytes(self) -> bytes:
        """The one spelling of the statement: the bytes that are signed."""
        return canonical_json(asdict(self))

    @classmethod
    def parse(cls, data: bytes, where: str) -> Self:
        """The statement of a file. SigningError when the file is anything but the one spelling of a statement."""
        record = load_json(data, where)
        kinds = {field.name: int if field.type == "int" else str for field in fields(cls)}
        if not isinstance(record, dict) or record.keys() != kinds.keys():
            raise SigningError(f"is no statement: expected the keys {', '.join(kinds)}", where=where)
        for name, kind in kinds.items():
            if type(record[name]) is not kind:
                raise SigningError(f"is no statement: {name} is {record[name]!r}", where=where)
        statement = cls(**record)
        if statement.to_bytes() != data:
            raise SigningError("is not spelled as a statement is", where=where)
        return statement


def report_to_sign(workspace: Workspace, rows: Sequence[Row], tag: str) -> SignedReport:
    """The S3 report of a tag, as its registry row and its pack's MANIFEST name it.

    SigningError when the tag has no official PASS of S3 or the report on disk is not the one that was recorded.
    """
    finished = _s3_pass(rows, tag)
    path = workspace.root / finished["report"]
    manifest, data = read_regular(path.parent / MANIFEST), read_regular(path)
    listed, _ = parse_manifest(manifest)
    if f"sha256:{sha256_bytes(manifest)}" != finished["manifest_sha256"] or listed.get(path.name) != sha256_bytes(data):
        raise SigningError(
            f"the S3 report of {tag} is not the one that registry row {finished.seq} recorded",
            where=finished["report"],
            remedy="run `stagegate verify`; restore the pack from a backup",
        )
    return SignedReport(
        tag=tag,
        path=finished["report"],
        sha256=f"sha256:{sha256_bytes(data)}",
        manifest_sha256=finished["manifest_sha256"],
        owner=finished["owner"],
        finished=finished,
        absent_cells=absent_cells(load_json(data, finished["report"])),
    )


def _s3_pass(rows: Sequence[Row], tag: str) -> Row:
    wanted = (check_tag(tag), STAGE, "FINISHED", "true")
    found = [row for row in rows if (row["decision_tag"], row["stage"], row["event"], row["official"]) == wanted]
    if not found or found[-1]["verdict"] != "PASS":
        state = f"it ended as {found[-1]['verdict']}" if found else "no official run of it finished"
        raise SigningError(
            f"tag {tag} has no official PASS of s3 to sign: {state}",
            where="registry",
            remedy="see `stagegate status` for what it waits for",
        )
    return found[-1]


def absent_cells(report: Any) -> int:
    """How many cells of a report json were absent, whatever else it holds."""
    gates = report.get("gates") if isinstance(report, dict) else None
    listed = [gate.get("cells") for gate in gates.values() if isinstance(gate, dict)] if isinstance(gates, dict) else []
    cells = [cell for entry in listed if isinstance(entry, list) for cell in entry if isinstance(cell, dict)]
    return sum(cell.get("outcome") == "absent" for cell in cells)


def required_signatures(workspace: Workspace, report: SignedReport) -> int:
    """The desk's quorum, and one signature more when a gate could not be measured for an input declared absent."""
    return workspace.settings.committee.signatures_required + bool(report.absent_cells)


def signatures_folder(workspace: Workspace, tag: str) -> Path:
    """Where a tag's signatures lie."""
    return workspace.packet_dir(tag) / "signatures"


def parse_detail(detail: str) -> Mapping[str, str]:
    """The detail cell of a SIGNED row by key; every key is there, empty where the cell does not hold it."""
    found = dict(part.partition("=")[::2] for part in detail.split(";"))
    return {key: found.get(key, "") for key in DETAIL_KEYS}


def signed_rows(rows: Iterable[Row], tag: str) -> list[Row]:
    """The SIGNED rows of a tag, in their order."""
    return [row for row in rows if (row["decision_tag"], row["event"]) == (tag, "SIGNED")]


def read_allowed_signers(workspace: Workspace) -> bytes:
    """The committee's list. SigningError when the desk has none."""
    path = workspace.allowed_signers
    if not path.is_file():
        raise SigningError("the committee's list of signers is missing", where=str(path), remedy=LIST_REMEDY)
    return read_regular(path, SIGNATURE_BYTES_LIMIT * 16)


def read_revoked_keys(workspace: Workspace) -> bytes:
    """The keys that the committee withdrew; none where there is no such file."""
    path = workspace.revoked_keys
    return read_regular(path, SIGNATURE_BYTES_LIMIT * 16) if is_there(path) else b""
