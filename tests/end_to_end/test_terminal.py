"""Runs on a real pseudo-terminal: drawn while they last, set within its width when they end, and nothing of it in the log."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.end_to_end.conftest import TAG, Road
from tests.end_to_end.desk import Desk, clean_environment

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def typed(desk: Desk, width: int, *arguments: str, variables: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run pytest in the desk's repository on a pseudo-terminal; how it ended and every byte that it drew."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    environment = {**clean_environment(desk.workspace.parent), "TERM": "xterm-256color", **(variables or {})}
    process = subprocess.Popen(
        desk.command(*arguments), cwd=desk.repository, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    drawn = bytearray()
    try:
        while chunk := os.read(ours, 65536):
            drawn += chunk
    except OSError:
        # Linux says EIO when the last writer has closed its side
        pass
    os.close(ours)
    return process.wait(timeout=60), drawn.decode(errors="replace").replace("\r\n", "\n")


def ending(drawn: str, first: str) -> list[str]:
    """The lines from the one that begins with `first`, without escapes."""
    lines = ESCAPE.sub("", drawn).split("\n")
    start = max(number for number, line in enumerate(lines) if line.startswith(first))
    return lines[start:]


def test_a_recorded_run_is_drawn_and_its_log_is_plain(road: Road, tmp_path: Path) -> None:
    desk = road.fresh(tmp_path / "desk")
    desk.write_packet(TAG, "s0")
    status, drawn = typed(desk, 80, *desk.stage_arguments(TAG, "s0"))
    assert status == 0, drawn
    assert re.search(r"s0 scope_freeze: \d of 5 cells", ESCAPE.sub("", drawn))
    assert "\x1b[1A" in drawn
    closing = ending(drawn, "gate ")
    assert max(len(line) for line in closing if str(desk.workspace) not in line) <= 80
    assert [line.split()[-1] for line in closing[2:7]] == ["passed"] * 5
    labels = [line[:14].strip() for line in closing]
    assert [label for label in labels if label in ("verdict", "report", "registry", "next")] == [
        *("verdict", "report", "registry", "next")
    ]
    log = (desk.pack("s0") / "run.log").read_bytes()
    assert not {b"\x1b", b"\r"} & {log[at : at + 1] for at in range(len(log))}
    assert b"5 passed" in log
    assert list((desk.workspace / "runs" / "cache" / "progress").glob("*.jsonl")) == []


@pytest.mark.parametrize("plain", [False, True])
def test_a_refusal_is_set_within_the_terminal(road: Road, tmp_path: Path, plain: bool) -> None:
    desk = road.fresh(tmp_path / "desk")
    variables = {"NO_COLOR": "1"} if plain else {}
    status, drawn = typed(desk, 80, *desk.stage_arguments(TAG, "s0"), variables=variables)
    lines = [line for line in ending(drawn, "REFUSED") if str(desk.workspace) not in line]
    assert (status, lines[-2]) == (4, "  nothing was written, no tag is spent")
    assert max(map(len, lines)) <= 80
    assert ("\x1b" in drawn) is not plain


def test_a_rehearsal_ends_with_the_table_below_what_failed(road: Road, tmp_path: Path) -> None:
    desk = road.fresh(tmp_path / "desk")
    status, drawn = typed(desk, 120, "gates/s0", "--candidate", str(desk.candidate))
    assert status in (0, 1), drawn
    assert re.search(r"rehearsal: \d of 5 cells", ESCAPE.sub("", drawn))
    closing = ending(drawn, "gate ")
    assert max(map(len, closing)) <= 120
    assert any(line.startswith("outcome       recorded, it would ") for line in closing)
    assert "FAILURES" not in "".join(closing)
