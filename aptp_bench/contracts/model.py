"""A model family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from aptp_bench.contracts.base import Plugin

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline


class ModelPlugin(Plugin, ABC):
    """A model family: how to load it, and its true geometry without weights."""

    world: ClassVar[Literal["mini", "paper"]]
    resolution: ClassVar[int]  # pixels, width = height, at which images are made
    latent_size: ClassVar[int]
    tokens: ClassVar[int] = 77  # length of the text that the U-Net reads

    @abstractmethod
    def load(self, weights: str | None = None) -> StableDiffusionPipeline:
        """A pipeline. weights: None (the default), a local folder, a hub id, or "random". Raises WeightsError."""

    @abstractmethod
    def skeleton(self) -> Any:
        """The U-Net on the meta device: true geometry, no memory."""
