"""The mini world as a run sees it: captions, teacher, sampler and metrics, for networks that no run would make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from aptp_bench import config, registry
from aptp_bench.benchmarks.audit.finding import Place
from aptp_bench.contracts.evidence import Evidence
from aptp_bench.core.provenance import device
from aptp_bench.core.store import Store
from aptp_bench.evaluation.evaluate import measure
from aptp_bench.generation.image_sets import Held
from aptp_bench.generation.sampling import Sampler
from aptp_bench.harness.inputs import Materials
from aptp_bench.harness.run import Bench

METRICS = ("fid", "clip_score", "cmmd", "inception_score")


@dataclass(frozen=True)
class Scene:
    """A recipe of the mini world, what it needs, and its stages."""

    bench: Bench
    place: Place

    @classmethod
    def of(cls, place: Place, method: str, **flags: Any) -> Scene:
        """The recipe that `aptp-bench run --method METHOD --dataset coco` has at the place's scale."""
        recipe = config.recipe(method, "coco", place.scale, flags)
        materials = Materials.of(recipe, device("auto"))
        return cls(Bench.of(recipe, materials, Store(place.runs, place.progress)), place)

    @property
    def captions(self) -> list[str]:
        """The held-out captions."""
        return self.bench.materials.captions("dataset")

    @torch.inference_mode()
    def sample(self, unet: UNet2DConditionModel, numbers: Sequence[int], label: str) -> Tensor:
        """One image a caption: uint8 [n, H, W, 3]. numbers: of the noise that each image starts from."""
        given, recipe = self.bench.materials, self.bench.recipe
        sampler = Sampler.of(given.teacher, recipe.sampling, recipe.seed)
        size = recipe.sampling.batch
        starts = self.place.progress.track(range(0, len(self.captions), size), label)
        parts = [sampler.draw(unet, self.captions[s : s + size], numbers[s : s + size]) for s in starts]
        return torch.cat(parts)

    def quality(self, images: Tensor, digest: str) -> dict[str, Any]:
        """METRICS of images of the captions, as plain data."""
        bench, edge = self.bench, self.bench.recipe.resolution.measure
        evidence = Evidence(
            captions=self.captions,
            image_set=Held(images, digest),
            real_set=bench.materials.reals("dataset", edge),
            backbones=bench.networks,
        )
        metrics = [registry.get("metrics", name)() for name in METRICS]
        found, _ = measure(metrics, {"dataset": evidence}, bench.lacking)
        return {name: each.model_dump(mode="json") for name, each in found.items()}
