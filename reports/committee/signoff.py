"""Which signatures count? Every rule that a signature must keep; the first that it breaks is the reason it is refused.

Nothing here writes, and nothing raises for what lies on disk: what does not hold is a reason on the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from engines.digest import sha256_bytes
from engines.errors import StageGateError
from reports.committee.allowed_signers import (
    PRINCIPAL,
    Signer,
    is_owners_key,
    parse_allowed_signers,
    parse_revoked_keys,
    same_person,
)
from reports.committee.sshsig import NAMESPACE, parse_signature, ssh_keygen, why_unverified
from reports.committee.statement import (
    SCHEMA,
    SIGNATURE_BYTES_LIMIT,
    STAGE,
    UNRECORDED,
    SignedReport,
    Statement,
    parse_detail,
    read_allowed_signers,
    read_revoked_keys,
    report_to_sign,
    required_signatures,
    signatures_folder,
    signed_rows,
)
from reports.record.chain import Row
from reports.record.clock import iso, utc_now
from reports.record.durable import read_regular
from reports.record.errors import RecordError, SigningError
from reports.record.ledger import CLOCK_TOLERANCE_SECONDS, parse_utc
from reports.record.registry import Registry, revocation
from reports.record.workspace import Workspace
from reports.verification.verify import Finding

STATEMENT_AGE_LIMIT_SECONDS: Final = 600
"""How far a statement's time may lie from its row's: a passphrase is typed and the registry's lock is had within it."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that counts."""

    signer: str
    role: str
    fingerprint: str
    signed_utc: str
    seq: int


@dataclass(frozen=True, slots=True)
class SignOff:
    """The signatures of a tag that count, those that do not with their reasons, and how many are required."""

    valid: tuple[Signature, ...]
    refused: tuple[tuple[str, str], ...]
    required: int

    @property
    def complete(self) -> bool:
        """Whether the quorum is reached."""
        return len(self.valid) >= self.required

    @property
    def note(self) -> str:
        """One line for a report."""
        signed = ", ".join(f"{signature.signer} ({signature.role})" for signature in self.valid) or "nobody"
        refused = "".join(f"; refused {file}: {reason}" for file, reason in self.refused)
        return f"{len(self.valid)} of {self.required} required: {signed}{refused}"


def signoff_of(workspace: Workspace, tag: str, at: datetime) -> SignOff:
    """The sign-off of a tag as of `at`, which the S4 gate judges. What does not hold is a reason, not an exception."""
    try:
        rows = Registry(workspace.root).rows()
    except RecordError as error:
        return SignOff((), ((error.where or tag, error.what),), workspace.settings.committee.signatures_required)
    return signoff_among(workspace, rows, tag, at)


def signoff_among(workspace: Workspace, rows: Sequence[Row], tag: str, at: datetime) -> SignOff:
    """The same by rows that were read and verified before."""
    quorum = workspace.settings.committee.signatures_required
    try:
        report = report_to_sign(workspace, rows, tag)
    except (RecordError, SigningError) as error:
        return SignOff((), ((error.where or tag, error.what),), quorum)
    return evaluate_signoff(workspace, rows, report, required=required_signatures(workspace, report), at=at)


def evaluate_signoff(
    workspace: Workspace, rows: Sequence[Row], report: SignedReport, *, required: int, at: datetime
) -> SignOff:
    """Which signatures over `report` count at `at`? Each that does not is listed with the first rule that it breaks."""
    revoked = revocation(rows, report.tag)
    if revoked is not None:
        return SignOff((), ((f"registry row {revoked.seq}", f"the tag was revoked: {revoked['detail']}"),), required)
    return _examined(workspace, rows, report, required, at)


def _examined(workspace: Workspace, rows: Sequence[Row], report: SignedReport, required: int, at: datetime) -> SignOff:
    folder = signatures_folder(workspace, report.tag)
    try:
        allowed = read_allowed_signers(workspace)
        signers = parse_allowed_signers(allowed, workspace.settings.committee.allowed_signers)
        revoked = parse_revoked_keys(read_revoked_keys(workspace), workspace.settings.committee.revoked_keys)
        _demand_own_folder(workspace, folder)
    except (RecordError, SigningError) as error:
        return SignOff((), ((error.where, error.what),), required)
    signed = tuple((row.seq, parse_detail(row["detail"])) for row in rows if row["event"] == "SIGNED")
    case = _Case(folder, report, {row.seq: row.row_hash for row in rows}, signed, allowed, signers, revoked, at)
    valid: list[Signature] = []
    refused: list[tuple[str, str]] = []
    for row in signed_rows(rows, report.tag):
        try:
            valid.append(_examine(case, row, valid))
        except (RecordError, SigningError) as error:
            refused.append((f"{parse_detail(row['detail'])['signer'] or f'registry row {row.seq}'}.json", error.what))
    return SignOff(tuple(valid), (*refused, *_unbacked(folder, rows, report.tag)), required)


