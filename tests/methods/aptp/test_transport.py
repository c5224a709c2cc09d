from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from aptp_bench.methods.aptp.report import spread
from aptp_bench.methods.aptp.transport import Similarity, Transport, balanced, cosine, nearest, sinkhorn
from aptp_bench.pruning.gates import GateSpace


def similarity(codes: int = 5, prompts: int = 40, seed: int = 0) -> Tensor:
    return torch.randn(codes, prompts, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("iterations", [1, 3, 10])
def test_columns_of_the_plan_sum_to_one_over_b(iterations: int) -> None:
    plan = sinkhorn(similarity(), iterations=iterations)
    torch.testing.assert_close(40 * plan.sum(0), torch.ones(40).double())
    assert (plan >= 0).all()


def test_rows_approach_one_over_n_as_iterations_grow() -> None:
    errors = [float((5 * sinkhorn(similarity(), 0.5, k).sum(1) - 1).abs().max()) for k in (1, 3, 10, 100)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-6


def test_the_plan_maximises_equation_5_among_balanced_ones() -> None:
    s, eps = similarity(3, 6).double(), 0.3
    plan = sinkhorn(s, eps, 500)

    def objective(q: Tensor) -> float:
        return float((q * s).sum() - eps * torch.xlogy(q, q).sum())

    for i, j, k, m in ((0, 1, 0, 1), (0, 2, 3, 5), (1, 2, 2, 4)):  # moves that keep all row and column sums
        for sign in (1, -1):
            moved = plan.clone()
            step = sign * 1e-3 * min(float(plan[i, k]), float(plan[j, m]), float(plan[i, m]), float(plan[j, k]))
            moved[i, k] += step
            moved[j, m] += step
            moved[i, m] -= step
            moved[j, k] -= step
            assert objective(moved) < objective(plan)


def test_duplicate_prompts_have_the_same_column() -> None:
    s = similarity()
    s[:, 7] = s[:, 3]
    plan = sinkhorn(s)
    assert torch.equal(plan[:, 7], plan[:, 3])
    assert Transport()(s)[7] == Transport()(s)[3]


def test_equal_similarities_give_the_uniform_plan() -> None:
    plan = sinkhorn(torch.full((4, 10), 0.3))
    torch.testing.assert_close(plan, torch.full((4, 10), 1 / 40).double())


def test_large_similarities_do_not_overflow() -> None:
    plan = sinkhorn(1e4 * similarity())
    assert plan.isfinite().all()
    torch.testing.assert_close(plan.sum(0), torch.full((40,), 1 / 40).double())


def test_transport_spreads_prompts_where_the_nearest_code_collapses() -> None:
    """One code near the mean of all prompts takes them all; the plan still finds the clusters."""
    generator = torch.Generator().manual_seed(0)
    centres = F.normalize(torch.randn(4, 32, generator=generator), dim=1)
    prompts = centres.repeat_interleave(25, 0) + 0.05 * torch.randn(100, 32, generator=generator)
    codes = torch.cat([centres.mean(0)[None] * 2, centres[1:] * 0.2 + torch.randn(3, 32, generator=generator)])
    s = cosine(codes, prompts)
    loads = [torch.bincount(rule(s), minlength=4) for rule in (nearest, Transport())]
    assert spread(loads[0]).largest > 0.9
    assert spread(loads[1]).largest < 0.4 and int(loads[1].min()) > 0


def test_assignment_is_one_code_a_prompt_without_gradient() -> None:
    s = similarity().requires_grad_()
    for codes in (Transport()(s), nearest(s)):
        assert codes.shape == (40,) and codes.dtype == torch.long and not codes.requires_grad
        assert set(codes.tolist()) == set(range(5))


def test_a_signature_scales_layers_and_ignores_what_is_behind_a_closed_depth_gate(space: GateSpace) -> None:
    similar = Similarity.of(space)
    gates = torch.ones(1, space.size)
    whole = similar.signature(gates)[0]
    for layer in space.widths:
        assert float(whole[layer.span].square().sum()) == pytest.approx(1.0)
    owned = next(layer for layer in space.widths if layer.depth is not None)
    free = next(layer for layer in space.widths if layer.depth is None)
    gates[0, space.depths[owned.depth].start] = 0.0
    closed = similar.signature(gates)[0]
    assert closed[owned.span].abs().max() == 0
    assert torch.equal(closed[free.span], whole[free.span])


def test_the_three_similarities(space: GateSpace) -> None:
    generator = torch.Generator().manual_seed(0)
    codes, prompts = (torch.randn(n, space.size, generator=generator) for n in (3, 5))
    pair = (codes, codes.sigmoid()), (prompts, prompts.sigmoid())
    inner, logits = Similarity.of(space, "inner"), Similarity.of(space, "cosine_logits")
    torch.testing.assert_close(inner.training(*pair), codes @ prompts.T)
    torch.testing.assert_close(logits.training(*pair), cosine(codes, prompts))
    torch.testing.assert_close(inner.test(*pair), cosine(codes, prompts))  # eq. 22, whatever was used in training
    gates = Similarity.of(space, "cosine_gates")
    expected = cosine(gates.signature(codes.sigmoid()), gates.signature(prompts.sigmoid()))
    torch.testing.assert_close(gates.training(*pair), expected)
    torch.testing.assert_close(gates.test(*pair), expected)


@pytest.mark.parametrize(("codes", "prompts"), [(5, 40), (7, 40), (8, 64), (3, 2)])
@pytest.mark.parametrize("flatness", [1e-9, 1.0, 1e3])
def test_balanced_rounding_gives_every_code_its_share(codes: int, prompts: int, flatness: float) -> None:
    s = flatness * similarity(codes, prompts)
    loads = torch.bincount(Transport(rounding="balanced")(s), minlength=codes)
    assert int(loads.sum()) == prompts
    assert prompts // codes <= int(loads.min()) and int(loads.max()) <= -(-prompts // codes)


def test_an_argmax_of_a_flat_plan_does_not() -> None:
    s = 1e-9 * similarity(8, 64)
    s[0] *= 50  # its similarities vary most: it is the greatest of every column where it is above its mean
    assert float(torch.bincount(Transport()(s), minlength=8).max()) > 20
    assert float(torch.bincount(Transport(rounding="balanced")(s), minlength=8).max()) <= 9


def test_balanced_rounding_leaves_a_balanced_argmax_alone() -> None:
    s = torch.eye(4).repeat_interleave(5, 1) + 0.01 * similarity(4, 20)
    assert torch.equal(Transport(rounding="balanced")(s), Transport()(s))


def test_balanced_rounding_takes_the_surest_first_and_gives_the_heaviest_row_what_is_left_over() -> None:
    plan = torch.tensor([[0.9, 0.8, 0.7, 0.1, 0.6], [0.1, 0.2, 0.3, 0.9, 0.4]]) / 5
    assert balanced(plan).tolist() == [0, 0, 0, 1, 1]


def test_relative_similarities_have_no_unit() -> None:
    s = similarity()
    relative = Transport(relative=True)
    assert torch.equal(relative(s), relative(1e-6 * s)) and torch.equal(relative(s), relative(3 + s))
    assert not torch.equal(Transport()(s), Transport()(1e-6 * s))
    assert Transport(relative=True)(torch.ones(3, 5)).shape == (5,)
