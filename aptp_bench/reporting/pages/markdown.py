"""The leaderboard as Markdown: every board whole, and the main one in short for a README."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from aptp_bench.reporting.numbers import fixed
from aptp_bench.reporting.pages import wording
from aptp_bench.reporting.ranking.boards import Board, Column, Row
from aptp_bench.reporting.ranking.matrix import SIGNS, Matrix, Standings
from aptp_bench.reporting.ranking.names import headed, title
from aptp_bench.reporting.ranking.selection import QUALITIES
from aptp_bench.reporting.worlds import SAID

INTRO = (
    "Made by `aptp-bench leaderboard` from the records in [records](records); `aptp-bench leaderboard --check` says whether "
    "it still is what they give. The same with sorting, filters, samples and every setting: "
    "[leaderboard.html](leaderboard.html), one file, no network."
)
VARIANTS = "Variants: settings that differ from the recipe's; measured alike, not ranked."
APART = "Records that are on no board:"
SHORT = {"fid", "clip_score", "fad", "latency"}  # the columns of the short board
RANKING = {"Ranks", "Pairs", "Told apart"}  # what is said of ranks
LEGEND = f"{SIGNS[1]} ahead, {SIGNS[-1]} behind, {SIGNS[0]} undecided"
EDGE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")  # an underscore that could begin or end emphasis


def page(boards: Sequence[Board], figures: Mapping[str, str], apart: Mapping[str, Sequence[str]]) -> str:
    """The whole leaderboard. figures: path -> what it shows; apart: why records are on no board -> their paths."""
    parts = ["# Leaderboard", INTRO]
    for board in boards:
        parts += [f"## {text(wording.heading(board))}", f"**{text(SAID[board.group.world])}**"]
        parts += [table(board, [*board.of("reference"), *board.of("main")])]
        if variants := board.of("variant"):
            parts += [VARIANTS, table(board, variants)]
        parts += ["\n".join(f"- {name}: {text(fact)}" for name, fact in wording.state(board))]
        parts += [part for matrix in Standings.of(board, QUALITIES).matrices for part in duels(matrix)]
    if figures:
        parts += ["## Figures", *pictures(figures)]
    if apart:
        rows = [f"- {text(why)}: {', '.join(map(_link, paths))}" for why, paths in apart.items()]
        parts += ["## Listed apart", APART, "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def duels(matrix: Matrix) -> list[str]:
    """A line of words and the table of who is ahead of whom in one metric."""
    column = matrix.column
    names = [text(entry.label) for entry in matrix.entries]
    last = "; the network as it is comes last, in a family of its own" if matrix.reference else ""
    words = (
        f"Pairs in {headed(column.metric, column.unit, column.better)}: a row's value minus a column's; {LEGEND}{last}."
    )
    lines = [["", *names], ["---", *["---:"] * len(names)]]
    for name, cells in zip(names, matrix.cells, strict=True):
        shown = [
            "" if cell is None else f"{SIGNS[cell.standing]} {cell.difference:+.{column.decimals}f}" for cell in cells
        ]
        lines.append([name, *shown])
    return [text(words), "\n".join(f"| {' | '.join(line)} |" for line in lines)]


def block(board: Board | None, folder: str, figures: Mapping[str, str]) -> str:
    """The main board in short. folder: of the leaderboard, from the README; figures: path from the README -> words."""
    if board is None:
        return "No records to rank yet: `aptp-bench run --method aptp --dataset coco` makes one."
    columns = [column for column in board.columns if column.metric in SHORT]
    timed = {wording.capital(title(column.metric)) for column in columns}
    state = [(name, fact) for name, fact in wording.state(board) if name in {"Evaluation", "Seeds", *RANKING, *timed}]
    head = f"**{wording.heading(board)}; {SAID[board.group.world]}.** Value [95 % interval] (rank)."
    said = " ".join([head, *(f"{name}: {fact}." for name, fact in state)])
    more = f"[every board]({folder}/leaderboard.md), [the page with samples and settings]({folder}/leaderboard.html)"
    rows = [*board.of("reference"), *board.of("main")]
    return "\n\n".join([table(board, rows, columns), f"{text(said, bold=True)} All of it: {more}.", *pictures(figures)])


def table(board: Board, rows: Sequence[Row], columns: Sequence[Column] | None = None) -> str:
    """Rows of a board: rank in the leading metric, method, MACs, seeds, and each metric with its interval and rank."""
    columns = board.columns if columns is None else columns
    lead = board.first_ranked
    rank = f"rank by {text(title(lead.metric))}" if lead else "rank"
    heads = [
        rank,
        "method",
        "MACs exact / dense",
        "seeds",
        *(text(headed(c.metric, c.unit, c.better)) for c in columns),
    ]
    lines = [heads, ["---", "---", *["---:"] * (len(heads) - 2)]]
    for row in rows:
        rank = row.places[lead.metric].rank if lead and lead.metric in row.places else ""
        cells = [cell(row, column, column is not lead) for column in columns]
        share = f"{row.entry.macs('exact'):.4f}"
        lines.append([rank or "–", label(row), share, str(len(row.entry.seeds)), *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(row: Row, column: Column, ranked: bool = True) -> str:
    """2.66 [2.30–3.03], rank 1–4."""
    place = row.places.get(column.metric)
    if place is None:
        return "–"
    shown = fixed(place.summary.value, column.decimals)
    uncertainty = wording.interval(row, column)
    parts = [shown, f"[{uncertainty}]" if uncertainty else "", f"({place.rank})" if ranked and place.rank else ""]
    note = row.notes.get(column.metric)
    return " ".join(part for part in parts if part) + (f" ({text(note)})" if note else "")


def label(row: Row) -> str:
    """Method, and the settings that it was changed by."""
    changed = " ".join(f"`{setting.replace('`', chr(39)).replace('|', ' ')}`" for setting in row.entry.changed)
    return " ".join(part for part in (text(row.entry.method), changed) if part)


def pictures(figures: Mapping[str, str]) -> list[str]:
    """An image a figure."""
    return [f"![{text(words)}]({path})" for path, words in figures.items()]


def _link(path: str) -> str:
    return f"[{text(path.rpartition('/')[2])}]({path})"


def text(words: str, bold: bool = False) -> str:
    """Text that Markdown shows as it is. bold: keep ** around what is already bold."""
    words = " ".join(words.split())
    escaped = re.sub(r"([\\`|<>&\[\]#~])" if bold else r"([\\`*|<>&\[\]#~])", r"\\\1", words)
    return EDGE.sub(r"\\_", escaped)
