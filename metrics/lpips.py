"""LPIPS: how far apart people would find two images, judged by the features of a network.

Paper: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018, arXiv:1801.03924.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aptp_bench.errors import MetricError
from aptp_bench.metrics.fidelity import Fidelity
from aptp_bench.metrics.reading import extractor

if TYPE_CHECKING:
    from torch import Tensor

    from aptp_bench.contracts.evidence import Evidence


class LPIPS(Fidelity):
    """Learned perceptual distance to the reference network's image of the same prompt and noise, mean over prompts."""

    name, unit, better, backbone = "lpips", "", "lower", "perceptual"
    title = "LPIPS to dense"
    paper = "Zhang et al. 2018, arXiv:1801.03924"

    def scores(self, evidence: Evidence) -> Tensor:
        """Of every pair: [n], 0 for equal images. Raises MetricError where the backbone compares no pairs."""
        from aptp_bench.contracts.evidence import identity
        from aptp_bench.core.source import source_digest

        network = evidence.backbone(self.backbone)
        distances = getattr(network, "distances", None)
        if distances is None:
            raise MetricError(
                "the perceptual backbone compares no pairs; use another: --set backbones.perceptual=lpips-alex"
            )
        key = {**identity(network), "compared by": source_digest(type(network))}
        return evidence.pair_scores(distances, key)

    def facts(self, evidence: Evidence) -> dict[str, Any]:
        """The network that read the images."""
        return extractor(evidence, self.backbone)
