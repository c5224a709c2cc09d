"""Groups: entries of one world, dataset, model and evaluation. What differs is the method, its settings, its budget.

Only within a group may numbers be compared at all; a board (boards.py) ranks those of one budget.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from aptp_bench.core.recipe import Recipe
from aptp_bench.records import Measurement, Record
from aptp_bench.reporting.ranking.entries import Entry, evaluation, metric_names
from aptp_bench.reporting.ranking.pairs import Candidate
from aptp_bench.reporting.ranking.ranking import rule
from aptp_bench.reporting.ranking.spread import SeedSpread, Summary, summary

if TYPE_CHECKING:
    from aptp_bench.reporting.ranking.pairs import Kept

WORLDS = ("paper", "mini", "smoke")  # in the order in which they are shown


@dataclass(frozen=True)
class ComparisonGroup:
    """Entries that were asked the same, in their order. kept: their replicates, by the digest that a record names."""

    entries: tuple[Entry, ...]
    kept: Kept = field(default_factory=dict, repr=False, compare=False)

    @property
    def first(self) -> Record:
        """The record that speaks for all where they agree: world, dataset, model, sampler, captions."""
        return self.entries[0].first

    @property
    def world(self) -> str:
        """mini, smoke or paper."""
        return self.first.world

    @property
    def what(self) -> Recipe:
        """The first recipe: dataset, model, weights and evaluation are everyone's."""
        return self.first.what

    @property
    def unranked(self) -> str:
        """Why nothing here is ranked; empty where ranks mean something."""
        if self.world == "smoke":
            return "smoke runs test that everything works; a ranking of them would mean nothing"
        if self.what.random_weights:
            return "random weights: images are noise, and a ranking of noise would mean nothing"
        return ""

    @property
    def references(self) -> list[Entry]:
        """The networks as they are, whatever convention their budget of 1 is named in."""
        return [entry for entry in self.entries if entry.kind == "reference"]

    @property
    def mains(self) -> list[Entry]:
        """Entries with the recipe's settings, of every budget, references included."""
        return [entry for entry in self.entries if entry.kind in ("reference", "main")]

    def summary(self, entry: Entry, metric: str) -> Summary | None:
        """A metric of an entry, its spread over seeds pooled with all entries that were measured alike; None: not measured."""
        known, key = self._summaries, (entry.name, metric)
        if key not in known:
            found = alike(entry, metric)
            spread = self._spreads[metric, signature(entry, metric)] if found else None
            known[key] = None if spread is None else summary(found, spread, rule(metric).counted)
        return known[key]

    def candidate(self, entry: Entry, metric: str) -> Candidate | None:
        """An entry in one metric, ready to be compared; None: not measured."""
        found = self.summary(entry, metric)
        return None if found is None else Candidate.of(entry, found, metric, self.kept)

    @cached_property
    def _summaries(self) -> dict[tuple[str, str], Summary | None]:
        """What `summary` has found: boards, figures and pages ask for the same."""
        return {}

    @cached_property
    def _spreads(self) -> dict[tuple[str, str], SeedSpread]:
        """How far a metric spreads over seeds among all that was measured alike."""
        groups: dict[tuple[str, str], list[list[float]]] = {}
        for entry in self.entries:
            for metric in metric_names([entry]):
                values = [found.value for found in alike(entry, metric)]
                groups.setdefault((metric, signature(entry, metric)), []).append(values)
        return {key: SeedSpread.of(values) for key, values in groups.items()}


def comparison_groups(among: Iterable[Entry], kept: Kept | None = None) -> list[ComparisonGroup]:
    """Entries by what was asked of them: paper scale first, then the fullest, then by dataset, model and evaluation.

    kept: the replicates that there are.
    """
    groups: dict[tuple[Any, ...], list[Entry]] = {}
    for entry in among:
        groups.setdefault(group_key(entry), []).append(entry)
    return [
        ComparisonGroup(tuple(groups[key]), kept or {})
        for key in sorted(groups, key=lambda key: (key[0], -len(groups[key]), key[1:]))
    ]


def group_key(entry: Entry) -> tuple[Any, ...]:
    """World, dataset, model, weights and evaluation, as a key that sorts."""
    record = entry.first
    named = (record.what.dataset, record.what.model, record.what.random_weights, record.how.digests.get("model", ""))
    return (WORLDS.index(record.world), *named, json.dumps(evaluation(record), sort_keys=True))


def budget(entry: Entry) -> tuple[float, str]:
    """The budget's ratio and the convention it is counted in."""
    asked = entry.first.what.budget
    return asked.ratio, asked.convention


def signature(entry: Entry, metric: str) -> str:
    """How an entry's metric was measured, as text; empty where it was not. Seeds measured otherwise do not count."""
    return next(iter(entry.protocols.get(metric, ())), "")


def alike(entry: Entry, metric: str) -> list[Measurement]:
    """The measurements of a metric that were made as the entry's first one was."""
    made = entry.protocols.get(metric, ())
    return [found for found, how in zip(entry.of(metric), made, strict=True) if how == made[0]]


def measured_alike(among: Sequence[Entry], metric: str) -> list[Entry]:
    """The largest group of entries whose measurements of a metric were made alike, the first among equals."""
    groups: dict[str, list[Entry]] = {}
    for entry in among:
        if made := signature(entry, metric):
            groups.setdefault(made, []).append(entry)
    return max(groups.values(), key=len) if groups else []
