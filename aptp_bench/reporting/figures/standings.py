"""Who is ahead of whom on a board: a square a pair, for each of its first metrics."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from aptp_bench.reporting.figures.looks import looks_of
from aptp_bench.reporting.figures.style import EDGE, PLAIN
from aptp_bench.reporting.ranking.matrix import SIGNS, Matrix, Standings
from aptp_bench.reporting.ranking.names import entry_title, headed
from aptp_bench.reporting.worlds import NAMES

AHEAD, BEHIND, UNDECIDED = "#9CCBE8", "#F5C98A", "#EEEEEE"  # tones of Okabe and Ito's blue and orange
SQUARE, MARGIN = 0.56, 1.5  # inches
MOST = 24  # characters of a label


def draw(shown: Standings) -> Figure:
    """A row against every column: blue, it is ahead; orange, behind; grey, undecided. With the difference, row's minus column's."""
    across = len(shown.matrices)
    side = max(len(matrix.entries) for matrix in shown.matrices) * SQUARE
    with mpl.rc_context(PLAIN):
        figure = Figure(figsize=(across * (side + MARGIN), side + MARGIN + 0.5), layout="constrained")
        for axes, matrix in zip(figure.subplots(1, across, squeeze=False)[0], shown.matrices, strict=True):
            _panel(axes, matrix)
        board = shown.board
        what, told = board.group.what, board.separated["any"]
        counted = f"{told} of {board.pairs} pairs are told apart in at least one metric"
        budget = f"{board.ratio:g} of the {board.convention} MACs"
        title = f"{what.dataset}, {what.model}, {budget}: {NAMES[board.group.world]}\n{counted}; p ≤ 5 % after Holm"
        figure.suptitle(title, fontsize=9)
        return figure


def _panel(axes: Any, matrix: Matrix) -> None:
    n, column = len(matrix.entries), matrix.column
    names = [_short(entry_title(entry)) for entry in matrix.entries]
    looks = looks_of(matrix.entries)
    for row, cells in enumerate(matrix.cells):
        for place, cell in enumerate(cells):
            if cell is None:
                continue
            tone = {1: AHEAD, -1: BEHIND, 0: UNDECIDED}[cell.standing]
            axes.add_patch(mpl.patches.Rectangle((place, row), 1, 1, facecolor=tone, edgecolor="white", linewidth=1))
            text = f"{SIGNS[cell.standing]}\n{cell.difference:+.{column.decimals}f}"
            axes.text(place + 0.5, row + 0.5, text, ha="center", va="center", fontsize=6.5, linespacing=1.1)
    for row, entry in enumerate(matrix.entries):
        colour, marker = looks[entry.method]
        axes.plot(-0.2, row + 0.5, marker, color=colour, markersize=4.5, clip_on=False, **EDGE)
    axes.set(xlim=(0, n), ylim=(n, 0), aspect="equal")
    ticks = [place + 0.5 for place in range(n)]
    axes.set_xticks(ticks, names, rotation=45, ha="left", fontsize=7)
    axes.set_yticks(ticks, names, fontsize=7)
    axes.tick_params(axis="y", pad=15)
    axes.tick_params(length=0, top=False, bottom=False, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(headed(column.metric, column.unit, column.better), fontsize=8)


def _short(label: str) -> str:
    return (label if len(label) <= MOST else f"{label[: MOST - 1]}…").replace("$", r"\$")
