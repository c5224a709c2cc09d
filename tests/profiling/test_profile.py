from __future__ import annotations

import pytest
import torch

from aptp_bench.core.settings import SamplingConfig
from aptp_bench.models.call_plan import CallPlan
from aptp_bench.models.mixture import ConstantRouter, Mixture
from aptp_bench.models.stable_diffusion import SD21, MiniSD
from aptp_bench.profiling.profile import Profiler
from aptp_bench.profiling.setups import Setup
from aptp_bench.profiling.speed import Protocol, Ready
from aptp_bench.profiling.targets import Subject, dense

CPU = torch.device("cpu")


class SmallSD(MiniSD):
    """The tests' network in place of the mini world's."""

    unet = None

    def skeleton(self):
        from aptp_bench.pruning.surgery import meta_clone

        return meta_clone(self.unet)


@pytest.fixture
def profiler(small_sd, narrowed) -> Profiler:
    kind = SmallSD()
    kind.unet = small_sd.unet
    mixture = Mixture([narrowed(0.75), narrowed(0.25)], ConstantRouter())
    return Profiler(kind, Subject("two", mixture, torch.tensor([0.25, 0.75]).double(), "by hand", "random"), 8)


def test_the_golden_values_of_sd21() -> None:
    """The paper prints 4.0 s: 25 steps with guidance and the decoder cannot take less than 3.79 s in float32."""
    kind = SD21()
    facts = Profiler(kind, dense(kind.skeleton()), 96)
    whole, _ = facts.networks()
    assert whole.macs == {"exact": 1_074_552_872_960, "aptp": 1_384_186_267_264, "modules": 760_931_140_224}
    assert whole.parameters == 865_910_724
    gates = facts.gates()
    assert (gates["gate_vectors"], gates["gates_width"], gates["gates_depth"], gates["gates"]) == (70, 1606, 14, 1620)
    assert facts.prunable()["aptp"] == 1_251_526_905_600
    single, half = facts.predicted(["A100"])
    assert (single.dtype, half.dtype) == ("float32", "bfloat16")
    assert single.image_s == single.dense_image_s == pytest.approx(3.79, abs=0.01)
    assert half.image_s == pytest.approx(0.484, abs=0.001)


def alone(net) -> Subject:
    return Subject("one", Mixture.of_one(net), torch.ones(1).double(), "by hand", "random")


def test_means_are_weighed_by_the_prompts(profiler) -> None:
    record = profiler.record([], [], "how", CPU)
    ratios = [net.macs["exact"] / record.dense.macs["exact"] for net in record.experts]
    assert record.macs_ratio["exact"] == pytest.approx(0.25 * ratios[0] + 0.75 * ratios[1])
    assert [net.share for net in record.experts] == [0.25, 0.75]
    bound = profiler.predicted(["A100"], ["float32"])[0]
    calls = [
        Profiler(profiler.kind, alone(net), 8).predicted(["A100"], ["float32"])[0].call_s
        for net in profiler.subject.mixture.experts
    ]
    assert bound.call_s == pytest.approx(0.25 * calls[0] + 0.75 * calls[1])
    assert bound.dense_call_s > bound.call_s
    assert bound.image_s > 26 * bound.call_s  # and the decoder


@pytest.mark.parametrize(
    "plan", [CallPlan(of=26, made=13, full=13), CallPlan(of=26, made=26, full=6, branch=0)], ids=str
)
def test_an_image_costs_its_planned_calls(small_sd, plan) -> None:
    kind = SmallSD()
    kind.unet = small_sd.unet
    share = torch.ones(1).double()
    planned = Profiler(kind, Subject("planned", Mixture.of_one(small_sd.unet, plan=plan), share, "by hand", "x"), 8)
    bound = planned.predicted(["A100"], ["float32"])[0]
    record = planned.record([], [], "how", CPU)
    assert record.experts[0].parameters == record.dense.parameters
    if plan.branch is None:
        assert bound.call_s == pytest.approx(bound.dense_call_s)
        assert record.macs_ratio == {name: pytest.approx(0.5) for name in record.macs_ratio}
    else:
        assert bound.call_s < bound.dense_call_s and 6 / 26 < record.macs_ratio["exact"] < 1
    decoder = bound.dense_image_s - 26 * bound.dense_call_s
    assert bound.image_s == pytest.approx(plan.made * bound.call_s + decoder)


def test_memory_and_alignment_are_those_of_the_network(profiler, narrowed) -> None:
    record = profiler.record([], [], "how", CPU)
    net = record.experts[1]
    weights = sum(p.numel() for p in narrowed(0.25).parameters())
    assert net.weights_bytes == {"float32": 4 * weights, "bfloat16": 2 * weights}
    assert net.activation_bytes["float32"] == 2 * net.activation_bytes["bfloat16"] > 0
    assert net.activation_bytes["float32"] < record.dense.activation_bytes["float32"]
    assert sum(record.dense.changed_histogram.values()) == 0
    assert 0 < sum(net.changed_histogram.values()) <= sum(net.histogram.values())
    assert sum(net.macs_by_kind.values()) == net.macs["exact"]


def test_a_measurement_stands_beside_its_bound(profiler, small_sd) -> None:
    protocol = Protocol(CPU, 8, 32, warmup=0, repeats=2, images=2, sampling=SamplingConfig(steps=2))
    timing = profiler.measured(Ready(Setup(batch=2), small_sd, protocol.device), protocol)
    assert timing.call.n == 2
    assert timing.unet_calls == 3
    assert 0 < timing.predicted_call_s < timing.call.median_s
    assert timing.image_ratio.value == pytest.approx(timing.image.median_s / timing.dense_image_s)
    assert timing.conditions["threads"] == torch.get_num_threads()
    record = profiler.record([], [timing], "how", CPU)
    assert record.timings == [timing]


def test_another_model_has_its_own_text_and_resolution() -> None:
    kind = MiniSD()
    record = Profiler(kind, dense(kind.skeleton()), 16).record([], [], "how", CPU)
    assert (record.resolution, record.latent, record.tokens, record.world) == (64, 16, kind.tokens, "mini")
