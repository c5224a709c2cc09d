"""How a leaderboard puts things, in HTML and in Markdown alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from aptp_bench.core.differences import TINY
from aptp_bench.records import Record
from aptp_bench.reporting.numbers import GIGA, fixed, span
from aptp_bench.reporting.ranking.boards import Board, Column, Row
from aptp_bench.reporting.ranking.groups import ComparisonGroup
from aptp_bench.reporting.ranking.names import entry_title, title
from aptp_bench.reporting.ranking.pairs import Pair
from aptp_bench.reporting.ranking.tradeoff import conditions
from aptp_bench.reporting.worlds import SAID

SHARES = {"total": "in all, which the experts of a mixture share", "each": "for every expert"}


def heading(board: Board) -> str:
    """What a board is about: dataset, budget, model."""
    return f"{board.group.what.dataset}, {budget(board.ratio, board.convention)}, {model(board.group)}"


def model(group: ComparisonGroup) -> str:
    """The model, and its weights where they are not its own."""
    return f"{group.what.model}, random weights" if group.what.random_weights else group.what.model


def budget(ratio: float, convention: str) -> str:
    """0.78 of the exact MACs."""
    return "no budget" if ratio == 1 else f"{ratio:g} of the {convention} MACs"


def interval(row: Row, column: Column) -> str:
    """2.30–3.03; empty where there is none, or where a count has no width."""
    place = row.places.get(column.metric)
    if place is None or not place.summary.half_width or place.summary.interval is None:
        return ""
    ends = place.summary.interval
    return span(ends, lambda end: fixed(end, column.decimals), " to " if ends[0] < 0 else "–")


def chance(pair: Pair) -> str:
    """A pair's p-value."""
    return f"< {TINY:.0e}" if pair.p <= TINY else f"{pair.p:.2g}"


def pairing(pair: Pair) -> str:
    """What a pair's difference was taken over."""
    difference = pair.difference
    if not difference.n:
        return f"unpaired: {pair.unpaired}"
    return f"{difference.n} prompts × {difference.k} seeds" if difference.k > 1 else f"{difference.n} prompts, one seed"


def duel(pair: Pair) -> str:
    """A pair in words: difference, interval, p-value, how it was taken."""
    difference, names = pair.difference, f"{entry_title(pair.first)} − {entry_title(pair.second)}"
    if math.isinf(difference.error):
        return f"{names}: {difference.value:+.3g}; no interval is known"
    ends = span(difference.interval, "{:+.3g}".format)
    return f"{names}: {difference.value:+.3g} [{ends}], p = {chance(pair)} after Holm; {pairing(pair)}"


def seeds(numbers: Sequence[int]) -> str:
    """0–2, or 0, 2, 5."""
    run = len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]}–{numbers[-1]}" if run else ", ".join(map(str, numbers))


def state(board: Board) -> list[tuple[str, str]]:
    """What stands under a board: all that its numbers have in common, and how they are to be read."""
    record, mains = board.group.first, board.of("main") or list(board.rows)
    networks = ", ".join(f"{role.replace('_', ' ')}: {name}" for role, name in record.what.backbones.items())
    facts = [("World", SAID[record.world]), ("Evaluation", _evaluation(record)), ("Networks", networks)]
    asked = f"{board.ratio:g} of the dense network's {board.convention} MACs, as a mean over the training prompts"
    facts += [
        ("Budget", "none" if board.ratio == 1 else asked),
        ("Fine-tuning", _finetuning(mains)),
        ("Seeds", _seeds(board)),
    ]
    facts += [(title(c.metric), conditions(c.conditions)) for c in board.columns if "device" in c.conditions]
    facts += [("Intervals", _intervals(board)), *_ranks(board)]
    return [(capital(name), text) for name, text in facts if text]


def capital(words: str) -> str:
    """With a capital to begin with; the others as they are."""
    return words[:1].upper() + words[1:]


def _evaluation(record: Record) -> str:
    what, sampling = record.what, record.what.sampling
    parts = [f"{what.sizes.val} held-out captions of {what.dataset}"]
    parts += [f"{what.sizes.partiprompts} prompts of {what.prompts}"] if what.prompts else []
    parts += [f"{sampling.scheduler}, {sampling.steps} steps, guidance {sampling.guidance:g}"]
    return "; ".join([*parts, f"measured at {what.resolution.measure} px"])


def _finetuning(rows: Sequence[Row]) -> str:
    """Steps, and whether the experts of a mixture share them."""
    tuned = [record.what.finetune for row in rows for record in row.entry.records]
    known = sorted({(t["steps"], t.get("share", "total")) for t in tuned if t.get("steps") is not None})
    return " or ".join(f"{steps:,} steps {SHARES[share]}" for steps, share in known)


