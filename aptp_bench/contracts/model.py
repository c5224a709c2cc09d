"""A model family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from aptp_bench.contracts.base import Plugin
from aptp_bench.core.recipe import Task
from aptp_bench.errors import WeightsError

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

    from aptp_bench.audio.mel import Mel


class ModelPlugin(Plugin, ABC):
    """A model family: how to load it, and its true geometry without weights.

    task: what it makes; without prompts but for text-to-image. An audio model makes Mel spectrograms, as images.
    """

    world: ClassVar[Literal["mini", "paper"]]
    task: ClassVar[Task] = "text-to-image"
    resolution: ClassVar[int]  # pixels, width = height, at which images are made
    latent_size: ClassVar[int]
    mel: ClassVar[Mel | None] = None  # of an audio model: how its images are sounds
    tokens: ClassVar[int] = 77  # length of the text that the U-Net reads
    licence: ClassVar[str] = ""  # of its own weights, as the hub names licences; empty: not known

    @abstractmethod
    def load(self, weights: str | None = None) -> StableDiffusionPipeline:
        """A pipeline, its U-Net at `pipeline.unet`. weights: None (the default), a local folder, a hub id, or "random".

        Raises WeightsError.
        """

    def lacks(self, weights: str | None) -> str | None:
        """Why those weights, as `load` takes them, cannot be had here, with the fix; None if they can, as far as is known."""
        return self.unavailable() if weights is None else None

    @abstractmethod
    def skeleton(self) -> Any:
        """The U-Net (UNet2DConditionModel or UNet2DModel) on the meta device: true geometry, no memory."""

    @classmethod
    def reads_prompts(cls) -> bool:
        """Whether its images are made for prompts."""
        return cls.task == "text-to-image"

    def check_geometry(self, unet: Any, source: object) -> None:
        """Raise WeightsError unless a U-Net, read from `source`, has this family's tensors, heads, groups and latents."""
        want, have = _geometry(self.skeleton()), _geometry(unet)
        wrong = sorted(name for name in want.keys() | have.keys() if want.get(name) != have.get(name))
        if wrong:
            raise WeightsError(
                f"{source} holds another network than {self.name}: {len(wrong)} sizes differ, e.g. {wrong[0]} is "
                f"{have.get(wrong[0])}, not {want.get(wrong[0])}; choose another with --model, or measure it pruned as it is: "
                "--method checkpoint --set folder=…"
            )


def _geometry(unet: Any) -> dict[str, Any]:
    """All sizes of a U-Net: of its tensors, and what no tensor shows: heads, groups of norms, size of the latents."""
    tensors = {name: tuple(value.shape) for name, value in unet.state_dict().items()}
    hidden = {
        f"{path}.{size}": getattr(part, size)
        for path, part in unet.named_modules()
        for size in ("heads", "num_groups")
        if hasattr(part, size)
    }
    return {"sample_size": unet.config.sample_size, **tensors, **hidden}
