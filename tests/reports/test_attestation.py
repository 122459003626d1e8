"""Attestations: what a key vouches for is checked against pack and rows, and every forgery is refused with its reason."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.digest import canonical_json, sha256_bytes, sha256_file
from reports.desk import cli
from reports.record.durable import dump_json
from reports.record.errors import RequestRefused, SigningError
from reports.record.registry import Registry, Row
from reports.record.workspace import Workspace
from reports.verification.attestation import (
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    attest_tag,
    attestation_findings,
    attestation_lines,
    demand_usable_key,
    folder_of,
    path_of,
)
from reports.verification.dsse import Envelope, key_id, pre_authentication_encoding, read_private_key
from tests.reports.attested_record import CELL, TAG, run_stage, write_key
from tests.reports.sample_record import begin

NO_LIBRARY = "securesystemslib, another implementation of DSSE, is not installed"
AUDITOR = Path(__file__).resolve().parents[3] / "shared" / "audit_check.py"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The desk's key and a stranger's."""
    folder = tmp_path_factory.mktemp("keys")
    return {name: write_key(folder / f"{name}.pem", Ed25519PrivateKey.generate()) for name in ("desk", "stranger")}


def settings_of(keys: dict[str, Path]) -> str:
    return f'[attestation]\nkey = "{keys["desk"]}"\npublic_keys = ["{keys["desk"].with_suffix(".pub.pem")}"]\n'


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, Path]) -> Workspace:
    """A tag that passed two stages, both attested."""
    desk = begin(tmp_path_factory.mktemp("original") / "desk", settings_of(keys))
    run_stage(desk, "s0")
    run_stage(desk, "s1")
    attest_tag(desk, TAG)
    return desk


