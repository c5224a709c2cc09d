"""PickScore: a CLIP network tuned on people's choices between two images of one prompt.

Paper: Kirstain et al., "Pick-a-Pic", NeurIPS 2023, arXiv:2305.01569, Section 3. The raw score, not the preference
probability (a softmax over candidates of one prompt), which is another quantity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aptp_bench.core.intervals import mean_interval
from aptp_bench.errors import MetricError
from aptp_bench.metrics.clip_score import agreement
from aptp_bench.metrics.reading import extractor, images_and_texts
from aptp_bench.plugins import Metric
from aptp_bench.records import Measurement

if TYPE_CHECKING:
    from aptp_bench.contracts.evidence import Evidence


class PickScore(Metric):
    """exp(logit scale) x cosine between image and prompt, mean over PartiPrompts."""

    name, unit, better, backbone = "pick_score", "", "higher", "preference"
    title = "PickScore"
    needs = frozenset({"images", "captions"})
    on = "partiprompts"
    paper = "Kirstain et al. 2023, arXiv:2305.01569"

    def __call__(self, evidence: Evidence) -> Measurement:
        """The mean over the prompts, with a bootstrap interval. Raises MetricError without a learned scale."""
        scale = getattr(evidence.backbone(self.backbone), "logit_scale", None)
        if scale is None:
            raise MetricError(
                "the preference backbone has no logit_scale; use another: --set backbones.preference=pickscore-v1"
            )
        scores = scale * agreement(*images_and_texts(evidence, self.backbone))
        facts = {**extractor(evidence, self.backbone), "logit_scale": scale}
        return self.measured(
            float(scores.mean()), n=len(scores), interval=mean_interval(scores), replicates=scores.tolist(), **facts
        )
