"""Whether the mechanism worked: do sizes follow difficulty or load, and are routes more than chance?

Numbers that no score shows, for the record; aptp_bench.reporting.pages.routing says what each means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from aptp_bench.budget import TOLERANCE
from aptp_bench.core.noise import generator
from aptp_bench.methods.aptp.search import Search
from aptp_bench.methods.aptp.transport import nearest
from aptp_bench.plugins import Job
from aptp_bench.pruning.threshold import Landed, land
from aptp_bench.training.damage import Yardstick

Rows = Sequence[dict[str, Any]]
PROMPTS = 512  # training pairs that are looked at
STRATA, MASKS = 4, 2  # diffusion steps of a pair and random uniform cuts behind its difficulty
TAIL = 0.1  # share of the steps at the end whose mean ratio is what the search came to


def diagnostics(search: Search, found: Landed, routes: Tensor, history: Rows, job: Job) -> dict[str, float]:
    """Of a search that was landed as `found`, its codes serving the training pairs by `routes` [n], by name.

    What has no meaning there is left out, such as a correlation with experts that are all of one size.
    """
    numbers: dict[str, float | None] = {}
    if history:
        numbers["soft_ratio"] = soft_ratio(history)
    if len(found.ratios) > 1:
        loads = torch.bincount(routes, minlength=len(found.ratios)).double()
        some = picked(len(routes), job.seed)
        hard = torch.zeros(len(loads), dtype=torch.float64).index_add(0, routes[some], difficulty(search, some, job))
        seen = torch.bincount(routes[some], minlength=len(loads))
        trained = [row["loads"] for row in history if row["stage"] == "joint"]
        if trained:
            numbers["load_size"] = correlation(torch.tensor(trained).mean(0), found.ratios)
        numbers["served_size"] = correlation(loads, found.ratios)
        numbers["difficulty_size"] = correlation((hard / seen)[seen > 0], found.ratios[seen > 0])
    if search.fixed is None and len(found.ratios) > 1:
        numbers |= stability(search, search.prompts[some], routes[some])
    return {name: number for name, number in numbers.items() if number is not None}


def picked(n: int, seed: int) -> Tensor:
    """PROMPTS of n pairs, int64, at most all."""
    return torch.randperm(n, generator=generator("diagnostics", seed))[:PROMPTS]


def soft_ratio(history: Rows) -> float:
    """The mean ratio of the last steps, as the budget term counts it."""
    tail = [row["ratio"] for row in history if row["stage"] == "joint"]
    tail = tail[-max(1, round(TAIL * len(tail))) :]
    return float(sum(tail) / len(tail))


def missed(search: Search, history: Rows) -> str:
    """A line that says how far from the budget the relaxed gates end; empty if they meet it."""
    joint = [row for row in history if row["stage"] == "joint"]
    if not joint:
        return ""
    reached, wanted = soft_ratio(history), search.target(search.budget.ratio)
    if abs(reached - wanted) <= TOLERANCE:
        return ""
    return (
        f"the search ended at {reached:.3f} of the MACs, not at {wanted:.3f}, and the threshold of the gates made up "
        f"for it: more joint_steps than {len(joint)}, or more resource_weight"
    )


def correlation(a: Tensor, b: Tensor) -> float | None:
    """Pearson's, of two vectors; None where one of them does not vary."""
    both = torch.stack([a.double(), b.double()])
    if both.shape[1] < 2 or bool((both.std(1) < 1e-9).any()):
        return None
    return float(torch.corrcoef(both)[0, 1])


def difficulty(search: Search, some: Tensor, job: Job) -> Tensor:
    """What uniform cuts to the budget add to the denoising error of the training pairs `some`: float64, as many.

    Every layer loses about the same share, at random; the mean of MASKS such cuts, untuned.
    """
    yardstick = Yardstick(search.pairs.subset(some), search.noising, STRATA, job.seed)
    space, gated = search.gated.space, search.gated
    lots = torch.rand(MASKS, space.size, generator=generator("uniform cuts", job.seed))
    lots[:, space.width_size :] = float("inf")

    def errors(gates: Tensor | None, label: str) -> Tensor:
        gated.set(gates)
        return yardstick.errors(gated.unet, job.device, job.progress, label)

    dense, cut = errors(None, "difficulty, dense"), torch.zeros(len(some), dtype=torch.float64)
    for row in lots:
        keep = land(row[None], torch.ones(1), search.cost, search.budget).keep
        cut += errors(keep.float().to(job.device), "difficulty, cut") / MASKS
    gated.set(None)
    return cut - dense


def stability(search: Search, prompts: Tensor, served: Tensor) -> dict[str, float | None]:
    """Shares of prompts z [n, d] whose code stays under other noise, with other neighbours, and when they are served.

    served: the codes by eq. 22, [n].
    """
    n = len(prompts)
    order, mixed = torch.arange(n), torch.randperm(n, generator=generator("neighbours"))

    def codes(order: Tensor, draw: int | None) -> Tensor:
        chosen = torch.zeros(n, dtype=torch.long)
        for place, rows in enumerate(order.split(search.config.batch)):
            noise = None if draw is None or not search.config.transport_noise else generator("draw", draw, place)
            similarity = search.routing.compared(prompts[rows], noise)
            chosen[rows] = (search.transport(similarity) if search.config.transport else nearest(similarity)).cpu()
        return chosen

    def share(a: Tensor, b: Tensor) -> float:
        return float((a == b).double().mean())

    first = codes(order, 0)
    return {
        "same_route_other_noise": share(first, codes(order, 1)),
        "same_route_other_batch": share(codes(order, None), codes(mixed, None)),
        "served_as_trained": share(first, served),
    }
