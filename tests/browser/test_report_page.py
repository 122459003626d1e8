"""The page in a browser: it says nothing on the console, asks for nothing, works by keyboard, can be read by everyone, and text stays text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reports.pages.report_page import fault_page, page_of
from tests.browser.conftest import REPOSITORY, Browser
from tests.reports.sample_figures import HOSTILE, sample_report

EXAMPLE = REPOSITORY / "docs" / "examples" / "production_gates_report.html"
SIZES = [
    *(("example", width, scheme) for width in (1280, 390) for scheme in ("light", "dark")),
    ("incomplete", 1280, "dark"),
    ("hostile", 390, "light"),
    ("fault", 390, "dark"),
]


@pytest.fixture
def page(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The example, or one made of the sample report."""
    made = {
        "example": lambda: EXAMPLE.read_text(encoding="utf-8"),
        "incomplete": lambda: page_of(sample_report("INCOMPLETE"), "report.json"),
        "hostile": lambda: page_of(sample_report("FAIL", owner=HOSTILE, text=HOSTILE), "report.json", [HOSTILE]),
        "fault": lambda: fault_page(HOSTILE, [HOSTILE]),
    }
    path = tmp_path / "report.html"
    path.write_text(made[request.param](), encoding="utf-8")
    return path


every_page = pytest.mark.parametrize("page", ["example", "incomplete", "hostile", "fault"], indirect=True)
the_example = pytest.mark.parametrize("page", ["example"], indirect=True)


@every_page
def test_nothing_is_logged_and_nothing_is_asked_for(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.logged("browser") == []
    assert {address for address in browser.requested() if not address.startswith("data:")} == {page.as_uri()}


@pytest.mark.parametrize(("page", "width", "scheme"), SIZES, indirect=["page"])
def test_everyone_can_read_it(browser: Browser, axe: str, page: Path, width: int, scheme: str) -> None:
    browser.open(page, width, scheme)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert browser.violations(axe) == []


@pytest.mark.parametrize("page", ["hostile"], indirect=True)
def test_hostile_text_is_text(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.run("return window.broken") is None
    assert browser.run("return document.scripts.length") == 0
    assert HOSTILE in browser.run("return document.body.innerText")


@the_example
def test_the_keyboard_reaches_everything(browser: Browser, page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(page)
    browser.press(Keys.TAB)
    assert browser.run("return document.activeElement.className") == "skip"
    assert browser.run("return document.activeElement.getBoundingClientRect().left") >= 0
    browser.press(Keys.ENTER)
    assert browser.run("return location.hash") == "#content"
    reached = set()
    for _ in range(80):
        browser.press(Keys.TAB)
        reached.add(
            browser.run(
                "const e = document.activeElement; return e.tagName + (e.textContent || '').trim().slice(0, 30)"
            )
        )
    summaries = browser.run(
        "return [...document.querySelectorAll('summary')].map(e => 'SUMMARY' + e.textContent.trim().slice(0, 30))"
    )
    assert len(summaries) > 5
    assert set(summaries) <= reached
    browser.run("document.querySelector('summary').focus()")
    browser.press(Keys.ENTER)
    assert browser.run("return document.querySelector('details').open") is True


@the_example
def test_every_drawing_fits_the_screen_and_has_a_name(browser: Browser, page: Path) -> None:
    for width, shown, hidden in ((1280, "wide", "narrow"), (390, "narrow", "wide")):
        browser.open(page, width)
        sizes = browser.run(
            f"return [...document.querySelectorAll('svg.{shown}')].map(e => e.getBoundingClientRect().width)"
        )
        assert len(sizes) == 6
        assert all(200 < size <= width for size in sizes)
        assert set(
            browser.run(
                f"return [...document.querySelectorAll('svg.{hidden}')].map(e => e.getBoundingClientRect().width)"
            )
        ) == {0}
        assert all(
            browser.run("return [...document.querySelectorAll('svg[role=img]')].map(e => e.getAttribute('aria-label'))")
        )


@the_example
def test_it_prints(browser: Browser, page: Path) -> None:
    browser.open(page)
    printed = browser.driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    assert len(printed["data"]) > 20_000


def test_the_example_is_the_page_of_its_json() -> None:
    report = json.loads(EXAMPLE.with_suffix(".json").read_bytes())
    again = "python -m reports.pages docs/examples/production_gates_report.json > docs/examples/production_gates_report.html"
    assert page_of(report, "production_gates_report.json") == EXAMPLE.read_text(encoding="utf-8"), again
