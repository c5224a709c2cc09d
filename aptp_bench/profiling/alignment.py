"""How many of the widths that pruning chose fit the hardware's tiles: one that does not saves MACs and no time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import nn

POWERS = (64, 32, 16, 8, 4, 2, 1)
TILES = (8, 64)  # half-precision matrix units want multiples of 8; tiles of 64 waste nothing


def alignment(pruned: nn.Module, dense: nn.Module) -> dict[str, float | int | None]:
    """How many widths pruning changed, and which shares of them are multiples of 8 and of 64 (None if it changed none).

    Widths are the inputs and outputs of convolutions and linear layers, compared with the dense layer of the same path.
    """
    widths = list(changed_widths(pruned, dense))
    shares = {
        f"multiple_of_{tile}": sum(w % tile == 0 for w in widths) / len(widths) if widths else None for tile in TILES
    }
    return {"pruned_widths": len(widths), **shares}


def histogram(widths: Iterable[int]) -> dict[int, int]:
    """How many widths have each power of two as their largest divisor of the kind, 64 standing for 64 and more: descending."""
    counts = dict.fromkeys(POWERS, 0)
    for width in widths:
        counts[max(power for power in POWERS if width % power == 0)] += 1
    return counts


def all_widths(network: nn.Module) -> Iterator[int]:
    """Inputs and outputs of every convolution and linear layer."""
    for layer in network.modules():
        yield from _widths(layer)


def changed_widths(pruned: nn.Module, dense: nn.Module) -> Iterator[int]:
    """The widths of `pruned` that are not those of the dense layer at the same path; new layers are passed over."""
    before = {path: widths for path, layer in dense.named_modules() if (widths := _widths(layer))}
    for path, layer in pruned.named_modules():
        for new, old in zip(_widths(layer), before.get(path, ()), strict=False):
            if new != old:
                yield new


def _widths(layer: nn.Module) -> tuple[int, ...]:
    if isinstance(layer, (nn.Conv2d, nn.Linear)):
        return layer.weight.shape[1], layer.weight.shape[0]
    return ()
