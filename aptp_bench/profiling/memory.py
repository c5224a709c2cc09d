"""Bytes that one call of a network needs, beyond its own weights: the most that are alive at once.

On a GPU the allocator's own count. On the CPU the bytes of all tensors that PyTorch operations returned and that still
live: resident memory depends on the allocator, on threads and on what ran before, this count on the network alone. What
a kernel takes and gives back inside one operation is in the GPU's figure and not in the CPU's.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


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


class Living:
    """An amount for every storage that lives, once whatever its views, and the most there was at a time."""

    def __init__(self, known: Iterable[int] = ()) -> None:
        self.now, self.peak = 0, 0
        self._known = set(known)

    def note(self, storage: torch.UntypedStorage, amount: int) -> None:
        """Count a storage until it is freed; one of `known`, or counted already, is passed over."""
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        self.now += amount
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, amount)

    def _forget(self, key: int, amount: int) -> None:
        self.now -= amount
        self._known.discard(key)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of every storage that an operation returns until it is freed; views count once."""

    def __init__(self, known: Iterable[int] = ()) -> None:
        super().__init__()
        self.living = Living(known)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and take note of what it returns."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                storage = leaf.untyped_storage()
                self.living.note(storage, storage.nbytes())
        return result


def storages(network: nn.Module) -> dict[int, int]:
    """Address -> bytes of the storages that hold a network's parameters and buffers."""
    tensors = [*network.parameters(), *network.buffers()]
    return {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}
