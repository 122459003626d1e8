"""Every byte of a 20-row registry, and of every other file of a small record, substituted, inserted before and deleted: is each change found?

The registry by its chain alone. Of a record with a pack, an attestation, signatures and the committee's list every file by `stagegate verify`: packs,
freeze, statements, signatures, attestations. Then what the chain alone cannot see: its tail dropped, all of it rebuilt, rows swapped.
Not tried are files that record nothing: stagegate.toml (frozen by hash, compared by runs), the committee's list (a comment in it may change) and locks.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from reports.committee.signing import sign, signoff_findings
from reports.committee.statement import signatures_folder
from reports.record.chain import GENESIS, HEADER, Row, cell_text, link, read_chain
from reports.record.registry import Registry
from reports.record.workspace import Workspace
from reports.verification.attestation import attest_tag, attestation_findings, folder_of
from reports.verification.pack_check import row_faults
from reports.verification.verify import freeze_findings, verify_workspace
from tests.faults.campaign import conclude, in_scratch
from tests.reports.attested_record import TAG, run_stage, write_key
from tests.reports.sample_record import begin, fields, rewrite

ROWS: Final = 20


def registry_bytes() -> bytes:
    """A registry of 20 rows as the writer leaves it."""
    lines, previous = [HEADER], GENESIS
    for seq in range(1, ROWS + 1):
        cells = {name: cell_text(value) for name, value in fields(f"tag-{seq}", owner='O"Neil, =Ann').items()}
        row = link({**cells, "event": "STARTED", "overall_pass": "false", "utc": "2026-11-23T17:05:09Z"}, seq, previous)
        lines.append(row.raw)
        previous = row.row_hash
    return b"\n".join(lines) + b"\n"


def changes(raw: bytes, generator: random.Random) -> Iterator[tuple[str, bytes]]:
    """Each byte substituted (once by its neighbour, once by chance), inserted before, and deleted; a newline at either end."""
    for position, byte in enumerate(raw):
        for other in (byte ^ 1, (byte + generator.randrange(1, 256)) % 256):
            yield f"byte {position} {byte:#x} -> {other:#x}", raw[:position] + bytes([other]) + raw[position + 1 :]
        inserted = bytes([generator.randrange(256)])
        yield f"{inserted!r} inserted at {position}", raw[:position] + inserted + raw[position:]
        yield f"byte {position} deleted", raw[:position] + raw[position + 1 :]
    yield from ((f"newline at {place}", raw[:place] + b"\n" + raw[place:]) for place in (0, len(raw)))


def registry_campaign(count: int | None, seed: int) -> tuple[int, list[str]]:
    """Every change of the registry, or a sample of `count`; returns how many its chain shows, and those that it does not."""
    raw = registry_bytes()
    whole = read_chain(raw)
    if len(whole.rows) != ROWS or whole.faults or whole.torn_tail:
        return 0, ["the unchanged registry does not hold"]
    generator = random.Random(seed)
    attempts = list(changes(raw, generator))
    missed = [
        label
        for label, changed in (attempts if count is None else generator.sample(attempts, count))
        if not (chain := read_chain(changed)).faults and not chain.torn_tail
    ]
    return (len(attempts) if count is None else count) - len(missed), missed


Finds = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """A record with packs, freeze, attestations and a signature: each file, and the part of verification that must find a change of it."""

    workspace: Workspace
    files: dict[Path, Finds]

    @classmethod
    def make(cls, folder: Path) -> SealedRecord:
        """Two attested stages, s3 signed."""
        folder.mkdir(parents=True, exist_ok=True)
        key = write_key(folder / "desk.pem", Ed25519PrivateKey.generate())
        pins = f'[attestation]\nkey = "{key}"\npublic_keys = ["{key.with_suffix(".pub.pem")}"]\n'
        workspace = begin(folder / "desk", pins)
        for stage in ("s0", "s3"):
            run_stage(workspace, stage)
        attest_tag(workspace, TAG)
        _sign(workspace, folder)
        rows = Registry(workspace.root).rows()
        found: dict[Path, Finds] = {workspace.freeze(TAG): lambda: any(freeze_findings(workspace, rows, TAG))}
        found |= {
            path: lambda: any(signoff_findings(workspace, rows, TAG))
            for path in _files(signatures_folder(workspace, TAG))
        }
        found |= {
            path: lambda: any(attestation_findings(workspace, rows, TAG)) for path in _files(folder_of(workspace))
        }
        for row in (row for row in rows if row["event"] == "FINISHED"):
            pack = (workspace.root / row["report"]).parent
            found |= {path: partial(_is_faulty, workspace, row) for path in _files(pack)}
        return cls(workspace, found)

    def verify(self) -> int:
        """Exit status of the whole of `stagegate verify`."""
        return verify_workspace(self.workspace, checks=(signoff_findings, attestation_findings)).exit_code


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def _is_faulty(workspace: Workspace, row: Row) -> bool:
    return bool(row_faults(workspace, row, None))


def _sign(workspace: Workspace, folder: Path) -> None:
    key = folder / "alice"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    workspace.allowed_signers.parent.mkdir(parents=True, exist_ok=True)
    workspace.allowed_signers.write_text(f"alice@desk {key.with_suffix('.pub').read_text()}", encoding="utf-8")
    sign(workspace, TAG, "risk", key)


def record_campaign(folder: Path, count: int | None, seed: int) -> tuple[int, list[str]]:
    """Every change of every file of a sealed record, or `count` of each file; each 499th by the whole of verify as well."""
    record = SealedRecord.make(folder)
    if record.verify():
        return 0, ["the unchanged record does not hold"]
    generator, passed, missed = random.Random(seed), 0, []
    for path, finds in record.files.items():
        original = path.read_bytes()
        attempts = list(changes(original, generator))
        for number, (label, changed) in enumerate(attempts if count is None else generator.sample(attempts, count)):
            path.write_bytes(changed)
            if finds() and (number % 499 or record.verify() == 6):
                passed += 1
            else:
                missed.append(f"{record.workspace.relative(path)}: {label}")
        path.write_bytes(original)
    return (passed, missed) if not record.verify() else (passed, [*missed, "the restored record does not hold"])


def drop_tail(raw: bytes) -> bytes:
    """The last row taken away."""
    return raw[: raw.rindex(b"\n", 0, -1) + 1]


def swap_rows(raw: bytes) -> bytes:
    """Two rows exchanged, every byte still there."""
    head, first, second, *rest = raw.splitlines(keepends=True)
    return b"".join((head, second, first, *rest))


def rebuild(raw: bytes, owner: str = "somebody else") -> bytes:
    """Every row written again under another owner, all hashes right: the chain alone holds."""
    rows, previous = [HEADER], GENESIS
    for seq, row in enumerate(read_chain(raw).rows, 1):
        linked = link({**row, "owner": owner}, seq, previous)
        rows.append(linked.raw)
        previous = linked.row_hash
    return b"\n".join(rows) + b"\n"


WHOLESALE: Final = {"tail dropped": drop_tail, "rows swapped": swap_rows, "chain rebuilt": rebuild}


def witness_campaign(folder: Path) -> tuple[int, list[str]]:
    """What the chain alone cannot see, before each kind of witness alone: the state directory, a file, a git ref. Then a copy, which holds."""
    passed, missed = 0, []
    for kind in ("state directory", "file", "git"):
        for what, change in WHOLESALE.items():
            workspace = _witnessed(folder / f"{kind}-{what}", kind)
            held = verify_workspace(workspace).exit_code
            rewrite(workspace, change)
            found = verify_workspace(workspace).exit_code
            passed += (held, found) == (0, 6)
            missed += [] if (held, found) == (0, 6) else [f"{what} before the {kind}: verify said {held}, then {found}"]
    return passed, missed


def _witnessed(place: Path, kind: str) -> Workspace:
    """A record of four rows that only one kind of witness remembers."""
    place.mkdir(parents=True)
    anchor = {"git": "git:refs/notes/stagegate", "file": f"file:{place / 'anchor.json'}"}.get(kind, "")
    if kind == "git":
        subprocess.run(["git", "init", "-q", place], check=True)
    workspace = begin(place / "desk", f'anchor = "{anchor}"\n')
    for stage in ("s0", "s3"):
        run_stage(workspace, stage)
    if kind != "state directory":
        shutil.rmtree(place / "desk-state")
    return workspace


def _at_length() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, help="changes of each file (default: all)")
    asked = parser.parse_args()

    def run(scratch: Path) -> None:
        parts = {
            "registry of 20 rows": registry_campaign(asked.count, seed=20261123),
            "files of a sealed record": record_campaign(scratch / "sealed", asked.count, seed=20261123),
            "wholesale changes before each witness": witness_campaign(scratch / "witnessed"),
        }
        for name, (passed, missed) in parts.items():
            print(f"{name}: {passed} found, {len(missed)} missed")
        conclude(
            sum(passed for passed, _ in parts.values()), [label for _, missed in parts.values() for label in missed]
        )

    in_scratch(run)


if __name__ == "__main__":
    _at_length()
