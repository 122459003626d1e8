"""A headless Chromium for the pages, with everything that it logs and fetches at hand. Skips with a reason where there is none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
AXE = REPOSITORY / ".browser" / "node_modules" / "axe-core" / "axe.min.js"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


@dataclass(frozen=True, slots=True)
class Browser:
    """One browser; each page is opened afresh at a width and in a colour scheme."""

    driver: Any

    def open(self, page: Path, width: int = 1280, scheme: str = "light", fragment: str = "") -> None:
        """Open a page from disk, at a fragment of it when one is given."""
        self.driver.get("about:blank")
        self.logged("performance"), self.logged("browser")
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        self.driver.get(page.as_uri() + (f"#{fragment}" if fragment else ""))

    def logged(self, kind: str) -> list[dict[str, Any]]:
        """What was logged since it was asked last."""
        return list(self.driver.get_log(kind))

    def requested(self) -> list[str]:
        """Every address asked for since the page was opened."""
        events = [json.loads(entry["message"])["message"] for entry in self.logged("performance")]
        return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]

    def run(self, script: str, *arguments: object) -> Any:
        """What a script says of the page."""
        return self.driver.execute_script(script, *arguments)

    def violations(self, axe: str) -> list[tuple[str, list[str]]]:
        """What axe-core finds on the page, all of it unfolded: rule and the elements that break it."""
        found = self.driver.execute_async_script(
            axe + ";const done = arguments[arguments.length - 1];"
            "document.querySelectorAll('details').forEach(each => each.open = true);"
            "axe.run(document, {resultTypes: ['violations']}).then(done);"
        )
        return [(each["id"], [node["html"][:160] for node in each["nodes"]][:3]) for each in found["violations"]]

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all pages of a worker."""
    binary = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    chromedriver = shutil.which("chromedriver")
    if binary is None or chromedriver is None:
        pytest.skip("no Chromium with its driver (Debian: apt install chromium chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(chromedriver))
    yield Browser(driver)
    driver.quit()


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's source, which is not part of this repository."""
    if not AXE.is_file():
        pytest.skip("no axe-core (npm install --prefix .browser --no-save axe-core@4.14.1)")
    return AXE.read_text(encoding="utf-8")
