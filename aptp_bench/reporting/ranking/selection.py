"""Which trade-offs are drawn, and what their figures are called: one selection for the leaderboard and for `aptp-bench plot`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

from aptp_bench.errors import ConfigError
from aptp_bench.reporting.ranking.boards import Board, Column, groups_of
from aptp_bench.reporting.ranking.groups import ComparisonGroup
from aptp_bench.reporting.ranking.matrix import Standings
from aptp_bench.reporting.ranking.tradeoff import Tradeoff

PREFIX, PAIRS = "pareto-", "pairs-"
QUALITIES = 2  # metrics with figures beside the leaderboard, whose page plots all
COUNTED = "exact"  # MACs as they are executed, in which methods are compared


def quality_columns(boards: Sequence[Board], group: ComparisonGroup) -> list[Column]:
    """The metrics of a group that are read off images and have a better direction, in order."""
    return [column for column in _columns(boards, group) if column.rule.quality and column.better != "neither"]


def timed_columns(boards: Sequence[Board], group: ComparisonGroup) -> list[Column]:
    """The metrics of a group that a device decides, such as a time."""
    found = (c for c in _columns(boards, group) if not c.rule.quality and not c.rule.counted)
    return [column for column in found if "device" in column.conditions]


def tradeoffs(boards: Sequence[Board], leading: bool = False) -> Iterator[tuple[str, Tradeoff]]:
    """(a figure's name, what it shows): every quality metric against the exact MACs and each time.

    Entries are those with the recipe's settings, or all where fewer than two have these. leading: only of groups that
    are ranked, only the first QUALITIES metrics and the first time. What no entry has is left out.
    """
    stems: list[str] = []
    for group in groups_of(boards):
        stems.append(_fit(group.world, group.what.dataset, group.what.model))
        if leading and (group.unranked or len(group.mains) < 2):
            continue
        stem = f"{stems[-1]}-{stems.count(stems[-1])}".removesuffix("-1")
        entries = group.mains if len(group.mains) > 1 else group.entries
        times = [column.metric for column in timed_columns(boards, group)][: 1 if leading else None]
        for quality in quality_columns(boards, group)[: QUALITIES if leading else None]:
            for cost in (COUNTED, *times):
                with suppress(ConfigError):
                    name = f"{PREFIX}{stem}-{_fit(quality.metric, cost)}"
                    yield name, Tradeoff.of(entries, quality.metric, cost, pool=group)


def standings(boards: Sequence[Board]) -> Iterator[tuple[str, Standings]]:
    """(a figure's name, what it shows): of every board with ranks its pairs in the first QUALITIES metrics."""
    stems: list[str] = []
    for board in boards:
        what = board.group.what
        stems.append(_fit(board.group.world, what.dataset, what.model, board.name))
        if board.contested:
            name = f"{PAIRS}{stems[-1]}-{stems.count(stems[-1])}".removesuffix("-1")
            yield name, Standings.of(board, QUALITIES)


def _columns(boards: Sequence[Board], group: ComparisonGroup) -> list[Column]:
    """The columns of a group's boards, each metric once."""
    return list({c.metric: c for b in boards if b.group is group for c in b.columns}.values())


def _fit(*words: str) -> str:
    """Words as parts of a file's name, whatever a record says."""
    return "-".join(re.sub(r"[^\w.]", "_", word) for word in words)
