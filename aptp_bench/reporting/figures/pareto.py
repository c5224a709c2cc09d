"""Quality against cost over all methods and budgets: who needs less for the same, and who makes more of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from aptp_bench.reporting.figures import room
from aptp_bench.reporting.figures.looks import looks_of
from aptp_bench.reporting.figures.style import EDGE, PLAIN, lay_out
from aptp_bench.reporting.ranking.entries import Entry
from aptp_bench.reporting.ranking.names import method_title
from aptp_bench.reporting.ranking.names import title as named
from aptp_bench.reporting.ranking.tradeoff import Point, Tradeoff
from aptp_bench.reporting.worlds import NAMES

APART = 0.016  # of the axis between marks that would coincide
TALL = 0.025  # of the axis: half the height of a mark


def pareto(entries: Sequence[Entry], metric: str, cost: str = "exact", title: str | None = None) -> Figure:
    """A metric against cost: a MAC convention such as exact, or a metric such as latency, which one device has measured.

    Raises ConfigError for entries that share no plot (see Tradeoff.of).
    """
    return draw(Tradeoff.of(entries, metric, cost), title)


def draw(shown: Tradeoff, title: str | None = None) -> Figure:
    """Points with 95 % intervals, a colour and a marker a method, and the frontier of their values; hollow: beaten."""
    looks = looks_of([point.entry for point in shown.points])
    places = _places(shown.points)
    with mpl.rc_context(PLAIN):
        figure = Figure(figsize=(7.2, 4.4), layout="constrained")
        axes = figure.subplots()
        for point, x in zip(shown.points, places, strict=True):
            _point(axes, point, x, *looks[point.entry.method])
        for method, (colour, marker) in looks.items():
            axes.plot([], [], marker, color=colour, **EDGE, label=method_title(method))
        moved = any(x != point.x for point, x in zip(shown.points, places, strict=True))
        side = "; marks that would coincide stand side by side" if moved else ""
        axes.set(xlabel=f"{shown.x_label}{side}", ylabel=shown.y_label)
        record = shown.points[0].entry.first
        about = f"{named(shown.metric)} on {record.what.dataset}, {record.what.model}: {NAMES[record.world]}"
        axes.set_title(title or about, fontsize=10)
        axes.grid(color="#dddddd", linewidth=0.5)
        axes.set_axisbelow(True)
        axes.margins(x=0.08, y=0.1)
        stairs = _frontier(axes, shown)
        if any(point.beaten for point in shown.points):
            look = {"markerfacecolor": "white", "markeredgecolor": "black", "markeredgewidth": 0.8}
            axes.plot([], [], "o", **look, label="hollow: another is better\nbeyond doubt for no more")
        axes.legend(fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        _budgets(figure, axes, shown.points, places, stairs)
        return figure


def _places(points: Sequence[Point]) -> list[float]:
    """Where each point stands on the axis of costs: at its cost, or beside it where others are."""
    tall = TALL * _extent([end for point in points for end in _heights(point)])
    spans = [(point.x, (_heights(point)[0] - tall, _heights(point)[1] + tall)) for point in points]
    return room.dodge(spans, APART * _extent([end for p in points for end in (p.x, *(p.x_interval or ()))]))


def _frontier(axes: Any, shown: Tradeoff) -> list[tuple[float, float]]:
    """A staircase from edge to edge: between two points of the frontier only the cheaper one can be had. Its corners."""
    line, (_, right), ends = shown.frontier, axes.get_xlim(), axes.get_ylim()
    worst = ends[0] if shown.better == "higher" else ends[1]
    xs = [point.x for point in line]
    ys = [worst, *(point.y for point in line)]
    stairs = [x for x in xs for _ in (0, 1)] + [right], [y for y in ys for _ in (0, 1)][1:]
    axes.plot(*stairs, color="grey", linewidth=0.9, linestyle="--", zorder=1, label="frontier of the values")
    axes.set(xlim=(*axes.get_xlim()[:1], right), ylim=ends)
    return list(zip(*stairs, strict=True))


def _point(axes: Any, point: Point, x: float, colour: str, marker: str) -> None:
    """A point with its intervals."""
    bars = {"xerr": _error(point.x, point.x_interval), "yerr": _error(point.y, point.y_interval)}
    edge = EDGE
    if point.beaten:
        edge = {"markerfacecolor": "white", "markeredgecolor": colour, "markeredgewidth": 1.1}
    axes.errorbar(x, point.y, **bars, fmt=marker, color=colour, markersize=6, capsize=2, linewidth=0.9, **edge)


def _budgets(
    figure: Figure, axes: Any, points: Sequence[Point], places: Sequence[float], stairs: Sequence[tuple[float, float]]
) -> None:
    """Say the budget, or the name, beside each point whose method has several, as far as there is room."""
    looks, several = looks_of([point.entry for point in points]), Counter(point.entry.method for point in points)
    lay_out(figure)  # labels are written beside what stands there
    corners = axes.transData.transform(stairs)
    taken = [Bbox([one, other]).padded(2) for one, other in pairwise(corners)]
    taken += [box for p, x in zip(points, places, strict=True) for box in room.boxes(axes, x, p.y, _heights(p))]
    wanted = [
        (x, p.y, " ".join([_named(p.entry), *p.entry.changed]), looks[p.entry.method][0])
        for p, x in zip(points, places, strict=True)
        if several[p.entry.method] > 1
    ]
    room.label(figure, axes, wanted, taken)


def _named(entry: Entry) -> str:
    """By what one of a method's points is told from the others: its budget, or the name that published weights have."""
    return entry.published or f"{entry.first.what.budget.ratio:g}"


def _heights(point: Point) -> tuple[float, float]:
    return point.y_interval or (point.y, point.y)


def _extent(values: Sequence[float]) -> float:
    return max(values) - min(values)


def _error(value: float, interval: tuple[float, float] | None) -> list[list[float]] | None:
    """How far an interval reaches below and above, as errorbar takes it."""
    return None if interval is None else [[max(0.0, value - interval[0])], [max(0.0, interval[1] - value)]]
