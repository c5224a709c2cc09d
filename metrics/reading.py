"""What metrics read of the evidence: checked features, and the facts without which no two numbers are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aptp_bench.errors import MetricError

if TYPE_CHECKING:
    from torch import Tensor

    from aptp_bench.contracts.evidence import Evidence


def fakes_and_reals(evidence: Evidence, role: str, key: str) -> tuple[Tensor, Tensor]:
    """Features `key` of the generated and of the real images: [n, d] and [m, d]. Raises MetricError without reals."""
    fake, real = evidence.features(role), evidence.real_features(role)
    if real is None:
        raise MetricError(
            "this metric compares with real images and the data set has captions only; choose one with images"
        )
    return finite(fake[key], "generated"), finite(real[key], "real")


def images_and_texts(evidence: Evidence, role: str) -> tuple[Tensor, Tensor]:
    """Embeddings of images and captions, a row a pair: [n, d] each. Raises MetricError if they are not as many."""
    images, texts = finite(evidence.features(role)["embedding"], "generated"), evidence.text_features(role)
    if len(images) != len(texts):
        raise MetricError(
            f"{len(images)} images for {len(texts)} captions; generate again so that each caption has one"
        )
    return images, texts


def finite(features: Tensor, what: str) -> Tensor:
    """The features themselves. Raises MetricError if there are none or one is not a number."""
    if len(features) == 0:
        raise MetricError(f"there are no {what} images to measure; give some (in a run: --set sizes.val=64)")
    bad = int((~features.isfinite().all(dim=1)).sum())
    if bad:
        raise MetricError(
            f"{bad} of {len(features)} {what} images have features that are not finite; generate them again"
        )
    return features


def few(fake: int, real: int, features: int) -> dict[str, str]:
    """A caution where a Fréchet distance is of fewer vectors than they have dimensions; else nothing."""
    if min(fake, real) > features:
        return {}
    said = f"{fake} generated and {real} real ones are too few for {features} features: the distance is biased upwards"
    return {"caution": f"{said}, and to be compared with distances of as many alone"}


def extractor(evidence: Evidence, role: str) -> dict[str, Any]:
    """Which network read the images, with which weights, and how they were resized."""
    backbone = evidence.backbone(role)
    return {
        "backbone": backbone.name,
        "weights_sha256": backbone.digest(),
        "resize": getattr(backbone, "resize", "unstated"),
    }
