"""Sign-offs with real keys, real ssh-keygen and a real registry: the honest count, each forgery is refused with its reason."""

from __future__ import annotations

import base64
import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engines.digest import sha256_bytes
from reports.committee import signing, sshsig
from reports.committee.allowed_signers import is_owner, parse_allowed_signers
from reports.committee.signing import SignOff
from reports.committee.statement import Statement, signatures_folder
from reports.record import host
from reports.record.clock import iso, utc_now
from reports.record.durable import make_directory
from reports.record.errors import RecordError, RequestRefused, SigningError
from reports.record.registry import Registry
from reports.record.workspace import Workspace
from tests.reports.recorded_tag import PASSING, cell, gate, new_workspace, record_passes, record_stage

pytestmark = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed (Debian: openssh-client)"
)

TAG = "mom-2026-01"
OWNER = "olga"
KINDS = {
    "alice@desk": "ed25519",
    "bob@desk": "ecdsa",
    "carol@desk": "ed25519",
    "dan@desk": "rsa",
    "olga@desk": "ed25519",
    "mallory": "ed25519",
}


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A throw-away private key for each name."""
    folder = tmp_path_factory.mktemp("keys")
    made = {}
    for name, kind in KINDS.items():
        made[name] = folder / name.partition("@")[0]
        command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", f"{name} (test only)", "-f", str(made[name])]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    return made


def public(key: Path) -> str:
    """Key type and key, as a line of allowed_signers has them."""
    return " ".join(key.with_name(f"{key.name}.pub").read_text(encoding="utf-8").split()[:2])


@dataclass(frozen=True)
class Desk:
    """A workspace whose tag passed S3, with a committee of four."""

    workspace: Workspace
    keys: dict[str, Path]

    def list(self, *lines: str) -> None:
        """Replace the committee's list; `{alice}` stands for Alice's key."""
        public_keys = {name.partition("@")[0]: public(key) for name, key in self.keys.items()}
        make_directory(self.workspace.allowed_signers.parent)
        self.workspace.allowed_signers.write_text(
            "".join(f"{line}\n" for line in lines).format(**public_keys), encoding="utf-8"
        )

    def sign(self, name: str, role: str = "risk") -> Any:
        return signing.sign(self.workspace, TAG, role, self.keys[name])

    def evaluate(self, required: int = 2) -> SignOff:
        registry = Registry(self.workspace.root)
        report = signing.report_to_sign(self.workspace, registry.rows(), TAG)
        return signing.evaluate_signoff(self.workspace, registry.rows(), report, required=required, at=utc_now())

    def statement(self, signer: str, **changes: Any) -> Statement:
        """What `signer` would state honestly, with changes."""
        rows = Registry(self.workspace.root).rows()
        report = signing.report_to_sign(self.workspace, rows, TAG)
        honest = Statement(
            schema=1,
            decision_tag=TAG,
            stage="s3",
            verdict="PASS",
            report=report.path,
            report_sha256=report.sha256,
            manifest_sha256=report.manifest_sha256,
            registry_seq=rows[-1].seq,
            registry_head=rows[-1].row_hash,
            role="risk",
            signer=signer,
            signed_utc=iso(utc_now()),
            allowed_signers_sha256=f"sha256:{'0' * 64}",
        )
        return dataclasses.replace(honest, **changes)

    def plant(self, principal: str, data: bytes, signature: bytes, *, role: str = "risk") -> None:
        """Put a signature and its SIGNED row on record without asking any of the rules of signing."""
        self.record(principal, data, signature, sshsig.parse_signature(signature).fingerprint, role)

    def record(self, principal: str, data: bytes, signature: bytes, fingerprint: str, role: str = "risk") -> None:
        """The same with a key of the forger's choice in the row."""
        self.drop(principal, data, signature)
        detail = {"role": role, "signer": principal, "key": fingerprint}
        detail |= {"statement": f"sha256:{sha256_bytes(data)}", "signature": f"sha256:{sha256_bytes(signature)}"}
        row = Registry(self.workspace.root).latest_finished(TAG, "s3")
        assert row is not None
        identity = {
            column: row[column]
            for column in ("stage", "decision_tag", "run_id", "candidate", "family", "owner", "official")
        }
        Registry(self.workspace.root).append(
            "SIGNED", {**identity, "detail": ";".join(f"{key}={value}" for key, value in detail.items())}
        )

    def drop(self, principal: str, data: bytes, signature: bytes) -> None:
        folder = signatures_folder(self.workspace, TAG)
        make_directory(folder)
        (folder / f"{principal}.json").write_bytes(data)
        (folder / f"{principal}.json.sig").write_bytes(signature)

    def forge(
        self, signer: str, key: str = "", *, namespace: str = "stagegate", file: str = "", **changes: Any
    ) -> None:
        """A statement of `signer`, changed, signed with `key`'s key, with its SIGNED row."""
        data = self.statement(signer, **changes).to_bytes()
        self.plant(file or signer, data, self.seal(key or signer, data, namespace))

    def seal(self, name: str, data: bytes, namespace: str = "stagegate") -> bytes:
        command = ["ssh-keygen", "-Y", "sign", "-f", str(self.keys[name]), "-n", namespace]
        return subprocess.run(command, input=data, capture_output=True, check=True, timeout=60).stdout


