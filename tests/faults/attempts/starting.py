"""Attempts by how a run is started: what stands first on PATH, in which folder, with which signals and streams, below which limits."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from unittest.mock import patch

from reports.committee import signing
from reports.committee.sshsig import NAMESPACE
from reports.record.workspace import Workspace
from tests.end_to_end.desk import COMMITTEE, clean_environment
from tests.faults.attempts.preparing import FAIL, NOT_BACK, PASS, REFUSED, losing, nothing
from tests.faults.attempts.signatures import sign
from tests.faults.tiny_suite import TAG, Attempt, Ground

LYING_GIT: Final = """#!/bin/sh
# names no change, and nothing to compare with
case " $* " in
*" status "* | *" ls-tree "*) exit 0 ;;
*) exec {git} "$@" ;;
esac
"""
KIND_SSH_KEYGEN: Final = """#!/bin/sh
# calls every signature good
case " $* " in
*" verify "*) cat > /dev/null; echo 'Good "stagegate" signature' ;;
*) exec {ssh_keygen} "$@" ;;
esac
"""


def started(
    ground: Ground,
    stage: str = "s0",
    *,
    prefix: Sequence[str] = (),
    script: bool = False,
    folder: Path | None = None,
    path: Path | None = None,
    before: Callable[[], None] | None = None,
    **streams: int,
) -> int:
    """Exit status of a stage that a process of its own carries, started in another way."""
    where, *arguments = ground.desk.stage_arguments(TAG, stage)
    command = ground.desk.command(str(ground.repository / where), *arguments, "-n", ground.workers)
    if script:
        command[:3] = [str(Path(sysconfig.get_path("scripts"), "pytest"))]
    variables = clean_environment(ground.desk.workspace.parent)
    if path is not None:
        variables["PATH"] = f"{path}:{variables['PATH']}"
    to = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **streams}
    return subprocess.run(
        [*prefix, *command],
        cwd=folder or ground.repository,
        env=variables,
        preexec_fn=before,
        timeout=600,
        check=False,
        **to,
    ).returncode


def program(ground: Ground, name: str, text: str) -> Path:
    """A folder with a program of this name."""
    folder = ground.desk.workspace.parent / "programs"
    folder.mkdir()
    (folder / name).write_text(text, encoding="utf-8")
    (folder / name).chmod(0o755)
    return folder


def with_lying_git(ground: Ground) -> int:
    """A gate that is not committed, and a git that does not say so."""
    ground.gate.write_text(ground.gate.read_text(encoding="utf-8") + "# not committed\n", encoding="utf-8")
    return started(ground, path=program(ground, "git", LYING_GIT.format(git=shutil.which("git"))))


def with_kind_ssh_keygen(ground: Ground) -> int:
    """A signature over something else, and an ssh-keygen that calls it good."""
    text = KIND_SSH_KEYGEN.format(ssh_keygen=shutil.which("ssh-keygen"))
    return started(ground, "s4", path=program(ground, "ssh-keygen", text))


def signed_something_else(ground: Ground) -> None:
    """All is signed, recorded and written; but what a member signed were other words, and whoever recorded it did not ask ssh-keygen."""
    first, second = COMMITTEE
    sign(ground, first)
    words = ground.desk.workspace.parent / "words"
    words.write_text("lunch at noon\n", encoding="utf-8")
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", str(ground.desk.key(second)), str(words)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    signature = words.with_name("words.sig").read_bytes()
    with (
        patch.object(signing, "make_signature", return_value=signature),
        patch.object(signing, "why_unverified", return_value=""),
    ):
        signing.sign(Workspace(ground.desk.workspace), TAG, second.partition("@")[0], ground.desk.key(second))
    ground.desk.write_deployment(TAG)


def in_a_folder_of_its_own(ground: Ground) -> int:
    """Started where a module lies that has the name of one of Python's, and does what that does."""
    folder = ground.desk.workspace.parent / "folder"
    folder.mkdir()
    shutil.copy(secrets.__file__, folder)
    return started(ground, folder=folder)


def children_unheard() -> None:
    """Have the system forget how children end, as some schedulers do: a program that is waited for then seems to have ended well."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def without_streams() -> None:
    """Close all three standard streams: the next three files that are opened take their numbers."""
    for number in (0, 1, 2):
        os.close(number)


def limited(words: str) -> Callable[[Ground], int]:
    """Below a limit of the shell."""
    return lambda ground: started(ground, prefix=("sh", "-c", f'{words}; exec "$@"', "sh"))


def into_a_full_disk(ground: Ground) -> int:
    """What is printed goes where there is no room."""
    with Path("/dev/full").open("wb") as full:
        return started(ground, stdout=full.fileno(), stderr=full.fileno())


LIMITS: Final = (
    "ulimit -f 16",
    "ulimit -n 24",
    "ulimit -v 2000000",
    "ulimit -t 2",
    "ulimit -s 256",
    "umask 0777",
    "umask 0",
)

STARTING: Final = (
    Attempt("a git of one's own", nothing, run=with_lying_git, allowed=REFUSED),
    Attempt("an ssh-keygen of one's own", signed_something_else, "s4", "s3", run=with_kind_ssh_keygen, allowed=("FAIL", "REFUSED")),
    Attempt("a signature over something else", signed_something_else, "s4", "s3", run=lambda ground: started(ground, "s4"), allowed=("FAIL", "REFUSED")),
    Attempt("a signature over something else where no child's end is heard", signed_something_else, "s4", "s3", run=lambda ground: started(ground, "s4", before=children_unheard), allowed=("FAIL", "REFUSED")),
    Attempt("a loser where no child's end is heard", losing, run=lambda ground: started(ground, before=children_unheard), allowed=FAIL),
    Attempt("a module of the folder it is started in", nothing, run=in_a_folder_of_its_own, allowed=REFUSED),
    Attempt("a loser without standard streams", losing, run=lambda ground: started(ground, before=without_streams), allowed=FAIL),
    Attempt("a loser into a full disk", losing, run=into_a_full_disk, allowed=FAIL),
    *(Attempt(f"a loser below {words}", losing, run=limited(words), allowed=(*NOT_BACK, "REFUSED")) for words in LIMITS),
)  # fmt: skip
HONEST_STARTS: Final = (
    Attempt("a winner where no child's end is heard", nothing, run=lambda ground: started(ground, before=children_unheard), allowed=PASS),
    Attempt("a winner without standard streams", nothing, run=lambda ground: started(ground, before=without_streams), allowed=PASS),
    Attempt("a winner into a full disk", nothing, run=into_a_full_disk, allowed=PASS),
    Attempt("a winner from another folder", nothing, run=lambda ground: started(ground, script=True, folder=ground.desk.workspace), allowed=PASS),
)  # fmt: skip
