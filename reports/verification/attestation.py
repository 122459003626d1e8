"""Attestations: a pack and its row as one signed statement that outlives the workspace.

    gate_results/attestations/<pack>.dsse.json

An in-toto Statement v1 in a DSSE envelope. Its subjects are MANIFEST and every file that MANIFEST lists; its predicate says what was run, where, on
which frozen inputs, what each cell measured and what came of it. Nothing in it is of the moment of signing: the statement follows from the pack and
its two registry rows alone, so `stagegate verify` writes it again and compares, and a lost attestation can be made anew.

A pack is sealed by its MANIFEST before its FINISHED row is written, hence the place beside the packs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from engines.digest import canonical_json
from engines.errors import StageGateError
from reports.record.chain import Row
from reports.record.durable import is_there, load_json, locked, read_regular, replace
from reports.record.errors import RecordError, SigningError
from reports.record.json_difference import differences
from reports.record.ledger import Ledger, is_plain_path
from reports.record.registry import Registry
from reports.record.workspace import Workspace, check_tag
from reports.verification.dsse import ENVELOPE_BYTES_LIMIT, Envelope, key_id, read_private_key, read_public_keys
from reports.verification.pack_check import MANIFEST, parse_manifest, row_faults
from reports.verification.verify import RESTORE, Finding

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:stagegate:stage-run:v1"
SUFFIX: Final = ".dsse.json"
_IDENTITY: Final = ("run_id", "candidate", "family", "owner", "official", "official_reasons")
_ENVIRONMENT: Final = ("machine", "packages", "variables", "child_exit", "interrupted_by")


@dataclass(frozen=True, slots=True)
class Attested:
    """One attestation of a tag: of which FINISHED row, where it lies, and whether it was made now."""

    stage: str
    seq: int
    path: str
    made_now: bool


# ----------------------------------------------------------------------------------------------- the statement


def statement_of(workspace: Workspace, started: Mapping[str, str], finished: Row) -> bytes:
    """The statement of a finished run, from its pack and its two rows. RecordError when the pack does not hold what it needs."""
    report_path = workspace.root / finished["report"]
    folder = report_path.parent
    if not is_plain_path(finished["report"]):
        raise RecordError(
            f"report {finished['report']!r} is not a file of a pack", where=f"registry row {finished.seq}"
        )
    listed, _ = parse_manifest(read_regular(folder / MANIFEST))
    digests = {MANIFEST: finished["manifest_sha256"].removeprefix("sha256:"), **listed}
    try:
        return canonical_json(
            {
                "_type": STATEMENT_TYPE,
                "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(digests.items())],
                "predicateType": PREDICATE_TYPE,
                "predicate": _predicate(workspace, report_path, started, finished),
            }
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(
            f"the pack lacks what an attestation says: {error!r}", where=workspace.relative(folder), remedy=RESTORE
        ) from error


def _predicate(workspace: Workspace, report_path: Path, started: Mapping[str, str], finished: Row) -> dict[str, Any]:
    folder = report_path.parent
    names = (report_path.name, "environment.json", "freeze.json", "evidence.json")
    report, environment, freeze, evidence = (_read(folder / name) for name in names)
    return {
        "schema": 1,
        "stage": report["stage"],
        "decision_tag": report["decision_tag"],
        "pack": workspace.relative(folder),
        **{name: report[name] for name in _IDENTITY},
        "command": ["pytest", *report["inputs"]["options"]],
        "inputs": report["inputs"],
        "environment": {name: environment[name] for name in _ENVIRONMENT},
        "freeze": {**report["freeze"], **_pins(freeze)},
        "evidence": evidence,
        "verdict": report["verdict"],
        "overall_pass": report["overall_pass"],
        "times": {
            "started_utc": report["started_utc"],
            "finished_utc": report["finished_utc"],
            "recorded_utc": finished["utc"],
        },
        "registry": {"started": _place(started), "finished": _place(finished)},
    }


def _read(path: Path) -> Any:
    return load_json(read_regular(path), path.name)


def _pins(freeze: Mapping[str, Any]) -> dict[str, Any]:
    """What the freeze pins and the report's summary of it leaves out."""
    return {
        "tree_sha256": f"sha256:{freeze['code']['tree_sha256']}",
        "packages_sha256": f"sha256:{freeze['packages_sha256']}",
        "settings_sha256": freeze["settings_sha256"] and f"sha256:{freeze['settings_sha256']}",
        "inputs": {name: f"sha256:{entry['sha256']}" for name, entry in freeze["inputs"].items()},
        "as_of": freeze["as_of"],
        "seed": freeze["seed"],
    }