def copied(desk: Desk, root: Path) -> Desk:
    """The same desk at another place."""
    shutil.copytree(desk.workspace.root, root)
    return Desk(new_workspace(root), desk.keys)


@pytest.fixture(scope="session")
def passed(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, Path]) -> Desk:
    desk = Desk(new_workspace(tmp_path_factory.mktemp("passed") / "desk"), keys)
    record_passes(desk.workspace, TAG, owner=OWNER)
    desk.list(
        "# the committee",
        "",
        "alice@desk {alice} Alice, risk",
        "bob@desk {bob}",
        'carol@desk namespaces="stagegate",valid-after="20200101Z",valid-before="20990101Z" {carol}',
        "dan@desk {dan}",
        "olga@desk {olga}",
    )
    return desk


@pytest.fixture(scope="session")
def signed(passed: Desk, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = copied(passed, tmp_path_factory.mktemp("signed") / "desk")
    desk.sign("carol@desk")
    desk.sign("dan@desk")
    return desk


@pytest.fixture
def desk(passed: Desk, tmp_path: Path) -> Desk:
    """A desk of this test's own, where nobody has signed."""
    return copied(passed, tmp_path / "desk")


@pytest.fixture
def half_signed(signed: Desk, tmp_path: Path) -> Desk:
    """A desk of this test's own, where Carol and Dan have signed."""
    return copied(signed, tmp_path / "desk")


# ------------------------------------------------------------------------------------------------ the honest


def test_four_honest_signatures_count(desk: Desk) -> None:
    rows = [
        desk.sign(name, role)
        for name, role in (
            ("alice@desk", "risk"),
            ("bob@desk", "research"),
            ("carol@desk", "trading"),
            ("dan@desk", "it"),
        )
    ]
    signoff = desk.evaluate(required=3)
    assert [(found.signer, found.role) for found in signoff.valid] == [
        *(("alice@desk", "risk"), ("bob@desk", "research"), ("carol@desk", "trading"), ("dan@desk", "it")),
    ]
    assert signoff.refused == ()
    assert signoff.complete
    assert [row["event"] for row in rows] == ["SIGNED"] * 4
    assert tuple(signing.signoff_findings(desk.workspace, Registry(desk.workspace.root).rows())) == ()


def test_the_row_holds_the_hashes_of_both_files(desk: Desk) -> None:
    row = desk.sign("alice@desk")
    folder = signatures_folder(desk.workspace, TAG)
    listing = subprocess.run(
        ["sha256sum", "alice@desk.json", "alice@desk.json.sig"], cwd=folder, capture_output=True, check=True
    ).stdout
    assert row["manifest_sha256"] == f"sha256:{sha256_bytes(listing)}"
    assert f"statement=sha256:{listing.decode()[:64]}" in row["detail"]
    assert row["report"].endswith("production_gates_report.json")
    assert (row["candidate"], row["stage"], row["owner"]) == ("momentum-12-1", "s3", OWNER)


def test_a_quorum_short_of_one_is_not_complete(desk: Desk) -> None:
    desk.sign("alice@desk")
    signoff = signing.signoff_of(desk.workspace, TAG, utc_now())
    assert (len(signoff.valid), signoff.required, signoff.complete) == (1, 2, False)
    assert "1 of 2 required: alice@desk (risk)" in signoff.note


def test_an_absent_input_asks_for_one_signature_more(desk: Desk) -> None:
    gates = {
        **PASSING,
        "s3.risk_gate_size_corr_abs": gate(cell(None, outcome="absent")),
        "s3.other": gate(cell(None, outcome="absent")),
    }
    record_passes(desk.workspace, "absent-1", gates=gates)
    assert signing.signoff_of(desk.workspace, "absent-1", utc_now()).required == 3


def test_a_key_with_a_passphrase_is_named_without_it(desk: Desk, tmp_path: Path) -> None:
    key = tmp_path / "locked"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(key)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    listed = subprocess.run(
        ["ssh-keygen", "-l", "-f", f"{key}.pub"], check=True, capture_output=True, timeout=60
    ).stdout.decode()
    key.with_name("locked.pub").unlink()
    assert sshsig.key_fingerprint(key) in listed


def test_a_key_held_by_the_agent_signs_through_its_pub_file(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if shutil.which("ssh-agent") is None or shutil.which("ssh-add") is None:
        pytest.skip("ssh-agent is not installed (Debian: openssh-client)")
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE) as agent:
        assert agent.stdout is not None
        agent.stdout.readline()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        subprocess.run(["ssh-add", "-q", str(desk.keys["alice@desk"])], check=True, capture_output=True, timeout=60)
        only_public = shutil.copy(f"{desk.keys['alice@desk']}.pub", tmp_path / "only.pub")
        signing.sign(desk.workspace, TAG, "risk", Path(only_public))
        agent.terminate()
    assert [found.signer for found in desk.evaluate().valid] == ["alice@desk"]


def test_what_an_interrupted_signing_left_is_set_aside(desk: Desk) -> None:
    desk.drop("alice@desk", b"half a statement", b"")
    assert [file for file, _ in desk.evaluate().refused] == ["alice@desk.json", "alice@desk.json.sig"]
    desk.sign("alice@desk")
    aside = sorted((signatures_folder(desk.workspace, TAG) / "unrecorded").iterdir())
    assert sorted(path.read_bytes() for path in aside) == [b"", b"half a statement"]
    assert (len(desk.evaluate().valid), desk.evaluate().refused) == (1, ())


def test_of_signers_at_the_same_moment_each_counts_once(desk: Desk) -> None:
    names = ["alice@desk", "bob@desk", "carol@desk", "alice@desk", "bob@desk", "carol@desk"]

    def attempt(name: str) -> bool:
        try:
            desk.sign(name)
        except SigningError:
            return False
        return True

    with ThreadPoolExecutor(len(names)) as pool:
        recorded = list(pool.map(attempt, names))
    assert recorded.count(True) == 3
    signoff = desk.evaluate(required=3)
    assert sorted(found.signer for found in signoff.valid) == ["alice@desk", "bob@desk", "carol@desk"]
    assert signoff.refused == ()


# ------------------------------------------------------------------------------------------------ refused at the door


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises((SigningError, RequestRefused)) as caught:
        action()
    assert caught.value.remedy
    return str(caught.value)


def unrecorded(desk: Desk) -> bool:
    """Whether signing left neither a row nor a file."""
    rows = Registry(desk.workspace.root).rows()
    return all(row["event"] != "SIGNED" for row in rows) and not signatures_folder(desk.workspace, TAG).exists()


@pytest.mark.parametrize(
    ("name", "reason"), [("mallory", "no committee member's"), ("olga@desk", "olga@desk is the owner")]
)
def test_strangers_and_the_owner_are_refused(desk: Desk, name: str, reason: str) -> None:
    assert reason in refusal(lambda: desk.sign(name))
    assert unrecorded(desk)


def test_the_owners_key_under_another_name_is_refused(desk: Desk) -> None:
    desk.list("alice@desk {alice}", "independent@elsewhere {olga}", "olga@desk {olga}")
    assert "nobody signs off their own candidate" in refusal(lambda: desk.sign("olga@desk"))


def test_a_second_signature_of_one_person_is_refused(desk: Desk) -> None:
    desk.sign("alice@desk")
    assert "signed mom-2026-01 already" in refusal(lambda: desk.sign("alice@desk"))
    desk.list("alice@desk {alice}", "Alice+second@desk {bob}")
    assert "signed mom-2026-01 already" in refusal(lambda: desk.sign("bob@desk"))


def test_a_second_signature_of_one_key_is_refused(desk: Desk) -> None:
    desk.sign("alice@desk")
    desk.list("anna@desk {alice}", "alice@desk {alice}")
    assert "signed mom-2026-01 already" in refusal(lambda: desk.sign("alice@desk"))


def test_a_tag_without_an_official_pass_of_s3_is_refused(desk: Desk) -> None:
    record_passes(desk.workspace, "early", ("s0", "s1", "s2"))
    record_passes(desk.workspace, "failed", ("s0", "s1", "s2"))
    record_stage(desk.workspace, "failed", "s3", "FAIL", {"s3.net_sharpe": gate(cell(-0.1, outcome="failed"))})
    record_passes(desk.workspace, "laptop", ("s0", "s1", "s2"))
    record_stage(desk.workspace, "laptop", "s3", official=False)
    for tag, found in {
        "early": "no official run",
        "failed": "FAIL",
        "laptop": "no official run",
        "unknown": "no official run",
    }.items():
        assert found in refusal(lambda tag=tag: signing.sign(desk.workspace, tag, "risk", desk.keys["alice@desk"]))  # type: ignore[misc]
    assert "not a plain name" in refusal(lambda: signing.sign(desk.workspace, "../x", "risk", desk.keys["alice@desk"]))


def test_a_revoked_tag_is_refused(desk: Desk) -> None:
    row = signing.revoke(desk.workspace, TAG, "the vendor withdrew its volumes")
    assert (row["event"], row["detail"]) == ("REVOKED", "reason=the vendor withdrew its volumes")
    assert "was revoked" in refusal(lambda: desk.sign("alice@desk"))
    assert "was revoked" in refusal(lambda: signing.revoke(desk.workspace, TAG, "twice"))


@pytest.mark.parametrize("reason", ["", "  ", "x", "y" * 501])
def test_a_revocation_needs_a_reason(desk: Desk, reason: str) -> None:
    assert "reason" in refusal(lambda: signing.revoke(desk.workspace, TAG, reason))


def test_an_unknown_tag_cannot_be_revoked(desk: Desk) -> None:
    assert "not in the registry" in refusal(lambda: signing.revoke(desk.workspace, "unknown", "a good reason"))


def test_keys_that_cannot_sign_are_refused(desk: Desk, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"\x00\xff")
    assert "no key file" in refusal(lambda: signing.sign(desk.workspace, TAG, "risk", tmp_path / "nowhere"))
    assert "no key that ssh-keygen can read" in refusal(lambda: signing.sign(desk.workspace, TAG, "risk", garbage))
    only_public = shutil.copy(f"{desk.keys['alice@desk']}.pub", tmp_path / "only.pub")
    assert "could not sign" in refusal(lambda: signing.sign(desk.workspace, TAG, "risk", Path(only_public)))
    assert unrecorded(desk)


def test_without_ssh_keygen_the_packages_are_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.sign("alice@desk")
    monkeypatch.setattr(host, "SYSTEM_FOLDERS", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    message = refusal(lambda: desk.sign("bob@desk"))
    assert "openssh-client" in message
    assert "Homebrew openssh" in message
    assert "ssh-keygen is not installed" in desk.evaluate().refused[0][1]
    rows = Registry(desk.workspace.root).rows()
    assert [finding.kind for finding in signing.signoff_findings(desk.workspace, rows)] == ["unanchored"]


@pytest.mark.parametrize("role", ["", "risk;signer=bob", "a=b", "x" * 33, "ri\nsk"])
def test_a_role_is_a_plain_word(desk: Desk, role: str) -> None:
    assert "role" in refusal(lambda: desk.sign("alice@desk", role))


def test_a_report_that_was_changed_is_not_signed(desk: Desk) -> None:
    row = Registry(desk.workspace.root).latest_finished(TAG, "s3")
    assert row is not None
    path = desk.workspace.root / row["report"]
    path.write_bytes(path.read_bytes().replace(b"1.25", b"2.25"))
    assert "not the one that registry row" in refusal(lambda: desk.sign("alice@desk"))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("alice@desk", "expected a name"),
        ("alice@desk ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA", "cut short"),
        ("alice@desk ssh-rsa {alice_key}", "the line says ssh-rsa"),
        ("*@desk {alice}", "plain name of one person"),
        ("!bob@desk,alice@desk {alice}", "plain name of one person"),
        ("../../x {alice}", "plain name of one person"),
        ("alice@desk cert-authority {alice}", "certificate authority"),
        ('alice@desk valid-until="20270101" {alice}', "valid-until"),
        ('alice@desk valid-before="next year" {alice}', "valid-before"),
    ],
)
def test_a_malformed_list_names_its_line(desk: Desk, line: str, reason: str) -> None:
    key = public(desk.keys["alice@desk"])
    desk.sign("bob@desk")
    desk.list("# first", "bob@desk {bob}", line.replace("{alice_key}", key.split()[1]))
    message = refusal(lambda: desk.sign("alice@desk"))
    assert "line 3 is malformed" in message
    assert reason in message
    assert "line 3 is malformed" in desk.evaluate().refused[0][1]
    assert desk.evaluate().valid == ()


