"""The teacher of a job out of what a user holds: one of diffusers' pipelines, or a U-Net alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import diffusers
import torch

from aptp_bench.errors import ConfigError
from aptp_bench.harness.plain import check_unet, check_weights, unwrapped_name
from aptp_bench.models.unconditional_pipeline import AUTOENCODERS, Unconditional
from aptp_bench.pruning.unets import UNet, UNet2DModel, text_width

KINDS = (diffusers.UNet2DConditionModel, diffusers.UNet2DModel)
TOKENS = 77  # of the text that a U-Net given alone reads: Stable Diffusion's


class Alone:
    """A U-Net without its pipeline, or of one without an autoencoder; who asks for another part is told what is needed.

    within: the kind of that pipeline; None: the U-Net was given alone.
    """

    def __init__(self, unet: UNet, within: str | None = None) -> None:
        self.unet, self.within = unet, within
        self.tokenizer = None if text_width(unet) is None else SimpleNamespace(model_max_length=TOKENS)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self.within is not None:
            what = f"{self.within} makes images without an autoencoder, and this method works in latents"
            raise ConfigError(f"{what}; choose one that reads the network alone, e.g. norm or random")
        raise ConfigError(f"a U-Net was given alone and its pipeline's {name} is needed; give the whole pipeline")


def teacher_of(network: Any) -> Any:
    """A pipeline as methods know them; the parts are the user's own, which nobody writes into.

    Raises ConfigError or PruningError unless it has one of diffusers' U-Nets, of plain layers, in float32 and where it
    computes.
    """
    piped = isinstance(network, diffusers.DiffusionPipeline)
    unet = getattr(network, "unet", None) if piped else network
    if not isinstance(unet, KINDS):
        raise ConfigError(_no_unet(network, unet, piped))
    if any(hasattr(module, "_hf_hook") for module in unet.modules()):
        raise ConfigError(
            "the U-Net is offloaded; call pipeline.remove_all_hooks() first, and offload again afterwards"
        )
    check_unet(unet)
    for name, part in list(network.components.items()) if piped else [("U-Net", unet)]:
        if isinstance(part, torch.nn.Module):
            check_weights(name, part)
    if isinstance(unet, diffusers.UNet2DConditionModel):
        return network if piped else Alone(unet)
    vae = next((part for name in AUTOENCODERS if (part := getattr(network, name, None)) is not None), None)
    if vae is None:
        return Alone(_called_alike(unet), type(network).__name__ if piped else None)
    return Unconditional(_called_alike(unet), vae, network.scheduler)


def _no_unet(network: Any, unet: Any, piped: bool) -> str:
    """Why what was given cannot be pruned, with the way to what can."""
    if (inner := unwrapped_name(unet, KINDS)) is not None:
        fix = f"set pipeline.unet = pipeline.unet.{inner}" if piped else f"give what it is around: .{inner}"
        return f"the U-Net is wrapped in {type(unet).__name__}; {fix}, and wrap the result afterwards"
    given = f"{type(network).__name__}" + (" without a U-Net" if piped else "")
    return f"{given} cannot be pruned; give UNet2DConditionModel, UNet2DModel, or a pipeline with one"


def _called_alike(unet: diffusers.UNet2DModel) -> UNet2DModel:
    """The same weights in the class that is called as U-Nets with a text are."""
    if isinstance(unet, UNet2DModel):
        return unet
    with torch.device("meta"):
        made: Any = UNet2DModel.from_config(unet.config)
    made.load_state_dict(unet.state_dict(), assign=True)
    return made.eval()
