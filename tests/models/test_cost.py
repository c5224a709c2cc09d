"""The differentiable cost of 0/1 gates is the counted cost of the cut network, in every convention."""

from __future__ import annotations

import pytest
import torch

from aptp_bench.budget import CONVENTIONS
from aptp_bench.models.cost import Cost
from aptp_bench.models.gates import GateSpace, guarded
from aptp_bench.models.macs import count, example_inputs
from aptp_bench.models.surgery import cut

NETWORKS = {
    "plain": {},
    "odd": {
        "use_linear_projection": False,
        "addition_embed_type": None,
        "resnet_time_scale_shift": "scale_shift",
        "attention_head_dim": [1, 1, 8, 8],
    },
}


@pytest.fixture(scope="module", params=CONVENTIONS)
def big(request, sd21) -> Cost:
    return Cost.of(sd21, GateSpace.of(sd21), example_inputs(sd21), request.param)


def random_keep(space: GateSpace, seed: int) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    share = torch.rand(1, generator=draws)
    return guarded(torch.rand(space.size, generator=draws) < share, space)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("name", NETWORKS)
def test_cost_of_hard_gates_is_the_count_of_the_cut_network(name, convention, build):
    unet = build(**NETWORKS[name])
    space, given = GateSpace.of(unet), example_inputs(unet, tokens=7)
    cost = Cost.of(unet, space, given, convention)
    for seed in range(2):
        keep = random_keep(space, seed)
        assert float(cost(keep)) == pytest.approx(count(cut(unet, space, keep), given, convention).total, rel=1e-12)


def test_cost_is_the_count_on_sd21(big, sd21):
    for seed in range(2):
        keep = random_keep(big.space, seed)
        counted = count(cut(sd21, big.space, keep), example_inputs(sd21), big.convention).total
        assert float(big(keep)) == pytest.approx(counted, rel=1e-12)


def test_open_gates_cost_the_dense_network(big, sd21):
    ones = torch.ones(2, big.space.size)
    assert big.dense == count(sd21, example_inputs(sd21), big.convention).total
    assert big(ones).tolist() == pytest.approx([big.dense] * 2, rel=1e-12)
    assert big.ratio(ones).tolist() == pytest.approx([1.0, 1.0], rel=1e-12)
    assert all(torch.equal(share, torch.ones(2, dtype=torch.float64)) for share in big.block_ratios(ones).values())


def test_prunable_share_is_the_authors(sd21):
    cost = Cost.of(sd21, GateSpace.of(sd21), example_inputs(sd21), "aptp")
    assert cost.prunable == 1_251_526_905_600
    assert cost.prunable_with_depth == pytest.approx(1_268_128_678_000, rel=1e-6)
    ones = torch.ones(cost.space.size)
    assert float(cost.prunable_ratio(ones)) == pytest.approx(1.0, rel=1e-12)
    gates = 0.5 * ones
    saved = cost.dense * (1 - float(cost.ratio(gates)))
    assert 1 - float(cost.prunable_ratio(gates)) == pytest.approx(saved / cost.prunable_with_depth)


def test_every_gate_that_can_be_cut_has_a_positive_gradient(big):
    gates = torch.full((3, big.space.size), 0.5, requires_grad=True)
    big(gates).sum().backward()
    assert (gates.grad > 0).all() and gates.grad.dtype == torch.float32


def test_gradient_is_that_of_finite_differences(big):
    gates = torch.rand(1, big.space.size, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda g: big.ratio(g)[:, None], gates, fast_mode=True)


def test_closed_block_costs_nothing_and_shows_in_the_map(big):
    gates = torch.ones(big.space.size)
    unit, layer = big.space.depths[0], big.space.widths[0]
    gates[unit.span] = 0
    gates[layer.start : layer.start + layer.size // 2] = 0
    shares = big.block_ratios(gates)
    assert float(shares[unit.path]) == 0.0
    assert 0.4 < float(shares[layer.path]) < 0.7  # norm1 and the biases stay
    assert sum(float(share) == 1.0 for share in shares.values()) == len(shares) - 2
    assert len(shares) == 38  # 22 ResBlocks and 16 transformers


def test_cost_moves_with_its_gates(big):
    assert big.to("meta")(torch.rand(2, big.space.size, device="meta")).shape == (2,)
    assert big(torch.rand(2, big.space.size, device="meta")).is_meta
