"""Small random U-Nets with SD 2.1's topology, and SD 2.1's geometry without weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

TOKENS, TEXT = 7, 128
Build = Callable[..., UNet2DConditionModel]
Inputs = Callable[..., dict[str, Tensor]]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def build() -> Build:
    """build(**config) -> a small U-Net, eval mode, no weight left at 0 or 1 that would hide a mistake."""

    def make(dtype: torch.dtype = torch.float32, **config: Any) -> UNet2DConditionModel:
        torch.manual_seed(1)
        settings: dict[str, Any] = {
            "sample_size": 8,
            "block_out_channels": (32, 64, 128, 128),
            "attention_head_dim": [2, 4, 8, 8],
            "cross_attention_dim": TEXT,
            "use_linear_projection": True,
            "norm_num_groups": 8,
            "addition_embed_type": "text",
            "addition_embed_type_num_heads": 4,
        }
        unet = UNet2DConditionModel(**{**settings, **config}).eval()
        with torch.no_grad():
            for parameter in unet.parameters():
                parameter.data = (parameter + 0.05 * torch.randn_like(parameter)).to(dtype)
        return unet

    return make


@pytest.fixture(scope="session")
def _original(build: Build) -> UNet2DConditionModel:
    return build()


@pytest.fixture
def unet(_original: UNet2DConditionModel) -> UNet2DConditionModel:
    """A copy of the same small U-Net for every test: copying is faster than drawing the weights anew."""
    return copy.deepcopy(_original)


@pytest.fixture
def inputs() -> Inputs:
    """inputs(batch) -> arguments of a U-Net call."""

    def make(batch: int = 1, dtype: torch.dtype = torch.float32, size: int = 8, text: int = TEXT) -> dict[str, Tensor]:
        return {
            "sample": torch.randn(batch, 4, size, size, dtype=dtype),
            "timestep": torch.randint(0, 1000, (batch,)),
            "encoder_hidden_states": torch.randn(batch, TOKENS, text, dtype=dtype),
        }

    return make


@pytest.fixture(scope="session")
def sd21() -> UNet2DConditionModel:
    """SD 2.1's U-Net on the meta device."""
    with torch.device("meta"):
        return UNet2DConditionModel(
            sample_size=96, cross_attention_dim=1024, attention_head_dim=[5, 10, 20, 20], use_linear_projection=True
        ).eval()
