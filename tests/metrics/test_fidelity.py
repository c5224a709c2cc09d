from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from aptp_bench.contracts import evidence as contract
from aptp_bench.contracts.evidence import Evidence, Reference
from aptp_bench.core.noise import generator
from aptp_bench.errors import MetricError
from aptp_bench.generation.image_sets import Held
from aptp_bench.metrics.fidelity import CEILING, PSNR, SSIM, CLIPSimilarity
from aptp_bench.plugins import BackbonePlugin

PIXELWISE = (SSIM, PSNR)


def drawn(name: str, n: int = 5, size: int = 16) -> Tensor:
    return torch.randint(256, (n, size, size, 3), dtype=torch.uint8, generator=generator(name))


def noisy(images: Tensor, spread: float) -> Tensor:
    other = torch.randn(images.shape, generator=generator("noise")) * spread
    return (images.float() + other).round().clamp(0, 255).to(torch.uint8)


def seen(images: Tensor, others: Tensor | None, **more: Any) -> Evidence:
    reference = None if others is None else Reference(Held(others, "others"), "the rest")
    return Evidence(captions=["a"] * len(images), image_set=Held(images, "images"), reference=reference, **more)


class Colours(BackbonePlugin):
    """The mean colour as an embedding."""

    name = "colours"

    def image_features(self, images: Tensor) -> dict[str, Tensor]:
        return {"embedding": images.float().mean(dim=(1, 2))}

    def digest(self) -> str:
        return "0" * 64


def windowed(a: Tensor, b: Tensor) -> float:
    """SSIM of two images by its definition: window by window, channel by channel."""
    steps = np.arange(-5, 6)
    line = np.exp(-(steps**2) / (2 * 1.5**2))
    weight = np.outer(line, line) / line.sum() ** 2
    one, two = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for channel in range(3):
        x, y = (each[..., channel].double().numpy() for each in (a, b))
        for row in range(x.shape[0] - 10):
            for column in range(x.shape[1] - 10):
                u, v = (each[row : row + 11, column : column + 11] for each in (x, y))
                mu, mv = (weight * u).sum(), (weight * v).sum()
                uu, vv = (weight * (u - mu) ** 2).sum(), (weight * (v - mv) ** 2).sum()
                uv = (weight * (u - mu) * (v - mv)).sum()
                values.append((2 * mu * mv + one) * (2 * uv + two) / ((mu**2 + mv**2 + one) * (uu + vv + two)))
    return float(np.mean(values))


def test_ssim_is_its_definition() -> None:
    images = drawn("a", n=2)
    others = noisy(images, 40)
    expected = [windowed(a, b) for a, b in zip(images, others, strict=True)]
    assert SSIM().scores(seen(images, others)).tolist() == pytest.approx(expected, abs=1e-4)


def test_psnr_is_its_definition() -> None:
    images, others = drawn("a"), drawn("b")
    error = (images.double() - others.double()).square().mean(dim=(1, 2, 3))
    expected = (10 * (255**2 / error).log10()).tolist()
    assert PSNR().scores(seen(images, others)).tolist() == pytest.approx(expected, abs=1e-4)


def test_equal_images_have_the_best_score_and_a_finite_one() -> None:
    images = drawn("a")
    assert SSIM().scores(seen(images, images)).tolist() == pytest.approx([1.0] * 5)
    assert PSNR().scores(seen(images, images)).tolist() == pytest.approx([CEILING] * 5)
    assert math.isfinite(PSNR()(seen(images, images)).value)
    similarity = CLIPSimilarity()(seen(images, images, backbones={"clip_score": Colours()}))
    assert similarity.value == pytest.approx(100.0)


@pytest.mark.parametrize("kind", PIXELWISE)
def test_more_noise_is_less_fidelity(kind: type) -> None:
    images = drawn("a")
    values = [kind()(seen(images, noisy(images, spread))).value for spread in (2, 10, 50)]
    assert values == sorted(values, reverse=True) and kind.better == "higher"


@pytest.mark.parametrize("kind", PIXELWISE)
def test_a_pair_counts_alone_and_in_its_place(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    images, others = drawn("a", n=70), drawn("b", n=70)
    whole = kind()(seen(images, others))
    monkeypatch.setattr(contract, "READ_AT_ONCE", 33)
    assert kind()(seen(images, others)).replicates == pytest.approx(whole.replicates)
    alone = [kind().scores(seen(images[i : i + 1], others[i : i + 1])).item() for i in (0, 40, 69)]
    assert [whole.replicates[i] for i in (0, 40, 69)] == pytest.approx(alone)
    assert whole.value == pytest.approx(sum(whole.replicates) / 70) and whole.n == 70
    assert whole.interval[0] < whole.value < whole.interval[1]


@pytest.mark.parametrize("kind", [*PIXELWISE, CLIPSimilarity])
def test_a_reference_of_fewer_prompts_is_compared_with_the_first_images(kind: type) -> None:
    images, others = drawn("a"), drawn("b", n=3)
    networks = {"clip_score": Colours()}
    found = kind()(seen(images, others, backbones=networks))
    assert found.n == 3 and found.detail["against"] == "the rest"
    assert found == kind()(seen(images[:3], others, backbones=networks))


def test_clip_similarity_is_the_cosine_of_the_pairs_embeddings() -> None:
    images = torch.zeros(2, 4, 4, 3, dtype=torch.uint8)
    others = images.clone()
    images[..., 0], others[0, ..., 0], others[1, ..., 1] = 200, 100, 100
    found = CLIPSimilarity()(seen(images, others, backbones={"clip_score": Colours()}))
    assert found.replicates == pytest.approx([100.0, 0.0]) and found.detail["backbone"] == "colours"


def test_what_cannot_be_compared_is_refused_in_words() -> None:
    images = drawn("a")
    for evidence, words in [
        (seen(images, None), "--reference FOLDER"),
        (seen(images, drawn("b", n=6)), "5 images for 6 of the rest"),
        (seen(images, drawn("b", size=12)), "images of 16x16 and 12x12 pixels"),
        (seen(drawn("a", size=8), drawn("b", size=8)), "window has 11 pixels, images 8"),
    ]:
        with pytest.raises(MetricError, match=words):
            SSIM()(evidence)
    assert not seen(images, None).has("reference") and seen(images, images).has("reference")
