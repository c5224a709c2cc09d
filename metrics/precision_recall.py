"""Precision and recall of images: how many generated ones look real, how many of the real ones could have been generated.

Paper: Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models", NeurIPS 2019,
arXiv:1904.06991, Section 2. Ours differs: features of Inception, which is read anyway, where the paper takes VGG-16's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from aptp_bench.core.intervals import mean_interval
from aptp_bench.errors import MetricError
from aptp_bench.metrics.reading import extractor, fakes_and_reals
from aptp_bench.plugins import Metric, PluginConfig
from aptp_bench.records import Measurement

if TYPE_CHECKING:
    from torch import Tensor

    from aptp_bench.contracts.evidence import Evidence

BLOCK = 2048  # rows of the distances held at a time: 246 MB against 30,000


class Precision(Metric):
    """Share of the generated images that lie among the real ones: within reach of one, its third nearest neighbour's distance."""

    name, unit, better, backbone = "precision", "", "higher", "inception"
    needs = frozenset({"images", "reals"})
    paper = "Kynkäänniemi et al. 2019, arXiv:1904.06991"

    class Config(PluginConfig):
        """How far images reach."""

        neighbours: int = Field(
            3, ge=1, description="an image reaches to its k-th nearest neighbour of its own kind; paper 3"
        )

    config: Config

    def __call__(self, evidence: Evidence) -> Measurement:
        """The share, with a bootstrap interval over the generated images, against the same reals."""
        fake, real = fakes_and_reals(evidence, self.backbone, "pool")
        hits = covered(fake, real, self.config.neighbours)
        facts = {**extractor(evidence, self.backbone), "n_real": len(real), "neighbours": self.config.neighbours}
        interval = mean_interval(hits)
        return self.measured(float(hits.mean()), n=len(fake), interval=interval, replicates=hits.tolist(), **facts)


class Recall(Precision):
    """Share of the real images that lie among the generated ones, which falls where whole kinds are never generated."""

    name = "recall"

    def __call__(self, evidence: Evidence) -> Measurement:
        """The share, with a bootstrap interval over the real images: other generated ones would move it too."""
        fake, real = fakes_and_reals(evidence, self.backbone, "pool")
        hits = covered(real, fake, self.config.neighbours)
        facts = {**extractor(evidence, self.backbone), "n_real": len(real), "neighbours": self.config.neighbours}
        return self.measured(
            float(hits.mean()), n=len(fake), interval=mean_interval(hits), interval_over="real images", **facts
        )


def covered(x: Tensor, among: Tensor, neighbours: int) -> Tensor:
    """Whether each row of x is within reach of a row of `among`: float64 [n] of 0 and 1. x: [n, d], among: [m, d].

    Raises MetricError where there are too few to have so many neighbours.
    """
    import torch

    if len(among) <= neighbours:
        raise MetricError(f"{len(among)} images have no {neighbours} neighbours each; give more of them")
    rows = (torch.cdist(part, among) for part in among.split(BLOCK))
    reach = torch.cat([each.kthvalue(neighbours + 1, dim=1).values for each in rows])  # the nearest is the row itself
    parts = [(torch.cdist(part, among) <= reach).any(dim=1) for part in x.split(BLOCK)]
    return torch.cat(parts).double()