def _place(row: Mapping[str, str]) -> dict[str, str]:
    return {"seq": row["seq"], "row_hash": row["row_hash"]}


# --------------------------------------------------------------------------------------------------- attesting


def folder_of(workspace: Workspace) -> Path:
    """Where the attestations lie."""
    return workspace.gate_results / "attestations"


def path_of(workspace: Workspace, finished: Mapping[str, str]) -> Path:
    """Where the attestation of a finished run lies."""
    return folder_of(workspace) / f"{Path(finished['report']).parent.name}{SUFFIX}"


def attest_tag(
    workspace: Workspace, tag: str, stage: str | None = None, key_path: Path | None = None
) -> tuple[Attested, ...]:
    """Attest every official finished run of a tag, or of one stage of it; those attested before are left as they are.

    key_path: the signing key, by default the one that stagegate.toml names. SigningError, with nothing written, for a key that is missing, not
    pinned or readable by others, for a tag without such a run, and for a pack that does not hold.
    """
    rows = Registry(workspace.root).rows()
    started = Ledger.of(rows).started
    wanted = [row for row in official_runs(rows, check_tag(tag)) if stage in (None, row["stage"])]
    if not wanted:
        raise SigningError(
            f"tag {tag} has no official finished run{f' of {stage}' if stage else ''}",
            where="registry",
            remedy="see `stagegate status` for what it waits for",
        )
    return tuple(attest(workspace, started[row["run_id"]], row, key_path) for row in wanted)


def attest(workspace: Workspace, started: Mapping[str, str], finished: Row, key_path: Path | None = None) -> Attested:
    """Write the attestation of one finished run, or find that it is there and holds. Errors as `attest_tag`."""
    key = read_private_key(_signing_key_path(workspace, key_path))
    pinned = pinned_keys(workspace)
    _demand_pinned(key_id(key.public_key()), pinned)
    faults = row_faults(workspace, finished, started)
    if faults:
        raise SigningError(
            f"the pack does not hold, so nobody can vouch for it: {faults[0]}", where=finished["report"], remedy=RESTORE
        )
    statement, path = statement_of(workspace, started, finished), path_of(workspace, finished)
    with locked(folder_of(workspace) / ".lock"):
        made_now = not is_there(path)
        if made_now:
            replace(path, Envelope.sign(statement, key).to_bytes())
        objection = next(objections(path, statement, pinned), "")
    if objection:
        raise SigningError(f"there is another attestation: {objection}", where=workspace.relative(path), remedy=RESTORE)
    return Attested(finished["stage"], finished.seq, workspace.relative(path), made_now)


def attestation_lines(workspace: Workspace, started: Mapping[str, str], finished: Row) -> tuple[str, ...]:
    """Attest a run that has just been recorded, where the desk has a key; what the terminal says of it.

    The run stands as it is recorded, whatever becomes of its attestation.
    """
    if not workspace.settings.attestation.key or finished["official"] != "true":
        return ()
    try:
        attested = attest(workspace, started, finished)
    except (StageGateError, OSError) as error:
        return (f"attestation   NOT WRITTEN: {error}", f"to mend       stagegate attest {finished['decision_tag']}")
    return (f"attestation   {workspace.root / attested.path}",)


def demand_usable_key(workspace: Workspace) -> None:
    """Before a tag is spent: SigningError when the desk names a key that could not attest the run."""
    if workspace.settings.attestation.key:
        key = read_private_key(_signing_key_path(workspace, None))
        _demand_pinned(key_id(key.public_key()), pinned_keys(workspace))


def pinned_keys(workspace: Workspace) -> dict[str, Ed25519PublicKey]:
    """The public keys that stagegate.toml pins, by key id. SigningError when one cannot be read."""
    return read_public_keys(
        [workspace.root / Path(name).expanduser() for name in workspace.settings.attestation.public_keys]
    )


