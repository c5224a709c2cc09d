"""Numbers of records by one setting: a panel a metric, a line a variant, 95 % intervals, published numbers in a panel of their own.

Published numbers are of another world than the mini one's, so they never share an axis with ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from aptp_bench.records import Measurement
from aptp_bench.reporting.figures.search import logarithmic
from aptp_bench.reporting.figures.style import COLOURS, MARKERS, PLAIN
from aptp_bench.reporting.paper_figures.drawn import Drawn, footed
from aptp_bench.reporting.paper_figures.stock import Item, Stock
from aptp_bench.reporting.paper_tables.published import PublishedTable
from aptp_bench.reporting.paper_tables.readings import readings
from aptp_bench.reporting.ranking.names import headed
from aptp_bench.reporting.ranking.spread import SeedSpread, Summary, summary

Point = dict[str, Any]
Panel = dict[str, Any]  # title, x, y, lines: name -> points, levels: name -> point (without x), published
FORMULAS = {"sum": "sum", "product": "product", "average": "average alone", "deviation": "deviation alone"}
DENSE = "dense"
FEW = 300.0  # a factor up to which a logarithmic axis has three ticks a decade
WIDE, HIGH = 3.9, 3.5  # inches of a panel
APART = 4 / 72  # inches between points of several lines at the same place: none hides another


def experts(stock: Stock) -> Drawn:
    """APTP, Fig. 5."""
    panels = []
    for metric, key in (("fid", "fid"), ("clip_score", "clip")):
        found = _summaries(stock.items, metric)
        points = [_point(item.recipe.method_config["experts"], each) for item, each in found]
        head = _head(found)
        panels.append(_panel(head(metric), "number of experts", {"APTP": points}))
        panels.append(_published_experts(key))
    return _drawn(stock, panels)


def along(stock: Stock) -> Drawn:
    """LD-Pruner, Fig. 5: FID by the steps of fine-tuning, a line a pruned network."""
    found, dense = _apart(_summaries(stock.items, "fid"))
    lines: dict[str, list[Point]] = {}
    for item, each in found:
        name = f"{item.recipe.method_config['p']} operators modified"
        lines.setdefault(name, []).append(_point(item.recipe.finetune["steps"], each))
    ours = _panel(_head(found)("fid"), "steps of fine-tuning", lines, dense)
    return _drawn(stock, [ours | {"log": True}, _published_steps()])


def formulas(stock: Stock) -> Drawn:
    """LD-Pruner, Fig. 7: FID against speed-up for the sum, and by formula against the number of modified operators."""
    found, dense = _apart(_summaries(stock.items, "fid"))
    lines: dict[str, list[Point]] = {name: [] for name in FORMULAS.values()}
    for item, each in found:
        formula = FORMULAS[item.recipe.method_config["score"]]
        lines[formula].append(_point(item.recipe.method_config["p"], each))
    head = _head(found)("fid")
    chosen = [each for each in found if each[0].recipe.method_config["score"] == "sum"]
    panels = [_speed(chosen, head, dense), _panel(head, "operators modified", lines, dense)]
    return _drawn(stock, [*panels, _published_speed()])


def draw(data: Mapping[str, Any]) -> Figure:
    """Panels side by side."""
    panels = data["panels"]
    with mpl.rc_context(PLAIN):
        figure = Figure(figsize=(WIDE * len(panels), HIGH), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            _draw(axes, panel)
        return footed(figure, data["title"], data["note"])


def _drawn(stock: Stock, panels: Sequence[Panel]) -> Drawn:
    shown: list[Panel] = [panel for panel in panels if any(panel["lines"].values())]
    apart = "" if stock.parts[0].scale == "paper" else ", not comparable with ours"
    shown = [p | {"title": f"{p['title']}\npaper scale{apart}"} if p["published"] else p for p in shown]
    points = [point for panel in shown for line in panel["lines"].values() for point in line]
    basis = " / ".join(sorted({point["basis"] for point in points if point["basis"]}))
    spread = f" Bars: 95 % intervals over {basis}." if basis else ""
    data = {"id": stock.figure.id, "title": stock.title, "note": f"{stock.note}.{spread}", "panels": shown}
    return Drawn.of(draw(data), data)


def _summaries(items: Iterable[Item], metric: str) -> list[tuple[Item, Summary]]:
    """Rows that have the metric, and what they say of it; what seeds do is pooled over the rows."""
    found = [(item, values) for item in items if (values := item.of(metric))]
    spread = SeedSpread.of([[each.value for each in values] for _, values in found])
    return [(item, summary(values, spread)) for item, values in found]


def _apart(found: Sequence[tuple[Item, Summary]]) -> tuple[list[tuple[Item, Summary]], dict[str, Point]]:
    """(the pruned networks, the level of the dense one)."""
    reference = {item.recipe.reference for item, _ in found}
    levels = [_point(None, each) for item, each in found if item.recipe.method in reference]
    return [(item, each) for item, each in found if item.recipe.method not in reference], dict(
        zip([DENSE], levels, strict=False)
    )


def _point(x: float | None, found: Summary) -> Point:
    low, high = found.interval or (None, None)
    own = {"x": x, "y": found.value, "low": low, "high": high, "seeds": found.seeds, "n": found.n}
    return own | {"basis": found.basis if found.interval else ""}


def _head(found: Sequence[tuple[Item, Summary]]) -> Callable[[str], str]:
    """How an axis names a metric, with its unit and which way is better."""
    return lambda metric: headed(metric, found[0][1].unit, found[0][1].better) if found else metric


def _panel(y: str, x: str, lines: Mapping[str, Any], levels: Mapping[str, Point] | None = None) -> Panel:
    return {"title": "ours", "x": x, "y": y, "lines": lines, "levels": levels or {}, "published": False}


def _speed(found: Sequence[tuple[Item, Summary]], head: str, dense: Mapping[str, Point]) -> Panel:
    """FID against the share of the inference time that is saved, where it was measured."""
    reading = readings("ld_pruner_1")["speedup_pct"]["mini"]
    points = []
    for item, each in found:
        said = [reading.of(record) for record in item.records]
        values = [one for one in said if isinstance(one, Measurement)]
        if values:
            shown = summary(values, SeedSpread(0.0, 0))
            own = dict(zip(("x_low", "x_high"), shown.interval or (), strict=False))
            points.append(_point(shown.value, each) | own)
    return _panel(head, "speed-up, % of the dense network's time saved", {"sum": points}, dense)


def _published(table: PublishedTable, y: str, x: str, lines: Mapping[str, Sequence[tuple[Any, Any]]]) -> Panel:
    points = {
        name: [_bare(at, value) for at, value in own if isinstance(value, int | float)] for name, own in lines.items()
    }
    title = f"published: {table.name}"
    return {"title": title, "x": x, "y": y, "lines": points, "levels": {}, "published": True}


def _bare(x: float, y: float) -> Point:
    return {"x": x, "y": y, "low": None, "high": None, "seeds": None, "n": None, "basis": ""}


def _published_experts(key: str) -> Panel:
    """The one number of experts whose quality the paper prints with the steps of this ablation."""
    table = PublishedTable.get("aptp_3")
    (row,) = (row for row in table.rows if row.method == "aptp")
    points = [(row.facts["n_experts"], row.values[key])]
    return _published(table, _column(table, key), "number of experts", {"APTP": points})


def _published_steps() -> Panel:
    table = PublishedTable.get("ld_pruner_3")
    lines = {row.label: [(c.train_steps or 0, row.values[c.key]) for c in table.columns] for row in table.rows}
    return _published(table, "FID ↓", "steps of fine-tuning", lines) | {"log": True}


def _published_speed() -> Panel:
    table = PublishedTable.get("ld_pruner_1")
    rows = [row for row in table.rows if isinstance(row.values["speedup_pct"], int | float)]
    lines = {row.label: [(float(str(row.values["speedup_pct"])), row.values["fid"])] for row in rows}
    return _published(table, "FID ↓", "speed-up, % of the dense network's time saved", lines)


def _column(table: PublishedTable, key: str) -> str:
    (column,) = (column for column in table.columns if column.key == key)
    return f"{column.label} {'↓' if column.better == 'lower' else '↑'}"


def _draw(axes: Any, panel: Panel) -> None:
    places = [point["x"] for points in panel["lines"].values() for point in points]
    apart = APART if len(set(places)) < len(places) else 0.0
    for place, (name, points) in enumerate(panel["lines"].items()):
        look = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)], "markersize": 5}
        if panel["published"]:
            look |= {"markerfacecolor": "white", "linestyle": "--"}
        ordered = sorted(points, key=lambda point: point["x"])
        xs, ys = [[point[key] for point in ordered] for key in ("x", "y")]
        bars = {"yerr": _reach(ordered, "y", "low", "high"), "xerr": _reach(ordered, "x", "x_low", "x_high")}
        aside = ScaledTranslation(apart * (place - (len(panel["lines"]) - 1) / 2), 0, axes.figure.dpi_scale_trans)
        drawn = axes.errorbar(xs, ys, **bars, capsize=2, linewidth=1.0, elinewidth=0.8, label=name, **look)
        for part in drawn.get_children():  # moved now: what is drawn elsewhere does not count when axes are scaled
            part.set_transform(axes.transData + aside)
    for name, level in panel["levels"].items():
        axes.axhline(level["y"], color="grey", linewidth=1.0, linestyle=":", label=name)
        if level["low"] is not None:
            axes.axhspan(level["low"], level["high"], color="grey", alpha=0.15, linewidth=0)
    if panel.get("log"):
        _logarithmic(axes, panel)
    if panel["x"] == "number of experts":
        axes.set_xticks(sorted({point["x"] for points in panel["lines"].values() for point in points}))
    axes.set(xlabel=panel["x"], ylabel=panel["y"])
    axes.set_title(panel["title"], fontsize=8)
    axes.grid(color="#dddddd", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.margins(x=0.08, y=0.12)
    if len(panel["lines"]) + len(panel["levels"]) > 1:
        axes.legend(fontsize=7, frameon=False)


def _logarithmic(axes: Any, panel: Panel) -> None:
    """A logarithmic axis with plain numbers, where all values are above 0."""
    values = [p["y"] for points in panel["lines"].values() for p in points] + [p["y"] for p in panel["levels"].values()]
    if min(values) > 0:
        logarithmic(axes, few=max(values) / min(values) < FEW)


def _reach(points: Sequence[Point], at: str, low: str, high: str) -> list[list[float]] | None:
    """How far intervals reach, as errorbar takes it; 0 where a point has none."""
    if all(point.get(low) is None for point in points):
        return None
    known = [(p[at] - p[low], p[high] - p[at]) if p.get(low) is not None else (0.0, 0.0) for p in points]
    return [[max(0.0, each[side]) for each in known] for side in (0, 1)]
