from __future__ import annotations

import pytest

from aptp_bench.core import slot
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.slot import Piece, Slot, work_through


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time, which a test sets."""
    now = [100.0]
    monkeypatch.setattr(slot.time, "monotonic", lambda: now[0])
    return now


def test_no_piece_is_begun_that_would_not_end_in_time(clock) -> None:
    done = []

    def piece(name: str, seconds: float) -> Piece:
        def run() -> None:
            done.append(name)
            clock[0] += seconds

        return Piece(name, run, lambda: seconds)

    box = Slot(10)
    left = work_through([piece("a", 6), piece("b", 5), piece("c", 4), piece("d", 1)], box, SilentProgress())
    assert done == ["a", "c"] and [each.name for each in left] == ["b", "d"]
    assert box.left == 0


def test_a_slot_without_an_end_takes_everything(clock) -> None:
    done = []
    pieces = [Piece("long", lambda: done.append("long"), lambda: 1e9)]
    assert work_through(pieces, Slot(), SilentProgress()) == [] and done == ["long"]


def test_what_a_piece_takes_is_asked_when_it_is_its_turn(clock) -> None:
    """What the first teaches changes what the second is expected to take."""
    known = {"second": 100.0}
    first = Piece("first", lambda: known.update(second=1.0), lambda: 1.0)
    assert (
        work_through([first, Piece("second", lambda: None, lambda: known["second"])], Slot(10), SilentProgress()) == []
    )
