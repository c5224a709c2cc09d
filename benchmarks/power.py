"""How many prompts and seeds a gap needs: python -m aptp_bench.benchmarks.power

From the records with replicates: what differences of two methods vary by, over prompts, over training seeds and by the rest, and
from that the prompts with which a gap of 1, 2 or 5 % is found four times in five. Writes the block between <!-- power --> and
<!-- /power --> of docs/metrics.md, and docs/power.svg.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from aptp_bench.cli.failures import outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aptp_bench.reporting.ranking.boards import Board, Column

OPEN, CLOSE, FIGURE = "<!-- power -->", "<!-- /power -->", "power.svg"
GAPS, SEEDS = (0.01, 0.02, 0.05, 0.1, 0.2), (1, 2, 3, 5, 10)
FOUND = 0.8  # how often


@dataclass(frozen=True)
class Spread:
    """Variances of a difference, medians over a board's pairs: of one prompt's, of one seed's, of the rest; value: of the metric."""

    value: float
    prompt: float
    seed: float | None  # None: no pair has two seeds
    rest: float

    @classmethod
    def of(cls, board: Board, column: Column) -> Spread | None:
        """None where nothing was paired."""
        pairs = [pair.difference for pair in column.pairs if pair.difference.n]
        if not pairs:
            return None
        value = median(r.places[column.metric].summary.value for r in board.of("main") if column.metric in r.places)
        rest = median(each.rest * each.k * each.n for each in pairs)
        prompt = median(max(0.0, (each.prompts - each.rest) * each.n) for each in pairs)
        repeated = [max(0.0, (each.seeds - each.rest) * each.k) for each in pairs if each.of_seeds]
        return cls(abs(value), prompt, median(repeated) if repeated else None, rest)

    def error(self, prompts: float, seeds: int) -> float:
        """Of a mean difference."""
        return math.sqrt((self.prompt + self.rest / seeds) / prompts + (self.seed or 0.0) / seeds)

    def prompts(self, gap: float, seeds: int, pairs: int = 1) -> int | None:
        """With which a gap, a share of the value, is found FOUND of the time; None: no number of prompts is enough.

        pairs: of Holm's family, of which the first step is the hardest. Quantiles are the normal ones, as for seeds that are
        pooled over a board.
        """
        from scipy.special import ndtri

        reach = float(-ndtri(0.025 / pairs) + ndtri(FOUND))
        room = (gap * self.value / reach) ** 2 - (self.seed or 0.0) / seeds
        return math.ceil((self.prompt + self.rest / seeds) / room) if room > 0 else None


def power(
    results_dir: Annotated[Path, typer.Option(help="Where the records are.")] = Path("results"),
    docs: Annotated[Path, typer.Option(help="Where metrics.md is, and where the figure goes.")] = Path("docs"),
    metric: Annotated[str, typer.Option(help="Of which metric.")] = "fid",
) -> None:
    """Write the table and the figure of the prompts and seeds that a gap needs."""
    from aptp_bench import records
    from aptp_bench.core.files import write_text
    from aptp_bench.errors import ConfigError
    from aptp_bench.harness import replicates
    from aptp_bench.reporting.figures import style
    from aptp_bench.reporting.ranking.boards import boards

    page = docs / "metrics.md"
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    if OPEN not in text or CLOSE not in text.partition(OPEN)[2]:
        raise ConfigError(f"{page} has no block to fill; add the lines {OPEN} and {CLOSE}")
    found, _ = records.load_all(results_dir)
    made = boards(found.values(), replicates.of_all(found))
    columns = [(board, column) for board in made for column in board.contested if column.metric == metric]
    known = [(board, spread) for board, column in columns if (spread := Spread.of(board, column)) is not None]
    if not known:
        raise ConfigError(
            f"no board in {results_dir} has two methods with replicates of {metric}; run two and submit them"
        )
    style.save(draw(known, metric), docs / FIGURE)
    before, _, rest = text.partition(OPEN)
    write_text(page, f"{before}{OPEN}\n\n{block(known, metric)}\n\n{CLOSE}{rest.partition(CLOSE)[2]}")
    typer.echo(f"written: {page}\nwritten: {docs / FIGURE}")


def block(known: Sequence[tuple[Board, Spread]], metric: str) -> str:
    """The tables in words and numbers: of every board, prompts for each gap and number of seeds."""
    from aptp_bench.reporting.pages.wording import heading
    from aptp_bench.reporting.ranking.names import title
    from aptp_bench.reporting.worlds import SAID

    parts = []
    for board, spread in known:
        seeds = SEEDS if spread.seed is not None else SEEDS[:1]
        heads = ["gap", *(f"{k} seed{'s' if k > 1 else ''}" for k in seeds)]
        lines = [heads, ["---:"] * len(heads)]
        for pairs in dict.fromkeys((1, board.pairs)):
            for gap in GAPS:
                name = f"{gap:.0%}, {'one pair' if pairs == 1 else f'first of {pairs} pairs'}"
                lines.append([name, *(_cell(spread.prompts(gap, k, pairs)) for k in seeds)])
        parts.append(
            f"**{heading(board)}; {SAID[board.group.world]}**: {title(metric)} {spread.value:.3g}. {_parts(spread)}"
        )
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    parts.append(f"![the gap in {title(metric)} that is found, by prompts and seeds]({FIGURE})")
    return "\n\n".join(parts)


def draw(known: Sequence[tuple[Board, Spread]], metric: str) -> Figure:
    """The gap that is found FOUND of the time in one pair, against the prompts: a panel a board, a curve a number of seeds."""
    import matplotlib as mpl
    import numpy as np
    from matplotlib.figure import Figure
    from scipy.special import ndtri

    from aptp_bench.reporting.figures.style import COLOURS, PLAIN
    from aptp_bench.reporting.pages.wording import heading
    from aptp_bench.reporting.ranking.names import title

    reach, prompts = float(-ndtri(0.025) + ndtri(FOUND)), np.geomspace(64, 16384, 60)
    with mpl.rc_context(PLAIN):
        figure = Figure(figsize=(4.6 * len(known), 3.6), layout="constrained")
        for axes, (board, spread) in zip(figure.subplots(1, len(known), squeeze=False)[0], known, strict=True):
            for colour, k in zip(COLOURS, SEEDS if spread.seed is not None else SEEDS[:1], strict=False):
                gaps = [reach * spread.error(n, k) / spread.value for n in prompts]
                axes.plot(prompts, gaps, color=colour, linewidth=1.3, label=f"{k} seed{'s' if k > 1 else ''}")
            for gap in GAPS:
                axes.axhline(gap, color="grey", linewidth=0.6, linestyle=":")
            axes.set(xscale="log", yscale="log", xlabel="prompts")
            axes.set_title(heading(board), fontsize=8)
            axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, decimals=1))
        first = figure.axes[0]
        first.set_ylabel(f"gap in {title(metric)} found {FOUND:.0%} of the time")
        first.legend(fontsize=7.5, frameon=False)
        return figure


def _cell(prompts: int | None) -> str:
    return "never" if prompts is None else f"{prompts:,}"


def _parts(spread: Spread) -> str:
    """What a difference varies by."""
    seed = "unknown: no pair has two seeds, so the numbers are of prompts alone"
    if spread.seed is not None:
        seed = f"{math.sqrt(spread.seed):.3g}"
    return (
        f"Standard deviation of a difference over prompts {math.sqrt(spread.prompt):.3g}, of the rest "
        f"{math.sqrt(spread.rest):.3g}, over training seeds {seed}."
    )


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(power)
    sys.exit(outcome(lambda: app(standalone_mode=False)))
