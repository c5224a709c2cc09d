"""What one U-Net pass costs in multiply-accumulates, in three conventions that are never mixed.

exact:   every matmul and convolution as executed; equals torch's FlopCounterMode / 2.
aptp:    as the APTP authors count: one text token, cross-attention as if the text were as long as the image (S x S,
         plus S^2 for the softmax), norms and activations, and the network's SiLU twice.
modules: equals torch_pruning.utils.count_ops_and_params: no attention matmuls.

Counted by hooks on a meta copy, a formula a module. Whatever has no formula is an error, never a smaller number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import AttentionPooling, Timesteps
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from aptp_bench.budget import CONVENTIONS, Convention
from aptp_bench.core.meta import Remembered
from aptp_bench.errors import CountError
from aptp_bench.pruning.substitutes import Substitute
from aptp_bench.pruning.surgery import meta_clone
from aptp_bench.pruning.unets import text_width

SILU_PER_ELEMENT = 2
SILU_COUNTED = 2  # the authors' sum meets the one SiLU that all modules shared at two places

ExampleInputs = dict[str, Tensor]
TEXT = "encoder_hidden_states"

# by geometry, oldest first: a pass takes a fifth of a second, and one run asks for the same networks again and again
_COUNTED: dict[bytes, dict[str, list[Macs]]] = {}
_REMEMBERED = 64


@dataclass(frozen=True)
class MacCount:
    """MACs of one pass over the inputs: in all, and by the path of the module that they were spent in."""

    convention: Convention
    total: int
    by_module: dict[str, int]

    def under(self, path: str) -> int:
        """MACs of the module at `path` and of all it contains."""
        return sum(n for name, n in self.by_module.items() if name == path or name.startswith(f"{path}."))


class Macs(NamedTuple):
    """One call of one module in the three conventions; None where a convention knows no such module."""

    exact: int = 0
    aptp: int | None = 0
    modules: int = 0


def example_inputs(unet: UNet2DConditionModel, latent_size: int | None = None, tokens: int = 77) -> ExampleInputs:
    """Inputs of one sample on the meta device: latents [1, C, h, w], timestep [1], text [1, tokens, width] where it is read.

    latent_size: height and width, the configured ones if None. Raises CountError for a U-Net that needs more inputs.
    """
    config: Any = unet.config
    if getattr(config, "addition_embed_type", None) not in (None, "text") or config.class_embed_type is not None:
        raise CountError("the U-Net wants conditions beside text; pass a dict of your own meta inputs to count()")
    size = config.sample_size if latent_size is None else latent_size
    height, width = (size, size) if isinstance(size, int) else size
    inputs = {
        "sample": torch.empty(1, config.in_channels, height, width, dtype=unet.dtype, device="meta"),
        "timestep": torch.empty(1, dtype=torch.long, device="meta"),
    }
    if (text := text_width(unet)) is not None:
        inputs[TEXT] = torch.empty(1, tokens, text, dtype=unet.dtype, device="meta")
    return inputs


def count(unet: UNet2DConditionModel, inputs: ExampleInputs, convention: Convention) -> MacCount:
    """MACs of one pass of `unet` over `inputs` (see example_inputs); `unet` is left alone and its weights are not read.

    Raises CountError for a module without a formula, and if the formulas and torch's own count of matmuls disagree.
    """
    if convention not in CONVENTIONS:
        raise CountError(f"unknown MAC convention '{convention}'; use one of {', '.join(CONVENTIONS)}")
    inputs = {name: x.to("meta", unet.dtype if x.is_floating_point() else x.dtype) for name, x in inputs.items()}
    if convention == "aptp" and TEXT in inputs:
        inputs[TEXT] = inputs[TEXT][:, :1]
    key = _geometry(unet, inputs)
    if key not in _COUNTED:
        _COUNTED[key] = _calls(unet, inputs)
    by_module = {path: _sum(path, found, convention) for path, found in _COUNTED[key].items()}
    while len(_COUNTED) > _REMEMBERED:
        _COUNTED.pop(next(iter(_COUNTED)))
    return MacCount(convention, sum(by_module.values()), by_module)


def parameters(unet: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in unet.parameters())


def _geometry(unet: UNet2DConditionModel, inputs: ExampleInputs) -> bytes:
    """A digest of all that costs depend on: modules with their sizes and settings, heads, processors, input shapes."""
    modules = list(unet.named_modules())
    heads = [(path, m.heads, type(m.processor).__name__) for path, m in modules if isinstance(m, Attention)]
    heads += [(path, m.num_heads, "") for path, m in modules if isinstance(m, AttentionPooling)]
    shapes = [(name, tuple(tensor.shape)) for name, tensor in sorted(inputs.items())]
    return hashlib.sha256(f"{unet!r}{heads}{shapes}".encode()).digest()


def _calls(unet: UNet2DConditionModel, inputs: ExampleInputs) -> dict[str, list[Macs]]:
    """Module path -> the cost of each of its calls in one pass."""
    calls: dict[str, list[Macs]] = {}
    executed = _Executed()
    with torch.inference_mode(False), torch.no_grad():  # in inference mode a layer's products are not seen as such
        twin = _instrumented(unet, calls)
        # attention as its two products: not every release of torch sees into the fused kernels
        with sdpa_kernel(SDPBackend.MATH), Remembered(), executed:
            twin(**inputs)
    counted, really = sum(call.exact for found in calls.values() for call in found), executed.macs
    if counted != really:
        raise CountError(
            f"formulas count {counted} MACs where torch executes {really}: a module computes outside of its known "
            "parts (a custom attention processor?); use stock modules or add a formula"
        )
    return calls


class _Executed(TorchDispatchMode):
    """Adds up what torch's own formulas give for the products that are executed; its FlopCounterMode is four times as slow."""

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count it."""
        result = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func.overloadpacket):
            self.macs += formula(*args, **(kwargs or {}), out_val=result) // 2
        return result


def _instrumented(unet: UNet2DConditionModel, calls: dict[str, list[Macs]]) -> UNet2DConditionModel:
    """A meta copy of `unet` that files the cost of every module call under the module's path."""
    twin = meta_clone(unet).eval()
    for path, module in twin.named_modules():
        rule = _RULES.get(type(module))
        if rule is not None:
            module.register_forward_hook(partial(_record, calls.setdefault(path, []), rule), with_kwargs=True)
        elif module._parameters or not (any(True for _ in module.children()) or isinstance(module, _FREE)):
            raise CountError(f"no MAC formula for {type(module).__name__} '{path}'; use stock diffusers modules")
    return twin


