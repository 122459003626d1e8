"""The allowlist: what a tagged run may be asked, and that everything else is refused by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.desk.cli import build_parser
from reports.record.errors import RequestRefused
from reports.record.workspace import check_tag
from reports.run.request import HARMLESS_VARIABLES, RunRequest, check_environment, monitor_command, parse_request

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for stage in ("s0", "s3"):
        (tmp_path / "gates" / stage).mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    return tmp_path


def ask(repository: Path, *arguments: str, environ: dict[str, str] | None = None) -> RunRequest:
    return parse_request(
        arguments,
        environ or {},
        invocation_dir=repository,
        repository=repository,
        inifile=repository / "pyproject.toml",
    )


def test_a_plain_request_is_understood(repository):
    request = ask(
        repository,
        "gates/s3",
        "-n",
        "8",
        "--decision-tag",
        "2026-11-momentum",
        "-v",
        "--tb=short",
        "--color=no",
        "--cost-multipliers",
        "2.0,1.5",
    )
    assert (request.stage, request.tag, request.processes) == ("s3", "2026-11-momentum", "8")
    assert request.presentation == ("-v", "--tb=short", "--color=no")
    assert request.cost_multipliers == (1.5, 2.0)
    assert request.workspace == repository


@pytest.mark.parametrize("written", [("-n8",), ("-n", "8"), ("--numprocesses=8",), ("-n=8",)])
def test_workers_may_be_written_as_pytest_takes_them(repository, written):
    assert ask(repository, "gates/s3", "--decision-tag=T", *written).processes == "8"


SELECTING = [
    ("-k", "x"), ("-kx",), ("-m", "x"), ("--deselect", "x"), ("--ignore=gates/s3/test_x.py",), ("--ignore-glob=*",), ("--lf",), ("--last-failed",), ("--ff",), ("-x",),
    ("--exitfirst",), ("--maxfail=1",), ("--sw",), ("--stepwise",), ("--collect-only",), ("--co",), ("--setup-plan",), ("--setup-only",), ("--setup-show",), ("-c", "other.ini"),
    ("-o", "addopts="), ("--override-ini=addopts=",), ("--assert=plain",), ("-p", "no:xdist"), ("-p", "evil"), ("--noconftest",), ("--rootdir=/",), ("--confcutdir=/",),
    ("--import-mode=append",), ("--runxfail",), ("--pyargs",), ("--dist=no",), ("--tx=2*popen",), ("-d",), ("--maxprocesses=1",), ("--max-worker-restart=9",), ("--json-report-file=x",),
    ("--basetemp=/tmp",), ("--capture=no",), ("-s",), ("--pdb",), ("--trace",), ("-W", "ignore"), ("--disable-warnings",), ("--cache-clear",), ("--debug",), ("--fixtures",),
    ("--help",), ("--version",), ("--",), ("@file",), ("--decision-tag", "second"), ("--keep-duplicates",), ("--doctest-modules",), ("--strict",), ("-vx",), ("-qx",),
]  # fmt: skip


@pytest.mark.parametrize("extra", SELECTING, ids=" ".join)
def test_what_selects_or_reconfigures_is_refused(repository, extra):
    with pytest.raises(RequestRefused):
        ask(repository, "gates/s3", "--decision-tag", "T", *extra)


@pytest.mark.parametrize(
    "folder", ["gates", "gates/s3/test_x.py", "gates/s3::test_x", "gates/s3/../s0/x", "elsewhere/s3", "."]
)
def test_only_a_whole_stage_of_this_repository_is_taken(repository, folder):
    with pytest.raises(RequestRefused):
        ask(repository, folder, "--decision-tag", "T")


def test_two_stages_at_once_are_refused(repository):
    with pytest.raises(RequestRefused, match="one stage folder: expected 1, found 2"):
        ask(repository, "gates/s0", "gates/s3", "--decision-tag", "T")


@pytest.mark.parametrize(
    "name",
    [
        "PYTEST_ADDOPTS",
        "PYTEST_PLUGINS",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD",
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONOPTIMIZE",
        "PYTHONSTARTUP",
        "LD_PRELOAD",
    ],
)
def test_variables_that_change_what_runs_are_refused(repository, name):
    with pytest.raises(RequestRefused, match=name):
        ask(repository, "gates/s3", "--decision-tag", "T", environ={name: ""})


def test_harmless_variables_are_recorded(repository):
    environ = dict.fromkeys(HARMLESS_VARIABLES, "1") | {"HOME": "/home/desk", "PATH": "/bin"}
    assert set(check_environment(environ)) == HARMLESS_VARIABLES
    assert ask(repository, "gates/s3", "--decision-tag", "T", environ=environ).variables == dict.fromkeys(
        HARMLESS_VARIABLES, "1"
    )


def test_another_configuration_file_is_refused(repository):
    with pytest.raises(RequestRefused, match="configuration"):
        parse_request(
            ["gates/s3", "--decision-tag", "T"],
            {},
            invocation_dir=repository,
            repository=repository,
            inifile=repository / "other.ini",
        )


@pytest.mark.parametrize(
    "tag",
    [
        "a/b",
        "a\nb",
        "",
        "..",
        "../../x",
        "=cmd",
        "-x",
        ".hidden",
        "a b",
        "tag\x00",
        "tаg",
        "a..b",
        "a.",
        "x" * 65,
        "a\r",
        "@x",
        "a,b",
        "naïve",
    ],
)
def test_tags_that_could_harm_a_file_or_a_cell_are_refused(tag):
    with pytest.raises(RequestRefused, match="plain name"):
        check_tag(tag)


@pytest.mark.parametrize("tag", ["00123", "NA", "1e5", "2026-11-23_momentum.v2", "x" * 64])
def test_plain_tags_are_taken_as_text(tag):
    assert check_tag(tag) == tag


@given(st.text(max_size=80))
def test_an_accepted_tag_is_a_safe_file_name_and_cell(tag):
    try:
        check_tag(tag)
    except RequestRefused:
        return
    assert tag.isascii()
    assert Path(tag).name == tag
    assert tag[0] not in "=+-@\t'."


@pytest.mark.parametrize("extra", [("--cost-multipliers", "1.0"), ("--cost-multipliers", "1.5"), ("--cost-multipliers", "x"), ("--wf-shards", "0"), ("--threads", "-1"), ("-n", "many"),
                                   ("--owner", " "), ("--owner", "a\nb"), ("--workspace", "nowhere"), ("--root-cause", ""), ("--owner",)])  # fmt: skip
def test_malformed_values_are_refused(repository, extra):
    with pytest.raises(RequestRefused):
        ask(repository, "gates/s3", "--decision-tag", "T", *extra)


# ------------------------------------------------------------------------------------------------ monitoring


def monitoring(*arguments: str) -> tuple[str, ...]:
    return monitor_command(arguments, {}, invocation_dir=REPOSITORY, repository=REPOSITORY)


def test_a_monitoring_is_the_command_spelled_as_a_run(tmp_path: Path) -> None:
    found = monitoring(
        *("gates/s4", "--live", "r.csv", "--decision-tag", "mom-1", "-q", "--as-of=2024-08-20"),
        *("--positions", str(tmp_path / "p.parquet"), "--workspace", str(tmp_path)),
    )
    assert found[:2] == ("monitor", "mom-1")
    assert dict(zip(found[2::2], found[3::2], strict=True)) == {
        "--live": str(REPOSITORY / "r.csv"),
        "--positions": str(tmp_path / "p.parquet"),
        "--as-of": "2024-08-20",
        "--workspace": str(tmp_path),
    }
    assert callable(build_parser().parse_args(found).command)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("gates/s3", "--live", "r.csv", "--decision-tag", "t"), "--live monitors a promoted tag"),
        (("gates/s4", "--live", "r.csv"), "--live monitors a promoted tag"),
        (("gates/s4", "--live", "r.csv", "--decision-tag", "t", "-k", "x"), "-k may select"),
        (("gates/s4", "--live", "r.csv", "--decision-tag", "t", "--owner", "o"), "--owner does not go with --live"),
        (("gates/s4", "--live", "r.csv", "--live", "s.csv", "--decision-tag", "t"), "stands twice"),
        (("gates/s4", "--live", "r.csv", "--decision-tag", "../t"), "is not a plain name"),
    ],
)
def test_a_monitoring_takes_nothing_else(arguments: tuple[str, ...], fault: str) -> None:
    with pytest.raises(RequestRefused, match=re.escape(fault)):
        monitoring(*arguments)


def test_a_recorded_run_takes_no_live_file(repository: Path) -> None:
    with pytest.raises(RequestRefused, match="--positions belongs to a monitoring"):
        ask(repository, "gates/s3", "--decision-tag", "t", "--positions", "p.parquet")
