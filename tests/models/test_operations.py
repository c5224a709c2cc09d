from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from aptp_bench.core.costs import KINDS
from aptp_bench.models.feature_cache import branches, left_out
from aptp_bench.models.operations import trace, trace_unet
from aptp_bench.models.stable_diffusion import SD21
from aptp_bench.profiling.memory import peak_live
from aptp_bench.pruning.macs import count, example_inputs, parameters


def test_the_trace_of_sd21_is_the_exact_count_by_kind() -> None:
    unet = SD21().skeleton()
    found = trace_unet(unet, example_inputs(unet))
    assert found.macs() == {
        "convolution": 470_655_959_040,
        "linear": 289_830_010_880,
        "attention": 314_066_903_040,
        "other": 0,
    }
    assert found.weights == 865_910_724


def test_a_cut_network_is_traced_as_it_is(small_sd, narrowed) -> None:
    for unet in (small_sd.unet, narrowed(0.5)):
        inputs = example_inputs(unet, tokens=32)
        found = trace_unet(unet, inputs)
        assert sum(found.macs().values()) == count(unet, inputs, "exact").total
        assert found.weights == parameters(unet) and {op.kind for op in found.operations} == set(KINDS)


def test_a_call_that_reuses_is_traced_without_what_it_leaves_out(small_sd) -> None:
    unet = small_sd.unet
    inputs = example_inputs(unet, tokens=32)
    counted = count(unet, inputs, "exact")
    for branch in range(branches(unet)):
        saved = sum(counted.under(path) for path in left_out(unet, branch))
        assert sum(trace_unet(unet, inputs, branch).macs().values()) == counted.total - saved


def test_the_peak_is_that_of_a_real_call(small_sd) -> None:
    """Counted without numbers, within a tenth of a percent of the bytes that live while the real network runs."""
    unet = small_sd.unet
    inputs = example_inputs(unet, tokens=32)
    real = {name: torch.zeros(x.shape, dtype=x.dtype) for name, x in inputs.items()}
    with torch.no_grad():
        lived = peak_live(lambda: unet(**real), unet)
    assert 4 * trace_unet(unet, inputs).peak_activations == pytest.approx(lived, rel=1e-3)


class Attend(nn.Module):
    def forward(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(q, k, value=k)


def test_attention_is_one_operation_whose_scores_are_never_stored() -> None:
    q, k = torch.empty(1, 2, 100, 8, device="meta"), torch.empty(1, 2, 30, 8, device="meta")
    found = trace(Attend(), lambda net: net(q, k))
    (op,) = found.operations
    assert (op.name, op.kind) == ("scaled_dot_product_attention", "attention")
    assert op.macs == 2 * 100 * 30 * (8 + 8)
    assert op.activations == q.numel() + 2 * k.numel() + q.numel()
    assert found.peak_activations == q.numel()


def test_what_moves_and_what_does_not() -> None:
    net = nn.Linear(10, 20).to("meta")

    def call(layer: nn.Module) -> None:
        y = layer(torch.empty(3, 10, device="meta"))
        y.t()[2:].view(1, 18, 3)  # views move nothing
        y.add_(1)  # in place: read and written

    linear, add = trace(net, call).operations
    assert (linear.kind, linear.macs, linear.weights) == ("linear", 3 * 10 * 20, 10 * 20 + 20)
    assert linear.activations == 3 * 10 + 3 * 20
    assert (add.kind, add.macs, add.weights) == ("other", 0, 0)
    assert add.activations == 2 * 60


def test_a_batch_reads_weights_once() -> None:
    net = nn.Linear(10, 20).to("meta")
    (op,) = trace(net, lambda layer: layer(torch.empty(1, 10, device="meta"))).operations
    assert op.scaled(7) == (7 * 200, 220 + 7 * 30)


def test_tracing_leaves_the_network_as_it_was(small_sd) -> None:
    before = {name: value.clone() for name, value in small_sd.unet.state_dict().items()}
    trace_unet(small_sd.unet, example_inputs(small_sd.unet, tokens=32))
    assert all(torch.equal(value, before[name]) for name, value in small_sd.unet.state_dict().items())
    assert not small_sd.unet._forward_hooks
