"""Quality against cost over all methods and budgets: who needs less for the same, and who makes more of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aptp_bench.reporting.figures.style import COLOURS, MARKERS, PLAIN
from aptp_bench.reporting.ranking.entries import Entry
from aptp_bench.reporting.ranking.names import title as named
from aptp_bench.reporting.ranking.tradeoff import Point, Tradeoff
from aptp_bench.reporting.worlds import NAMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REFERENCE = (COLOURS[-1], MARKERS[-1])  # of the network as it is


def pareto(entries: Sequence[Entry], metric: str, cost: str = "exact", title: str | None = None) -> Figure:
    """A metric against cost: a MAC convention such as exact, or a metric such as latency, which one device has measured.

    Raises ConfigError for entries that share no plot (see Tradeoff.of).
    """
    return draw(Tradeoff.of(entries, metric, cost), title)


def draw(shown: Tradeoff, title: str | None = None) -> Figure:
    """Points with 95 % intervals, a colour and a marker a method, and the frontier of their values; hollow: beaten."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    looks = styles([point.entry for point in shown.points])
    with mpl.rc_context(PLAIN):
        figure = Figure(figsize=(7.2, 4.4), layout="constrained")
        axes = figure.subplots()
        several = Counter(point.entry.method for point in shown.points)
        for point in shown.points:
            _point(axes, point, *looks[point.entry.method], named=several[point.entry.method] > 1)
        for method, (colour, marker) in looks.items():
            axes.plot([], [], marker, color=colour, markeredgecolor="black", markeredgewidth=0.4, label=method)
        axes.set(xlabel=shown.x_label, ylabel=shown.y_label)
        record = shown.points[0].entry.first
        about = f"{named(shown.metric)} on {record.what.dataset}, {record.what.model}: {NAMES[record.world]}"
        axes.set_title(title or about, fontsize=10)
        axes.grid(color="#dddddd", linewidth=0.5)
        axes.set_axisbelow(True)
        axes.margins(x=0.08, y=0.1)
        _frontier(axes, shown)
        if any(point.beaten for point in shown.points):
            look = {"markerfacecolor": "white", "markeredgecolor": "black", "markeredgewidth": 0.8}
            axes.plot([], [], "o", **look, label="hollow: another is better\nbeyond doubt for no more")
        axes.legend(fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        return figure


def styles(entries: Sequence[Entry]) -> dict[str, tuple[str, str]]:
    """Colour and marker of every method, in the order of their names; the network as it is has its own."""
    found: dict[str, tuple[str, str]] = {}
    references = {entry.method for entry in entries if entry.first.what.budget.ratio == 1}
    pruned = sorted({entry.method for entry in entries} - references)
    for place, method in enumerate(pruned):
        turn, at = divmod(place, len(COLOURS) - 1)
        found[method] = (COLOURS[at], MARKERS[(at + turn) % (len(MARKERS) - 1)])
    return found | {method: REFERENCE for method in sorted(references)}


def _frontier(axes: Any, shown: Tradeoff) -> None:
    """A staircase from edge to edge: between two points of the frontier only the cheaper one can be had."""
    line, (_, right), ends = shown.frontier, axes.get_xlim(), axes.get_ylim()
    worst = ends[0] if shown.better == "higher" else ends[1]
    xs = [point.x for point in line]
    ys = [worst, *(point.y for point in line)]
    stairs = [x for x in xs for _ in (0, 1)] + [right], [y for y in ys for _ in (0, 1)][1:]
    axes.plot(*stairs, color="grey", linewidth=0.9, linestyle="--", zorder=1, label="frontier of the values")
    axes.set(xlim=(*axes.get_xlim()[:1], right), ylim=ends)


def _point(axes: Any, point: Point, colour: str, marker: str, named: bool) -> None:
    """A point with its intervals. named: say its budget, where its method has several points."""
    bars = {"xerr": _error(point.x, point.x_interval), "yerr": _error(point.y, point.y_interval)}
    edge: dict[str, Any] = {"markeredgecolor": "black", "markeredgewidth": 0.4}
    if point.beaten:
        edge = {"markerfacecolor": "white", "markeredgecolor": colour, "markeredgewidth": 1.1}
    axes.errorbar(point.x, point.y, **bars, fmt=marker, color=colour, markersize=7, capsize=2, linewidth=0.9, **edge)
    if named:
        text = " ".join([f"{point.entry.first.what.budget.ratio:g}", *point.entry.changed])
        axes.annotate(text, (point.x, point.y), xytext=(6, 5), textcoords="offset points", fontsize=7.5, color=colour)


def _error(value: float, interval: tuple[float, float] | None) -> list[list[float]] | None:
    """How far an interval reaches below and above, as errorbar takes it."""
    return None if interval is None else [[max(0.0, value - interval[0])], [max(0.0, interval[1] - value)]]
