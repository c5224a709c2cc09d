"""Images side by side: cheap and dear experts beside the dense network, a row an expert, further prompts.

As APTP, arXiv:2406.12042, shows them in Figs. 3, 4 and 11 to 14. A panel is plain data, which a page lays out as it likes;
`figure` draws it.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from aptp_bench.audio.files import encoded
from aptp_bench.errors import FigureError
from aptp_bench.generation.images import image_path, read_image
from aptp_bench.harness.run import GENERATE
from aptp_bench.reporting.figures.style import GREY, PLAIN

if TYPE_CHECKING:
    from aptp_bench.reporting.figures.facts import On, RunFacts

PAIRS = 6  # prompts that are shown for each end of the budgets
ACROSS = 8  # images of an expert
PROMPTS = 10  # of the second evaluation set
SMALL = 64  # pixels up to which an image is shown in its own squares
EDGE = 128  # pixels of a tile at most; smaller images stay as they are
ENDS = 4  # one in so many experts is called cheap, and one dear
# inches of a drawn figure: edge of a tile, its step to the next, a line of its text, width of row labels, room above
TILE, STEP, LINE, LABEL, TOP = 1.15, 1.24, 0.1, 1.7, 0.8
NOTE = 0.22  # inches of the note below all


@dataclass(frozen=True)
class Tile:
    """An image of at most EDGE pixels, as the bytes of a PNG, what stands below it, and, of a spectrogram, its sound as a WAV file."""

    png: bytes
    text: str
    wav: bytes | None = None

    @property
    def small(self) -> bool:
        """Whether it is shown in its own squares."""
        return int.from_bytes(self.png[16:20], "big") <= SMALL  # the width in the PNG's header


@dataclass(frozen=True)
class Row:
    """Tiles that belong together, and what they have in common."""

    label: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Panel:
    """Rows of tiles under one title; columns: what stands above them, empty where each tile says it; note: what is missing."""

    name: str
    title: str
    about: str
    rows: tuple[Row, ...]
    columns: tuple[str, ...] = ()
    note: str = ""


def panels(facts: RunFacts) -> list[Panel]:
    """All that there is to see of a run. Raises DataError, ConfigError if its images or captions are gone."""
    beside, missing = facts.beside("generate")
    found = ends(facts, beside, missing)
    if len(facts.record.experts) > 1:
        found.append(each_expert(facts))
    if GENERATE["partiprompts"] in facts.run.stages:
        found.append(further(facts, beside, missing))
    return found


def ends(facts: RunFacts, beside: RunFacts | None, missing: str) -> list[Panel]:
    """Prompts of the cheapest and of the dearest experts, a row a prompt, beside the dense network's images."""
    columns = tuple(each.record.what.method for each in (beside, facts) if each is not None)
    low, high = _ends(facts)
    named = {"cheap": ("Experts of low budget", low), "dear": ("Experts of high budget", high)}
    if len(facts.record.experts) == 1:
        named = {"samples": ("Samples", low)}
    found = []
    for name, (title, experts) in named.items():
        each = max(1, PAIRS // len(experts))  # as many prompts from each of the experts as there are
        chosen = [at for expert in experts for at in _served(facts, expert)[:each]]
        rows = tuple(_pair(facts, beside, at) for at in chosen)
        about = f"The first evaluation prompts that {_experts(facts, experts)} serve{'s' if len(experts) == 1 else ''}."
        found.append(Panel(name, title, about, rows, columns, missing))
    return found


def each_expert(facts: RunFacts) -> Panel:
    """A row for every expert with the images of its first evaluation prompts."""
    captions, rows = facts.captions(), []
    for expert, budget in enumerate(facts.budgets):
        own = _served(facts, expert)[:ACROSS]
        tiles = tuple(_tile(facts, at, captions[at]) for at in own)
        rows.append(Row(f"expert {expert}\n{budget:.3f} of the MACs", tiles))
    about = "Images of the first evaluation prompts of every expert; an empty row is one that none of them reaches."
    return Panel("experts", "Every expert", about, tuple(rows))


def further(facts: RunFacts, beside: RunFacts | None, missing: str) -> Panel:
    """The first prompts of the second evaluation set: the dense network's images above this run's."""
    on: On = "partiprompts"
    captions, assignment = facts.captions(on)[:PROMPTS], facts.assignment(on)
    several = len(facts.budgets) > 1
    own = tuple(
        _tile(facts, at, f"{text} (expert {assignment[at]})" if several else text, on)
        for at, text in enumerate(captions)
    )
    rows = [Row(facts.record.what.method, own)]
    if beside is not None:
        there = tuple(_tile(beside, at, text, on) for at, text in enumerate(captions))
        rows.insert(0, Row(beside.record.what.method, there))
    about = f"The first prompts of {facts.record.what.prompts}, which no expert was trained on."
    return Panel("prompts", "Further prompts", about, tuple(rows), note=missing)


def _tile(facts: RunFacts, at: int, text: str, on: On = "dataset") -> Tile:
    path, mel = image_path(facts.images(on), at), facts.mel
    if mel is None:
        return Tile(tile(path), text)
    wave = mel.waveform(read_image(path)[..., 0].numpy())
    return Tile(tile(path), text, encoded(wave, mel.rate))


def tile(path: Path) -> bytes:
    """A PNG of the image, scaled down to EDGE pixels where it is larger. Raises DataError for a missing or broken one."""
    image = Image.fromarray(read_image(path).numpy())
    edge = min(EDGE, max(image.size))
    if max(image.size) > edge:
        image = image.resize((edge, edge), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def figure(panel: Panel, title: str, note: str = "") -> Figure:
    """The panel on one sheet, every tile with its text; the note below all. Raises FigureError if it has no tile."""
    across = max((len(row.tiles) for row in panel.rows), default=0)
    if across == 0:
        raise FigureError(f"there is no image for '{panel.name}'; generate more: --set sizes.val=…")
    lines = max(len(_text(each)) for row in panel.rows for each in row.tiles)
    step = TILE + LINE * lines + 0.12
    size = (max(4.0, LABEL + across * STEP), TOP + len(panel.rows) * step + (NOTE if note else 0.0))
    with mpl.rc_context(PLAIN):
        drawn = Figure(figsize=size)
        axes = drawn.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, size[0]), ylim=(size[1], 0))
        axes.set_axis_off()
        axes.text(0.1, 0.1, title, va="top", size=10)
        for place, name in enumerate(panel.columns):
            axes.text(LABEL + place * STEP + TILE / 2, TOP - 0.06, name, ha="center", va="bottom", size=8)
        for place, row in enumerate(panel.rows):
            _draw_row(axes, row, TOP + place * step)
        axes.text(0.1, size[1] - NOTE / 2, note.replace("$", r"\$"), va="center", size=5.5, color=GREY)
        axes.set_aspect("equal")
        return drawn


