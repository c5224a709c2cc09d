"""The page of the papers' tables in a real browser: readable, wide and narrow, light and dark, without a network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from aptp_bench.core.files import write_text
from aptp_bench.records import load_all
from aptp_bench.reporting.paper_tables.filled import fill
from aptp_bench.reporting.paper_tables.formats import FORMATS
from aptp_bench.reporting.paper_tables.published import published
from tests.reporting.pages.conftest import overflow, until


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory, tracked: Path) -> Path:
    records = list(load_all(tracked / "results")[0].values())
    tables = [fill(table, records) for table in published().values()]
    return write_text(tmp_path_factory.mktemp("tables") / "tables.html", FORMATS["html"](tables))


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_the_page_fits_its_window_and_wide_tables_scroll_on_their_own(
    visit: Any, page_file: Path, width: int, scheme: str
) -> None:
    page = visit(page_file, width, scheme)
    assert page.locator("table").count() == len(published()) and overflow(page) == 0
    wide = page.locator("#aptp_1b .scroll[tabindex='0']")
    assert wide.count() == 1
    beyond = wide.evaluate("box => box.scrollWidth - box.clientWidth")
    assert beyond == 0 if width == 1280 else beyond > 0


def test_names_stay_in_sight_while_a_narrow_table_scrolls_by_keyboard(visit: Any, page_file: Path) -> None:
    page = visit(page_file, 400)
    wide = page.locator("#aptp_1b .scroll")
    wide.focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    until(page, lambda: wide.evaluate("e => e.scrollLeft") > 100)  # from outside: the page's policy allows no eval
    name = page.locator("#aptp_1b tbody th").first.bounding_box()
    assert 0 <= name["x"] < 30 and name["width"] < 200


def test_links_lead_to_their_tables_and_the_mini_world_is_marked(visit: Any, page_file: Path) -> None:
    page = visit(page_file)
    for link in page.locator("nav a").all():
        assert page.locator(link.get_attribute("href")).count() == 1
    assert page.locator("#aptp_1b thead .world").inner_text() == "Ours, mini world"
    cells = page.locator("#aptp_1b tbody tr", has_text="APTP (0.78)").locator("td").all_inner_texts()
    assert cells[2] == "22.60" and any(re.match(r"\d\.\d{3}\s|not run", text) for text in cells)


def test_text_is_legible_against_its_ground(visit: Any, page_file: Path) -> None:
    for scheme in ("light", "dark"):
        page = visit(page_file, 1280, scheme)
        ink, ground = (
            page.evaluate(f"getComputedStyle(document.querySelector('{where}')).{what}")
            for where, what in (("#aptp_1b tbody td small", "color"), ("body", "backgroundColor"))
        )
        assert contrast(ink, ground) >= 4.5


def contrast(one: str, other: str) -> float:
    """WCAG's ratio of two colours as browsers say them, rgb(r, g, b)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
