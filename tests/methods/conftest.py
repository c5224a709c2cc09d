"""A pruning job on a Stable Diffusion of a few thousand parameters, and prompts that have clusters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from aptp_bench.budget import Budget
from aptp_bench.core.progress import SilentProgress
from aptp_bench.plugins import Job
from aptp_bench.pruning.macs import count, example_inputs
from aptp_bench.training.latents import Pairs
from tests.conftest import tiny_pipeline
from tests.pruning.conftest import sd21  # noqa: F401 - a fixture

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
    return tiny_pipeline(
        block_out_channels=(8, 16),
        attention_head_dim=[2, 4],
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )


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


@pytest.fixture(scope="session")
def left() -> Callable[..., float]:
    """left(unet, job) -> its share of the teacher's MACs, in the convention of the budget."""

    def share(unet: UNet2DConditionModel, given: Job) -> float:
        inputs = example_inputs(unet, tokens=given.teacher.tokenizer.model_max_length)
        one, whole = (count(net, inputs, given.budget.convention).total for net in (unet, given.teacher.unet))
        return one / whole

    return share
