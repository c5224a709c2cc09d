"""What is asked of a CUDA card, on one that is made up: its clock and its memory, and nothing that it has not done yet."""

from __future__ import annotations

import time

import pytest
import torch

from aptp_bench.profiling.memory import peak_allocated
from aptp_bench.profiling.speed import host_seconds
from aptp_bench.profiling.timing import alternately, seconds

CUDA = torch.device("cuda")


class Card:
    """Work that is queued and done at the next synchronisation; events tell the card's time, not the host's."""

    def __init__(self) -> None:
        self.now, self.queued = 0.0, []
        self.held = self.peak = 0

    def queue(self, took: float) -> None:
        self.queued.append(took)

    def synchronize(self, device: torch.device) -> None:
        for each in self.queued:
            self.now += each if isinstance(each, float) else each.reach(self.now)
        self.queued.clear()

    def hold(self, amount: int) -> None:
        self.held += amount
        self.peak = max(self.peak, self.held)

    def reset(self, device: torch.device) -> None:
        self.peak = self.held


@pytest.fixture
def card(monkeypatch) -> Card:
    made = Card()

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            self.at: float | None = None

        def record(self) -> None:
            made.queued.append(self)

        def reach(self, now: float) -> float:
            self.at = now
            return 0.0

        def elapsed_time(self, other: Event) -> float:
            assert self.at is not None and other.at is not None, "read before the card came to it"
            return 1000 * (other.at - self.at)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", made.synchronize)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: made.held)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: made.peak)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", made.reset)
    return made


def test_a_call_takes_the_cards_seconds_not_the_hosts(card) -> None:
    card.queue(5.0)  # of somebody before: not part of the call
    assert seconds(lambda: card.queue(2.0), CUDA) == pytest.approx(2.0)


def test_warm_up_is_over_before_the_first_timed_call(card) -> None:
    costs = iter([100.0, 100.0, 1.0, 2.0])
    found = alternately({"call": lambda: card.queue(next(costs))}, CUDA, warmup=2, repeats=2)
    assert found["call"].tolist() == [1.0, 2.0]


def test_a_host_that_issues_a_call_does_not_wait_for_it(card) -> None:
    def issue() -> None:
        time.sleep(0.002)
        card.queue(3.0)

    assert 0.002 <= host_seconds(issue, CUDA) < 1.0
    assert host_seconds(issue, torch.device("cpu")) is None


def test_a_peak_is_what_the_call_adds(card) -> None:
    card.hold(100)

    def call() -> None:
        card.hold(50)
        card.hold(-30)

    assert peak_allocated(call, CUDA) == 50
