from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from aptp_bench.methods.ld_pruner.scores import avg_dist, score, std_dist

P, N, SHAPE = 3, 5, (4, 3, 2)
SIZE = math.prod(SHAPE)


@pytest.fixture
def sets() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    z, z_hat = torch.randn(2, P, N, *SHAPE, generator=generator)
    return z, 1.7 * z_hat + 0.3


def close(x: Tensor, y: Tensor | float) -> None:
    torch.testing.assert_close(x, torch.as_tensor(y, dtype=torch.float64).expand(P), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("unbiased", [False, True])
def test_distances_are_what_equations_1_to_6_say(sets: tuple[Tensor, Tensor], unbiased: bool) -> None:
    for prompt in range(P):
        means, deviations = [], []
        for latents in sets:
            rows = [row.flatten().double().tolist() for row in latents[prompt]]
            mu = [sum(column) / N for column in zip(*rows, strict=True)]
            squares = [sum((row[k] - mu[k]) ** 2 for row in rows) for k in range(SIZE)]
            means.append(mu)
            deviations.append([math.sqrt(square / (N - unbiased)) for square in squares])
        assert float(avg_dist(*sets)[prompt]) == pytest.approx(math.dist(*means))
        assert float(std_dist(*sets, unbiased)[prompt]) == pytest.approx(math.dist(*deviations))


@pytest.mark.parametrize("distance", [avg_dist, std_dist])
def test_distances_are_positive_and_symmetric_and_ignore_the_order_in_a_set(distance, sets) -> None:
    z, z_hat = sets
    assert (distance(z, z_hat) > 0).all()
    close(distance(z, z_hat), distance(z_hat, z))
    close(distance(z, z_hat), distance(z, z_hat[:, torch.randperm(N)]))


@pytest.mark.parametrize("c", [-2.5, 0.0, 0.75])
def test_a_constant_moves_the_mean_alone(sets: tuple[Tensor, Tensor], c: float) -> None:
    close(avg_dist(sets[0], sets[0] + c), abs(c) * math.sqrt(SIZE))
    close(std_dist(sets[0], sets[0] + c), 0.0)


@pytest.mark.parametrize("k", [0.0, 0.4, 3.0])
def test_a_scale_changes_the_deviation_alone_where_the_mean_is_zero(sets: tuple[Tensor, Tensor], k: float) -> None:
    z = (sets[0] - sets[0].mean(1, keepdim=True)).double()
    close(avg_dist(z, k * z), 0.0)
    close(std_dist(z, k * z), abs(k - 1) * z.std(1, correction=0).flatten(1).norm(dim=1))


def test_one_generation_has_no_deviation(sets: tuple[Tensor, Tensor]) -> None:
    close(std_dist(sets[0][:, :1], sets[1][:, :1]), 0.0)


@pytest.mark.parametrize(
    ("formula", "expected"), [("sum", 5.5), ("product", (1 * 2 + 3 * 5) / 2), ("average", 2.0), ("deviation", 3.5)]
)
def test_the_four_formulas_join_the_distances_of_each_prompt_and_average(formula, expected) -> None:
    assert score([1.0, 3.0], [2.0, 5.0], formula) == pytest.approx(expected)


@pytest.mark.parametrize("formula", ["sum", "product", "average", "deviation"])
@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_network_that_breaks_down_is_the_farthest(formula, bad: float) -> None:
    assert score([1.0, bad], [0.0, 0.0], formula) == math.inf
