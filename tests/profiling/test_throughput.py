from __future__ import annotations

from typing import Any

import pytest
import torch

from aptp_bench.models.mixture import Mixture
from aptp_bench.profiling.throughput import images_per_second, routing, throughput
from aptp_bench.serving.pipeline import RoutedPipeline


@pytest.fixture
def pipes(tiny: Any) -> dict[str, RoutedPipeline]:
    made = {name: RoutedPipeline.of(tiny, Mixture.of_one(tiny.unet)) for name in ("one", "two")}
    for each in made.values():
        each.set_progress_bar_config(disable=True)
    return made


def test_every_pipeline_serves_every_prompt_in_turns(pipes, tiny):
    seen: list[int] = []
    handle = tiny.unet.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    try:
        times = throughput(pipes, ["a", "b", "c"], batch=2, repeats=3, num_inference_steps=1, guidance_scale=1.0)
    finally:
        handle.remove()
    assert {name: each.shape for name, each in times.items()} == {"one": (3,), "two": (3,)}
    assert all(bool((each > 0).all()) for each in times.values())
    streams = 2 * (1 + 3)  # of both, in the warm-up and in three repeats
    calls = len(seen) // (streams * 2)  # of the network by a batch, of which a stream has two
    assert calls > 0 and seen == [rows for _ in range(streams) for rows in [2] * calls + [1] * calls]


def test_routing_alone_samples_nothing(pipes, tiny):
    handle = tiny.unet.register_forward_pre_hook(lambda *_: pytest.fail("sampled"))
    try:
        assert routing(pipes["one"], ["a", "b"], repeats=4).shape == (4,)
    finally:
        handle.remove()


def test_the_rate_is_the_median_runs():
    assert images_per_second(torch.tensor([1.0, 2.0, 100.0]), 10) == 5.0
