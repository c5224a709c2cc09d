"""The leaderboard as Markdown: every board whole, and the main one in short for a README."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from aptp_bench.reporting.numbers import fixed, significant
from aptp_bench.reporting.pages import answers, wording
from aptp_bench.reporting.ranking.answer import Answer, share_of_dense
from aptp_bench.reporting.ranking.boards import Board, Column, Row
from aptp_bench.reporting.ranking.matrix import SIGNS, Matrix, Standings
from aptp_bench.reporting.ranking.names import entry_title, headed, link, method_title, paper, title
from aptp_bench.reporting.ranking.selection import QUALITIES
from aptp_bench.reporting.worlds import SAID

INTRO = (
    "Made by `aptp-bench leaderboard` from the records in [records](records); `aptp-bench leaderboard --check` says whether "
    "it still is what they give. The same with sorting, filters, samples and every setting: "
    "[leaderboard.html](leaderboard.html), one file, no network."
)
VARIANTS = "Variants: settings that differ from the recipe's; measured alike, not ranked."
PUBLISHED = "Published weights: pruned elsewhere and asked for no budget; measured alike, not ranked."
APART = "Records that are on no board:"
SHORT = {"fid", "clip_score", "fad", "latency"}  # the columns of the short board, costs as shares of dense
LEGEND = f"{SIGNS[1]} ahead, {SIGNS[-1]} behind, {SIGNS[0]} undecided"
EDGE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")  # an underscore that could begin or end emphasis


def page(boards: Sequence[Board], figures: Mapping[str, str], apart: Mapping[str, Sequence[str]]) -> str:
    """The whole leaderboard. figures: path -> what it shows; apart: why records are on no board -> their paths."""
    parts = ["# Leaderboard", INTRO]
    for board in boards:
        parts += [f"## {text(wording.heading(board))}", f"**{text(SAID[board.group.world])}**"]
        if answer := Answer.of(board):
            parts += ["\n".join(f"- {text(sentence)}" for sentence in answers.sentences(answer))]
        parts += [table(board, [*board.of("reference"), *board.of("main")])]
        if published := board.of("published"):
            parts += [PUBLISHED, table(board, published)]
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
    names = [text(entry_title(entry)) for entry in matrix.entries]
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


def block(board: Board | None, folder: str, samples: Mapping[str, str], figures: Mapping[str, str]) -> str:
    """The main board in short, its verdict and its samples first. folder: of the leaderboard, from the README.

    samples, figures: path from the README -> words.
    """
    answer = Answer.of(board) if board is not None else None
    if board is None or answer is None:
        return "No records to rank yet: `aptp-bench run --method aptp --dataset coco` makes one."
    timed = {wording.capital(title(column.metric)) for column in board.columns if column.metric in SHORT}
    state = [
        (name, fact)
        for name, fact in wording.state(board)
        if name in {"Evaluation", "Seeds", "Pairs", "Told apart", *timed}
    ]
    decided = f"who is ahead is decided pair by pair, p ≤ 5 % after Holm over {wording.family(board)}"
    head = f"**{SAID[board.group.world]}.** Value [95 % interval] (rank); {decided}."
    said = " ".join([head, *(f"{name}: {fact}." for name, fact in state)])
    more = f"[every board]({folder}/leaderboard.md), [the page with samples and settings]({folder}/leaderboard.html)"
    verdict = f"**{text(answers.verdict(answer))}**"
    state_of = f"{text(said, bold=True)} All of it: {more}."
    return "\n\n".join([verdict, *pictures(samples), short(board), state_of, *pictures(figures)])


def short(board: Board) -> str:
    """References and ranked entries: costs as shares of dense, and the metrics that papers print."""
    lead = board.first_ranked
    shown = [column for column in board.columns if column.metric in SHORT]
    costs, qualities = [c for c in shown if not c.rule.quality], [c for c in shown if c.rule.quality]
    rank = f"rank by {title(lead.metric)}" if lead else "rank"
    shares = [f"{title(column.metric)} / dense" for column in costs]
    heads = [rank, "method", "exact MACs / dense", *shares, *(headed(c.metric, c.unit, c.better) for c in qualities)]
    lines = [[text(head) for head in heads], ["---", "---", *["---:"] * (len(heads) - 2)]]
    for row in [*board.of("reference"), *board.of("main")]:
        own = row.places[lead.metric].rank if lead and lead.metric in row.places else ""
        saved = [share_of_dense(board, row, column) for column in costs]
        spent = [f"{row.entry.macs('exact'):.4f}", *("–" if share is None else f"{share:.2f}" for share in saved)]
        lines.append([own or "–", label(row), *spent, *(cell(row, column, column is not lead) for column in qualities)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def table(board: Board, rows: Sequence[Row]) -> str:
    """Rows of a board: rank in the leading metric, method, MACs, seeds, and each metric with its interval, rank and share of dense."""
    lead = board.first_ranked
    rank = f"rank by {text(title(lead.metric))}" if lead else "rank"
    heads = [
        rank,
        "method",
        "MACs exact / dense",
        "seeds",
        *(text(headed(c.metric, c.unit, c.better)) for c in board.columns),
    ]
    lines = [heads, ["---", "---", *["---:"] * (len(heads) - 2)]]
    for row in rows:
        rank = row.places[lead.metric].rank if lead and lead.metric in row.places else ""
        cells = [cell(row, column, column is not lead, share_of_dense(board, row, column)) for column in board.columns]
        share = f"{row.entry.macs('exact'):.4f}"
        lines.append([rank or "–", label(row), share, str(len(row.entry.seeds)), *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(row: Row, column: Column, ranked: bool = True, share: float | None = None) -> str:
    """2.66 [2.30–3.03] (1–4), 1.17 × dense. share: of dense."""
    place = row.places.get(column.metric)
    if place is None:
        return "–"
    shown = fixed(place.summary.value, column.decimals)
    uncertainty = wording.interval(row, column)
    parts = [shown, f"[{uncertainty}]" if uncertainty else "", f"({place.rank})" if ranked and place.rank else ""]
    note = row.notes.get(column.metric)
    beside = f", {significant(share, 3)} × dense" if share is not None and row.kind != "reference" else ""
    return " ".join(part for part in parts if part) + beside + (f" ({text(note)})" if note else "")


def label(row: Row) -> str:
    """Method, with a link to its paper, and the settings that it was changed by."""
    changed = " ".join(f"`{setting.replace('`', chr(39)).replace('|', ' ')}`" for setting in row.entry.changed)
    name, place = text(method_title(row.entry.method)), link(paper("methods", row.entry.method))
    return " ".join(part for part in (f"[{name}]({place})" if place else name, changed) if part)


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
