from __future__ import annotations

import math

import pytest
import torch

from aptp_bench.errors import ConfigError
from aptp_bench.methods.aptp.gumbel import Relaxation, draw, nested, outside_in, straight_through
from aptp_bench.pruning.gates import GateSpace

N = 200_000


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("logit", [-2.0, -0.5, 0.0, 1.0])
def test_gumbel_noise_opens_a_gate_as_the_reference_computes_and_logistic_is_the_claimed_bernoulli(
    logit: float,
) -> None:
    expected = {"gumbel": 1 - math.exp(-math.exp(logit)), "logistic": 1 / (1 + math.exp(-logit))}
    for noise, share in expected.items():
        opened = (logit + draw(noise, (N,), rng())) > 0
        assert float(opened.double().mean()) == pytest.approx(share, abs=0.005), noise


def test_noise_is_a_function_of_the_generator() -> None:
    assert torch.equal(draw("gumbel", (5,), rng(1)), draw("gumbel", (5,), rng(1)))
    assert not torch.equal(draw("gumbel", (5,), rng(1)), draw("gumbel", (5,), rng(2)))


def test_gates_are_equation_9(space: GateSpace) -> None:
    logits = torch.randn(3, space.size, generator=rng())
    gates = Relaxation(space, temperature=0.4, offset=3.0).gates(logits, rng(7))
    torch.testing.assert_close(gates, torch.sigmoid((logits + 3.0 + draw("gumbel", logits.shape, rng(7))) / 0.4))
    plain = Relaxation(space, temperature=0.4).gates(logits)
    torch.testing.assert_close(plain, torch.sigmoid(logits / 0.4))


def test_the_guard_keeps_every_layer_open(space: GateSpace) -> None:
    closed = torch.full((1, space.size), -20.0)
    kept = Relaxation(space, guard=True).gates(closed) >= 0.5
    assert [int(part.sum()) for part in space.split(kept[0])[0]] == [1] * len(space.widths)
    assert not (Relaxation(space).gates(closed) >= 0.5).any()


def test_the_authors_order_of_sd21_depth_gates() -> None:
    signed = (-1, -2, 0, 1, -3, -4, 2, 3, -5, -6, 4, 5, -7, 6)
    assert outside_in(14) == tuple(i % 14 for i in signed)


def test_nested_depth_gates_close_in_their_order() -> None:
    order = (2, 0, 3, 1)
    logits = 3 * torch.randn(50, 4, generator=rng())
    chained = nested(logits, order)[:, list(order)]
    assert (chained[:, :-1] >= chained[:, 1:]).all()
    assert torch.equal(nested(logits, (-2, 0, -1, 1)), nested(logits, order))
    assert (chained[:, 0] > 10).all()  # the first has the whole softmax and cannot close
    torch.testing.assert_close(torch.sigmoid(chained[:, -1]), torch.softmax(logits, -1)[:, order[-1]].clamp(1e-6))


def test_nested_touches_depth_gates_only(space: GateSpace) -> None:
    logits = torch.randn(2, space.size, generator=rng())
    relaxation = Relaxation(space, offset=1.0, order=outside_in(len(space.depths)))
    effective = relaxation.effective(logits)
    assert torch.equal(effective[:, : space.width_size], logits[:, : space.width_size] + 1.0)
    depth = effective[:, space.width_size :] - 1.0
    torch.testing.assert_close(depth, nested(logits[:, space.width_size :], relaxation.order))


def test_an_order_that_is_none_is_refused(space: GateSpace) -> None:
    with pytest.raises(ConfigError, match="depth_order must name each"):
        Relaxation(space, order=(0, 0))


def test_straight_through_is_hard_forward_and_soft_backward() -> None:
    soft = torch.tensor([0.2, 0.5, 0.9], requires_grad=True)
    hard = straight_through(soft)
    assert hard.tolist() == [0.0, 1.0, 1.0]
    hard.sum().backward()
    assert soft.grad is not None and soft.grad.tolist() == [1.0, 1.0, 1.0]
