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
from functools import cached_property
from typing import TYPE_CHECKING, Any

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
        return cls.of_all([differences])[0]

    @classmethod
    def of_all(cls, differences: Sequence[NDArray[np.float64]]) -> list[Components]:
        """`of` each: a board has hundreds, most of one shape, and numpy is asked once a shape."""
        import numpy as np

        shapes = [each.shape for each in differences]
        found: dict[int, Components] = {}
        for k, n in dict.fromkeys(shapes):
            members = [i for i, shape in enumerate(shapes) if shape == (k, n)]
            d = np.stack([differences[i] for i in members])
            value, of_prompts, of_seeds = d.mean(axis=(1, 2)), d.mean(axis=1), d.mean(axis=2)
            prompts, between = of_prompts.var(axis=1, ddof=1) / n, np.zeros(len(d))
            rest = between
            if k > 1:
                left = d - of_prompts[:, None] - of_seeds[:, :, None] + value[:, None, None]
                between, rest = of_seeds.var(axis=1, ddof=1), (left**2).sum(axis=(1, 2)) / ((k - 1) * (n - 1)) / n
            parts = zip(members, value.tolist(), prompts.tolist(), between.tolist(), rest.tolist(), strict=True)
            found |= {i: cls(v, n, k, p, b, r) for i, v, p, b, r in parts}
        return [found[i] for i in range(len(shapes))]


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
        if math.isinf(self.freedom) or not (own or self.freedom):  # of one seed, beside one pair that has more
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
        if spread is None:
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

    @cached_property
    def interval(self) -> Interval:
        """95 %."""
        reach = self.reach(LEVEL)
        return self.value - reach, self.value + reach

    def reach(self, level: float) -> float:
        """Half the length of the interval that misses with probability `level`: both doubts, each by its own t, in quadrature.

        Few seeds are not averaged into the many degrees of freedom that prompts have, as one t of mixed degrees would.
        """
        freedom = self.n - 1 if self.n else math.inf
        return float(_reach(level, self.prompts, freedom, self.seeds, self.rest, self.freedom))

    @property
    def p(self) -> float:
        """The two-sided p-value of no difference: the level at which the interval reaches zero; at least TINY."""
        return p_values([self])[0]


def p_values(differences: Sequence[Difference]) -> list[float]:
    """The p-value of each: `Difference.p`, of many at once."""
    import numpy as np

    parts = [
        (each.value, each.prompts, each.n or math.inf, each.seeds, each.rest, each.freedom) for each in differences
    ]
    value, prompts, n, seeds, rest, freedom = np.array(parts, dtype=np.float64).reshape(-1, 6).T
    found = np.where((value == 0) | np.isinf(prompts), 1.0, TINY)
    open_ = (found < 1) & (_reach(TINY, prompts, n - 1, seeds, rest, freedom) > np.abs(value))
    gap, *error = (part[open_] for part in (np.abs(value), prompts, n - 1, seeds, rest, freedom))

    def beyond(log: NDArray[np.float64]) -> NDArray[np.float64]:
        """From -0.5 to 0.5, nearly straight: a reach grows without bounds towards small levels."""
        return gap / (gap + _reach(np.exp(log), *error)) - 0.5

    if gap.size:
        found[open_] = np.exp(crossing(beyond, np.full_like(gap, math.log(TINY)), np.zeros_like(gap)))
    return [float(p) for p in found]


def holm(p: Sequence[float]) -> list[float]:
    """p-values of one family, adjusted so that any error among them has at most its level (Holm 1979)."""
    adjusted, most = [1.0] * len(p), 0.0
    for rank, at in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        most = max(most, min(1.0, (len(p) - rank) * p[at]))
        adjusted[at] = most
    return adjusted


def _reach(level: Any, prompts: Any, of_prompts: Any, seeds: Any, rest: Any, of_seeds: Any) -> Any:
    """`Difference.reach` of numbers or arrays. of_prompts, of_seeds: degrees of freedom of the variances."""
    import numpy as np

    over_prompts = student(of_prompts, level) ** 2
    over_seeds = student(of_seeds, level) ** 2 * seeds - over_prompts * rest
    return np.sqrt(over_prompts * prompts + np.maximum(0.0, over_seeds))


def _inverse_trigamma(value: float) -> float:
    """x with trigamma(x) = value > 0."""
    import numpy as np
    from scipy.special import polygamma

    if value >= 1e8:
        return 1e-4
    # its logarithm is nearly straight in that of x
    log = crossing(lambda at: np.log(polygamma(1, np.exp(at)) / value), math.log(1e-4), math.log(1e9))
    return float(np.exp(log))