def test_a_list_that_is_not_text_names_its_line() -> None:
    with pytest.raises(SigningError, match="line 2 is malformed"):
        parse_allowed_signers(b"# fine\n\xff\xfe\n", "allowed_signers")


def test_a_missing_list_is_said(desk: Desk) -> None:
    desk.workspace.allowed_signers.unlink()
    assert "list of signers is missing" in refusal(lambda: desk.sign("alice@desk"))


def test_a_key_for_other_namespaces_is_refused(desk: Desk) -> None:
    desk.list('alice@desk namespaces="git,file" {alice}')
    assert "sign for git, file only" in refusal(lambda: desk.sign("alice@desk"))


@pytest.mark.parametrize(
    ("principal", "owner", "same"),
    [
        ("olga", "olga", True),
        ("olga@desk", "olga", True),
        ("OLGA@desk", "olga", True),
        ("olga@elsewhere", "olga@desk", True),
        ("olga+risk@desk", "olga", True),
        ("jane.doe@desk", "Jane Doe", True),
        ("olga2@desk", "olga", False),
        ("desk@olga", "olga", False),
    ],
)
def test_the_owner_is_known_by_the_local_part(principal: str, owner: str, same: bool) -> None:
    assert is_owner(principal, owner) is same


# ------------------------------------------------------------------------------------------------ forged on disk and in the registry


