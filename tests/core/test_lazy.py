from __future__ import annotations

import gc
import weakref

import pytest

from aptp_bench.core.lazy import OnDemand
from aptp_bench.errors import ConfigError


class Thing:
    def __init__(self, number: int) -> None:
        self.number = number


def test_items_are_made_when_asked_for_and_the_last_is_held() -> None:
    made: list[int] = []

    def make(i: int) -> Thing:
        made.append(i)
        return Thing(i)

    things = OnDemand(make, 3)
    assert made == [] and len(things) == 3
    assert things[1] is things[1] and things[-1].number == 2
    assert made == [1, 2]
    assert [thing.number for thing in things] == [0, 1, 2]


def test_only_one_item_is_in_memory() -> None:
    things = OnDemand(Thing, 2)
    first = weakref.ref(things[0])
    assert first() is not None
    things[1]
    gc.collect()
    assert first() is None


def test_slices_and_ends() -> None:
    things = OnDemand(Thing, 5)
    assert [thing.number for thing in things[1::2]] == [1, 3]
    with pytest.raises(IndexError):
        things[5]


def test_at_most_so_many_are_held_and_the_oldest_goes_before_the_next_is_made() -> None:
    alive: weakref.WeakSet[Thing] = weakref.WeakSet()
    made: list[tuple[int, int]] = []  # (number, how many others lived while it was made)

    def make(i: int) -> Thing:
        gc.collect()
        made.append((i, len(alive)))
        alive.add(thing := Thing(i))
        return thing

    things = OnDemand(make, 4, held=2)
    for i in (0, 1, 0, 2, 0, 1):  # 1 is older than 0 when 2 comes, 2 older than 0 when 1 comes again
        assert things[i].number == i
    assert made == [(0, 0), (1, 1), (2, 1), (1, 1)]
    assert things.held == (0, 1) and len(alive) == 2


def test_holding_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="hold 1 or more"):
        OnDemand(Thing, 2, held=0)
