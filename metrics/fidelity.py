"""Fidelity: how near an image is to the one that the dense network makes of the same prompt and the same noise.

Pruning is meant to change the network and not its images, so two images are compared at a time; the score of a run is
the mean over its prompts. The dense network's own record has the scale: itself, drawn anew from other noise.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aptp_bench.core.intervals import mean_interval
from aptp_bench.errors import MetricError
from aptp_bench.metrics.clip_score import SCALE, agreement
from aptp_bench.metrics.reading import extractor, finite
from aptp_bench.plugins import Metric
from aptp_bench.records import Measurement

if TYPE_CHECKING:
    from torch import Tensor

    from aptp_bench.contracts.evidence import Evidence

AT_ONCE = 32  # pairs compared together: SSIM holds five float32 images of each
LEVELS = 255  # of an image of 8 bits, above the lowest
SIGMA, WINDOW = 1.5, 11  # pixels: SSIM's Gaussian window
CEILING = 10 * math.log10(12 * LEVELS**2)  # dB, where the error is that of rounding to 8 bits: 1/12 of a squared level


class Fidelity(Metric):
    """One score a pair of images, and their mean."""

    needs = frozenset({"images", "reference"})

    @abstractmethod
    def scores(self, evidence: Evidence) -> Tensor:
        """The score of every prompt that has both images: [n]. Raises MetricError."""

    def facts(self, evidence: Evidence) -> dict[str, Any]:
        """How pairs were compared, as far as two records must agree on it."""
        return {}

    def __call__(self, evidence: Evidence) -> Measurement:
        """The mean over the prompts, with a bootstrap interval over prompts; detail says against what."""
        scores = finite(self.scores(evidence).double()[:, None], "compared")[:, 0]
        facts = {"against": evidence.compared[1].name, **self.facts(evidence)}
        interval = mean_interval(scores)
        return self.measured(float(scores.mean()), len(scores), interval, replicates=scores.tolist(), **facts)


class SSIM(Fidelity):
    """Structural similarity to the reference network's image of the same prompt and noise, mean over prompts."""

    name, unit, better = "ssim", "", "higher"
    title = "SSIM to dense"
    paper = "Wang et al. 2004, doi:10.1109/TIP.2003.819861"

    def scores(self, evidence: Evidence) -> Tensor:
        """Of every pair: [n], 1 for equal images."""
        return by_pixels(evidence, ssim)

    def facts(self, evidence: Evidence) -> dict[str, Any]:
        """The window, which at few pixels sees much of an image."""
        return {"window": f"Gaussian, {WINDOW} px, sigma {SIGMA:g}; windows inside of the image"}


class PSNR(Fidelity):
    """Peak signal-to-noise ratio to the reference network's image of the same prompt and noise, mean over prompts."""

    name, unit, better = "psnr", "dB", "higher"
    title = "PSNR to dense"

    def scores(self, evidence: Evidence) -> Tensor:
        """Of every pair: [n], at most CEILING, which equal images have."""
        return by_pixels(evidence, psnr)


class CLIPSimilarity(Fidelity):
    """100 x cosine between the CLIP embeddings of an image and of the reference network's, mean over prompts."""

    name, unit, better, backbone = "clip_similarity", "x100", "higher", "clip_score"
    title = "CLIP similarity to dense"
    paper = "Radford et al. 2021, arXiv:2103.00020"

    def scores(self, evidence: Evidence) -> Tensor:
        """Of every pair: [n], 100 for equal images."""
        return SCALE * agreement(*evidence.feature_pairs(self.backbone, "embedding"))

    def facts(self, evidence: Evidence) -> dict[str, Any]:
        """The network that read the images."""
        return extractor(evidence, self.backbone)


def by_pixels(evidence: Evidence, compare: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """compare(a, b) of all pairs: float32 [n, 3, H, W] in 0..255 each -> [n]."""
    import torch

    from aptp_bench.core.source import source_digest

    def compared(*pair: Tensor) -> Tensor:
        planes = [images.permute(0, 3, 1, 2).float().split(AT_ONCE) for images in pair]
        return torch.cat([compare(a, b) for a, b in zip(*planes, strict=True)])

    return evidence.pair_scores(compared, {"compared by": source_digest(by_pixels, compare)})


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Mean over the windows inside of the images (Wang et al. 2004, Eq. 13, every channel alike): [n, 3, H, W] twice -> [n]."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    if min(a.shape[-2:]) < WINDOW:
        raise MetricError(f"SSIM's window has {WINDOW} pixels, images {min(a.shape[-2:])}; measure at more pixels")
    _, full = structural_similarity_index_measure(
        a, b, sigma=SIGMA, kernel_size=WINDOW, reduction="none", data_range=float(LEVELS), return_full_image=True
    )
    edge = WINDOW // 2  # releases of torchmetrics pad it in different ways
    return full[..., edge:-edge, edge:-edge].flatten(1).mean(dim=1)


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """10 log10(255² / mean squared error), at most CEILING: [n, 3, H, W] twice -> [n], in dB."""
    from torchmetrics.functional.image import peak_signal_noise_ratio

    found = peak_signal_noise_ratio(a, b, data_range=float(LEVELS), reduction="none", dim=(1, 2, 3))
    return found.clamp(max=CEILING)
