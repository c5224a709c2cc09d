"""Room for marks and labels: marks that would coincide stand side by side, and no label lies on anything."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox

from aptp_bench.core.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARK = 5.0  # half the size of a mark, in points
REACH = MARK + 2
FAR = (1.0, 2.2, 3.6)  # how far labels may stand from their mark
SIDES = tuple(product(((1, "left"), (-1, "right"), (0, "center")), ((1, "bottom"), (-1, "top"), (0, "center"))))[:-1]


def dodge(points: Sequence[tuple[float, Interval]], gap: float) -> list[float]:
    """Where points stand sideways so that two whose heights overlap are at least `gap` apart, each moved as little as that takes.

    points: x, and the ends of what is drawn at it.
    """
    found = [x for x, _ in points]
    for _ in points:  # what was moved may have come to stand beside others
        crowds = [crowd for crowd in _crowds(found, [ends for _, ends in points], gap) if len(crowd) > 1]
        if not crowds:
            break
        for crowd in crowds:
            for at, x in zip(crowd, _spread([found[at] for at in crowd], gap), strict=True):
                found[at] = x
    return found


def _crowds(xs: Sequence[float], heights: Sequence[Interval], gap: float) -> list[list[int]]:
    """Points that hang together by standing too close, each crowd from left to right."""
    crowds: list[list[int]] = []
    for at, (x, (low, high)) in enumerate(zip(xs, heights, strict=True)):
        touched = [
            crowd
            for crowd in crowds
            if any(abs(x - xs[i]) < 0.999 * gap and heights[i][0] <= high and low <= heights[i][1] for i in crowd)
        ]
        crowds = [crowd for crowd in crowds if crowd not in touched] + [[at, *(i for crowd in touched for i in crowd)]]
    return [sorted(crowd, key=lambda i: (xs[i], i)) for crowd in crowds]


def _spread(xs: Sequence[float], gap: float) -> list[float]:
    """Ascending numbers moved apart to `gap`, around their mean."""
    placed = [xs[0]]
    for x in xs[1:]:
        placed.append(max(x, placed[-1] + gap))
    shift = float(np.mean(xs) - np.mean(placed))
    return [x + shift for x in placed]


def label(figure: Figure, axes: Any, wanted: Sequence[tuple[float, float, str, str]], taken: list[Bbox]) -> None:
    """Write each text near its mark where nothing is, with a line to it from afar; leave out what has no room.

    wanted: x, y, text, colour. taken: boxes in which no text may lie, in pixels of the figure as it is laid out.
    """
    measure = FigureCanvasAgg(figure).get_renderer()  # a text that is given none makes one for itself
    for x, y, text, colour in wanted:
        for far, ((right, across), (up, along)) in product(FAR, SIDES):
            place = {"textcoords": "offset points", "xytext": (far * REACH * right, far * REACH * up)}
            written = axes.annotate(text, (x, y), **place, ha=across, va=along, fontsize=7.5, color=colour)
            box = written.get_window_extent(measure)
            inside = axes.bbox.contains(*box.min) and axes.bbox.contains(*box.max)
            if not inside or any(box.overlaps(other) for other in taken):
                written.remove()
                continue
            written.set_in_layout(False)
            taken.append(box)
            if far > 1:
                line = {"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkB": MARK}
                axes.annotate("", (x, y), **place, arrowprops=line).set_in_layout(False)
            break


def boxes(axes: Any, x: float, y: float, heights: Interval) -> list[Bbox]:
    """What a mark and its whisker cover, in pixels."""
    half = MARK * axes.figure.dpi / 72
    (left, middle), (_, low), (_, high) = axes.transData.transform([(x, y), (x, heights[0]), (x, heights[1])])
    return [
        Bbox([[left - half, middle - half], [left + half, middle + half]]),
        Bbox([[left - 3, low], [left + 3, high]]),
    ]
