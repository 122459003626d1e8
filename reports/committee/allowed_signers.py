"""Who may sign: the allowed_signers file of OpenSSH, read strictly.

    # principal          options (optional)                    key
    alice@desk.example   valid-after="20260101Z"               ssh-ed25519 AAAA...
    bob@desk.example     valid-before="20270101Z"              sk-ssh-ed25519@openssh.com AAAA...

One line names one person and one key. What OpenSSH allows beyond that (patterns, certificate authorities) would let a
line stand for people whom nobody listed, and is refused. A member who leaves keeps the line and gets a valid-before:
deleting it would unmake what they signed.
Format: ALLOWED SIGNERS in ssh-keygen(1).
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from reports.committee.sshsig import NAMESPACE, fingerprint_of, read_string
from reports.record.errors import SigningError

PRINCIPAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,127}")
_LINE: Final = re.compile(
    r'(?P<names>"[^"]*"|\S+)\s+(?:(?P<options>(?:[^\s"]|"[^"]*")+)\s+)?'
    r"(?P<kind>(?:sk-)?(?:ssh|ecdsa)-\S+)\s+(?P<key>[A-Za-z0-9+/]+={0,2})(?:\s.*)?"
)
_REVOKED: Final = re.compile(
    r"(?:[^\s\"]+\s+)?(?P<kind>(?:sk-)?(?:ssh|ecdsa)-\S+)\s+(?P<key>[A-Za-z0-9+/]+={0,2})(?:\s.*)?"
)
_OPTION: Final = re.compile(r'([a-z-]+)="([^"]*)"')
_SEPARATED: Final = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)')
_TIME: Final = re.compile(r"\d{8}(\d{4}(\d\d)?)?Z?")


@dataclass(frozen=True, slots=True)
class Signer:
    """One name of one key on the list, with the line it stands on (from 1)."""

    principal: str
    fingerprint: str
    line: int
    namespaces: tuple[str, ...]

    @property
    def may_sign_for_us(self) -> bool:
        """Whether the line's namespaces option, when there is one, admits ours."""
        return not self.namespaces or any(fnmatchcase(NAMESPACE, pattern) for pattern in self.namespaces)


def parse_allowed_signers(data: bytes, where: str) -> tuple[Signer, ...]:
    """Every name on the list, in its order. SigningError names the line that is malformed."""
    signers: list[Signer] = []
    for number, raw in enumerate(data.split(b"\n"), 1):
        try:
            line = raw.decode().strip()
            if line and not line.startswith("#"):
                signers.extend(_signers_of(line, number))
        except ValueError as error:
            raise SigningError(
                f"line {number} is malformed: {error}",
                where=where,
                remedy='write: NAME [valid-after="20260101Z",valid-before="20270101Z"] KEYTYPE KEY, one person a line',
            ) from error
    return tuple(signers)


def _signers_of(line: str, number: int) -> list[Signer]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError("expected a name, options if any, a key type and a key")
    names = match["names"].strip('"').split(",")
    for name in names:
        if not PRINCIPAL.fullmatch(name) or ".." in name:
            raise ValueError(f"{name!r} is not the plain name of one person (letters, digits, . _ + @ -)")
    namespaces = _namespaces(match["options"] or "")
    fingerprint = _fingerprint(match["kind"], match["key"])
    return [Signer(name, fingerprint, number, namespaces) for name in names]


def _namespaces(options: str) -> tuple[str, ...]:
    found: tuple[str, ...] = ()
    for option in _SEPARATED.split(options) if options else ():
        if option.lower() == "cert-authority":
            raise ValueError("a certificate authority stands for people whom nobody listed; list each person's key")
        name, value = match.groups() if (match := _OPTION.fullmatch(option)) else (option, "")
        if name == "namespaces" and value:
            found = tuple(value.split(","))
        elif name not in ("valid-after", "valid-before") or not _TIME.fullmatch(value):
            raise ValueError(
                f'option {option} is not namespaces="..", valid-after="YYYYMMDDZ" or valid-before="YYYYMMDDZ"'
            )
    return found


def _fingerprint(kind: str, key: str) -> str:
    try:
        blob = base64.b64decode(key, validate=True)
        named, rest = read_string(blob)
        while rest:
            _, rest = read_string(rest)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"the key is cut short or mistyped: {error}") from error
    if named != kind.encode():
        raise ValueError(f"the key is of type {named.decode('ascii', 'replace')}, the line says {kind}")
    return fingerprint_of(blob)


def parse_revoked_keys(data: bytes, where: str) -> frozenset[str]:
    """Fingerprints of the keys that were withdrawn: one public key a line, as it stood on the list, after a name or without one.

    SigningError names the line that is malformed; ssh-keygen's binary revocation lists are refused, for nobody reviews them.
    """
    found = set()
    for number, raw in enumerate(data.split(b"\n"), 1):
        try:
            line = raw.decode().strip()
            if line and not line.startswith("#"):
                found.add(_revoked(line))
        except ValueError as error:
            raise SigningError(
                f"line {number} is malformed: {error}", where=where, remedy="write: KEYTYPE KEY, one key a line"
            ) from error
    return frozenset(found)


def _revoked(line: str) -> str:
    match = _REVOKED.fullmatch(line)
    if match is None:
        raise ValueError("expected a key type and a key")
    return _fingerprint(match["kind"], match["key"])


def signer_of_key(signers: tuple[Signer, ...], fingerprint: str, where: str) -> Signer:
    """The committee member whose key this is: the first name it stands under. SigningError for a stranger's key."""
    found = next((signer for signer in signers if signer.fingerprint == fingerprint), None)
    if found is None:
        raise SigningError(
            f"key {fingerprint} is no committee member's; {len(signers)} names stand on the list",
            where=where,
            remedy="sign with the key on the list, or have the committee add a line for this one",
        )
    if not found.may_sign_for_us:
        raise SigningError(
            f"line {found.line} lets {found.principal} sign for {', '.join(found.namespaces)} only",
            where=where,
            remedy=f"add {NAMESPACE} to its namespaces",
        )
    return found


def is_owner(principal: str, owner: str) -> bool:
    """Whether a principal is the owner: the same name or local part, whatever the case, separators and +suffix."""
    return bool({_person(principal), _person(_local(principal))} & {_person(owner), _person(_local(owner))})


def is_owners_key(signers: tuple[Signer, ...], fingerprint: str, owner: str) -> bool:
    """Whether any name that the key stands under is the owner's."""
    return any(signer.fingerprint == fingerprint and is_owner(signer.principal, owner) for signer in signers)


def same_person(one: str, other: str) -> bool:
    """Whether two principals are one address, whatever the case and +suffix."""
    return one == other or _person(one) == _person(other)


def _local(name: str) -> str:
    return name.partition("@")[0]


def _person(name: str) -> str:
    local, at, domain = name.casefold().partition("@")
    return re.sub(r"[\s._-]+", " ", local.partition("+")[0]).strip() + at + domain
