"""A pruning job on a Stable Diffusion of a few thousand parameters, and prompts that have clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from aptp_bench.budget import Budget
from aptp_bench.core.progress import SilentProgress
from aptp_bench.plugins import Job
from aptp_bench.pruning.macs import count, example_inputs
from aptp_bench.training.latents import Pairs

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

THINGS = ("cat", "boat", "pizza", "clock tower", "umbrella", "giraffe")
PLACES = ("in snow", "on a beach", "at night", "under a bridge", "in the kitchen")


@pytest.fixture(scope="session")
def pairs() -> Pairs:
    captions = [f"a {thing} {place}" for thing in THINGS for place in PLACES]
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(len(captions), 4, 4, 4, generator=generator)
    return Pairs(captions, latents, torch.randn(len(captions), 77, 16, generator=generator))


@pytest.fixture(scope="session")
def tiny() -> StableDiffusionPipeline:
    """The tiny Stable Diffusion of the whole suite with two levels of its four."""
    from aptp_bench.models.stable_diffusion import Geometry

    sizes: dict[str, Any] = {"sample_size": 4, "block_out_channels": (8, 16), "layers_per_block": 1}
    sizes |= {"attention_head_dim": [2, 4], "cross_attention_dim": 16, "use_linear_projection": True}
    sizes |= {"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "norm_num_groups": 4}
    vae: dict[str, Any] = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    vae |= {"block_out_channels": (8, 8), "latent_channels": 4, "norm_num_groups": 4, "sample_size": 8}
    text = {"vocab_size": 514, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 2, "projection_dim": 16, "max_position_embeddings": 77}
    return Geometry(sizes | {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}, vae, text).build()


@pytest.fixture(scope="session")
def sd21() -> UNet2DConditionModel:
    """SD 2.1's U-Net on the meta device, only to be read."""
    from aptp_bench.models.stable_diffusion import SD21

    return SD21().skeleton()


@pytest.fixture
def job(tiny: StableDiffusionPipeline, pairs: Pairs, tmp_path: Path) -> Callable[..., Job]:
    """job(ratio, convention, **changes) -> a job of its own folder."""

    def make(ratio: float = 0.8, convention: str = "exact", **changes: Any) -> Job:
        settings = {
            "teacher": tiny,
            "train": pairs,
            "budget": Budget.of(ratio, convention),
            "seed": 0,
            "device": torch.device("cpu"),
            "workdir": tmp_path / "work",
            "progress": SilentProgress(),
            "scale": "smoke",
        }
        return Job(**{**settings, **changes})

    return make


class _Killed(SilentProgress):
    def __init__(self, left: int) -> None:
        self.left = left

    def track(self, items: Sequence[Any], label: str, done: int = 0) -> Iterator[Any]:
        for item in items[done:]:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            yield item


@pytest.fixture(scope="session")
def killed() -> Callable[[int], SilentProgress]:
    """killed(steps) -> a progress under which a job dies after so many."""
    return _Killed


@pytest.fixture(scope="session")
def left() -> Callable[..., float]:
    """left(unet, job) -> its share of the teacher's MACs, in the convention of the budget."""

    def share(unet: UNet2DConditionModel, given: Job) -> float:
        inputs = example_inputs(unet, tokens=given.teacher.tokenizer.model_max_length)
        one, whole = (count(net, inputs, given.budget.convention).total for net in (unet, given.teacher.unet))
        return one / whole

    return share
