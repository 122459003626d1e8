"""The site in a browser, opened from disk: search, filter, sort and compare by keyboard; nothing logged, nothing asked for, text stays text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reports.desk.site import write_site
from tests.browser.conftest import Browser
from tests.reports.recorded_site import FIRST, SECOND, two_tags
from tests.reports.recorded_tag import new_workspace, record_stage
from tests.reports.sample_figures import HOSTILE

OTHER = "rev-2026-09"
PAGES = ("index.html", "families.html", "failures.html", f"compare.html#{FIRST}&{OTHER}", f"tags/{FIRST}.html", f"tags/{OTHER}.html")  # fmt: skip
Open = Callable[..., str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two honest tags, and one whose every free text is hostile."""
    folder = tmp_path_factory.mktemp("site")
    workspace = new_workspace(folder / "desk")
    two_tags(workspace)
    record_stage(workspace, OTHER, "s0", owner=HOSTILE, candidate=HOSTILE, family="reversal", root_cause=HOSTILE)
    write_site(workspace, folder / "out")
    return folder / "out"


@pytest.fixture
def opened(browser: Browser, site: Path) -> Open:
    def open_page(name: str, width: int = 1280, scheme: str = "light") -> str:
        file, _, fragment = name.partition("#")
        browser.open(site / file, width, scheme, fragment)
        return (site / file).as_uri()

    return open_page


def shown(browser: Browser) -> list[str]:
    """The tags of the rows that are shown, in their order."""
    return list(
        browser.run(
            "return [...document.querySelectorAll('#decisions tbody tr')].filter(e => e.offsetHeight).map(e => e.cells[0].innerText)"
        )
    )


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_logged_nothing_is_asked_for_and_text_is_text(browser: Browser, opened: Open, name: str) -> None:
    address = opened(name)
    assert browser.logged("browser") == []
    asked = {found.partition("#")[0] for found in browser.requested() if not found.startswith("data:")}
    assert asked == {address}
    assert browser.run("return window.broken") is None
    assert browser.run("return document.querySelectorAll('img').length") == 0


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_everyone_can_read_it(browser: Browser, axe: str, opened: Open, name: str, width: int, scheme: str) -> None:
    opened(name, width, scheme)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert browser.violations(axe) == []


def test_search_filter_and_sort_by_keyboard(browser: Browser, opened: Open) -> None:
    from selenium.webdriver.common.keys import Keys

    opened("index.html")
    assert shown(browser) == [OTHER, SECOND, FIRST]
    assert HOSTILE in browser.run("return document.getElementById('decisions').innerText")
    browser.run("document.querySelector('input[type=search]').focus()")
    browser.press(*"MOM turnover")
    assert shown(browser) == [SECOND]
    assert browser.run("return document.querySelector('output').textContent") == "1 of 3 shown"
    browser.press(*[Keys.BACKSPACE] * 12, Keys.TAB, "F")
    assert shown(browser) == [FIRST]
    browser.press("a", Keys.TAB)
    opened("index.html")
    browser.run("document.querySelector('select[name=family]').focus()")
    browser.press("m")
    assert shown(browser) == [SECOND, FIRST]
    browser.run("document.querySelector('#decisions th:nth-child(8) button').focus()")
    browser.press(Keys.ENTER)
    assert shown(browser) == [FIRST, SECOND]
    browser.press(Keys.SPACE)
    assert shown(browser) == [SECOND, FIRST]
    assert browser.run("return document.querySelector('#decisions th:nth-child(8)').ariaSort") == "descending"


def test_two_tags_side_by_side_by_keyboard(browser: Browser, opened: Open) -> None:
    from selenium.webdriver.common.keys import Keys

    opened("compare.html")
    browser.run("document.querySelector('input[name=left]').focus()")
    browser.press(*FIRST, Keys.TAB, *SECOND, Keys.ENTER)
    text = browser.run("return document.getElementById('compared').innerText")
    assert "portfolio.short_fraction\t0.2\t0.3" in text
    assert "portfolio.horizon_days" not in text
    assert "s3.net_sharpe\tfailed: -0.4 (> 0)\tpassed: 1.25 (> 0)" in text
    assert browser.run("return document.querySelectorAll('#compared svg polyline').length") == 2
    browser.press(Keys.BACKSPACE, "9", Keys.ENTER)
    assert browser.run("return document.querySelector('output').textContent") == "no such tag: mom-2026-09"
    assert browser.run("return document.getElementById('compared').children.length") == 0


def test_a_script_that_is_not_ours_does_not_run(browser: Browser, site: Path, tmp_path: Path) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    forged = tmp_path / "index.html"
    forged.write_text(text.replace("</main>", "<script>window.broken = 1</script></main>"), encoding="utf-8")
    browser.open(forged)
    assert browser.run("return window.broken") is None
    assert "Content Security Policy" in browser.logged("browser")[0]["message"]
