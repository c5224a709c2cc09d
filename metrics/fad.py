"""Fréchet audio distance: FID's formula on embeddings of sounds.

Paper: Kilgour et al., "Fréchet Audio Distance: A Reference-free Metric for Evaluating Music Enhancement Algorithms",
Interspeech 2019, arXiv:1812.08466, Section 4. The distance, its interval and its replicates are FID's (`fid`). A clip may give
several embeddings (VGGish reads a second at a time): all count in the distance, and a clip is what replicates and intervals
are about, for the embeddings of one clip are not independent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from aptp_bench.core.intervals import GROUPS, Interval, jackknife_interval, left_out
from aptp_bench.errors import MetricError
from aptp_bench.metrics.fid import Moments, Route, frechet_distance, influences, moments_distance
from aptp_bench.metrics.reading import extractor, few
from aptp_bench.plugins import Metric, PluginConfig
from aptp_bench.records import Measurement

if TYPE_CHECKING:
    from torch import Tensor

    from aptp_bench.contracts.evidence import Evidence


class FAD(Metric):
    """Fréchet distance between embeddings of generated sounds and of the training sounds."""

    name, unit, better, backbone = "fad", "", "lower", "audio"
    title = "FAD"
    needs = frozenset({"images", "reals"})  # spectrograms
    paper = "Kilgour et al. 2019, arXiv:1812.08466"

    class Config(PluginConfig):
        """The distance has no settings; its interval has one."""

        groups: int = Field(GROUPS, ge=0, description="of the interval's jackknife, 0: no interval")

    config: Config

    def __call__(self, evidence: Evidence) -> Measurement:
        """The distance; its interval says how far another set of as many clips would move it. Raises MetricError."""
        found, training = evidence.features(self.backbone), evidence.real_features(self.backbone)
        if training is None:
            raise MetricError("FAD compares with training sounds and there are none; choose a data set of sounds")
        fake, real = checked(found["embedding"], "generated"), checked(training["embedding"], "real")
        value, route = fad(fake, real)
        groups = self.config.groups
        interval = fad_interval(value, fake, real, groups) if groups > 1 and len(fake) > 2 else None
        facts = {**extractor(evidence, self.backbone), "n_real": len(real), "route": route, "jackknife_groups": groups}
        facts |= {"embeddings_a_clip": fake.shape[1]}
        facts |= few(fake[..., 0].numel(), real[..., 0].numel(), fake.shape[2])
        return self.measured(
            value, n=len(fake), interval=interval, replicates=fad_replicates(value, fake, real), **facts
        )


def checked(embeddings: Tensor, what: str) -> Tensor:
    """Embeddings of clips, [n, d] or [n, k, d], as [n, k, d]. Raises MetricError for fewer than two clips or where one is not finite."""
    clips = embeddings[:, None] if embeddings.ndim == 2 else embeddings
    if clips.ndim != 3 or clips.shape[1] == 0:
        raise MetricError(f"FAD reads embeddings [clips, d] or [clips, k, d], got {list(embeddings.shape)}")
    if len(clips) < 2:
        raise MetricError(
            f"FAD needs two {what} clips, got {len(clips)}; give more of them (in a run: --set sizes.val=64)"
        )
    bad = int((~clips.isfinite().all(dim=2).all(dim=1)).sum())
    if bad:
        raise MetricError(f"{bad} of {len(clips)} {what} clips have embeddings that are not finite; make them again")
    return clips


def fad(fake: Tensor, real: Tensor) -> tuple[float, Route]:
    """The distance, and the route of its last term (see fid.frechet_distance). fake: [n, k, d], real: [m, j, d]."""
    return frechet_distance(fake.flatten(0, 1), real.flatten(0, 1))


def fad_replicates(value: float, fake: Tensor, real: Tensor) -> list[float]:
    """Value + influence of each clip, n numbers with the mean `value`: the infinitesimal jackknife of fid.influences.

    Of n clips with k embeddings each, the influence of a clip is the mean of its embeddings': their weights move together.
    """
    own = influences(fake.flatten(0, 1), real.flatten(0, 1)).view(fake.shape[:2]).mean(dim=1)
    found: list[float] = (value + own).tolist()
    return found


def fad_interval(value: float, fake: Tensor, real: Tensor, groups: int) -> Interval:
    """95 % interval by leaving out groups of generated clips, each with all its embeddings (as fid.fid_interval)."""
    import torch

    whole, reals = Moments.of(fake.flatten(0, 1)), Moments.of(real.flatten(0, 1))
    rest = [whole.without(Moments.of(fake[group].flatten(0, 1))) for group in left_out(len(fake), groups)]
    return jackknife_interval(value, torch.tensor([moments_distance(reals, part)[0] for part in rest]), floor=0.0)
