"""Whether methods can work on the networks that a user holds: plain layers, with weights of their own that are numbers.

What stands in the way is said before anything is computed, with the call that takes it away.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from aptp_bench.errors import ConfigError
from aptp_bench.pruning.surgery import check_plain

WRAPPED = ("_orig_mod", "module")  # where torch.compile, and DataParallel and its like, have what they wrap
READ: dict[str, tuple[str | None, ...]] = {  # what a config may say of conditions: none of them, or some form of text
    "addition_embed_type": (None, "text"),
    "class_embed_type": (None,),
    "encoder_hid_dim_type": (None, "text_proj"),
    "num_class_embeds": (None,),
}


def unwrapped_name(network: Any, kinds: Any) -> str | None:
    """The attribute with the network of one of `kinds` that another is wrapped around; None if it is wrapped by none."""
    return next((name for name in WRAPPED if isinstance(getattr(network, name, None), kinds)), None)


def check_unet(unet: Any) -> None:
    """Raise ConfigError or PruningError unless a U-Net is one that methods can cut, as its config says it is called."""
    config = unet.config
    if config.sample_size is None:
        raise ConfigError("the U-Net's config has no sample_size; set it: unet.register_to_config(sample_size=64)")
    for key, known in READ.items():
        if (asked := getattr(config, key, None)) not in known:
            what = f"the U-Net reads more than a text ({key} is {asked!r}), as SDXL's do, and methods give it no more"
            raise ConfigError(f"{what}; take one as Stable Diffusion 1 and 2 have")
    for path, module in unet.named_modules():
        _check_layer(path, module)
    check_plain(unet)


def check_weights(name: str, part: nn.Module) -> None:
    """Raise ConfigError unless the weights of a part called `name` are there, in float32 and finite."""
    for path, weight in part.named_parameters():
        if weight.is_meta:
            raise ConfigError(f"{name} has no weights yet, it lies on the meta device; load them first")
        if weight.dtype != torch.float32:
            what = f"{name} is in {str(weight.dtype).removeprefix('torch.')}, and methods compute in float32"
            raise ConfigError(f"{what}; call .to(torch.float32) first, and .to() on the result afterwards")
        if not weight.detach().isfinite().all():
            raise ConfigError(f"{name} holds numbers that are not finite, first in {path}; load its weights again")


def _check_layer(path: str, module: nn.Module) -> None:
    """Raise ConfigError for a layer whose weight is not its own: with adapters, computed from others, or quantised."""
    home = type(module).__module__.split(".")
    if home[0] == "peft" or hasattr(module, "lora_layer"):
        fix = "call pipeline.fuse_lora() and pipeline.unload_lora_weights() first, or unload them alone"
        raise ConfigError(f"'{path}' of the U-Net carries adapters; {fix}")
    if hasattr(module, "parametrizations") or any(name.startswith("weight_") for name, _ in _own(module)):
        fix = "torch.nn.utils.prune.remove or torch.nn.utils.parametrize.remove_parametrizations makes it plain"
        raise ConfigError(f"'{path}' of the U-Net computes its weight from others; {fix}")
    weight = getattr(module, "weight", None)
    if "quantized" in home or home[0] == "bitsandbytes" or (weight is not None and _is_packed(weight)):
        raise ConfigError(f"'{path}' of the U-Net is quantised; load it in float32, and quantise what comes out")


def _own(module: nn.Module) -> list[tuple[str, Any]]:
    return [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]


def _is_packed(weight: Any) -> bool:
    """Whether a weight is no plain tensor of numbers with a fraction, but what some library packs others into."""
    plain = isinstance(weight, torch.Tensor) and type(weight.data) is torch.Tensor
    return not plain or not weight.is_floating_point()
