"""Sign-offs: committee members sign the S3 report of a tag; a tag can be withdrawn.

reports.committee.statement says what is signed, reports.committee.signoff which signatures count, reports.committee.allowed_signers who may sign and
reports.committee.sshsig how ssh-keygen is asked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Final

from engines.digest import sha256_bytes
from reports.committee.allowed_signers import (
    Signer,
    is_owners_key,
    parse_allowed_signers,
    parse_revoked_keys,
    same_person,
    signer_of_key,
)
from reports.committee.signoff import Signature, SignOff, evaluate_signoff, signoff_findings, signoff_of
from reports.committee.sshsig import key_fingerprint, make_signature, why_unverified
from reports.committee.statement import (
    DETAIL_KEYS,
    LIST_REMEDY,
    SCHEMA,
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
from reports.record.clock import iso, stamp, utc_now
from reports.record.durable import make_directory, write_new
from reports.record.errors import SigningError
from reports.record.registry import Registry, revocation
from reports.record.workspace import Workspace, check_tag

REASON_LENGTH_LIMIT: Final = 500
_ROLE: Final = re.compile(r"[A-Za-z][A-Za-z0-9 _-]{0,31}")


def sign(workspace: Workspace, tag: str, role: str, key_path: Path) -> Row:
    """Sign the S3 report of `tag` with the key at `key_path` and record it; returns the SIGNED row.

    The signer is whoever the committee's list says the key belongs to. SigningError, with nothing recorded, for a key
    that is missing, a stranger's or the owner's, a second signature, a tag without an official PASS of S3, a revoked
    tag, and a malformed list.
    """
    if not _ROLE.fullmatch(role):
        raise SigningError(
            f"role {role!r} is not a plain word",
            where="--role",
            remedy="name the function you sign for, such as risk or research",
        )
    registry = Registry(workspace.root)
    rows = registry.rows()
    report = report_to_sign(workspace, rows, tag)
    allowed = read_allowed_signers(workspace)
    signers = parse_allowed_signers(allowed, str(workspace.allowed_signers))
    fingerprint = key_fingerprint(key_path)
    signer = signer_of_key(signers, fingerprint, str(workspace.allowed_signers))
    _demand_not_withdrawn(workspace, fingerprint)
    _demand_may_sign(rows, report, signer, signers)
    moment = utc_now()
    statement = _statement(report, rows[-1], role, signer.principal, moment, allowed)
    signature = make_signature(key_path, statement.to_bytes())
    objection = why_unverified(statement.to_bytes(), signature, allowed, signer.principal, moment)
    if objection:
        raise SigningError(f"the new signature does not hold: {objection}", where=str(key_path), remedy=LIST_REMEDY)

    def write_files(rows_now: tuple[Row, ...]) -> None:
        _demand_may_sign(rows_now, report, signer, signers)
        _write_pair(signatures_folder(workspace, tag), signer.principal, statement.to_bytes(), signature)

    return registry.append("SIGNED", _signed_fields(report, statement, signature, fingerprint), check=write_files)


def revoke(workspace: Workspace, tag: str, reason: str) -> Row:
    """Withdraw a tag for good; returns the REVOKED row.

    SigningError without a reason, for a tag that is not in the registry and for one revoked before.
    """
    check_tag(tag)
    plain = " ".join(reason.split())
    if len(plain) < 3 or len(plain) > REASON_LENGTH_LIMIT:
        raise SigningError(
            "the reason is empty or longer than a line",
            where="--reason",
            remedy="say in one sentence why the tag is withdrawn",
        )
    registry = Registry(workspace.root)
    last = next((row for row in reversed(registry.rows()) if row["decision_tag"] == tag), None)
    if last is None:
        raise SigningError(
            f"tag {tag} is not in the registry",
            where=str(workspace.registry),
            remedy="name a tag that `stagegate status` lists",
        )

    def once(rows: tuple[Row, ...]) -> None:
        _demand_not_revoked(rows, tag)

    return registry.append("REVOKED", {**_identity(last), "detail": f"reason={plain}"}, check=once)


def _demand_not_revoked(rows: Sequence[Row], tag: str) -> None:
    revoked = revocation(rows, tag)
    if revoked is not None:
        raise SigningError(
            f"tag {tag} was revoked (registry row {revoked.seq}: {revoked['detail']})",
            where="registry",
            remedy="start a new tag from s0",
        )


def _demand_not_withdrawn(workspace: Workspace, fingerprint: str) -> None:
    where = str(workspace.revoked_keys)
    if fingerprint in parse_revoked_keys(read_revoked_keys(workspace), where):
        raise SigningError(
            f"key {fingerprint} is among the revoked keys",
            where=where,
            remedy="make a new key, have the committee add its line, and sign with it",
        )


def _demand_may_sign(rows: Sequence[Row], report: SignedReport, signer: Signer, signers: tuple[Signer, ...]) -> None:
    _demand_not_revoked(rows, report.tag)
    if is_owners_key(signers, signer.fingerprint, report.owner):
        raise SigningError(
            f"{signer.principal} is the owner, {report.owner}: nobody signs off their own candidate",
            where=f"tag {report.tag}",
            remedy="have other committee members sign",
        )
    for row in signed_rows(rows, report.tag):
        earlier = parse_detail(row["detail"])
        if same_person(earlier["signer"], signer.principal) or earlier["key"] == signer.fingerprint:
            raise SigningError(
                f"{earlier['signer']} signed {report.tag} already with key {earlier['key']} (registry row {row.seq})",
                where=f"tag {report.tag}",
                remedy="have another committee member sign; a person and a key count once",
            )


def _statement(
    report: SignedReport, head: Row, role: str, principal: str, moment: datetime, allowed: bytes
) -> Statement:
    return Statement(
        schema=SCHEMA,
        decision_tag=report.tag,
        stage=STAGE,
        verdict="PASS",
        report=report.path,
        report_sha256=report.sha256,
        manifest_sha256=report.manifest_sha256,
        registry_seq=head.seq,
        registry_head=head.row_hash,
        role=role,
        signer=principal,
        signed_utc=iso(moment),
        allowed_signers_sha256=f"sha256:{sha256_bytes(allowed)}",
    )


def _write_pair(folder: Path, principal: str, statement: bytes, signature: bytes) -> None:
    """Write the two files of a signature, under the registry's lock.

    What an interrupted signing left under their names is moved aside, not deleted.
    """
    make_directory(folder)
    for path, data in ((folder / f"{principal}.json.sig", signature), (folder / f"{principal}.json", statement)):
        if os.path.lexists(path):
            aside = folder / UNRECORDED
            make_directory(aside)
            path.rename(aside / f"{stamp(utc_now())}-{token_hex(4)}-{path.name}")
        write_new(path, data)


def _identity(row: Row) -> dict[str, str]:
    columns = ("stage", "decision_tag", "run_id", "candidate", "family", "owner", "official")
    return {column: row[column] for column in (*columns, "config_sha256", "data_sha256", "git_commit", "freeze_sha256")}


def _signed_fields(report: SignedReport, statement: Statement, signature: bytes, fingerprint: str) -> dict[str, str]:
    hashes = sha256_bytes(statement.to_bytes()), sha256_bytes(signature)
    detail = dict(
        zip(
            DETAIL_KEYS,
            (statement.role, statement.signer, fingerprint, *(f"sha256:{found}" for found in hashes)),
            strict=True,
        )
    )
    return {
        **_identity(report.finished),
        "report": report.path,
        "manifest_sha256": f"sha256:{_pair_manifest_sha256(statement.signer, *hashes)}",
        "detail": ";".join(f"{key}={value}" for key, value in detail.items()),
    }


def _pair_manifest_sha256(principal: str, statement_sha256: str, signature_sha256: str) -> str:
    """Hash of what `sha256sum <principal>.json <principal>.json.sig` prints."""
    return sha256_bytes(f"{statement_sha256}  {principal}.json\n{signature_sha256}  {principal}.json.sig\n".encode())


__all__ = [
    "SignOff",
    "Signature",
    "SignedReport",
    "evaluate_signoff",
    "report_to_sign",
    "required_signatures",
    "revoke",
    "sign",
    "signoff_findings",
    "signoff_of",
]
