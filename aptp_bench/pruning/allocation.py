"""What giving hard prompts more could win: the best split of a mean budget among kinds of prompts.

Every kind k has a weight w_k (its share of the prompts) and a damage d_k(r), what it loses in a network that keeps a
share r of the MACs. Uniform pruning pays sum_k w_k d_k(R); an oracle chooses r_k with sum_k w_k r_k = R and pays the
least there is. The gain is 1 - oracle / uniform (1 - harmonic / arithmetic mean of c_k where d_k = c_k (1 - r)^2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aptp_bench.errors import BudgetError

if TYPE_CHECKING:
    import numpy as np

CELLS = 256  # pieces of a curve between its leanest cut and the dense network


@dataclass(frozen=True)
class Curve:
    """A convex damage, piecewise linear between `ratios` (rising) with `damages` at them."""

    ratios: np.ndarray
    damages: np.ndarray

    @classmethod
    def through(cls, measured: Mapping[float, float], cells: int = CELLS) -> Curve:
        """The convex curve of measured damages by ratio; the dense network, ratio 1, has none.

        Between the cuts by cubics whose slopes are those of the parabola through three neighbours (so that a quadratic
        damage is met exactly), limited as in Fritsch & Carlson 1980 (rising damage stays rising); then its lower
        convex envelope, which mixing two networks would reach. Raises BudgetError for fewer than two cuts.
        """
        import numpy as np

        if len(measured) < 2 or not all(0.0 < ratio < 1.0 for ratio in measured):
            raise BudgetError(f"a damage curve needs two or more cuts between 0 and 1; got {sorted(measured)}")
        nodes = {**measured, 1.0: 0.0}
        x = np.array(sorted(nodes))
        grid = np.unique(np.concatenate([np.linspace(x[0], 1.0, cells + 1), x]))
        return cls(*_envelope(grid, _cubic(x, np.array([nodes[r] for r in x]), grid)))

    def __call__(self, ratio: float) -> float:
        """The damage at a ratio. Raises BudgetError outside of what was measured."""
        import numpy as np

        if not self.ratios[0] - 1e-9 <= ratio <= 1.0 + 1e-9:
            raise BudgetError(f"damage is known from {self.ratios[0]:g} to 1, not at {ratio:g}; add a leaner cut")
        return float(np.interp(ratio, self.ratios, self.damages))


@dataclass(frozen=True)
class Allocation:
    """ratios: of every kind; damage: weighted mean of what they lose; uniform: the same with all at the mean ratio."""

    ratios: tuple[float, ...]
    damage: float
    uniform: float

    @property
    def gain(self) -> float:
        """Share of the uniform damage that is saved; 0 where there is no damage to save."""
        return 1.0 - self.damage / self.uniform if self.uniform > 0.0 else 0.0


def allocate(curves: Sequence[Curve], weights: Sequence[float], mean: float) -> Allocation:
    """The allocation of least weighted damage with sum_k w_k r_k = mean, where weights are divided by their sum.

    Exact: the pieces of convex curves are bought in the order of what they save per MAC, until the mean is spent.
    Raises BudgetError if the mean lies outside of what some curve knows.
    """
    import numpy as np

    shares = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    uniform = sum(share * curve(mean) for share, curve in zip(shares, curves, strict=True))
    ratios = np.array([curve.ratios[0] for curve in curves])
    width = np.concatenate([share * np.diff(curve.ratios) for share, curve in zip(shares, curves, strict=True)])
    slope = np.concatenate([np.diff(curve.damages) / np.diff(curve.ratios) for curve in curves])
    owner = np.repeat(np.arange(len(curves)), [len(curve.ratios) - 1 for curve in curves])
    order = np.argsort(slope, kind="stable")  # stable: of pieces as steep, those of the first kind go first
    spent = np.clip(mean - float(shares @ ratios) - (np.cumsum(width[order]) - width[order]), 0.0, width[order])
    np.add.at(ratios, owner[order], spent / np.where(shares > 0, shares, 1.0)[owner[order]])
    ratios = np.clip(ratios, [curve.ratios[0] for curve in curves], 1.0)
    damage = sum(share * curve(r) for share, curve, r in zip(shares, curves, ratios, strict=True))
    return Allocation(tuple(ratios.tolist()), min(float(damage), float(uniform)), float(uniform))


def _cubic(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Values at `at` of the cubics through (x, y) with the slopes of parabolas, limited where they would overshoot."""
    import numpy as np

    h, secant = np.diff(x), np.diff(y) / np.diff(x)
    inner = (h[1:] * secant[:-1] + h[:-1] * secant[1:]) / (h[1:] + h[:-1])
    ends = 2 * secant[0] - inner[0], 2 * secant[-1] - inner[-1]
    slopes = np.concatenate([ends[:1], inner, ends[1:]])
    left, right = np.concatenate([secant[:1], secant]), np.concatenate([secant, secant[-1:]])
    steepest = 3.0 * np.minimum(abs(left), abs(right))
    slopes = np.where(left * right > 0, np.sign(left) * np.clip(np.sign(left) * slopes, 0.0, steepest), 0.0)
    i = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(h) - 1)
    t = (at - x[i]) / h[i]
    rise = h[i] * (slopes[i] * t * (1 - t) ** 2 - slopes[i + 1] * t**2 * (1 - t))
    return np.asarray(y[i] + (y[i + 1] - y[i]) * t**2 * (3 - 2 * t) + rise)


def _envelope(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lower convex envelope of points with rising x: its corners (Andrew's monotone chain)."""
    import numpy as np

    hull: list[int] = []
    for i in range(len(x)):
        while len(hull) > 1:
            a, b = hull[-2:]
            if (y[b] - y[a]) * (x[i] - x[a]) < (y[i] - y[a]) * (x[b] - x[a]):
                break
            hull.pop()
        hull.append(i)
    at = np.array(hull)
    return x[at], y[at]
