"""Every pair of entries in one metric: how far apart, how sure, who is ahead.

Where both kept replicates of the same prompts, made and measured alike, the difference is taken prompt by prompt and seed by
seed (aptp_bench.core.differences); else from their two intervals, and the pair says why. A pair is decided where its p-value,
adjusted by Holm's method over the pairs that are looked at together, is at most 5 % and its gap one that counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from aptp_bench.core.differences import LEVEL, Components, Difference, PairSpread, holm, p_values
from aptp_bench.core.intervals import NORMAL
from aptp_bench.records import Better
from aptp_bench.reporting.ranking.entries import Entry
from aptp_bench.reporting.ranking.ranking import Rule
from aptp_bench.reporting.ranking.spread import Summary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aptp_bench.harness.replicates import Scores

    Kept = Mapping[str, Scores]  # sha256 by which a record names its replicates -> them
    BySeed = Mapping[int, NDArray[np.float64]]  # seed -> one number a prompt


@dataclass(frozen=True)
class Candidate:
    """An entry in one metric: its summary, and its replicates by seed; lacking: why it has none."""

    entry: Entry
    summary: Summary
    scores: BySeed
    lacking: str = ""

    @classmethod
    def of(cls, entry: Entry, summary: Summary, metric: str, kept: Kept) -> Candidate:
        """kept: all replicates that there are."""
        return cls(entry, summary, *scores_of(entry, metric, kept))


def scores_of(entry: Entry, metric: str, kept: Kept) -> tuple[BySeed, str]:
    """Replicates of the records that were measured as the entry's first one was, or why there are none."""
    measured, made = [r for r in entry.records if metric in r.results], entry.protocols[metric]
    alike = [record for record, how in zip(measured, made, strict=True) if how == made[0]]
    named = [r for r in alike if r.replicates is not None and metric in r.replicates.metrics]
    found = {r.what.seed: kept.get(r.replicates.sha256, {}).get(metric) for r in named if r.replicates is not None}
    n = measured[0].results[metric].n
    scores = {seed: each for seed, each in found.items() if each is not None and len(each) == n > 1}
    lacking = "kept no replicates" if not named else "has lost its replicates"
    return scores, "" if scores else f"{entry.label} {lacking}"


@dataclass(frozen=True)
class Pair:
    """Two entries in one metric. difference: first minus second; p: after Holm; unpaired: why it is not taken in pairs."""

    first: Entry
    second: Entry
    difference: Difference
    better: Better
    p: float
    level: bool  # the gap is one that says nothing
    unpaired: str = ""

    @property
    def decided(self) -> bool:
        """Whether one of them is ahead beyond doubt."""
        return self.better != "neither" and self.p <= LEVEL and not self.level

    @property
    def order(self) -> tuple[Entry, Entry] | None:
        """(who is ahead, who is behind); None where that is not decided."""
        if not self.decided:
            return None
        ahead = (self.difference.value > 0) == (self.better == "higher")
        return (self.first, self.second) if ahead else (self.second, self.first)

    def seen_from(self, entry: Entry) -> tuple[int, float]:
        """(1 won, -1 lost, 0 undecided; this entry's value minus the other's)."""
        sign = 1 if entry is self.first else -1
        standing = 0 if self.order is None else 1 if self.order[0] is entry else -1
        return standing, sign * self.difference.value


@dataclass(frozen=True)
class Family:
    """Pairs of candidates in one metric that are judged together: Holm's method is over them. rule: the metric's."""

    pairs: Sequence[tuple[Candidate, Candidate]]
    rule: Rule


def contest(among: Sequence[Candidate], rule: Rule) -> list[Pair]:
    """Every pair of candidates of one metric; one family."""
    return judged([Family(list(combinations(among, 2)), rule)])[0]


def paired(one: Candidate, other: Candidate) -> Difference | None:
    """One candidate minus another, prompt by prompt; None where they cannot be paired."""
    shared = matched(one.scores, other.scores)
    if shared is None:
        return None
    part = Components.of(shared)
    return Difference.of(part, PairSpread.of([part], _freedom([(one, other)])))


def judged(families: Sequence[Family]) -> list[list[Pair]]:
    """The pairs of each family. A board has a dozen families, and numpy is asked for all of them at once."""
    shared = [[matched(one.scores, other.scores) for one, other in family.pairs] for family in families]
    components = iter(Components.of_all([each for found in shared for each in found if each is not None]))
    parts = [[None if each is None else next(components) for each in found] for found in shared]
    differences = [_differences(family, found) for family, found in zip(families, parts, strict=True)]
    p = iter(p_values([each for found in differences for each in found]))
    return [_family(*each, holm([next(p) for _ in each[1]])) for each in zip(families, differences, strict=True)]


def _differences(family: Family, parts: Sequence[Components | None]) -> list[Difference]:
    spread = PairSpread.of([part for part in parts if part is not None], _freedom(family.pairs))
    return [
        Difference.of(part, spread) if part is not None else _apart(one.summary, other.summary)
        for part, (one, other) in zip(parts, family.pairs, strict=True)
    ]


def _family(family: Family, differences: Sequence[Difference], p: Sequence[float]) -> list[Pair]:
    return [
        Pair(
            *(one.entry, other.entry, each, one.summary.better, at),
            level=_level(one, other, family.rule.tie),
            unpaired="" if each.n else _why_unpaired(one, other, family.rule),
        )
        for (one, other), each, at in zip(family.pairs, differences, p, strict=True)
    ]


def matched(one: BySeed, other: BySeed) -> NDArray[np.float64] | None:
    """Differences [seeds, prompts]: of the seeds that both have, or of one after the other where they have none in common."""
    import numpy as np

    seeds = [(seed, seed) for seed in sorted(one.keys() & other.keys())]
    seeds = seeds or list(zip(sorted(one), sorted(other), strict=False))
    found = [one[a] - other[b] for a, b in seeds if len(one[a]) == len(other[b])]
    return np.stack(found) if found else None


def _freedom(pairs: Sequence[tuple[Candidate, Candidate]]) -> int:
    """Of the residuals of entries by seeds: (entries - 1)(seeds - 1) where each entry has each seed."""
    repeated = {c.entry.name: c.scores.keys() for pair in pairs for c in pair if len(c.scores) > 1}
    seeds = {seed for each in repeated.values() for seed in each}
    return max(sum(len(each) - 1 for each in repeated.values()) - (len(seeds) - 1), len(repeated) > 1)


def _apart(one: Summary, other: Summary) -> Difference:
    """Unpaired: by the ends of the two intervals that face each other."""
    gap, reaches = one.value - other.value, []
    for summary, below in ((one, gap > 0), (other, gap < 0)):
        if summary.interval is None:
            return Difference(gap, float("inf"))
        low, high = summary.interval
        reaches.append(summary.value - low if below else high - summary.value)
    return Difference(gap, sum((max(0.0, reach) / NORMAL) ** 2 for reach in reaches))


def _level(one: Candidate, other: Candidate, tie: float) -> bool:
    a, b = one.summary.value, other.summary.value
    return abs(a - b) <= tie * min(abs(a), abs(b))


def _why_unpaired(one: Candidate, other: Candidate, rule: Rule) -> str:
    if not rule.quality:
        return "counted" if rule.counted else "read off no images"
    return one.lacking or other.lacking or "they have other prompts"
