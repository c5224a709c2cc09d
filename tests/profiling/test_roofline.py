from __future__ import annotations

import pytest
import torch

from aptp_bench.core.costs import Operation
from aptp_bench.models.operations import trace_unet
from aptp_bench.models.stable_diffusion import SD21
from aptp_bench.profiling.devices import Device, named
from aptp_bench.profiling.roofline import bound_by_memory, predicted_seconds
from aptp_bench.profiling.timing import alternately
from aptp_bench.pruning.macs import example_inputs

DEVICE = Device(
    title="made up",
    convolution={"float32": 4.0, "bfloat16": 8.0},
    product={"float32": 2.0, "bfloat16": 8.0},
    bandwidth=1000.0,
    source="nowhere",
)
PRODUCT = Operation("mm", "linear", macs=10**12, weights=0, activations=0)
COPY = Operation("clone", "other", macs=0, weights=10**9, activations=10**9)


def of(*operations: Operation) -> tuple[Operation, ...]:
    return operations


def test_computing_is_two_operations_a_mac_at_the_peak_of_its_kind() -> None:
    convolution = Operation("convolution", "convolution", macs=10**12, weights=0, activations=0)
    assert predicted_seconds(of(PRODUCT), DEVICE, "float32") == pytest.approx(1.0)
    assert predicted_seconds(of(convolution), DEVICE, "float32") == pytest.approx(0.5)
    assert predicted_seconds(of(PRODUCT), DEVICE, "bfloat16") == pytest.approx(0.25)


def test_under_tf32_products_are_as_fast_as_convolutions() -> None:
    assert predicted_seconds(of(PRODUCT), DEVICE, "float32", tf32=True) == pytest.approx(0.5)


def test_moving_is_bytes_over_bandwidth_weights_once() -> None:
    assert predicted_seconds(of(COPY), DEVICE, "float32") == pytest.approx(4 * 2e9 / 1e12)
    assert predicted_seconds(of(COPY), DEVICE, "bfloat16", samples=3) == pytest.approx(2 * 4e9 / 1e12)


def test_an_operation_takes_the_longer_of_both_and_operations_wait_for_each_other() -> None:
    both = Operation("mm", "linear", macs=10**12, weights=10**9, activations=0)
    assert predicted_seconds(of(both), DEVICE, "float32") == pytest.approx(1.0)
    assert predicted_seconds(of(PRODUCT, COPY), DEVICE, "float32") == pytest.approx(1.008)
    assert bound_by_memory(of(PRODUCT, COPY), DEVICE, "float32") == pytest.approx(0.008 / 1.008)


@pytest.mark.parametrize(("dtype", "seconds"), [("float32", 3.733), ("float16", 0.459)])
def test_sd21_on_an_a100(dtype, seconds) -> None:
    """26 guided calls. At PyTorch's float32 defaults that is near the 4.0 s an image that the APTP paper measured."""
    unet = SD21().skeleton()
    call = predicted_seconds(trace_unet(unet, example_inputs(unet)).operations, named("A100"), dtype, samples=2)
    assert 26 * call == pytest.approx(seconds, abs=0.001)


def test_no_real_pass_on_this_machine_beats_its_bound(small_sd) -> None:
    torch.set_num_threads(1)
    unet = small_sd.unet
    inputs = example_inputs(unet, tokens=32)
    bound = predicted_seconds(trace_unet(unet, inputs).operations, named("here"), "float32")
    real = {name: torch.zeros(x.shape, dtype=x.dtype) for name, x in inputs.items()}
    with torch.inference_mode():
        times = alternately({"call": lambda: unet(**real)}, torch.device("cpu"), 0, 5)["call"]
    assert float(times.min()) > bound > 0
