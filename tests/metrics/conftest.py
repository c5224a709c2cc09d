"""Evidence by hand: features without images, and a small mixture without a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from aptp_bench.core.settings import LatencyConfig, SamplingConfig
from aptp_bench.harness.costs import network_facts
from aptp_bench.models.mixture import Mixture

CAPTIONS = ("a", "bb", "ccc", "dddd", "eeeee")


@dataclass
class Backbone:
    name: str = "fake-net"
    resize: str = "none"
    logit_scale: float = 20.0

    def digest(self) -> str:
        return "0" * 64


@dataclass
class Features:
    """The part of Evidence that metrics of images read."""

    fake: dict[str, Tensor]
    real: dict[str, Tensor] | None = None
    text: Tensor | None = None
    network: Any = field(default_factory=Backbone)

    def features(self, role: str) -> dict[str, Tensor]:
        return self.fake

    def real_features(self, role: str) -> dict[str, Tensor] | None:
        return self.real

    def of_reals(self, role: str, name: str, compute: Any) -> dict[str, Tensor]:
        assert self.real is not None
        return compute(self.real)  # type: ignore[no-any-return]

    def text_features(self, role: str) -> Tensor:
        assert self.text is not None
        return self.text

    def backbone(self, role: str) -> Any:
        return self.network


CPU = torch.device("cpu")


@dataclass
class System:
    """The part of Deployed that metrics of cost read."""

    mixture: Mixture
    teacher: Any
    model: Any
    costs: dict[str, Any]
    assignment: Tensor
    sampling: SamplingConfig
    latency: LatencyConfig
    convention: str = "exact"
    device: torch.device = CPU
    dtype: torch.dtype = torch.float32


@pytest.fixture
def given() -> type[Features]:
    """given(fake={...}, real={...}, text=...) -> evidence with these features."""
    return Features


@pytest.fixture(scope="session")
def teacher(small_sd: Any) -> Any:
    return small_sd


@pytest.fixture(scope="session")
def mixture(narrowed: Callable[[float], Any], router_by: Any) -> Mixture:
    """Prompts of even length to expert 0, the others to expert 1."""
    return Mixture([narrowed(0.75), narrowed(0.25)], router_by(lambda prompt: len(prompt) % 2)())


@pytest.fixture
def evidence(teacher: Any, mixture: Mixture) -> Any:
    """Two experts, 3/4 and 1/4 wide; of five prompts two go to the first."""
    dense, *experts = (network_facts(unet, 8, 32) for unet in (teacher.unet, *mixture.experts))
    system = System(
        mixture,
        teacher,
        SimpleNamespace(latent_size=teacher.unet.config.sample_size),
        {"dense": dense, "experts": experts},
        mixture.route(CAPTIONS),
        SamplingConfig(steps=2),
        LatencyConfig(warmup=1, repeats=5),
    )
    return SimpleNamespace(captions=CAPTIONS, system=system, image_set=None, read={})
