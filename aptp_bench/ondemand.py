"""Networks made when they are asked for: the experts of a large model do not fit memory all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

T = TypeVar("T")


class OnDemand(Sequence[T]):
    """A sequence of `size` items, item i being make(i); only the last one made is held."""

    def __init__(self, make: Callable[[int], T], size: int) -> None:
        self._make, self._size = make, size
        self._held: tuple[int, Any] | None = None

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...

    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            at = range(self._size)[index]
            return OnDemand(lambda i: self._make(at[i]), len(at))
        index = range(self._size)[index]  # negative indices, and IndexError beyond the end
        if self._held is None or self._held[0] != index:
            self._held = None  # let go of one before the next is made
            self._held = (index, self._make(index))
        return self._held[1]
