"""Hard pruning: a smaller U-Net out of a larger one, and the helpers that every pruning method stands on.

`cut` carries out 0/1 gates, so that the cut network computes what the gated one does. `clone`, `substitute_`,
`swapped` and `fix_attributes_` serve methods with other ideas of what to remove.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn

from aptp_bench.core.documents import meant
from aptp_bench.errors import PruningError
from aptp_bench.pruning.gates import GateSpace, Width, consumer
from aptp_bench.pruning.substitutes import SUBSTITUTES, Identity, SkipResnet, SkipTransformer, Substitute

__all__ = ["SUBSTITUTES", "clone", "cut", "fix_attributes_", "meta_clone", "substitute_", "swapped"]

_SKIPS: dict[str, type[Substitute]] = {"transformer": SkipTransformer, "attention": Identity}
Slice = tuple[nn.Parameter, int, Tensor]  # a parameter, the dimension to cut, the indices that stay


def cut(unet: UNet2DConditionModel, space: GateSpace, keep: Tensor) -> UNet2DConditionModel:
    """A new network without the units whose gate is False; `unet` is left as it was. Works on the meta device.

    keep: bool [D]. Only what stays is copied, so that memory peaks near teacher + student. Raises PruningError if
    `keep` or `space` does not fit, if a layer that still runs would keep nothing (see gates.guarded), or as check_plain does.
    """
    check_plain(unet)
    widths, depth = _decisions(unet, space, keep)
    pairs = zip(space.widths, widths, strict=True)
    living = [(layer, kept) for layer, kept in pairs if layer.depth is None or depth[layer.depth]]
    tensors: dict[nn.Parameter, Tensor] = {}
    for layer, kept in living:
        if not kept.any():
            raise PruningError(f"'{layer.path}' would keep none of its {layer.size} units; apply gates.guarded first")
        tensors |= {p: p.detach().index_select(dim, at.to(p.device)) for p, dim, at in _cuts(unet, layer, kept)}
    closed: dict[str, Substitute] = {
        unit.path: SkipResnet(unit.channels) if unit.kind == "resnet" else _SKIPS[unit.kind]()
        for unit, kept in zip(space.depths, depth, strict=True)
        if not kept
    }
    student: Any = clone(unet, tensors, closed)
    for layer, kept in living:
        if layer.kind == "resnet":
            student.get_submodule(layer.path).norm2.num_groups = int(kept.sum())
        elif layer.kind != "feed_forward":
            student.get_submodule(layer.path).heads = int(kept.sum())
    fix_attributes_(student)
    return student


def check_plain(unet: nn.Module) -> None:
    """Raise PruningError where a layer computes with another's weights: fused projections, or one tensor under two names."""
    fused = next((path for path, module in unet.named_modules() if getattr(module, "fused_projections", False)), None)
    if fused is not None:  # and after unfuse_qkv_projections() has them still, unused
        raise PruningError(f"'{fused}' has fused projections; load the network again and fuse them after pruning")
    names: dict[int, str] = {}
    for name, parameter in unet.named_parameters(remove_duplicate=False):
        if (other := names.setdefault(id(parameter), name)) != name:
            raise PruningError(f"'{other}' and '{name}' are one tensor; give each a clone of its own first")


def clone(
    unet: UNet2DConditionModel,
    tensors: Mapping[nn.Parameter, Tensor] | None = None,
    modules: Mapping[str, nn.Module] | None = None,
) -> UNet2DConditionModel:
    """A deep copy without hooks, with some parameters and modules exchanged; what is exchanged is never copied.

    tensors: parameter of `unet` -> its new value, any shape (then call fix_attributes_); modules: path -> module.
    """
    memo: dict[int, Any] = {id(p): nn.Parameter(t, p.requires_grad) for p, t in (tensors or {}).items()}
    memo |= {id(_module(unet, path)): module for path, module in (modules or {}).items()}
    # a module has a dozen tables of hooks, of which copy makes hard work; nearly all are empty
    memo |= {id(t): OrderedDict() for m in unet.modules() for t in vars(m).values() if type(t) is OrderedDict and not t}
    twin = copy.deepcopy(unet, memo)
    for module in twin.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            hooks.clear()
    return twin


