from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from aptp_bench.reporting.figures import style


@pytest.fixture
def figure() -> Figure:
    drawn = Figure(figsize=(2, 2))
    axes = drawn.subplots()
    axes.plot([0, 1], [1, 0], color=style.COLOURS[1])
    axes.add_patch(Rectangle((0.2, 0.2), 0.1, 0.1, color=style.INK))
    axes.set_title("<b>&")
    return drawn


def test_the_same_figure_gives_the_same_bytes(figure: Figure, tmp_path: Path) -> None:
    for suffix in (".svg", ".png"):
        files = [tmp_path / f"{name}{suffix}" for name in "ab"]
        for file in files:
            style.save(figure, file)
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_saved_figure_stands_on_white(figure: Figure, tmp_path: Path) -> None:
    from PIL import Image

    style.save(figure, tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255)


def test_black_takes_the_pages_colour_of_text_and_other_colours_stay(figure: Figure) -> None:
    svg = style.inline(figure, "lines")
    root = ElementTree.fromstring(svg)
    assert root.get("fill") == "currentColor"  # of text, which names no colour when it is black
    assert style.INK not in svg and "stroke: currentColor" in svg
    assert style.COLOURS[1].lower() in svg.lower()
    assert "#ffffff" not in svg  # no background


def test_text_in_a_figure_and_its_label_are_escaped(figure: Figure) -> None:
    svg = style.inline(figure, 'a "quoted" <script>&')
    assert "<script>" not in svg and "<b>" not in svg
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == 'a "quoted" <script>&' and root.get("role") == "img"


def test_an_inline_figure_says_nothing_of_when_or_by_what_it_was_made(figure: Figure) -> None:
    svg = style.inline(figure, "lines")
    assert svg.startswith("<svg ") and "<metadata>" not in svg and "Matplotlib" not in svg
    assert style.inline(figure, "lines") == svg


def test_colours_and_markers_repeat_each_other() -> None:
    assert len(set(style.COLOURS)) == len(style.COLOURS) == len(set(style.MARKERS))
