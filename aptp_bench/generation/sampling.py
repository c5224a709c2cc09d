"""Prompts to images with one U-Net: the one way of a run's generate stage, of serving and of timing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import diffusers
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor

from aptp_bench.core.noise import starting_noise
from aptp_bench.core.precision import autocast, products
from aptp_bench.core.settings import SamplingConfig
from aptp_bench.errors import DataError
from aptp_bench.generation.batch_invariant import RowByRow
from aptp_bench.models.call_plan import PLAIN, CallPlan, ImageCalls
from aptp_bench.models.pipelines import assembled

SCHEDULERS = {"pndm": ("PNDMScheduler", {"skip_prk_steps": True}), "ddim": ("DDIMScheduler", {"clip_sample": False})}
NEGATIVE_PROMPT = ""
PARTS = ("vae", "text_encoder", "tokenizer", "scheduler")


@dataclass(frozen=True)
class Sampler:
    """Samples with any U-Net of the family. parts: those of PARTS that a pipeline has, by name, on the U-Net's device, left as they are.

    plan: how the calls of an image are made, of those that `config` asks for.
    """

    parts: Mapping[str, Any]
    config: SamplingConfig
    seed: int = 0  # of `draw`
    plan: CallPlan = PLAIN

    @classmethod
    def of(
        cls, teacher: StableDiffusionPipeline, config: SamplingConfig, seed: int = 0, plan: CallPlan = PLAIN
    ) -> Sampler:
        """With the parts of a pipeline and the scheduler that `config` names."""
        return cls(parts_of(teacher, config.scheduler), config, seed, plan)

    @cached_property
    def steps(self) -> int:
        """Sampler steps that are made: those of `config`, or as many of them as the plan has calls for."""
        return self.plan.steps(self._scheduler(), self.config.steps)

    @cached_property
    def calls(self) -> ImageCalls:
        """The U-Net calls of an image, and of every batch of them."""
        return ImageCalls.under(self.plan, self.parts["scheduler"], self.config.steps)

    def __call__(
        self,
        unet: UNet2DConditionModel,
        prompts: Sequence[str],
        noise: Tensor,
        negatives: Sequence[str] | None = None,
        latent: bool = False,
        **more: Any,
    ) -> Tensor:
        """One image a prompt: float [n, 3 or 1, H, W] in [0, 1], or its latents [n, C, h, w]. noise: [n, C, h, w].

        more: further arguments of diffusers' pipeline.
        """
        made = assembled(unet, {**self.parts, "scheduler": self._scheduler()})
        made.scheduler = self._scheduler()  # as it is set: when diffusers' pipelines are made they change some settings
        dtype, exact = self.config.dtype, RowByRow() if self.config.exact else nullcontext()
        with exact, self.calls.followed(unet), products(dtype), autocast(dtype, unet.device):
            images = made(
                prompt=list(prompts),
                negative_prompt=[NEGATIVE_PROMPT] * len(prompts) if negatives is None else list(negatives),
                latents=noise.to(unet.device, unet.dtype),
                num_inference_steps=self.steps,
                guidance_scale=self.config.guidance,
                output_type="latent" if latent else "pt",
                **more,
            ).images
        return images.float() if dtype == "bfloat16" else images

    def draw(
        self, unet: UNet2DConditionModel, prompts: Sequence[str], indices: Sequence[int], size: int | None = None
    ) -> Tensor:
        """One image a prompt from the noise of (seed, index): uint8 [n, H, W, 3].

        size: height and width of the latents, the U-Net's own if None.
        """
        edge = size or unet.config.sample_size
        noise = starting_noise(self.seed, indices, (unet.config.in_channels, edge, edge))
        return quantised(self(unet, prompts, noise))

    def _scheduler(self) -> Any:
        """A new one, for schedulers keep what they were called with."""
        return type(self.parts["scheduler"]).from_config(self.parts["scheduler"].config)


def parts_of(teacher: StableDiffusionPipeline, scheduler: str = "pndm") -> dict[str, Any]:
    """All but the U-Net by their names, with a new scheduler, "pndm" or "ddim", of the same diffusion process."""
    kind, settings = SCHEDULERS[scheduler]
    parts = {name: part for name in PARTS if (part := getattr(teacher, name, None)) is not None}
    return {**parts, "scheduler": getattr(diffusers, kind).from_config(teacher.scheduler.config, **settings)}


def quantised(images: Tensor) -> Tensor:
    """images: float [n, 3 or 1, H, W] in [0, 1] -> uint8 [n, H, W, 3], rounded to the nearest level; one channel is grey.

    Raises DataError where they are not finite: they would be black.
    """
    return (finite(images).expand(-1, 3, -1, -1).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu()


def finite(images: Tensor) -> Tensor:
    """Images, or latents, [n, ...] as they are. Raises DataError unless all of their numbers are finite."""
    bad = int((~images.flatten(1).isfinite().all(dim=1)).sum())
    if bad:
        what = f"{bad} of {len(images)} sampled images are not finite"
        raise DataError(f"{what}; look at the network's weights, lower the guidance, or sample in float32")
    return images
