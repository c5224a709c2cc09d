"""How far a number spreads: over prompts, which each record says itself, and over seeds, pooled among entries.

A record's interval says what other prompts would do to the value. Another seed trains another network and draws other
noise; few seeds an entry say little of that, so their deviations are pooled over the entries that are compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from aptp_bench.core.intervals import Interval, student
from aptp_bench.records import Better, Measurement


@dataclass(frozen=True)
class SeedSpread:
    """Standard deviation of a metric between seeds, pooled; degrees of freedom behind it, 0 where no entry has two seeds."""

    deviation: float
    freedom: int

    @classmethod
    def of(cls, groups: Sequence[Sequence[float]]) -> SeedSpread:
        """groups: an entry's values, one a seed."""
        repeated = [values for values in groups if len(values) > 1]
        freedom = sum(len(values) - 1 for values in repeated)
        if not freedom:
            return cls(0.0, 0)
        squares = math.fsum((value - mean) ** 2 for v in repeated for mean in [fmean(v)] for value in v)
        return cls(math.sqrt(squares / freedom), freedom)

    def half_width(self, seeds: int) -> float:
        """Of the 95 % interval of a mean over `seeds` seeds."""
        return student(self.freedom) * self.deviation / math.sqrt(seeds) if self.freedom else 0.0


@dataclass(frozen=True)
class Summary:
    """A metric of an entry: the mean over its seeds and a 95 % interval; basis: what the interval speaks of."""

    value: float
    interval: Interval | None
    basis: str
    seeds: int
    n: int
    unit: str
    better: Better

    @property
    def half_width(self) -> float | None:
        """Half the interval's length."""
        return None if self.interval is None else (self.interval[1] - self.interval[0]) / 2


def summary(found: Sequence[Measurement], spread: SeedSpread, counted: bool = False) -> Summary:
    """Mean over seeds; an interval of what other prompts and other seeds would do, as far as either is known.

    Prompts are the same for every seed, so their part does not shrink with seeds. found: at least one measurement;
    counted: the values are exact, and what another seed does to one method's count says nothing of another's.
    """
    value, first = fmean(m.value for m in found), found[0]
    if counted:
        return Summary(value, (value, value), "a count", len(found), first.n, first.unit, first.better)
    reach = [(m.value - m.interval[0], m.interval[1] - m.value) for m in found if m.interval is not None]
    below, above = (max(0.0, fmean(ends)) for ends in zip(*reach, strict=True)) if reach else (0.0, 0.0)
    seeds = spread.half_width(len(found))
    known = (("seeds", spread.freedom), ("prompts or runs", first.interval))
    basis = " and ".join(word for word, holds in known if holds)
    interval = (value - math.hypot(below, seeds), value + math.hypot(above, seeds)) if basis else None
    return Summary(value, interval, basis or "none", len(found), first.n, first.unit, first.better)
