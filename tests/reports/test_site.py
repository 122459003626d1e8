"""The site of a record: what it says is on record, whatever the record holds is text, its links lead somewhere, and it overwrites nothing of another's."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.desk import cli
from reports.desk.site import MARKER, embedded, write_site
from reports.desk.site_model import stem_of
from reports.record.durable import dump_json, replace
from reports.record.errors import RequestRefused
from reports.record.workspace import Workspace
from tests.reports.page_rows import Page
from tests.reports.recorded_site import FIRST, SECOND, two_tags
from tests.reports.recorded_tag import cell, gate, new_workspace, record_passes, record_stage
from tests.reports.sample_figures import HOSTILE


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return new_workspace(tmp_path / "desk")


def built(workspace: Workspace, out: Path) -> dict[str, str]:
    """Every page of the site, by name."""
    write_site(workspace, out)
    return {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*.html")}


def test_it_shows_every_decision_and_where_it_stands(workspace: Workspace, tmp_path: Path):
    two_tags(workspace)
    pages = built(workspace, tmp_path / "site")
    rows = {row[0]: row for row in Page(pages["index.html"]).rows}
    assert rows[FIRST][1:9] == [
        "s3",
        "FAILsuperseded",
        "momentum-12-1",
        "momentum",
        "olga",
        "s3.net_sharpe",
        "-0.4",
        "-",
    ]
    assert rows[SECOND][1:4] == ["s3", "PASS", "momentum-12-1"]
    tag = Page(pages[f"tags/{FIRST}.html"])
    stages = {row[0]: row for row in tag.rows if len(row) == 6}
    assert stages["s0Scope freeze"][1] == "PASS"
    assert stages["s3Production gates"][1:4] == ["FAIL", "s3.net_sharpe", "-0.4"]
    assert stages["s4Deployment readiness"][1:] == ["-", "-", "-", "-", "-"]
    assert ["s3.net_sharpe", "-", "failed", "-0.4", "> 0", "-0.4"] in tag.rows
    assert ["portfolio.short_fraction", "0.2"] in tag.rows
    assert [row[0] for row in Page(pages["families.html"]).rows[1:]] == [SECOND, FIRST]
    assert any("s3.net_sharpe" in row[0] and row[2] == "1" for row in Page(pages["failures.html"]).rows)
    assert "does not verify" not in "".join(pages.values())


def test_compare_holds_configuration_gates_and_curve(workspace: Workspace, tmp_path: Path):
    two_tags(workspace)
    data = compared(built(workspace, tmp_path / "site"))
    assert {data[tag]["config"]["portfolio.short_fraction"] for tag in (FIRST, SECOND)} == {"0.2", "0.3"}
    assert data[FIRST]["gates"]["s3.net_sharpe"] == "failed: -0.4 (> 0)"
    assert data[SECOND]["curve"][0] == ["2020-01-03", 0.01]
    assert [point[0] for point in data[SECOND]["curve"]] == ["2020-01-03", "2020-01-10", "2020-04-03"]


def compared(pages: dict[str, str]) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', pages["compare.html"], re.S)
    assert found
    return json.loads(found[1])


def test_every_link_leads_to_a_page(workspace: Workspace, tmp_path: Path):
    two_tags(workspace)
    record_stage(workspace, "Upper.Case", "s0")
    out = tmp_path / "site"
    links = 0
    for name, html in built(workspace, out).items():
        for address in Page(html).addresses:
            path = address.partition("#")[0]
            if path and not path.startswith("data:"):
                links += 1
                assert ((out / name).parent / path).is_file(), (name, address)
    assert links > 40


def test_hostile_text_is_text(workspace: Workspace, tmp_path: Path):
    hostile = {"owner": HOSTILE, "candidate": HOSTILE, "family": HOSTILE}
    gates = {HOSTILE: gate({**cell(-0.4, outcome="failed"), "note": HOSTILE, "id": HOSTILE})}
    record_stage(workspace, FIRST, "s0", "FAIL", gates, weakest=(HOSTILE, "-0.4"), **hostile)
    record_stage(workspace, SECOND, "s0", supersedes=FIRST, root_cause=f"data:{HOSTILE}", **hostile)
    pages = built(workspace, tmp_path / "site")
    for name, html in pages.items():
        assert "<script>window" not in html, name
        assert "img" not in Page(html).tags, name
        assert html.count("<script") <= 2, name
        assert not any(address.startswith("javascript") for address in Page(html).addresses), name
    assert HOSTILE in Page(pages["index.html"]).text
    assert compared(pages)[FIRST]["facts"]["owner"] == HOSTILE


@given(st.recursive(st.text() | st.floats(allow_nan=False, allow_infinity=False), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_embedded_json_comes_back_and_cannot_leave_its_element(value: Any):
    text = str(embedded(value))
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)


def test_an_empty_registry_is_a_page_that_says_so(workspace: Workspace, tmp_path: Path):
    pages = built(workspace, tmp_path / "site")
    assert sorted(pages) == ["compare.html", "failures.html", "families.html", "index.html"]
    assert "The registry is empty" in Page(pages["index.html"]).text


@pytest.mark.parametrize("damage", ["missing", "older", "nonsense"])
def test_a_damaged_pack_is_a_page_that_says_so(workspace: Workspace, tmp_path: Path, damage: str):
    two_tags(workspace)
    honest = built(workspace, tmp_path / "honest")
    report = next(path for path in workspace.gate_results.glob("production_gates*/*.json") if FIRST in path.read_text() and path.name.endswith("report.json"))  # fmt: skip
    if damage == "missing":
        report.unlink()
    else:
        replace(report, dump_json({"schema": 0, "gates": 7} if damage == "older" else ["nonsense"]))
    pages = built(workspace, tmp_path / "site")
    page = f"reports/{FIRST}.s3.html"
    assert "No report" in Page(pages[page]).text
    assert "No report" not in Page(honest[page]).text
    assert "no report: why of s3" in Page(pages[f"tags/{FIRST}.html"]).text
    assert all("does not verify" in Page(html).text for name, html in pages.items() if not name.startswith("reports/"))


def test_a_registry_that_does_not_verify_is_said_on_every_page(workspace: Workspace, tmp_path: Path):
    record_passes(workspace, FIRST)
    replace(workspace.registry, workspace.registry.read_bytes().replace(b"olga", b"otto"))
    pages = built(workspace, tmp_path / "site")
    assert all("does not verify" in Page(html).text for name, html in pages.items() if not name.startswith("reports/"))


def test_it_replaces_its_own_site_and_nothing_else(workspace: Workspace, tmp_path: Path):
    out = tmp_path / "site"
    out.mkdir()
    write_site(workspace, out)
    record_passes(workspace, FIRST)
    write_site(workspace, out)
    assert (out / "tags" / f"{FIRST}.html").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["desk", "site"]
    (out / "mine.txt").write_text("mine")
    with pytest.raises(RequestRefused, match=r"mine\.txt"):
        write_site(workspace, out)
    (out / MARKER).unlink()
    with pytest.raises(RequestRefused, match="no earlier site"):
        write_site(workspace, out)
    assert (out / "mine.txt").read_text() == "mine"
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(out)
    for elsewhere in (tmp_path / "file", tmp_path / "link", workspace.gate_results / "site"):
        with pytest.raises(RequestRefused):
            write_site(workspace, elsewhere)
    shutil.rmtree(out)


def test_the_command_says_what_it_wrote_and_refuses_in_words(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    record_passes(workspace, FIRST)
    place = ["--workspace", str(workspace.root)]
    assert cli.main(["site", "--out", str(tmp_path / "site"), *place]) == 0
    assert "1 tag, 10 files; open index.html" in capsys.readouterr().out
    assert cli.main(["site", "--out", str(tmp_path), *place]) == 4
    assert "refused: holds files and no earlier site" in capsys.readouterr().err


@given(st.text(min_size=1))
def test_a_tag_names_one_file_in_its_folder(tag: str):
    stem = stem_of(tag)
    assert re.fullmatch(r"[a-z0-9._-]+", stem)
    assert "/" not in stem
    assert ".." not in stem
    assert tag == stem or stem_of(tag.swapcase()) != stem or tag == tag.swapcase()
