"""Boards: the entries of one group and one budget, ranked metric by metric, the network as it is beside them.

Entries whose settings are not the recipe's are variants, and published weights were made without a budget: both are measured
beside, never ranked. Where a metric cannot be ranked, the board says why.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, groupby
from statistics import median_low
from typing import TYPE_CHECKING, Any

from aptp_bench.records import Better, Record
from aptp_bench.reporting.ranking.eligible import parted
from aptp_bench.reporting.ranking.entries import KINDS, Entry, Kind, entries, metric_names
from aptp_bench.reporting.ranking.groups import ComparisonGroup, alike, budget, comparison_groups, signature
from aptp_bench.reporting.ranking.pairs import Candidate, Family, Pair, judged
from aptp_bench.reporting.ranking.ranking import Place, Rule, places, rule, why_not
from aptp_bench.reporting.ranking.spread import Summary

if TYPE_CHECKING:
    from aptp_bench.reporting.ranking.pairs import Kept

ALONE = "one entry alone: nothing to rank it with"
NO_DIRECTION = "neither higher nor lower is better"
NEARLY = 0.8
SHOWN = 4  # significant digits of what is exact
HIDDEN = ("metric", "unit", "world", "captions", "images", "pixels", "n")  # of a protocol: said once for the board


@dataclass(frozen=True)
class Column:
    """One metric on a board. unranked: why it has no ranks, empty where it has; decimals: with which it is shown.

    conditions: what its measurements share; pairs: every two of the ranked entries; beside: each of them and the reference.
    """

    metric: str
    unit: str
    better: Better
    rule: Rule
    unranked: str
    decimals: int
    conditions: Mapping[str, Any]
    pairs: tuple[Pair, ...] = ()
    beside: tuple[Pair, ...] = ()


@dataclass(frozen=True)
class Row:
    """An entry on a board: its places by metric; notes: where it was measured otherwise than the column says."""

    entry: Entry
    kind: Kind
    places: Mapping[str, Place]
    notes: Mapping[str, str]


@dataclass(frozen=True)
class Board:
    """Rows: references, the ranked entries in their order, published weights, variants. ratio, convention: the budget."""

    group: ComparisonGroup
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
    def contested(self) -> list[Column]:
        """The metrics read off images in which entries are ranked."""
        return [column for column in self.columns if column.rule.quality and column.pairs]

    @property
    def pairs(self) -> int:
        """How many pairs of ranked entries there are."""
        return math.comb(len(self.of("main")), 2)

    @property
    def separated(self) -> dict[str, int]:
        """How many pairs are told apart in a metric read off images, and in `any` of them."""
        by_metric = {c.metric: {(p.first.name, p.second.name) for p in c.pairs if p.decided} for c in self.contested}
        return {"any": len(set().union(*by_metric.values())), **{name: len(found) for name, found in by_metric.items()}}

    @property
    def name(self) -> str:
        """Of this budget in its group: 0.78exact."""
        return f"{self.ratio:g}{self.convention}"


def boards(records: Iterable[Record], kept: Kept | None = None) -> list[Board]:
    """Every board of the records that may stand on one. kept: their replicates."""
    return boards_of(parted(records)[0], kept)


def boards_of(standing: Iterable[Record], kept: Kept | None = None) -> list[Board]:
    """Every board of records that stand on one: groups in their order, larger budgets first. kept: their replicates."""
    found: list[Board] = []
    for group in comparison_groups(entries(standing), kept):
        pruned = {budget(entry) for entry in group.entries if budget(entry)[0] != 1}
        asked = pruned or {budget(group.entries[0])}  # one of the references alone where nothing was pruned
        found += [_board(group, *each) for each in sorted(asked, key=lambda b: (-b[0], b[1]))]
    return found


def groups_of(among: Iterable[Board]) -> list[ComparisonGroup]:
    """The groups of boards, each once, in order."""
    return [group for group, _ in groupby(board.group for board in among)]


def main_board(among: Sequence[Board]) -> Board | None:
    """The board that speaks for all: of the first world that has a ranking, the leanest of those with most records.

    Most: NEARLY as many as the fullest. Where more is cut, methods differ more.
    """
    ranked = [board for board in among if board.first_ranked is not None]
    here = [board for board in ranked if board.group.world == ranked[0].group.world]
    most = max(map(_records, here), default=0)
    return min((b for b in here if _records(b) >= NEARLY * most), key=lambda board: board.ratio, default=None)


def _records(board: Board) -> int:
    return sum(len(row.entry.records) for row in board.of("main"))


def _board(group: ComparisonGroup, ratio: float, convention: str) -> Board:
    shown = [entry for entry in group.entries if budget(entry) == (ratio, convention) or budget(entry)[0] == 1]
    members = {kind: [entry for entry in shown if entry.kind == kind] for kind in KINDS}
    found = [(kind, entry) for kind in KINDS for entry in members[kind]]
    among = [entry for _, entry in found]
    # what counts the budget's MACs is the same for all on a board, and shown as a share of dense
    fixed = {name for e in among for name in metric_names([e]) if any("convention" in m.detail for m in e.of(name))}
    heads = [_head(group, name, members) for name in metric_names(among) if name not in fixed]
    heads.sort(key=lambda column: (not column.rule.quality, column.rule.counted))
    judgements = iter(judged([family for column in heads for family in _families(group, column, members)]))
    columns = tuple(replace(c, pairs=tuple(next(judgements)), beside=tuple(next(judgements))) for c in heads)
    placed = {column.metric: _placed(group, column, members) for column in columns}
    rows = []
    for at, (kind, entry) in enumerate(found):
        places = {c.metric: place for c in columns if (place := placed[c.metric][at]) is not None}
        notes = {c.metric: note for c in columns if c.metric in places and (note := _otherwise(entry, c))}
        rows.append(Row(entry, kind, places, notes))
    lead = _leading(columns) or next((c for c in columns if c.rule.quality and not group.unranked), None)
    rows.sort(key=lambda row: (KINDS.index(row.kind), *_order(row, lead), row.entry.label))
    return Board(group, ratio, convention, columns, tuple(rows))


def _leading(columns: Sequence[Column]) -> Column | None:
    return next((column for column in columns if column.rule.quality and not column.unranked), None)


def _head(group: ComparisonGroup, metric: str, members: Mapping[Kind, Sequence[Entry]]) -> Column:
    """A metric of the board, before its pairs are judged."""
    speaker = next(entry for kind in ("main", *KINDS) for entry in members[kind] if entry.of(metric))
    first = alike(speaker, metric)[0]
    return Column(
        metric=metric,
        unit=first.unit,
        better=first.better,
        rule=rule(metric, first.detail),
        unranked=group.unranked or _unranked(members["main"], metric, first.better),
        decimals=_decimals([each for entry in group.entries if (each := group.summary(entry, metric)) is not None]),
        conditions=_conditions(speaker, metric),
    )


def _families(group: ComparisonGroup, column: Column, members: Mapping[Kind, Sequence[Entry]]) -> tuple[Family, Family]:
    """(every two of the ranked entries, each of them beside the first reference if that was measured alike)."""
    metric, beside = column.metric, list[tuple[Candidate, Candidate]]()
    among = () if column.unranked else members["main"]
    mains = [found for entry in among if (found := group.candidate(entry, metric)) is not None]
    for reference in members["reference"]:
        if mains and not beside and signature(reference, metric) == signature(mains[0].entry, metric):
            own = group.candidate(reference, metric)
            beside = [] if own is None else [(main, own) for main in mains]
    return Family(list(combinations(mains, 2)), column.rule), Family(beside, column.rule)


def _placed(group: ComparisonGroup, column: Column, members: Mapping[Kind, Sequence[Entry]]) -> list[Place | None]:
    """The place of every member, kind by kind; None: not measured."""
    summaries = {kind: [group.summary(entry, column.metric) for entry in members[kind]] for kind in KINDS}
    placed = {kind: [None if each is None else Place(each) for each in found] for kind, found in summaries.items()}
    if not column.unranked:
        at = {entry.name: place for place, entry in enumerate(members["main"])}
        decided = [(at[order[0].name], at[order[1].name]) for pair in column.pairs if (order := pair.order)]
        placed["main"] = places(summaries["main"], decided)
    return [place for kind in KINDS for place in placed[kind]]


def _conditions(entry: Entry, metric: str) -> dict[str, Any]:
    """How an entry's metric was measured, as far as the board does not say it once for all."""
    return {key: value for key, value in json.loads(signature(entry, metric)).items() if key not in HIDDEN}


