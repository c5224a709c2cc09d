"""Tiles are the images that runs left, of the prompts that they say."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import pytest
from PIL import Image

from aptp_bench.errors import FigureError
from aptp_bench.harness.run_folder import RunFolder
from aptp_bench.reporting.figures.facts import RunFacts
from aptp_bench.reporting.figures.samples import tile
from aptp_bench.reporting.paper_figures import makers, pictures
from aptp_bench.reporting.paper_figures.catalog import catalog
from aptp_bench.reporting.paper_figures.stock import stocked

CAPTIONS = ["a red car", "A WHITE plate topped with a piece of chocolate covered cake", "a hat", "a dog"]


def png(tone: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), (tone, tone // 2, 0)).save(stream, "PNG")
    return stream.getvalue()


def images(first: int, experts: tuple[int, ...] = (0, 0, 0, 0)) -> dict[str, str | bytes]:
    drawn = {f"images/{at:06d}.png": png(first + at) for at in range(len(CAPTIONS))}
    return {**drawn, "assignment.json": json.dumps(experts)}


@pytest.fixture(autouse=True)
def _captions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunFacts, "captions", lambda self, on="dataset": CAPTIONS)


def tiles(figure: Any) -> list[list[str]]:
    return [[each["sha256"] for each in row["tiles"]] for row in figure.data["rows"]]


def digest(folder: Any, stage: str, at: int) -> str:
    path = RunFolder.load(folder).stages[stage] / "images" / f"{at:06d}.png"
    return hashlib.sha256(tile(path)).hexdigest()


def test_networks_stand_side_by_side_a_row_a_caption(made: Any, run: Any, shelf: Any) -> None:
    rows = ("SD (dense)", "LD-Pruner", "BK-SDM-Base", "BK-SDM-Small")
    folders = [run(made("ld_pruner_1", row), {"generate": images(40 * at)}) for at, row in enumerate(rows)]
    figure = makers.draw(stocked(catalog()["ld_pruner_3"], shelf(), "mini"))
    assert figure.data["columns"] == list(rows) and [row["label"] for row in figure.data["rows"]] == CAPTIONS
    assert tiles(figure) == [[digest(each, "generate", at) for each in folders] for at in range(len(CAPTIONS))]


def test_prompts_of_table_9_are_shown_where_they_were_drawn(made: Any, run: Any, shelf: Any) -> None:
    rows = ("SD (dense)", "BK-SDM", "APTP (0.78)")
    folders = [run(made("aptp_6b", row), {"generate-prompts": images(40 * at)}) for at, row in enumerate(rows)]
    figure = makers.draw(stocked(catalog()["aptp_14"], shelf(), "mini"))
    assert [row["label"] for row in figure.data["rows"]] == ["a hat"]
    assert tiles(figure) == [[digest(each, "generate-prompts", 2) for each in folders]]


def test_every_expert_shows_its_prompt_of_table_8_or_its_first(made: Any, run: Any, shelf: Any) -> None:
    record = made("aptp_4", "APTP (0.78)")
    order = sorted(range(len(record.experts)), key=record.expert_ratios("exact").__getitem__)
    cheap, dear = order[0], order[-1]
    run(record, {"generate": images(0, (cheap, cheap, dear, dear))})
    figure = makers.draw(stocked(catalog()["aptp_3"], shelf(), "mini"))
    texts = [each["text"] for each in figure.data["rows"][0]["tiles"]]
    assert texts == [f"[expert {cheap}] {CAPTIONS[1]}", f"[expert {dear}] {CAPTIONS[2]}"]


def test_formulas_are_rows_and_numbers_of_operators_columns(made: Any, run: Any, shelf: Any) -> None:
    from aptp_bench.harness.suite import Suite

    runs = Suite.load("mini/ld_pruner_untuned").runs()
    folders = {r.label: run(made("mini/ld_pruner_untuned", r.label), {"generate": images(at)}) for at, r in enumerate(runs)}  # fmt: skip
    figure = makers.draw(stocked(catalog()["ld_pruner_9"], shelf(), "mini"))
    assert figure.data["columns"] == ["SD (dense)", *(f"{p} operators" for p in (5, 10, 20, 40))]
    assert len(figure.data["rows"]) == 4 * pictures.TWICE
    own = ["SD (dense)", *(f"product, {p} operators" for p in (5, 10, 20, 40))]
    assert tiles(figure)[1] == [digest(folders[label], "generate", 0) for label in own]


def test_styles_are_the_prompts_of_that_label(made: Any, run: Any, shelf: Any, monkeypatch: Any) -> None:
    folder = run(made("aptp_4", "APTP (0.78)"), {"generate-prompts": images(0)})
    monkeypatch.setattr(pictures, "_labelled", lambda facts, challenge: [3] if challenge == "Style & Format" else [])
    figure = makers.draw(stocked(catalog()["aptp_13"], shelf(), "mini"))
    assert tiles(figure) == [[digest(folder, "generate-prompts", 3)]]
    monkeypatch.undo()
    found = RunFacts(stocked(catalog()["aptp_13"], shelf(), "mini").items[0].runs[0])
    monkeypatch.setattr(RunFacts, "captions", lambda self, on="dataset": CAPTIONS)
    assert len(pictures._labelled(found, "Style & Format")) == 30  # of the mini world's 192 prompts


def test_networks_of_other_captions_are_not_laid_side_by_side(
    made: Any, run: Any, shelf: Any, monkeypatch: Any
) -> None:
    for row in ("SD (dense)", "LD-Pruner", "BK-SDM-Base", "BK-SDM-Small"):
        run(made("ld_pruner_1", row), {"generate": images(0)})
    own = {"dense": CAPTIONS}
    monkeypatch.setattr(RunFacts, "captions", lambda self, on="": own.get(self.record.what.method, CAPTIONS[::-1]))
    with pytest.raises(FigureError, match="drew other captions"):
        makers.draw(stocked(catalog()["ld_pruner_3"], shelf(), "mini"))
