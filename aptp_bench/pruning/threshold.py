"""From scores of gates to 0/1 gates that meet a budget: one threshold for all networks, moved until their mean cost fits.

Whatever ranks units by a score, one row a network, ends here: trained logits of APTP's codes (its paper thresholds
nothing in print, and experts cut at a gate of 0.5 can miss a budget that soft gates under noise had met), or chance.
Where the hardware wants widths in multiples, gates close in chunks; a chunk has one logit and one name (alignment.dealt).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from aptp_bench.budget import TOLERANCE, Budget
from aptp_bench.errors import BudgetError, PruningError
from aptp_bench.pruning.alignment import dealt
from aptp_bench.pruning.cost import Cost
from aptp_bench.pruning.gates import guarded

ROUNDING = 1e-9  # of the dense MACs: the dense network meets a budget of 1
CLOSE = 2e-4  # of the dense MACs: no chunk is flipped for less
FLIPS = 50  # single chunks flipped at most
NEAR = 2000  # chunks around the threshold that may be flipped


@dataclass(frozen=True)
class Landed:
    """Hard decisions keep: bool [N, D]; ratios: [N] share of the dense MACs; mean: load-weighted; how it was reached.

    threshold: the logit from which a unit is kept; plain: the mean at the threshold that was asked for; flips: single
    chunks of gates changed.
    """

    keep: Tensor
    ratios: Tensor
    mean: float
    threshold: float
    plain: float
    flips: int


def logit_of(threshold: float, temperature: float) -> float:
    """The logit whose gate without noise is `threshold`: 0 for 0.5."""
    return temperature * math.log(threshold / (1.0 - threshold))


def land(
    logits: Tensor,
    loads: Tensor,
    cost: Cost,
    budget: Budget,
    threshold: float = 0.0,
    shift: bool = True,
    chunks: Sequence[int] | None = None,
) -> Landed:
    """Cut N networks (logits [N, D], higher is kept) so that sum_i loads_i MACs_i meets the budget.

    loads: [N], sums to 1. threshold: the logit from which a unit stays, where `shift` does not move it; one of
    infinite logit stays whatever happens. chunks: of each width layer, the gates that close together (alignment.chunks);
    None: each by itself. Raises PruningError for logits that rank nothing, BudgetError if no threshold comes within the
    tolerance, or if `shift` is off and the given one does not.
    """
    _check(logits, loads, cost.space.size)
    logits, names = dealt(logits.detach().cpu(), cost.space, chunks or [1] * len(cost.space.widths))

    def at(threshold: float) -> _Try:
        return _Try(guarded(logits >= threshold, cost.space), names, threshold, loads.double(), cost)

    tried, flips = at(threshold), 0
    plain = tried.mean
    if shift:
        levels = [*torch.unique(logits).tolist(), math.inf]  # the lowest that fits is taken, the last if none does
        rank = bisect_left(levels[:-1], True, key=lambda level: at(level).mean <= budget.ratio + ROUNDING)
        tried, flips = _nudged(at(levels[rank]), logits, budget.ratio)
    landed = Landed(tried.keep, cost.ratio(tried.keep), tried.mean, tried.threshold, plain, flips)
    if abs(budget.missed_by(landed.mean)) > TOLERANCE:
        raise BudgetError(_missed(landed, at(math.inf).mean, budget, shift))
    return landed


def _check(logits: Tensor, loads: Tensor, gates: int) -> None:
    """Raises PruningError unless every network has a score that can be compared for each gate."""
    expected = (loads.numel(), gates)
    if tuple(logits.shape) != expected:
        what = f"scores of shape {tuple(logits.shape)} do not fit {expected[0]} networks of {gates} gates"
        raise PruningError(f"{what}; give {list(expected)}, one a gate")
    if lost := int(logits.isnan().sum()):
        raise PruningError(f"{lost} of {logits.numel()} scores are NaN, which ranks nothing; mend what makes them")


@dataclass(frozen=True)
class _Try:
    """Decisions keep: bool [N, D] reached by a threshold, under loads [N]; names: [N, D] of the chunks."""

    keep: Tensor
    names: Tensor
    threshold: float
    loads: Tensor
    cost: Cost

    @property
    def mean(self) -> float:
        """Load-weighted share of the dense MACs."""
        return float((self.loads * self.cost.ratio(self.keep)).sum())

    def changes(self, order: Tensor) -> Tensor:
        """What flipping each chunk of `order` (names, [K]) alone adds to the mean; inf if it shuts a layer."""
        experts = order // self.keep.shape[1]
        rows = self.keep[experts] ^ (self.names[experts] == order[:, None])
        change = self.loads[experts] * (self.cost.ratio(rows) - self.cost.ratio(self.keep)[experts])
        return change.masked_fill((guarded(rows, self.cost.space) != rows).any(1), math.inf)


def _nudged(landed: _Try, logits: Tensor, aim: float) -> tuple[_Try, int]:
    """Flip single chunks, those nearest the threshold first, while that brings the mean nearer to `aim`."""
    order = (logits - landed.threshold).abs().flatten().argsort()
    free = logits.flatten().isfinite() & (landed.names.flatten() == torch.arange(logits.numel()))
    order = order[free[order]][:NEAR]
    if not len(order):
        return landed, 0
    for flips in range(FLIPS):
        gap = landed.mean - aim
        if abs(gap) <= CLOSE:
            return landed, flips
        after = (gap + landed.changes(order)).abs()
        halving = torch.nonzero(after <= abs(gap) / 2)[:, 0]
        best = int(halving[0]) if len(halving) else int(after.argmin())
        if float(after[best]) >= abs(gap):
            return landed, flips
        landed = replace(landed, keep=landed.keep ^ (landed.names == order[best]))
    return landed, FLIPS


def _missed(landed: Landed, leanest: float, budget: Budget, shift: bool) -> str:
    reached = f"what is left costs {landed.mean:.4f} of the dense MACs ({budget.convention}), not {budget.ratio:g}"
    if not shift:
        return f"{reached}; use landing=shift, or train longer"
    if leanest > budget.ratio:
        return f"{reached}, and the leanest network {leanest:.4f}; raise --budget"
    return f"{reached}: units that go together are too coarse; use --budget {landed.mean:.4f} or a smaller align"
