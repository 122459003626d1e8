"""Every reader of a file that somebody else may have written: an honest file, what hypothesis makes of it, and the call that reads it."""

from __future__ import annotations

import gzip
import json
import subprocess
import tomllib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import strategies as st

from engines.candidate import NUMERIC_COLUMNS, REFERENCE_COLUMNS, load_candidate
from engines.errors import StageGateError
from engines.panel import contract_faults, read_header
from reports.committee.allowed_signers import is_owner, parse_allowed_signers, parse_revoked_keys, signer_of_key
from reports.committee.sshsig import parse_signature
from reports.committee.statement import Statement, absent_cells, parse_detail
from reports.criteria.freeze import Places, parse_freeze
from reports.criteria.policy import load_policy
from reports.criteria.stream import read_stream
from reports.criteria.verdict import read_json_report
from reports.deployment.readiness import deployment_note_faults, read_triggers, read_watchlist
from reports.deployment.templates import NOTES, ROLLBACK, WATCHLIST, figures_of
from reports.desk.explain import explain
from reports.desk.leaderboard import leaderboard
from reports.pack.packet import check_human_parts, complete
from reports.pack.stored_returns import read_daily_ic, read_out_of_sample
from reports.record.anchor import Head, witnesses
from reports.record.chain import read_chain
from reports.record.durable import load_json
from reports.record.ledger import Ledger, malformed
from reports.record.workspace import Workspace
from reports.verification.dsse import Envelope, read_public_keys
from reports.verification.pack_check import parse_manifest, row_faults
from reports.verification.report_check import contradictions
from tests.engines.price_files import candidate_over, load, prices
from tests.faults.every_byte import registry_bytes
from tests.faults.hostile import documents, json_text, lines_around, parquet_files, price_tables, toml_text
from tests.reports import frozen_candidate
from tests.reports.sample_record import begin, promote, report_of

