"""The leaderboard's page, made from records that never were, in a real browser."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aptp_bench import records, registry
from aptp_bench.harness import contact_sheet
from aptp_bench.records import Record
from aptp_bench.reporting.pages.leaderboard_files import Publication
from tests.reporting.pages.conftest import beyond, is_dark, overflow, until

HOSTILE = "</script><img src=x onerror=alert(1)>|`&"
METHODS = {"beta": 3.0, "alpha": 2.5, "gamma": 9.0, "delta": None}


def sheet(colour: int) -> tuple[bytes, dict[str, Any]]:
    stream = io.BytesIO()
    Image.new("RGB", (64, 32), (colour, 90, 200)).save(stream, "PNG")
    png = stream.getvalue()
    facts = {"captions": ["a red car", f"two dogs {HOSTILE}"], "edge": 32, "sha256": hashlib.sha256(png).hexdigest()}
    return png, facts


def keep(record: Record, results: Path, png: bytes | None = None) -> Path:
    path = records.save(record, results)
    if png is not None:
        place = contact_sheet.path_of(path)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(png)
    return path


@pytest.fixture(scope="module")
def results(make_record: Any, tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("board") / "results"
    for seed in range(3):
        png, facts = sheet(60 * seed)
        keep(make_record("dense", seed, budget=1.0, fid=(2.0 + seed / 50, 1.9, 2.2), samples=facts), folder, png)
        for method, fid in METHODS.items():
            given = {"fid": None if fid is None else (fid + seed / 50, fid - 0.1, fid + 0.2)}
            given |= {"latency": None} if seed else {}
            keep(make_record(method, seed, samples=facts, words=["red", HOSTILE], **given), folder, png)
    given = {"settings": ["finetune.steps=38"], "what": {"finetune.steps": 38}, "fid": (0.5, 0.4, 0.6)}
    keep(make_record("beta", **given), folder)
    keep(make_record("beta", budget=0.5, fid=(5.0, 4.0, 6.0), remark=HOSTILE), folder)
    keep(make_record("alpha", what={"dataset": "cc3m"}), folder)
    keep(make_record("beta", what={"dataset": "cc3m"}), folder)
    keep(make_record("alpha", world="smoke"), folder)
    Publication.of(folder).write()
    return folder


@pytest.fixture
def look(visit: Callable[..., Any], results: Path) -> Callable[..., Any]:
    return lambda **how: visit(results / "leaderboard.html", **how)


def methods(page: Any, group: str = "main", board: int = 0) -> list[str]:
    rows = page.locator(".board").nth(board).locator(f"tbody.{group} tr[data-run]:visible th a.run")
    return [text.strip() for text in rows.all_inner_texts()]


def shown(page: Any) -> list[str]:
    return [text.strip() for text in page.locator(".board:visible h2").all_inner_texts()]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_the_page_fits_and_is_quiet(look, width, scheme):
    page = look(width=width, scheme=scheme)
    assert overflow(page) == 0
    assert is_dark(page) == (scheme == "dark")
    page.locator(".board tr[data-run] a.run").nth(1).click()
    assert page.locator("dialog[open]").bounding_box()["width"] <= width and overflow(page) == 0


def test_it_reads_without_a_script(chromium, results):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((results / "leaderboard.html").as_uri())
    assert methods(page) == ["alpha", "beta", "gamma", "delta"] and methods(page, "variant") == ["beta"]
    assert page.locator("#runs > details").count() == 10 and not page.locator("#filters").is_visible()
    page.locator("#runs > details summary").first.click()
    assert "--method" in page.locator("#runs > details pre.command").first.inner_text()
    context.close()


def test_the_mini_world_is_named_wherever_its_numbers_stand(look):
    page = look()
    assert "Mini world: not comparable with papers" in page.locator(".warning").first.inner_text()
    for board in page.locator(".board").all():
        assert "mini world" in board.locator(".world").inner_text()
    assert "mini world: not comparable with papers" in page.locator(".plotted").inner_text()
    page.locator(".board tr[data-run] a.run").first.click()
    assert "mini world" in page.locator("dialog .world").inner_text()


def test_columns_sort_by_click_and_by_key_and_missing_values_stay_last(look):
    page = look()
    head = page.locator(".board").first.locator("th[data-key='m.fid']")
    head.locator("button").click()
    assert methods(page) == ["alpha", "beta", "gamma", "delta"] and head.get_attribute("aria-sort") == "ascending"
    head.locator("button").click()
    assert methods(page) == ["gamma", "beta", "alpha", "delta"] and head.get_attribute("aria-sort") == "descending"
    assert page.locator(".board").first.locator("[aria-sort]").count() == 1
    assert methods(page, "reference") == ["Dense"]
    page.locator(".board").first.locator("th[data-key='method'] button").click()
    assert methods(page) == ["alpha", "beta", "delta", "gamma"]
    page.locator(".board").first.locator("th[data-key='m.clip_score'] button").focus()  # all alike: the order stays
    for key, order in (("Enter", "descending"), ("Space", "ascending")):
        page.keyboard.press(key)
        assert (
            page.locator(".board").first.locator(f"[aria-sort='{order}']").get_attribute("data-key") == "m.clip_score"
        )
        assert methods(page) == ["alpha", "beta", "gamma", "delta"]


def test_filters_narrow_boards_rows_and_the_plot(look):
    page = look()
    assert len(shown(page)) == 4 and methods(page, "variant") == []
    page.locator("[name=dataset]").select_option("cc3m")
    assert shown(page) == ["cc3m, 0.78 of the exact MACs, mini-sd"]
    assert "cc3m" in page.locator(".plotted").inner_text()
    page.locator("[name=dataset]").select_option("")
    page.locator("[name=budget]").select_option("0.5exact")
    assert shown(page) == ["coco, 0.5 of the exact MACs, mini-sd"]
    assert page.locator("#scatter .point").count() == 2  # and the network as it is
    page.locator("[name=budget]").select_option("")
    page.locator("[name=world]").select_option("smoke")
    assert shown(page) == ["coco, 0.78 of the exact MACs, mini-sd"]
    page.locator("[type=reset]").click()
    assert len(shown(page)) == 4


def test_methods_filter_by_text_and_variants_by_a_switch(look):
    page = look()
    page.locator("[name=q]").fill("BET")
    assert methods(page) == ["beta"] and methods(page, "reference") == ["Dense"]
    page.locator("[name=variants]").check()
    assert methods(page, "variant") == ["beta"] and methods(page) == ["beta"]
    page.locator("[name=q]").fill("beta steps=38")
    assert methods(page) == [] and methods(page, "variant") == ["beta"] and len(shown(page)) == 1
    page.locator("[name=q]").fill("nobody")
    assert shown(page) == [] and page.locator("#nothing").is_visible()
    assert page.locator("#tradeoff").is_hidden()


def test_the_address_says_what_is_shown(look, visit, results):
    page = look()
    page.locator("[name=variants]").check()
    page.locator("[name=budget]").select_option("0.78exact")
    page.locator(".board").first.locator("th[data-key='m.fid'] button").click()
    page.locator(".board").first.locator("th[data-key='m.fid'] button").click()
    page.locator("[name=x]").select_option("latency")
    again = look()
    again.goto(page.url)
    again.reload()
    for name in ("shown", "methods"):
        assert globals()[name](again) == globals()[name](page)
    assert again.locator("[name=x]").input_value() == "latency"
    assert methods(again) == ["gamma", "beta", "alpha", "delta"]
    again.evaluate("location.hash = ''")  # the page hears of it later
    until(again, lambda: len(shown(again)) == 4)


def test_details_open_by_click_and_keyboard_and_close_again(look):
    page = look()
    page.locator(".board tr[data-run] a.run").nth(1).click()
    dialog = page.locator("dialog[open]")
    assert dialog.locator("h3.name").inner_text() == "alpha" and "run=alpha" in page.url
    assert [h.inner_text() for h in dialog.locator(".seed > h3").all()] == ["Seed 0", "Seed 1", "Seed 2"]
    assert "--method alpha" in dialog.locator("pre.command").first.inner_text()
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0 and "run=" not in page.url
    page.locator(".board tr[data-run] a.run").nth(2).focus()
    page.keyboard.press("Enter")
    assert page.locator("dialog[open] h3.name").inner_text() == "beta"
    page.locator("dialog .close").click()
    page.locator(".board tbody.main tr").first.locator("td").nth(2).click()
    assert page.locator("dialog[open] h3.name").inner_text() == "alpha"


def test_details_say_everything_and_hostile_text_stays_text(look):
    page = look()
    page.locator(".board tr[data-run] a.run").nth(1).click()
    dialog = page.locator("dialog[open]")
    for summary in dialog.locator("summary").all():
        if not summary.evaluate("s => s.parentNode.open"):
            summary.click()
    text = dialog.inner_text()
    for said in ("scheduler: pndm", "torch", "commit", "measure-fid", "mini-inception", "records/alpha"):
        assert said in text
    assert HOSTILE in text and page.locator("img").count() == 0
    tiles = dialog.locator(".tile")
    assert tiles.count() == 6 and tiles.first.bounding_box()["width"] > 60
    assert "data:image/png" in tiles.first.evaluate("t => getComputedStyle(t).backgroundImage")
    places = [t.evaluate("t => getComputedStyle(t).backgroundPosition") for t in tiles.all()[:2]]
    assert places == ["0% 0px", "100% 0px"]


def test_a_record_without_samples_says_so(look):
    page = look()
    page.goto(page.url + "#run=beta-coco-0.5exact-seed0-mini")
    page.reload()
    assert "This record kept no samples." in page.locator("dialog[open]").inner_text()
    assert HOSTILE in page.locator("dialog[open]").inner_text()


@pytest.mark.parametrize("width", [1280, 400])
def test_the_scatter_has_points_bars_axes_and_a_frontier(look, width):
    page = look(width=width)
    plot = page.locator("#scatter svg")
    assert plot.locator(".point").count() == 5  # dense, three of four at 0.78 (one has no FID), one at 0.5
    assert plot.locator(".bar").count() == 5 and plot.locator(".frontier").count() == 1
    assert plot.locator("text.axis").all_text_contents() == ["FID ↓", "less is better ←  exact MACs, share of dense"]
    box, svg = plot.bounding_box(), plot.locator(".shape").first.bounding_box()
    assert box["x"] <= svg["x"] and svg["x"] + svg["width"] <= box["x"] + box["width"] <= width
    page.locator("[name=x]").select_option("latency")
    page.locator("[name=y]").select_option("clip_score")
    assert plot.locator("text.axis").all_text_contents() == ["CLIP score (x100) ↑", "less is better ←  latency (s)"]
    assert plot.locator(".bar").count() == 2 * plot.locator(".point").count() == 12
    page.locator("[name=variants]").check()
    assert plot.locator(".point").count() == 7


def test_a_point_is_where_its_numbers_say_and_opens_its_run_by_keyboard(look):
    page = look()
    spots = {
        group.get_attribute("data-run"): group.locator("g").bounding_box() for group in page.locator(".point").all()
    }
    by_method = {run.split("-coco-")[0] + run.split("coco-")[1][:3]: box for run, box in spots.items()}
    assert (
        by_method["dense1ex"]["x"] > by_method["alpha0.7"]["x"] == pytest.approx(by_method["gamma0.7"]["x"], abs=30)
    )  # marks of one cost stand side by side
    assert by_method["beta0.5"]["x"] < by_method["alpha0.7"]["x"]
    assert (
        by_method["dense1ex"]["y"] > by_method["alpha0.7"]["y"] > by_method["beta0.5"]["y"] > by_method["gamma0.7"]["y"]
    )
    page.locator(".point[data-run^=gamma]").focus()
    page.keyboard.press("Enter")
    assert page.locator("dialog[open] h3.name").inner_text() == "gamma"


def test_a_plot_without_points_is_not_drawn(visit, make_record, tmp_path):
    keep(make_record("alpha", fid=None), tmp_path)
    keep(make_record("beta", budget=0.5, fid=None), tmp_path)
    keep(make_record("gamma", budget=0.3), tmp_path)
    Publication.of(tmp_path).write()
    page = visit(tmp_path / "leaderboard.html")
    assert page.locator("#scatter .point").count() == 3  # by the first metric that any has: not all have FID
    page.locator("[name=y]").select_option("fid")
    page.locator("[name=budget]").select_option("0.5exact")
    assert page.locator("#tradeoff").is_hidden() and len(shown(page)) == 1


def test_random_weights_are_named_and_never_ranked(visit, make_record, tmp_path):
    for method in ("alpha", "beta"):
        keep(make_record(method, what={"weights": "random"}), tmp_path)
    Publication.of(tmp_path).write()
    page = visit(tmp_path / "leaderboard.html")
    assert shown(page) == ["coco, 0.78 of the exact MACs, mini-sd, random weights"]
    assert page.locator(".rank").count() == 0 and "ranking of noise" in page.locator(".state").inner_text()
    assert "random weights" in page.locator(".plotted").inner_text()


@pytest.mark.parametrize("width", [1280, 400])
def test_no_row_hides_in_a_frame_and_on_a_phone_no_column(look, width):
    page = look(width=width)
    hidden = "[...document.querySelectorAll('.board .scroll')].filter(e => e.scrollHeight > e.clientHeight + 1).length"
    assert page.evaluate(hidden) == 0
    page.evaluate("document.querySelectorAll('.board details').forEach((d) => { d.open = true; })")
    assert width > 400 or beyond(page) == []


def test_the_answer_comes_first_and_follows_the_filters(look):
    page = look()
    answers = page.locator(".answer")
    assert answers.count() == page.locator(".board").count() == 4
    assert answers.first.bounding_box()["y"] < page.locator(".board").first.bounding_box()["y"]
    text = answers.first.inner_text()
    assert "alpha" in text and "beyond doubt" in text and "FID" in text
    page.locator("[name=dataset]").select_option("cc3m")
    assert [a.is_visible() for a in answers.all()] == [b.is_visible() for b in page.locator(".board").all()]
    page.locator(".answer:visible h3 a").click()
    assert "dataset=cc3m" in page.url


def test_a_word_explains_itself_to_pointer_and_keyboard(look):
    page = look(width=400)
    hint = page.locator("#hint")
    assert not hint.is_visible()
    page.locator("abbr").first.focus()
    hint.wait_for(state="visible")
    assert len(hint.inner_text()) > 30 and overflow(page) == 0
    page.keyboard.press("Escape")
    hint.wait_for(state="hidden")
    page.locator(".board th[data-key='m.fid']").first.hover()
    hint.wait_for(state="visible")
    assert "arXiv" in hint.inner_text()
    box = hint.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 400


def test_methods_have_titles_colours_and_links_to_papers(look):
    page = look()
    dense = page.locator(".board").first.locator("tbody.reference th")
    assert dense.locator("a.run").inner_text() == registry.get("methods", "dense").title
    assert dense.locator("a.paper").get_attribute("href").startswith("https://arxiv.org/abs/")
    assert page.locator(".board tbody.main a.paper").count() == 0  # strangers that say nothing of a paper
    dots = page.locator(".board").first.locator("tbody.main .whisker")
    colours = dots.evaluate_all("found => found.map((each) => getComputedStyle(each, '::after').backgroundColor)")
    assert len(set(colours)) > 1


def test_a_value_stands_beside_its_share_of_dense(look):
    page = look()
    row = page.locator(".board").first.locator("tbody.main tr[data-run]").first
    assert row.locator(".share").first.inner_text()[:4] == f"{2.52 / 2.02:.2f}"
    assert page.locator(".board tbody.reference .share").count() == 0


def test_marks_of_one_cost_do_not_coincide_and_labels_do_not_collide(look):
    page = look()
    boxes = [group.locator(".shape").bounding_box() for group in page.locator("#scatter .point").all()]
    middles = [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in boxes]
    assert all(max(abs(a - c), abs(b - d)) > 10 for (a, b), (c, d) in itertools.combinations(middles, 2))
    labels = [text.bounding_box() for text in page.locator("#scatter text.label").all()]
    assert len(labels) > 2

    def clash(a, b):
        x, y = (
            abs(a[k] + a[s] / 2 - b[k] - b[s] / 2) < (a[s] + b[s]) / 2 - 2 for k, s in (("x", "width"), ("y", "height"))
        )
        return x and y

    assert not any(clash(a, b) for a, b in itertools.combinations(labels, 2))


def test_the_same_records_give_the_same_bytes(results):
    first, second = (Publication.of(results).pages for _ in range(2))
    assert first == second
    page = first[results / "leaderboard.html"]
    assert str(results) not in page and "http://" not in page.replace("http://www.w3.org/2000/svg", "")