def _signing_key_path(workspace: Workspace, given: Path | None) -> Path:
    if given is not None:
        return given
    if not workspace.settings.attestation.key:
        raise SigningError(
            "no signing key is named",
            where="[attestation] of stagegate.toml",
            remedy="name one with --key, or settle it for the desk as docs/verification.md says",
        )
    return workspace.root / Path(workspace.settings.attestation.key).expanduser()


def _demand_pinned(keyid: str, pinned: Mapping[str, object]) -> None:
    if pinned and keyid not in pinned:
        raise SigningError(
            f"the signing key is {keyid[:16]}.., which is not among the {len(pinned)} pinned",
            where="[attestation] public_keys of stagegate.toml",
            remedy="use a pinned key, or pin this one's public half",
        )


# --------------------------------------------------------------------------------------------------- verifying


def official_runs(rows: Sequence[Row], tag: str | None) -> list[Row]:
    """FINISHED rows of official runs, of one tag or of all."""
    wanted = ("FINISHED", "true")
    return [row for row in rows if (row["event"], row["official"]) == wanted and tag in (None, row["decision_tag"])]


def attestation_findings(
    workspace: Workspace, rows: Sequence[Row], tag: str | None = None, key_paths: Sequence[Path] = ()
) -> Iterator[Finding]:
    """Attestations that are missing, that no pinned key vouches for, or that tell another story than pack and rows.

    key_paths: public keys to pin instead of those in stagegate.toml, which whoever writes the workspace chooses.
    """
    pinned = read_public_keys(key_paths) if key_paths else pinned_keys(workspace)
    started = Ledger.of(rows).started
    runs = official_runs(rows, tag)
    for row in runs:
        path = path_of(workspace, row)
        if is_there(path):
            for objection in _examined(workspace, started.get(row["run_id"], {}), row, pinned):
                yield Finding("tampered", objection, f"registry row {row.seq}, {workspace.relative(path)}", RESTORE)
        elif pinned:
            yield Finding(
                "tampered",
                "the run has no attestation although public keys are pinned",
                f"registry row {row.seq}, {workspace.relative(path)}",
                f"restore it from a backup, or run `stagegate attest {row['decision_tag']}`",
            )
    present = _present(workspace)
    if tag is None:
        for path in sorted(present - {path_of(workspace, row) for row in runs}):
            yield Finding("tampered", "this is the attestation of no recorded run", workspace.relative(path), RESTORE)
    if present and not pinned:
        yield Finding(
            "note",
            f"{len(present)} attestations lie here and no public key is pinned: their signatures were not checked",
            "[attestation] public_keys of stagegate.toml",
            "name a key with --public-key",
        )


def _present(workspace: Workspace) -> set[Path]:
    """Everything that lies among the attestations, but the lock and what a crash left half written."""
    folder = folder_of(workspace)
    return {path for path in folder.iterdir() if not path.name.startswith(".")} if is_there(folder) else set()


def _examined(
    workspace: Workspace, started: Mapping[str, str], finished: Row, pinned: Mapping[str, Ed25519PublicKey]
) -> Iterator[str]:
    """Objections to the attestation of a run; what cannot be read is one too."""
    try:
        yield from objections(path_of(workspace, finished), statement_of(workspace, started, finished), pinned)
    except StageGateError as error:
        yield f"{error.where}: {error.what}" if error.where else error.what


def objections(path: Path, statement: bytes, pinned: Mapping[str, Ed25519PublicKey]) -> Iterator[str]:
    """Why the envelope at `path` does not attest `statement`; nothing when it does. Signatures are asked for when keys are pinned.

    RecordError or SigningError when the file is no envelope.
    """
    envelope = Envelope.parse(read_regular(path, ENVELOPE_BYTES_LIMIT), path.name)
    unverified = envelope.why_unverified(pinned) if pinned else ""
    if unverified:
        yield unverified
    if envelope.payload != statement:
        yield f"it attests something else than pack and rows: {_first_difference(envelope.payload, statement, path.name)}"


def _first_difference(payload: bytes, statement: bytes, where: str) -> str:
    """The first place where a payload tells another story than the statement; `its spelling` when only that differs."""
    said, recorded = load_json(payload, where), load_json(statement, "the statement")
    place, attested, found = next(differences("", said, recorded), ("its spelling", "another", "canonical"))
    return f"{place} is {attested}, recorded {found}"
