"""Inception Score: classes that are sure for each image and spread over all of them.

Paper: Salimans et al., "Improved Techniques for Training GANs", NeurIPS 2016, arXiv:1606.03498, Section 4.
Same value as torch-fidelity, which BK-SDM and others use: float64, its shuffle, mean and population deviation over the
splits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from aptp_bench.core.intervals import GROUPS, jackknife_interval, left_out_weights
from aptp_bench.metrics.reading import extractor, finite
from aptp_bench.plugins import Metric, PluginConfig
from aptp_bench.records import Measurement

if TYPE_CHECKING:
    from torch import Tensor

    from aptp_bench.contracts.evidence import Evidence


class InceptionScore(Metric):
    """exp of the mean KL divergence between an image's classes and all images' classes."""

    name, unit, better, backbone = "inception_score", "", "higher", "inception"
    title = "Inception Score"
    needs = frozenset({"images"})
    paper = "Salimans et al. 2016, arXiv:1606.03498"

    class Config(PluginConfig):
        """How the images are divided; published scores have 10 splits of thousands of images."""

        splits: int = Field(
            10, ge=1, description="parts whose scores are averaged; fewer where a part would be too small"
        )
        smallest: int = Field(
            100, ge=2, description="images a part must hold; a smaller one says little about the spread of classes"
        )
        seed: int = Field(2020, ge=0, description="of the shuffle before splitting; torch-fidelity's")

    config: Config

    def __call__(self, evidence: Evidence) -> Measurement:
        """The mean over the splits, with an interval from leaving out groups of each split's images."""
        import torch

        logits = finite(evidence.features(self.backbone)["logits"], "generated")
        splits = max(1, min(self.config.splits, len(logits) // self.config.smallest))
        parts = shuffled_splits(logits, splits, self.config.seed)
        scores = torch.stack([inception_score(part) for part in parts])
        value, spread = float(scores.mean()), float(scores.std(correction=0))
        facts = {**extractor(evidence, self.backbone), "splits": splits, "spread": spread, "classes": logits.shape[1]}
        if len(logits) < self.config.smallest:
            facts["caution"] = f"{len(logits)} images are too few: the score cannot exceed their number"
        interval = jackknife_interval(value, without_groups(parts), floor=1.0) if len(logits) > 1 else None
        order = torch.cat(shuffled_splits(torch.arange(len(logits)), splits, self.config.seed))
        own = torch.cat([influences(part) * len(logits) / (splits * len(part)) for part in parts])
        replicates = (value + own[order.argsort()]).tolist()
        return self.measured(value, n=len(logits), interval=interval, replicates=replicates, **facts)


def inception_score(logits: Tensor, weights: Tensor | None = None) -> Tensor:
    """exp(sum_i w_i KL(p_i || p)) with p = sum_i w_i p_i. logits: [n, classes]; weights: [r, n], rows sum to 1 -> [r].

    weights None: all images alike, one value []. float64.
    """
    import torch

    logs = logits.double().log_softmax(dim=1)
    classes = logs.exp()
    share = torch.full((1, len(logits)), 1 / len(logits), dtype=torch.float64) if weights is None else weights
    certainty = share @ (classes * logs).sum(dim=1)  # minus the mean entropy of an image's classes
    marginal = share @ classes
    score = (certainty - torch.xlogy(marginal, marginal).sum(dim=1)).exp()
    return score[0] if weights is None else score


def influences(logits: Tensor) -> Tensor:
    """The derivative of the score of one part by the weight of each image, times n: [n], float64, mean 0.

    It is score x (KL(p_i || p) - log score): the marginal's own change cancels.
    """
    import torch

    logs = logits.double().log_softmax(dim=1)
    classes = logs.exp()
    gain = (classes * logs - torch.xlogy(classes, classes.mean(dim=0))).sum(dim=1)
    return inception_score(logits) * (gain - gain.mean())


def shuffled_splits(logits: Tensor, splits: int, seed: int) -> list[Tensor]:
    """logits: [n, …] in torch-fidelity's order for `seed`, in `splits` parts with its boundaries."""
    import numpy as np
    import torch

    n = len(logits)
    shuffled = logits[torch.from_numpy(np.random.RandomState(seed).permutation(n))]
    return [shuffled[i * n // splits : (i + 1) * n // splits] for i in range(splits)]


def without_groups(parts: list[Tensor], groups: int = GROUPS) -> Tensor:
    """The score, mean over the parts, when a share of each part is left out in turn: [groups]."""
    import torch

    groups = min(groups, *(len(part) for part in parts))
    scores = [inception_score(part, left_out_weights(len(part), groups, seed=i)) for i, part in enumerate(parts)]
    return torch.stack(scores).mean(dim=0)
