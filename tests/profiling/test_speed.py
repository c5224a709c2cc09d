from __future__ import annotations

import time

import pytest
import torch

from aptp_bench.core.settings import SamplingConfig
from aptp_bench.errors import ConfigError
from aptp_bench.models.call_plan import CallPlan
from aptp_bench.models.mixture import ConstantRouter, Mixture
from aptp_bench.profiling import speed
from aptp_bench.profiling.setups import Setup
from aptp_bench.profiling.speed import Protocol, Ready, Times, call_inputs, measure, ratio, spread

CPU = torch.device("cpu")
FEW = Protocol(CPU, latent=8, tokens=32, warmup=1, repeats=3, images=2, sampling=SamplingConfig(steps=2))
BOTH = torch.tensor([0.25, 0.75], dtype=torch.float64)


def mixture(*experts) -> Mixture:
    return Mixture(experts, ConstantRouter())


def test_inputs_are_twice_the_batch_in_the_setups_type_and_the_same_every_time(small_sd) -> None:
    inputs = FEW.inputs(small_sd.unet, Setup(batch=3, dtype="bfloat16"))
    assert inputs["sample"].shape == (6, 4, 8, 8)
    assert inputs["encoder_hidden_states"].shape == (6, 32, 128)
    assert inputs["sample"].dtype == torch.bfloat16
    again = call_inputs(small_sd.unet, 8, 32, 6, CPU, torch.bfloat16)
    assert all(torch.equal(again[name], value) for name, value in inputs.items())


def test_without_guidance_the_batch_is_not_doubled(small_sd) -> None:
    plain = Protocol(CPU, 8, 32, sampling=SamplingConfig(guidance=1.0))
    assert len(plain.inputs(small_sd.unet, Setup())["sample"]) == 1


def test_another_resolution_is_another_latent(small_sd) -> None:
    assert Protocol(CPU, 16, 32).inputs(small_sd.unet, Setup())["sample"].shape[2:] == (16, 16)


def test_a_mixture_is_timed_whole(small_sd, narrowed) -> None:
    found = measure(mixture(narrowed(0.75), narrowed(0.5)), BOTH, Ready(Setup(), small_sd, CPU), FEW)
    times = found.times
    assert [len(each) for each in times.calls] == [3, 3]
    assert len(times.dense_calls) == 6  # dense runs beside every expert
    assert (times.busiest, times.calls_per_image) == (1, 3)
    assert len(times.image) == len(times.dense_image) == 2
    assert float(times.image.min()) > 3 * float(times.calls[1].min()) * 0.5
    assert found.first_call_s > 0
    assert found.attention
    assert found.peak_bytes is found.dense_peak_bytes is None


def test_no_images_are_made_unasked(small_sd, monkeypatch) -> None:
    monkeypatch.setattr(speed, "Sampler", None)
    calls = Protocol(CPU, 8, 32, warmup=0, repeats=2)
    found = measure(mixture(small_sd.unet), torch.ones(1).double(), Ready(Setup(), small_sd, CPU), calls)
    assert found.times.calls_per_image == 0


def test_a_slow_expert_counts_by_its_share(small_sd, narrowed) -> None:
    slow = narrowed(0.5)
    slow.register_forward_pre_hook(lambda *_: time.sleep(0.05))
    found = measure(mixture(slow, narrowed(0.5)), BOTH, Ready(Setup(), small_sd, CPU), FEW).times
    call, dense = found.per_call(BOTH)
    assert float(found.calls[0].min()) > 0.05
    assert float(call[0]) == pytest.approx(
        0.25 * float(found.calls[0].median()) + 0.75 * float(found.calls[1].median())
    )
    assert float(dense[0]) == pytest.approx(float(found.dense_calls.quantile(0.5)))
    image, _ = found.per_image(BOTH, batch=1)
    assert float(image[0]) > float(found.image.quantile(0.5)) + 0.25 * 3 * 0.03


def test_a_call_is_the_mean_over_those_of_an_image(small_sd) -> None:
    """Deep layers that sleep 20 ms: a call in which they are left out does not wait for them."""
    deep = small_sd.unet.mid_block.resnets[0].register_forward_pre_hook(lambda *_: time.sleep(0.02))
    plan = CallPlan(of=3, made=3, full=1, branch=1)
    try:
        planned = Mixture.of_one(small_sd.unet, plan=plan)
        found = measure(planned, torch.ones(1).double(), Ready(Setup(), small_sd, CPU), FEW).times
    finally:
        deep.remove()
    assert found.calls_per_image == 3
    call, dense = float(found.calls[0].min()), float(found.dense_calls.min())
    assert dense > 0.02 and 0.02 / 3 < call < dense - 0.01
    assert float(found.image.min()) < float(found.dense_image.min()) - 0.03
    assert not [name for name, module in small_sd.unet.named_modules() if "forward" in vars(module)]


def test_calls_that_reuse_are_not_timed_compiled(small_sd, monkeypatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: network)
    planned = Mixture.of_one(small_sd.unet, plan=CallPlan(of=3, made=3, full=1, branch=1))
    with pytest.raises(ConfigError, match="omit --compile"):
        measure(planned, torch.ones(1).double(), Ready(Setup(compiled=True), small_sd, CPU), FEW)


def test_measuring_leaves_networks_as_they_were(small_sd, narrowed) -> None:
    expert = narrowed(0.5)
    before = [{k: v.clone() for k, v in net.state_dict().items()} for net in (expert, small_sd.unet)]
    measure(mixture(expert), torch.ones(1).double(), Ready(Setup(dtype="bfloat16"), small_sd, CPU), FEW)
    for net, state in zip((expert, small_sd.unet), before, strict=True):
        assert all(
            torch.equal(net.state_dict()[k], v) and net.state_dict()[k].dtype == v.dtype for k, v in state.items()
        )
        assert not net._forward_pre_hooks


def times(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_a_spread_says_median_quartiles_interval_and_n() -> None:
    runs = times([1.0, 2.0, 3.0, 4.0, 100.0])
    call, dense = Times([runs], 2 * runs, runs, runs, 0 * runs, 1, 0).per_call(torch.ones(1).double())
    said = spread(call, runs)
    assert (said.median_s, said.q25_s, said.q75_s, said.n) == (3.0, 2.0, 4.0, 5)
    assert 1.0 <= said.interval_s[0] < 3.0 < said.interval_s[1] <= 100.0
    found = ratio(call, dense)
    assert found.value == pytest.approx(0.5)
    assert found.interval[0] < 0.5 < found.interval[1]


def test_routing_is_part_of_an_image(small_sd, narrowed, monkeypatch) -> None:
    served = mixture(narrowed(0.5))
    monkeypatch.setattr(served, "route", lambda prompts: time.sleep(0.02))
    found = measure(served, torch.ones(1).double(), Ready(Setup(), small_sd, CPU), FEW).times
    assert float(found.route.min()) >= 0.02
    assert float(found.per_image(torch.ones(1).double(), 1)[0][0]) >= float(found.image.quantile(0.5)) + 0.02


def test_every_network_is_compiled_where_that_is_asked_for(small_sd, narrowed, monkeypatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: seen.append((network, dynamic)) or network)
    few = Protocol(CPU, latent=8, tokens=32, warmup=0, repeats=2)
    experts = [narrowed(0.75), narrowed(0.5)]
    measure(mixture(*experts), BOTH, Ready(Setup(compiled=True), small_sd, CPU), few)
    assert seen == [(small_sd.unet, False), (experts[0], False), (experts[1], False)]
