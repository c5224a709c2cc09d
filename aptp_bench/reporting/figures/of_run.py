"""Every figure of one run: by name, drawn when asked for; what cannot be drawn is named with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from matplotlib.figure import Figure

from aptp_bench.core.documents import meant
from aptp_bench.core.progress import Progress
from aptp_bench.errors import AptpBenchError, ConfigError
from aptp_bench.reporting.figures import assignment, blocks, loads, samples, search
from aptp_bench.reporting.figures.facts import RunFacts
from aptp_bench.reporting.figures.samples import Panel

Maker = Callable[[RunFacts, Progress], Figure]
MAKERS: Mapping[str, tuple[Maker, str]] = {  # and what a figure says, in words
    "search": (
        lambda facts, _: search.of_run(facts),
        "What every step of the pruning stage reported: faint each step, bold a running mean. Shaded: the stages before "
        "the last, in which no expert is trained yet. The mean MACs are those of the batch, and the dashed line is the budget.",
    ),
    "assignment": (
        lambda facts, _: assignment.of_run(facts),
        "A square is a prompt, its tone the budget of the expert that it goes to, its number that expert.",
    ),
    "loads": (
        lambda facts, _: loads.of_run(facts),
        "The share of the prompts that each expert serves, with their number on top. Served prompts go to the nearest "
        "expert, so loads need not be equal.",
    ),
    "blocks": (
        blocks.of_run,
        "What is left of the MACs of every ResBlock, transformer and sampler of the U-Net; the first and the last "
        "convolution and the skip connections are left out. Blocks that a method took out, and those behind them in the "
        "same list, are compared by their place.",
    ),
}
SAMPLES = "samples"


def figures(
    facts: RunFacts, progress: Progress, names: Sequence[str] = tuple(MAKERS)
) -> tuple[dict[str, Figure], dict[str, str]]:
    """(the figures by name, why the others cannot be drawn: the run has nothing to draw, or it is gone)."""
    found: dict[str, Figure] = {}
    left_out: dict[str, str] = {}
    for name in progress.track(list(names), "figures"):
        try:
            found[name] = MAKERS[name][0](facts, progress)
        except AptpBenchError as err:
            left_out[name] = str(err)
    return found, left_out


def sample_panels(facts: RunFacts) -> tuple[list[Panel], dict[str, str]]:
    """(the panels of images, why there are none)."""
    try:
        return samples.panels(facts), {}
    except AptpBenchError as err:
        return [], {SAMPLES: str(err)}


def names_of(asked: Sequence[str]) -> list[str]:
    """The figures to draw: those asked for, all if none. Raises ConfigError with the nearest name for an unknown one."""
    known = [*MAKERS, SAMPLES]
    for name in asked:
        if name not in known:
            raise ConfigError(f"there is no figure '{name}'; {meant(name, known)}")
    return [name for name in known if not asked or name in asked]
