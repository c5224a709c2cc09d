"""APTP's search with and without optimal transport: its losses (Fig. 6), and which experts a batch of prompts gets (Fig. 7)."""

from __future__ import annotations

import json
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from aptp_bench.errors import DataError, FigureError
from aptp_bench.harness.run import ASSIGNMENT, GENERATE
from aptp_bench.harness.run_folder import MIXTURE, RunFolder
from aptp_bench.models.mixture import ROUTER, read_history
from aptp_bench.reporting.figures.assignment import BATCH, grids
from aptp_bench.reporting.figures.search import LABELS, smoothed
from aptp_bench.reporting.figures.style import COLOURS, PLAIN
from aptp_bench.reporting.paper_figures.drawn import Drawn, footed
from aptp_bench.reporting.paper_figures.stock import Item, Stock

SHOWN = ("resource", "contrastive")
WINDOW = 20  # the bold line is a mean over one in so many of the steps
NAMES = {True: "with optimal transport", False: "without"}


def losses(stock: Stock) -> Drawn:
    """Fig. 6: a panel a loss; faint each step, bold a running mean, a line a seed."""
    lines = [_losses(item, run) for item in stock.items for run in item.runs]
    data = {"id": stock.figure.id, "title": stock.title, "note": stock.note, "lines": lines}
    return Drawn.of(_curves(data), data)


def squares(stock: Stock) -> Drawn:
    """Fig. 7: a square a prompt, its tone the budget of its expert. Of each variant the run of its first seed."""
    variants = {_variant(item): _experts(item.runs[0]) for item in stock.items}
    convention = stock.items[0].recipe.budget.convention
    budgets = {_variant(item): item.records[0].expert_ratios(convention) for item in stock.items}
    figure = grids(variants, budgets, stock.title_of_one, convention)
    data = {"id": stock.figure.id, "title": stock.title_of_one, "note": stock.note}
    data |= {"convention": convention, "experts": variants, "budgets": budgets}  # type: ignore[dict-item]
    return Drawn.of(footed(figure, stock.title_of_one, stock.note), data)


def _variant(item: Item) -> str:
    return NAMES[bool(item.recipe.method_config["transport"])]


def _losses(item: Item, run: RunFolder) -> dict[str, Any]:
    """The losses of a run's last stage, in which experts are trained. Raises FigureError if it left none."""
    place = run.stage("prune") / MIXTURE / ROUTER
    try:
        rows = read_history(place)
    except ValueError as err:
        raise DataError(
            f"the history in {place} cannot be read ({err}); delete {run.stage('prune')} and run again"
        ) from err
    if not rows:
        raise FigureError(f"{run.folder} left no history of its pruning stage; run again: {run.record.how.command}")
    last = [row for row in rows if row.get("stage") == rows[-1].get("stage")]
    first = len(rows) - len(last)
    own = {"variant": _variant(item), "seed": run.record.what.seed, "first_step": first}
    return own | {name: [row.get(name) for row in last] for name in SHOWN}


def _experts(run: RunFolder) -> list[int]:
    """The experts that drew the first evaluation prompts."""
    path = run.stage(GENERATE["dataset"]) / ASSIGNMENT
    try:
        found: list[int] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise DataError(f"{path} cannot be read; delete {path.parent} and run again") from err
    return found[:BATCH]


def _curves(data: dict[str, Any]) -> Figure:
    with mpl.rc_context(PLAIN):
        figure = Figure(figsize=(8.4, 3.5), layout="constrained")
        for axes, name, part in zip(figure.subplots(1, len(SHOWN)), SHOWN, "ab", strict=True):
            for line in data["lines"]:
                _curve(axes, line, name)
            axes.set_title(f"({part}) {LABELS[name]}", fontsize=9)
            axes.set(xlabel="step of the pruning stage", ylabel="loss (no unit), unweighted")
            axes.grid(True, linewidth=0.3, alpha=0.6)
            labels = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))  # one entry a variant
            axes.legend(labels.values(), labels.keys(), fontsize=7.5, frameon=False)
        return footed(figure, data["title"], data["note"])


def _curve(axes: Any, line: dict[str, Any], name: str) -> None:
    known = [(place, value) for place, value in enumerate(line[name], start=line["first_step"]) if value is not None]
    if not known:
        return
    xs, ys = zip(*known, strict=True)
    colour = COLOURS[0] if line["variant"] == NAMES[True] else COLOURS[3]
    axes.plot(xs, ys, color=colour, linewidth=0.4, alpha=0.35)
    style = "-" if line["variant"] == NAMES[True] else "--"
    bold = smoothed(ys, max(1, len(ys) // WINDOW))
    axes.plot(xs, bold, color=colour, linewidth=1.7, linestyle=style, label=line["variant"])
