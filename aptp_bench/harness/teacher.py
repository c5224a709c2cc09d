"""The teacher of a job out of what a user holds: one of diffusers' pipelines, or a U-Net alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import diffusers
import torch

from aptp_bench.errors import ConfigError
from aptp_bench.models.unconditional_pipeline import AUTOENCODERS, Unconditional
from aptp_bench.pruning.unets import UNet, UNet2DModel, text_width

TOKENS = 77  # of the text that a U-Net given alone reads: Stable Diffusion's


class Alone:
    """A U-Net without its pipeline; who asks for another part is told that the pipeline is needed."""

    def __init__(self, unet: UNet) -> None:
        self.unet = unet
        self.tokenizer = None if text_width(unet) is None else SimpleNamespace(model_max_length=TOKENS)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ConfigError(f"a U-Net was given alone and its pipeline's {name} is needed; give the whole pipeline")


def teacher_of(network: Any) -> Any:
    """A pipeline as methods know them; the parts are the user's own, which nobody writes into.

    Raises ConfigError unless it has one of diffusers' U-Nets, in float32 and where it computes.
    """
    piped = isinstance(network, diffusers.DiffusionPipeline)
    unet = getattr(network, "unet", None) if piped else network
    if not isinstance(unet, diffusers.UNet2DConditionModel | diffusers.UNet2DModel):
        given = f"a {type(network).__name__}" + (" without a U-Net" if piped else "")
        raise ConfigError(f"{given} cannot be pruned; give UNet2DConditionModel, UNet2DModel, or a pipeline with one")
    if any(hasattr(module, "_hf_hook") for module in unet.modules()):
        raise ConfigError(
            "the U-Net is offloaded; call pipeline.remove_all_hooks() first, and offload again afterwards"
        )
    parts = list(network.components.items()) if piped else [("U-Net", unet)]
    for name, part in parts:
        if isinstance(part, torch.nn.Module) and getattr(part, "dtype", torch.float32) != torch.float32:
            what = f"{name} is in {str(part.dtype).removeprefix('torch.')}, and methods compute in float32"
            raise ConfigError(f"{what}; call .to(torch.float32) first, and .to() on the result afterwards")
    if isinstance(unet, diffusers.UNet2DConditionModel):
        return network if piped else Alone(unet)
    vae = next((part for name in AUTOENCODERS if (part := getattr(network, name, None)) is not None), None)
    return Alone(_called_alike(unet)) if vae is None else Unconditional(_called_alike(unet), vae, network.scheduler)


def _called_alike(unet: diffusers.UNet2DModel) -> UNet2DModel:
    """The same weights in the class that is called as U-Nets with a text are."""
    if isinstance(unet, UNet2DModel):
        return unet
    with torch.device("meta"):
        made: Any = UNet2DModel.from_config(unet.config)
    made.load_state_dict(unet.state_dict(), assign=True)
    return made.eval()
