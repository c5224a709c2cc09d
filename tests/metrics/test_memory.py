from __future__ import annotations

import pytest
import torch

from aptp_bench.metrics.memory import PeakMemory, call_memory


def test_the_measurement_is_the_worst_expert_and_repeats_exactly(system) -> None:
    found = PeakMemory()(system)
    experts = found.detail["experts_bytes"]
    peaks = [each["parameters"] + each["activations"] for each in experts]
    assert found.value == pytest.approx(max(peaks) / 2**20)
    assert found.detail["counted"] == "live tensors"
    assert found.detail["samples"] == 2
    held = sum(each["parameters"] for each in experts) + max(each["activations"] for each in experts)
    assert found.detail["all_held_bytes"] == held
    assert PeakMemory()(system) == found


def test_parameters_are_counted_in_bytes_of_their_type(system) -> None:
    unet = system.teacher.unet
    whole = call_memory(unet, system)
    numbers = sum(p.numel() for p in unet.parameters())
    assert whole["parameters"] == 4 * numbers
    system.dtype = torch.bfloat16
    half = call_memory(unet, system)
    assert half["parameters"] == 2 * numbers
    assert half["activations"] < 0.7 * whole["activations"]


def test_a_narrower_network_needs_less(system) -> None:
    wide, narrow = (call_memory(unet, system) for unet in system.mixture.experts)
    assert narrow["parameters"] < wide["parameters"]
    assert narrow["activations"] < wide["activations"]


def test_twice_the_batch_needs_twice_the_activations(system) -> None:
    one = call_memory(system.teacher.unet, system)["activations"]
    system.latency = system.latency.model_copy(update={"batch": 2})
    assert call_memory(system.teacher.unet, system)["activations"] == pytest.approx(2 * one, rel=0.05)
