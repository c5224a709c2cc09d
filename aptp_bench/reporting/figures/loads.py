"""How many prompts each expert serves, beside what it costs (APTP, arXiv:2406.12042, Fig. 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from aptp_bench.reporting.figures.style import COLOURS, HATCHES, PLAIN

if TYPE_CHECKING:
    from aptp_bench.reporting.figures.facts import RunFacts

SHARED = 0.84  # of the room of an expert, by its bars
CROWDED = 10  # experts, beyond which numbers on bars stand upright


def bars(served: Mapping[str, Sequence[int]], budgets: Sequence[float], title: str, convention: str) -> Figure:
    """Bars of the share of the prompts that each expert serves, their number on top.

    served: which prompts -> how many of them each expert serves; budgets: of each expert its share of the dense MACs.
    """
    with mpl.rc_context(PLAIN):
        figure = Figure(figsize=(max(6.0, 2.0 + 0.95 * len(budgets)), 4.2), layout="constrained")
        axes = figure.subplots()
        width = SHARED / len(served)
        for place, (name, counts) in enumerate(served.items()):
            total = max(1, sum(counts))
            at = [expert + place * width for expert in range(len(counts))]
            look: dict[str, Any] = {"color": COLOURS[place], "hatch": HATCHES[place]}
            look |= {"edgecolor": "white", "linewidth": 0.4}
            shares = [100 * count / total for count in counts]
            drawn = axes.bar(at, shares, width=0.95 * width, label=f"{name} (n = {total:,})", **look)
            turned = 90 if len(counts) > CROWDED else 0
            axes.bar_label(drawn, [f"{count:,}" for count in counts], fontsize=7, padding=2, rotation=turned)
        axes.axhline(100 / len(budgets), color="grey", linewidth=0.9, linestyle="--", zorder=0, label="equal shares")
        ticks = [f"{expert}\n{budget:.3f}" for expert, budget in enumerate(budgets)]
        axes.set_xticks([expert + SHARED / 2 - width / 2 for expert in range(len(budgets))], ticks)
        axes.set_xlabel(f"expert, and its MACs ({convention}) as a share of dense")
        axes.set_ylabel("share of the prompts, %")
        axes.margins(y=0.16)
        axes.set_title(title)
        axes.legend(fontsize=8, frameon=False, ncols=3, loc="upper center")
        return figure


def of_run(facts: RunFacts) -> Figure:
    """Training and evaluation prompts of a run's experts. Raises FigureError for a run of one expert."""
    facts.check_several()
    experts = facts.record.experts
    served = {
        "training prompts": [expert.train_prompts for expert in experts],
        "evaluation prompts": [expert.eval_prompts for expert in experts],
    }
    return bars(served, facts.budgets, facts.title("Prompts and budget of each expert"), facts.convention)
