"""CLIP score: how well an image agrees with its caption.

Paper: Hessel et al., "CLIPScore", EMNLP 2021, arXiv:2104.08718. Ours differs as the pruning papers' does: 100 x the
mean cosine, neither clipped at zero nor multiplied by 2.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aptp_bench.core.intervals import mean_interval
from aptp_bench.metrics.reading import extractor, images_and_texts
from aptp_bench.plugins import Metric
from aptp_bench.records import Measurement

if TYPE_CHECKING:
    from torch import Tensor

    from aptp_bench.contracts.evidence import Evidence

SCALE = 100.0  # OpenAI's learned logit scale, where it was clipped


class CLIPScore(Metric):
    """100 x mean cosine between the CLIP embeddings of each image and its caption."""

    name, unit, better, backbone = "clip_score", "x100", "higher", "clip_score"
    title = "CLIP score"
    needs = frozenset({"images", "captions"})
    paper = "Hessel et al. 2021, arXiv:2104.08718"

    def __call__(self, evidence: Evidence) -> Measurement:
        """The mean over the prompts, with a bootstrap interval over prompts."""
        scores = SCALE * agreement(*images_and_texts(evidence, self.backbone))
        facts = extractor(evidence, self.backbone)
        return self.measured(
            float(scores.mean()), n=len(scores), interval=mean_interval(scores), replicates=scores.tolist(), **facts
        )


def agreement(images: Tensor, texts: Tensor) -> Tensor:
    """Cosine of each row of images: [n, d] with the same row of texts: [n, d] -> [n], float64."""
    from torch.nn import functional as F

    return F.cosine_similarity(images.double(), texts.double(), dim=-1)
