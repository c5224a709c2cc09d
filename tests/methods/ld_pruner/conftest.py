"""A U-Net with as many operators of each kind as SD 2.1's, pairs whose text belongs to their captions, a quick scoring."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from aptp_bench.training.latents import Pairs, encode_text

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

TEXT = 16


@pytest.fixture(scope="session")
def build() -> Callable[..., UNet2DConditionModel]:
    """build(**config) -> a small U-Net, eval mode, no weight at 0 or 1 that would hide a mistake."""

    def make(**config: Any) -> UNet2DConditionModel:
        settings: dict[str, Any] = {
            "sample_size": 8,
            "block_out_channels": (8, 16, 32, 32),
            "attention_head_dim": [2, 4, 8, 8],
            "cross_attention_dim": TEXT,
            "use_linear_projection": True,
            "norm_num_groups": 4,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            unet = UNet2DConditionModel(**{**settings, **config}).eval().requires_grad_(False)
            for parameter in unet.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
        return unet

    return make


@pytest.fixture(scope="session")
def told(tiny: StableDiffusionPipeline, pairs: Pairs) -> Pairs:
    """Pairs whose text is what the pipeline makes of the captions."""
    return Pairs(pairs.captions, pairs.latents, encode_text(tiny, pairs.captions).detach())


@pytest.fixture
def settings() -> dict[str, Any]:
    """Options of a scoring that takes a second."""
    return {"prompts": 3, "generations": 2, "steps": 1, "guidance": 1.0, "batch": 4}
