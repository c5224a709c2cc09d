"""Networks made when they are asked for: the experts of a large model do not fit memory all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, overload

from aptp_bench.errors import ConfigError

T = TypeVar("T")


class OnDemand(Sequence[T]):
    """A sequence of `size` items, item i being make(i); only the `held` items asked for last are held.

    Raises ConfigError for a `held` below one.
    """

    def __init__(self, make: Callable[[int], T], size: int, held: int = 1) -> None:
        if held < 1:
            raise ConfigError(f"{held} networks cannot be held; hold 1 or more")
        self._make, self._size, self._bound = make, size, held
        self._items: dict[int, T] = {}  # in the order in which they were asked for, the oldest first

    @property
    def held(self) -> tuple[int, ...]:
        """Indices of the items in memory, the one asked for last at the end."""
        return tuple(self._items)

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...

    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            at = range(self._size)[index]
            return OnDemand(lambda i: self._make(at[i]), len(at), self._bound)
        index = range(self._size)[index]  # negative indices, and IndexError beyond the end
        if index in self._items:
            self._items[index] = self._items.pop(index)
        else:
            while len(self._items) >= self._bound:  # let go of one before the next is made
                del self._items[next(iter(self._items))]
            self._items[index] = self._make(index)
        return self._items[index]