@dataclass(frozen=True, slots=True)
class _Case:
    """What every signature of a tag is examined against.

    heads: row_hash by seq. signed: seq and detail of every SIGNED row of the registry. revoked: fingerprints of keys that were withdrawn.
    """

    folder: Path
    report: SignedReport
    heads: Mapping[int, str]
    signed: tuple[tuple[int, Mapping[str, str]], ...]
    allowed: bytes
    signers: tuple[Signer, ...]
    revoked: frozenset[str]
    at: datetime


def _demand_own_folder(workspace: Workspace, folder: Path) -> None:
    links = [path for path in (workspace.research, folder.parent, folder) if path.is_symlink()]
    if links:
        raise SigningError("a link stands where the signatures' folder belongs", where=str(links[0]))


def _examine(case: _Case, row: Row, counted: Sequence[Signature]) -> Signature:
    """The signature of a SIGNED row. SigningError or RecordError names the first rule that does not hold."""
    detail = parse_detail(row["detail"])
    principal = detail["signer"]
    _demand(bool(PRINCIPAL.fullmatch(principal)) and ".." not in principal, f"registry row {row.seq} names no signer")
    data = read_regular(case.folder / f"{principal}.json", SIGNATURE_BYTES_LIMIT)
    signature = read_regular(case.folder / f"{principal}.json.sig", SIGNATURE_BYTES_LIMIT)
    _demand(
        f"sha256:{sha256_bytes(data)}" == detail["statement"],
        "the statement was changed: its hash is not the SIGNED row's",
    )
    _demand(
        f"sha256:{sha256_bytes(signature)}" == detail["signature"],
        "the signature was changed: its hash is not the SIGNED row's",
    )
    statement = Statement.parse(data, f"{principal}.json")
    _demand(statement.signer == principal, f"the statement is of {statement.signer}, expected {principal}")
    _demand(
        statement.role == detail["role"], f"the statement says role {statement.role}, the SIGNED row {detail['role']}"
    )
    _demand_subject(case, statement)
    _demand_head(case, statement, row)
    moment = _demand_time(case, statement, row)
    fingerprint = _demand_signer(case, principal, signature, counted)
    objection = why_unverified(data, signature, case.allowed, principal, moment)
    _demand(not objection, objection)
    _demand(fingerprint == detail["key"], f"it was made by key {fingerprint}, the SIGNED row says {detail['key']}")
    _demand_same_list(case, principal, row.seq)
    return Signature(principal, statement.role, fingerprint, statement.signed_utc, row.seq)


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SigningError(otherwise)


def _demand_subject(case: _Case, statement: Statement) -> None:
    """The statement is about exactly this report of exactly this tag."""
    report = case.report
    expected = {
        "schema": SCHEMA,
        "decision_tag": report.tag,
        "stage": STAGE,
        "verdict": "PASS",
        "report": report.path,
        "report_sha256": report.sha256,
        "manifest_sha256": report.manifest_sha256,
    }
    for name, value in expected.items():
        found = getattr(statement, name)
        _demand(found == value, f"the statement's {name} is {found}, expected {value}")


def _demand_head(case: _Case, statement: Statement, row: Row) -> None:
    """The signer had seen the report's FINISHED row, in this registry, before the SIGNED row."""
    seq, finished = statement.registry_seq, case.report.finished.seq
    _demand(
        seq >= finished, f"the signer had seen the registry up to row {seq}, the report was finished in row {finished}"
    )
    _demand(
        seq < row.seq and case.heads.get(seq) == statement.registry_head,
        f"registry_head is not the hash of a row {seq} before row {row.seq}",
    )


