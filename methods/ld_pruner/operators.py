"""The operators of a U-Net that LD-Pruner may modify, and what stands in for each.

Paper: LD-Pruner, Section 2.2: an operator is removed where its output is shaped as its input, else a 1x1 convolution,
pooling or interpolation takes its place, or two of them. The paper names kinds of operators (PAPER) and lists none: which
modules are candidates is an option. ResBlocks, feed-forwards and time projections are ours. The network's ends (conv_in,
conv_out, conv_norm_out) and its embeddings are none. Networks with text (UNet2DConditionModel) and without (UNet2DModel).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.upsampling import Upsample2D
from torch import nn

from aptp_bench.budget import Convention
from aptp_bench.methods.ld_pruner.config import Candidates, Shortcut
from aptp_bench.pruning.macs import ExampleInputs, count
from aptp_bench.pruning.substitutes import (
    Identity,
    NearestUpsample,
    Pointwise,
    PoolDownsample,
    PoolPointwise,
    SkipResnet,
    SkipTransformer,
    Substitute,
    UpsamplePointwise,
    Zeros,
)
from aptp_bench.pruning.surgery import meta_clone, substitute_

FREE = frozenset({"time_emb_proj", "group_norm", "layer_norm", "activation"})  # kinds with hardly a MAC
CONVOLUTIONS = frozenset(
    {"conv", "conv_pointwise", "downsample", "downsample_pointwise", "upsample", "upsample_pointwise"}
)
PROJECTIONS = frozenset(
    {"proj_in", "proj_out"}
)  # of a transformer: 1x1 convolutions in SD 1.4, linear layers in SD 2.1
ATTENTIONS = frozenset({"attn1", "attn2", "attention"})
COMPOSITES = frozenset({"transformer", "transformer_block"})  # Transformer2DModel, BasicTransformerBlock
NORMS = frozenset({"group_norm", "layer_norm"})
PAPER = CONVOLUTIONS | PROJECTIONS | ATTENTIONS | COMPOSITES | NORMS | {"activation"}  # kinds that the paper names
NORM_OF = {"attn1": "norm1", "attn2": "norm2", "ff": "norm3"}  # the LayerNorm that a branch of a transformer reads


@dataclass(frozen=True)
class Operator:
    """A module by its path. kind: a key of STAND_INS; sliced: channels of the decoder's stream that pass it by, or None.

    reader: of a LayerNorm, the path of the branch that alone reads it.
    """

    path: str
    kind: str
    sliced: int | None = None
    reader: str | None = None

    def within(self, path: str) -> bool:
        """Whether it goes when the operator at `path` does, which holds it or alone reads it."""
        return self.path.startswith(f"{path}.") or self.reader == path


def operators(
    unet: nn.Module, candidates: Candidates = "costly", resnets: Shortcut = "shortcut"
) -> tuple[Operator, ...]:
    """All candidates in the order of the modules, an operator before those inside it.

    In SD 2.1 `costly` finds 168, `paper` 276 and `all` 336.
    """
    streams = _streams(unet) if resnets == "slice" else {}
    found = []
    for path, module in unet.named_modules():
        parts = next((rule(module) for host, rule in _HOSTS if isinstance(module, host)), ())
        found += [(f"{path}.{part}".rstrip("."), kind) for part, kind in parts]
    wanted = [(path, kind) for path, kind in found if _asked(kind, candidates)]
    return tuple(Operator(path, kind, streams.get(path), _reader(path, kind)) for path, kind in wanted)


def _asked(kind: str, candidates: Candidates) -> bool:
    """Whether a kind is among the candidates."""
    return {"costly": kind not in FREE | {"transformer_block"}, "paper": kind in PAPER, "all": True}[candidates]


def stand_in(unet: nn.Module, operator: Operator) -> Substitute:
    """A new module to put in the operator's place, on its device; `unet` is only read."""
    module = unet.get_submodule(operator.path)
    made = STAND_INS[operator.kind](module) if operator.sliced is None else SkipResnet(operator.sliced)
    return made.train(module.training)


def stand_ins(unet: nn.Module, operator: Operator) -> dict[str, Substitute]:
    """All that modifying an operator for good puts into the network: path -> new module.

    With a branch of a transformer goes its LayerNorm, which nothing else reads: no gradient would reach it.
    """
    made = {operator.path: stand_in(unet, operator)}
    if operator.kind in NORM_OF:
        norm = f"{operator.path.rpartition('.')[0]}.{NORM_OF[operator.kind]}"
        if isinstance(unet.get_submodule(norm), nn.LayerNorm):
            made[norm] = Identity().train(unet.get_submodule(norm).training)
    return made