DEMO: Final = Path(__file__).resolve().parents[2] / "fixtures" / "demo" / "candidate.toml"
TAG: Final = "momentum-01"


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader under fuzz. read(data, folder): reads `data` as a file of `folder`; raises StageGateError or nothing."""

    honest: bytes
    made_up: st.SearchStrategy[bytes]
    read: Callable[[bytes, Path], object]


def _toml(honest: str, read: Callable[[bytes, Path], object]) -> Reader:
    return Reader(honest.encode(), documents(tomllib.loads(honest), toml_text), read)


def _json(honest: Any, read: Callable[[bytes, Path], object], spell: Callable[[Any], str] = json_text) -> Reader:
    return Reader(spell(honest).encode(), documents(honest, spell), read)


def _text(honest: str, read: Callable[[bytes, Path], object]) -> Reader:
    return Reader(honest.encode(), lines_around(honest), read)


def _put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# ------------------------------------------------------------------------------------------------- what a person writes


def _candidate(data: bytes, folder: Path) -> None:
    load_candidate(_put(folder / "candidate.toml", data)).variants()


def _settings(data: bytes, folder: Path) -> None:
    _put(folder / "stagegate.toml", data)
    workspace = Workspace(folder)
    if workspace.settings_sha256:
        witnesses(workspace, {})


def _policy(data: bytes, folder: Path) -> None:
    load_policy(_put(folder / "policy.toml", data)).threshold_rows()


def _packet(data: bytes, _: Path) -> None:
    text = data.decode(errors="replace")
    check_human_parts(text, TAG, "s1")
    complete(text, ["## forged", "report.json sha256:00"], ["PASS"])


def _watchlist(data: bytes, folder: Path) -> None:
    _put(folder / WATCHLIST, data)
    read_watchlist(folder)


def _rollback(data: bytes, folder: Path) -> None:
    _put(folder / ROLLBACK, data)
    read_triggers(folder)


def _notes(data: bytes, folder: Path) -> None:
    workspace = Workspace(folder)
    _put(workspace.packet_dir(TAG) / NOTES, data)
    deployment_note_faults(workspace, TAG, "0" * 64)


# --------------------------------------------------------------------------------------------------------------- markets


def _prices(name: str, data: bytes, folder: Path) -> None:
    _put(folder / name, data)
    load(folder, path=name)


def _header(name: str, data: bytes, folder: Path) -> None:
    _put(folder / name, data)
    candidate = candidate_over(folder, path=name)
    contract_faults(candidate, read_header(candidate))


def _whole_and_header(name: str, data: bytes, folder: Path) -> None:
    """The whole file, and its first rows alone as S0 looks at them; refused when either is."""
    try:
        _prices(name, data, folder)
    finally:
        with suppress(StageGateError):
            _header(name, data, folder)


def _reference(data: bytes, folder: Path) -> None:
    """The bytes as each of the five tables in turn, beside an honest price file."""
    if not (folder / "prices.csv").exists():
        _put(folder / "prices.csv", PRICES)
    _put(folder / "table.csv", data)
    for name in REFERENCE_COLUMNS:
        try:
            load(folder, reference={name: "table.csv"})
        except StageGateError:
            continue


# ------------------------------------------------------------------------------------------------------------ the record


def _freeze(data: bytes, folder: Path) -> None:
    freeze = parse_freeze(data, "freeze")
    places = Places(Workspace(folder), folder)
    _ = (freeze.tag, freeze.owner, freeze.seed, freeze.code, freeze.variant_labels, freeze.candidate(places))
    freeze.summary("runs/freeze/x.freeze.json")
    for stage in ("s0", "s1", "s2", "s3", "s4"):
        freeze.expected(stage)


def _report(data: bytes, folder: Path) -> None:
    """As the record compares it, as `stagegate explain` shows it, and as signing and the templates of S4 read it."""
    if not (folder / "desk").exists():
        promote(begin(folder / "desk"), stages=("s0", "s1"))
    workspace = Workspace(folder / "desk")
    rows = read_chain(workspace.registry.read_bytes()).rows
    (workspace.root / rows[-1]["report"]).write_bytes(data)
    explain(workspace, rows, TAG)
    figures_of(workspace, rows, TAG)
    row_faults(workspace, rows[-1], rows[-2])
    report = load_json(data, "report")
    list(contradictions(report))
    absent_cells(report)


def _registry(data: bytes, _: Path) -> None:
    chain = read_chain(data)
    ledger = Ledger()
    for row in chain.completed_rows:
        malformed(row)
        ledger.objection(row)
        ledger.admit(row)
        parse_detail(row["detail"])
    leaderboard(chain.rows)


def _manifest(data: bytes, _: Path) -> None:
    parse_manifest(data)


def _stream(data: bytes, folder: Path) -> None:
    read_stream(_put(folder / "evidence_stream.jsonl", data))


def _pytest_report(data: bytes, folder: Path) -> None:
    read_json_report(_put(folder / "pytest_report.json", data))


def _returns(data: bytes, folder: Path) -> None:
    config = {"portfolio": {"horizon_days": 21, "short_fraction": 0.2}}
    other = _put(folder / "windows.csv", WINDOWS.encode())
    read_out_of_sample(_put(folder / "returns.csv", data), other, config)


def _windows(data: bytes, folder: Path) -> None:
    config = {"portfolio": {"horizon_days": 21, "short_fraction": 0.2}}
    other = _put(folder / "returns.csv", RETURNS.encode())
    read_out_of_sample(other, _put(folder / "windows.csv", data), config)


def _ic(data: bytes, folder: Path) -> None:
    read_daily_ic(_put(folder / "baseline_ic.csv", data), 21)


# ------------------------------------------------------------------------------------------------------------- who signed


def _signers(data: bytes, _: Path) -> None:
    for signer in parse_allowed_signers(data, "allowed_signers"):
        is_owner(signer.principal, "Desk Owner")
        _ = signer_of_key((signer,), signer.fingerprint, "key").may_sign_for_us


def _revoked(data: bytes, _: Path) -> None:
    parse_revoked_keys(data, "revoked_keys")


def _signature(data: bytes, _: Path) -> None:
    parse_signature(data)


def _statement(data: bytes, _: Path) -> None:
    Statement.parse(data, "statement")


def _envelope(data: bytes, _: Path) -> None:
    Envelope.parse(data, "attestation").why_unverified({})


def _public_key(data: bytes, folder: Path) -> None:
    read_public_keys([_put(folder / "key.pub.pem", data)])


def _head(data: bytes, _: Path) -> None:
    Head.from_bytes(data, "head")


# ----------------------------------------------------------------------------------------------------------- honest files

PRICES: Final = prices(4).to_csv(index=False).encode()
PRICE_COLUMNS: Final = ("date", "symbol", *NUMERIC_COLUMNS)
REGISTRY: Final = registry_bytes()
RETURNS: Final = (
    "date,row,window,shard,gross,spread_cost,impact_cost,borrow_cost,turnover,market,ic,net_ic_x1,net_ic_x1.5\n"
    "2020-01-02,300,0,wf-1,0.001,0.0001,0.0,0.0,0.3,0.002,0.01,0.01,0.009\n"
    "2020-01-03,301,0,wf-1,-0.002,0.0,0.0,1e-06,0.0,,,0.01,0.009\n"
)
WINDOWS: Final = (
    "window,shard,variant,train_first,train_last,test_first,test_last,train_start,train_stop,test_start,test_stop\n"
    "0,wf-1,lookback_days=252,2019-01-01,2019-11-01,2020-01-02,2020-01-03,0,250,300,302\n"
)
SETTINGS: Final = """\
[workstation]
min_cores = 8
min_memory_gb = 60.0
[committee]
allowed_signers = "docs/production_research/allowed_signers"
signatures_required = 2
[registry]
anchor = "git:refs/notes/stagegate"
state_dir = "/nowhere"
[attestation]
key = "/etc/attestation.pem"
public_keys = ["attestation.pub.pem"]
"""
PACKET: Final = f"""\
# {TAG} s1