HONEST = ("carol@desk {carol}", "dan@desk {dan}")


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def change_file(suffix: str) -> Callable[[Desk], None]:
    def change(desk: Desk) -> None:
        desk.sign("alice@desk")
        path = signatures_folder(desk.workspace, TAG) / f"alice@desk{suffix}"
        path.write_bytes(flipped(path.read_bytes()))

    return change


def changed_and_recorded(desk: Desk) -> None:
    honest = desk.statement("alice@desk").to_bytes()
    desk.plant(
        "alice@desk", honest.replace(b'"role":"risk"', b'"role":"desk"'), desk.seal("alice@desk", honest), role="desk"
    )


def expired(desk: Desk) -> None:
    desk.list(*HONEST, 'alice@desk valid-before="20200101Z" {alice}')
    desk.forge("alice@desk")


def not_yet_valid(desk: Desk) -> None:
    desk.list(*HONEST, 'alice@desk valid-after="20990101Z" {alice}')
    desk.forge("alice@desk")


def one_key_two_names(desk: Desk) -> None:
    desk.list(*HONEST, "anna@desk {alice}", "alice@desk {alice}")
    desk.forge("anna@desk", "alice@desk")
    desk.forge("alice@desk", "alice@desk")


def one_person_two_keys(desk: Desk) -> None:
    desk.list(*HONEST, "alice@desk {alice}", "alice+2@desk {bob}")
    desk.forge("alice@desk")
    desk.forge("alice+2@desk", "bob@desk")


