"""What a model's networks execute and hold, counted on the meta device: seconds of work, for want of a shipped figure."""

from __future__ import annotations

from typing import Any

import torch

from aptp_bench.core.costs import StepCost
from aptp_bench.models.operations import Trace, trace, trace_unet
from aptp_bench.models.pipelines import encoded
from aptp_bench.pruning.macs import example_inputs
from aptp_bench.training.step_cost import Learns, step_cost


def learning(model: Any, learns: Learns, teacher: bool, size: int, checkpointing: bool) -> StepCost:
    """A step of training on latents of `size`, see `step_cost`; the student is the dense network."""
    unet = model.skeleton()
    return step_cost(unet, unet if teacher else None, learns, size, model.tokens, checkpointing)


def forward(model: Any, size: int) -> StepCost:
    """One U-Net pass without gradients."""
    unet = model.skeleton()
    return _passed(trace_unet(unet, example_inputs(unet, size, model.tokens)))


def encoding(model: Any, pixels: int) -> StepCost:
    """An image to its latents."""
    vae = _built(model, "vae")
    image = torch.empty(1, vae.config.in_channels, pixels, pixels, device="meta")
    return _passed(trace(vae, lambda network: encoded(network, image)))


def decoding(model: Any, size: int) -> StepCost:
    """Latents to an image."""
    vae = _built(model, "vae")
    latents = torch.empty(1, vae.config.latent_channels, size, size, device="meta")
    return _passed(trace(vae, lambda network: network.decode(latents)))


def reading(model: Any) -> StepCost:
    """A prompt to its embeddings."""
    ids = torch.zeros(1, model.tokens, dtype=torch.long, device="meta")
    return _passed(trace(_built(model, "text_encoder"), lambda network: network(ids)))


def parameters(model: Any, part: str) -> int:
    """Of the network that the pipeline calls `part`: unet, vae or text_encoder."""
    network = model.skeleton() if part == "unet" else _built(model, part)
    return sum(p.numel() for p in network.parameters())


def latent_numbers(model: Any) -> int:
    """Channels of the latents."""
    return int(model.skeleton().config.in_channels)


def text_numbers(model: Any) -> int:
    """Numbers of a prompt's embeddings; 0 where none is read."""
    return model.tokens * int(getattr(model.skeleton().config, "cross_attention_dim", 0) or 0)


def _built(model: Any, part: str) -> Any:
    with torch.device("meta"):
        return getattr(model.geometry, f"build_{part}")()


def _passed(traced: Trace) -> StepCost:
    """A pass that nobody learns from."""
    line = (0, traced.peak_activations)
    return StepCost(operations=traced.operations, trained=0, first=(line,), later=(line,))
