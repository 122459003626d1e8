"""OpenSSH signatures (SSHSIG): made and verified by the installed ssh-keygen, read here only as far as messages need.

    ssh-keygen -Y sign -n stagegate -f KEY FILE                                          make one
    ssh-keygen -Y find-principals -f ALLOWED_SIGNERS -s SIGNATURE                        whose is it
    ssh-keygen -Y verify -n stagegate -f ALLOWED_SIGNERS -I PRINCIPAL -s SIGNATURE < FILE    does it hold

No cryptography is done here. What is verified are bytes that were read once: ssh-keygen gets copies of them in a folder
of its own, so that a file which changes meanwhile cannot be one thing to us and another to it. Reference:
PROTOCOL.sshsig of OpenSSH, ssh-keygen(1).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from reports.record.errors import SigningError
from reports.record.host import program

NAMESPACE: Final = "stagegate"
GOOD: Final = f'Good "{NAMESPACE}" signature'.encode()
VERIFY_TIMEOUT_SECONDS: Final = 30
SIGN_TIMEOUT_SECONDS: Final = 180
"""Long enough to type a passphrase or to touch a security key."""

_ARMOUR: Final = re.compile(rb"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)\n-----END SSH SIGNATURE-----\n?")
_COPY: Final = re.compile(r"^\S*allowed_signers:(?=\d+:)")
_FINGERPRINT: Final = re.compile(r"\d+ (SHA256:[A-Za-z0-9+/]{43}) ")


@dataclass(frozen=True, slots=True)
class SignatureParts:
    """What a signature says of itself: by which key, for which purpose. Worth nothing until ssh-keygen verified it."""

    fingerprint: str
    namespace: str


def fingerprint_of(key_blob: bytes) -> str:
    """`SHA256:...` of a public key in its wire form, as ssh-keygen -l prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key_blob).digest()).decode().rstrip("=")


def read_string(data: bytes) -> tuple[bytes, bytes]:
    """The first length-prefixed string of an SSH wire message, and what follows it. ValueError when it is cut short."""
    length = int.from_bytes(data[:4], "big")
    if len(data) < 4 + length:
        raise ValueError("the data ends inside a string")
    return data[4 : 4 + length], data[4 + length :]


def parse_signature(armoured: bytes) -> SignatureParts:
    """Key and namespace of an armoured signature. SigningError when it is not one."""
    match = _ARMOUR.fullmatch(armoured)
    try:
        blob = base64.b64decode(match[1].replace(b"\n", b""), validate=True) if match else b""
        if blob[:10] != b"SSHSIG\x00\x00\x00\x01":
            raise ValueError("it is no version 1 SSHSIG")
        key, rest = read_string(blob[10:])
        namespace, _ = read_string(rest)
    except (binascii.Error, ValueError) as error:
        raise SigningError(f"is not an OpenSSH signature: {error}", remedy="sign with `stagegate sign`") from error
    return SignatureParts(fingerprint_of(key), namespace.decode("ascii", "replace"))


def ssh_keygen() -> str:
    """Path of the installed ssh-keygen. SigningError says which package brings it."""
    found = program("ssh-keygen")
    if not Path(found).is_absolute():
        raise SigningError(
            "ssh-keygen is not installed, and signatures are made and verified by it",
            where="PATH",
            remedy="install OpenSSH 8.9 or later: Debian package openssh-client, Homebrew openssh",
        )
    return found


def key_fingerprint(key_path: Path) -> str:
    """Fingerprint of the key in a private or public key file, without its passphrase. SigningError when it has none."""
    if not key_path.is_file():
        raise SigningError(
            "there is no key file",
            where=str(key_path),
            remedy="name your private key, or the .pub of a key that ssh-agent holds",
        )
    done = _run([ssh_keygen(), "-l", "-E", "sha256", "-f", str(key_path.absolute())], VERIFY_TIMEOUT_SECONDS, b"")
    match = _FINGERPRINT.match(done.stdout.decode("utf-8", "replace"))
    if done.returncode != 0 or match is None:
        raise SigningError(
            f"is no key that ssh-keygen can read: {_words(done)[-1]}",
            where=str(key_path),
            remedy="name an OpenSSH key file, such as ~/.ssh/id_ed25519",
        )
    return match[1]


def make_signature(key_path: Path, data: bytes) -> bytes:
    """Sign `data` with a private key, a key of ssh-agent (named by its .pub) or a security key.

    SigningError when that fails. The passphrase, PIN or touch is asked for by ssh-keygen itself; none of it passes
    through here.
    """
    with TemporaryDirectory(prefix="stagegate-sign-") as folder:
        message = Path(folder, "statement")
        message.write_bytes(data)
        command = [ssh_keygen(), "-Y", "sign", "-n", NAMESPACE, "-f", str(key_path.absolute()), str(message)]
        done = _run(command, SIGN_TIMEOUT_SECONDS)
        signature = message.with_suffix(".sig")
        if done.returncode != 0 or not signature.is_file():
            raise SigningError(
                f"ssh-keygen could not sign: {_words(done)[-1]}",
                where=str(key_path),
                remedy="check the passphrase; the key of a .pub must be in ssh-agent, a security key plugged in",
            )
        return signature.read_bytes()


def why_unverified(data: bytes, signature: bytes, allowed_signers: bytes, principal: str, moment: datetime) -> str:
    """Why `signature` is not `principal`'s over `data`, by the list `allowed_signers` as of `moment`; empty when it is.

    Times without a zone in the list are read as UTC, whatever this machine's zone. SigningError without ssh-keygen.
    """
    as_of = f"verify-time={moment.astimezone(UTC):%Y%m%d%H%M%S}"
    keygen = ssh_keygen()
    with TemporaryDirectory(prefix="stagegate-verify-") as folder:
        signers, sealed = Path(folder, "allowed_signers"), Path(folder, "statement.sig")
        signers.write_bytes(allowed_signers)
        sealed.write_bytes(signature)
        files = ["-f", str(signers), "-s", str(sealed), "-O", as_of]
        found = _run([keygen, "-Y", "find-principals", *files], VERIFY_TIMEOUT_SECONDS, b"")
        names = {name for line in found.stdout.decode("utf-8", "replace").splitlines() for name in line.split(",")}
        if found.returncode != 0 or principal not in names:
            return f"the key is not {principal}'s at {moment:%Y-%m-%d %H:%M}Z: {_words(found)[0]}"
        done = _run([keygen, "-Y", "verify", "-n", NAMESPACE, "-I", principal, *files], VERIFY_TIMEOUT_SECONDS, data)
    holds = done.returncode == 0 and done.stdout.startswith(GOOD)
    return "" if holds else f"the signature does not verify: {_words(done)[-1]}"


def _run(command: Sequence[str], timeout_seconds: int, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run ssh-keygen on `data`, or on this process's own standard input, where it may ask for a passphrase."""
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    try:
        return subprocess.run(
            command, input=data, capture_output=True, env=environment, timeout=timeout_seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise SigningError(
            f"ssh-keygen did not answer within {timeout_seconds} s",
            where=" ".join(command[1:3]),
            remedy="repeat and answer its prompt",
        ) from error


def _words(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    """What ssh-keygen said, one entry a line, printable and without the path of a temporary copy; at least one entry."""
    lines = (done.stderr or done.stdout).decode("utf-8", "replace").splitlines()
    said = [
        _COPY.sub("", "".join(letter if letter.isprintable() else " " for letter in line)).strip() for line in lines
    ]
    return [line for line in said if line] or [f"exit status {done.returncode}"]