def meta_clone(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """The same network on the meta device: geometry without numbers, no memory."""
    twin: Any = clone(unet, {p: torch.empty_like(p, device="meta") for p in unet.parameters()})
    return twin.to("meta")  # buffers


def substitute_(unet: nn.Module, path: str, module: nn.Module) -> nn.Module:
    """Put `module` at `path` of `unet`, in place; returns what was there. Raises PruningError if nothing was."""
    old = _module(unet, path)
    parent, _, name = path.rpartition(".")
    setattr(unet.get_submodule(parent), name, module)
    return old


@contextmanager
def swapped(unet: nn.Module, path: str, module: nn.Module) -> Iterator[nn.Module]:
    """`unet` with `module` at `path` for the length of the block; what was there comes back whatever happens."""
    old = substitute_(unet, path, module)
    try:
        yield unet
    finally:
        substitute_(unet, path, old)


def fix_attributes_(unet: nn.Module, heads: Mapping[str, int] | None = None) -> None:
    """Make every attribute that a forward pass reads agree with the weights, in place, after weights were cut.

    heads: path of an Attention -> number of its heads, where that changed. Raises PruningError if a path is not an
    Attention, or if a width does not divide into its groups or heads.
    """
    for path, count in (heads or {}).items():
        attention = _module(unet, path)
        if not isinstance(attention, Attention):
            raise PruningError(f"'{path}' is a {type(attention).__name__}; heads go with the path of an Attention")
        attention.heads = count
    for path, module in unet.named_modules():
        for kind, fix in _FIXES:
            if isinstance(module, kind) and not fix(module):
                name = type(module).__name__
                raise PruningError(
                    f"the width of {name} '{path}' does not divide into its groups or heads; cut whole ones"
                )


def _decisions(unet: UNet2DConditionModel, space: GateSpace, keep: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    space.check(unet)
    if keep.dtype != torch.bool or keep.shape != (space.size,):
        got = f"{str(keep.dtype).removeprefix('torch.')} {list(keep.shape)}"
        raise PruningError(f"keep is {got}; give one bool [{space.size}], e.g. gates[i] >= 0.5")
    return space.split(keep.cpu())


def _module(unet: nn.Module, path: str) -> nn.Module:
    try:
        return unet.get_submodule(path)
    except AttributeError as err:
        hint = meant(path, [name for name, _ in unet.named_modules()], "no module is called alike")
        raise PruningError(f"no module '{path}' in the network; {hint}") from err


def _cuts(unet: UNet2DConditionModel, layer: Width, kept: Tensor) -> list[Slice]:
    """Every parameter that `layer` narrows: producers by rows (dimension 0), the consumer by columns."""
    host: Any = unet.get_submodule(layer.path)
    columns = consumer(unet, layer).weight
    width = columns.shape[1]
    at = kept.repeat_interleave(width // len(kept)).nonzero().flatten()  # a unit is width / len(kept) channels in a row
    if layer.kind == "resnet":
        producers = [host.conv1, host.norm2, *([] if host.time_emb_proj is None else [host.time_emb_proj])]
    else:
        producers = [host.net[0].proj] if layer.kind == "feed_forward" else [host.to_q, host.to_k, host.to_v]
    return [*(part for producer in producers for part in _rows(producer, at, width)), (columns, 1, at)]


def _rows(module: Any, at: Tensor, width: int) -> list[Slice]:
    """Weight and bias of a module that writes `width` channels, or twice as many: a GEGLU's halves, scale and shift."""
    every = torch.cat([at + start for start in range(0, module.weight.shape[0], width)])
    return [(p, 0, every) for p in (module.weight, module.bias) if p is not None]


def _fix_linear(m: Any) -> bool:
    m.out_features, m.in_features = m.weight.shape
    return True


def _fix_conv(m: Any) -> bool:
    m.out_channels, m.in_channels = m.weight.shape[0], m.weight.shape[1] * m.groups
    return True


def _fix_group_norm(m: Any) -> bool:
    m.num_channels = len(m.weight)
    return m.num_groups > 0 and m.num_channels % m.num_groups == 0


def _fix_layer_norm(m: Any) -> bool:
    m.normalized_shape = tuple(m.weight.shape)
    return True


def _fix_sampler(m: Any) -> bool:
    if isinstance(m.conv, nn.Conv2d):
        m.channels, m.out_channels = m.conv.weight.shape[1], m.conv.weight.shape[0]
    return True


def _fix_resnet(m: Any) -> bool:
    if isinstance(m.norm1, nn.GroupNorm):
        m.in_channels = len(m.norm1.weight)
    if isinstance(m.conv2, nn.Conv2d):
        m.out_channels = m.conv2.weight.shape[0]
    return True


def _fix_attention(m: Any) -> bool:
    m.inner_dim, m.query_dim = m.to_q.weight.shape
    m.inner_kv_dim, m.out_dim = m.to_k.weight.shape[0], m.to_out[0].weight.shape[0]
    m.sliceable_head_dim = m.heads
    if m.heads < 1 or m.inner_dim % m.heads or m.inner_kv_dim % m.heads:
        return False
    m.scale = (m.inner_dim // m.heads) ** -0.5 if m.scale_qk else 1.0
    return True


_FIXES: tuple[tuple[type[nn.Module], Callable[[Any], bool]], ...] = (
    (nn.Linear, _fix_linear),
    (nn.Conv2d, _fix_conv),
    (nn.GroupNorm, _fix_group_norm),
    (nn.LayerNorm, _fix_layer_norm),
    (Downsample2D, _fix_sampler),
    (Upsample2D, _fix_sampler),
    (ResnetBlock2D, _fix_resnet),
    (Attention, _fix_attention),
)
