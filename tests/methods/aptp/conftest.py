"""A search that takes a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aptp_bench.pruning.gates import GateSpace

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline


@pytest.fixture(scope="session")
def space(tiny: StableDiffusionPipeline) -> GateSpace:
    return GateSpace.of(tiny.unet)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory, build_encoder: Callable[[Path], Path]) -> str:
    return str(build_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture
def settings(encoder: str) -> dict[str, Any]:
    """Options of a search that takes a second."""
    short = {"warmup_steps": 2, "joint_steps": 3, "batch": 12, "align_steps": 60, "checkpoint_every": 1}
    return {"encoder": encoder, "experts": 3, "lr": 0.1, "lr_warmup": 0, **short}
