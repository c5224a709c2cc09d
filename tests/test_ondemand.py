from __future__ import annotations

import gc
import weakref

import pytest

from aptp_bench.ondemand import OnDemand


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
