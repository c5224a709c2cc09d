"""A pruning job on a Stable Diffusion of a few thousand parameters, and prompts that have clusters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from aptp_bench.budget import Budget
from aptp_bench.pairs import Pairs
from aptp_bench.plugins import Job
from aptp_bench.progress import SilentProgress

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

THINGS = ("cat", "boat", "pizza", "clock tower", "umbrella", "giraffe")
PLACES = ("in snow", "on a beach", "at night", "under a bridge", "in the kitchen")


@pytest.fixture(scope="session")
def pairs() -> Pairs:
    captions = [f"a {thing} {place}" for thing in THINGS for place in PLACES]
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(len(captions), 4, 4, 4, generator=generator)
    return Pairs(captions, latents, torch.randn(len(captions), 77, 16, generator=generator))


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