def _draw_row(axes: Any, row: Row, top: float) -> None:
    axes.text(0.1, top + TILE / 2, "\n".join(_folded(row.label, 22, 6)), va="center", size=7)
    for place, each in enumerate(row.tiles):
        left = LABEL + place * STEP
        pixels = np.asarray(Image.open(io.BytesIO(each.png)).convert("RGB"))
        axes.imshow(pixels, extent=(left, left + TILE, top + TILE, top), interpolation="nearest", zorder=2)
        axes.text(left, top + TILE + 0.03, "\n".join(_text(each)), va="top", size=5)


def _text(each: Tile) -> list[str]:
    return _folded(each.text, 26, 3)


def _folded(text: str, width: int, lines: int) -> list[str]:
    """Text in lines; a mathematical formula is none here, so a dollar is a dollar."""
    found = [part for line in text.splitlines() for part in textwrap.wrap(line, width)]
    shown = found[:lines]
    if len(found) > lines:
        shown[-1] = f"{shown[-1]} …"
    return [line.replace("$", r"\$") for line in shown]


def _ends(facts: RunFacts) -> tuple[list[int], list[int]]:
    """Of the experts that serve an evaluation prompt the cheapest and the dearest, each in the order of their cost."""
    serving = set(facts.assignment())
    order = [expert for expert in np.argsort(facts.budgets, kind="stable").tolist() if expert in serving]
    few = max(1, len(order) // ENDS)
    return order[:few], order[-few:]


def _served(facts: RunFacts, expert: int) -> list[int]:
    """The places of the evaluation prompts that an expert serves."""
    return [at for at, each in enumerate(facts.assignment()) if each == expert]


def _pair(facts: RunFacts, beside: RunFacts | None, at: int) -> Row:
    expert = facts.assignment()[at]
    which = f"expert {expert}, " if len(facts.budgets) > 1 else ""
    own = _tile(facts, at, f"{which}{facts.budgets[expert]:.3f} of the MACs")
    there = [_tile(beside, at, "")] if beside else []
    return Row(facts.captions()[at] or f"number {at}", (*there, own))


def _experts(facts: RunFacts, experts: Sequence[int]) -> str:
    if len(facts.record.experts) == 1:
        return "the one expert"
    shares = ", ".join(f"{expert} ({facts.budgets[expert]:.3f} of the MACs)" for expert in experts)
    return f"expert{'s' if len(experts) > 1 else ''} {shares}"
