"""What can be said of a mixture without running it.

Cost, load and frequent words of every expert (APTP, arXiv:2406.12042, Tables 2 and 4).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from aptp_bench.budget import Budget, Convention
from aptp_bench.core.documents import Frozen
from aptp_bench.harness.keywords import frequent_words
from aptp_bench.pruning.cost import Cost
from aptp_bench.pruning.threshold import Landed


class ExpertReport(Frozen):
    """One expert: share of the dense MACs, training prompts, their frequent words, share of MACs kept by block."""

    macs_ratio: float
    prompts: int
    words: list[str]
    blocks: dict[str, float]


class Spread(Frozen):
    """How prompts are spread over experts.

    The number of equally loaded experts with the same entropy, and the largest share.
    """

    effective: float
    largest: float


class Report(Frozen):
    """A mixture: the experts in order of their cost, and how the budget was met.

    mean_ratio: load-weighted; plain_ratio: what the threshold that was asked for would have given; before_alignment:
    the spread that eq. 22 had after the search, None if nothing was aligned.
    """

    convention: Convention
    budget: float
    mean_ratio: float
    plain_ratio: float
    threshold: float
    flips: int
    spread: Spread
    before_alignment: Spread | None
    experts: list[ExpertReport]


def spread(loads: Tensor) -> Spread:
    """The spread of loads [N], counts or shares."""
    shares = loads.double() / loads.sum()
    return Spread(effective=float(torch.exp(-torch.xlogy(shares, shares).sum())), largest=float(shares.max()))


def report(
    landed: Landed, routes: Tensor, captions: Sequence[str], cost: Cost, budget: Budget, before: Spread | None = None
) -> Report:
    """Describe experts landed.keep [N, D] that serve `captions` by routes [n]."""
    served = [[captions[j] for j in torch.nonzero(routes == i)[:, 0].tolist()] for i in range(len(landed.keep))]
    blocks = cost.block_ratios(landed.keep)
    experts = [
        ExpertReport(
            macs_ratio=float(landed.ratios[i]),
            prompts=len(own),
            words=frequent_words(own),
            blocks={path: float(kept[i]) for path, kept in blocks.items()},
        )
        for i, own in enumerate(served)
    ]
    return Report(
        convention=budget.convention,
        budget=budget.ratio,
        mean_ratio=landed.mean,
        plain_ratio=landed.plain,
        threshold=landed.threshold,
        flips=landed.flips,
        spread=spread(torch.bincount(routes, minlength=len(experts))),
        before_alignment=before,
        experts=experts,
    )
