"""The documentation is complete and true, because these tests say so."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

from engines.candidate import load_candidate
from reports.criteria.policy import POLICY_FILE, load_policy
from reports.criteria.remedies import TABLE, Remedy, remedies, remedy_of
from reports.criteria.rerun import ROOT_CAUSES
from reports.criteria.verdict import Verdict
from reports.desk.cli import build_parser
from reports.desk.gate_reference import REFERENCES, gate_reference
from reports.pack.render import ReportHeader, report_json
from reports.record.chain import COLUMNS
from reports.record.workspace import STAGES, DeskSettings
from reports.run.request import OWN_FLAGS, OWN_OPTIONS, PROCESS_OPTIONS, parse_request

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
PAGES = sorted(
    [*REPOSITORY.glob("*.md"), *DOCS.glob("*.md"), *DOCS.glob("adr/*.md"), DOCS / "production_research" / "README.md"]
)
HAND_WRITTEN = [REPOSITORY / "README.md", DOCS / "tutorial.md", DOCS / "desk.md", DOCS / "signing.md"]
FOLDERS = "engines|fixtures|gates|reports|scripts|tests|benchmarks"


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def everything() -> str:
    return "\n".join(map(text_of, PAGES))


def blocks(path: Path, language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text_of(path), flags=re.MULTILINE | re.DOTALL)
    return [body for tongue, body in fenced if tongue == language]


def commands(program: str, pages: Iterable[Path] = HAND_WRITTEN) -> list[str]:
    """Every command line of `program` in the shell blocks of the pages that people type from, in order, each once."""
    lines = [line for page in pages for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    return list(dict.fromkeys(line.partition("  #")[0].strip() for line in lines if line.startswith(f"{program} ")))


def subcommands() -> list[str]:
    actions = build_parser()._actions
    return list(next(action.choices for action in actions if isinstance(action, argparse._SubParsersAction)))


@pytest.mark.parametrize("name", subcommands())
def test_every_subcommand_is_documented(name: str) -> None:
    assert f"stagegate {name}" in everything()


def test_every_option_is_documented_with_its_own_help() -> None:
    rows = re.findall(r"^\| `(--[a-z-]+)` \| (.*) \|$", text_of(DOCS / "formats.md"), flags=re.MULTILINE)
    assert dict(rows) == {**OWN_OPTIONS, **OWN_FLAGS}


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text_of(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_relative_link_resolves(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def test_every_page_is_reached_from_the_readme() -> None:
    linked = set(re.findall(r"\]\((docs/[a-z_]+\.md)\)", text_of(REPOSITORY / "README.md")))
    assert {f"docs/{page.name}" for page in DOCS.glob("*.md")} <= linked


@pytest.mark.parametrize("line", commands("stagegate"))
def test_every_stagegate_command_parses(line: str) -> None:
    assert callable(build_parser().parse_args(shlex.split(line)[1:]).command)


@pytest.mark.parametrize("line", commands("pytest"))
def test_every_pytest_command_parses(line: str, tmp_path: Path) -> None:
    words = shlex.split(line)[1:]
    known = OWN_OPTIONS.keys() | OWN_FLAGS.keys() | PROCESS_OPTIONS
    assert {word for word in words if word.startswith("-")} <= known
    assert (REPOSITORY / words[0]).is_dir()
    if "--decision-tag" in words:
        placed = [str(tmp_path) if word == "~/desk" else word for word in words]
        inifile = REPOSITORY / "pyproject.toml"
        request = parse_request(placed, {}, invocation_dir=REPOSITORY, repository=REPOSITORY, inifile=inifile)
        assert words[0] == f"gates/{request.stage}"


def test_the_tutorial_takes_every_stage() -> None:
    recorded = [line for line in commands("pytest", [DOCS / "tutorial.md"]) if "--decision-tag" in line]
    assert [shlex.split(line)[1] for line in recorded] == [f"gates/{stage}" for stage in STAGES]


def test_the_tutorial_ends_with_a_rollback_that_fired() -> None:
    monitored = commands("stagegate", [DOCS / "tutorial.md"])
    assert sum(line.startswith("stagegate monitor ") for line in monitored) == 2
    told = [block for block in blocks(DOCS / "tutorial.md", "") if "live days" in block]
    assert [("ROLL BACK, exit 11" in block, "IN BOUNDS, exit 0" in block) for block in told] == [
        (False, True),
        (True, False),
    ]


def test_scripts_are_called_with_options_they_know() -> None:
    for page in HAND_WRITTEN:
        for line in "\n".join(blocks(page, "sh")).splitlines():
            found = re.match(r"(?:\./)?(scripts/[a-z_]+\.sh)\b(.*)", line.partition(" #")[0])
            if found:
                script = text_of(REPOSITORY / found[1])
                assert {option for option in re.findall(r"--[a-z-]+", found[2]) if option not in script} == set(), line


def test_each_decision_has_a_number_of_its_own_and_none_is_left_out() -> None:
    decisions = sorted(DOCS.glob("adr/[0-9]*.md"))
    assert [int(path.name.partition("-")[0]) for path in decisions] == list(range(1, len(decisions) + 1))
    assert [int(re.match(r"# (\d+)\. ", text_of(path))[1]) for path in decisions] == list(range(1, len(decisions) + 1))


def test_every_file_that_is_named_exists() -> None:
    missing = []
    for page in PAGES:
        for name in re.findall(rf"(?<![\w/.~-])((?:{FOLDERS})/[\w/.-]+\.(?:py|toml|sh))\b", text_of(page)):
            missing += [f"{page.name}: {name}"] if not (REPOSITORY / name).exists() else []
    assert missing == []


def test_every_module_that_is_named_exists() -> None:
    names = set(re.findall(rf"\b((?:{FOLDERS})(?:\.[a-z_]+)+)\b(?!\()", everything()))
    modules = {name for name in names if not re.search(r"\.(py|toml|sh|md|csv|json)$", name)}
    assert {name for name in modules if not found(name)} == set()


def found(name: str) -> bool:
    """Whether `name` is a module, or something in one."""
    parts = name.split(".")
    for stop in range(len(parts), 0, -1):
        path = REPOSITORY.joinpath(*parts[:stop])
        if path.is_dir() or path.with_suffix(".py").is_file():
            rest = parts[stop:]
            source = text_of(path.with_suffix(".py")) if path.with_suffix(".py").is_file() else ""
            return not rest or re.search(rf"\b{re.escape(rest[0])}\b", source) is not None
    return importlib.util.find_spec(parts[0]) is not None


def test_the_gate_reference_is_fresh() -> None:
    remedy = "run `python -m reports.desk.gate_reference > docs/gates.md`"
    assert text_of(DOCS / "gates.md") == gate_reference(REPOSITORY), remedy


def test_every_hard_gate_says_what_to_do_and_no_entry_is_stale() -> None:
    rows = load_policy(REPOSITORY / POLICY_FILE).gate
    without = [row.key for row in rows if row.level == "hard" and remedy_of(row.key) is None]
    assert without == [], f"write their lines in {TABLE.name}"
    starts = [*REFERENCES, *(remedy.gate for remedy in remedies())]
    assert {start for start in starts if not any(row.key.startswith(start) for row in rows)} == set()
    assert len(set(starts[len(REFERENCES) :])) == len(remedies())


@pytest.mark.parametrize("remedy", remedies(), ids=lambda remedy: remedy.gate)
def test_what_a_remedy_tells_to_type_is_there(remedy: Remedy) -> None:
    assert all((remedy.cause, remedy.look, remedy.change))
    assert remedy.root_cause in ROOT_CAUSES
    rows = [row for row in load_policy(REPOSITORY / POLICY_FILE).gate if row.key.startswith(remedy.gate)]
    packs = text_of(DOCS / "formats.md").split("## Packs")[1]
    for stage in {row.stage for row in rows}:
        left = (
            packs.split("Every pack:")[1].split("\n\n")[0] + re.search(rf"^\| {stage} \| (.*)$", packs, re.MULTILINE)[1]
        )
        assert all(f"`{name}`" in left for name in re.findall(r"PACK/([\w.]+)", remedy.look)), stage
    program, *words = shlex.split(remedy.look)
    if program == "stagegate":
        assert callable(build_parser().parse_args(words).command)
    if "-k" in words:
        assert all(words[words.index("-k") + 1] in row.test.partition("::")[2] for row in rows)


def test_the_registry_columns_are_documented_in_their_order() -> None:
    block = next(block for block in blocks(DOCS / "formats.md", "") if block.startswith("seq, event"))
    assert tuple(re.split(r",\s+", block.strip())) == COLUMNS


def test_the_report_keys_are_documented() -> None:
    header = ReportHeader("s0", "t", "r", "c", "f", "o", True, (), "", "", {}, {}, {})
    report = report_json(header, Verdict("INCOMPLETE", (), (), ()), ())
    block = next(block for block in blocks(DOCS / "formats.md", "") if block.startswith("schema, stage"))
    assert {key for key in report if not re.search(rf"\b{key}\b", block)} == set()


@pytest.mark.parametrize("page", ["formats.md", "tutorial.md"])
def test_the_candidate_that_is_shown_is_valid(page: str, tmp_path: Path) -> None:
    shown = next(block for block in blocks(DOCS / page, "toml") if block.startswith("schema = 1\nname"))
    (tmp_path / "candidate.toml").write_text(shown, encoding="utf-8")
    assert load_candidate(tmp_path / "candidate.toml").name == "momentum-12-1"


def settings_shown() -> list[tuple[str, str]]:
    pages = ("formats.md", "tutorial.md", "desk.md", "signing.md")
    shown = [(page, block) for page in pages for block in blocks(DOCS / page, "toml")]
    shown += [
        ("tutorial.md", re.search(r"<<'END'\n(.*?)^END", text_of(DOCS / "tutorial.md"), re.DOTALL | re.MULTILINE)[1])
    ]
    return [
        (page, block)
        for page, block in shown
        if re.search(r"^\[(workstation|committee|registry)\]", block, re.MULTILINE)
    ]


def test_the_settings_that_are_shown_are_valid() -> None:
    assert {page for page, _ in settings_shown()} == {"formats.md", "tutorial.md", "desk.md", "signing.md"}
    for _, block in settings_shown():
        assert DeskSettings.model_validate(tomllib.loads(block))


def test_the_default_settings_are_the_documented_ones() -> None:
    shown = next(block for page, block in settings_shown() if page == "formats.md")
    assert tomllib.loads(shown) == DeskSettings().model_dump()


def test_no_page_names_a_machine() -> None:
    for page in PAGES:
        assert re.findall(r"(?<![\w~.])/(?:home|root|tmp|work|Users)/\S*", text_of(page)) == [], page
