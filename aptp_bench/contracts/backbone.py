"""A metric's network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from aptp_bench.contracts.base import Plugin

if TYPE_CHECKING:
    import torch


class BackbonePlugin(Plugin, ABC):
    """Turns images (and texts) into features. `role`: inception, clip_score, cmmd, preference, hps, perceptual, dino, audio."""

    role: ClassVar[tuple[str, ...]]
    world: ClassVar[Literal["mini", "paper"]]
    pairs: ClassVar[bool] = False  # True: it compares two images and has no features of one
    macs: ClassVar[Mapping[Literal["convolution", "linear"], float]] = {}  # of an image, for plans; empty: not known

    @classmethod
    def macs_of(cls, pixels: int) -> Mapping[Literal["convolution", "linear"], float]:
        """`macs` of an image, or of a pair, of so many pixels, width = height. Most networks bring all images to one size."""
        return cls.macs

    @abstractmethod
    def image_features(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """images: uint8 [n, H, W, 3] -> named features, float32 [n, d] (e.g. {"pool": …, "logits": …} or {"embedding": …})."""

    def text_features(self, captions: Sequence[str]) -> torch.Tensor:
        """n captions -> float32 [n, d]. Raises NotImplementedError for networks that read images only."""
        raise NotImplementedError(f"{self.name} reads images only")

    @abstractmethod
    def digest(self) -> str:
        """sha256 of the weights: two numbers from different backbones are never set side by side."""
