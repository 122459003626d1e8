"""Whatever starts a process of ours, it hears how its children ended, keeps its files apart from its streams, and asks the system's programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reports.record.host import program
from tests.end_to_end.desk import SOURCE

FULL = Path("/dev/full")


def python(code: str, *before: str, **options) -> subprocess.CompletedProcess:
    """Run Python code in a process of its own, started by the words `before`."""
    return subprocess.run([*before, sys.executable, "-c", code], cwd=SOURCE, check=False, **options)


def test_how_a_child_ended_is_heard():
    code = (
        "import subprocess; from reports.record.host import settle\n"
        "ask = lambda: subprocess.run(['false']).returncode\n"
        "before = ask(); settle(); print(before, ask())"
    )
    done = python(code, preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN), stdout=subprocess.PIPE)
    assert done.stdout == b"0 1\n"


@pytest.mark.parametrize("closing", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_closed_stream_does_not_lend_its_number_to_a_file(tmp_path, closing):
    record = tmp_path / "record"
    code = (
        "import os, sys; from reports.record.host import settle\n"
        "settle()\n"
        f"number = os.open({str(record)!r}, os.O_WRONLY | os.O_CREAT)\n"
        "print('words'); print('more', file=sys.stderr); sys.stdout.flush()\n"
        "os.system('echo noise; echo noise >&2; cat')\n"
        "os.write(number, str(number > 2).encode())"
    )
    done = python(code, "sh", "-c", f'exec "$@" {closing}', "sh", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert (done.returncode, record.read_text()) == (0, "True")


def test_a_letter_that_cannot_be_spelled_is_printed_as_its_number():
    code = "from reports.record.host import put, settle; import sys; settle(); put(sys.stdout, 'Ólga 1.5×\\n')"
    done = python(code, env={**os.environ, "PYTHONIOENCODING": "ascii"}, stdout=subprocess.PIPE)
    assert done.stdout == rb"\xd3lga 1.5\xd7" + b"\n"


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_words_without_room_are_dropped_and_the_process_ends_well(stream):
    other = "stderr" if stream == "stdout" else "stdout"
    code = f"import sys; from reports.record.host import put; [put(sys.{stream}, 'words ' * 9999) for _ in range(3)]; print('told', file=sys.{other})"
    with FULL.open("wb") as full:
        done = python(code, **{stream: full, other: subprocess.PIPE})
    assert (done.returncode, getattr(done, other)) == (0, b"told\n")


def test_words_that_nobody_reads_any_more_are_dropped():
    code = "import sys; from reports.record.host import put; [put(sys.stdout, 'words ' * 99999) for _ in range(3)]"
    done = subprocess.run(
        ["sh", "-c", f'{{ "{sys.executable}" -c "$1"; echo "ended $?" >&2; }} | head -c 5', "sh", code],
        cwd=SOURCE,
        capture_output=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (b"words", b"ended 0\n")


def test_the_systems_program_goes_before_what_stands_on_path(tmp_path, monkeypatch):
    for name in ("sh", "of-my-own"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program("sh") in ("/usr/bin/sh", "/bin/sh")
    assert program("of-my-own") == str(tmp_path / "of-my-own")
    assert program("nobody-has-this") == "nobody-has-this"