def _seeds(board: Board) -> str:
    found = sorted({seed for row in board.rows for seed in row.entry.seeds})
    if len(found) == 1:
        return f"one ({found[0]}): intervals do not say what another training would do"
    return f"{seeds(found)}; a value is the mean over the seeds an entry has"


def _intervals(board: Board) -> str:
    """Which uncertainty the intervals of which metric speak of."""
    groups: dict[str, list[str]] = {}
    for column in board.columns:
        found = {row.places[column.metric].summary.basis for row in board.rows if column.metric in row.places}
        for basis in sorted(found):
            groups.setdefault(basis, []).append(title(column.metric))
    parts = [f"{_doubt(basis)} {', '.join(names)}" for basis, names in groups.items()]
    return f"95 %, {'; '.join(parts)}" if parts else ""


def _doubt(basis: str) -> str:
    """What a summary's basis means for an interval, before the metrics it holds for."""
    if basis == "none":
        return "none is known for"
    left = [word for word in basis.split(" and ") if word != "a count"]
    return f"over {' and '.join(left)} for" if left else "counted, so none, for"


def _ranks(board: Board) -> list[tuple[str, str]]:
    if board.group.unranked:
        return [("Ranks", f"none: {board.group.unranked}")]
    reasons: dict[str, list[str]] = {}
    for column in board.columns:
        if column.unranked:
            reasons.setdefault(column.unranked, []).append(title(column.metric))
    if len(reasons) == 1 and all(column.unranked for column in board.columns):
        return [("Ranks", f"none: {next(iter(reasons))}")]
    left = "; ".join(f"{', '.join(names)}: {why}" for why, names in reasons.items())
    gaps = [f"{title(c.metric)} gaps up to {100 * c.rule.tie:.2g} % count as ties" for c in board.columns if c.rule.tie]
    decided = f"by differences, not by intervals that overlap: p ≤ 5 % after Holm over {family(board)}"
    text = "; ".join(["from 1 + the entries ahead to all but those behind", decided, *gaps])
    ranks = ("Ranks", f"{text}; references and variants have none")
    return [ranks, ("Pairs", _pairings(board)), ("Told apart", told_apart(board)), ("Not ranked", left)]


def told_apart(board: Board) -> str:
    """How many pairs are told apart, in any metric read off images and in each; empty where none is ranked."""
    counts = board.separated
    each = ", ".join(f"{title(c.metric)} {counts[c.metric]}" for c in board.contested)
    return f"{counts['any']} of {board.pairs} pairs in at least one metric: {each}" if each else ""


def family(board: Board) -> str:
    """The pairs over which p-values are adjusted."""
    return f"the {board.pairs} pairs of a metric" if board.pairs > 1 else "the one pair"


def _pairings(board: Board) -> str:
    """How the differences of each metric were taken, and why not in pairs."""
    how: dict[str, list[str]] = {}
    for column in (c for c in board.columns if not c.rule.counted):
        ways = [_way(pair) for pair in column.pairs if pair.difference.n]
        if reasons := list(dict.fromkeys(pair.unpaired for pair in column.pairs if pair.unpaired)):
            others = f", and {len(reasons) - 1} more" if len(reasons) > 1 else ""
            ways.append(f"unpaired, by their intervals ({reasons[0]}{others}),")
        for way in dict.fromkeys(ways):
            how.setdefault(way, []).append(title(column.metric))
    return "; ".join(f"{way} for {', '.join(names)}" for way, names in how.items())


def _way(pair: Pair) -> str:
    """How a paired difference was taken, before the metrics it holds for."""
    difference = pair.difference
    over = f"prompt by prompt ({difference.n})"
    if difference.k > 1:
        return f"{over} and seed by seed ({difference.k})"
    seeds = "with what seeds do to others" if difference.of_seeds else "which says nothing of another training"
    return f"{over} at one seed, {seeds},"


def macs(row: Row, board: Board) -> dict[str, Any]:
    """What a row costs: its exact share of dense on evaluation prompts, the share the budget is about, and 10⁹ MACs."""
    records = row.entry.records
    shares = [record.macs[board.convention].train_ratio for record in records]
    giga = [record.macs["exact"].pruned / GIGA for record in records]
    mean = {"train": sum(shares) / len(shares), "giga": sum(giga) / len(giga)}
    return {"share": row.entry.macs("exact"), "convention": board.convention, **mean}
