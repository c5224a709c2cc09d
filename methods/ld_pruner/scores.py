"""How far a modified network's latents are from the original's: the significance of what was modified.

Paper: LD-Pruner, Section 2.3, eqs. 1-7. Sets of latents are [P, n, ...]: n generations for each of P prompts. Mean and
deviation are taken over a set, separately at each position of the latent; the norm then runs over all positions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from aptp_bench.methods.ld_pruner.config import Formula


def avg_dist(z: Tensor, z_hat: Tensor) -> Tensor:
    """Eqs. 1, 3, 4: the distance between the mean latents of two sets [P, n, ...], for each prompt: [P], float64."""
    return _norm(z.double().mean(1) - z_hat.double().mean(1))


def std_dist(z: Tensor, z_hat: Tensor, unbiased: bool = False) -> Tensor:
    """Eqs. 2, 5, 6: the distance between the deviations of two sets [P, n, ...], for each prompt: [P], float64.

    unbiased: over n - 1, which needs n >= 2; the paper's text does not tell it from n.
    """
    correction = int(unbiased)
    return _norm(z.double().std(1, correction=correction) - z_hat.double().std(1, correction=correction))


def score(avg: Sequence[float], std: Sequence[float], formula: Formula = "sum") -> float:
    """Eq. 7, or one of its ablations in Figs. 6 and 7, from the distances of each prompt: the mean over prompts.

    Infinity where a distance is not finite: a network that breaks down is as far from the original as can be.
    """
    combined = {
        "sum": lambda a, s: a + s,
        "product": lambda a, s: a * s,
        "average": lambda a, s: a,
        "deviation": lambda a, s: s,
    }[formula]
    terms = [combined(a, s) for a, s in zip(avg, std, strict=True)]
    finite = all(math.isfinite(x) for x in (*avg, *std))
    return math.fsum(terms) / len(terms) if finite else math.inf


def finite(x: float) -> float | None:
    """x, None where it is not finite: JSON has no infinity."""
    return x if math.isfinite(x) else None


def _norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x.flatten(1), dim=1)
