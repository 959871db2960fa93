"""A real browser for tests: headless Chromium, a fresh profile each time, nothing fetched from elsewhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 15_000
AXE = Path(__file__).parent / "axe" / "axe.min.js"


def executable() -> str | None:
    """Return where Chromium is, None when there is none."""
    named = os.environ.get("CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def browser() -> Iterator[Any]:
    """Run Chromium; skips the test, and says why, where there is none."""
    found = executable()
    if found is None:
        pytest.skip("NO BROWSER: install chromium (apt-get install chromium) or name one in $CHROMIUM")
    api = pytest.importorskip("playwright.sync_api", reason="NO BROWSER: pip install playwright")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, headless=True, args=FLAGS)
        try:
            yield started
        finally:
            started.close()


@contextmanager
def page(started: Any, **options: Any) -> Iterator[Any]:
    """Open a page in a profile of its own; fails when anything goes wrong on it that nobody expected."""
    with profile(started, **options) as context:
        yield watched(context)


@contextmanager
def profile(started: Any, **options: Any) -> Iterator[Any]:
    """Make a profile of its own, with room for several pages."""
    context = started.new_context(**options)
    context.set_default_timeout(WAIT_MS)
    try:
        yield context
        troubles = [trouble for one in context.pages for trouble in getattr(one, "troubles", [])]
        assert not troubles, "\n".join(troubles)
    finally:
        context.close()


def watched(context: Any) -> Any:
    """Open a page that collects uncaught errors, broken content policies, and requests that leave the house."""
    made = context.new_page()
    made.troubles = []
    made.on("pageerror", lambda error: made.troubles.append(f"uncaught: {error}"))
    made.on("console", lambda message: _heard(made.troubles, message))
    made.on("request", lambda request: _left(made.troubles, request.url))
    return made


def _heard(troubles: list[str], message: Any) -> None:
    if message.type == "error" and "Failed to load resource" not in message.text:
        troubles.append(f"console: {message.text}")


def _left(troubles: list[str], url: str) -> None:
    if not url.startswith(("http://127.0.0.1:", "blob:", "about:")):
        troubles.append(f"asked elsewhere: {url}")


def eventually(look: Callable[[], Any], wanted: Any, *, why: str = "") -> None:
    """Look until what is seen is what is wanted: scripts answer clicks, keys and addresses when their turn comes."""
    end = monotonic() + WAIT_MS / 1000
    while (seen := look()) != wanted and monotonic() < end:
        sleep(0.02)
    assert seen == wanted, why


def shoot(made: Any, name: str, *, whole: bool = True) -> None:
    """Keep a picture for people, where $SCREENSHOTS names a folder. whole: not only what the window shows."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        made.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=whole)


def accessible(made: Any) -> list[str]:
    """Return what axe-core finds wrong: contrast, labels, names, landmarks, roles."""
    made.evaluate(AXE.read_text())  # past the content policy, as a debugger may
    found = made.evaluate(
        """async () => (await axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']}))
        .violations.map(v => `${v.id}: ${v.help}: ${v.nodes.map(n => n.target.join(' ') + ' ' + n.failureSummary).join(' | ')}`)"""
    )
    return [str(one) for one in found]
