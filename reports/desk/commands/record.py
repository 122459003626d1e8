"""Commands about the record itself: does it hold, close what a crash left, could a run start."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from reports.desk.command_line import REFUSED, REPOSITORY, Answer, CommandLine, printable, workspace_of

if TYPE_CHECKING:
    from reports.verification.verify import Verification


def add_commands(line: CommandLine) -> None:
    """verify, recover, preflight."""
    add_verify_options(
        line.add(
            "verify", verify, "does the record hold? 0 yes, 6 tampered, 7 recoverable, 8 a witness cannot be asked"
        )
    )
    line.add("recover", recover_record, "close what a crash left open; deletes nothing, infers no pass")
    line.add("preflight", run_preflight, "could a recorded run start here, now? Changes nothing").add_argument(
        "--tag", help="also check this tag's freeze and everything it pins"
    )


def add_verify_options(parser: argparse.ArgumentParser) -> None:
    """What verify is asked besides the whole record."""
    parser.add_argument("--tag", help="only what belongs to this tag (the chain is always verified)")
    parser.add_argument(
        "--public-key",
        type=Path,
        action="append",
        default=[],
        help="pin this key for attestations, not stagegate.toml's",
    )
    parser.add_argument(
        "--deep",
        action="store_true",
        help="execute every recorded run again with the frozen code and compare all figures",
    )
    parser.add_argument(
        "-n",
        dest="processes",
        type=int,
        choices=range(257),
        metavar="N",
        default=0,
        help="with --deep: workers of each stage (default: none)",
    )


def verify(arguments: argparse.Namespace) -> Answer:
    """Verify the record."""
    from functools import partial

    from reports.committee.signing import signoff_findings
    from reports.verification.attestation import attestation_findings
    from reports.verification.verify import verify_workspace

    workspace, tag = workspace_of(arguments), arguments.tag
    attested = partial(attestation_findings, tag=tag, key_paths=[path.expanduser() for path in arguments.public_key])
    found = verify_workspace(workspace, tag, checks=(partial(signoff_findings, tag=tag), attested))
    verdict = "valid" if found.exit_code == 0 else f"does not hold, exit {found.exit_code}"
    summary = f"{found.rows} rows, {found.packs} packs, head {found.head[:12] or 'unknown'}: {verdict}"
    lines = [*map(str, found.findings), summary]
    if not arguments.deep:
        return found.to_json(), lines, found.exit_code
    return executed_again(arguments, found, lines)


def executed_again(arguments: argparse.Namespace, found: Verification, lines: list[str]) -> Answer:
    """The verification with every recorded run executed again; a mismatch is graver than anything but tampering."""
    from reports.reexecution.deep_verify import deep_verify

    deep = deep_verify(
        workspace_of(arguments),
        REPOSITORY,
        arguments.tag,
        str(arguments.processes),
        lambda line: print(printable(line), file=sys.stderr, flush=True),
    )
    verdict = "every compared figure came out again" if deep.exit_code == 0 else f"{len(deep.mismatches)} mismatches"
    summary = f"{len(deep.repeated)} runs executed again: {verdict}"
    return (
        {**found.to_json(), "deep": deep.to_json()},
        [*lines, *deep.lines(), summary],
        deep.exit_code or found.exit_code,
    )


def recover_record(arguments: argparse.Namespace) -> Answer:
    """Close what a crash left."""
    from reports.verification.recover import recover

    found = recover(workspace_of(arguments))
    return (
        {"schema": 1, "actions": [asdict(action) for action in found.actions]},
        list(map(str, found.actions)) or ["nothing to recover"],
        0,
    )


def run_preflight(arguments: argparse.Namespace) -> Answer:
    """Ask every check of a recorded run."""
    from reports.criteria.freeze import Places
    from reports.run.preflight import preflight

    found = preflight(Places(workspace_of(arguments), REPOSITORY), arguments.tag)
    lines = [f"{'holds' if check.holds else 'FAILS'}  {check.name}: {check.found}" for check in found.checks]
    return found.to_json(), [*lines, *found.reasons], REFUSED if found.reasons else 0
