"""A board's answer in words: clauses that pages put together. "Beyond doubt" is said of pairs that are decided, and of no others."""

from __future__ import annotations

from collections.abc import Sequence

from aptp_bench.reporting.pages import wording
from aptp_bench.reporting.ranking.answer import MARGIN, Answer, Lead, Loss, share_of_dense
from aptp_bench.reporting.ranking.boards import Board
from aptp_bench.reporting.ranking.entries import Entry
from aptp_bench.reporting.ranking.names import entry_title, method_title, title
from aptp_bench.reporting.ranking.pairs import Pair
from aptp_bench.reporting.worlds import NAMES

LEAST = 0.001  # p-values below it are not told


def verdict(answer: Answer) -> str:
    """The whole answer in one sentence."""
    board = answer.board
    where = f"On {wording.heading(board)} ({NAMES[board.group.world]})"
    said = [*clauses(answer), *filter(None, [caveat(answer)])]
    return f"{where}, {'; '.join(said)}."


def sentences(answer: Answer) -> list[str]:
    """The answer sentence by sentence, and what it does not speak of."""
    return [f"{wording.capital(clause)}." for clause in (*clauses(answer), caveat(answer)) if clause]


def clauses(answer: Answer) -> list[str]:
    """Who leads, who leads among the networks that lost parameters, what is hardly worse than dense."""
    found = [f"in {title(answer.lead.column.metric)}, {leading(answer.lead)}"]
    if answer.pruned is not None:
        found.append(f"among the networks that lost parameters, {leading(answer.pruned)}")
    return [*found, *hardly_worse(answer)]


def leading(lead: Lead) -> str:
    """Who leads, and how sure that is."""
    one = len(lead.leaders) == 1
    if not lead.others:
        return f"no two of the {len(lead.leaders)} are told apart"
    if not lead.leaders:
        return f"nobody leads: each of the {len(lead.others)} is behind another beyond doubt"
    if lead.doubt is None:
        behind = f"{_others(lead)} {'is' if len(lead.others) == 1 else 'are'} behind somebody"
        return f"nobody is ahead beyond doubt of {names(lead.leaders)}, and {behind}"
    sure = f"{'' if one else 'each '}ahead of {_others(lead)} beyond doubt ({chance(lead.doubt)})"
    between = "" if one else " and undecided between themselves"
    return f"{names(lead.leaders)} {'leads' if one else 'lead'}, {sure}{between}"


def hardly_worse(answer: Answer) -> list[str]:
    """The cheapest entry that is shown to lose at most MARGIN against dense, or the nearest to that; nothing where none is known."""
    metric, found = title(answer.lead.column.metric), answer.cheapest
    if found is not None:
        what = f"the cheapest that is shown to be at most {percent(MARGIN, 0)} worse than {_dense(answer.board)} in {metric} is"
        return [f"{what} {entry_title(found.entry)}: {cost(answer.board, found.entry)}, {_reach(found)}"]
    if answer.nearest is None:
        return []
    what = (
        f"none is shown to be at most {percent(MARGIN, 0)} worse than {_dense(answer.board)} in {metric}; nearest comes"
    )
    return [f"{what} {entry_title(answer.nearest.entry)}, {_reach(answer.nearest)}"]


def cost(board: Board, entry: Entry) -> str:
    """What an entry costs as shares of the network as it is: exact MACs, and the first time that both have."""
    row = next(row for row in board.rows if row.entry is entry)
    timed = (column for column in board.columns if "device" in column.conditions and not column.rule.counted)
    shares = ((column, share_of_dense(board, row, column)) for column in timed if column.better == "lower")
    time = next((f" and {share:.2f} of the {title(column.metric)}" for column, share in shares if share), "")
    return f"{entry.macs('exact'):.2f} of the exact MACs{time}"


def caveat(answer: Answer) -> str:
    """What pairs of the leading metric do not speak of; empty where all speak of other trainings too."""
    metric = answer.lead.column.metric
    basis = {row.entry.name: row.places[metric].summary.basis for row in answer.board.rows if metric in row.places}

    def silent(pair: Pair) -> bool:
        """Whether it is of prompts alone; what is not paired has the doubt of its two intervals."""
        if pair.difference.n:
            return not pair.difference.of_seeds
        return any("seeds" not in basis[entry.name] for entry in (pair.first, pair.second))

    found = [silent(pair) for pair in answer.lead.column.pairs]
    if not any(found):
        return ""
    what = "this is of one training seed and says" if all(found) else "some pairs are of one training seed and say"
    return f"{what} nothing of another training"


def how_sure(lead: Lead) -> str:
    """A lead in a few words."""
    if not lead.others:
        return "undecided"
    if lead.doubt is not None:
        return f"ahead of {_others(lead)}, {chance(lead.doubt)}"
    if not lead.leaders:
        return "each is behind another"
    return "nobody is ahead beyond doubt"


def chance(p: float) -> str:
    """The largest of several p-values."""
    return f"p ≤ {p:.2g}" if p >= LEAST else f"p < {LEAST:g}"


def percent(share: float, decimals: int = 1) -> str:
    """10 %."""
    return f"{100 * share:.{decimals}f} %"


def names(entries: Sequence[Entry]) -> str:
    """A, B and C."""
    if not entries:
        return "nobody"
    *most, last = map(entry_title, entries)
    return f"{', '.join(most)} and {last}" if most else last


def _others(lead: Lead) -> str:
    return entry_title(lead.others[0]) if len(lead.others) == 1 else f"the {len(lead.others)} others"


def _dense(board: Board) -> str:
    return method_title(board.of("reference")[0].entry.method).lower()


def _reach(loss: Loss) -> str:
    """How far it is from dense, and how far it may be."""
    way = "worse" if loss.value >= 0 else "better"
    return f"{percent(abs(loss.value))} {way}, {percent(loss.most)} worse at most"
