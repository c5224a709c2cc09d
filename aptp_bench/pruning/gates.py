"""The gate space of a U-Net, and soft gates by forward hooks.

Nothing of diffusers is copied or replaced: the space is read off the modules, and gates act from outside, per sample.
Width gates multiply the input of the layer that consumes the gated channels, so that a gate of 0 is exactly a removed
channel; the authors' placement (before the GroupNorm, which divides the gate out again) is kept for comparison.
Paper: APTP, arXiv:2406.12042, Eqs. 10, 11, 23, 24.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from aptp_bench.errors import PruningError

FF_GROUPS = 32  # slices of a feed-forward's inner width, as in the paper's D = 1620
OPEN = 0.5  # a gate at or above this is kept

Kind = Literal["resnet", "self_attention", "cross_attention", "feed_forward"]
Skipped = Literal["resnet", "transformer", "attention"]
Placement = Literal["consumer", "before_norm"]


@dataclass(frozen=True)
class Width:
    """A layer that can be narrowed: `size` gates from `start` on in the flat vector.

    path: the ResBlock, Attention or FeedForward; depth: index of the depth gate it sits behind, None if it always runs.
    """

    path: str
    kind: Kind
    size: int
    start: int
    depth: int | None

    @property
    def span(self) -> slice:
        """Where its gates lie in the flat vector."""
        return slice(self.start, self.start + self.size)


@dataclass(frozen=True)
class Depth:
    """A block that can be skipped: one gate at `start` in the flat vector, `channels` of the stream pass it by."""

    path: str
    kind: Skipped
    channels: int
    start: int

    @property
    def span(self) -> slice:
        """Where its gate lies in the flat vector."""
        return slice(self.start, self.start + 1)


@dataclass(frozen=True)
class GateSpace:
    """All that can be gated in one U-Net: widths in forward order of the blocks, then depths. D = 1620 for SD 2.1."""

    widths: tuple[Width, ...]
    depths: tuple[Depth, ...]

    @classmethod
    def of(cls, unet: UNet2DConditionModel) -> GateSpace:
        """Read the space off a U-Net, pruned ones and the meta device included.

        A ResBlock has a gate a group of norm2, an attention one a head, a feed-forward FF_GROUPS (or the greatest
        divisor of its inner width below that). The last ResBlock and the last transformer of each down and up block
        (the last attention, where no transformer is around it) have a depth gate where the stream is as wide before as
        after.
        """
        widths: list[Width] = []
        skips: list[tuple[str, Skipped, int]] = []
        start = 0
        for path, host, channels in _hosts(unet):
            if channels is not None:
                skips.append((path, _skipped(host), channels))
            for layer_path, kind, size in _layers(path, host):
                widths.append(Width(layer_path, kind, size, start, None if channels is None else len(skips) - 1))
                start += size
        return cls(tuple(widths), tuple(Depth(*skip, start + i) for i, skip in enumerate(skips)))

    @property
    def width_size(self) -> int:
        """Number of width gates."""
        return sum(layer.size for layer in self.widths)

    @property
    def size(self) -> int:
        """D: number of gates."""
        return self.width_size + len(self.depths)

    def counts(self) -> dict[str, int]:
        """Number of gates of every kind, depth included."""
        counted: Counter[str] = Counter()
        for layer in self.widths:
            counted[layer.kind] += layer.size
        return {**counted, "depth": len(self.depths)}

    def split(self, gates: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """gates: [..., D] -> (views [..., size] in the order of `widths`, view [..., len(depths)])."""
        if gates.shape[-1] != self.size:
            raise PruningError(f"{gates.shape[-1]} gates for a space of {self.size}; use GateSpace.of(unet).size gates")
        *widths, depth = gates.split([*(layer.size for layer in self.widths), len(self.depths)], dim=-1)
        return tuple(widths), depth

    def check(self, unet: UNet2DConditionModel) -> None:
        """Raise PruningError unless this is the space of `unet`."""
        if GateSpace.of(unet) != self:
            raise PruningError("the gate space is of another network; take it anew with GateSpace.of(unet)")


def guarded(gates: Tensor, space: GateSpace) -> Tensor:
    """gates: [..., D], soft or boolean -> the same, the first gate set to 1 in every width layer that would close.

    The authors' guard; a layer is open if one of its gates is >= 0.5.
    """
    layer_of = torch.repeat_interleave(torch.tensor([layer.size for layer in space.widths])).to(gates.device)
    first = torch.tensor([layer.start for layer in space.widths], device=gates.device)
    is_open = (gates[..., : space.width_size] >= OPEN).int()
    opened = is_open.new_zeros((*gates.shape[:-1], len(space.widths))).index_add(-1, layer_of, is_open)
    forced = torch.zeros_like(gates, dtype=torch.bool)
    forced[..., first] = opened == 0
    return gates | forced if gates.dtype == torch.bool else gates.masked_fill(forced, 1.0)


class Gated:
    """Hooks that hold gates on a U-Net for many calls; `with Gated(unet, space) as g: g.set(gates); unet(...)`.

    Whatever happens inside, the hooks are gone afterwards.
    """

    def __init__(self, unet: UNet2DConditionModel, space: GateSpace, placement: Placement = "consumer") -> None:
        if placement not in ("consumer", "before_norm"):
            raise PruningError(f"unknown gate placement '{placement}'; use 'consumer' or 'before_norm'")
        space.check(unet)
        self.unet, self.space = unet, space
        self._sites = [site for i in range(len(space.widths)) for site in _sites(unet, space, i, placement)]
        # numbers of the sites by how many channels in a row share a gate, and whether the layer is linear
        self._alike: dict[tuple[int, bool], list[int]] = {}
        for i, site in enumerate(self._sites):
            key = site.own // space.widths[site.layer].size, isinstance(site.module, nn.Linear)
            self._alike.setdefault(key, []).append(i)
        self._handles: list[RemovableHandle] = []
        self._width: list[Tensor] | None = None
        self._depth: tuple[Tensor, ...] | None = None
        self._rows = 0

    def set(self, gates: Tensor | None) -> None:
        """gates: [B, D] for batches of B, [1, D] or [D] for any batch; None runs the dense network."""
        if gates is None:
            self._width = self._depth = None
            return
        if gates.ndim not in (1, 2):
            raise PruningError(f"gates of shape {tuple(gates.shape)}; give [batch, {self.space.size}]")
        widths, depth = self.space.split(gates.reshape(-1, gates.shape[-1]).to(self.unet.device))
        self._width = self._spread(widths)
        self._depth = depth[..., None, None, None].unbind(1)
        self._rows = len(depth)

    def __enter__(self) -> Gated:
        if self._handles:
            raise PruningError("these gates are already installed; use one `with` block at a time")
        self._handles.append(self.unet.register_forward_pre_hook(self._check_batch, with_kwargs=True))
        for i, site in enumerate(self._sites):
            self._handles.append(site.attach(partial(self._gate, i)))
        for i, unit in enumerate(self.space.depths):
            hook = partial(self._pass_by, i)
            self._handles.append(self.unet.get_submodule(unit.path).register_forward_hook(hook, with_kwargs=True))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _spread(self, widths: tuple[Tensor, ...]) -> list[Tensor]:
        """[B, size] a layer -> a gate a channel for every site; all that repeat alike at once, for few kernels."""
        wide: dict[int, Tensor] = {}
        for (repeats, linear), chosen in self._alike.items():
            gates = torch.cat([widths[self._sites[i].layer] for i in chosen], dim=1).repeat_interleave(repeats, dim=1)
            gates, along = (gates[:, None], 2) if linear else (gates[:, :, None, None], 1)
            parts = gates.split([self._sites[i].own for i in chosen], dim=along)
            wide.update({i: self._sites[i].copied(part) for i, part in zip(chosen, parts, strict=True)})
        return [wide[i] for i in range(len(self._sites))]

    def _gate(self, i: int, x: Tensor) -> Tensor:
        return x if self._width is None else x * self._width[i].to(x.dtype)

    def _pass_by(self, i: int, module: nn.Module, args: tuple, kwargs: dict, output: Any) -> Any:
        """u f(x) + (1 - u) x, Eqs. 11, 23, 24: x without the skip that a decoder concatenates to it."""
        if self._depth is None:
            return output
        x = args[0] if args else kwargs["hidden_states"]
        whole = output if isinstance(output, Tensor) else output[0]
        mixed = torch.lerp(x[:, : whole.shape[1]].to(whole.dtype), whole, self._depth[i].to(whole.dtype))
        if isinstance(output, Tensor):
            return mixed
        return (mixed, *output[1:]) if isinstance(output, tuple) else Transformer2DModelOutput(sample=mixed)

    def _check_batch(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        batch = len(args[0] if args else kwargs["sample"])
        if self._width is not None and self._rows not in (1, batch):
            raise PruningError(f"gates for {self._rows} samples in a batch of {batch}; give one row a sample")


@contextmanager
def gated(
    unet: UNet2DConditionModel, space: GateSpace, gates: Tensor, placement: Placement = "consumer"
) -> Iterator[Gated]:
    """Run `unet` under gates: [B, D] in [0, 1], one row a sample (or one for all); differentiable in them.

    placement: "consumer" (gated = cut) or "before_norm" (the authors'). Raises PruningError if sizes do not fit.
    """
    with Gated(unet, space, placement) as hooks:
        hooks.set(gates)
        yield hooks


@dataclass(frozen=True)
class _Site:
    """Where one layer's gates act: a module's input or output; a gate scales a run of channels, `copies` times over."""

    layer: int
    module: nn.Module
    channels: int
    on_output: bool = False
    copies: int = 1

    @property
    def own(self) -> int:
        """Channels of one copy."""
        return self.channels // self.copies

    def copied(self, gates: Tensor) -> Tensor:
        """gates: [B, own, 1, 1] before a convolution or GroupNorm, [B, 1, own] at a linear layer -> all channels."""
        return gates if self.copies == 1 else gates.repeat(1, 1, self.copies)

    def attach(self, gate: partial[Tensor]) -> RemovableHandle:
        """Install `gate`, a function of the activation."""
        if self.on_output:
            return self.module.register_forward_hook(lambda module, args, output: gate(output))
        return self.module.register_forward_pre_hook(lambda module, args: (gate(args[0]), *args[1:]))


def consumer(unet: UNet2DConditionModel, layer: Width) -> Any:
    """The convolution or linear layer that reads what `layer` gates; its weight is [out, gated channels, ...]."""
    host: Any = unet.get_submodule(layer.path)
    if layer.kind == "resnet":
        return host.conv2
    return host.net[2] if layer.kind == "feed_forward" else host.to_out[0]


def _sites(unet: UNet2DConditionModel, space: GateSpace, i: int, placement: Placement) -> list[_Site]:
    """Wherever the gates of the i-th width layer act."""
    layer = space.widths[i]
    host: Any = unet.get_submodule(layer.path)
    reader = consumer(unet, layer)
    width = reader.weight.shape[1]
    if placement == "consumer":
        return [_Site(i, reader, width)]
    if layer.kind == "resnet":
        return [_Site(i, host.norm2, width)]
    if layer.kind == "feed_forward":
        up = host.net[0].proj
        return [_Site(i, up, up.out_features, True, up.out_features // width)]
    return [_Site(i, part, part.out_features, True) for part in (host.to_q, host.to_k, host.to_v)]


def _hosts(unet: UNet2DConditionModel) -> Iterator[tuple[str, nn.Module, int | None]]:
    """(path, ResBlock or transformer, channels of the stream if it can be skipped), in the order of the flat vector."""
    stream = unet.conv_in.out_channels
    for path, block in blocks(unet).items():
        resnets, transformers = list(block.resnets), list(getattr(block, "attentions", None) or [])
        before_last = resnets[-2].out_channels if len(resnets) > 1 else stream
        stream = resnets[-1].out_channels
        may_skip = not path.startswith("mid")
        for i, resnet in enumerate(resnets):
            fits = i == len(resnets) - 1 and isinstance(resnet, ResnetBlock2D) and before_last == stream
            yield f"{path}.resnets.{i}", resnet, stream if fits and may_skip else None
        for i, transformer in enumerate(transformers):
            fits = i == len(transformers) - 1 and _passes_by(transformer)
            yield f"{path}.attentions.{i}", transformer, stream if fits and may_skip else None
        samplers = getattr(block, "downsamplers", None) or getattr(block, "upsamplers", None) or ()
        stream = getattr(samplers[-1], "out_channels", stream) if samplers else stream


def blocks(unet: Any) -> dict[str, Any]:
    """A U-Net's blocks by their paths, in the order in which they run."""
    down = {f"down_blocks.{i}": block for i, block in enumerate(unet.down_blocks)}
    middle = {} if unet.mid_block is None else {"mid_block": unet.mid_block}
    return down | middle | {f"up_blocks.{i}": block for i, block in enumerate(unet.up_blocks)}


def _passes_by(host: nn.Module) -> bool:
    """Whether a transformer, or an attention that stands alone, adds to the stream: without it the stream goes on."""
    return isinstance(host, Transformer2DModel) or (isinstance(host, Attention) and host.residual_connection)


def _skipped(host: nn.Module) -> Skipped:
    if isinstance(host, ResnetBlock2D):
        return "resnet"
    return "attention" if isinstance(host, Attention) else "transformer"


def _layers(path: str, host: nn.Module) -> Iterator[tuple[str, Kind, int]]:
    """(path, kind, number of gates) of the layers of one ResBlock or transformer that can be narrowed."""
    if isinstance(host, ResnetBlock2D) and isinstance(host.norm2, nn.GroupNorm) and isinstance(host.conv2, nn.Conv2d):
        yield path, "resnet", host.norm2.num_groups
    if isinstance(host, Attention):
        yield path, "self_attention", host.heads
    if not isinstance(host, Transformer2DModel):
        return
    blocks: Any = host.transformer_blocks
    for i, block in enumerate(blocks):
        inside = f"{path}.transformer_blocks.{i}"
        if isinstance(block.attn1, Attention):
            yield f"{inside}.attn1", "self_attention", block.attn1.heads
        if isinstance(block.attn2, Attention):
            yield f"{inside}.attn2", "cross_attention", block.attn2.heads
        if isinstance(block.ff, FeedForward):
            width = block.ff.net[2].in_features
            slices = next(n for n in range(min(FF_GROUPS, width), 0, -1) if width % n == 0)
            yield f"{inside}.ff", "feed_forward", slices