def _unranked(mains: Sequence[Entry], metric: str, better: Better) -> str:
    if better == "neither":
        return NO_DIRECTION
    if sum(bool(entry.of(metric)) for entry in mains) < 2:
        return ALONE
    return why_not(mains, metric) or ""


def _otherwise(entry: Entry, column: Column) -> str:
    """In what an entry's measurement differs from the column's conditions; empty where it does not."""
    own = _conditions(entry, column.metric)
    keys = sorted(key for key in own.keys() | column.conditions.keys() if own.get(key) != column.conditions.get(key))
    return ", ".join(f"{key.replace('_', ' ')} {own.get(key)}" for key in keys)


def _order(row: Row, lead: Column | None) -> tuple[float, float]:
    """By rank in the leading metric, then by value; what was not measured comes last."""
    place = row.places.get(lead.metric) if lead is not None else None
    if place is None or lead is None:
        return (math.inf, math.inf)
    return (place.best or math.inf, -place.summary.value if lead.better == "higher" else place.summary.value)


def _decimals(found: Sequence[Summary]) -> int:
    """Two significant digits of the median uncertainty; SHOWN of the largest value where there is none."""
    uncertainties = [half for each in found if (half := each.half_width)]
    if uncertainties:
        return max(0, 1 - math.floor(math.log10(median_low(uncertainties))))
    largest = max(abs(each.value) for each in found)
    return max(0, SHOWN - 1 - math.floor(math.log10(largest))) if largest else 0
