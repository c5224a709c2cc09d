from __future__ import annotations

import random

import numpy as np
import torch

from aptp_bench.core.noise import draws_kept, expert_seed, generator, stage_seed, starting_noise


def test_noise_of_an_index_does_not_depend_on_its_batch_or_order():
    together = starting_noise(3, [5, 1, 9], (4, 8, 8))
    alone = [starting_noise(3, [index], (4, 8, 8))[0] for index in (5, 1, 9)]
    assert torch.equal(together, torch.stack(alone))


def test_noise_depends_on_seed_and_index_and_neighbours_share_nothing():
    drawn = torch.stack([starting_noise(seed, [index], (4096,))[0] for seed in (0, 1) for index in (0, 1)])
    correlation = torch.corrcoef(drawn) - torch.eye(4)
    assert correlation.abs().max() < 0.06
    assert abs(float(drawn.mean())) < 0.05 and abs(float(drawn.std()) - 1) < 0.05


def test_the_same_noise_on_every_machine():
    assert torch.allclose(starting_noise(0, [0], (3,)), torch.tensor([[-0.1426263, 0.7359524, 0.0663708]]), atol=1e-6)


def test_generators_leave_the_global_one_alone():
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    torch.rand(5, generator=generator("a", 1))
    assert torch.equal(torch.rand(2), expected)


def test_seeds_are_those_of_the_published_records() -> None:
    assert [expert_seed(seed, index) for seed, index in ((0, 3), (2, 1))] == [3, 2001]
    assert stage_seed(0, "alignment-1") == 2461173722
    assert stage_seed(1, "alignment-1") != stage_seed(0, "alignment-1") != stage_seed(0, "joint")


def test_a_callers_own_draws_go_on_as_if_nothing_had_been_drawn() -> None:
    def drawn() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    def seed() -> None:
        for start in (random.seed, np.random.seed, torch.manual_seed):
            start(3)

    seed()
    want = drawn()
    seed()
    with draws_kept():
        drawn()
        torch.manual_seed(0)
    assert drawn() == want
