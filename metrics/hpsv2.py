"""HPS v2.1: a CLIP network tuned on people's choices among images of one prompt.

Paper: Wu et al., "Human Preference Score v2", 2023, arXiv:2306.09341. The score of the authors' code
(github.com/tgxs002/HPSv2, hpsv2/img_score.py), times 100 as in their tables. Ours differs: PartiPrompts, not their own prompts.
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


class HPSv2(Metric):
    """100 x cosine between image and prompt as HPS v2.1's network sees them, mean over PartiPrompts."""

    name, unit, better, backbone = "hpsv2", "x100", "higher", "hps"
    title = "HPS v2.1"
    needs = frozenset({"images", "captions"})
    on = "partiprompts"
    paper = "Wu et al. 2023, arXiv:2306.09341"

    def __call__(self, evidence: Evidence) -> Measurement:
        """The mean over the prompts, with a bootstrap interval. Raises MetricError in the mini world."""
        try:
            facts = extractor(evidence, self.backbone)
        except MetricError as err:
            raise MetricError(
                "not in the mini world: HPS v2.1 judges photographs and art, and no small network stands in for it; "
                "use --scale paper, or pick_score"
            ) from err
        scores = 100 * agreement(*images_and_texts(evidence, self.backbone))
        return self.measured(
            float(scores.mean()), n=len(scores), interval=mean_interval(scores), replicates=scores.tolist(), **facts
        )
