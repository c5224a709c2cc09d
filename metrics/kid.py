"""Kernel Inception distance: what FID asks, without assuming Gaussians and without a bias that depends on n.

Paper: Bińkowski et al., "Demystifying MMD GANs", ICLR 2018, arXiv:1801.01401, Section 4. The polynomial kernel of degree 3.
Ours differs: all images at once, where published code averages over 100 random subsets of 1,000, whose mean it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aptp_bench.core.intervals import jackknife_interval
from aptp_bench.errors import MetricError
from aptp_bench.metrics.reading import extractor, fakes_and_reals
from aptp_bench.plugins import Metric
from aptp_bench.records import Measurement

if TYPE_CHECKING:
    from torch import Tensor

    from aptp_bench.contracts.evidence import Evidence

SCALE = 1000.0  # as tables print it
BLOCK = 1024  # rows of the kernel matrix held at a time: 246 MB against 30,000


class KID(Metric):
    """Squared MMD of Inception features of generated and real images under a cubic kernel, unbiased."""

    name, unit, better, backbone = "kid", "x1000", "lower", "inception"
    title = "KID"
    needs = frozenset({"images", "reals"})
    paper = "Bińkowski et al. 2018, arXiv:1801.01401"

    def __call__(self, evidence: Evidence) -> Measurement:
        """The distance, with a jackknife interval from leaving out each generated image in turn, against the same reals."""
        fake, real = fakes_and_reals(evidence, self.backbone, "pool")
        sums = Sums.of(fake, real)
        value, without = sums.value, sums.without_each
        facts = {**extractor(evidence, self.backbone), "n_real": len(real)}
        interval = jackknife_interval(value, without) if len(fake) > 2 else None
        moved = (len(fake) - 1) * (without.mean() - without)
        return self.measured(value, n=len(fake), interval=interval, replicates=(value + moved).tolist(), **facts)


class Sums(NamedTuple):
    """What KID needs of the kernel k. within: [n], of each generated image sum of k to the others; across: [n], mean of k to the

    reals; reals: mean of k between different reals. float64.
    """

    within: Tensor
    across: Tensor
    reals: float

    @classmethod
    def of(cls, fake: Tensor, real: Tensor) -> Sums:
        """fake: [n, d], real: [m, d]. Raises MetricError for fewer than two of either."""
        if min(len(fake), len(real)) < 2:
            raise MetricError(f"KID needs two images of each kind, got {len(fake)} and {len(real)}; give more of them")
        m = len(real)
        of_reals = float((row_sums(real, real) - own(real)).sum()) / (m * (m - 1))
        return cls(row_sums(fake, fake) - own(fake), row_sums(fake, real) / m, of_reals)

    @property
    def value(self) -> float:
        """The distance, which may be negative where the sets are alike."""
        n = len(self.within)
        return SCALE * (float(self.within.sum()) / (n * (n - 1)) + self.reals - 2 * float(self.across.mean()))

    @property
    def without_each(self) -> Tensor:
        """The distance without each generated image: [n]; of two or more that are left."""
        n = len(self.within)
        left = (self.within.sum() - 2 * self.within) / max(1, (n - 1) * (n - 2))
        return SCALE * (left + self.reals - 2 * (self.across.sum() - self.across) / (n - 1))


def row_sums(x: Tensor, y: Tensor) -> Tensor:
    """Of each row of x the sum over the rows of y of (x·y / d + 1)^3. x: [n, d], y: [m, d] -> [n], float64."""
    import torch

    other = y.double().T / y.shape[1]
    return torch.cat([(rows.double() @ other + 1).pow(3).sum(dim=1) for rows in x.split(BLOCK)])


def own(x: Tensor) -> Tensor:
    """Of each row the kernel with itself: [n], float64."""
    return (x.double().square().sum(dim=1) / x.shape[1] + 1).pow(3)