## What changed

We measured it twice over ten years.

## Why

Winners of the past year keep winning.

## Expected impact and risk

Two per cent a year.

## Next action

Go on to s2.

## Evidence

## Outcome

<!-- written by the run -->
```
# text
```
"""
WATCH: Final = """\
schema = 1
[[metric]]
name = "net Sharpe"
source = "returns.csv"
frequency = "daily"
relation = ">="
bound = 0.5
unit = "1"
owner = "risk desk"
"""
TRIGGERS: Final = """\
schema = 1
[[trigger]]
name = "drawdown"
metric = "drawdown"
relation = ">"
bound = 0.3
severity = "hard"
action = "Close the book within the day and tell the risk desk."
[[trigger]]
name = "sharpe"
metric = "rolling_net_sharpe"
window_days = 63
relation = "<"
bound = -3.0
severity = "soft"
action = "Halve the book and look at the last trades."
"""
NOTE: Final = (
    f"# {TAG} deployment notes\n\n## Freeze\n\nsha256:{'0' * 64}\n\n## Rollout\n\nIn three steps over a month.\n"
)
STREAM: Final = "\n".join(
    json.dumps(event)
    for event in (
        {"event": "session", "workers": 2},
        {"event": "collected", "worker": "gw0", "nodes": ["gates/s0/test_a.py::test_b"]},
        {
            "event": "phase",
            "worker": "gw0",
            "node": "gates/s0/test_a.py::test_b",
            "when": "call",
            "outcome": "passed",
            "xfail": False,
            "message": "",
            "evidence": [
                {
                    "threshold": {"id": "s0.a", "relation": ">", "bound": 0.0, "unit": "1", "scale": 1.0},
                    "value": 1.0,
                    "n_obs": 3,
                    "note": "",
                    "interval": [0.5, 1.5],
                }
            ],
        },
        {"event": "worker_down", "worker": "gw0", "error": ""},
        {"event": "finished", "exit": 0},
    )
)


def _sealed(folder: Path) -> tuple[str, bytes]:
    """A public key of OpenSSH and a signature made with its private half."""
    key = folder / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    message = _put(folder / "statement", b"statement")
    subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-n", "stagegate", "-f", key, message], check=True, capture_output=True
    )
    return key.with_suffix(".pub").read_text().rsplit(" ", 1)[0], message.with_suffix(".sig").read_bytes()


def _honest_statement() -> dict[str, Any]:
    words = dict.fromkeys(("verdict", "report", "registry_head", "role", "signer", "allowed_signers_sha256"), "x")
    hashes = dict.fromkeys(("report_sha256", "manifest_sha256"), "sha256:" + "0" * 64)
    when = {"signed_utc": "2026-11-23T17:05:09Z", "registry_seq": 8}
    return asdict(Statement(schema=1, decision_tag=TAG, stage="s3", **words, **hashes, **when))  # type: ignore[arg-type]


def _canonical(value: Any) -> str:
    """The spelling of a statement, for values that have none too."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _parquet_bytes() -> bytes:
    buffer = BytesIO()
    prices(4).to_parquet(buffer, index=False)
    return buffer.getvalue()


