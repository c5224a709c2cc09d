"""CLIP maximum mean discrepancy: a kernel distance that assumes no Gaussian.

Paper: Jayasumana et al., "Rethinking FID", CVPR 2024, arXiv:2401.09603. As its code: all pairs, diagonals included, and
the squared distance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from aptp_bench.core.intervals import GROUPS, jackknife_interval, left_out_weights
from aptp_bench.metrics.reading import extractor, fakes_and_reals
from aptp_bench.plugins import Metric, PluginConfig
from aptp_bench.records import Measurement

if TYPE_CHECKING:
    from torch import Tensor

    from aptp_bench.contracts.evidence import Evidence

BANDWIDTH = 10.0  # sigma of the Gaussian kernel, fixed by the paper for every data set
SCALE = 1000.0  # so that a reader sees 0.5 rather than 0.0005
BLOCK = 512  # rows of the kernel matrix held at a time: 123 MB against 30,000


class CMMD(Metric):
    """Kernel distance between CLIP embeddings of generated and real images."""

    name, unit, better, backbone = "cmmd", "x1000", "lower", "cmmd"
    title = "CMMD"
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
        import torch

        fake, real = fakes_and_reals(evidence, self.backbone, "embedding")
        groups = self.config.groups if self.config.groups > 1 and len(fake) > 1 else 0
        weights = [torch.full((1, len(fake)), 1 / len(fake), dtype=torch.float64)]
        weights += [left_out_weights(len(fake), groups)] if groups else []
        value, *rest = cmmd(fake, real, torch.cat(weights)).tolist()
        interval = jackknife_interval(value, torch.tensor(rest), floor=0.0) if rest else None
        facts = {**extractor(evidence, self.backbone), "n_real": len(real), "jackknife_groups": groups}
        replicates = (value + influences(fake, real)).tolist()
        return self.measured(value, n=len(fake), interval=interval, replicates=replicates, **facts)


def cmmd(x: Tensor, y: Tensor, weights: Tensor | None = None) -> Tensor:
    """Squared MMD, V-statistic (Gretton et al. 2012, Eq. 5), times SCALE. x: [n, d], y: [m, d], rows of unit length.

    weights: [r, n], rows sum to 1, one value each; None: all rows of x alike. Returns [r], float64, at least 0.
    Biased upward by about 1000 (1 - mean kernel) (1/n + 1/m).
    """
    import torch

    first = torch.full((1, len(x)), 1 / len(x), dtype=torch.float64) if weights is None else weights
    second = torch.full((1, len(y)), 1 / len(y), dtype=torch.float64)
    inside = mean_kernel_within(x, first) + mean_kernel_within(y, second)
    return (SCALE * (inside - 2 * mean_kernel(x, y, first, second.expand(len(first), -1)))).clamp(min=0)


def influences(x: Tensor, y: Tensor) -> Tensor:
    """The derivative of the distance by the weight of each row of x, times n: [n], float64, mean 0. Arguments as `cmmd`'s."""
    gain = 2 * SCALE * (row_means(x, x) - row_means(x, y))
    return gain - gain.mean()


def row_means(a: Tensor, b: Tensor) -> Tensor:
    """mean_j (k(a_i, b_j) - 1) for each row of a. a: [n, d], b: [m, d] -> [n], float64."""
    import torch

    right = _lifted(b, right=True)
    return torch.cat([(rows @ right.T).clamp_(max=0).expm1_().mean(dim=1) for rows in _lifted(a).split(BLOCK)])


def mean_kernel(a: Tensor, b: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """sum_ij u_i v_j (k(a_i, b_j) - 1), r times. a: [n, d], b: [m, d], u: [r, n], v: [r, m] -> [r], float64.

    Three means near 1 cancel in the distance: k - 1 = expm1(-|a - b|^2 / (2 sigma^2)) keeps the digits that k loses.
    """
    import torch

    left, right = _lifted(a), _lifted(b, right=True)
    total = torch.zeros(len(u), dtype=torch.float64)
    for rows, share in zip(left.split(BLOCK), u.split(BLOCK, dim=1), strict=True):
        total += _weighted(rows, right, share, v)
    return total


def mean_kernel_within(a: Tensor, u: Tensor) -> Tensor:
    """mean_kernel(a, a, u, u) from half of the kernel: blocks right of the diagonal's count twice."""
    import torch

    left, right = _lifted(a), _lifted(a, right=True)
    total = torch.zeros(len(u), dtype=torch.float64)
    for i in range(0, len(a), BLOCK):
        twice = u[:, i:].clone()
        twice[:, BLOCK:] *= 2
        total += _weighted(left[i : i + BLOCK], right[i:], u[:, i : i + BLOCK], twice)
    return total


def _lifted(x: Tensor, right: bool = False) -> Tensor:
    """Rows whose product with lifted rows of the other side is -|a - b|^2 / (2 sigma^2). [n, d] -> [n, d + 2]."""
    import torch

    x = x.double() / BANDWIDTH
    half, one = x.square().sum(dim=1, keepdim=True) / -2, x.new_ones(len(x), 1)
    return torch.cat([x, one, half] if right else [x, half, one], dim=1)


def _weighted(rows: Tensor, columns: Tensor, share: Tensor, weight: Tensor) -> Tensor:
    """sum_ij share_i weight_j (k_ij - 1) of one block of the kernel, which is made in place."""
    kernel = (rows @ columns.T).clamp_(max=0).expm1_()
    return ((share @ kernel) * weight).sum(dim=1)
