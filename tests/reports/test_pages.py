"""The page of a report: what it says is in the json, whatever the json holds is text, and whatever is wrong is a page that says so."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.pack.markdown import report_markdown
from reports.pack.render import interval_text, number
from reports.pages.charts import BUILDERS, draw
from reports.pages.reading import current
from reports.pages.report_page import fault_page, gate_lines, heat_class, page_of, report_page
from reports.pages.svg import Scale, nice_ticks, padded, year_ticks
from reports.record.durable import dump_json
from reports.record.errors import RecordError
from tests.reports.page_rows import Page
from tests.reports.sample_figures import HOSTILE, sample_figures, sample_report

ELEMENTS = {
    *("html", "head", "meta", "link", "title", "style", "body", "a", "header", "p", "h1", "h2", "strong", "span", "nav", "ul", "li", "b"),
    *("main", "dl", "div", "dt", "dd", "table", "caption", "thead", "tbody", "tr", "th", "td", "small", "wbr", "details", "summary"),
    *("figure", "figcaption", "svg", "path", "line", "rect", "text", "circle", "pre", "footer", "code", "ol"),
}  # fmt: skip
"""Every element that a page may hold."""


def test_the_page_shows_every_number_of_the_report():
    report = sample_report("FAIL")
    page = Page(page_of(report, "r.json"))
    rows = {tuple(row[:6]) for row in page.rows if len(row) == 10}
    for gate in report["gates"].values():
        for cell in gate["cells"]:
            for each in cell["evidence"]:
                bound = f"{each['relation']} {number(each['bound'])}"
                shown = (
                    each["threshold"],
                    cell["id"],
                    number(each["measured"]),
                    interval_text(each["interval"]),
                    bound,
                    number(each["margin"]),
                )
                assert shown in rows
    for figure in report["figures"].values():
        assert figure["caption"] in page.text
    shown_rows = [row for row in page.rows if row]
    assert ["wf-2", "-0.30", "-1.10", "-"] in shown_rows
    assert ["0", "wf-1", "2020-01-02", "2020-02-14", "0.02", "-0.01 .. 0.05", "60"] in shown_rows
    assert ["1", "0.05", "1"] in shown_rows
    assert ["a", "x=1", "1.2", "0.01"] in shown_rows


@pytest.mark.parametrize("name", ["PASS", "FAIL", "INCOMPLETE"])
def test_page_and_markdown_give_the_same_reason(name):
    report = sample_report(name)
    said = report_markdown(report).splitlines()[2]
    assert said in Page(page_of(report, "r.json")).text


def test_what_did_not_pass_stands_first():
    lines = gate_lines(current(sample_report("FAIL"), "r.json")[0]["gates"])
    assert [(line.threshold, line.outcome, line.cell) for line in lines] == [
        ("s3.net_sharpe", "failed", "-"),
        ("s3.shard_net_t", "passed", "wf-2 x1.5"),
    ]
    assert lines[0].share == pytest.approx(-0.8 / 1.8)
    missing = gate_lines(current(sample_report("INCOMPLETE"), "r.json")[0]["gates"])[0]
    assert (missing.threshold, missing.outcome, missing.measured, missing.share) == (
        "s3.net_sharpe",
        "missing",
        "-",
        None,
    )


def test_the_same_report_gives_the_same_bytes():
    report = sample_report("PASS")
    again = json.loads(dump_json(report))
    assert page_of(report, "r.json") == page_of(again, "r.json")


@pytest.mark.parametrize(
    "html",
    [page_of(sample_report("FAIL", HOSTILE, HOSTILE), "r.json", [HOSTILE]), fault_page(HOSTILE, [HOSTILE])],
    ids=["report", "fault"],
)
def test_hostile_text_is_text(html):
    page = Page(html)
    assert page.tags <= ELEMENTS
    assert HOSTILE in page.text
    assert all(re.match(r"#[a-z-]+$|data:,$", address) for address in page.addresses)


@settings(max_examples=25)
@given(st.text(max_size=60))
def test_no_text_becomes_markup(text):
    page = Page(page_of(sample_report("INCOMPLETE", text, text), "r.json", [text]))
    assert page.tags <= ELEMENTS
    assert not [address for address in page.addresses if not address.startswith(("#", "data:,"))]


def earlier_version(report: dict[str, Any]) -> None:
    for key in ("figures", "windows", "remediation", "notes", "weakest", "absent", "official_reasons"):
        del report[key]
    for gate in report["gates"].values():
        for cell in gate["cells"]:
            for key in ("steps", "interval", "evidence", "note"):
                del cell[key]


def test_a_report_of_an_earlier_version_says_so_and_shows_its_gates():
    report = sample_report("FAIL")
    earlier_version(report)
    page = Page(report_page(report, "r.json"))
    assert "written before figures were recorded" in page.text
    assert "-0.4" in page.text
    assert "-0.4" in report_markdown(current(report, "r.json")[0])


def drop(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(report: dict[str, Any]) -> None:
        for key in path[:-1]:
            report = report[key]
        del report[path[-1]]

    return change


def put(value: Any, *path: Any) -> Callable[[dict[str, Any]], None]:
    def change(report: dict[str, Any]) -> None:
        for key in path[:-1]:
            report = report[key]
        report[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (drop("gates"), "gates is NoneType, expected dict"),
        (drop("owner"), "owner is NoneType, expected str"),
        (put([], "gates"), "gates is list, expected dict"),
        (put("maybe", "verdict"), "stage 's3' with verdict 'maybe'"),
        (put("0.4", "gates", "s3.net_sharpe", "cells", 0, "measured"), "s3.net_sharpe.measured is str, expected int or float or nothing"),
        (put([], "gates", "s3.net_sharpe", "cells"), "s3.net_sharpe has no cell"),
        (put(7, "gates", "s3.net_sharpe", "cells", 0), "s3.net_sharpe.cells is int, expected dict"),
        (put(True, "schema"), "schema is bool, expected int"),
        (put({"growth": {"caption": "c"}}, "figures"), "cannot be shown: KeyError: 'dates'"),
        (put(["0"], "remediation"), "cannot be shown: UndefinedError"),
        (put([[1]], "figures", "cost_heat", "net_t"), "cannot be shown: ValueError"),
        (put({"gate": "s9.x", "cell": "-"}, "weakest"), "cannot be shown: KeyError: 's9.x'"),
    ],
)  # fmt: skip
def test_a_damaged_report_is_a_page_that_says_so(change, said):
    report = sample_report("PASS")
    change(report)
    with pytest.raises(RecordError, match=re.escape(said)):
        report_page(report, "r.json")
    page = Page(page_of(report, "r.json"))
    assert said in page.text
    assert "stagegate verify" in page.text


@settings(max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
    st.randoms(),
)
def test_whatever_stands_anywhere_in_a_report_never_breaks_the_page(value, random):
    report: Any = copy.deepcopy(sample_report("FAIL"))
    at = report
    for _ in range(random.randint(0, 4)):
        key = random.choice(list(at) if isinstance(at, dict) else range(len(at)))
        if not isinstance(at[key], dict | list) or not at[key]:
            break
        at = at[key]
    at[random.choice(list(at) if isinstance(at, dict) else range(len(at)))] = value
    assert page_of(report, "r.json").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("report", [None, 7, "x", [], {}])
def test_what_is_no_report_is_a_page_that_says_so(report):
    assert "this is no report" in Page(page_of(report, "r.json")).text


def test_a_page_of_any_file_from_the_command_line(tmp_path: Path):
    path = tmp_path / "r.json"
    path.write_bytes(dump_json(sample_report("PASS")))
    done = subprocess.run(
        [sys.executable, "-m", "reports.pages", str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == page_of(json.loads(path.read_bytes()), "r.json")
    refused = subprocess.run(
        [sys.executable, "-m", "reports.pages", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (refused.returncode, refused.stdout) == (4, "")
    assert refused.stderr.startswith("refused: ")


# ------------------------------------------------------------------------------------------------------------ drawings


@pytest.mark.parametrize("name", [name for name in BUILDERS if name != "holdout"])
def test_every_mark_lies_inside_its_drawing(name):
    chart = draw(name, sample_figures()[name])
    assert chart is not None
    for drawing in (chart.wide, chart.narrow):
        for mark in drawing.marks:
            placed = dict(mark.attributes)
            xs = [float(placed[key]) for key in ("x", "x1", "x2", "cx") if key in placed] + [
                float(x) for x in re.findall(r"[ML]([-\d.]+)", placed.get("d", ""))
            ]
            ys = [float(placed[key]) for key in ("y", "y1", "y2", "cy") if key in placed] + [
                float(y) for y in re.findall(r"[ML][-\d.]+ ([-\d.]+)", placed.get("d", ""))
            ]
            assert all(0 <= x <= drawing.width for x in xs), mark
            assert all(0 <= y <= drawing.height for y in ys), mark


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(1, 12))
def test_ticks_are_few_round_and_inside(low, span, count):
    high = low + span
    ticks = nice_ticks(low, high, count)
    step = 1e-9 * max(abs(low), abs(high))
    assert len(ticks) <= 2 * count + 2
    assert all(low - step <= tick <= high + step for tick in ticks)
    assert ticks == sorted(ticks)


def test_ticks_are_multiples_of_one_two_or_five():
    assert nice_ticks(0, 1, 5) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert nice_ticks(-0.9, 0.2, 3) == [-0.5, 0]
    assert nice_ticks(3, 3, 5) == [3]


def test_dates_are_marked_at_the_first_of_a_year_or_a_quarter():
    ordinal = __import__("datetime").date.fromisoformat
    span = [ordinal(day).toordinal() for day in ("2016-12-23", "2019-03-07")]
    assert [label for _, label in year_ticks(*span, 10)] == [
        "2017-01",
        "2017-04",
        "2017-07",
        "2017-10",
        "2018-01",
        "2018-04",
        "2018-07",
        "2018-10",
        "2019-01",
    ]
    assert [label for _, label in year_ticks(*span, 4)] == ["2017", "2018", "2019"]


def test_a_scale_goes_from_end_to_end_and_a_point_has_a_place():
    scale = Scale(-1.0, 3.0, 100.0, 20.0)
    assert (scale(-1.0), scale(1.0), scale(3.0)) == (100.0, 60.0, 20.0)
    assert Scale(2.0, 2.0, 5.0, 9.0)(2.0) == 5.0
    assert padded([None, 1.0, 3.0], around=(0.0,)) == pytest.approx((-0.15, 3.15))
    assert padded([]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("t", "klass"),
    [
        (-2.0, "loss-3"),
        (-1.65, "loss-3"),
        (-1.2, "loss-2"),
        (-0.1, "loss-1"),
        (0.0, "gain-1"),
        (1.2, "gain-2"),
        (3.0, "gain-3"),
        (None, ""),
    ],
)
def test_colours_follow_the_floor_of_the_gate(t, klass):
    assert heat_class(t) == klass
