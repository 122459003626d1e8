"""What may not start: exit 4, a message that says what, where and how to mend it, and not a byte written."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from engines.digest import sha256_file
from fixtures.plants import SIGNAL_PLANTS, write_signal
from reports.pack.packet import packet_template
from tests.end_to_end.conftest import TAG, Road
from tests.end_to_end.desk import CANDIDATE, CORES, OWNER, Desk, Ended, commit, rewrite

NEW = "new-tag"


@contextmanager
def nothing_written(desk: Desk) -> Iterator[None]:
    """Every file and folder of the workspace and the repository's state are afterwards what they were."""
    before = desk.listing()
    yield
    assert desk.listing() == before


def assert_refused(ended: Ended, what: str) -> None:
    """The refusal names what is wrong (a pattern), where, and how to mend it."""
    assert ended.status == 4, ended.output
    assert re.search(what, ended.output), ended.output
    assert "  where:   " in ended.output or ".py:" in ended.output
    assert "  to mend: " in ended.output
    assert ended.output.rstrip().endswith("nothing was written, no tag is spent")
    assert "Traceback" not in ended.output


@pytest.fixture(scope="module")
def idle(road: Road, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk on which nothing has run and nothing ever will; the packet of NEW is written."""
    desk = road.fresh(tmp_path_factory.mktemp("idle"))
    desk.write_packet(NEW, "s0")
    return desk


@dataclass(frozen=True, slots=True)
class Draft:
    """A candidate in a folder of its own, on the market of the idle desk."""

    folder: Path
    market: Path

    @property
    def path(self) -> Path:
        return self.folder / "candidate.toml"

    def write(self, old: str = "", new: str = "") -> None:
        """The healthy candidate with one text replaced."""
        assert old in CANDIDATE
        self.path.write_text(CANDIDATE.replace(old, new, 1).replace('"market/', f'"{self.market}/'), encoding="utf-8")

    def plant_signal(self, name: str) -> None:
        """The healthy candidate with a signal of its own that has one fault."""
        function = write_signal(self.folder, name)
        declared = CANDIDATE[CANDIDATE.index("[signal]") : CANDIDATE.index("[universe]")]
        self.write(declared, f'[signal]\nfunction = "{function}"\n\n')


@pytest.fixture
def draft(idle: Desk, tmp_path: Path) -> Draft:
    return Draft(tmp_path, idle.candidate.parent / "market")


def empty_data(draft: Draft) -> None:
    (draft.folder / "empty.csv").touch()
    draft.write('path = "market/prices.parquet"', f'path = "{draft.folder}/empty.csv"')


def header_only(draft: Draft) -> None:
    (draft.folder / "header.csv").write_text("date,symbol,open,high,low,close,volume\n", encoding="utf-8")
    draft.write('path = "market/prices.parquet"', f'path = "{draft.folder}/header.csv"')


def broken_parquet(draft: Draft) -> None:
    (draft.folder / "broken.parquet").write_bytes(b"PAR1 and then nothing that is parquet")
    draft.write('path = "market/prices.parquet"', f'path = "{draft.folder}/broken.parquet"')


def syntax_error(draft: Draft) -> None:
    draft.plant_signal("raises")
    (draft.folder / "raises.py").write_text("def score(panel:\n", encoding="utf-8")


BAD_CANDIDATES: dict[str, tuple[Callable[[Draft], None], str]] = {
    "missing file": (lambda draft: None, "expected a candidate file, found nothing"),
    "no toml": (lambda draft: draft.path.write_text("schema = = 1", encoding="utf-8"), "candidate.toml"),
    "unknown key": (
        lambda draft: draft.write("horizon_days =", "horizon_dayz ="),
        r"horizon_dayz.*(?s:.*)horizon_days",
    ),
    "wrong type": (lambda draft: draft.write("shards = 2", 'shards = "2"'), "shards"),
    "missing data": (lambda draft: draft.write("market/prices.parquet", "market/other.parquet"), "other.parquet"),
    "undeclared column": (
        lambda draft: draft.write("as_of = 2016-09-07", 'as_of = 2016-09-07\ncolumns = { close = "Last" }'),
        "Last",
    ),
    "empty file": (empty_data, "empty"),
    "header without rows": (header_only, "no row|empty|no rows"),
    "broken parquet": (broken_parquet, "parquet"),
    "file too short": (lambda draft: draft.write("train_days = 126", "train_days = 600"), "days"),
    "signal that raises": (lambda draft: draft.plant_signal("raises"), "planted"),
    "signal of the wrong shape": (lambda draft: draft.plant_signal("wrong_shape"), "shape"),
    "signal without an opinion": (lambda draft: draft.plant_signal("all_missing"), "wrong|NaN|no value|all"),
    "signal that mutates the panel": (lambda draft: draft.plant_signal("mutates_panel"), "read-only"),
    "infinite signal": (lambda draft: draft.plant_signal("infinite"), "infinit"),
    "signal that does not parse": (syntax_error, "raises.py"),
    "loosened threshold": (
        lambda draft: draft.write("[data]", '[policy]\n"s1.ic_t" = 1.0\n\n[data]'),
        "s1.ic_t .* looser",
    ),
    "unknown threshold": (lambda draft: draft.write("[data]", '[policy]\n"s1.ic_tt" = 9.0\n\n[data]'), "s1.ic_tt"),
}


@pytest.mark.parametrize("name", BAD_CANDIDATES)
def test_a_bad_candidate_is_refused_at_s0(warm, idle, draft, name):
    prepare, what = BAD_CANDIDATES[name]
    prepare(draft)
    with nothing_written(idle):
        asked = replace(idle, candidate=draft.path)
        assert_refused(warm.pytest(asked, *asked.stage_arguments(NEW, "s0")), what)


def test_every_planted_signal_that_s0_must_refuse_is_tried_here():
    tried = {"raises", "wrong_shape", "all_missing", "mutates_panel", "infinite"}
    assert {name for name, plant in SIGNAL_PLANTS.items() if plant.gate == "s0"} == tried


BAD_COMMANDS = {
    "a selection": (("gates/s0", "-k", "scope"), "-k may select"),
    "stop at the first failure": (("gates/s0", "-x"), "-x may select"),
    "a part of a stage": (("gates/s0/test_scope.py",), "no stage folder"),
    "no owner": (("gates/s0", "--candidate", "c.toml"), "s0 needs --owner"),
    "an earlier stage that did not run": (("gates/s3",), "s3 follows on s2: expected an official PASS of s2"),
}


@pytest.mark.parametrize("name", BAD_COMMANDS)
def test_a_bad_command_line_is_refused(warm, idle, name):
    arguments, what = BAD_COMMANDS[name]
    with nothing_written(idle):
        assert_refused(warm.pytest(idle, *arguments, "--decision-tag", NEW), what)


@pytest.mark.parametrize("tag", ["../../x", "a\nb", "tаg", "=cmd"])
def test_a_tag_that_is_no_plain_name_is_refused(warm, idle, tag):
    with nothing_written(idle):
        assert_refused(warm.pytest(idle, *idle.stage_arguments(tag, "s0")), "is not a plain name")


@pytest.mark.parametrize("name", ["PYTEST_ADDOPTS", "PYTHONPATH", "PYTHONOPTIMIZE"])
def test_an_environment_that_changes_what_runs_is_refused(warm, idle, name):
    with nothing_written(idle):
        value = "1" if name == "PYTHONOPTIMIZE" else "-v" if name == "PYTEST_ADDOPTS" else str(idle.workspace)
        assert_refused(warm.pytest(idle, *idle.stage_arguments(NEW, "s0"), variables={name: value}), name)


def test_a_conftest_beside_the_candidate_is_refused(warm, idle, draft):
    draft.write()
    (draft.folder / "conftest.py").write_text("", encoding="utf-8")
    with nothing_written(idle):
        beside = replace(idle, candidate=draft.path)
        assert_refused(warm.pytest(beside, *beside.stage_arguments(NEW, "s0")), "pytest loaded .*conftest.py")


@pytest.mark.parametrize(
    ("text", "what"), [(None, "it does not exist"), (packet_template("unwritten", "s0"), "packet is not written")]
)
def test_an_unwritten_packet_is_refused(warm, idle, text, what):
    if text is not None:
        idle.packet("unwritten", "s0").parent.mkdir(exist_ok=True)
        idle.packet("unwritten", "s0").write_text(text, encoding="utf-8")
    with nothing_written(idle):
        assert_refused(warm.pytest(idle, *idle.stage_arguments("absent" if text is None else "unwritten", "s0")), what)


@pytest.mark.parametrize(
    ("option", "what"),
    [
        (("--wf-shards", "3"), "expected 2, found 3"),
        (("--cost-multipliers", "1.5,2.0,3.0"), "a multiplier is not frozen: .* found 3"),
        (("--cost-multipliers", "1.0,2.0"), "does not hold 1.5 and 2.0"),
    ],
)
def test_a_choice_that_contradicts_the_candidate_is_refused(warm, idle, option, what):
    with nothing_written(idle):
        assert_refused(warm.pytest(idle, *idle.stage_arguments(NEW, "s0"), *option), what)


def test_a_workspace_where_records_cannot_be_written_is_refused(warm, road, tmp_path):
    desk = road.fresh(tmp_path)
    desk.write_packet(NEW, "s0")
    (desk.workspace / "gate_results").touch()
    with nothing_written(desk):
        assert_refused(warm.pytest(desk, *desk.stage_arguments(NEW, "s0")), "cannot be written to")


def test_a_folder_without_write_permission_is_refused(warm, road, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere, so a permission cannot be withheld")
    desk = road.fresh(tmp_path)
    desk.write_packet(NEW, "s0")
    desk.workspace.chmod(0o555)
    try:
        with nothing_written(desk):
            assert_refused(warm.pytest(desk, *desk.stage_arguments(NEW, "s0")), "cannot be written to")
    finally:
        desk.workspace.chmod(0o755)


# ------------------------------------------------------------------------------------------------ the code tree


@pytest.fixture
def checkout(idle: Desk, tmp_path: Path) -> Desk:
    """The idle desk with a copy of the repository that may be spoiled."""
    shutil.copytree(idle.repository, tmp_path / "repository", ignore=shutil.ignore_patterns("__pycache__"))
    return replace(idle, repository=tmp_path / "repository")


def modified(repository: Path) -> None:
    with (repository / "gates" / "s3" / "test_capacity.py").open("a", encoding="utf-8") as file:
        file.write("\n")


DIRT = {
    "a modified gate": (modified, "modified: gates/s3/test_capacity.py"),
    "an untracked gate": (
        lambda repository: (repository / "gates" / "s0" / "test_more.py").touch(),
        "untracked: gates/s0/test_more.py",
    ),
    "an ignored module": (
        lambda repository: _ignored_module(repository),
        "untracked: engines/sneaky.py",
    ),
    "a removed gate": (
        lambda repository: (repository / "gates" / "s2" / "test_run.py").unlink(),
        "deleted: gates/s2/test_run.py",
    ),
    "no git": (lambda repository: shutil.rmtree(repository / ".git"), "not a git checkout"),
}


def _ignored_module(repository: Path) -> None:
    (repository / "engines" / "sneaky.py").touch()
    (repository / ".git" / "info" / "exclude").write_text("sneaky.py\n", encoding="utf-8")


@pytest.mark.parametrize("name", DIRT)
def test_a_code_tree_that_is_not_its_commit_is_refused(warm, checkout, name):
    spoil, what = DIRT[name]
    spoil(checkout.repository)
    with nothing_written(checkout):
        assert_refused(warm.pytest(checkout, *checkout.stage_arguments(NEW, "s0")), re.escape(what))


# ------------------------------------------------------------------------------------------------ between two stages


def edited_data(desk: Desk) -> None:
    path = desk.candidate.parent / "market" / "prices.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def edited_freeze(desk: Desk) -> None:
    rewrite(
        desk.workspace / "runs" / "freeze" / f"{TAG}.freeze.json", '"preregistered": true', '"preregistered": false'
    )


def edited_report(desk: Desk) -> None:
    path = desk.workspace / desk.finished("s1")["report"]
    report = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(report | {"owner": "someone else"}), encoding="utf-8")


def edited_row(desk: Desk) -> None:
    rewrite(desk.workspace / "gate_results" / "gate_registry.csv", OWNER, "otto")


def dropped_row(desk: Desk) -> None:
    path = desk.workspace / "gate_results" / "gate_registry.csv"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


EDITS: dict[str, tuple[Callable[[Desk], None], str]] = {
    "data": (edited_data, "data changed since the freeze"),
    "candidate": (
        lambda desk: rewrite(desk.candidate, "target_aum = 1e6", "target_aum = 1e5"),
        "candidate file changed since the freeze",
    ),
    "settings": (
        lambda desk: rewrite(desk.workspace / "stagegate.toml", "signatures_required = 2", "signatures_required = 1"),
        "stagegate.toml changed",
    ),
    "freeze": (edited_freeze, "freeze is not the one s1 passed under"),
    "pack": (edited_report, "baseline_validation_report.json"),
    "registry row": (edited_row, "row"),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_the_freeze_pins_may_not_change_between_stages(warm, road, tmp_path, name):
    desk = road.at("s1", tmp_path / "desk")
    desk.write_packet(TAG, "s2")
    edit, what = EDITS[name]
    edit(desk)
    with nothing_written(desk):
        assert_refused(warm.pytest(desk, *desk.stage_arguments(TAG, "s2")), what)


def test_a_policy_changed_by_a_commit_is_refused_under_the_old_tag(warm, road, tmp_path):
    desk = road.at("s1", tmp_path / "desk")
    shutil.copytree(desk.repository, tmp_path / "repository", ignore=shutil.ignore_patterns("__pycache__"))
    desk = replace(desk, repository=tmp_path / "repository")
    rewrite(desk.repository / "gates" / "policy.toml", "bound = -1.65", "bound = -9.0")
    commit(desk.repository, "Loosen the floor")
    desk.write_packet(TAG, "s2")
    with nothing_written(desk):
        assert_refused(warm.pytest(desk, *desk.stage_arguments(TAG, "s2")), "policy changed since the freeze")


@pytest.fixture(scope="module")
def halfway(road: Road, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk whose tag has passed S1, with the packet of S2 written, that is only ever refused."""
    desk = road.at("s1", tmp_path_factory.mktemp("halfway") / "desk")
    desk.write_packet(TAG, "s2")
    return desk


CONTRADICTIONS = {
    "spent": ("s1", (), f"s1 of tag {TAG} is spent"),
    "a stage left out": ("s3", (), "s3 follows on s2: expected an official PASS of s2"),
    "another owner": ("s2", ("--owner", "otto"), "--owner is not as frozen: expected olga, found otto"),
    "another candidate": (
        "s2",
        ("--candidate", "fixtures/demo/candidate.toml"),
        "--candidate is not as frozen: expected ",
    ),
    "a late root cause": ("s2", ("--supersedes", TAG, "--root-cause", "data:late"), "belong to s0"),
    "another number of shards": ("s2", ("--wf-shards", "4"), "--wf-shards is not as frozen: expected 2, found 4"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_request_that_contradicts_the_record_is_refused(warm, halfway, name):
    stage, options, what = CONTRADICTIONS[name]
    with nothing_written(halfway):
        assert_refused(warm.pytest(halfway, f"gates/{stage}", "--decision-tag", TAG, *options), what)


def test_a_tag_is_used_once(warm, halfway):
    with nothing_written(halfway):
        assert_refused(warm.pytest(halfway, *halfway.stage_arguments(TAG, "s0")), f"s0 of tag {TAG} is spent")


@pytest.mark.skipif(CORES < 2, reason="a run cannot be pinned below a profile of one core")
def test_a_machine_below_the_profile_runs_unofficially_or_not_at_all(warm, road, tmp_path):
    desk = road.at("s1", tmp_path / "desk")
    desk.write_packet(TAG, "s2")
    arguments = desk.stage_arguments(TAG, "s2")
    with nothing_written(desk):
        assert_refused(
            desk.on_one_core(*arguments),
            "below the workstation profile: expected what it asks for, found 1 cores, the profile asks for 2",
        )

    for _ in range(2):
        ended = desk.on_one_core(*arguments, "--unofficial")
        assert ended.status == 0, ended.output
        assert "UNOFFICIAL" in ended.output
        assert "unofficial: promotes nothing" in ended.output
    assert [
        (row["official"], row["verdict"]) for row in desk.rows() if row["stage"] == "s2" and row["event"] == "FINISHED"
    ] == [("false", "PASS")] * 2
    assert desk.report("s2")["official_reasons"] == ["1 cores, the profile asks for 2", "--unofficial was given"]
    assert sha256_file(desk.pack("s2") / "evidence.json") == sha256_file(road.after("s2").pack("s2") / "evidence.json")

    desk.write_packet(TAG, "s3")
    with nothing_written(desk):
        assert_refused(
            warm.pytest(desk, *desk.stage_arguments(TAG, "s3")), "s3 follows on s2: expected an official PASS of s2"
        )
