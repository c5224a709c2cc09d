"""Where a U-Net's MACs and parameters are: by block as a tree, and by kind of operation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from diffusers import UNet2DConditionModel
from torch import nn

from aptp_bench.budget import CONVENTIONS, Convention
from aptp_bench.errors import CountError
from aptp_bench.pruning.macs import ExampleInputs, MacCount, count, parameters

_OPENED = {"down_blocks", "up_blocks", "resnets", "attentions", "downsamplers", "upsamplers", "transformer_blocks"}
_SPELLED_OUT = {"Transformer2DModel", "BasicTransformerBlock"}  # their parts are worth a line, lists or not


@dataclass(frozen=True)
class Block:
    """A module and its parts: MACs of one sample by convention (None: has no count there), parameters, children."""

    name: str
    path: str
    macs: dict[Convention, int | None]
    parameters: int
    children: tuple[Block, ...] = ()

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Block]]:
        """(depth, block) for this block and all under it, in the order of the network."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)


def breakdown(unet: UNet2DConditionModel, inputs: ExampleInputs) -> Block:
    """The tree of a U-Net down to attentions, feed-forwards and ResBlocks. inputs: see macs.example_inputs.

    Blocks that stand side by side in a list (resnets, attentions) are children of the block that holds the list.
    """
    counts: dict[Convention, MacCount | None] = {name: _count(unet, inputs, name) for name in CONVENTIONS}
    if all(found is None for found in counts.values()):
        count(unet, inputs, "exact")  # says why
    return _block("U-Net", "", unet, counts)


def as_others_count(unet: UNet2DConditionModel, inputs: ExampleInputs) -> dict[str, int]:
    """What other counters print for the same pass: conventions that this suite does not offer, for comparing with papers."""
    kinds = {path: type(module).__name__ for path, module in unet.named_modules()}

    def total(convention: Convention, among: set[str]) -> int:
        return sum(n for path, n in count(unet, inputs, convention).by_module.items() if kinds[path] in among)

    layers = total("exact", {"Conv2d", "Linear"})
    return {
        "convolutions and linear layers": layers,  # thop, BK-SDM
        "attention products": total("exact", {"Attention"}),
        "these layers and the APTP authors' attention": layers + total("aptp", {"Attention"}),
    }


def _block(name: str, path: str, module: nn.Module, counts: dict[Convention, MacCount | None]) -> Block:
    macs = {key: None if n is None else n.under(path) if path else n.total for key, n in counts.items()}
    children = (_block(short, full, child, counts) for short, full, child in _parts(path, module))
    worth = tuple(child for child in children if child.parameters or any(child.macs.values()))
    return Block(name, path, macs, parameters(module), worth)


def _parts(path: str, module: nn.Module) -> Iterator[tuple[str, str, nn.Module]]:
    """(short name, path, module) of what the tree shows under a module."""
    for name, child in _in_order_of_work(dict(module.named_children())):
        full = f"{path}.{name}" if path else name
        if name in _OPENED:
            yield from ((f"{name}.{i}", f"{full}.{i}", each) for i, each in child.named_children())
        elif not path or type(module).__name__ in _SPELLED_OUT:
            yield name, full, child


def _in_order_of_work(parts: dict[str, nn.Module]) -> list[tuple[str, nn.Module]]:
    """Parts by name; the mid block, which a U-Net makes last, comes before the decoder."""
    names = list(parts)
    if {"mid_block", "up_blocks"} <= parts.keys():
        names.remove("mid_block")
        names.insert(names.index("up_blocks"), "mid_block")
    return [(name, parts[name]) for name in names]


def _count(unet: UNet2DConditionModel, inputs: ExampleInputs, convention: Convention) -> MacCount | None:
    try:
        return count(unet, inputs, convention)
    except CountError:
        return None
