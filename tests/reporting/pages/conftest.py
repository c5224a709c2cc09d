"""Pages in a real headless browser. Whatever a page says on its console or asks of the network is an error."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless Chromium of this machine; tests that need one are skipped where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    binary = next(filter(None, map(shutil.which, NAMES)), None)
    if binary is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """visit(path, width=1280, scheme="light") -> the page of an HTML file; nothing may go wrong until the test ends."""
    opened: list[Any] = []
    wrong: list[str] = []

    def look(path: Path, width: int = 1280, scheme: Any = "light") -> Page:
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        page.on("console", lambda said: wrong.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("request", lambda asked: None if _own(asked.url, path) else wrong.append(f"request: {asked.url}"))
        opened.append(context)
        page.goto(path.as_uri())
        return page

    yield look
    for context in opened:
        context.close()
    assert wrong == []


def _own(url: str, path: Path) -> bool:
    return url.split("#")[0] == path.as_uri() or url.startswith("data:")


def until(page: Page, holds: Callable[[], bool]) -> None:
    """Wait for what a page does in its own time, such as smooth scrolling."""
    for _ in range(100):
        if holds():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it did not come to pass within five seconds")


def is_dark(page: Page) -> bool:
    """Whether the text is lighter than the ground."""
    ink, ground = (page.evaluate(f"getComputedStyle(document.body).{key}") for key in ("color", "backgroundColor"))
    light = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, ground)]
    return light[0] > light[1]


def beyond(page: Page) -> list[str]:
    """What can be scrolled sideways inside of a page, of all that is shown."""
    found = page.evaluate(
        """[...document.querySelectorAll("main *")].filter((e) => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1
        && ["auto", "scroll"].includes(getComputedStyle(e).overflowX)).map((e) => e.ariaLabel || e.outerHTML.slice(0, 80))"""
    )
    return list(found)


def overflow(page: Page) -> int:
    """Pixels by which a page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