def _record(calls: list[Macs], rule: _Rule, module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
    x = args[0] if args else next(iter(kwargs.values()))
    calls.append(rule(module, x, kwargs.get(TEXT), output))


def _sum(path: str, calls: list[Macs], convention: Convention) -> int:
    found = [getattr(call, convention) for call in calls]
    if None in found:
        raise CountError(f"the {convention} convention has no cost for the activation '{path}'; count in another one")
    return sum(found)


def _conv(m: Any, x: Tensor, text: Tensor | None, y: Tensor) -> Macs:
    work = y.numel() * m.weight.shape[1:].numel()
    with_bias = work + (y.numel() if m.bias is not None else 0)
    return Macs(work, with_bias, with_bias)


def _linear(m: Any, x: Tensor, text: Tensor | None, y: Tensor) -> Macs:
    work = x.numel() * m.out_features
    with_bias = work + (m.out_features if m.bias is not None else 0)  # once a call, not once a token: as published
    return Macs(work, with_bias, with_bias)


def _attention(m: Any, x: Tensor, text: Tensor | None, y: Tensor) -> Macs:
    """The two matmuls of an Attention; projections count themselves. x: [B, S, C] or [B, C, H, W], text: [B, K, d]."""
    queries = x.shape[1] if x.ndim == 3 else x.shape[2:].numel()
    keys = queries if text is None else text.shape[1]
    return _matmuls(x.shape[0], queries, keys, m.heads, m.to_q.out_features + m.to_v.out_features)


def _attention_pooling(m: Any, x: Tensor, text: Tensor | None, y: Tensor) -> Macs:
    """One query, the mean of the tokens, attends to itself and to the tokens. x: [B, K, C]."""
    return _matmuls(x.shape[0], 1, x.shape[1] + 1, m.num_heads, m.q_proj.out_features + m.v_proj.out_features)


def _matmuls(batch: int, queries: int, keys: int, heads: int, width: int) -> Macs:
    """q k^T and its product with v; `width` is that of q and v together, all heads."""
    square = queries * queries * (width + heads)  # the aptp convention: keys as many as queries, and the softmax
    return Macs(batch * queries * keys * width, batch * square, 0)


_Rule = Callable[[Any, Tensor, Tensor | None, Tensor], Macs]
_RULES: dict[type[nn.Module], _Rule] = {
    nn.Conv2d: _conv,
    nn.Linear: _linear,
    nn.GroupNorm: lambda m, x, text, y: Macs(0, 2 * x.numel(), (2 if m.affine else 1) * x.numel()),
    nn.LayerNorm: lambda m, x, text, y: Macs(0, x.numel(), (2 if m.elementwise_affine else 1) * x.numel()),
    nn.SiLU: lambda m, x, text, y: Macs(0, SILU_COUNTED * SILU_PER_ELEMENT * x.numel(), 0),
    nn.GELU: lambda m, x, text, y: Macs(0, None, x.numel()),
    nn.ReLU: lambda m, x, text, y: Macs(0, None, x.numel()),
    nn.Mish: lambda m, x, text, y: Macs(0, None, 0),
    nn.AvgPool2d: lambda m, x, text, y: Macs(0, x.numel(), x.numel()),
    Attention: _attention,
    AttentionPooling: _attention_pooling,
}
_FREE = (nn.Dropout, nn.Identity, nn.ModuleList, Timesteps, Substitute)
