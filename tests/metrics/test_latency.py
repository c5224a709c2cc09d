from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import torch

from aptp_bench.metrics.latency import Latency, Speedup
from aptp_bench.models.call_plan import CallPlan
from aptp_bench.models.mixture import Mixture
from aptp_bench.profiling import alignment, speed
from aptp_bench.profiling.speed import Times, count_calls


def constant(value: float, n: int = 5) -> torch.Tensor:
    return torch.full((n,), value, dtype=torch.float64)


def times(**changes) -> Times:
    made = {
        "calls": [constant(3.0), constant(1.0)],
        "dense_calls": constant(4.0),
        "image": constant(11.0),
        "dense_image": constant(41.0),
        "route": constant(0.5),
        "calls_per_image": 10,
        "busiest": 1,
    }
    return Times(**{**made, **changes})


@pytest.mark.parametrize(
    ("share", "batch", "expected"),
    [
        ([0.0, 1.0], 1, 11.5),  # its own image and the router
        ([0.25, 0.75], 1, 0.5 + 0.25 * 31 + 0.75 * 11),  # expert 0 would take 11 + 10 * (3 - 1) s an image
        ([0.0, 1.0], 4, 11.5 / 4),  # a batch is shared by its images
    ],
)
def test_an_image_is_that_of_the_busiest_expert_and_others_differ_by_their_calls(share, batch, expected) -> None:
    mixture, dense = times().per_image(torch.tensor(share, dtype=torch.float64), batch)
    assert mixture.unique().tolist() == pytest.approx([expected]) and set(dense.tolist()) == {41.0 / batch}


def test_the_estimate_is_that_of_the_medians_and_the_replicates_scatter_around_it() -> None:
    noisy = torch.tensor([1.0, 1.1, 0.9, 1.3, 5.0], dtype=torch.float64)
    mixture, _ = times(calls=[noisy], image=10 * noisy, busiest=0).per_image(
        torch.ones(1, dtype=torch.float64), batch=1
    )
    assert mixture[0].item() == pytest.approx(11.5)
    assert mixture.min() < 11.5 < mixture.max()


def test_calls_are_counted_and_the_hook_is_taken_off() -> None:
    net = torch.nn.Linear(2, 2)
    assert count_calls(net, lambda: [net(torch.ones(2)) for _ in range(3)]) == 3
    assert not net._forward_pre_hooks


def test_the_router_is_timed(evidence, monkeypatch) -> None:
    seen: list[str] = []
    route = evidence.system.mixture.route

    def slow(prompts):
        seen.extend(prompts)
        time.sleep(0.005)
        return route(prompts)

    monkeypatch.setattr(evidence.system.mixture, "route", slow)
    assert Latency()(evidence).detail["router"]["median_s"] >= 0.005
    assert set(seen) == set(evidence.captions)


def test_the_measurement_has_all_that_is_needed_to_read_it(evidence) -> None:
    before = {name: value.clone() for name, value in evidence.system.teacher.unet.state_dict().items()}
    found = Latency()(evidence)
    low, high = found.interval
    assert 0 < low <= found.value <= high
    detail = found.detail
    assert (detail["unet_calls"], detail["steps"], detail["guidance"]) == (3, 2, 7.5)  # PNDM: one call more than steps
    assert detail["traffic"] == [0.4, 0.6]
    assert detail["image"]["expert"] == 1
    assert detail["ratio"] == pytest.approx(found.value / detail["dense_s"])
    assert [each["n"] for each in detail["unet_call"]["experts"]] == [5, 5]
    assert detail["unet_call"]["dense"]["n"] == 10
    assert len(detail["alignment"]) == 2
    assert detail["dtype"] == "float32"
    assert detail["router"]["median_s"] < found.value
    after = evidence.system.teacher.unet.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_an_image_is_timed_with_the_calls_that_are_planned(evidence, monkeypatch) -> None:
    monkeypatch.setattr(alignment, "alignment", lambda *_: {})
    system, whole = evidence.system, Latency()(evidence)
    system.mixture = Mixture(system.mixture.experts, system.mixture.router, plan=CallPlan(of=9, made=3, full=3))
    system.sampling = system.sampling.model_copy(update={"steps": 8})
    evidence.read.clear()
    third = Latency()(evidence).detail
    assert whole.detail["unet_calls"] == third["unet_calls"] == 3  # of two steps, and of two of eight
    assert third["steps"] == 8 and third["ratio"] < 0.75 * whole.detail["ratio"]


