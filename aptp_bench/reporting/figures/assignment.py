"""Which budget each prompt of a batch gets, with and without balanced loads (APTP, arXiv:2406.12042, Fig. 7)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from aptp_bench.reporting.figures.colormap import MAP, on_tone, tones
from aptp_bench.reporting.figures.style import PLAIN

if TYPE_CHECKING:
    from aptp_bench.reporting.figures.facts import RunFacts

BATCH = 256  # prompts that are shown, taken as one batch
LEGIBLE = 20  # squares a row beside which a number still fits
ALONE = "each prompt by itself, as it is served"
BALANCED = "one balanced batch, as in training"


Budgets = Sequence[float] | Mapping[str, Sequence[float]]


def grids(variants: Mapping[str, Sequence[int]], budgets: Budgets, title: str, convention: str) -> Figure:
    """A grid of squares for each variant, a square a prompt, row by row; its colour is the budget of its expert.

    variants: name -> expert of each prompt; budgets: of each expert its share of the dense MACs, by variant where each
    has its own experts.
    """
    own = budgets if isinstance(budgets, Mapping) else dict.fromkeys(variants, budgets)
    most = max(len(experts) for experts in variants.values())
    edge = max(1, math.ceil(math.sqrt(most)))
    with mpl.rc_context(PLAIN):
        figure = Figure(figsize=(4.6 * len(variants) + 1.0, 5.2), layout="constrained")
        panels = figure.subplots(1, len(variants), squeeze=False)[0]
        scale = tones([share for each in own.values() for share in each])
        for axes, (name, experts) in zip(panels, variants.items(), strict=True):
            _grid(axes, experts, own[name], edge, scale)
            served = np.bincount(np.asarray(experts, dtype=int))
            busiest = f"the busiest has {served.max() / max(1, served.sum()):.0%}"
            axes.set_title(f"{name}:\n{np.count_nonzero(served)} experts in use, {busiest}", fontsize=9)
            axes.set_xlabel("prompt, column")
            axes.set_ylabel("prompt, row")
        drawn = mpl.cm.ScalarMappable(scale, MAP)
        bar = figure.colorbar(drawn, ax=list(panels), shrink=0.8)
        bar.set_label(f"MACs ({convention}) of the prompt's expert, share of dense")
        figure.suptitle(title)
        return figure


def of_run(facts: RunFacts) -> Figure:
    """The first BATCH evaluation prompts of a run. Raises FigureError for a run of one expert."""
    facts.check_several()
    prompts = facts.captions()[:BATCH]
    variants = {ALONE: facts.assignment()[: len(prompts)]}
    balanced = facts.router.balanced(prompts)
    if balanced is not None:
        variants[BALANCED] = balanced.tolist()
    title = facts.title(f"Experts of {len(prompts)} evaluation prompts")
    return grids(variants, facts.budgets, title, facts.convention)


def _grid(axes: Any, experts: Sequence[int], budgets: Sequence[float], edge: int, scale: Any) -> None:
    values = np.full(edge * edge, np.nan)
    values[: len(experts)] = [budgets[expert] for expert in experts]
    squares = np.ma.masked_invalid(values.reshape(edge, edge))
    axes.pcolormesh(squares, cmap=MAP, norm=scale, edgecolors="white", linewidth=0.6)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    if edge > LEGIBLE:
        return
    for place, expert in enumerate(experts):
        x, y = place % edge + 0.5, place // edge + 0.5
        axes.text(x, y, str(expert), ha="center", va="center", size=6, color=on_tone(budgets[expert], scale))
