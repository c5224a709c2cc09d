"""From trained codes to hard architectures that meet the budget together, or each a size of its own."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import torch
from torch import Tensor

from aptp_bench.budget import Budget
from aptp_bench.core.noise import generator
from aptp_bench.errors import BudgetError
from aptp_bench.methods.aptp.search import Search
from aptp_bench.pruning.alignment import chunks, dealt
from aptp_bench.pruning.cost import Cost
from aptp_bench.pruning.gates import guarded
from aptp_bench.pruning.threshold import ROUNDING, Landed, land, logit_of


def landed(search: Search, routes: Tensor, seed: int) -> Landed:
    """Cut the codes, which serve the training pairs by `routes` [n], as the configuration says. Raises BudgetError."""
    config, codes = search.config, search.architect.codes.detach()
    loads = torch.bincount(routes, minlength=len(codes)) / len(routes)
    logits = search.relaxation.effective(codes)
    threshold = logit_of(config.threshold, config.temperature)
    together = chunks(search.gated.unet, search.cost.space, config.align)
    if search.targets is not None:
        return _each(search, logits, search.targets.tolist(), loads, together)
    found = land(logits, loads, search.cost, search.budget, threshold, config.landing == "shift", together)
    if config.architectures == "random":
        lots = torch.rand(logits.shape, generator=generator("random mixture", seed))
        return _each(search, lots, found.ratios.tolist(), loads, together)
    return found


def _each(search: Search, scores: Tensor, ratios: Sequence[float], loads: Tensor, together: Sequence[int]) -> Landed:
    """Every network landed by itself on its own ratio; where units are too coarse for that, on their mean together."""
    scores, cost, budget = scores.cpu(), search.cost, search.budget
    try:
        alone = [
            land(row[None], torch.ones(1), cost, Budget.of(min(ratio, 1.0), budget.convention), chunks=together)
            for row, ratio in zip(scores, ratios, strict=True)
        ]
    except BudgetError:
        levels, _ = dealt(scores, cost.space, together)
        own = [_level(row, ratio, cost) for row, ratio in zip(levels, ratios, strict=True)]
        return land(scores - torch.tensor(own)[:, None], loads, cost, budget, chunks=together)
    kept, shares = torch.cat([each.ratios for each in alone]), loads.double().cpu()
    return Landed(
        keep=torch.cat([each.keep for each in alone]),
        ratios=kept,
        mean=float((shares * kept).sum()),
        threshold=sum(each.threshold for each in alone) / len(alone),
        plain=float((shares * torch.tensor([each.plain for each in alone], dtype=torch.float64)).sum()),
        flips=sum(each.flips for each in alone),
    )


def _level(row: Tensor, ratio: float, cost: Cost) -> float:
    """The lowest score of row [D] from which on at most `ratio` of the MACs are kept; the highest if there is none."""
    levels = torch.unique(row).tolist()

    def fits(level: float) -> bool:
        return float(cost.ratio(guarded(row >= level, cost.space))) <= ratio + ROUNDING

    return float(levels[bisect_left(levels[:-1], True, key=fits)])
