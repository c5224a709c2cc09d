"""What lives at a time: an amount for every storage from when an operation returns it until it is freed."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


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
