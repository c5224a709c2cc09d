"""What every model family of one geometry has in common: where its weights lie, and its U-Net without them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from aptp_bench import assets
from aptp_bench.contracts.model import ModelPlugin
from aptp_bench.errors import WeightsError
from aptp_bench.models import weights as sources

RANDOM = "random"  # weights that nothing was learned into
UNSAID = "epsilon"  # what diffusers' schedulers take where a file does not say what a network predicts


class Family(ModelPlugin):
    """Of one geometry. hub_ids are tried in their order, in the hub's cache first; embedded: its folder in the package."""

    geometry: ClassVar[Any]  # has build_unet()
    files: ClassVar[tuple[str, ...]]  # patterns of what is wanted of a repository
    hub_ids: ClassVar[tuple[str, ...]] = ()
    embedded: ClassVar[str | None] = None
    parts: ClassVar[tuple[str, ...]] = ("unet",)  # folders of its weights that must not be empty

    def source(self, weights: str | None) -> Path:
        """The folder that `load` reads; of an embedded model its own, unless other weights are asked for. Raises WeightsError."""
        if weights is None and self.embedded is not None:
            return assets.path(self.embedded)
        return sources.find(self.name, weights, self.hub_ids, self.files)

    def checked(self, pipeline: Any, folder: Path) -> Any:
        """The pipeline that was read from `folder`, if all that decides its images is this family's. Raises WeightsError."""
        self.check_geometry(pipeline.unet, folder)
        pixels = self.latent_size * 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
        if pixels != self.resolution:
            raise WeightsError(
                f"{folder} has an autoencoder that makes {pixels} pixels of {self.latent_size} latents, where "
                f"{self.name} has {self.resolution}; choose another with --model"
            )
        config = folder / "scheduler" / "scheduler_config.json"
        predicts = self.geometry.scheduler.get("prediction_type", UNSAID)
        if predicts != UNSAID and "prediction_type" not in json.loads(config.read_text(encoding="utf-8")):
            raise WeightsError(
                f"{config} lacks prediction_type, which diffusers then takes for '{UNSAID}'; {self.name} predicts "
                f"'{predicts}': write it there"
            )
        return pipeline

    @classmethod
    def unavailable(cls) -> str | None:
        """Why its weights cannot be had, with the command that fixes it; `random` always can."""
        return sources.lacking(cls.hub_ids, lambda: cls().source(None), cls.parts)

    def lacks(self, weights: str | None) -> str | None:
        """Of weights that are named: whether they are a folder with tensors in its parts, or may be a repository's."""
        if weights is None:
            return self.unavailable()
        if weights == RANDOM or sources.on_hub(weights):
            return None
        return sources.lacking((), lambda: self.source(weights), self.parts)

    def skeleton(self) -> Any:
        """The U-Net on the meta device."""
        import torch

        with torch.device("meta"):
            return self.geometry.build_unet()
