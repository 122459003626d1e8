"""A payload, its signature and the key that made it: one DSSE v1 envelope in its one spelling, signed with Ed25519.

    {"payload": base64, "payloadType": "application/vnd.in-toto+json", "signatures": [{"keyid": hex, "sig": base64}]}

What is signed is the pre-authentication encoding of type and payload, so that neither can be exchanged. The key id is the hex sha256 of the public
key's DER form: `openssl pkey -pubin -in KEY.pem -outform DER | sha256sum`. An envelope has one spelling only: a reader that takes every byte of it
for granted is not told two stories by two parsers. (https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md)
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from engines.digest import sha256_bytes
from reports.record.durable import dump_json, explained, load_json, read_descriptor, read_regular
from reports.record.errors import SigningError

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
ENVELOPE_BYTES_LIMIT: Final = 64 * 2**20
KEY_BYTES_LIMIT: Final = 16 * 2**10
MAKE_KEY: Final = "make one with `openssl genpkey -algorithm ed25519 -out KEY.pem` and `chmod 600 KEY.pem`"
MAKE_PUBLIC_KEY: Final = "make it with `openssl pkey -in KEY.pem -pubout -out KEY.pub.pem`"


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """PAE(type, body) of DSSE v1: `DSSEv1 LEN(type) type LEN(body) body`, lengths in bytes and decimal."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload with one signature over it. keyid: hex sha256 of the signer's public key in DER."""

    payload: bytes
    keyid: str
    signature: bytes

    @classmethod
    def sign(cls, payload: bytes, key: Ed25519PrivateKey) -> Self:
        """Sign `payload`. Ed25519 takes no random number: the same payload and key give the same bytes."""
        return cls(payload, key_id(key.public_key()), key.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload)))

    def why_unverified(self, pinned: Mapping[str, Ed25519PublicKey]) -> str:
        """Why no pinned key vouches for the payload; empty when one does. `pinned` maps key ids to keys."""
        if self.keyid not in pinned:
            known = ", ".join(f"{keyid[:16]}.." for keyid in pinned) or "none"
            return f"it names key {self.keyid[:16]}.., which is not pinned; pinned: {known}"
        try:
            pinned[self.keyid].verify(self.signature, pre_authentication_encoding(PAYLOAD_TYPE, self.payload))
        except InvalidSignature:
            return f"the signature is not one of key {self.keyid[:16]}.. over this payload"
        return ""

    def to_bytes(self) -> bytes:
        """The one spelling of the envelope."""
        signature = {"keyid": self.keyid, "sig": base64.b64encode(self.signature).decode()}
        payload = base64.b64encode(self.payload).decode()
        return dump_json({"payload": payload, "payloadType": PAYLOAD_TYPE, "signatures": [signature]})

    @classmethod
    def parse(cls, data: bytes, where: str) -> Self:
        """The envelope of a file. RecordError or SigningError when the bytes are anything but the one spelling of one."""
        record = load_json(data, where)
        try:
            envelope = cls(*_fields(record))
            spelled = envelope.to_bytes()
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise SigningError(f"is no envelope with one signature: {error!r}", where=where) from error
        if spelled != data:
            raise SigningError(f"is not spelled as an envelope of {PAYLOAD_TYPE} is", where=where)
        return envelope


def _fields(record: Any) -> tuple[bytes, str, bytes]:
    (signature,) = record["signatures"]
    return (
        base64.b64decode(record["payload"], validate=True),
        str(signature["keyid"]),
        base64.b64decode(signature["sig"], validate=True),
    )


def key_id(key: Ed25519PublicKey) -> str:
    """Hex sha256 of the key's SubjectPublicKeyInfo in DER."""
    return sha256_bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """The signing key at `path`.

    SigningError when it is missing, no unencrypted Ed25519 key in PEM, or readable by other accounts.
    """
    with explained("read the signing key", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
            if mode & 0o077:
                raise SigningError(
                    f"the signing key can be read by other accounts: its mode is {mode:03o}, expected 600",
                    where=str(path),
                    remedy=f"`chmod 600 {path}`; if others could use it, make a new key and pin that one",
                )
            data = read_descriptor(descriptor, path, KEY_BYTES_LIMIT)
        finally:
            os.close(descriptor)
    return _private_key(data, path)


def _private_key(data: bytes, path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SigningError(
            "this is no private key in PEM without a passphrase", where=str(path), remedy=MAKE_KEY
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningError(
            f"the signing key is {type(key).__name__}, expected Ed25519", where=str(path), remedy=MAKE_KEY
        )
    return key


def read_public_keys(paths: Sequence[Path]) -> dict[str, Ed25519PublicKey]:
    """Key id -> key of each file. RecordError or SigningError when one is missing or no Ed25519 public key in PEM."""
    return {key_id(key): key for key in map(_public_key, paths)}


def _public_key(path: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(read_regular(path, KEY_BYTES_LIMIT))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningError("this is no public key in PEM", where=str(path), remedy=MAKE_PUBLIC_KEY) from error
    if not isinstance(key, Ed25519PublicKey):
        raise SigningError(
            f"the public key is {type(key).__name__}, expected Ed25519", where=str(path), remedy=MAKE_PUBLIC_KEY
        )
    return key