@pytest.fixture
def workspace(original: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(original.root, tmp_path / "desk")
    return Workspace(tmp_path / "desk")


def finished(workspace: Workspace, stage: str = "s1") -> Row:
    found = Registry(workspace.root).latest_finished(TAG, stage)
    assert found is not None
    return found


def attested(workspace: Workspace, stage: str = "s1") -> Path:
    return path_of(workspace, finished(workspace, stage))


def complaints(workspace: Workspace, tag: str | None = None) -> list[str]:
    """What verification finds wrong; notes are no complaints."""
    found = attestation_findings(workspace, Registry(workspace.root).rows(), tag)
    return [str(finding) for finding in found if finding.kind != "note"]


def test_the_encoding_that_is_signed_is_that_of_the_specification() -> None:
    assert pre_authentication_encoding("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@given(st.text(), st.binary())
def test_the_encoding_is_that_of_another_implementation(payload_type: str, payload: bytes) -> None:
    library = pytest.importorskip("securesystemslib.dsse", reason=NO_LIBRARY)
    assert pre_authentication_encoding(payload_type, payload) == library.Envelope(payload, payload_type, {}).pae()


def test_another_implementation_verifies_the_envelope(original: Workspace, keys: dict[str, Path]) -> None:
    library = pytest.importorskip("securesystemslib.dsse", reason=NO_LIBRARY)
    signer = pytest.importorskip("securesystemslib.signer", reason=NO_LIBRARY)
    public = read_private_key(keys["desk"]).public_key()
    envelope = library.Envelope.from_dict(json.loads(attested(original).read_bytes()))
    assert list(envelope.verify([signer.SSlibKey.from_crypto(public, key_id(public))], 1)) == [key_id(public)]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_verifies_the_signature_and_names_the_key(
    original: Workspace, keys: dict[str, Path], tmp_path: Path
) -> None:
    envelope, public = Envelope.parse(attested(original).read_bytes(), ""), keys["desk"].with_suffix(".pub.pem")
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", public, "-outform", "DER"], check=True, capture_output=True
    ).stdout
    assert envelope.keyid == sha256_bytes(der)
    signed, signature = tmp_path / "signed", tmp_path / "signature"
    signed.write_bytes(b"DSSEv1 28 application/vnd.in-toto+json %d " % len(envelope.payload) + envelope.payload)
    signature.write_bytes(envelope.signature)
    command = [
        "openssl",
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        public,
        "-rawin",
        "-in",
        signed,
        "-sigfile",
        signature,
    ]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_the_statement_names_every_file_and_what_was_run(original: Workspace) -> None:
    row = finished(original)
    statement = json.loads(Envelope.parse(attested(original).read_bytes(), "").payload)
    assert (statement["_type"], statement["predicateType"]) == (STATEMENT_TYPE, PREDICATE_TYPE)
    pack = (original.root / row["report"]).parent
    subjects = {entry["name"]: entry["digest"]["sha256"] for entry in statement["subject"]}
    assert subjects == {path.name: sha256_file(path) for path in pack.iterdir()}
    predicate = statement["predicate"]
    assert predicate["command"] == ["pytest", "gates/s1", "--decision-tag", TAG]
    assert predicate["evidence"] == [CELL]
    assert predicate["registry"]["finished"] == {"seq": row["seq"], "row_hash": row.row_hash}
    assert {"verdict": "PASS", "overall_pass": True}.items() <= predicate.items()
    assert {"config_sha256", "data_sha256", "git_commit", "tree_sha256"} <= predicate["freeze"].keys()
    assert {"started_utc", "finished_utc", "recorded_utc"} == predicate["times"].keys()


def test_honest_attestations_hold_and_an_auditor_still_accepts_the_workspace(workspace: Workspace) -> None:
    assert complaints(workspace) == []
    if not AUDITOR.is_file():
        pytest.skip("the auditor's own reader lies outside of this repository")
    assert subprocess.run(["python3", str(AUDITOR), str(workspace.root)], check=False).returncode == 0


def test_attesting_again_changes_nothing(workspace: Workspace) -> None:
    before = attested(workspace).read_bytes()
    assert [each.made_now for each in attest_tag(workspace, TAG)] == [False, False]
    attested(workspace).unlink()
    assert [each.made_now for each in attest_tag(workspace, TAG)] == [False, True]
    assert attested(workspace).read_bytes() == before


Forgery = Callable[[Workspace, dict[str, Path]], object]


def edited(workspace: Workspace, change: Callable[[dict[str, Any]], object], key: Path | None = None) -> None:
    """Change the statement of s1; sign it again when a key is given."""
    envelope = Envelope.parse(attested(workspace).read_bytes(), "")
    statement = json.loads(envelope.payload)
    change(statement)
    payload = canonical_json(statement)
    forged = Envelope.sign(payload, read_private_key(key)) if key else changed(envelope, payload=payload)
    attested(workspace).write_bytes(forged.to_bytes())


def rewritten(workspace: Workspace, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the envelope of s1 and spell it as it should be."""
    record = json.loads(attested(workspace).read_bytes())
    change(record)
    attested(workspace).write_bytes(dump_json(record))


def set_verdict(statement: dict[str, Any]) -> None:
    statement["predicate"]["verdict"] = "FAIL"


def set_evidence(statement: dict[str, Any]) -> None:
    statement["predicate"]["evidence"][0]["measured"] = 2.5000000000000004


def drop_subject(statement: dict[str, Any]) -> None:
    statement["subject"].pop()


def sign_without_encoding(workspace: Workspace, keys: dict[str, Path]) -> None:
    envelope = Envelope.parse(attested(workspace).read_bytes(), "")
    raw = read_private_key(keys["desk"]).sign(envelope.payload)
    attested(workspace).write_bytes(changed(envelope, signature=raw).to_bytes())


def sign_as_another(workspace: Workspace, keys: dict[str, Path]) -> None:
    envelope = Envelope.parse(attested(workspace).read_bytes(), "")
    forged = Envelope.sign(envelope.payload, read_private_key(keys["stranger"]))
    attested(workspace).write_bytes(changed(forged, keyid=envelope.keyid).to_bytes())


def add_the_group_order(workspace: Workspace, _: dict[str, Path]) -> None:
    """The other S of an Ed25519 signature, which a lax verifier takes."""
    envelope = Envelope.parse(attested(workspace).read_bytes(), "")
    order = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(envelope.signature[32:], "little") + order
    malleable = envelope.signature[:32] + scalar.to_bytes(32, "little")
    attested(workspace).write_bytes(changed(envelope, signature=malleable).to_bytes())


def link_elsewhere(workspace: Workspace, _: dict[str, Path]) -> None:
    path = attested(workspace)
    path.rename(workspace.root / "elsewhere")
    path.symlink_to(workspace.root / "elsewhere")


def spell_otherwise(workspace: Workspace, _: dict[str, Path]) -> None:
    attested(workspace).write_bytes(json.dumps(json.loads(attested(workspace).read_bytes())).encode())


def duplicate_key(workspace: Workspace, _: dict[str, Path]) -> None:
    data = attested(workspace).read_bytes()
    attested(workspace).write_bytes(data.replace(b"{\n", b'{\n "payload": "",\n', 1))


FORGERIES: dict[str, tuple[Forgery, str]] = {
    "verdict edited": (lambda desk, keys: edited(desk, set_verdict), "the signature is not one of key"),
    "verdict edited, signed by a stranger": (lambda desk, keys: edited(desk, set_verdict, keys["stranger"]), "not pinned"),
    "verdict edited, signed by the desk": (lambda desk, keys: edited(desk, set_verdict, keys["desk"]), 'predicate.verdict is "FAIL", recorded "PASS"'),
    "one bit of evidence, signed by the desk": (lambda desk, keys: edited(desk, set_evidence, keys["desk"]), "predicate.evidence[0].measured"),
    "a file left out, signed by the desk": (lambda desk, keys: edited(desk, drop_subject, keys["desk"]), "subject is"),
    "older statement type, signed by the desk": (
        lambda desk, keys: edited(desk, lambda it: it.update(_type="https://in-toto.io/Statement/v0.1"), keys["desk"]),
        "_type is",
    ),
    "honest statement, signed by a stranger": (lambda desk, keys: edited(desk, lambda _: None, keys["stranger"]), "not pinned"),
    "stranger's signature under the desk's key id": (sign_as_another, "the signature is not one of key"),
    "signed without the encoding": (sign_without_encoding, "the signature is not one of key"),
    "the other root of the signature": (add_the_group_order, "the signature is not one of key"),
    "attestation of another pack": (lambda desk, keys: shutil.copyfile(attested(desk, "s0"), attested(desk)), "it attests something else"),
    "payload type changed": (lambda desk, keys: rewritten(desk, lambda it: it.update(payloadType="text/plain")), "is not spelled"),
    "further field": (lambda desk, keys: rewritten(desk, lambda it: it.update(note="trust me")), "is not spelled"),
    "two signatures": (lambda desk, keys: rewritten(desk, lambda it: it["signatures"].append(it["signatures"][0])), "no envelope with one"),
    "no signature": (lambda desk, keys: rewritten(desk, lambda it: it.update(signatures=[])), "no envelope with one"),
    "half a character as key id": (lambda desk, keys: attested(desk).write_bytes(b'{"payload": "", "payloadType": "", "signatures": [{"keyid": "\\ud800", "sig": ""}]}'), "no envelope with one"),
    "payload that is no JSON": (lambda desk, keys: attested(desk).write_bytes(Envelope.sign(b"PASS", read_private_key(keys["desk"])).to_bytes()), "is not JSON of record"),
    "spelled otherwise": (spell_otherwise, "is not spelled"),
    "duplicate key": (duplicate_key, "duplicate key"),
    "empty file": (lambda desk, keys: attested(desk).write_bytes(b""), "is not JSON of record"),
    "missing": (lambda desk, keys: attested(desk).unlink(), "has no attestation although public keys are pinned"),
    "a link": (link_elsewhere, "cannot read the file"),
    "attestation of no run": (lambda desk, keys: shutil.copyfile(attested(desk), folder_of(desk) / "production_gates_20261123T180000Z.dsse.json"), "attestation of no recorded run"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_attestation_is_found(workspace: Workspace, keys: dict[str, Path], name: str) -> None:
    forge, reason = FORGERIES[name]
    forge(workspace, keys)
    found = complaints(workspace)
    assert any(reason in line for line in found), found
    assert all(line.startswith("tampered:") for line in found)


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
@settings(max_examples=100)
def test_every_bit_of_the_file_matters(workspace: Workspace, original: Workspace, place: int, bit: int) -> None:
    data = bytearray(attested(original).read_bytes())
    data[place % len(data)] ^= 1 << bit
    attested(workspace).write_bytes(data)
    assert len(complaints(workspace)) >= 1


def test_a_pack_that_changed_after_it_was_attested_is_found(workspace: Workspace) -> None:
    (evidence,) = (workspace.root / finished(workspace)["report"]).parent.glob("evidence.json")
    evidence.write_bytes(dump_json([{**CELL, "measured": 9.9}]))
    assert ["predicate.evidence[0].measured is 2.5, recorded 9.9" in line for line in complaints(workspace)] == [True]


def test_a_chain_rebuilt_around_the_row_is_found(workspace: Workspace) -> None:
    rows = Registry(workspace.root).rows()
    last = changed(rows[-1], cells=(*rows[-1].cells[:-1], "0" * 64))
    found = [str(finding) for finding in attestation_findings(workspace, (*rows[:-1], last))]
    assert ["predicate.registry.finished.row_hash" in line for line in found] == [True]


def test_only_the_tag_that_was_asked_for_is_examined(workspace: Workspace) -> None:
    attested(workspace).write_bytes(b"")
    assert complaints(workspace, "another-tag") == []
    assert len(complaints(workspace, TAG)) == 1


def test_without_pinned_keys_the_story_is_still_compared(workspace: Workspace, keys: dict[str, Path]) -> None:
    begin(workspace.root)
    rows = Registry(workspace.root).rows()
    assert [finding.kind for finding in attestation_findings(workspace, rows)] == ["note"]
    edited(workspace, set_verdict, keys["stranger"])
    assert [finding.kind for finding in attestation_findings(workspace, rows)] == ["tampered", "note"]


def test_an_auditor_pins_a_key_of_their_own(workspace: Workspace, keys: dict[str, Path]) -> None:
    edited(workspace, lambda _: None, keys["stranger"])
    begin(workspace.root, settings_of({"desk": keys["stranger"]}))
    assert "which is not pinned" in complaints(workspace)[0]
    rows, own = Registry(workspace.root).rows(), keys["desk"].with_suffix(".pub.pem")
    where = [finding.where for finding in attestation_findings(workspace, rows, key_paths=[own])]
    assert where == [f"registry row 4, {workspace.relative(attested(workspace))}"]


def test_keys_are_rotated_by_pinning_both(workspace: Workspace, keys: dict[str, Path]) -> None:
    both = ", ".join(f'"{path.with_suffix(".pub.pem")}"' for path in keys.values())
    begin(workspace.root, f'[attestation]\nkey = "{keys["stranger"]}"\npublic_keys = [{both}]\n')
    run_stage(Workspace(workspace.root), "s2")
    assert [each.made_now for each in attest_tag(Workspace(workspace.root), TAG)] == [False, False, True]
    assert complaints(Workspace(workspace.root)) == []


BAD_KEYS: dict[str, tuple[Callable[[Path], object], str]] = {
    "readable by the group": (lambda path: path.chmod(0o640), "can be read by other accounts: its mode is 640"),
    "readable by all": (lambda path: path.chmod(0o604), "can be read by other accounts: its mode is 604"),
    "missing": (lambda path: path.unlink(), "cannot read the signing key"),
    "another curve": (lambda path: write_key(path, generate_private_key(SECP256R1())), "expected Ed25519"),
    "behind a passphrase": (lambda path: write_key(path, Ed25519PrivateKey.generate(), b"secret"), "without a passphrase"),
    "no key": (lambda path: path.write_bytes(b"secret"), "no private key in PEM"),
    "not pinned": (lambda path: write_key(path, Ed25519PrivateKey.generate()), "not among the 1 pinned"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_key_that_cannot_vouch_is_refused_and_nothing_is_written(
    workspace: Workspace, keys: dict[str, Path], tmp_path: Path, name: str
) -> None:
    spoil, reason = BAD_KEYS[name]
    key = tmp_path / "own.pem"
    shutil.copy(keys["desk"], key)
    public = keys["desk"].with_suffix(".pub.pem")
    begin(workspace.root, f'[attestation]\nkey = "{key}"\npublic_keys = ["{public}"]\n')
    demand_usable_key(workspace)
    spoil(key)
    attested(workspace).unlink()
    for refused in (lambda: demand_usable_key(workspace), lambda: attest_tag(workspace, TAG, "s1")):
        with pytest.raises(Exception, match=reason):
            refused()
    assert not attested(workspace).exists()
    (line, mend) = attestation_lines(workspace, Registry(workspace.root).rows()[2], finished(workspace))
    assert "NOT WRITTEN" in line
    assert mend.endswith(f"stagegate attest {TAG}")


def test_settings_that_nobody_could_check_are_refused(tmp_path: Path, keys: dict[str, Path]) -> None:
    desk = begin(tmp_path / "desk", f'[attestation]\nkey = "{keys["desk"]}"\n')
    with pytest.raises(RequestRefused, match="nobody could check"):
        demand_usable_key(desk)


def test_a_pack_that_does_not_hold_is_not_attested(workspace: Workspace) -> None:
    attested(workspace).unlink()
    (workspace.root / finished(workspace)["report"]).parent.joinpath("run.log").write_bytes(b"edited\n")
    with pytest.raises(SigningError, match=r"run\.log was changed"):
        attest_tag(workspace, TAG, "s1")
    assert not attested(workspace).exists()


def test_another_attestation_is_never_overwritten(workspace: Workspace, keys: dict[str, Path]) -> None:
    edited(workspace, set_verdict, keys["desk"])
    before = attested(workspace).read_bytes()
    with pytest.raises(SigningError, match="there is another attestation"):
        attest_tag(workspace, TAG)
    assert attested(workspace).read_bytes() == before


def test_a_run_that_promotes_nothing_is_not_attested(workspace: Workspace) -> None:
    row = run_stage(workspace, "s2", official=False)
    assert attestation_lines(workspace, {}, row) == ()
    assert complaints(workspace) == []
    with pytest.raises(SigningError, match="no official finished run of s2"):
        attest_tag(workspace, TAG, "s2")


def test_a_run_is_attested_when_it_is_recorded(workspace: Workspace) -> None:
    row = run_stage(workspace, "s2", verdict="FAIL")
    assert len(complaints(workspace)) == 1
    (line,) = attestation_lines(workspace, Registry(workspace.root).rows()[4], row)
    assert line.endswith(str(path_of(workspace, row)))
    assert complaints(workspace) == []


def test_the_commands_say_what_they_did(
    workspace: Workspace, keys: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--workspace", str(workspace.root)]
    attested(workspace).unlink()
    assert cli.main(["verify", *place]) == 6
    assert cli.main(["attest", TAG, "--stage", "s1", *place]) == 0
    assert "attested  s1 of momentum-01, registry row 4" in capsys.readouterr().out
    assert cli.main(["verify", *place]) == 0
    assert cli.main(["attest", TAG, "--key", str(keys["stranger"]), *place]) == 4
    assert cli.main(["verify", "--public-key", str(keys["stranger"].with_suffix(".pub.pem")), *place]) == 6
    assert "Traceback" not in capsys.readouterr().err