def savings(
    unet: Any, among: Sequence[Operator], inputs: ExampleInputs, convention: Convention
) -> tuple[int, dict[str, int]]:
    """The dense MACs, and what modifying each operator alone saves, by path.

    Stand-ins keep shapes, so an operator saves the same whatever else is modified outside of it: one count serves all
    operators of one depth of nesting.
    """
    dense = count(unet, inputs, convention)
    saved: dict[str, int] = {}
    depths = [sum(operator.within(other.path) for other in among) for operator in among]  # how many hold it
    for level in sorted(set(depths)):
        twin = meta_clone(unet)
        places = {o.path: stand_ins(twin, o) for o, depth in zip(among, depths, strict=True) if depth == level}
        for path, module in (item for made in places.values() for item in made.items()):
            substitute_(twin, path, module)
        left = count(twin, inputs, convention)
        saved |= {path: sum(dense.under(p) - left.under(p) for p in made) for path, made in places.items()}
    return dense.total, saved


def _reader(path: str, kind: str) -> str | None:
    """The branch that reads a LayerNorm; None for other operators."""
    block, _, name = path.rpartition(".")
    readers = {norm: branch for branch, norm in NORM_OF.items()}
    return f"{block}.{readers[name]}" if kind == "layer_norm" else None


def _streams(unet: Any) -> dict[str, int]:
    """Decoder ResBlocks that get as many channels of stream, before the skip is concatenated, as they give."""
    width, found = unet.down_blocks[-1].resnets[-1].out_channels, {}
    for b, block in enumerate(unet.up_blocks):
        for r, resnet in enumerate(block.resnets):
            if width == resnet.out_channels:
                found[f"up_blocks.{b}.resnets.{r}"] = width
            width = resnet.out_channels
    return found


def _resnet_parts(m: Any) -> Iterator[tuple[str, str]]:
    way = "resnet_down" if m.downsample is not None else "resnet_up" if m.upsample is not None else "resnet"
    yield "", way if m.conv_shortcut is None else f"{way}_shortcut"
    for name in ("conv1", "conv2"):
        conv = getattr(m, name)
        yield name, "conv" if conv.in_channels == conv.out_channels else "conv_pointwise"
    if m.time_emb_proj is not None:
        yield "time_emb_proj", "time_emb_proj"
    yield from (("norm1", "group_norm"), ("norm2", "group_norm"), ("nonlinearity", "activation"))


def _transformer_parts(m: Any) -> Iterator[tuple[str, str]]:
    yield "", "transformer"
    yield "norm", "group_norm"
    for name in ("proj_in", "proj_out"):
        if getattr(m, name).weight.shape[0] == getattr(m, name).weight.shape[1]:
            yield name, name
    for i, block in enumerate(m.transformer_blocks):
        yield f"transformer_blocks.{i}", "transformer_block"
        for name in ("attn1", "attn2", "ff"):
            if getattr(block, name) is not None:
                yield f"transformer_blocks.{i}.{name}", name
        for name in ("norm1", "norm2", "norm3"):
            if isinstance(getattr(block, name), nn.LayerNorm):
                yield f"transformer_blocks.{i}.{name}", "layer_norm"


def _attention_parts(m: Any) -> Iterator[tuple[str, str]]:
    """None for one inside a transformer, which adds the residual itself: the transformer's host has named it."""
    if m.residual_connection:
        yield "", "attention"
        if m.group_norm is not None:
            yield "group_norm", "group_norm"


def _sampler_parts(m: Any) -> Iterator[tuple[str, str]]:
    """None for a sampler that has no convolution."""
    if isinstance(m.conv, nn.Conv2d):
        kind = "downsample" if isinstance(m, Downsample2D) else "upsample"
        yield "", kind if m.conv.in_channels == m.conv.out_channels else f"{kind}_pointwise"


_HOSTS: tuple[tuple[Any, Callable[[Any], Iterator[tuple[str, str]]]], ...] = (
    (ResnetBlock2D, _resnet_parts),
    (Transformer2DModel, _transformer_parts),
    (Attention, _attention_parts),
    ((Downsample2D, Upsample2D), _sampler_parts),
)

STAND_INS: Mapping[str, Callable[[Any], Substitute]] = {
    "resnet": lambda m: Identity(),
    "resnet_shortcut": lambda m: Pointwise.after(m.conv_shortcut),
    "resnet_down": lambda m: PoolDownsample(),
    "resnet_down_shortcut": lambda m: PoolPointwise.after(m.conv_shortcut),
    "resnet_up": lambda m: NearestUpsample(),
    "resnet_up_shortcut": lambda m: UpsamplePointwise.after(m.conv_shortcut),
    "transformer": lambda m: SkipTransformer(),
    "transformer_block": lambda m: Identity(),
    "attention": lambda m: Identity(),
    "attn1": lambda m: Zeros(),
    "attn2": lambda m: Zeros(),
    "ff": lambda m: Zeros(),
    "proj_in": lambda m: Identity(),
    "proj_out": lambda m: Identity(),
    "conv": lambda m: Identity(),
    "conv_pointwise": Pointwise.after,
    "downsample": lambda m: PoolDownsample(),
    "downsample_pointwise": lambda m: PoolPointwise.after(m.conv),
    "upsample": lambda m: NearestUpsample(),
    "upsample_pointwise": lambda m: UpsamplePointwise.after(m.conv),
    "time_emb_proj": lambda m: Zeros(m.out_features),
    "group_norm": lambda m: Identity(),
    "layer_norm": lambda m: Identity(),
    "activation": lambda m: Identity(),
}
