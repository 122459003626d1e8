"""Commands by which people decide: write a stage's packet, sign, revoke, attest."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from reports.desk.command_line import STAGE_CHOICES, Answer, CommandLine, place_of, workspace_of


def add_commands(line: CommandLine) -> None:
    """packet, sign, revoke, attest."""
    packet = line.add_tagged("packet", write_packet, "write the templates of what a person writes before a stage")
    packet.add_argument(
        "stage", metavar="STAGE", choices=STAGE_CHOICES, help="s0 to s4; s4 brings the deployment files too"
    )
    packet.add_argument(
        "--candidates",
        metavar="PATTERN",
        help="the packets of a batch, from one text: TAG is the prefix of its tags, PATTERN (quoted) names its candidate files",
    )
    sign = line.add_tagged("sign", sign_report, "sign the S3 report of a tag")
    sign.add_argument("--role", required=True, help="the function you sign for: risk, research, trading ...")
    sign.add_argument(
        "--key", required=True, type=Path, help="your OpenSSH private key, or the .pub of a key that ssh-agent holds"
    )
    revoke = line.add_tagged("revoke", revoke_tag, "withdraw a tag for good")
    revoke.add_argument("--reason", required=True, help="one sentence, for the record")
    attest = line.add_tagged("attest", attest_runs, "sign the packs of a tag's official runs as in-toto attestations")
    attest.add_argument("--stage", choices=STAGE_CHOICES, help="only this stage (default: every one that finished)")
    attest.add_argument(
        "--key", type=Path, help="Ed25519 private key in PEM (default: [attestation] of stagegate.toml)"
    )


def write_packet(arguments: argparse.Namespace) -> Answer:
    """Write a stage's templates."""
    from reports.deployment.templates import write_stage_files

    workspace = workspace_of(arguments)
    if arguments.candidates is not None:
        return _batch_packets(arguments)
    written = [workspace.relative(path) for path in write_stage_files(workspace, arguments.tag, arguments.stage)]
    options = " --candidate FILE --owner NAME" if arguments.stage == "s0" else ""
    command = f"pytest gates/{arguments.stage}{options} --decision-tag {arguments.tag}{place_of(arguments)}"
    lines = [
        *(f"written  {path}" for path in written),
        "now      write what they ask for; a run with unwritten parts is refused",
        f"next     {command}",
    ]
    return {"schema": 1, "written": written, "next_command": command}, lines, 0


def _batch_packets(arguments: argparse.Namespace) -> Answer:
    """Write the text of a batch, or from it the packets of its tags."""
    from reports.run.batch_packet import write_batch_packets

    workspace, tag, stage, pattern = workspace_of(arguments), arguments.tag, arguments.stage, arguments.candidates
    found = write_batch_packets(workspace, tag, stage, pattern, Path.cwd())
    place, quoted = place_of(arguments), shlex.quote(pattern)
    owner = " --owner NAME" if stage == "s0" else ""
    again = f"stagegate packet {tag} {stage} --candidates {quoted}{place}"
    run = f"pytest gates/{stage} --candidates {quoted} --decision-tag-prefix {tag}{owner}{place}"
    command = run if found.template is None else again
    written = [workspace.relative(path) for path in (found.template, *found.written) if path is not None]
    lines = [
        *(f"written  {path}" for path in written),
        *(f"kept     {workspace.relative(path)}" for path in found.kept),
        *([] if found.template is None else ["now      write its four parts, once for all candidates of the batch"]),
        f"next     {command}",
    ]
    return {"schema": 1, "written": written, "next_command": command}, lines, 0


def sign_report(arguments: argparse.Namespace) -> Answer:
    """Sign a tag's S3 report."""
    from reports.committee.signing import sign, signoff_of
    from reports.record.clock import utc_now

    workspace = workspace_of(arguments)
    print("ssh-keygen may ask for a passphrase, a PIN or a touch of your security key", file=sys.stderr)
    row = sign(workspace, arguments.tag, arguments.role, arguments.key.expanduser())
    signoff = signoff_of(workspace, arguments.tag, utc_now())
    lines = [
        f"signed    {row['report']} of {arguments.tag}",
        f"recorded  registry row {row.seq}, {row['detail']}",
        f"sign-off  {signoff.note}",
    ]
    return {"schema": 1, "row": dict(row), "sign_off": asdict(signoff)}, lines, 0


def revoke_tag(arguments: argparse.Namespace) -> Answer:
    """Withdraw a tag."""
    from reports.committee.signing import revoke

    row = revoke(workspace_of(arguments), arguments.tag, arguments.reason)
    return {"schema": 1, "row": dict(row)}, [f"revoked  {arguments.tag}, registry row {row.seq}, {row['detail']}"], 0


def attest_runs(arguments: argparse.Namespace) -> Answer:
    """Attest a tag's official runs."""
    from reports.verification.attestation import attest_tag

    key = arguments.key and arguments.key.expanduser()
    found = attest_tag(workspace_of(arguments), arguments.tag, arguments.stage, key)
    words = {True: "attested", False: "attested before"}
    lines = [
        f"{words[each.made_now]}  {each.stage} of {arguments.tag}, registry row {each.seq}: {each.path}"
        for each in found
    ]
    return {"schema": 1, "attestations": [asdict(each) for each in found]}, lines, 0