def owner_disguised(desk: Desk) -> None:
    desk.list(*HONEST, "olga@desk {olga}", "independent@elsewhere {olga}")
    desk.forge("independent@elsewhere", "olga@desk")


def without_row(desk: Desk) -> None:
    data = desk.statement("alice@desk").to_bytes()
    desk.drop("alice@desk", data, desk.seal("alice@desk", data))


def row_without_files(desk: Desk) -> None:
    desk.sign("alice@desk")
    for path in signatures_folder(desk.workspace, TAG).glob("alice@desk.*"):
        path.unlink()


def before_the_report(desk: Desk) -> None:
    rows = Registry(desk.workspace.root).rows()
    desk.forge("alice@desk", registry_seq=2, registry_head=rows[1].row_hash)


def linked(desk: Desk) -> None:
    desk.sign("alice@desk")
    path = signatures_folder(desk.workspace, TAG) / "alice@desk.json"
    path.rename(desk.workspace.root / "elsewhere.json")
    path.symlink_to(desk.workspace.root / "elsewhere.json")


def respelled(desk: Desk) -> None:
    data = desk.statement("alice@desk").to_bytes() + b"\n"
    desk.plant("alice@desk", data, desk.seal("alice@desk", data))


def duplicate_keys(desk: Desk) -> None:
    data = desk.statement("alice@desk").to_bytes().replace(b'"role":"risk"', b'"role":"risk","role":"risk"')
    desk.plant("alice@desk", data, desk.seal("alice@desk", data))


