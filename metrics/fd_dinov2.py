"""Fréchet distance between DINOv2 features, which follow what people see better than Inception's.

Paper: Stein et al., "Exposing flaws of generative model evaluation metrics and their unfair treatment of diffusion models",
NeurIPS 2023, arXiv:2306.04675. ViT-L/14 as there; the distance, its routes and its interval are FID's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aptp_bench.errors import MetricError
from aptp_bench.metrics.fid import FID
from aptp_bench.metrics.reading import extractor
from aptp_bench.records import Measurement

if TYPE_CHECKING:
    from aptp_bench.contracts.evidence import Evidence


class FDDINOv2(FID):
    """Fréchet distance between DINOv2 features of generated and real images."""

    name, backbone = "fd_dinov2", "dino"
    title = "FD-DINOv2"
    paper = "Stein et al. 2023, arXiv:2306.04675"
    tie = 0.0

    def __call__(self, evidence: Evidence) -> Measurement:
        """The distance and its interval, as FID's. Raises MetricError in the mini world."""
        try:
            extractor(evidence, self.backbone)
        except MetricError as err:
            raise MetricError(
                "not in the mini world: DINOv2 learned from photographs, and no small network stands in for it; "
                "use --scale paper, or fid"
            ) from err
        return super().__call__(evidence)
