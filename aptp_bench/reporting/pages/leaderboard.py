"""The leaderboard's page: tables that read without a script; with one, sorting, filters, a plot and every run's details."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aptp_bench.reporting.figures.looks import looks_of
from aptp_bench.reporting.figures.style import INK
from aptp_bench.reporting.numbers import exact, fixed, rounded
from aptp_bench.reporting.pages import answers, render, wording
from aptp_bench.reporting.pages.glossary import GLOSSARY
from aptp_bench.reporting.pages.run_facts import SHORT, Source, source_of
from aptp_bench.reporting.ranking.answer import Answer, share_of_dense
from aptp_bench.reporting.ranking.boards import KINDS, Board, Column, Row, groups_of
from aptp_bench.reporting.ranking.entries import Entry
from aptp_bench.reporting.ranking.groups import ComparisonGroup, budget, measured_alike
from aptp_bench.reporting.ranking.matrix import SIGNS, Cell, Standings
from aptp_bench.reporting.ranking.names import entry_title, headed, method_title, paper, title
from aptp_bench.reporting.ranking.ranking import Place
from aptp_bench.reporting.ranking.selection import quality_columns, timed_columns
from aptp_bench.reporting.ranking.tradeoff import conditions
from aptp_bench.reporting.worlds import NAMES, SAID


@dataclass(frozen=True)
class Contents:
    """What a page is made from: boards, the records' files, and the digests of all files read.

    apart: why records stand on no board -> their paths.
    """

    boards: Sequence[Board]
    sources: Sequence[Source]
    digests: Mapping[str, str]
    apart: Mapping[str, Sequence[str]]


def page(made: Contents, figures: Mapping[str, str]) -> str:
    """The whole page. figures: path from the page -> what it shows, for readers without a script."""
    found = groups_of(made.boards)
    looks = looks_of([entry for group in found for entry in group.entries])
    facts = {
        "contests": [_plot(group, made) for group in found],
        "looks": {method: list(look) for method, look in looks.items()},
        "names": {method: method_title(method) for method in looks},
    }
    return render.render(
        "leaderboard.html",
        worlds=dict.fromkeys(group.world for group in found),
        said=SAID,
        wording=wording,
        signs=SIGNS,
        answers=[_answer(board) for board in made.boards],
        sources=_commits(made),
        glossary=GLOSSARY,
        boards=[
            (b, {kind: [_row(row, b, made) for row in b.of(kind)] for kind in KINDS}, _matrices(b)) for b in made.boards
        ],
        contests=[next(i for i, group in enumerate(found) if group is board.group) for board in made.boards],
        runs=[_run(entry, group, made) for group in found for entry in group.entries],
        choices={  # filter -> its values and their words
            "world": {b.group.world: NAMES[b.group.world] for b in made.boards},
            "dataset": {b.group.what.dataset: b.group.what.dataset for b in made.boards},
            "budget": {b.name: wording.budget(b.ratio, b.convention) for b in made.boards},
        },
        apart=made.apart,
        figures=figures,
        digests=made.digests,
        facts=render.data(facts),
    )


def _answer(board: Board) -> dict[str, Any]:
    """What a board answers, in sentences; leads: metric by metric (name, who leads, how sure that is)."""
    found = Answer.of(board)
    if found is None:
        why = board.group.unranked or next((column.unranked for column in board.columns), "nothing was measured")
        return {"sentences": [f"Not ranked: {why}."], "leads": []}
    leads = [(title(lead.column.metric), answers.names(lead.leaders), answers.how_sure(lead)) for lead in found.leads]
    return {"sentences": answers.sentences(found), "leads": leads}


def _commits(made: Contents) -> dict[str, int]:
    """Commit of the source -> how many records on the boards it made, most first."""
    shown = [record for group in groups_of(made.boards) for entry in group.entries for record in entry.records]
    return dict(Counter(str(record.how.commit)[:SHORT] for record in shown).most_common())


def _run(entry: Entry, group: ComparisonGroup, made: Contents) -> dict[str, Any]:
    """The details of an entry: what its seeds share, and the file of each."""
    about = ", ".join([group.what.dataset, wording.budget(*budget(entry)), wording.model(group)])
    sources = [source_of(record, made.sources) for record in entry.records]
    cited = paper("methods", entry.method)
    found = {"entry": entry, "cited": cited, "about": about, "said": SAID[group.world], "sources": sources}
    return {**found, "asked": [(wording.seeds(seeds), render.as_yaml(asked)) for seeds, asked in _asked(entry)]}


def _asked(entry: Entry) -> list[tuple[list[int], dict[str, Any]]]:
    """(seeds, the settings that they ran with, which are most often the same for all)."""
    found: list[tuple[list[int], dict[str, Any]]] = []
    for record in entry.records:
        asked = record.what.model_dump(mode="json")
        seed = asked.pop("seed")
        seeds = next((seeds for seeds, known in found if known == asked), None)
        if seeds is None:
            found.append(([seed], asked))
        else:
            seeds.append(seed)
    return found


def _row(row: Row, board: Board, made: Contents) -> dict[str, Any]:
    entry, lead = row.entry, board.first_ranked
    place = row.places.get(lead.metric) if lead is not None else None
    colour, _ = looks_of(board.group.entries)[entry.method]
    return {
        "run": source_of(entry.first, made.sources).slug,
        "entry": entry,
        "title": method_title(entry.method),
        "paper": paper("methods", entry.method),
        "colour": "var(--ink)" if colour == INK else colour,
        "rank": _rank(place, len(board.of("main"))),
        "place": board.of("main").index(row) if row.kind == "main" else None,
        "macs": wording.macs(row, board),
        "cells": [_cell(row, column, board) for column in board.columns],
    }


def _cell(row: Row, column: Column, board: Board) -> dict[str, Any] | None:
    """A value with its interval, rank and whisker (percent of the column's range); None: not measured."""
    place = row.places.get(column.metric)
    if place is None:
        return None
    summary, ranked = place.summary, len([r for r in board.of("main") if column.metric in r.places])
    return {
        "value": exact(summary.value),
        "shown": fixed(summary.value, column.decimals),
        "interval": wording.interval(row, column),
        "rank": _rank(place, ranked),
        "whisker": _whisker(row, column, board) if summary.half_width else None,
        "share": None if row.kind == "reference" else share_of_dense(board, row, column),
        "note": row.notes.get(column.metric, ""),
        "seeds": summary.seeds if summary.seeds != len(row.entry.seeds) else None,
    }


def _rank(place: Place | None, among: int) -> dict[str, Any] | None:
    """A badge, None without a rank. top: among the first, and told apart from at least one."""
    if place is None or place.best is None or place.worst is None:
        return None
    apart = place.best == place.worst
    words = f"rank {place.best}" if apart else f"rank {place.best} to {place.worst}: not told apart"
    return {"text": place.rank, "words": f"{words}, of {among}", "top": place.best == 1 and place.worst < among}


def _whisker(row: Row, column: Column, board: Board) -> dict[str, str]:
    """Where interval and value lie in the range of all intervals of the column, in percent."""
    own = row.places[column.metric].summary
    known = [r.places[column.metric].summary for r in board.rows if column.metric in r.places]
    ends = [end for s in known for end in (*(s.interval or ()), s.value)]
    low, width = min(ends), (max(ends) - min(ends)) or 1.0
    first, last = own.interval or (own.value, own.value)
    spots = {"from": first, "to": last, "at": own.value}
    return {name: f"{100 * (spot - low) / width:.1f}%" for name, spot in spots.items()}


def _matrices(board: Board) -> list[dict[str, Any]]:
    """Of every metric that is ranked and read off images: who is ahead of whom."""
    found = []
    for matrix in Standings.of(board).matrices:
        column = matrix.column
        told = f"{board.separated[column.metric]} of {len(column.pairs)} pairs told apart"
        words = {id(pair): wording.duel(pair) for pair in (*column.pairs, *column.beside)}  # of two cells each
        rows = [
            (entry, entry_title(entry), [c and {**_duel(c, column), "words": words[id(c.pair)]} for c in cells])
            for entry, cells in zip(matrix.entries, matrix.cells, strict=True)
        ]
        found.append({"title": headed(column.metric, column.unit, column.better), "told": told, "rows": rows})
    return found


def _duel(cell: Cell, column: Column) -> dict[str, str]:
    kind = {1: "won", -1: "lost", 0: "open"}[cell.standing]
    return {"kind": kind, "sign": SIGNS[cell.standing], "shown": f"{cell.difference:+.{column.decimals}f}"}


def _plot(group: ComparisonGroup, made: Contents) -> dict[str, Any]:
    """What the page's plot draws of a group: its axes, and a point an entry with every value it has on them."""
    qualities, times = quality_columns(made.boards, group), timed_columns(made.boards, group)
    costs = [{"key": "exact", "label": "exact MACs, share of dense", "note": "MACs of an image's U-Net call"}]
    for c in times:
        name = title(c.metric)
        costs.append({"key": c.metric, "label": f"{name} ({c.unit})", "note": f"{name}: {conditions(c.conditions)}"})
    names = [c.metric for c in (*qualities, *times)]
    return {
        "title": f"{group.what.dataset}, {wording.model(group)}",
        "world": SAID[group.world],
        "metrics": [
            {"key": c.metric, "label": headed(c.metric, c.unit, c.better), "better": c.better} for c in qualities
        ],
        "costs": costs,
        "points": [_point(entry, group, names, made) for entry in group.entries],
    }


def _point(entry: Entry, group: ComparisonGroup, names: Sequence[str], made: Contents) -> dict[str, Any]:
    ratio, convention = budget(entry)
    values = {name: _triple(entry, name, group) for name in names if entry in measured_alike(group.entries, name)}
    return {
        "run": source_of(entry.first, made.sources).slug,
        "label": entry_title(entry),
        "method": entry.method,
        "budget": f"{ratio:g}{convention}",
        "ratio": f"{ratio:g}",
        "kind": entry.kind,
        "values": {"exact": [rounded(entry.macs("exact")), None, None], **values},
    }


def _triple(entry: Entry, metric: str, group: ComparisonGroup) -> list[float | None]:
    """Value, and the ends of its interval."""
    found = group.summary(entry, metric)
    assert found is not None  # it is among those that were measured
    low, high = found.interval or (None, None)
    return [None if x is None else rounded(x) for x in (found.value, low, high)]
