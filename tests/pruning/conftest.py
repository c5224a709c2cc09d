"""Small random U-Nets of SD 2.1's layers, its topology and its geometry without weights, and what is dear of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from aptp_bench.budget import Convention
from aptp_bench.models import weights
from aptp_bench.models.stable_diffusion import SD21
from aptp_bench.pruning.budget_fit import Rounding
from aptp_bench.pruning.cost import Cost
from aptp_bench.pruning.coupled import Group, Heads, groups
from aptp_bench.pruning.gates import GateSpace
from aptp_bench.pruning.macs import example_inputs

TOKENS, TEXT = 7, 128
Build = Callable[..., UNet2DConditionModel]
Inputs = Callable[..., dict[str, Tensor]]


def taken(size: int, ratio: float, rounding: Rounding = "up") -> int:
    """Units that a uniform cut by `ratio` takes from a layer of `size`; one always stays."""
    exact = round(size * ratio, 9)  # 0.07 * 100 is a little more than 7
    units = math.ceil(exact) if rounding == "up" else math.floor(exact + 0.5)
    return min(units, size - 1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub, and an empty folder of weights."""

    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr("huggingface_hub.snapshot_download", missing)
    monkeypatch.setenv(weights.HOME, str(tmp_path / "home"))
    monkeypatch.delenv(weights.ALLOW, raising=False)


@pytest.fixture(scope="session")
def build() -> Build:
    """build(**config) -> a U-Net of two levels, eval mode, no weight left at 0 or 1 that would hide a mistake."""

    def make(dtype: torch.dtype = torch.float32, **config: Any) -> UNet2DConditionModel:
        torch.manual_seed(1)
        settings: dict[str, Any] = {
            "sample_size": 8,
            "block_out_channels": (32, 64),
            "attention_head_dim": [2, 4],
            "layers_per_block": 1,
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
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
    """SD 2.1's U-Net on the meta device, only to be read."""
    return SD21().skeleton()


@pytest.fixture(scope="session")
def odd(build: Build) -> UNet2DConditionModel:
    """Widths of 24 and 40, which 16 and 64 do not divide, and concatenations that differ from both parts."""
    return build(block_out_channels=(24, 40), norm_num_groups=4)


@pytest.fixture(scope="session")
def networks(_original: Any, odd: Any, sd21: Any) -> dict[str, UNet2DConditionModel]:
    """The networks of the session by name; they are never changed."""
    return {"small": _original, "odd": odd, "sd21": sd21}


@pytest.fixture(scope="session")
def coupled(networks: dict[str, UNet2DConditionModel]) -> Callable[..., tuple[Group, ...]]:
    """coupled(network, heads) -> its groups, found once a session."""

    @cache
    def find(name: str, heads: Heads) -> tuple[Group, ...]:
        return groups(networks[name], heads)

    return lambda name, heads="whole": find(name, heads)


@pytest.fixture(scope="session")
def costs(networks: dict[str, UNet2DConditionModel]) -> Callable[..., Cost]:
    """costs(network, convention) -> its cost, counted once a session."""

    @cache
    def count(name: str, convention: Convention) -> Cost:
        unet = networks[name]
        return Cost.of(unet, GateSpace.of(unet), example_inputs(unet), convention)

    return lambda name, convention="exact": count(name, convention)
