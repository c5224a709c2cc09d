from __future__ import annotations

import pytest
import torch

from aptp_bench.metrics.memory import PeakMemory, call_memory
from aptp_bench.models.call_plan import CallPlan


def test_the_measurement_is_the_worst_expert_and_repeats_exactly(evidence) -> None:
    found = PeakMemory()(evidence)
    experts = found.detail["experts_bytes"]
    peaks = [each["parameters"] + each["activations"] for each in experts]
    assert found.value == pytest.approx(max(peaks) / 2**20)
    assert found.detail["counted"] == "live tensors"
    assert found.detail["samples"] == 2
    held = sum(each["parameters"] for each in experts) + max(each["activations"] for each in experts)
    assert found.detail["all_held_bytes"] == held
    assert PeakMemory()(evidence) == found


def test_parameters_are_counted_in_bytes_of_their_type(evidence) -> None:
    unet = evidence.system.teacher.unet
    whole = call_memory(unet, evidence)
    numbers = sum(p.numel() for p in unet.parameters())
    assert whole["parameters"] == 4 * numbers
    evidence.system.dtype = torch.bfloat16
    half = call_memory(unet, evidence)
    assert half["parameters"] == 2 * numbers
    assert half["activations"] < 0.7 * whole["activations"]


def test_features_that_are_kept_between_calls_are_counted(evidence) -> None:
    unet, latent = evidence.system.teacher.unet, evidence.system.teacher.unet.config.sample_size
    once, kept = (
        call_memory(unet, evidence, plan)["activations"] for plan in (None, CallPlan(of=4, made=4, full=2, branch=0))
    )
    width = unet.config.block_out_channels[0]
    feature = 4 * 2 * width * latent**2  # of both halves of the guided call, in float32
    assert once < kept <= once + 1.01 * feature  # of what is only handed on, the shapes are kept


def test_a_narrower_network_needs_less(evidence) -> None:
    wide, narrow = (call_memory(unet, evidence) for unet in evidence.system.mixture.experts)
    assert narrow["parameters"] < wide["parameters"]
    assert narrow["activations"] < wide["activations"]


def test_twice_the_batch_needs_twice_the_activations(evidence) -> None:
    one = call_memory(evidence.system.teacher.unet, evidence)["activations"]
    evidence.system.latency = evidence.system.latency.model_copy(update={"batch": 2})
    assert call_memory(evidence.system.teacher.unet, evidence)["activations"] == pytest.approx(2 * one, rel=0.05)