def _freeze_json(folder: Path) -> Any:
    return json.loads(json.dumps(frozen_candidate.lay_out(folder / "frozen").record()))


def _report_json() -> Any:
    return json.loads(json.dumps(report_of(read_chain(REGISTRY).rows[0], "PASS")))


def readers(folder: Path) -> dict[str, Reader]:
    """Every reader by the name of its file; `folder` is for what must be made once."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    envelope = json.loads(Envelope.sign(b'{"_type": "x"}', key).to_bytes())
    ssh_key, signature = _sealed(folder)
    signers = f'# committee\nalice@desk valid-after="20260101Z" {ssh_key}\nbob@desk {ssh_key} comment\n'
    manifest = "".join(f"{number:064x}  {name}\n" for number, name in enumerate(("a.csv", "b/c.json", "run.log")))
    zipped = price_tables(PRICE_COLUMNS).map(partial(gzip.compress, compresslevel=1, mtime=0))
    caps = "date,symbol,market_cap,sector,close,reason,return\n2020-01-02,AAA,1e9,Tech,10,merger,-0.1\n2020-01-03,BBB,2e9,Oil,11,,\n"
    head = json.loads(Head("0" * 64, 3, "1" * 64, "/desk/gate_results/gate_registry.csv").to_bytes())
    return {
        "candidate.toml": _toml(DEMO.read_text(), _candidate),
        "stagegate.toml": _toml(SETTINGS, _settings),
        "policy.toml": _toml(frozen_candidate.POLICY, _policy),
        "csv": Reader(PRICES, price_tables(PRICE_COLUMNS), partial(_whole_and_header, "prices.csv")),
        "csv.gz": Reader(gzip.compress(PRICES), zipped, partial(_whole_and_header, "prices.csv.gz")),
        "parquet": Reader(_parquet_bytes(), parquet_files(PRICE_COLUMNS), partial(_whole_and_header, "prices.parquet")),
        "reference tables": Reader(caps.encode(), price_tables(tuple(caps.split("\n")[0].split(","))), _reference),
        "freeze": _json(_freeze_json(folder), _freeze),
        "report": _json(_report_json(), _report),
        "registry": Reader(REGISTRY, lines_around(REGISTRY.decode()), _registry),
        "MANIFEST": _text(manifest, _manifest),
        "allowed_signers": _text(signers, _signers),
        "revoked_keys": _text(f"# left\n{ssh_key} bob\n", _revoked),
        "signature": _text(signature.decode(), _signature),
        "statement": _json(_honest_statement(), _statement, _canonical),
        "attestation": _json(envelope, _envelope),
        "attestation key": _text(public.decode(), _public_key),
        "head of an anchor": _json(head, _head),
        "watchlist.toml": _toml(WATCH, _watchlist),
        "rollback_triggers.toml": _toml(TRIGGERS, _rollback),
        "deployment notes": _text(NOTE, _notes),
        "packet": _text(PACKET, _packet),
        "evidence stream": _text(STREAM, _stream),
        "pytest report": _json({"exitcode": 0, "tests": [{"nodeid": "x"}], "summary": {"total": 1}}, _pytest_report),
        "returns.csv": _text(RETURNS, _returns),
        "windows.csv": _text(WINDOWS, _windows),
        "baseline_ic.csv": _text("date,ic\n2020-01-02,0.01\n2020-01-03,\n", _ic),
    }
