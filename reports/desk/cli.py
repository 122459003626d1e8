"""The stagegate command: everything that is not a test run.

    stagegate status                            where every tag stands, what it waits for, what to type next
    stagegate packet TAG STAGE                  templates of what a person writes before a stage
    stagegate sign TAG --role R --key K         sign the S3 report of a tag
    stagegate revoke TAG --reason TEXT          withdraw a tag for good
    stagegate attest TAG [--stage S]            sign the packs of a tag's official runs as attestations
    stagegate verify [--tag TAG] [--deep]       does the record hold? 0 yes, 6 tampered, 7 recoverable, 8 a witness cannot be asked
    stagegate recover                           close what a crash left open
    stagegate explain TAG                       stage by stage, what failed and by how much
    stagegate leaderboard [--stage S]           tags by the margin of their weakest hard gate
    stagegate preflight [--tag TAG]             could a recorded run start here, now?

Each command translates its arguments to one function of the record and prints the answer, as text or with --json as one JSON document. Exit
status: 0, 4 when refused, and those of verify. Imports wait until a command needs them, so that --help and status answer at once.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from engines.errors import StageGateError

if TYPE_CHECKING:
    from reports.desk.explain import CellAccount, StageAccount
    from reports.desk.standing import Placing, TagStanding
    from reports.record.workspace import Workspace
    from reports.verification.verify import Verification

REFUSED: Final = 4
REPOSITORY: Final = Path(__file__).resolve().parents[2]
STAGE_CHOICES: Final = ("s0", "s1", "s2", "s3", "s4")

Answer = tuple[Any, Iterable[str], int]
"""What a command found: for --json, as lines of text, and the exit status."""

Command = Callable[[argparse.Namespace], Answer]


class Parser(argparse.ArgumentParser):
    """A parser whose errors are refusals, as everywhere in this project."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line and leave with the exit status of a refusal."""
        self.print_usage(sys.stderr)
        self.exit(REFUSED, f"refused: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. A person's mistake is a message, never a traceback."""
    arguments = build_parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found, lines, status = arguments.command(arguments)
            text = (
                json.dumps(found, indent=1, ensure_ascii=False) if arguments.json else "\n".join(map(printable, lines))
            )
    except (StageGateError, OSError) as error:
        return refuse(error, as_json=arguments.json)
    for warning in caught:
        print(f"warning: {printable(str(warning.message))}", file=sys.stderr)
    return show(text, status)


def show(text: str, status: int) -> int:
    """Print the answer; a reader that stopped reading (`stagegate status | head`) is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def refuse(error: StageGateError | OSError, *, as_json: bool) -> int:
    """Say what was refused, where and how to mend it."""
    if isinstance(error, StageGateError):
        parts = {"refused": error.what, "where": error.where, "remedy": error.remedy}
    else:
        parts = {
            "refused": error.strerror or str(error),
            "where": str(error.filename or ""),
            "remedy": "check path and permissions",
        }
    if as_json:
        print(json.dumps(parts, indent=1, ensure_ascii=False))
    labels = {"refused": "refused:", "where": "  where:  ", "remedy": "  to mend:"}
    print("\n".join(f"{labels[key]} {printable(text)}" for key, text in parts.items() if text), file=sys.stderr)
    return REFUSED


def printable(text: str) -> str:
    """`text` without characters that would move a terminal's cursor or colour it."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def build_parser() -> Parser:
    """The command line. Abbreviated options are refused."""
    common = Parser(add_help=False)
    common.add_argument(
        "--workspace", metavar="DIR", help="folder that holds gate_results/, runs/ and docs/production_research/"
    )
    common.add_argument("--json", action="store_true", help="answer with one JSON document")
    parser = Parser(
        prog="stagegate", description="Everything around the gates that is not a test run.", allow_abbrev=False
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Command, summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, parents=[common], help=summary, description=summary, allow_abbrev=False)
        added.set_defaults(command=command)
        return added

    def add_tagged(name: str, command: Command, summary: str) -> argparse.ArgumentParser:
        added = add(name, command, summary)
        added.add_argument("tag", metavar="TAG", help="decision tag")
        return added

    add("status", status, "where every tag stands, what it waits for, what to type next")
    packet = add_tagged("packet", write_packet, "write the templates of what a person writes before a stage")
    packet.add_argument(
        "stage", metavar="STAGE", choices=STAGE_CHOICES, help="s0 to s4; s4 brings the deployment files too"
    )
    sign = add_tagged("sign", sign_report, "sign the S3 report of a tag")
    sign.add_argument("--role", required=True, help="the function you sign for: risk, research, trading ...")
    sign.add_argument(
        "--key", required=True, type=Path, help="your OpenSSH private key, or the .pub of a key that ssh-agent holds"
    )
    revoke = add_tagged("revoke", revoke_tag, "withdraw a tag for good")
    revoke.add_argument("--reason", required=True, help="one sentence, for the record")
    attest = add_tagged("attest", attest_runs, "sign the packs of a tag's official runs as in-toto attestations")
    attest.add_argument("--stage", choices=STAGE_CHOICES, help="only this stage (default: every one that finished)")
    attest.add_argument(
        "--key", type=Path, help="Ed25519 private key in PEM (default: [attestation] of stagegate.toml)"
    )
    add_verify_options(
        add("verify", verify, "does the record hold? 0 yes, 6 tampered, 7 recoverable, 8 a witness cannot be asked")
    )
    add("recover", recover_record, "close what a crash left open; deletes nothing, infers no pass")
    add_tagged("explain", explain_tag, "stage by stage, what failed and by how much")
    add("leaderboard", show_leaderboard, "tags by the margin of their weakest hard gate").add_argument(
        "--stage", choices=STAGE_CHOICES, default="s3", help="the stage that is compared (default: s3)"
    )
    add("preflight", run_preflight, "could a recorded run start here, now? Changes nothing").add_argument(
        "--tag", help="also check this tag's freeze and everything it pins"
    )
    return parser


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


def workspace_of(arguments: argparse.Namespace) -> Workspace:
    """The workspace that was named, or the repository. RequestRefused when there is no such folder."""
    from reports.record.errors import RequestRefused
    from reports.record.workspace import Workspace

    root = Path(arguments.workspace).resolve() if arguments.workspace else REPOSITORY
    if not root.is_dir():
        raise RequestRefused(
            "there is no such workspace", where=str(root), remedy="name an existing folder with --workspace"
        )
    return Workspace(root)


def place_of(arguments: argparse.Namespace) -> str:
    """The --workspace option for a command that a person types next."""
    return f" --workspace {shlex.quote(arguments.workspace)}" if arguments.workspace else ""


# ------------------------------------------------------------------------------------------------ commands


def status(arguments: argparse.Namespace) -> Answer:
    """Where every tag stands."""
    from reports.desk.standing import standings
    from reports.record.clock import utc_now
    from reports.record.registry import Registry

    workspace = workspace_of(arguments)
    found = standings(workspace, Registry(workspace.root).rows(), utc_now(), place_of(arguments))
    nothing = [f"no tag yet. Begin with: stagegate packet TAG s0{place_of(arguments)}"]
    return (
        {"schema": 1, "tags": [asdict(tag) for tag in found]},
        [line for tag in found for line in standing_lines(tag)] or nothing,
        0,
    )


def standing_lines(tag: TagStanding) -> list[str]:
    """One tag of the status."""
    lines = [f"{tag.tag}  {tag.stage} {tag.state}  {tag.candidate} ({tag.family}), {tag.owner}, {tag.utc}"]
    lines += [f"    unofficial  {', '.join(tag.unofficial)}"] if tag.unofficial else []
    lines += [f"    waits for   {tag.waits_for}"]
    return lines + ([f"    next        {tag.next_command}"] if tag.next_command else [])


def write_packet(arguments: argparse.Namespace) -> Answer:
    """Write a stage's templates."""
    from reports.deployment.templates import write_stage_files

    workspace = workspace_of(arguments)
    written = [workspace.relative(path) for path in write_stage_files(workspace, arguments.tag, arguments.stage)]
    options = " --candidate FILE --owner NAME" if arguments.stage == "s0" else ""
    command = f"pytest gates/{arguments.stage}{options} --decision-tag {arguments.tag}{place_of(arguments)}"
    lines = [
        *(f"written  {path}" for path in written),
        "now      write what they ask for; a run with unwritten parts is refused",
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


def explain_tag(arguments: argparse.Namespace) -> Answer:
    """Say what failed, stage by stage."""
    from reports.desk.explain import explain
    from reports.record.registry import Registry

    workspace = workspace_of(arguments)
    found = explain(workspace, Registry(workspace.root).rows(), arguments.tag)
    return (
        {"schema": 1, "runs": [asdict(run) for run in found]},
        [line for run in found for line in account_lines(run)],
        0,
    )


def account_lines(run: StageAccount) -> list[str]:
    """One run of an explanation."""
    lines = [f"{run.stage} {run.state}{'' if run.official else ' (unofficial)'}  run {run.run_id}, {run.utc}"]

    def add(label: str, items: Sequence[str | CellAccount]) -> None:
        lines.extend(f"    {label if number == 0 else '':<11} {item}" for number, item in enumerate(items))

    add("failed", run.failing)
    add("besides", run.messages)
    add("diagnostic", run.diagnostics)
    add("absent", run.absent)
    add("weakest", [run.weakest] if run.weakest and not run.failing else [])
    add("report", [run.report] if run.report else [])
    return lines


def show_leaderboard(arguments: argparse.Namespace) -> Answer:
    """Rank the tags that finished a stage."""
    from reports.desk.standing import leaderboard
    from reports.record.registry import Registry

    found = leaderboard(Registry(workspace_of(arguments).root).rows(), arguments.stage)
    placed = {"schema": 1, "stage": arguments.stage, "placings": [asdict(placing) for placing in found]}
    return placed, leaderboard_lines(found) if found else [f"no tag has finished {arguments.stage}"], 0


def run_preflight(arguments: argparse.Namespace) -> Answer:
    """Ask every check of a recorded run."""
    from reports.criteria.freeze import Places
    from reports.run.preflight import preflight

    found = preflight(Places(workspace_of(arguments), REPOSITORY), arguments.tag)
    lines = [f"{'holds' if check.holds else 'FAILS'}  {check.name}: {check.found}" for check in found.checks]
    return found.to_json(), [*lines, *found.reasons], REFUSED if found.reasons else 0


def leaderboard_lines(placings: Sequence[Placing]) -> list[str]:
    """The leaderboard as a table."""
    headings = (
        "rank",
        "tag",
        "candidate",
        "family",
        "verdict",
        "weakest gate",
        "margin in steps",
        "net Sharpe x1.5",
        "DSR",
    )
    rows = [
        (
            *(
                str(place.rank),
                place.tag,
                place.candidate,
                place.family,
                ", ".join((place.verdict, *place.marks)),
                place.weakest_gate or "-",
            ),
            *(
                "-" if place.margin is None else f"{place.margin:+.2f}",
                shown(place.net_sharpe_x1_5),
                shown(place.deflated_sharpe),
            ),
        )
        for place in placings
    ]
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in (headings, *rows)
    ]


def shown(number: float | None) -> str:
    """Four significant digits, `-` for what was not measured."""
    return "-" if number is None else f"{number:.4g}"


if __name__ == "__main__":
    sys.exit(main())
