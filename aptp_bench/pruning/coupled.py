"""Channels that can only go together: found by torch-pruning, scored and cut here.

A channel of the residual stream is written by some layers and read by others; none of them can lose it alone.
torch-pruning's dependency graph (DepGraph: Fang et al., CVPR 2023, arXiv:2301.12900) says which layers share it. It is
traced on a weightless copy; what is kept of it are indices, so that scoring and cutting read the weights where they
are, copy only what stays, and never write.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from aptp_bench.errors import PruningError
from aptp_bench.pruning.macs import example_inputs
from aptp_bench.pruning.surgery import clone, fix_attributes_, meta_clone

Heads = Literal["whole", "width"]
Side = Literal["out", "in"]
Saliency = Callable[[str, Tensor], Tensor]  # name and value of a weight -> how much each of its entries matters, >= 0

_DIMENSION: dict[Side, int] = {"out": 0, "in": 1}  # of a weight


@dataclass(frozen=True)
class Member:
    """One side of one layer: channel at[i] of it goes with unit unit[i]; both int64 [m]."""

    layer: str
    side: Side
    at: Tensor
    unit: Tensor


@dataclass(frozen=True)
class Group:
    """Units that are removed one by one, each from all members at once.

    A unit is a channel; or, where a GroupNorm, a GEGLU or heads divide the channels into equal parts, the same channel
    of every part; or a whole head. path: members[0], a layer that writes the channels (where a shortcut joins two
    streams, the shortcut's convolution); size: number of units; attention: path of the Attention whose heads they are;
    least: units that must stay, two where GroupNorm sees a single pixel: of one channel a group it makes a constant;
    step: units that go at once (see aligned.stepped).
    """

    path: str
    size: int
    members: tuple[Member, ...]
    attention: str | None = None
    least: int = 1
    step: int = 1


def groups(unet: UNet2DConditionModel, heads: Heads = "whole", feed_forwards: bool = True) -> tuple[Group, ...]:
    """The groups of a U-Net in the order of its modules; the outputs of conv_out are the image's and stay.

    heads: whether attention loses heads or narrows them all alike; feed_forwards: False leaves them as they are, and
    with them the inner widths of the transformers, which they write (as the APTP authors' baseline does). A group
    whose width does not divide into equal parts stays whole and is not listed. Raises PruningError if there is none.
    """
    twin: Any = meta_clone(unet).requires_grad_(True)  # autograd is what is traced: frozen weights would leave no trace
    trace = _Trace.of(twin, heads)
    found = trace.graph.get_all_groups(ignored_layers=_ignored(twin, feed_forwards))
    made = [group for each in found if (group := trace.group(each)) is not None]
    if not made:
        raise PruningError("no coupled channels were found in the network; give a UNet2DConditionModel of diffusers")
    order = {path: i for i, (path, _) in enumerate(twin.named_modules())}
    return tuple(sorted(made, key=lambda group: order[group.path]))


def scores(unet: UNet2DConditionModel, among: Iterable[Group], saliency: Saliency, first: bool = False) -> list[Tensor]:
    """What the units of each group are worth: the saliency of their weights summed, float64 [size] a group.

    Weights of convolutions, linear layers and LayerNorms count, biases and GroupNorms do not, as in torch-pruning;
    first: only the filters of members[0].
    """
    return [_score(unet, group.members[:1] if first else group.members, group.size, saliency) for group in among]


def weakest(score: Tensor, count: int) -> Tensor:
    """score: [size] -> bool [size], False for the `count` lowest; of equals, the earlier goes first."""
    keep = torch.ones(len(score), dtype=torch.bool)
    keep[score.argsort(stable=True)[:count]] = False
    return keep


def cut(unet: UNet2DConditionModel, among: Sequence[Group], keep: Sequence[Tensor]) -> UNet2DConditionModel:
    """A new network without the units that are False in `keep`; `unet` is left as it was. Works on the meta device.

    keep: bool [size], a group each. Raises PruningError if one does not fit its group or keeps nothing.
    """
    masks: dict[tuple[str, Side], Tensor] = {}
    heads: dict[str, int] = {}
    for group, kept in zip(among, keep, strict=True):
        if kept.shape != (group.size,) or not kept.any():
            raise PruningError(f"'{group.path}' has {group.size} units; keep at least one of them, bool [{group.size}]")
        if group.attention is not None:
            heads[group.attention] = int(kept.sum())
        for member in group.members:
            weight: Any = unet.get_submodule(member.layer).weight
            every = torch.ones(weight.shape[_DIMENSION[member.side]], dtype=torch.bool)
            masks.setdefault((member.layer, member.side), every)[member.at] = kept[member.unit]
    student = clone(unet, _narrowed(unet, masks))
    fix_attributes_(student, heads)
    return student


@dataclass(frozen=True)
class _Trace:
    """torch-pruning's graph of a network, the paths of its modules, and which of them divide their channels.

    parts: a layer -> into how many parts that stay equal; heads: a projection -> the Attention whose heads it writes;
    pixels: GroupNorm -> the pixels of its input.
    """

    graph: Any
    names: dict[nn.Module, str]
    parts: dict[nn.Module, int]
    heads: dict[nn.Module, Any]
    pixels: dict[nn.Module, int]

    @classmethod
    def of(cls, twin: UNet2DConditionModel, heads: Heads) -> _Trace:
        import torch_pruning  # seconds to import

        with torch.enable_grad(), _pixels(twin) as pixels:
            graph = torch_pruning.DependencyGraph().build_dependency(twin, example_inputs(twin), verbose=False)
        attentions = [m for m in twin.modules() if isinstance(m, Attention)]
        owners = {getattr(m, name): m for m in attentions for name in ("to_q", "to_k", "to_v")}
        parts = _parts(twin) | ({} if heads == "whole" else {layer: m.heads for layer, m in owners.items()})
        names = {module: path for path, module in twin.named_modules()}
        return cls(graph, names, parts, owners if heads == "whole" else {}, pixels)

    def group(self, found: Any) -> Group | None:
        """One of torch-pruning's groups as plain indices; None if its width does not divide."""
        written = [item.dep.target.module for item in found if self._writes(item)]
        width = len(found[0].idxs)
        equal = math.lcm(*(self.parts[m] for m in written if m in self.parts))
        attention = next((self.heads[m] for m in written if m in self.heads), None)
        size = width // equal if attention is None else attention.heads
        if width % equal or width % size or (attention is not None and equal > 1):
            return None
        channels = torch.arange(width)
        unit = channels % size if attention is None else channels // (width // size)
        path = self.names[found[0].dep.target.module]
        least = 2 if any(self.pixels.get(m) == 1 for m in written) else 1
        return Group(path, size, tuple(self._members(found, unit)), self.names.get(attention), min(least, size))

    def _members(self, found: Any, unit: Tensor) -> Iterator[Member]:
        for item in found:
            module = item.dep.target.module
            if isinstance(module, nn.Parameter) or (isinstance(module, nn.Conv2d) and module.groups > 1):
                raise PruningError(f"{type(module).__name__} cannot be narrowed; use stock diffusers modules")
            if module in self.names:  # the rest are additions, concatenations and the like
                at, root = torch.tensor(item.idxs), torch.tensor(item.root_idxs)
                yield Member(self.names[module], "out" if self._writes(item) else "in", at, unit[root])

    def _writes(self, item: Any) -> bool:
        return self.graph.is_out_channel_pruning_fn(item.dep.handler)


@contextmanager
def _pixels(twin: nn.Module) -> Iterator[dict[nn.Module, int]]:
    """GroupNorm -> height times width of what it last read, filled by every pass inside."""
    seen: dict[nn.Module, int] = {}

    def see(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        seen[module] = args[0].shape[2:].numel() if args[0].ndim == 4 else 0

    handles = [m.register_forward_pre_hook(see) for m in twin.modules() if isinstance(m, nn.GroupNorm)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _ignored(twin: Any, feed_forwards: bool) -> list[nn.Module]:
    """Layers whose outputs stay."""
    # attention pooling splits its channels into heads in a way that the graph does not see
    pooled = getattr(getattr(twin, "add_embedding", None), "pool", None)
    kept = [twin.conv_out, *([] if pooled is None else pooled.modules())]
    if not feed_forwards:
        kept += [part for m in twin.modules() if isinstance(m, FeedForward) for part in m.modules()]
    return kept


def _parts(twin: nn.Module) -> dict[nn.Module, int]:
    """GroupNorms, and the projections whose output a GEGLU splits in halves."""
    parts: dict[nn.Module, int] = {m: m.num_groups for m in twin.modules() if isinstance(m, nn.GroupNorm)}
    for module in twin.modules():
        up: Any = getattr(module.net[0], "proj", None) if isinstance(module, FeedForward) else None
        if up is not None:
            parts[up] = up.out_features // module.net[2].in_features
    return parts


def _score(unet: nn.Module, members: Sequence[Member], size: int, saliency: Saliency) -> Tensor:
    total = torch.zeros(size, dtype=torch.float64)
    for member in members:
        layer: Any = unet.get_submodule(member.layer)
        if isinstance(layer, nn.GroupNorm) or layer.weight is None:
            continue
        value = saliency(f"{member.layer}.weight", layer.weight.detach())
        at = _DIMENSION[member.side]
        by_channel = value.movedim(at, 0).reshape(value.shape[at], -1).sum(1)
        total.index_add_(0, member.unit, by_channel.double().cpu()[member.at])
    return total


def _narrowed(unet: nn.Module, masks: dict[tuple[str, Side], Tensor]) -> dict[nn.Parameter, Tensor]:
    """Every parameter that loses a channel -> what is left of it."""
    tensors: dict[nn.Parameter, Tensor] = {}
    for (path, side), mask in masks.items():
        layer: Any = unet.get_submodule(path)
        for parameter in (layer.weight, layer.bias if side == "out" else None):
            if parameter is not None and not mask.all():
                at = mask.nonzero().flatten().to(parameter.device)
                now = tensors.get(parameter, parameter.detach())
                tensors[parameter] = now.index_select(_DIMENSION[side], at)
    return tensors
