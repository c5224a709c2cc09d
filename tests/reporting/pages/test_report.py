from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from aptp_bench.core.files import write_text
from aptp_bench.core.progress import SilentProgress
from aptp_bench.reporting.figures.facts import RunFacts, facts_of
from aptp_bench.reporting.numbers import macs, significant
from aptp_bench.reporting.pages.report import report
from tests.reporting.pages.conftest import beyond, is_dark, overflow, until

EVIL = '<script>window.stolen = 1</script><img src=x onerror=window.stolen=1> & "quotes"'
SECTIONS = ["results", "cost", "experts", "routing", "search", "assignment", "loads", "blocks", "samples", "again"]


def page_of(facts: RunFacts) -> str:
    return report(facts, SilentProgress())[0]


@cache
def reported(run: Path) -> tuple[str, dict[str, str]]:
    return report(facts_of(run), SilentProgress())


@pytest.fixture
def made(finished: Any) -> Callable[[str], str]:
    """made(method) -> the page of a finished run, which is made once."""
    return lambda method: reported(finished(method))[0]


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str], Path]:
    """put(page) -> its file."""
    return lambda page: write_text(tmp_path / "report.html", page)


@pytest.fixture
def copied(finished: Any, tmp_path: Path) -> Callable[..., RunFacts]:
    """copied(method, **changes) -> the facts of a copy of a run, its record's top-level entries changed."""

    def make(method: str, **changes: Any) -> RunFacts:
        folder = finished(method)
        shutil.copytree(folder.parent, tmp_path / "runs")
        path = tmp_path / "runs" / folder.name / "run.json"
        document = json.loads(path.read_text())
        document["record"] |= changes
        path.write_text(json.dumps(document))
        return facts_of(path.parent)

    return make


def test_where_calls_are_planned_the_page_says_what_macs_are_a_mean_of(copied: Any, made: Any) -> None:
    planned = page_of(copied("norm", calls={"dense": 26, "made": 13, "full": 9}))
    assert "13 calls, 9 of them full, over the 26" in planned and " of them full" not in made("norm")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_a_page_fits_its_window_and_says_nothing(made: Any, visit: Any, put: Any, width: int, scheme: str) -> None:
    page = visit(put(made("aptp")), width, scheme)
    assert overflow(page) == 0
    assert [each.get_attribute("id") for each in page.query_selector_all("section")] == SECTIONS
    assert is_dark(page) == (scheme == "dark")


def test_nothing_lies_beyond_the_edge_of_a_phone(made: Any, visit: Any, put: Any) -> None:
    page = visit(put(made("aptp")), 400)
    assert beyond(page) == []
    assert page.is_visible("#results td[data-head]") and not page.is_visible("#results thead")


def test_links_lead_to_sections_and_text_in_figures_has_the_pages_colour(made: Any, visit: Any, put: Any) -> None:
    page = visit(put(made("aptp")), scheme="dark")
    ink = page.evaluate("getComputedStyle(document.body).color")
    fills = page.evaluate("[...document.querySelectorAll('#loads svg text')].map(t => getComputedStyle(t).fill)")
    assert fills and set(fills) == {ink}
    links = [a.get_attribute("href") for a in page.query_selector_all("nav a")]
    assert [link[1:] for link in links] == SECTIONS
    assert all(len(page.query_selector_all(link)) == 1 for link in links)


def test_what_is_wider_than_the_window_scrolls_by_keyboard(made: Any, visit: Any, put: Any) -> None:
    page = visit(put(made("aptp")), 400)
    wide = page.query_selector("#blocks .scroll")
    assert wide.evaluate("e => e.scrollWidth <= e.clientWidth")
    wide.focus()
    assert wide.evaluate("e => e.scrollWidth > e.clientWidth") and overflow(page) == 0
    page.keyboard.press("ArrowRight")
    until(page, lambda: wide.evaluate("e => e.scrollLeft") > 0)
    assert wide.get_attribute("aria-label")


def test_results_stand_beside_the_reference_and_random_weights_are_said(
    finished: Any, copied: Any, visit: Any, put: Any
) -> None:
    record = facts_of(finished("norm")).record.model_dump(mode="json")
    macs = record["results"]["macs"] | {"interval": [0.25, 0.75], "n": 1234, "value": 0.5}
    facts = copied("norm", results=record["results"] | {"macs": macs})
    page = visit(put(page_of(facts)))
    rows = page.query_selector_all("#results tr")
    heads = [cell.inner_text() for cell in rows[0].query_selector_all("th")]
    assert heads[:5] == ["metric", "norm", "95 % interval", "n", "dense"]
    cells = [cell.inner_text() for cell in rows[1].query_selector_all("td")]
    dense = facts.beside()[0].record.results["macs"]
    assert "(G) ↓" in cells[0] and cells[1:5] == ["0.5000", "0.2500 to 0.7500", "1,234", significant(dense.value)]
    noise = facts.record.model_copy(update={"what": facts.record.what.model_copy(update={"weights": "random"})})
    assert "random weights" in page_of(RunFacts(replace(facts.run, record=noise)))


