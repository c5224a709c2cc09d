"""Widths that the hardware's tiles divide: how many units of a layer must go at once, so that what stays is a multiple.

Matrix units in half precision want widths in multiples of 8, and their tiles waste nothing at multiples of 64. Where
the dense width is no multiple itself, what stays keeps the greatest divisor that both have in common.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from aptp_bench.pruning.coupled import Group, Side
from aptp_bench.pruning.gates import GateSpace, consumer

Channels = tuple[int, int]  # of one side of a layer: those of a unit, and all


def stepped(unet: UNet2DConditionModel, among: Iterable[Group], align: int) -> tuple[Group, ...]:
    """The same groups, each losing units in the smallest steps that keep all its layers' widths multiples of `align`.

    A narrowed head is a width too: the kernels of attention are made for some head widths, not for their sum. Works on
    the meta device. A group with more units in a step than may go stays whole.
    """
    return tuple(replace(group, step=_step(_sides(unet, group), align)) for group in among)


def chunks(unet: UNet2DConditionModel, space: GateSpace, align: int) -> tuple[int, ...]:
    """Of each width layer of `space`: the fewest gates that must close together for widths in multiples of `align`."""
    widths = ((layer.size, consumer(unet, layer).weight.shape[1]) for layer in space.widths)
    return tuple(_step([(width // gates, width)], align) for gates, width in widths)


def dealt(logits: Tensor, space: GateSpace, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Logits [N, D] of gates that close in chunks -> their chunks' logits and names, both [N, D].

    In every network and layer the gates are sorted and dealt out, sizes[layer] to a chunk, which has their mean logit
    and, for a name, the flat index of its lowest gate. A layer's best chunk, where it is more than a gate, has an
    infinite logit, so that it stays: gates.guarded would leave one gate of it. Sizes of 1 change nothing.
    """
    levels, names = logits.clone(), torch.arange(logits.numel()).view_as(logits)
    for layer, size in zip(space.widths, sizes, strict=True):
        if size > 1:
            order = logits[:, layer.span].argsort(dim=1, stable=True)
            level = logits[:, layer.span].gather(1, order).unflatten(1, (-1, size)).mean(2)
            level[:, -1] = math.inf
            first = names[:, layer.span].gather(1, order)[:, ::size]
            levels[:, layer.span].scatter_(1, order, level.repeat_interleave(size, dim=1))
            names[:, layer.span].scatter_(1, order, first.repeat_interleave(size, dim=1))
    return levels, names


def _step(sides: Iterable[Channels], align: int) -> int:
    """The fewest units whose channels are multiples, on every side, of what `align` and all channels have in common."""
    tiles = [(unit, math.gcd(align, width)) for unit, width in sides]
    return math.lcm(*(tile // math.gcd(tile, unit) for unit, tile in tiles))


def _sides(unet: UNet2DConditionModel, group: Group) -> Iterator[Channels]:
    """Inputs and outputs of the convolutions and linear layers of a group, and its heads where these are narrowed."""
    going: Counter[tuple[str, Side]] = Counter()
    for member in group.members:
        going[member.layer, member.side] += len(member.at) // group.size
    for (path, side), unit in going.items():
        layer: Any = unet.get_submodule(path)
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            width = layer.weight.shape[0 if side == "out" else 1]
            yield unit, width
            owner: Any = unet.get_submodule(path.rpartition(".")[0])
            if isinstance(owner, Attention) and side == "out" and group.attention is None:
                yield unit // owner.heads, width // owner.heads
