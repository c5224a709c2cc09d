"""Generation: prompts routed to experts, batched by expert, each image from its own noise.

An image depends on (mixture, prompt, seed, prompt index). Batch size, order and number of processes change it by
rounding at most. Batches are laid out before any is skipped, and done again whole: a resumed run gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffusers
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor

from aptp_bench.config import SamplingConfig
from aptp_bench.core.distributed import ALONE, Ranks
from aptp_bench.core.noise import starting_noise
from aptp_bench.generation.images import image_path, write_image
from aptp_bench.plugins import Progress

if TYPE_CHECKING:
    from aptp_bench.models.mixture import Mixture

SCHEDULERS = {"pndm": ("PNDMScheduler", {"skip_prk_steps": True}), "ddim": ("DDIMScheduler", {"clip_sample": False})}
NEGATIVE_PROMPT = ""


@dataclass(frozen=True)
class Sampler:
    """Captions to images with any U-Net of the family; all else is the teacher pipeline's, which stays as it is.

    latent: height and width of the latents; None: the teacher's own.
    """

    pipeline: StableDiffusionPipeline
    config: SamplingConfig
    seed: int
    device: torch.device
    latent: int | None = None

    def __call__(self, unet: UNet2DConditionModel, captions: Sequence[str], indices: Sequence[int]) -> Tensor:
        """One image a caption: uint8 [n, H, W, 3]. `indices` number the captions and choose their noise."""
        pipe = with_unet(self.pipeline, unet, self.config.scheduler)
        size = self.latent or self.pipeline.unet.config.sample_size
        noise = starting_noise(self.seed, indices, (unet.config.in_channels, size, size))
        made = pipe(
            prompt=list(captions),
            negative_prompt=[NEGATIVE_PROMPT] * len(captions),
            latents=noise.to(self.device, unet.dtype),
            num_inference_steps=self.config.steps,
            guidance_scale=self.config.guidance,
            output_type="pt",
        )
        return quantised(made.images)


def generate(
    mixture: Mixture,
    sampler: Sampler,
    captions: Sequence[str],
    folder: Path,
    progress: Progress,
    ranks: Ranks = ALONE,
    label: str = "generate",
) -> Tensor:
    """Write one PNG a caption into `folder`, numbered by the caption's index; finished batches are left as they are.

    Returns the expert of each caption, int64 [n]. Several processes share the batches.
    """
    assignment = mixture.route(captions)
    layout = ranks.share(batches(assignment, sampler.config.batch))
    finished = [all(image_path(folder, i).is_file() for i in batch) for _, batch in layout]
    waiting = [job for job, done in zip(layout, finished, strict=True) if not done]
    order = [job for job, done in zip(layout, finished, strict=True) if done] + waiting
    for expert, batch in progress.track(order, label, done=len(layout) - len(waiting)):
        with torch.inference_mode():  # no name for the expert: one that is let go of must not be held here
            images = sampler(mixture.experts[expert].to(sampler.device).eval(), [captions[i] for i in batch], batch)
        for index, image in zip(batch, images, strict=True):
            write_image(folder, index, image)
    return assignment


def batches(assignment: Tensor, size: int) -> list[tuple[int, list[int]]]:
    """assignment: int64 [n] -> (expert, at most `size` prompt indices) for every batch, expert by expert."""
    layout = []
    for expert in sorted(set(assignment.tolist())):
        mine = (assignment == expert).nonzero().flatten().tolist()
        layout += [(expert, mine[start : start + size]) for start in range(0, len(mine), size)]
    return layout


def with_unet(pipeline: StableDiffusionPipeline, unet: UNet2DConditionModel, scheduler: str) -> StableDiffusionPipeline:
    """A pipeline with the U-Net, a fresh scheduler and all other parts of `pipeline`, which is left as it is."""
    parts: dict[str, Any] = {**pipeline.components, "unet": unet, "safety_checker": None, "feature_extractor": None}
    parts["scheduler"] = fresh_scheduler(pipeline.scheduler, scheduler)
    made = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    made.set_progress_bar_config(disable=True)
    return made


def fresh_scheduler(like: Any, scheduler: str) -> Any:
    """A new scheduler of the kind "pndm" or "ddim", with the diffusion process of `like`."""
    kind, settings = SCHEDULERS[scheduler]
    return getattr(diffusers, kind).from_config(like.config, **settings)


def quantised(images: Tensor) -> Tensor:
    """images: float [n, 3, H, W] in [0, 1] -> uint8 [n, H, W, 3], rounded to the nearest level."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu()
