"""Attempts by the sign-off of s4."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from tests.end_to_end.desk import COMMITTEE
from tests.faults.attempts.preparing import nothing
from tests.faults.tiny_suite import TAG, Attempt, Ground


def sign(ground: Ground, name: str, key: Path | None = None) -> None:
    """Sign as a member of the committee; a refusal is an answer."""
    place = ("--role", name.partition("@")[0], "--key", str(key or ground.desk.key(name)))
    ground.warm.stagegate(ground.desk, "sign", TAG, *place)


def signed_and_written(ground: Ground) -> None:
    """The whole committee signs, and a person writes the deployment files."""
    for name in COMMITTEE:
        sign(ground, name)
    ground.desk.write_deployment(TAG)


def signers_file(ground: Ground) -> Path:
    return ground.desk.workspace / "docs" / "production_research" / "allowed_signers"


def stranger(ground: Ground) -> None:
    """A key that is on no list."""
    sign(ground, COMMITTEE[0])
    path = ground.desk.workspace.parent / "keys" / "stranger"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, stdin=subprocess.DEVNULL
    )
    sign(ground, COMMITTEE[1], path)


def one_person_twice(ground: Ground) -> None:
    """The first member's key listed under the second member's name."""
    lines = signers_file(ground).read_text(encoding="utf-8").splitlines()
    signers_file(ground).write_text(f"{lines[0]}\n{lines[0].replace(COMMITTEE[0], COMMITTEE[1])}\n", encoding="utf-8")
    sign(ground, COMMITTEE[0])
    sign(ground, COMMITTEE[0])


def copied_signature(ground: Ground) -> None:
    """The first member's signature filed under the second member's name."""
    sign(ground, COMMITTEE[0])
    folder = ground.desk.packet(TAG, "s3").parent / "signatures"
    for path in list(folder.iterdir()):
        (folder / path.name.replace(COMMITTEE[0], COMMITTEE[1])).write_bytes(path.read_bytes())


def edited_statement(ground: Ground) -> None:
    """A signed statement edited afterwards."""
    for name in COMMITTEE:
        sign(ground, name)
    statement = next((ground.desk.packet(TAG, "s3").parent / "signatures").glob("*.json"))
    statement.write_text(statement.read_text(encoding="utf-8").replace("PASS", "pass") + " ", encoding="utf-8")


SIGNATURES: Final = {
    "no signature": nothing,
    "one signature of two": lambda ground: sign(ground, COMMITTEE[0]),
    "the same member twice": lambda ground: [sign(ground, COMMITTEE[0]) for _ in range(2)],
    "a stranger's key": stranger,
    "one key under two names": one_person_twice,
    "a copied signature": copied_signature,
    "an edited statement": edited_statement,
    "every signature and no deployment file": lambda ground: [sign(ground, name) for name in COMMITTEE],
}

SIGN_OFF: Final = tuple(
    Attempt(f"{name} at s4", prepare, "s4", "s3", allowed=("FAIL", "REFUSED")) for name, prepare in SIGNATURES.items()
)