def _demand_time(case: _Case, statement: Statement, row: Row) -> datetime:
    """When the signature was recorded, which is the moment that the key must have been valid at."""
    signed, recorded = parse_utc(statement.signed_utc), parse_utc(row["utc"])
    if signed is None or recorded is None:
        raise SigningError(f"signed_utc is {statement.signed_utc}, expected a moment such as 2026-11-23T17:05:09Z")
    apart = abs((recorded - signed).total_seconds())
    _demand(
        apart <= STATEMENT_AGE_LIMIT_SECONDS,
        f"signed_utc lies {apart:.0f} s from the time of the SIGNED row, {row['utc']}",
    )
    latest = case.at + timedelta(seconds=CLOCK_TOLERANCE_SECONDS)
    _demand(recorded <= latest, f"it was recorded at {row['utc']}, after {iso(case.at)}")
    return recorded


def _demand_signer(case: _Case, principal: str, signature: bytes, counted: Sequence[Signature]) -> str:
    """Fingerprint of the key: a committee member's, not the owner's, and neither person nor key has been counted."""
    parts = parse_signature(signature)
    _demand(parts.namespace == NAMESPACE, f"the signature was made for {parts.namespace!r}, expected {NAMESPACE!r}")
    names = [signer.principal for signer in case.signers if signer.fingerprint == parts.fingerprint]
    _demand(parts.fingerprint not in case.revoked, f"key {parts.fingerprint} is among the revoked keys")
    _demand(bool(names), f"key {parts.fingerprint} is a stranger's: it is on no line of the committee's list")
    _demand(principal in names, f"the key is {', '.join(names)}'s, expected {principal}'s")
    _demand(
        not is_owners_key(case.signers, parts.fingerprint, case.report.owner),
        f"it is the owner's own, {case.report.owner}",
    )
    for other in counted:
        _demand(
            other.fingerprint != parts.fingerprint,
            f"its key is the one that signed as {other.signer}: one key counts once",
        )
        _demand(not same_person(other.signer, principal), f"{other.signer} has signed already: one person counts once")
    return parts.fingerprint


def _demand_same_list(case: _Case, principal: str, seq: int) -> None:
    """Every key that the signer has signed with before is still on a line of the list: the list was added to, not replaced."""
    listed = {signer.fingerprint for signer in case.signers if same_person(signer.principal, principal)}
    for earlier, detail in case.signed:
        if earlier <= seq and same_person(detail["signer"], principal):
            _demand(
                detail["key"] in listed,
                f"the committee's list was replaced: key {detail['key']}, with which {principal} signed in registry row {earlier}, is on no line of theirs",
            )


def _unbacked(folder: Path, rows: Iterable[Row], tag: str) -> Iterator[tuple[str, str]]:
    """Files among the signatures that no SIGNED row names."""
    signers = {parse_detail(row["detail"])["signer"] for row in signed_rows(rows, tag)}
    backed = {UNRECORDED} | {f"{signer}{suffix}" for signer in signers for suffix in (".json", ".json.sig")}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name not in backed:
            yield path.name, "no SIGNED row names it; sign with `stagegate sign`, which records what it writes"


def signoff_findings(workspace: Workspace, rows: tuple[Row, ...], tag: str | None = None) -> Iterator[Finding]:
    """For `stagegate verify`: every signature that does not hold over what it was given for, revoked tags included."""
    signed = [row["decision_tag"] for row in rows if row["event"] == "SIGNED"]
    signed += [folder.parent.name for folder in sorted(workspace.research.glob("*/signatures"))]
    for name in dict.fromkeys(signed):
        if tag in (None, name):
            yield from _tag_findings(workspace, rows, name)


def _tag_findings(workspace: Workspace, rows: Sequence[Row], tag: str) -> Iterator[Finding]:
    where = workspace.relative(signatures_folder(workspace, tag))
    try:
        ssh_keygen()
    except SigningError as error:
        yield Finding("unanchored", error.what, where, error.remedy)
        return
    try:
        report = report_to_sign(workspace, rows, tag)
    except StageGateError as error:
        yield Finding("tampered", error.what, where, error.remedy)
        return
    for file, reason in _examined(workspace, rows, report, 0, utc_now()).refused:
        yield Finding("tampered", f"{file}: {reason}", where, _RESTORE)


_RESTORE: Final = (
    "restore the files or the committee's list from a backup; "
    "whoever leaves the committee keeps the line and gets a valid-before"
)
