"""Who is ahead, as far as it can be told. What cannot be told apart shares a rank.

Of every two entries one is ahead of the other or that is undecided (pairs.py). An entry's rank is a range: from 1 + the
entries ahead of it to all but those behind it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aptp_bench import registry
from aptp_bench.reporting.ranking.entries import READ_OFF_IMAGES, Entry, protocol
from aptp_bench.reporting.ranking.names import entry_title
from aptp_bench.reporting.ranking.spread import Summary

if TYPE_CHECKING:
    from aptp_bench.contracts.metric import Metric

_Run = tuple[Entry, int]  # an entry and one of its seeds


@dataclass(frozen=True)
class Place:
    """Where an entry stands in one metric: `best` and `worst` are the ends of its rank. Both None: not ranked."""

    summary: Summary
    best: int | None = None
    worst: int | None = None

    @property
    def rank(self) -> str:
        """1, or 2–4; empty where the metric has no better direction."""
        if self.best is None:
            return ""
        return str(self.best) if self.best == self.worst else f"{self.best}–{self.worst}"


def places(summaries: Sequence[Summary | None], decided: Collection[tuple[int, int]]) -> list[Place | None]:
    """Ranks of summaries of one metric, None for what was not measured. decided: (ahead, behind), by their place here."""
    known = sum(each is not None for each in summaries)

    def place(at: int, own: Summary) -> Place:
        if own.better == "neither":
            return Place(own)
        ahead, behind = (sum(pair[end] == at for pair in decided) for end in (1, 0))
        return Place(own, 1 + ahead, known - behind)

    return [None if own is None else place(at, own) for at, own in enumerate(summaries)]


def why_not(among: Sequence[Entry], metric: str) -> str | None:
    """What keeps the entries' measurements of a metric from standing in one ranking; None if nothing does.

    The metric is not named, so that metrics of one reason can share it.
    """
    made = {text for entry in among for text in entry.protocols.get(metric, ())}
    if len(made) < 2 and len({r.what.budget.convention for e in among for r in e.records if metric in r.results}) < 2:
        return None
    seen: dict[str, tuple[str, _Run]] = {}
    for entry in among:
        for record in entry.records:
            if metric in record.results:
                facts = {**protocol(record, metric), "budgets counted in": record.what.budget.convention}
                if (found := _difference(seen, facts, (entry, record.what.seed))) is not None:
                    return found
    return None


def _difference(seen: dict[str, tuple[str, _Run]], facts: dict[str, object], run: _Run) -> str | None:
    """The first fact in which a run differs from those seen before, whose facts it joins."""
    missing = ("null", next(iter(seen.values()))[1]) if seen else None
    for key in sorted(facts.keys() | seen.keys()):
        said = json.dumps(facts.get(key), sort_keys=True)
        known, whose = seen.setdefault(key, missing or (said, run))
        if known != said:
            return f"{_both(whose, run)} cannot be ranked together: {key.replace('_', ' ')} is {known} and {said}"
    return None


def _both(one: _Run, other: _Run) -> str:
    """Two runs, by their entries; by their seeds where they are of one entry."""
    if one[0] is other[0]:
        return f"seeds {one[1]} and {other[1]} of {entry_title(one[0])}"
    return f"{entry_title(one[0])} and {entry_title(other[0])}"


@dataclass(frozen=True)
class Rule:
    """What a metric's class says of comparing its values.

    tie: relative gap that says nothing; counted: exact; quality: read off images, no cost.
    """

    tie: float = 0.0
    counted: bool = False
    quality: bool = False


def rule(metric: str, detail: Mapping[str, Any] = MappingProxyType({})) -> Rule:
    """How values of a metric are compared. detail: of a measurement, which speaks where the metric is not installed."""
    found = registry.plugins("metrics").get(metric)
    if found is None:
        return Rule(quality=not detail.keys().isdisjoint(READ_OFF_IMAGES))
    return _rule_of(found.load())


@cache
def _rule_of(kind: type[Metric]) -> Rule:
    return Rule(kind.tie, kind.counted, kind.is_quality())
