"""The packet: what a person must have written, and what a run may add."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.pack.packet import HEADINGS, PROMPTS, check_human_parts, complete, packet_template, write_template
from reports.record.errors import RequestRefused
from reports.record.workspace import STAGES, Workspace

TAG, STAGE = "mom-2026-01", "s1"
WRITTEN = {
    "What changed": "First tag of the family: twelve-month momentum, skipping the last month.",
    "Why": "Underreaction to news; Jegadeesh and Titman 1993, and our own file of 2013 to 2018.",
    "Expected impact and risk": "Net Sharpe near 0.8. It crashes in sharp rebounds; we would see it in the drawdown.",
    "Next action": "Run s2 when this passes; otherwise stop and write down why.",
}


def packet(**changes: str) -> str:
    """A written packet, with the bodies of some sections changed (spaces in a heading are underscores)."""
    bodies = WRITTEN | {name.replace("_", " "): body for name, body in changes.items()}
    template = packet_template(TAG, STAGE)
    for heading, prompt in PROMPTS.items():
        template = template.replace(f"<!-- {prompt} -->", bodies[heading])
    return template


def test_the_template_has_the_headings_of_the_format_and_is_refused() -> None:
    template = packet_template(TAG, STAGE)
    assert [line for line in template.splitlines() if line.startswith("#")] == [
        f"# {TAG} {STAGE}",
        *(f"## {name}" for name in HEADINGS),
    ]
    problems = check_human_parts(template, TAG, STAGE)
    assert problems == tuple(f"'## {name}' is not written" for name in PROMPTS)


def test_a_written_packet_is_accepted() -> None:
    assert check_human_parts(packet(), TAG, STAGE) == ()
    assert check_human_parts(packet().replace("\n", "\r\n"), TAG, STAGE) == ()
    assert check_human_parts("\ufeff" + packet(), TAG, STAGE) == ()


@pytest.mark.parametrize(
    "body",
    [
        *(
            "First tag.",
            "Erstes Ticket der Familie",
            "首次提交十二个月动量策略并跳过最近一个月",
            "todo el mercado sube",
            "### Detail\n\nN/A before 2013.",
        ),
        "Costs:\n\n```\n## not a heading\n```\n\nas above.",
        "<!-- a note to myself --> Two words",
    ],
)
def test_what_a_person_wrote_is_accepted(body: str) -> None:
    assert check_human_parts(packet(What_changed=body), TAG, STAGE) == ()


@pytest.mark.parametrize("heading", PROMPTS)
@pytest.mark.parametrize(
    "body",
    [
        *(
            "",
            "   \n\t",
            "TODO",
            "todo",
            "tbd",
            "T.B.D.",
            "n/a",
            "N/A.",
            "none",
            "-",
            "...",
            "?",
            "x",
            "asdf",
            "placeholder",
            "**TODO**",
        ),
        *(
            "The reason is TODO",
            "Lorem ipsum dolor sit amet",
            "To be written.",
            "see above",
            "<describe the change>",
            "{{ why }}",
            "ok",
        ),
        *("<!-- hidden words only -->", "<!-- never closed, so nothing shows"),
    ],
)
def test_empty_and_placeholder_parts_are_refused(heading: str, body: str) -> None:
    problems = check_human_parts(packet(**{heading.replace(" ", "_"): body}), TAG, STAGE)
    assert any(f"'## {heading}'" in problem for problem in problems)


@pytest.mark.parametrize("heading", PROMPTS)
def test_the_templates_own_words_are_refused(heading: str) -> None:
    problems = check_human_parts(packet(**{heading.replace(" ", "_"): f"**{PROMPTS[heading]}**"}), TAG, STAGE)
    assert problems == (f"'## {heading}' is the template's own text",)


@pytest.mark.parametrize("heading", HEADINGS)
def test_a_missing_or_repeated_section_is_refused(heading: str) -> None:
    assert f"'## {heading}' is missing" in check_human_parts(packet().replace(f"## {heading}\n", ""), TAG, STAGE)
    assert f"'## {heading}' stands there 2 times" in check_human_parts(
        packet() + f"\n## {heading}\n\nAgain, with words.\n", TAG, STAGE
    )


def test_another_tags_or_stages_packet_is_refused() -> None:
    assert check_human_parts(packet(), "mom-2026-02", STAGE) == (
        f"the first heading is '{TAG} {STAGE}', expected '# mom-2026-02 s1'",
    )
    assert check_human_parts(packet(), TAG, "s2")
    assert check_human_parts("", TAG, STAGE)[0] == f"the first heading is '', expected '# {TAG} {STAGE}'"


def test_sections_of_ones_own_and_another_order_are_refused() -> None:
    assert check_human_parts(packet().replace("## Evidence", "## Notes\n\n## Evidence"), TAG, STAGE) == (
        "'## Notes' is no section of a packet; use ###",
    )
    swapped = (
        packet().replace("## Why", "## W").replace("## What changed", "## Why").replace("## W\n", "## What changed\n")
    )
    assert "the sections are in the order Why, What changed" in check_human_parts(swapped, TAG, STAGE)[0]


def test_a_run_fills_its_sections_and_nothing_else() -> None:
    before = packet()
    after = complete(before, ["- pack: `gate_results/x`"], ["PASS. All well."])
    assert after.startswith(before[: before.index("## Evidence")])
    assert after.endswith("## Evidence\n\n- pack: `gate_results/x`\n\n## Outcome\n\nPASS. All well.\n")
    assert check_human_parts(after, TAG, STAGE) == ()


def test_a_second_run_adds_below_the_first() -> None:
    once = complete(packet(), ["- first"], ["FAIL. No."])
    twice = complete(once, ["- second"], ["PASS. Yes."])
    assert twice.endswith("## Evidence\n\n- first\n\n- second\n\n## Outcome\n\nFAIL. No.\n\nPASS. Yes.\n")


def test_sections_that_a_person_deleted_come_back() -> None:
    cut = packet()[: packet().index("## Evidence")]
    assert complete(cut, ["- pack"], ["PASS."]).endswith("## Evidence\n\n- pack\n\n## Outcome\n\nPASS.\n")


LINES = st.lists(
    st.text(max_size=60) | st.sampled_from(["## Why", "# x", "```", "<!-- ", "a\n## Outcome\n", "\r\n# y", "---"]),
    max_size=4,
)


@given(evidence=LINES, outcome=LINES, newline=st.sampled_from(["\n", "\r\n"]), body=st.text(max_size=80))
def test_no_message_changes_what_a_person_wrote(
    evidence: list[str], outcome: list[str], newline: str, body: str
) -> None:
    before = packet(Why=body).replace("\n", newline)
    kept = before[: before.index("## Evidence")]
    after = complete(complete(before, evidence, outcome), evidence, outcome)
    assert after.startswith(kept)
    assert check_human_parts(after, TAG, STAGE) == check_human_parts(before, TAG, STAGE)


@given(st.text(max_size=300))
def test_every_text_has_an_answer(text: str) -> None:
    assert check_human_parts(text, TAG, STAGE)
    assert "## Outcome" in complete(text, ["a"], ["b"])


# ------------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize("stage", STAGES)
def test_the_template_is_written_once(tmp_path: Path, stage: str) -> None:
    workspace = Workspace(tmp_path)
    path = write_template(workspace, TAG, stage)
    assert path == tmp_path / "docs" / "production_research" / TAG / f"{stage}.md"
    path.write_text("my own words", encoding="utf-8")
    with pytest.raises(RequestRefused, match="exists already and is left as it is"):
        write_template(workspace, TAG, stage)
    assert path.read_text(encoding="utf-8") == "my own words"


@pytest.mark.parametrize(("tag", "stage"), [("../x", "s1"), ("", "s1"), (TAG, "s9"), (TAG, "S1")])
def test_strange_names_are_refused(tmp_path: Path, tag: str, stage: str) -> None:
    with pytest.raises(RequestRefused):
        write_template(Workspace(tmp_path), tag, stage)
    assert list(tmp_path.iterdir()) == []


def test_links_are_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "desk")
    workspace.research.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    workspace.packet_dir(TAG).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RequestRefused, match="a link stands"):
        write_template(workspace, TAG, STAGE)
    assert list((tmp_path / "elsewhere").iterdir()) == []
