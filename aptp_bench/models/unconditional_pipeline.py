"""The pipeline of models that read no prompts: the case of one implicit condition.

It takes prompts, as many as images, and does not read them, so that it is called as Stable Diffusion's is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DiffusionPipeline, VQModel
from torch import Tensor

from aptp_bench.errors import WeightsError
from aptp_bench.models import weights as sources
from aptp_bench.models.stable_diffusion import scheduler_class
from aptp_bench.pruning.unets import UNet2DModel

AUTOENCODERS = ("vqvae", "vae")  # the name in LDM's and AudioDiffusion's repositories, and in ours


@dataclass
class Made:
    """What the pipeline returns, as diffusers' own do."""

    images: Tensor


class Unconditional(DiffusionPipeline):
    """Noise to images by a U-Net that reads no text; called as Stable Diffusion's pipeline is."""

    unet: UNet2DModel
    vae: AutoencoderKL | VQModel
    scheduler: Any

    def __init__(self, unet: Any, vae: Any, scheduler: Any) -> None:
        super().__init__()
        self.register_modules(unet=unet, vae=vae, scheduler=scheduler)
        self.set_progress_bar_config(disable=True)

    @torch.no_grad()
    def __call__(
        self,
        prompt: Sequence[str],
        latents: Tensor,
        num_inference_steps: int,
        output_type: str = "pt",
        callback_on_step_end: Any = None,
        **_: Any,
    ) -> Made:
        """One image a prompt: float [n, C, H, W] in [0, 1], or its latents. latents: noise, [n, c, h, w].

        callback_on_step_end: as diffusers' pipelines call it, with the latents.
        """
        self._interrupt, device = False, self._execution_device
        self.scheduler.set_timesteps(num_inference_steps, device=device)
        x = latents.to(device) * self.scheduler.init_noise_sigma
        for step, t in enumerate(self.scheduler.timesteps):
            if self._interrupt:
                break
            guess = self.unet(self.scheduler.scale_model_input(x, t), t).sample
            x = self.scheduler.step(guess, t, x).prev_sample
            if callback_on_step_end is not None:
                x = callback_on_step_end(self, step, t, {"latents": x}).get("latents", x)
        if output_type == "latent":
            return Made(x)
        pixels = self.vae.decode(x / self.vae.config.scaling_factor).sample
        return Made((pixels / 2 + 0.5).clamp(0, 1))

    def encode_prompt(self, prompt: Sequence[str], device: Any, *_: Any, **__: Any) -> tuple[Tensor, None]:
        """The one implicit condition, [n, 1, 1]."""
        return torch.zeros(len(prompt), 1, 1, device=device), None


def read_parts(folder: Path) -> dict[str, Any]:
    """Autoencoder ("vae") and scheduler of the pipeline saved in `folder`. Raises WeightsError."""
    place = next((folder / name for name in AUTOENCODERS if (folder / name).is_dir()), None)
    if place is None or not (folder / "scheduler").is_dir():
        lacks = "autoencoder (vqvae/ or vae/)" if place is None else "scheduler/"
        raise WeightsError(
            f"{folder} is no unconditional pipeline: it has no {lacks}; give a folder saved by diffusers"
        )
    try:
        kind = json.loads((place / "config.json").read_text(encoding="utf-8"))["_class_name"]
        autoencoder = {"VQModel": VQModel, "AutoencoderKL": AutoencoderKL}[kind]
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise WeightsError(f"{place} holds neither a VQModel nor an AutoencoderKL; fetch it again") from err
    vae = sources.load(autoencoder, place)
    try:
        settings = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
        scheduler = scheduler_class(settings["_class_name"]).from_config(settings)
    except Exception as err:  # diffusers has its own errors; all mean the same here
        raise WeightsError(f"{folder} has an unreadable scheduler ({sources.first_line(err)}); fetch it again") from err
    return {"vae": vae, "scheduler": scheduler}


def read(folder: Path) -> Unconditional:
    """The pipeline saved in `folder`, in float32, eval mode, frozen. Raises WeightsError."""
    if not (folder / "unet").is_dir():
        raise WeightsError(f"{folder} is no unconditional pipeline: it has no unet/; give a folder saved by diffusers")
    return Unconditional(sources.load(UNet2DModel, folder / "unet"), **read_parts(folder))
