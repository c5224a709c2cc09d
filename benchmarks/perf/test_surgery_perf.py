"""What gates and counting cost, as ratios within one process, so that the machine's speed cancels."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode

from aptp_bench.models.stable_diffusion import MINI_GEOMETRY
from aptp_bench.pruning import macs
from aptp_bench.pruning.cost import Cost
from aptp_bench.pruning.gates import Gated, GateSpace
from aptp_bench.pruning.macs import count, example_inputs
from aptp_bench.pruning.surgery import cut, meta_clone

ROUNDS = 7
BATCH = 8
TOKENS = 32


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    torch.manual_seed(0)
    return MINI_GEOMETRY.build_unet().eval()


@pytest.fixture(scope="module")
def given(unet: UNet2DConditionModel) -> dict[str, Any]:
    sizes = example_inputs(unet, tokens=TOKENS)
    batch = {name: torch.randn(BATCH, *x.shape[1:]) for name, x in sizes.items() if x.is_floating_point()}
    return {**batch, "timestep": torch.randint(0, 1000, (BATCH,))}


def best(run: Callable[[], Any]) -> float:
    """Seconds of the fastest of ROUNDS runs: the one that others on the machine disturbed least."""
    run()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def against(benchmark: Any, run: Callable[[], Any], reference: Callable[[], Any]) -> float:
    """Benchmark `run` and say how many times the reference it takes."""
    seconds = best(reference)
    benchmark.pedantic(run, rounds=ROUNDS, warmup_rounds=1)
    ratio = benchmark.extra_info["ratio"] = benchmark.stats.stats.min / seconds
    return ratio


@pytest.mark.parametrize("placement", ["consumer", "before_norm"])
def test_gated_forward_against_plain(placement, benchmark, unet, given):
    space = GateSpace.of(unet)
    with torch.no_grad(), Gated(unet, space, placement) as hooks:
        dense = best(lambda: unet(**given))
        hooks.set(torch.rand(BATCH, space.size))
        benchmark.pedantic(lambda: unet(**given), rounds=ROUNDS, warmup_rounds=1)
    benchmark.extra_info["ratio"] = benchmark.stats.stats.min / dense
    assert benchmark.extra_info["ratio"] < 1.5


def test_exact_count_against_flop_counter(benchmark, unet):
    skeleton = meta_clone(unet)
    sizes = example_inputs(unet, tokens=TOKENS)

    def flops() -> None:
        with FlopCounterMode(display=False), torch.no_grad():
            skeleton(**sizes)

    def anew() -> None:
        macs._COUNTED.clear()
        count(skeleton, sizes, "exact")

    assert against(benchmark, anew, flops) < 3.0


def test_differentiable_cost_against_counting(benchmark, unet):
    space, sizes = GateSpace.of(unet), example_inputs(unet, tokens=TOKENS)
    cost, gates = Cost.of(unet, space, sizes, "aptp"), torch.rand(BATCH, space.size)
    assert against(benchmark, lambda: cost(gates), lambda: macs._calls(unet, sizes)) < 0.1


def test_cut_against_copy(benchmark, unet):
    space = GateSpace.of(unet)
    keep = torch.ones(space.size, dtype=torch.bool)
    keep[[layer.start for layer in space.widths]] = False
    skeleton = meta_clone(unet)
    assert against(benchmark, lambda: cut(skeleton, space, keep), lambda: meta_clone(skeleton)) < 3.0
