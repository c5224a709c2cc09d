"""What pipelines of every task have in common, so that nobody else asks which task it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from aptp_bench.models import stable_diffusion


def assembled(unet: Any, parts: dict[str, Any]) -> Any:
    """A pipeline of a U-Net and the other parts by their names, without progress bars of its own."""
    if "text_encoder" in parts:
        return stable_diffusion.pipeline(unet, **parts)
    from aptp_bench.models.unconditional_pipeline import Unconditional

    return Unconditional(unet, **parts)


def saved_parts(folder: Path) -> dict[str, Any]:
    """All but the U-Net of the pipeline saved in `folder`, by their names. Raises WeightsError."""
    if (folder / "text_encoder").is_dir():
        return stable_diffusion.read_parts(folder)
    from aptp_bench.models.unconditional_pipeline import read_parts

    return read_parts(folder)


def encoded(vae: Any, images: Tensor) -> Tensor:
    """images: [n, C, H, W] in [-1, 1] -> latents [n, c, h, w] as the U-Net has them: a posterior's mode, before quantising."""
    found = vae.encode(images)
    latents: Tensor = found.latents if hasattr(found, "latents") else found.latent_dist.mode()
    return latents * vae.config.scaling_factor
