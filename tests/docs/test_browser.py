"""The site in a real browser, from file://: search by keyboard, both themes, a phone's width, and no request to anywhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tools.docs.site import build

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.real, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the built site lies, as an address."""
    folder = tmp_path_factory.mktemp("site")
    build(folder)
    return folder.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser without a window."""
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


class Visit:
    """One page, and what went wrong on it."""

    def __init__(self, browser: Any, address: str, *, width: int = 1300, scheme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self.faults.append(request.url) if request.url.startswith("http") else None)
        self.page.goto(address)


def test_the_search_is_used_by_keyboard_alone(browser: Any, site: str) -> None:
    """Slash, words, an arrow, Enter; Escape closes."""
    visit = Visit(browser, f"{site}/concepts/modules.html")
    keys = visit.page.keyboard
    keys.press("/")
    keys.type("idempotency-conflict")
    visit.page.wait_for_selector("#site-results [role=option]")
    keys.press("ArrowDown")
    assert visit.page.get_attribute("#site-query", "aria-activedescendant") == "site-result-0"
    keys.press("Enter")
    visit.page.wait_for_url("**/errors/idempotency-conflict.html")
    keys.press("/")
    keys.type("zzzz")
    assert visit.page.inner_text("#site-results") == "Nothing found."
    keys.press("Escape")
    assert visit.page.is_hidden("#site-results")
    assert visit.faults == []


def test_the_first_key_skips_to_the_text(browser: Any, site: str) -> None:
    """And every control shows that it has the focus."""
    visit = Visit(browser, f"{site}/tutorial.html")
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.className") == "skip"
    visit.page.keyboard.press("Enter")
    assert visit.page.evaluate("document.activeElement.id") == "site-content"


def test_light_and_dark_follow_the_system_and_the_button(browser: Any, site: str) -> None:
    """The choice is kept from page to page."""
    visit = Visit(browser, f"{site}/index.html", scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = visit.page.evaluate(ground)
    visit.page.click("#site-theme")
    light = visit.page.evaluate(ground)
    assert dark != light
    visit.page.goto(f"{site}/tutorial.html")
    assert visit.page.evaluate(ground) == light


def test_every_page_fits_a_phone(browser: Any, site: str) -> None:
    """Nothing is wider than the screen; long code scrolls in its own box."""
    visit = Visit(browser, f"{site}/index.html", width=360)
    wide = []
    for path in sorted(Path(site.removeprefix("file://")).rglob("*.html")):
        visit.page.goto(path.as_uri())
        if visit.page.evaluate("document.documentElement.scrollWidth") > 360:
            wide.append(path.name)
    assert (wide, visit.faults) == ([], [])
    visit.page.goto(f"{site}/index.html")
    assert visit.page.is_hidden("#site-navigation")
    visit.page.click("#site-menu")
    assert visit.page.is_visible("#site-navigation")
