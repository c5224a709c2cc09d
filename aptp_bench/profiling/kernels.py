"""Which attention kernels PyTorch chose: part of what a time is of."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


class Kernels(TorchDispatchMode):
    """Which attention kernels ran inside, by name: what PyTorch chose is part of a time."""

    def __init__(self) -> None:
        super().__init__()
        self.attention: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Take note of attention and pass it on."""
        name = func.overloadpacket.__name__
        if "scaled_dot_product" in name:
            self.attention.add(name.lstrip("_"))
        return func(*args, **(kwargs or {}))


def attention_kernels(network: nn.Module, inputs: dict[str, torch.Tensor]) -> list[str]:
    """Names of the attention kernels that one eager call runs; "products of matrices" where it spells them out."""
    with torch.no_grad(), Kernels() as seen:
        network(**inputs)
    return sorted(seen.attention) or ["products of matrices"]
