"""The workstation's scripts: what they refuse, what they hand to preflight and pytest, and that they stop where they must."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PREFLIGHT, OFFICIAL_RUN, LOCK = (
    "scripts/workstation_preflight.sh",
    "scripts/workstation_official_run.sh",
    "scripts/lock.sh",
)
SCRIPTS = (PREFLIGHT, OFFICIAL_RUN, LOCK)
SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)] or ["sh"]

FAKE_PYTHON = """\
#!/bin/sh
printf '%s\\n' "$*" >>"{log}"
case "$*" in
    *preflight*) exit {preflight} ;;
    *gates/{failing}*) exit {status} ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The scripts in a folder with a space in its path."""
    root = tmp_path / "a check out"
    (root / "scripts").mkdir(parents=True)
    for script in SCRIPTS:
        shutil.copy(REPOSITORY / script, root / script)
    return root


def fake_python(root: Path, failing: str = "none", status: int = 0, preflight: int = 0) -> Path:
    """A .venv whose python writes down what it is told; the file it writes to."""
    log, python = root / "calls", root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(FAKE_PYTHON.format(log=log, failing=failing, status=status, preflight=preflight))
    python.chmod(0o755)
    return log


def run(script: Path, *arguments: str, cwd: Path, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": path or os.environ["PATH"], "HOME": "/"}
    command = [str(script), *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)


def pytest_calls(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if line.startswith("-m pytest")]


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("shell", SHELLS)
def test_script_is_plain_sh(script: str, shell: str) -> None:
    path = REPOSITORY / script
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#!/bin/sh\n")
    assert "\nset -eu\n" in text
    assert path.stat().st_mode & stat.S_IXUSR
    assert not re.search(r"https?://|/home/|/Users/", text)
    parser = [shell, "sh", "-n"] if shell == "busybox" else [shell, "-n"]
    assert subprocess.run([*parser, str(path)], capture_output=True, text=True, check=False).stderr == ""


@pytest.mark.parametrize("script", [PREFLIGHT, OFFICIAL_RUN])
def test_without_an_environment_the_setup_is_named(checkout: Path, tmp_path: Path, script: str) -> None:
    refused = run(checkout / script, "--tag", "t", "--stages", "s1", cwd=tmp_path)
    assert refused.returncode == 4
    assert "setup.sh" in refused.stderr


def test_every_stage_follows_the_preflight_in_order(checkout: Path, tmp_path: Path) -> None:
    log, desk = fake_python(checkout), tmp_path / "desk"
    desk.mkdir()
    options = ("--threads", "4", "--cost-multipliers", "1.5,2.0", "--wf-shards", "4", "--workspace", "desk")
    done = run(checkout / OFFICIAL_RUN, "--tag", "mom-1", "--stages", "s1,s2,s3", *options, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    first = log.read_text().split("-m pytest")[0]
    assert f"--tag mom-1 --workspace {desk}" in first
    tail = f"--cost-multipliers 1.5,2.0 --wf-shards 4 --workspace {desk}"
    assert pytest_calls(log) == [
        f"-m pytest gates/s1 --decision-tag mom-1 --threads 4 {tail}",
        f"-m pytest gates/s2 --decision-tag mom-1 --threads 4 -n 4 {tail}",
        f"-m pytest gates/s3 --decision-tag mom-1 --threads 4 -n 4 {tail}",
    ]


def test_the_repository_is_the_workspace_unless_another_is_named(checkout: Path, tmp_path: Path) -> None:
    log = fake_python(checkout)
    assert run(checkout / OFFICIAL_RUN, "--tag", "mom-1", "--stages", "s2", cwd=tmp_path).returncode == 0
    assert pytest_calls(log) == ["-m pytest gates/s2 --decision-tag mom-1 --threads 8 -n 8"]


@pytest.mark.parametrize("status", [1, 2, 4])
def test_the_first_stage_that_does_not_pass_is_the_last(checkout: Path, tmp_path: Path, status: int) -> None:
    log = fake_python(checkout, failing="s2", status=status)
    done = run(checkout / OFFICIAL_RUN, "--tag", "mom-1", "--stages", "s1,s2,s3", cwd=tmp_path)
    assert done.returncode == status
    assert [re.findall(r"gates/(s\d)", call) for call in pytest_calls(log)] == [["s1"], ["s2"]]


def test_no_stage_starts_when_the_preflight_says_no(checkout: Path, tmp_path: Path) -> None:
    log = fake_python(checkout, preflight=4)
    done = run(checkout / OFFICIAL_RUN, "--tag", "mom-1", "--stages", "s1", cwd=tmp_path)
    assert done.returncode == 4
    assert pytest_calls(log) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--tag is missing"),
        (("--tag", "t"), "--stages is missing"),
        (("--tag",), "--tag has no value"),
        (("--tag", "t", "--stages", "s1,s9"), "s9 is no stage"),
        (("--tag", "t", "--stages", "s0,s1"), "run by hand"),
        (("--tag", "t", "--stages", "s1", "--threads", "many"), "expected a number"),
        (("--tag", "t", "--stages", "s1", "--threads", "0"), "expected a number"),
        (("--tag", "t", "--stages", "s1", "-k", "easy"), "unknown option -k"),
        (("--tag", "t", "--stages", "s1", "--workspace", "nowhere"), "there is no workspace nowhere"),
    ],
)
def test_a_wrong_command_line_is_refused_before_anything_runs(
    checkout: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    log = fake_python(checkout)
    refused = run(checkout / OFFICIAL_RUN, *arguments, cwd=tmp_path)
    assert refused.returncode == 4
    assert said in refused.stderr
    assert not log.exists()


def test_preflight_is_the_repositorys_own_from_any_folder(tmp_path: Path) -> None:
    python = REPOSITORY / ".venv" / "bin" / "python"
    if not python.is_file():
        pytest.skip("there is no .venv in this checkout")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "__init__.py").write_text("raise SystemExit('a stranger was imported')\n")
    shown = run(REPOSITORY / PREFLIGHT, "--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert "--min-free-gb" in shown.stdout


def test_lock_hands_everything_to_uv(checkout: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "uv").write_text(f'#!/bin/sh\nprintf "%s\\n" "$PWD" "$*" >"{tmp_path}/calls"\n')
    (tools / "uv").chmod(0o755)
    done = run(checkout / LOCK, "--upgrade", cwd=tmp_path, path=f"{tools}:{os.environ['PATH']}")
    assert done.returncode == 0
    folder, command = (tmp_path / "calls").read_text().splitlines()
    assert Path(folder) == checkout
    assert command.startswith("pip compile pyproject.toml ")
    assert command.endswith("--upgrade -o requirements.lock")
    assert {"--universal", "--generate-hashes", "--no-emit-index-url"} <= set(command.split())


def test_setup_names_the_command_that_lock_runs() -> None:
    options = re.findall(r"--[a-z-]+", (REPOSITORY / LOCK).read_text().split("exec ")[1].split('"$@"')[0])
    setup = (REPOSITORY / "scripts" / "setup.sh").read_text()
    assert "uv pip compile pyproject.toml" in setup
    assert set(options) - {"--quiet"} <= set(re.findall(r"--[a-z-]+", setup))


def test_lock_without_uv_says_so(checkout: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("sh", "dirname"):
        (tools / tool).symlink_to(shutil.which(tool) or "/bin/sh")
    refused = run(checkout / LOCK, cwd=tmp_path, path=str(tools))
    assert refused.returncode == 1
    assert "uv is not on PATH" in refused.stderr
