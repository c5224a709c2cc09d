"""Bytes that one call of a network needs, beyond its own weights: the most that are alive at once.

On a GPU the allocator's own count. On the CPU the bytes of all tensors that PyTorch operations returned and that still
live: resident memory depends on the allocator, on threads and on what ran before, this count on the network alone. What
a kernel takes and gives back inside one operation is in the GPU's figure and not in the CPU's.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from aptp_bench.core.living import LiveBytes


def peak_allocated(call: Callable[[], None], device: torch.device) -> int:
    """Bytes that CUDA's allocator gave out during `call` beyond those it held before, at the worst moment."""
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    call()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def peak_live(call: Callable[[], None], network: nn.Module) -> int:
    """Bytes of tensors alive at once during `call`, at the worst moment, without the network's own."""
    with LiveBytes(storages(network)) as counter:
        call()
    return counter.living.peak


def storages(network: nn.Module) -> dict[int, int]:
    """Address -> bytes of the storages that hold a network's parameters and buffers."""
    tensors = [*network.parameters(), *network.buffers()]
    return {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}