def other_reports_statement(desk: Desk) -> None:
    record_passes(desk.workspace, "other-tag")
    rows = Registry(desk.workspace.root).rows()
    other = signing.report_to_sign(desk.workspace, rows, "other-tag")
    desk.forge("alice@desk", report=other.path, report_sha256=other.sha256, manifest_sha256=other.manifest_sha256)


def of_an_unofficial_run(desk: Desk) -> None:
    """A signature over the report of the same tag's unofficial run, which names that report truthfully."""
    row = record_stage(desk.workspace, TAG, "s3", official=False, owner=OWNER)
    report = desk.workspace.root / row["report"]
    desk.forge(
        "alice@desk",
        report=row["report"],
        report_sha256=f"sha256:{sha256_bytes(report.read_bytes())}",
        manifest_sha256=row["manifest_sha256"],
    )


def moved_from_another_tag(desk: Desk) -> None:
    """An honest signature of another tag, filed and recorded under this one."""
    record_passes(desk.workspace, "other-tag", owner=OWNER)
    signing.sign(desk.workspace, "other-tag", "risk", desk.keys["alice@desk"])
    folder = signatures_folder(desk.workspace, "other-tag")
    desk.plant("alice@desk", *((folder / f"alice@desk{suffix}").read_bytes() for suffix in (".json", ".json.sig")))