def test_the_world_and_the_budget_are_said_at_the_top(finished: Any, made: Any, visit: Any, put: Any) -> None:
    facts = facts_of(finished("aptp"))
    page = visit(put(made("aptp")))
    head = page.inner_text("header")
    assert [each.inner_text()[:23] for each in page.query_selector_all("header .world")] == ["mini world, smoke scale"]
    assert "0.8 of the exact MACs" in head and f"{facts.record.macs['exact'].train_ratio:.4f}" in head
    assert "mini world" in page.title()
    for figure in page.query_selector_all("figure svg"):
        assert "mini world, smoke scale" in figure.text_content()


def test_experts_have_their_words_costs_and_prompts(finished: Any, made: Any, visit: Any, put: Any) -> None:
    facts, page = facts_of(finished("aptp")), visit(put(made("aptp")))
    rows = [
        [cell.inner_text() for cell in row.query_selector_all("td")]
        for row in page.query_selector_all("#experts tbody tr")
    ]
    assert len(rows) == 3
    for i, expert in enumerate(facts.record.experts):
        assert rows[i][0] == str(i) and rows[i][1] == f"{facts.budgets[i]:.3f}"
        assert rows[i][5:7] == [str(expert.train_prompts), str(expert.eval_prompts)]
        assert rows[i][7] == (", ".join(expert.words) or "–")


def test_words_of_an_old_record_are_counted_anew(finished: Any) -> None:
    facts = facts_of(finished("aptp"))
    known = [list(expert.words) for expert in facts.record.experts]
    experts = [expert.model_copy(update={"words": []}) for expert in facts.record.experts]
    record = facts.record.model_copy(update={"experts": experts})
    old = RunFacts(replace(facts.run, record=record))
    assert any(known) and old.words == known


def test_a_static_run_says_in_a_line_what_it_has_nothing_for(finished: Any, visit: Any, put: Any) -> None:
    text, left_out = reported(finished("norm"))
    assert set(left_out) == {"search", "assignment", "loads"}
    page = visit(put(text))
    assert [e.get_attribute("id") for e in page.query_selector_all("section")] == [
        "results", "cost", "experts", "blocks", "samples", "left-out", "again",
    ]  # fmt: skip
    assert "norm has one expert" in page.inner_text("#left-out")


def test_a_run_whose_captions_are_gone_still_has_a_page(copied: Any) -> None:
    facts = copied("aptp")
    manifest = facts.run.stage("generate") / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"key": {"captions": "others"}}))
    page, left_out = report(facts, SilentProgress())
    assert set(left_out) == {"assignment", "samples"}
    assert 'id="loads"' in page and 'id="samples"' not in page


def test_captions_and_settings_stay_text(copied: Any, visit: Any, put: Any, monkeypatch: Any) -> None:
    facts = copied("aptp", remark=EVIL, skipped={"fid": EVIL})
    sizes = {"dataset": 6, "partiprompts": 3}
    assignment = facts.assignment()
    monkeypatch.setattr(RunFacts, "captions", lambda self, on="dataset": [f"{EVIL} {i}" for i in range(sizes[on])])
    page = visit(put(page_of(facts)))
    assert page.evaluate("window.stolen") is None
    assert f"{EVIL} {assignment.index(min(assignment))}" in page.text_content("#samples")
    assert EVIL in page.text_content("header") and EVIL in page.text_content("#results")
    assert {img.get_attribute("src")[:22] for img in page.query_selector_all("img")} == {"data:image/png;base64,"}


def test_small_images_are_shown_in_their_own_squares(made: Any, visit: Any, put: Any) -> None:
    page = visit(put(made("aptp")))
    images = page.query_selector_all("#samples img")
    assert len(images) > 10
    assert all(img.evaluate("e => e.complete && e.naturalWidth === 8") for img in images)
    assert {img.evaluate("e => getComputedStyle(e).imageRendering") for img in images} == {"pixelated"}
    assert all(img.get_attribute("alt") for img in images)


def test_it_says_how_to_get_it_again_and_names_no_place_of_this_machine(
    finished: Any, made: Any, visit: Any, put: Any
) -> None:
    facts, text = facts_of(finished("aptp")), made("aptp")
    page = visit(put(text))
    assert page.inner_text("#again pre") == facts.record.how.command
    stages = [
        row.inner_text().split("\t") for row in page.query_selector_all("#again tbody")[1].query_selector_all("tr")
    ]
    assert [row[0] for row in stages] == list(facts.run.stages)
    assert [row[2] for row in stages] == [folder.name for folder in facts.run.stages.values()]
    places = re.findall(r"(?<![\w.\"])/(?:tmp|home|root|work|Users)/[^\s<]*", text)
    assert {place for place in places if "encoder" not in place} == set()  # the setting is the user's own word


def test_the_same_run_gives_the_same_page(finished: Any, made: Any) -> None:
    assert page_of(facts_of(finished("norm"))) == made("norm")


def test_macs_have_a_unit_that_fits() -> None:
    assert macs(1_074_552_872_960) == "1,074.55 G" and macs(52_427_067.0) == "52.43 M"