def test_a_slow_expert_shows_in_the_value(evidence, monkeypatch) -> None:
    """The same run with one expert made slower by 20 ms a call costs its share of the prompts more."""
    monkeypatch.setattr(alignment, "alignment", lambda *_: {})
    handle = evidence.system.mixture.experts[0].register_forward_pre_hook(lambda *_: time.sleep(0.02))
    slow = Latency()(evidence)
    handle.remove()
    calls = [each["median_s"] for each in slow.detail["unet_call"]["experts"]]
    assert calls[0] > calls[1] + 0.01
    assert slow.value > slow.detail["image"]["timed"]["median_s"] + 0.4 * 3 * 0.01


def test_times_can_be_kept() -> None:
    made = times()
    again = Times.of(made.tensors())
    assert (again.calls_per_image, again.busiest, len(again.calls)) == (10, 1, 2)
    assert all(torch.equal(a, b) for a, b in zip(again.calls, made.calls, strict=True))
    for name in ("dense_calls", "image", "dense_image", "route"):
        assert torch.equal(getattr(again, name), getattr(made, name))


def held(evidence, monkeypatch, made: Times | None = None) -> list[int]:
    """Evidence whose system takes `made` to measure; the list grows by one each time it is measured."""
    measured: list[int] = []

    def measure(*_) -> SimpleNamespace:
        measured.append(1)
        return SimpleNamespace(times=made or times())

    monkeypatch.setattr(speed, "measure", measure)
    monkeypatch.setattr("aptp_bench.core.source.source_digest", lambda *_: "source")
    monkeypatch.setattr(alignment, "alignment", lambda *_: {})
    return measured


def test_the_speed_up_is_the_share_of_the_dense_time_that_is_saved_and_costs_no_second_timing(
    evidence, monkeypatch
) -> None:
    noisy = torch.tensor([10.0, 11.0, 12.0, 11.5, 10.5], dtype=torch.float64)
    measured = held(evidence, monkeypatch, times(image=noisy))
    found, beside = Speedup()(evidence), Latency()(evidence)
    assert found.value == pytest.approx(100 * (beside.detail["dense_s"] - beside.value) / beside.detail["dense_s"])
    low, high = beside.detail["ratio_interval"]
    assert found.interval == pytest.approx((100 * (1 - high), 100 * (1 - low)))
    assert found.interval[0] < found.value < found.interval[1] and found.n == beside.n
    assert found.detail.items() <= beside.detail.items() and found.detail["device"]  # so boards hold them apart alike
    assert len(measured) == 1


def test_a_timing_is_kept_under_the_images_and_all_that_it_depends_on(evidence, monkeypatch) -> None:
    measured, kept = held(evidence, monkeypatch), {}

    def keep(name, key, compute):
        place = name, repr(sorted(key.items()))
        if place not in kept:
            kept[place] = compute()
        return kept[place]

    evidence.kept = keep
    for digest, repeats, expected in (("a", 5, 1), ("a", 5, 1), ("b", 5, 2), ("b", 6, 3)):
        evidence.read.clear()  # another process
        evidence.image_set = SimpleNamespace(digest=digest)
        evidence.system.latency = evidence.system.latency.model_copy(update={"repeats": repeats})
        Latency()(evidence), Speedup()(evidence)
        assert len(measured) == expected == len(kept)


def test_a_slower_mixture_has_a_negative_speed_up(evidence, monkeypatch) -> None:
    held(evidence, monkeypatch, times(image=constant(82.0)))
    assert Speedup()(evidence).value < -90
