from __future__ import annotations

import torch
from torch import nn

from aptp_bench.core.living import LiveBytes
from aptp_bench.profiling.memory import peak_live


def test_the_peak_is_what_lives_at_once() -> None:
    def call() -> None:
        x = torch.zeros(1000)  # 4000 bytes
        y = x + 1  # 8000 alive
        del x
        z = y + 1  # 8000 alive again
        del y
        z.add_(1)  # in place: nothing new
        z.view(10, 100).t()  # views: nothing new

    assert peak_live(call, nn.Identity()) == 8000


def test_freed_memory_is_given_back() -> None:
    with LiveBytes() as counter:
        for _ in range(5):
            torch.zeros(250)
    assert (counter.living.now, counter.living.peak) == (0, 1000)


def test_parameters_are_not_activations() -> None:
    net = nn.Linear(100, 50)
    with torch.no_grad():
        assert peak_live(lambda: net(torch.zeros(2, 100)), net) == 4 * (2 * 100 + 2 * 50)
