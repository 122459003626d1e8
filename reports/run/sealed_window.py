"""What must be there before S4 opens the sealed window, which it does once: the signatures, and what a person writes of the deployment files.

The gates of S4 judge the same again, and what the files say. This asks only whether they are there, so that a signer who was forgotten costs no tag.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from reports.committee.signoff import signoff_among
from reports.committee.sshsig import ssh_keygen
from reports.deployment.readiness import unwritten_files
from reports.record.chain import Row
from reports.record.errors import RequestRefused
from reports.record.workspace import Workspace


def check_deployable(workspace: Workspace, rows: Sequence[Row], tag: str, freeze_sha256: str, at: datetime) -> None:
    """RequestRefused when the production report of `tag` has no quorum at `at`, or a deployment file is unwritten; SigningError without ssh-keygen."""
    ssh_keygen()
    signoff = signoff_among(workspace, rows, tag, at)
    if not signoff.complete:
        raise RequestRefused(
            f"the production report is not signed: expected {signoff.required} signatures that count, found {signoff.note}",
            where=str(workspace.packet_dir(tag) / "signatures"),
            remedy=f"each signer runs `stagegate sign {tag} --role ROLE --key KEY` (docs/signing.md); `stagegate status` shows who has",
        )
    faults = unwritten_files(workspace, tag, freeze_sha256)
    if faults:
        raise RequestRefused(
            f"the deployment files are not written: expected what they leave to a person, found: {'; '.join(faults)}",
            where=str(workspace.packet_dir(tag)),
            remedy=f"run `stagegate packet {tag} s4`, then complete the three files (docs/production_research/README.md)",
        )
