"""What a board answers: who leads, how sure that is, and what is shown to lose little against the network as it is.

All of it is read off the pairs of the board (pairs.py), and nothing is said beyond them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from aptp_bench.core.differences import LEVEL
from aptp_bench.reporting.ranking.boards import Board, Column, Row
from aptp_bench.reporting.ranking.entries import Entry
from aptp_bench.reporting.ranking.groups import signature
from aptp_bench.reporting.ranking.pairs import Pair

MARGIN = 0.10  # of dense's value: what may be lost at most where "hardly worse than dense" is said


@dataclass(frozen=True)
class Lead:
    """Some entries in one metric. leaders: nobody among them is ahead of these beyond doubt; others: the rest.

    doubt: the largest p-value by which a leader is ahead of another; None where some leader is not ahead of some other.
    Nobody leads where A is ahead of B, B of C and C of A: each pair is of the seeds that both have.
    """

    column: Column
    leaders: tuple[Entry, ...]
    others: tuple[Entry, ...]
    doubt: float | None

    @classmethod
    def of(cls, column: Column, among: Collection[Entry]) -> Lead:
        """among: in the order in which they are to be named; those that were not measured are left out."""
        inside = {entry.name for entry in among}
        pairs = [pair for pair in column.pairs if {pair.first.name, pair.second.name} <= inside]
        measured = {entry.name for pair in pairs for entry in (pair.first, pair.second)}
        ahead = {(order[0].name, order[1].name): pair.p for pair in pairs if (order := pair.order)}
        beaten = {behind for _, behind in ahead}
        leaders = tuple(entry for entry in among if entry.name in measured - beaten)
        others = tuple(entry for entry in among if entry.name in beaten)
        found = [ahead.get((one.name, other.name)) for one in leaders for other in others]
        known = [p for p in found if p is not None]
        return cls(column, leaders, others, max(known) if known and len(known) == len(found) else None)


@dataclass(frozen=True)
class Loss:
    """How much worse than the network as it is an entry is in a metric, as shares of that network's value.

    most: the worse end of its interval. The intervals of all entries of a board hold together in 95 % of cases
    (Bonferroni), so that one may be picked.
    """

    entry: Entry
    value: float
    most: float


@dataclass(frozen=True)
class Answer:
    """Of a board with ranks. lead: in the metric that the board is ordered by; pruned: the same among the networks that
    lost parameters, None where all or none did; leads: metric by metric; losses: the cheapest entry first."""

    board: Board
    lead: Lead
    pruned: Lead | None
    leads: tuple[Lead, ...]
    losses: tuple[Loss, ...]

    @classmethod
    def of(cls, board: Board) -> Answer | None:
        """None where nothing is ranked."""
        column = board.first_ranked
        if column is None:
            return None
        mains = [row.entry for row in board.of("main")]
        cut = [entry for entry in mains if not entry.whole]
        pruned = Lead.of(column, cut) if 1 < len(cut) < len(mains) else None
        return cls(
            board=board,
            lead=Lead.of(column, mains),
            pruned=pruned if pruned and pruned.leaders else None,
            leads=tuple(Lead.of(each, mains) for each in board.contested),
            losses=tuple(sorted(_losses(board, column), key=lambda loss: loss.entry.macs("exact"))),
        )

    @property
    def cheapest(self) -> Loss | None:
        """The entry of fewest MACs that is shown to lose no more than MARGIN; None: no entry is."""
        return next((loss for loss in self.losses if loss.most <= MARGIN), None)

    @property
    def nearest(self) -> Loss | None:
        """The entry that is shown to lose least; None where that is known of none."""
        return min(self.losses, key=lambda loss: loss.most, default=None)


def share_of_dense(board: Board, row: Row, column: Column) -> float | None:
    """A value over that of the network as it is; None where that was measured otherwise, or may as well be zero."""
    reference = next((each for each in board.of("reference") if column.metric in each.places), None)
    if reference is None or column.metric not in row.places or column.better == "neither":
        return None
    dense = reference.places[column.metric].summary
    low, high = dense.interval or (dense.value, dense.value)
    alike = signature(row.entry, column.metric) == signature(reference.entry, column.metric)
    return row.places[column.metric].summary.value / dense.value if alike and low * high > 0 else None


def _losses(board: Board, column: Column) -> list[Loss]:
    """Of every entry that was paired with the network as it is: without pairs the interval is of another kind."""
    dense = next((row.places[column.metric] for row in board.of("reference") if column.metric in row.places), None)
    if dense is None or not dense.summary.value:
        return []
    paired = [pair for pair in column.beside if pair.difference.n]
    return [_loss(pair, abs(dense.summary.value), LEVEL / len(column.beside)) for pair in paired]


def _loss(pair: Pair, dense: float, level: float) -> Loss:
    worse = pair.difference.value if pair.better == "lower" else -pair.difference.value
    return Loss(pair.first, worse / dense, (worse + pair.difference.reach(level)) / dense)
