"""Boards: the entries of one contest and one budget, ranked metric by metric, the network as it is beside them.

Entries whose settings are not the recipe's are variants: measured beside, never ranked. Where a metric cannot be ranked,
the board says why.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any, Literal, get_args

from aptp_bench.records import Better, Record
from aptp_bench.reporting.ranking.entries import Entry, entries, metric_names
from aptp_bench.reporting.ranking.groups import Contest, alike, budget, contests, signature
from aptp_bench.reporting.ranking.ranking import Place, ranking, rule, why_not
from aptp_bench.reporting.ranking.spread import Summary

Kind = Literal["reference", "main", "variant"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ALONE = "one entry alone: nothing to rank it with"
NO_DIRECTION = "neither higher nor lower is better"
SHOWN = 4  # significant digits of what has no doubt
HIDDEN = (
    "metric",
    "unit",
    "world",
    "captions",
    "images",
    "pixels",
    "n",
)  # of a protocol: said once for the whole board


@dataclass(frozen=True)
class Column:
    """One metric on a board. unranked: why it has no ranks, empty where it has; decimals: with which it is shown.

    quality: read off images by a network; conditions: what its measurements share; tie: relative gap that says nothing.
    """

    metric: str
    unit: str
    better: Better
    quality: bool
    counted: bool
    tie: float
    unranked: str
    decimals: int
    conditions: Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """An entry on a board: its places by metric; notes: where it was measured otherwise than the column says."""

    entry: Entry
    kind: Kind
    places: Mapping[str, Place]
    notes: Mapping[str, str]


@dataclass(frozen=True)
class Board:
    """Rows: references, then the ranked entries in their order, then variants. ratio, convention: the budget."""

    contest: Contest
    ratio: float
    convention: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def of(self, kind: Kind) -> list[Row]:
        """The rows of one kind, in order."""
        return [row for row in self.rows if row.kind == kind]

    @property
    def first_ranked(self) -> Column | None:
        """The metric that the order is by: the first that is read off images and has ranks."""
        return _leading(self.columns)

    @property
    def name(self) -> str:
        """Of this budget in its contest: 0.78exact."""
        return f"{self.ratio:g}{self.convention}"


def boards(records: Iterable[Record]) -> list[Board]:
    """Every board that the records give: contests in their order, larger budgets first."""
    return [board for contest in contests(entries(records)) for board in boards_of(contest)]


def boards_of(contest: Contest) -> list[Board]:
    """A board a budget; one of the references alone where nothing was pruned."""
    pruned = {budget(entry) for entry in contest.entries if budget(entry)[0] != 1}
    asked = pruned or {budget(entry) for entry in contest.entries[:1]}
    return [_board(contest, ratio, convention) for ratio, convention in sorted(asked, key=lambda b: (-b[0], b[1]))]


def main_board(among: Sequence[Board]) -> Board | None:
    """The board that speaks for all: of the first world that has a ranking, the one with most ranked entries."""
    ranked = [board for board in among if board.first_ranked is not None]
    return max(
        (board for board in ranked if board.contest.world == ranked[0].contest.world),
        key=lambda board: len(board.of("main")),
        default=None,
    )


def _board(contest: Contest, ratio: float, convention: str) -> Board:
    here = [entry for entry in contest.entries if budget(entry) == (ratio, convention)]
    mains = [entry for entry in here if not entry.changed and ratio != 1]
    variants = [e for e in contest.entries if e.changed and (e in here or budget(e)[0] == 1)]
    kinds: list[tuple[Kind, list[Entry]]] = [("reference", contest.references), ("main", mains), ("variant", variants)]
    found = [entry for _, members in kinds for entry in members]
    places: dict[tuple[int, str], Place] = {}
    names = [name for name in metric_names(found) if not _is_budget(found, name)]
    columns = [_column(contest, metric, mains, found, places) for metric in names]
    columns.sort(key=lambda column: (not column.quality, column.counted))
    rows = [_row(entry, kind, columns, places) for kind, members in kinds for entry in members]
    lead = _leading(columns) or next((c for c in columns if c.quality and not contest.unranked), None)
    rows.sort(key=lambda row: (KINDS.index(row.kind), *_order(row, lead), row.entry.label))
    return Board(contest, ratio, convention, tuple(columns), tuple(rows))


def _leading(columns: Sequence[Column]) -> Column | None:
    return next((column for column in columns if column.quality and not column.unranked), None)


def _column(
    contest: Contest,
    metric: str,
    mains: Sequence[Entry],
    found: Sequence[Entry],
    places: dict[tuple[int, str], Place],
) -> Column:
    """A metric of the board; its places are added to `places` by entry and metric."""
    measured = [entry for entry in found if entry.of(metric)]
    speaker = next((entry for entry in mains if entry.of(metric)), measured[0])
    first = alike(speaker, metric)[0]
    unranked = contest.unranked or _unranked(mains, metric, first.better)
    for entry in measured:
        summary = contest.summary(entry, metric)
        if summary is not None:
            places[id(entry), metric] = Place(summary)
    if not unranked:
        for entry, place in zip(mains, ranking(mains, metric, contest.spread(speaker, metric)), strict=True):
            if place is not None:
                places[id(entry), metric] = place
    shared = json.loads(signature(speaker, metric))
    return Column(
        metric=metric,
        unit=first.unit,
        better=first.better,
        quality="backbone" in first.detail and not rule(metric).counted,
        counted=rule(metric).counted,
        tie=rule(metric).tie,
        unranked=unranked,
        decimals=_decimals([s for entry in contest.entries if (s := contest.summary(entry, metric))]),
        conditions={key: value for key, value in shared.items() if key not in HIDDEN},
    )


def _is_budget(found: Sequence[Entry], metric: str) -> bool:
    """Whether a metric counts what the budget fixes: the same for all on a board, and shown as a share of dense."""
    return any("convention" in m.detail for entry in found for m in entry.of(metric))


def _unranked(mains: Sequence[Entry], metric: str, better: Better) -> str:
    if better == "neither":
        return NO_DIRECTION
    if sum(bool(entry.of(metric)) for entry in mains) < 2:
        return ALONE
    return why_not(mains, metric) or ""


def _row(entry: Entry, kind: Kind, columns: Sequence[Column], places: Mapping[tuple[int, str], Place]) -> Row:
    own = {c.metric: places[id(entry), c.metric] for c in columns if (id(entry), c.metric) in places}
    notes = {c.metric: note for c in columns if c.metric in own and (note := _otherwise(entry, c))}
    return Row(entry, kind, own, notes)


def _otherwise(entry: Entry, column: Column) -> str:
    """In what an entry's measurement differs from the column's conditions; empty where it does not."""
    own = {k: v for k, v in json.loads(signature(entry, column.metric)).items() if k not in HIDDEN}
    keys = sorted(key for key in own.keys() | column.conditions.keys() if own.get(key) != column.conditions.get(key))
    return ", ".join(f"{key.replace('_', ' ')} {own.get(key)}" for key in keys)


def _order(row: Row, lead: Column | None) -> tuple[float, float]:
    """By rank in the leading metric, then by value; what was not measured comes last."""
    place = row.places.get(lead.metric) if lead is not None else None
    if place is None or lead is None:
        return (math.inf, math.inf)
    return (place.best or math.inf, -place.summary.value if lead.better == "higher" else place.summary.value)


def _decimals(found: Sequence[Summary]) -> int:
    """Two significant digits of the median doubt; SHOWN of the largest value where there is none."""
    doubts = [half for each in found if (half := each.half_width)]
    if doubts:
        return max(0, 1 - math.floor(math.log10(median_low(doubts))))
    largest = max(abs(each.value) for each in found)
    return max(0, SHOWN - 1 - math.floor(math.log10(largest))) if largest else 0
