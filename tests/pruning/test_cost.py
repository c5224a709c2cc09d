"""The differentiable cost of 0/1 gates is the counted cost of the cut network, in every convention."""

from __future__ import annotations

import pytest
import torch

from aptp_bench.budget import CONVENTIONS
from aptp_bench.pruning.cost import Cost
from aptp_bench.pruning.gates import GateSpace, guarded
from aptp_bench.pruning.macs import count, example_inputs
from aptp_bench.pruning.surgery import cut

NETWORKS = {
    "plain": {},
    "odd": {
        "use_linear_projection": False,
        "addition_embed_type": None,
        "resnet_time_scale_shift": "scale_shift",
        "attention_head_dim": [1, 8],
    },
}


@pytest.fixture(params=CONVENTIONS)
def cost(request, costs) -> Cost:
    return costs("small", request.param)


def random_keep(space: GateSpace, seed: int) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    share = torch.rand(1, generator=draws)
    return guarded(torch.rand(space.size, generator=draws) < share, space)


@pytest.mark.parametrize(("name", "convention"), [("plain", "exact"), ("odd", "aptp"), ("plain", "modules")])
def test_cost_of_hard_gates_is_the_count_of_the_cut_network(name, convention, build):
    unet = build(**NETWORKS[name])
    space, given = GateSpace.of(unet), example_inputs(unet, tokens=7)
    cost = Cost.of(unet, space, given, convention)
    for seed in range(2):
        keep = random_keep(space, seed)
        assert float(cost(keep)) == pytest.approx(count(cut(unet, space, keep), given, convention).total, rel=1e-12)


def test_cost_is_the_count_on_sd21(costs, sd21):
    cost = costs("sd21", "aptp")
    keep = random_keep(cost.space, 0)
    counted = count(cut(sd21, cost.space, keep), example_inputs(sd21), "aptp").total
    assert float(cost(keep)) == pytest.approx(counted, rel=1e-12)


def test_open_gates_cost_the_dense_network(cost, unet):
    ones = torch.ones(2, cost.space.size)
    assert cost.dense == count(unet, example_inputs(unet), cost.convention).total
    assert cost(ones).tolist() == pytest.approx([cost.dense] * 2, rel=1e-12)
    assert cost.ratio(ones).tolist() == pytest.approx([1.0, 1.0], rel=1e-12)
    assert all(torch.equal(share, torch.ones(2, dtype=torch.float64)) for share in cost.block_ratios(ones).values())


def test_prunable_share_is_the_authors(costs):
    cost = costs("sd21", "aptp")
    assert cost.prunable == 1_251_526_905_600
    assert cost.prunable_with_depth == pytest.approx(1_268_128_678_000, rel=1e-6)
    ones = torch.ones(cost.space.size)
    assert float(cost.prunable_ratio(ones)) == pytest.approx(1.0, rel=1e-12)
    gates = 0.5 * ones
    saved = cost.dense * (1 - float(cost.ratio(gates)))
    assert 1 - float(cost.prunable_ratio(gates)) == pytest.approx(saved / cost.prunable_with_depth)


def test_every_gate_that_can_be_cut_has_a_positive_gradient(cost):
    gates = torch.full((3, cost.space.size), 0.5, requires_grad=True)
    cost(gates).sum().backward()
    assert (gates.grad > 0).all() and gates.grad.dtype == torch.float32


def test_gradient_is_that_of_finite_differences(cost):
    gates = torch.rand(1, cost.space.size, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda g: cost.ratio(g)[:, None], gates, fast_mode=True)


def test_closed_block_costs_nothing_and_shows_in_the_map(cost):
    gates = torch.ones(cost.space.size)
    unit = cost.space.depths[0]
    layer = next(layer for layer in cost.space.widths if layer.kind == "resnet" and layer.depth is None)
    gates[unit.span] = 0
    gates[layer.start : layer.start + layer.size // 2] = 0
    shares = cost.block_ratios(gates)
    assert float(shares[unit.path]) == 0.0
    assert 0.4 < float(shares[layer.path]) < 0.7  # norm1 and the biases stay
    assert sum(float(share) == 1.0 for share in shares.values()) == len(shares) - 2
    assert len(shares) == 12  # 8 ResBlocks and 4 transformers


def test_cost_moves_with_its_gates(cost):
    assert cost.to("meta")(torch.rand(2, cost.space.size, device="meta")).shape == (2,)
    assert cost(torch.rand(2, cost.space.size, device="meta")).is_meta
