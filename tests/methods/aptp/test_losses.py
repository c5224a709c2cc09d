from __future__ import annotations

import pytest
import torch

from aptp_bench.methods.aptp import losses


def some(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(5))
def test_the_contrastive_loss_is_never_negative(seed: int) -> None:
    assert losses.contrastive(some(12, 6, seed), some(12, 9, seed + 100).sigmoid()) >= 0


def test_it_is_least_where_architectures_are_as_similar_as_prompts() -> None:
    z = some(10, 6, 0)
    r = torch.softmax(torch.nn.functional.normalize(z, dim=1) @ torch.nn.functional.normalize(z, dim=1).T / 0.5, dim=1)
    entropy = -(torch.xlogy(r, r) + torch.xlogy(1 - r, 1 - r)).mean()
    least = losses.contrastive(z, z, tau=0.5)
    torch.testing.assert_close(least, entropy, rtol=1e-4, atol=1e-6)
    for seed in range(5):
        assert losses.contrastive(z, z + 0.3 * some(10, 6, seed + 1), tau=0.5) > least


def test_descending_it_makes_architectures_follow_prompts() -> None:
    z = torch.cat([some(1, 8, 0) + 0.1 * some(6, 8, 1), some(1, 8, 2) + 0.1 * some(6, 8, 3)])
    logits = some(12, 20, 4).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.1)
    before, least = losses.contrastive(z, logits.sigmoid(), 0.1).item(), losses.contrastive(z, z, 0.1).item()
    for _ in range(100):
        optimizer.zero_grad()
        loss = losses.contrastive(z, logits.sigmoid(), 0.1)
        loss.backward()
        optimizer.step()
    assert loss.item() - least < 0.3 * (before - least)
    alike = losses.cosine(logits.sigmoid(), logits.sigmoid()).detach()
    within, across = alike[:6, :6].mean() + alike[6:, 6:].mean(), 2 * alike[:6, 6:].mean()
    assert within > across + 0.1


def test_identical_architectures_and_small_tau_stay_finite() -> None:
    gates = torch.ones(8, 5, requires_grad=True)
    losses.contrastive(some(8, 4, 0), gates, tau=1e-3).backward()
    separated = torch.eye(8).requires_grad_()
    loss = losses.contrastive(some(8, 4, 0), separated, tau=1e-3)
    loss.backward()
    assert loss.isfinite() and gates.grad.isfinite().all() and separated.grad.isfinite().all()


def test_prompts_get_no_gradient() -> None:
    z, gates = some(6, 4, 0).requires_grad_(), some(6, 5, 1).sigmoid().requires_grad_()
    losses.contrastive(z, gates).backward()
    assert z.grad is None and gates.grad is not None


def test_rows_is_b_times_the_mean() -> None:
    z, gates = some(6, 4, 0), some(6, 5, 1).sigmoid()
    mean, rows = losses.contrastive(z, gates), losses.contrastive(z, gates, reduction="rows")
    torch.testing.assert_close(rows, 6 * mean)


def test_the_budget_term_is_symmetric_and_zero_at_the_target_only() -> None:
    x, y = torch.tensor(0.6), torch.tensor(0.8)
    torch.testing.assert_close(losses.resource(x, y), losses.resource(y, x))
    torch.testing.assert_close(losses.resource(x, y), torch.log(y / x))
    torch.testing.assert_close(losses.resource(1000 * x, 1000 * y), losses.resource(x, y))
    assert losses.resource(y, 0.8) == 0 < losses.resource(y, 0.79)


@pytest.mark.parametrize("spent", [0.79, 0.81])
def test_its_slope_does_not_vanish_near_the_target(spent: float) -> None:
    x = torch.tensor(spent, requires_grad=True)
    losses.resource(x, 0.8).backward()
    assert x.grad is not None and abs(float(x.grad)) == pytest.approx(1 / spent)


def test_the_mean_of_equation_15_is_over_samples_then_over_experts_that_have_any() -> None:
    assignment = torch.tensor([0, 0, 0, 2])
    values = torch.tensor([1.0, 2.0, 3.0, 10.0])
    weights = losses.expert_weights(assignment, experts=4)
    assert float((weights * values).sum()) == pytest.approx((2.0 + 10.0) / 2)
    assert float(weights.sum()) == pytest.approx(1.0)
