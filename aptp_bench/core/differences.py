"""How far two entries are apart and how sure that is, in pairs: the same prompts, the same seeds.

d[s, i] = mu + prompt_i + seed_s + rest_si is the difference at seed s and prompt i. The error of its mean over k seeds and n
prompts is var(prompt)/n + var(seed)/k + var(rest)/(kn). The spread of the prompts' means holds the first and the third, that of
the seeds' means the second and the third; the third, known from what is left of d, is taken off once (random effects of a
two-way layout without repetition: Scheffé 1959, Section 7.4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aptp_bench.core.intervals import Interval, student
from aptp_bench.core.roots import crossing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVEL = 0.05  # at which a difference is beyond doubt, after Holm
TINY = 1e-15  # the smallest p-value that is told from none
LEAST = 1e-5  # share of the median variance that a variance of two or three seeds is taken to have at least


@dataclass(frozen=True)
class Components:
    """The mean of differences and what it varies by.

    prompts: variance of the mean that the spread of the prompts' means gives; between: variance of the seeds' means; rest:
    the part of `between` that is the prompts' doing. The last two are 0 for one seed.
    """

    value: float
    n: int
    k: int
    prompts: float
    between: float
    rest: float

    @classmethod
    def of(cls, differences: NDArray[np.float64]) -> Components:
        """differences: [k, n], seeds by prompts, n >= 2."""
        d = differences
        k, n = d.shape
        value, of_prompts, of_seeds = float(d.mean()), d.mean(axis=0), d.mean(axis=1)
        prompts = float(of_prompts.var(ddof=1)) / n
        if k == 1:
            return cls(value, n, k, prompts, 0.0, 0.0)
        left = d - of_prompts - of_seeds[:, None] + value
        rest = float((left**2).sum()) / ((k - 1) * (n - 1)) / n
        return cls(value, n, k, prompts, float(of_seeds.var(ddof=1)), rest)


@dataclass(frozen=True)
class PairSpread:
    """The typical variance between seeds among pairs that are judged together, and how far a pair's own is drawn to it.

    An empirical Bayes prior (Smyth 2004, Section 6.2): `freedom` is how many seeds' worth of weight the typical variance has,
    from how well the pairs' variances agree; most: the degrees of freedom that all seeds together have.
    """

    variance: float
    rest: float
    freedom: float
    most: int

    @classmethod
    def of(cls, pairs: Sequence[Components], most: int) -> PairSpread | None:
        """None where no pair has two seeds."""
        known = [pair for pair in pairs if pair.k > 1]
        if not known or most < 1:
            return None
        import numpy as np
        from scipy.special import digamma, polygamma

        rest = float(np.mean([pair.rest for pair in known]))
        found = np.array([pair.between for pair in known])
        if not found.any():
            return cls(0.0, rest, most, most)
        half = np.array([(pair.k - 1) / 2 for pair in known])
        found = np.maximum(found, LEAST * max(float(np.median(found)), LEAST * float(found.max())))
        logs = np.log(found) - digamma(half) + np.log(half)
        if len(known) == 1:
            return cls(float(found[0]), rest, 0.0, most)
        excess = float(logs.var(ddof=1) - polygamma(1, half).mean())
        if excess <= 0:
            return cls(float(np.exp(logs.mean())), rest, math.inf, most)
        d0 = 2 * _inverse_trigamma(excess)
        return cls(float(np.exp(logs.mean() + digamma(d0 / 2) - np.log(d0 / 2))), rest, d0, most)

    def of_pair(self, pair: Components) -> tuple[float, float]:
        """(the variance between a pair's seeds as far as its own and the typical one say, its degrees of freedom)."""
        own = pair.k - 1
        if math.isinf(self.freedom):
            return self.variance, self.most
        mean = (self.freedom * self.variance + own * pair.between) / (self.freedom + own)
        return mean, max(1.0, min(self.freedom + own, self.most))


@dataclass(frozen=True)
class Difference:
    """A difference and what its error is made of.

    prompts: variance of the value over prompts, of n - 1 degrees of freedom; seeds: over seeds, with `freedom`; rest: the part
    of `seeds` that `prompts` has already. k, n: seeds and prompts that were paired; n = 0: nothing was.
    """

    value: float
    prompts: float
    n: int = 0
    k: int = 0
    seeds: float = 0.0
    rest: float = 0.0
    freedom: float = math.inf

    @classmethod
    def of(cls, pair: Components, spread: PairSpread | None = None) -> Difference:
        """Paired. spread: of the pairs that it is judged with; None: the error speaks of prompts only."""
        if spread is None or (pair.k == 1 and not spread.freedom):
            return cls(pair.value, pair.prompts, pair.n, pair.k)
        variance, freedom = spread.of_pair(pair)
        rest = pair.rest if pair.k > 1 else spread.rest
        return cls(pair.value, pair.prompts, pair.n, pair.k, variance / pair.k, rest / pair.k, freedom)

    @property
    def of_seeds(self) -> bool:
        """Whether the error speaks of the training seed."""
        return math.isfinite(self.freedom)

    @property
    def error(self) -> float:
        """The standard error."""
        return math.sqrt(self.prompts + max(0.0, self.seeds - self.rest))

    @property
    def interval(self) -> Interval:
        """95 %."""
        reach = self.reach(LEVEL)
        return self.value - reach, self.value + reach

    def reach(self, level: float) -> float:
        """Half the length of the interval that misses with probability `level`: both doubts, each by its own t, in quadrature.

        Few seeds are not averaged into the many degrees of freedom that prompts have, as one t of mixed degrees would.
        """
        over_prompts = student(self.n - 1 if self.n else math.inf, level) ** 2
        over_seeds = student(self.freedom, level) ** 2 * self.seeds - over_prompts * self.rest
        return math.sqrt(over_prompts * self.prompts + max(0.0, over_seeds))

    @property
    def p(self) -> float:
        """The two-sided p-value of no difference: the level at which the interval reaches zero; at least TINY."""
        gap = abs(self.value)
        if not gap or math.isinf(self.prompts):
            return 1.0
        if self.reach(TINY) <= gap:
            return TINY

        def beyond(log: float) -> float:
            """From -0.5 to 0.5, nearly straight: a reach grows without bounds towards small levels."""
            return gap / (gap + self.reach(math.exp(log))) - 0.5

        return math.exp(crossing(beyond, math.log(TINY), 0.0))


def holm(p: Sequence[float]) -> list[float]:
    """p-values of one family, adjusted so that any error among them has at most its level (Holm 1979)."""
    adjusted, most = [1.0] * len(p), 0.0
    for rank, at in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        most = max(most, min(1.0, (len(p) - rank) * p[at]))
        adjusted[at] = most
    return adjusted


def _inverse_trigamma(value: float) -> float:
    """x with trigamma(x) = value > 0."""
    from scipy.special import polygamma

    if value >= 1e8:
        return 1e-4
    # its logarithm is nearly straight in that of x
    log = crossing(lambda at: math.log(float(polygamma(1, math.exp(at))) / value), math.log(1e-4), math.log(1e9))
    return math.exp(log)
