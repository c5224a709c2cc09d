"""The losses of a pruning stage, step by step (APTP, arXiv:2406.12042, Fig. 6)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from aptp_bench.errors import FigureError
from aptp_bench.reporting.figures.style import COLOURS, PLAIN

if TYPE_CHECKING:
    from aptp_bench.reporting.figures.facts import RunFacts

Rows = Sequence[Mapping[str, Any]]

RATIO, RATIOS = "ratio", "ratios"
# What the rows of a pruning stage may report, in the order of the panels; other numbers follow under their own names.
LABELS = {
    "resource": "resource loss",
    "contrastive": "contrastive loss",
    "denoising": "denoising loss",
    "output": "distillation loss, output",
    "blocks": "distillation loss, blocks",
    RATIO: "mean MACs / dense",
    "loss": "all terms, weighted",
    "link": "link to the assignment",
    "max": "1 − greatest MACs / dense",
    "std": "− deviation of MACs / dense",
}
COLUMNS = 3
DECADES = 10.0  # a positive quantity that spans more than this factor has a logarithmic axis
WINDOW = 20  # the smoothed line is a mean over one in so many of the steps
FAINT = "#999999"


def losses(rows: Rows, title: str, budget: float | None = None, convention: str = "") -> Figure:
    """A panel for each number that the rows report, by step: raw and smoothed. Rows: see models.mixture.Router.

    budget: drawn into the panel of the MAC ratio. Raises FigureError if the rows hold no number.
    """
    names = _names(rows)
    if not names:
        raise FigureError("the pruning stage left no history of its steps; omit this figure")
    height = math.ceil(len(names) / COLUMNS)
    with mpl.rc_context(PLAIN):
        figure = Figure(figsize=(10.5, 0.9 + 2.3 * height), layout="constrained")
        grid = figure.subplots(height, COLUMNS, squeeze=False).flatten()
        for axes, name in zip(grid, names, strict=False):
            _panel(axes, rows, name)
            axes.set_title(f"{LABELS.get(name, name)}{f' ({convention})' if name == RATIO and convention else ''}")
            axes.set_ylabel("share of the dense MACs" if name == RATIO else "loss (no unit)")
            _stages(axes, rows, named=axes is grid[0])
            if name == RATIO:
                _ratio(axes, rows, budget)
        for axes in grid[len(names) :]:
            axes.set_axis_off()
        for lowest in grid[max(0, len(names) - COLUMNS) : len(names)]:
            lowest.set_xlabel("step of the pruning stage")
        figure.suptitle(title)
        return figure


def of_run(facts: RunFacts) -> Figure:
    """The figure of a run. Raises FigureError if its method keeps no history."""
    if not facts.router.history:
        method = facts.record.what.method
        raise FigureError(f"{method} left no history of its pruning stage; run a method that searches by steps")
    title = facts.title("Losses of the pruning stage")
    return losses(facts.router.history, title, facts.record.what.budget.ratio, facts.convention)


def smoothed(values: Sequence[float], window: int) -> np.ndarray:
    """Centred means over `window` values, fewer at the ends; a value that is not finite counts for nothing."""
    found = np.asarray(values, dtype=float)
    known = np.isfinite(found)
    kernel = np.ones(max(1, window))
    total = np.convolve(np.where(known, found, 0.0), kernel, mode="same")[: len(found)]
    count = np.convolve(known.astype(float), kernel, mode="same")[: len(found)]
    return np.divide(total, count, out=np.full(len(found), np.nan), where=count > 0.5)


def logarithmic(axes: Any, few: bool) -> None:
    """A logarithmic axis whose ticks are plain numbers, three a decade where there are few decades."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _names(rows: Rows) -> list[str]:
    """Of what the rows report the numbers, the known ones first."""
    found = dict.fromkeys(
        key for row in rows for key, value in row.items() if type(value) in (int, float) and key != "step"
    )
    return [name for name in LABELS if name in found] + [name for name in found if name not in LABELS]


def _panel(axes: Any, rows: Rows, name: str) -> None:
    values = [float(row.get(name, math.nan)) for row in rows]
    window = min(len(values), max(1, len(values) // WINDOW))
    axes.plot(range(len(values)), values, color=FAINT, linewidth=0.6, label="every step")
    for first, stage in _runs(rows):
        axes.plot(
            range(first, first + len(stage)),
            smoothed(values[first : first + len(stage)], min(window, len(stage))),
            color=COLOURS[0],
            linewidth=1.6,
            label="smoothed" if first == 0 else None,
        )
    known = [value for value in values if math.isfinite(value)]
    if known and min(known) > 0 and max(known) / min(known) > DECADES:
        logarithmic(axes, few=max(known) / min(known) < 300)
    axes.grid(True, linewidth=0.3, alpha=0.6)


def _runs(rows: Rows) -> list[tuple[int, list[Mapping[str, Any]]]]:
    """(place of its first row, rows) of each stage."""
    stages = (list(group) for _, group in groupby(enumerate(rows), key=lambda each: each[1].get("stage", "")))
    return [(stage[0][0], [row for _, row in stage]) for stage in stages]


def _stages(axes: Any, rows: Rows, named: bool) -> None:
    """All stages but the last are shaded: the warm-up."""
    stages = _runs(rows)
    for first, stage in stages[:-1]:
        axes.axvspan(first - 0.5, first + len(stage) - 0.5, color=COLOURS[1], alpha=0.15, linewidth=0)
        axes.axvline(first + len(stage) - 0.5, color=COLOURS[1], linewidth=0.8, linestyle=":")
    if not named:
        return
    for first, stage in stages:
        look = {"ha": "center", "va": "bottom", "size": 8, "transform": axes.get_xaxis_transform()}
        axes.text(first + (len(stage) - 1) / 2, 0.03, str(stage[0].get("stage", "")), **look)


def _ratio(axes: Any, rows: Rows, budget: float | None) -> None:
    """Beside the mean: every expert's own ratio, and the budget."""
    experts = max((len(row.get(RATIOS, ())) for row in rows), default=0)
    for expert in range(experts):
        own = [row[RATIOS][expert] if len(row.get(RATIOS, ())) > expert else math.nan for row in rows]
        label = "each expert" if expert == 0 else None
        axes.plot(range(len(own)), own, color=COLOURS[2], linewidth=0.5, alpha=0.6, zorder=1.5, label=label)
    if budget is not None:
        axes.axhline(budget, color=COLOURS[3], linewidth=1.1, linestyle="--", label=f"budget {budget:g}")
    axes.legend(fontsize=7, frameon=False)
