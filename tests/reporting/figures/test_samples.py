from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image

from aptp_bench.errors import ConfigError, DataError, FigureError
from aptp_bench.generation.images import image_path, read_image, write_image
from aptp_bench.reporting.figures import samples
from aptp_bench.reporting.figures.facts import RunFacts, facts_of
from aptp_bench.reporting.figures.style import PLAIN


def pixels(png: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(png)).convert("RGB"))


def named(panels: list[samples.Panel]) -> dict[str, samples.Panel]:
    return {panel.name: panel for panel in panels}


@pytest.fixture
def facts(finished: Any) -> RunFacts:
    return facts_of(finished("aptp"))


def test_a_pair_is_the_dense_image_and_this_runs_of_the_same_prompt(facts: RunFacts) -> None:
    beside, _ = facts.beside()
    captions, assignment = facts.captions(), facts.assignment()
    for panel in (named(samples.panels(facts))[name] for name in ("cheap", "dear")):
        assert panel.columns == ("dense", "aptp") and panel.rows
        for row in panel.rows:
            at = captions.index(row.label)
            dense, own = row.tiles
            assert (pixels(dense.png) == read_image(image_path(beside.images(), at)).numpy()).all()
            assert (pixels(own.png) == read_image(image_path(facts.images(), at)).numpy()).all()
            assert own.text.startswith(f"expert {assignment[at]}, {facts.budgets[assignment[at]]:.3f}")


def test_cheap_experts_cost_less_than_dear_ones(facts: RunFacts) -> None:
    captions, assignment = facts.captions(), facts.assignment()
    found = named(samples.panels(facts))
    cost = {
        name: [facts.budgets[assignment[captions.index(row.label)]] for row in found[name].rows]
        for name in ("cheap", "dear")
    }
    serving = {facts.budgets[expert] for expert in assignment}
    assert set(cost["cheap"]) == {min(serving)} and set(cost["dear"]) == {max(serving)}


def test_every_expert_has_a_row_of_its_own_prompts(facts: RunFacts) -> None:
    panel = named(samples.panels(facts))["experts"]
    assert len(panel.rows) == 3
    for expert, row in enumerate(panel.rows):
        own = [text for text, served in zip(facts.captions(), facts.assignment(), strict=True) if served == expert]
        assert [tile.text for tile in row.tiles] == own[: samples.ACROSS]


def test_further_prompts_show_both_networks(facts: RunFacts) -> None:
    panel = named(samples.panels(facts))["prompts"]
    assert [row.label for row in panel.rows] == ["dense", "aptp"]
    assert [tile.text for tile in panel.rows[0].tiles] == facts.captions("partiprompts")
    own = panel.rows[1].tiles[2]
    assert (pixels(own.png) == read_image(image_path(facts.images("partiprompts"), 2)).numpy()).all()


def test_a_static_run_has_one_group_and_the_reference_stands_alone(finished: Any) -> None:
    assert list(named(samples.panels(facts_of(finished("norm"))))) == ["samples", "prompts"]
    dense, _ = facts_of(finished("norm")).beside()
    panel = named(samples.panels(dense))["samples"]
    assert panel.columns == ("dense",) and panel.note == "" and all(len(row.tiles) == 1 for row in panel.rows)


def test_without_the_reference_the_command_that_makes_it_is_said(finished: Any, tmp_path: Path) -> None:
    folder = finished("norm")
    shutil.copytree(folder.parent, tmp_path / "runs")
    for path in (tmp_path / "runs").glob("dense-*"):
        shutil.rmtree(path)
    panel = named(samples.panels(facts_of(tmp_path / "runs" / folder.name)))["samples"]
    assert panel.columns == ("norm",) and all(len(row.tiles) == 1 for row in panel.rows)
    assert "no dense run beside" in panel.note and "make it: aptp-bench run --method dense" in panel.note


def test_other_captions_than_those_that_were_drawn_are_refused(finished: Any, tmp_path: Path) -> None:
    folder = finished("norm")
    shutil.copytree(folder.parent, tmp_path / "runs")
    facts = facts_of(tmp_path / "runs" / folder.name)
    manifest = facts.run.stage("generate") / "manifest.json"
    document = json.loads(manifest.read_text())
    document["key"]["captions"] = hashlib.sha256(b"others").hexdigest()
    manifest.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"are not those that .* drew"):
        facts.captions()
    with pytest.raises(ConfigError, match="another run's"):  # opened anew: a stage of other captions is another stage
        facts_of(facts.run.folder)


def test_large_images_become_small_ones_and_small_ones_stay(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    for index, edge in enumerate((8, 300)):
        write_image(tmp_path, index, torch.randint(0, 256, (edge, edge, 3), generator=generator, dtype=torch.uint8))
    assert pixels(samples.tile(image_path(tmp_path, 0))).shape == (8, 8, 3)
    assert pixels(samples.tile(image_path(tmp_path, 1))).shape == (samples.EDGE, samples.EDGE, 3)
    with pytest.raises(DataError, match="is missing"):
        samples.tile(tmp_path / "none.png")


def test_a_drawn_panel_has_every_tile_and_text(facts: RunFacts) -> None:
    panel = named(samples.panels(facts))["dear"]
    axes = samples.figure(panel, facts.title("Dear")).axes[0]
    assert len(axes.images) == sum(len(row.tiles) for row in panel.rows)
    assert (axes.images[0].get_array() == pixels(panel.rows[0].tiles[0].png)).all()
    said = [text.get_text() for text in axes.texts]
    assert any("mini world" in text for text in said) and "dense" in said


def test_a_dollar_in_a_caption_is_no_formula() -> None:
    tile = samples.Tile(samples_png(), "costs $5 or $6")
    figure = samples.figure(samples.Panel("a", "A", "", (samples.Row("$x_1$ \\frac", (tile,)),)), "mini world")
    with mpl.rc_context(PLAIN):
        figure.savefig(stream := io.StringIO(), format="svg")
    assert ">costs $5 or $6</text>" in stream.getvalue() and r">$x_1$ \frac</text>" in stream.getvalue()


def test_an_empty_panel_is_an_error() -> None:
    with pytest.raises(FigureError, match="no image"):
        samples.figure(samples.Panel("a", "A", "", (samples.Row("x", ()),)), "mini world")


def samples_png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, format="PNG")
    return stream.getvalue()
