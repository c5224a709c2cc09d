"""CLIP maximum mean discrepancy: a kernel distance that assumes no Gaussian.

Paper: Jayasumana et al., "Rethinking FID", CVPR 2024, arXiv:2401.09603. As its code: all pairs, diagonals included, and
the squared distance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor

from aptp_bench.intervals import GROUPS, jackknife_interval, left_out_weights
from aptp_bench.metrics.reading import extractor, fakes_and_reals
from aptp_bench.plugins import Metric, PluginConfig
from aptp_bench.records import Measurement

if TYPE_CHECKING:
    from aptp_bench.evaluate import Evidence

BANDWIDTH = 10.0  # sigma of the Gaussian kernel, fixed by the paper for every data set
SCALE = 1000.0  # so that a reader sees 0.5 rather than 0.0005
BLOCK = 1024  # rows of the kernel matrix held at a time


class CMMD(Metric):
    """Kernel distance between CLIP embeddings of generated and real images."""

    name, unit, better, backbone = "cmmd", "x1000", "lower", "cmmd"
    needs = frozenset({"images", "reals"})
    paper = "Jayasumana et al. 2024, arXiv:2401.09603"

    class Config(PluginConfig):
        """The distance has no settings; its interval has one."""

        groups: int = Field(
            GROUPS, ge=0, description="of the interval's jackknife; they share one pass over the kernel; 0: no interval"
        )

    config: Config

    def __call__(self, evidence: Evidence) -> Measurement:
        """The distance, with an interval from leaving out groups of the generated images, against the same reals."""
        fake, real = fakes_and_reals(evidence, self.backbone, "embedding")
        groups = self.config.groups if self.config.groups > 1 and len(fake) > 1 else 0
        weights = [torch.full((1, len(fake)), 1 / len(fake), dtype=torch.float64)]
        weights += [left_out_weights(len(fake), groups)] if groups else []
        value, *rest = cmmd(fake, real, torch.cat(weights)).tolist()
        interval = jackknife_interval(value, torch.tensor(rest), floor=0.0) if rest else None
        facts = {**extractor(evidence, self.backbone), "n_real": len(real), "jackknife_groups": groups}
        return self.measured(value, n=len(fake), interval=interval, **facts)


def cmmd(x: Tensor, y: Tensor, weights: Tensor | None = None) -> Tensor:
    """Squared MMD, V-statistic (Gretton et al. 2012, Eq. 5), times SCALE. x: [n, d], y: [m, d], rows of unit length.

    weights: [r, n], rows sum to 1, one value each; None: all rows of x alike. Returns [r], float64, at least 0.
    Biased upward by about 1000 (1 - mean kernel) (1/n + 1/m).
    """
    x, y = x.double(), y.double()
    first = torch.full((1, len(x)), 1 / len(x), dtype=torch.float64) if weights is None else weights
    second = torch.full((1, len(y)), 1 / len(y), dtype=torch.float64)
    inside = mean_kernel(x, x, first, first) + mean_kernel(y, y, second, second)
    return (SCALE * (inside - 2 * mean_kernel(x, y, first, second.expand(len(first), -1)))).clamp(min=0)


def mean_kernel(a: Tensor, b: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """sum_ij u_i v_j (k(a_i, b_j) - 1), r times. a: [n, d], b: [m, d], u: [r, n], v: [r, m] -> [r].

    Three means near 1 cancel in the distance: k - 1 = expm1(-|a - b|^2 / (2 sigma^2)) keeps the digits that k loses.
    """
    total = torch.zeros(len(u), dtype=torch.float64)
    for rows, share in zip(a.split(BLOCK), u.split(BLOCK, dim=1), strict=True):
        squared = (rows.square().sum(1)[:, None] + b.square().sum(1) - 2 * rows @ b.T).clamp(min=0)
        kernel = torch.expm1(-squared / (2 * BANDWIDTH**2))
        total += ((share @ kernel) * v).sum(dim=1)
    return total