def cut_short(desk: Desk) -> None:
    data = desk.statement("alice@desk").to_bytes()
    sealed = desk.seal("alice@desk", data)
    fingerprint = sshsig.parse_signature(sealed).fingerprint
    desk.record("alice@desk", data, sealed[: len(sealed) // 2], fingerprint)


def list_replaced(desk: Desk) -> None:
    """Alice signed another tag; then her line was given to Mallory's key, which signs as Alice."""
    record_passes(desk.workspace, "earlier-tag", owner=OWNER)
    signing.sign(desk.workspace, "earlier-tag", "risk", desk.keys["alice@desk"])
    desk.list(*HONEST, "alice@desk {mallory}")
    desk.forge("alice@desk", "mallory")


def key_revoked(desk: Desk) -> None:
    desk.list(*HONEST, "alice@desk {alice}")
    desk.sign("alice@desk")
    desk.workspace.revoked_keys.write_text(f"# stolen\n{public(desk.keys['alice@desk'])} laptop\n", encoding="utf-8")


def row_of_another_key(desk: Desk) -> None:
    data = desk.statement("alice@desk").to_bytes()
    desk.record("alice@desk", data, desk.seal("alice@desk", data), "SHA256:another")


FORGERIES: dict[str, tuple[Callable[[Desk], None], str]] = {
    "a stranger's key": (lambda desk: desk.forge("alice@desk", "mallory"), "stranger's"),
    "a stranger's name and key": (lambda desk: desk.forge("mallory"), "stranger's"),
    "the owner's own": (lambda desk: desk.forge("olga@desk"), "the owner's own"),
    "the owner's key under another name": (owner_disguised, "the owner's own"),
    "another member's key": (lambda desk: desk.forge("alice@desk", "bob@desk"), "the key is bob@desk's"),
    "another member's file": (lambda desk: desk.forge("alice@desk", file="bob@desk"), "the statement is of alice@desk"),
    "one key under two names": (one_key_two_names, "one key counts once"),
    "one person with two keys": (one_person_two_keys, "one person counts once"),
    "another tag": (lambda desk: desk.forge("alice@desk", decision_tag="other-tag"), "decision_tag is other-tag"),
    "another report": (other_reports_statement, "the statement's report is"),
    "another report's hash": (
        lambda desk: desk.forge("alice@desk", report_sha256=f"sha256:{'1' * 64}"),
        "report_sha256",
    ),
    "another pack": (lambda desk: desk.forge("alice@desk", manifest_sha256=f"sha256:{'1' * 64}"), "manifest_sha256"),
    "another stage": (lambda desk: desk.forge("alice@desk", stage="s2"), "stage is s2"),
    "a head older than the report": (before_the_report, "up to row 2"),
    "a head that never was": (lambda desk: desk.forge("alice@desk", registry_head="1" * 64), "registry_head"),
    "a head yet to come": (lambda desk: desk.forge("alice@desk", registry_seq=10_000), "registry_head"),
    "a statement changed by a byte": (change_file(".json"), "statement was changed"),
    "a signature changed by a byte": (change_file(".json.sig"), "signature was changed"),
    "a changed statement with its own row": (changed_and_recorded, "does not verify"),
    "made for git": (lambda desk: desk.forge("alice@desk", namespace="git"), "made for 'git'"),
    "an expired key": (expired, "key has expired"),
    "a key not yet valid": (not_yet_valid, "not yet valid"),
    "a file without its row": (without_row, "no SIGNED row"),
    "a row without its files": (row_without_files, "cannot read the file"),
    "a link": (linked, "cannot read the file"),
    "another spelling": (respelled, "not spelled as a statement"),
    "duplicate keys": (duplicate_keys, "duplicate key"),
    "a time long ago": (lambda desk: desk.forge("alice@desk", signed_utc="2020-01-01T00:00:00Z"), "signed_utc lies"),
    "a time that is none": (lambda desk: desk.forge("alice@desk", signed_utc="yesterday"), "signed_utc is yesterday"),
    "an unofficial run of the tag": (of_an_unofficial_run, "the statement's report is"),
    "an honest signature of another tag": (moved_from_another_tag, "decision_tag is other-tag"),
    "a signature cut short": (cut_short, "is not an OpenSSH signature"),
    "a replaced list": (list_replaced, "the committee's list was replaced"),
    "a revoked key": (key_revoked, "is among the revoked keys"),
    "another key in the row": (row_of_another_key, "the SIGNED row says SHA256:another"),
    "another role in the row": (lambda desk: desk.forge("alice@desk", role="head of risk"), "the SIGNED row risk"),
}


FIRST_COUNTS = {"one key under two names", "one person with two keys"}
"""Of these two signatures the first is honest."""


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_refused_with_its_reason(half_signed: Desk, name: str) -> None:
    forge, reason = FORGERIES[name]
    forge(half_signed)
    signoff = half_signed.evaluate()
    reasons = [why for _, why in signoff.refused]
    assert any(reason in why for why in reasons), reasons
    assert {"carol@desk", "dan@desk"} <= {found.signer for found in signoff.valid}
    assert len(signoff.valid) == 2 + (name in FIRST_COUNTS)
    workspace = half_signed.workspace
    findings = tuple(signing.signoff_findings(workspace, Registry(workspace.root).rows()))
    assert any(reason in finding.what for finding in findings)


def test_a_revoked_key_does_not_sign_and_a_malformed_list_of_them_counts_for_nothing(desk: Desk) -> None:
    desk.sign("bob@desk")
    key = public(desk.keys["alice@desk"])
    desk.workspace.revoked_keys.write_text(f"alice@desk {key}\n", encoding="utf-8")
    assert "among the revoked keys" in refusal(lambda: desk.sign("alice@desk"))
    assert len(desk.evaluate().valid) == 1
    for malformed in ("SSHKRL\n\x00", "ssh-ed25519", f"{key[:-20]}", f'cert-authority="x" {key}'):
        desk.workspace.revoked_keys.write_text(f"# withdrawn\n{malformed}\n", encoding="utf-8")
        assert "line 2 is malformed" in refusal(lambda: desk.sign("alice@desk"))
        assert desk.evaluate().valid == ()
        assert "line 2 is malformed" in desk.evaluate().refused[0][1]


def wire(*strings: bytes) -> bytes:
    return b"".join(len(text).to_bytes(4, "big") + text for text in strings)


def test_the_key_of_a_security_key_passes_through() -> None:
    """No hardware here: the list and the signature of one, by the formats of PROTOCOL.u2f and PROTOCOL.sshsig."""
    kind = b"sk-ssh-ed25519@openssh.com"
    blob = wire(kind, b"\x07" * 32, b"ssh:")
    line = f"alice@desk {kind.decode()} {base64.b64encode(blob).decode()}\n"
    (signer,) = parse_allowed_signers(line.encode(), "allowed_signers")
    signed = b"SSHSIG\x00\x00\x00\x01" + wire(
        blob, b"stagegate", b"", b"sha512", wire(kind, b"\x01" * 64) + b"\x01\0\0\0\x05"
    )
    text = base64.b64encode(signed).decode()
    body = "\n".join(text[start : start + 70] for start in range(0, len(text), 70))
    armoured = f"-----BEGIN SSH SIGNATURE-----\n{body}\n-----END SSH SIGNATURE-----\n".encode()
    parts = sshsig.parse_signature(armoured)
    assert (parts.fingerprint, parts.namespace) == (signer.fingerprint, "stagegate")
    listed = subprocess.run(
        ["ssh-keygen", "-l", "-f", "-"], input=line.partition(" ")[2].encode(), capture_output=True, check=True
    )
    assert signer.fingerprint.encode() in listed.stdout


def test_a_signature_made_after_the_moment_of_judgement_does_not_count(desk: Desk) -> None:
    desk.sign("alice@desk")
    earlier = utc_now() - timedelta(hours=1)
    signoff = signing.signoff_of(desk.workspace, TAG, earlier)
    assert signoff.valid == ()
    assert "after" in signoff.refused[0][1]


def test_revoking_the_tag_refuses_every_signature(desk: Desk) -> None:
    desk.sign("alice@desk")
    desk.sign("bob@desk")
    signing.revoke(desk.workspace, TAG, "the vendor withdrew its volumes")
    signoff = desk.evaluate()
    assert signoff.valid == ()
    assert "the tag was revoked: reason=the vendor" in signoff.refused[0][1]
    assert tuple(signing.signoff_findings(desk.workspace, Registry(desk.workspace.root).rows())) == ()


def test_a_report_changed_after_signing_counts_for_nothing(desk: Desk) -> None:
    desk.sign("alice@desk")
    row = Registry(desk.workspace.root).latest_finished(TAG, "s3")
    assert row is not None
    path = desk.workspace.root / row["report"]
    path.write_bytes(path.read_bytes().replace(b"1.25", b"2.25"))
    signoff = signing.signoff_of(desk.workspace, TAG, utc_now())
    assert signoff.valid == ()
    assert "not the one that registry row" in signoff.refused[0][1]


def test_a_linked_folder_counts_for_nothing(desk: Desk) -> None:
    desk.sign("alice@desk")
    folder = signatures_folder(desk.workspace, TAG)
    folder.rename(desk.workspace.root / "elsewhere")
    folder.symlink_to(desk.workspace.root / "elsewhere")
    assert desk.evaluate().valid == ()
    assert "a link stands" in desk.evaluate().refused[0][1]


def test_a_member_who_left_keeps_what_was_signed(desk: Desk) -> None:
    desk.sign("alice@desk")
    desk.list('alice@desk valid-before="20990101Z" {alice}')
    assert [found.signer for found in desk.evaluate().valid] == ["alice@desk"]


def test_an_independent_reader_accepts_signed_and_revoked_rows(desk: Desk) -> None:
    reader = Path(__file__).resolve().parents[3] / "shared" / "audit_check.py"
    if not reader.is_file():
        pytest.skip("the independent reader audit_check.py is not beside the repository")
    desk.sign("alice@desk")
    signing.revoke(desk.workspace, TAG, '=HYPERLINK("x") was in the data')
    done = subprocess.run(
        [sys.executable, str(reader), str(desk.workspace.root)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout


def test_a_broken_registry_counts_for_nothing(desk: Desk) -> None:
    desk.sign("alice@desk")
    raw = desk.workspace.registry.read_bytes()
    desk.workspace.registry.write_bytes(raw.replace(b"alice", b"alicf"))
    signoff = signing.signoff_of(desk.workspace, TAG, utc_now())
    assert signoff.valid == ()
    with pytest.raises(RecordError):
        desk.sign("bob@desk")
