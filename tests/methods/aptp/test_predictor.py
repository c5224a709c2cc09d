from __future__ import annotations

import torch

from aptp_bench.methods.aptp.predictor import Architect, clustered, orthogonal, spread


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_wide_matrix_has_orthonormal_rows_and_a_tall_one_columns() -> None:
    wide, tall = orthogonal(3, 10, rng()), orthogonal(10, 3, rng())
    torch.testing.assert_close(wide @ wide.T, torch.eye(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(tall.T @ tall, torch.eye(3), atol=1e-5, rtol=0)


def test_the_predictor_keeps_lengths_and_angles_at_first() -> None:
    z = torch.randn(5, 8, generator=rng(1))
    e = Architect(8, 30, 4, rng())(z)
    torch.testing.assert_close(e @ e.T, z @ z.T, atol=1e-4, rtol=1e-4)


def test_everything_is_decided_by_the_generator() -> None:
    a, b, c = (Architect(8, 30, 4, rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(a.predictor.weight, b.predictor.weight)
    assert not torch.equal(a.predictor.weight, c.predictor.weight)


def test_codes_begin_orthogonal_random_or_predicted() -> None:
    z = torch.randn(50, 8, generator=rng(1))
    architect = Architect(8, 30, 4, rng())
    architect.begin_codes("orthogonal", z, rng())
    torch.testing.assert_close(architect.codes @ architect.codes.T, torch.eye(4), atol=1e-5, rtol=0)
    architect.begin_codes("random", z, rng())
    assert 0.8 < float(architect.codes.detach().std()) < 1.2
    architect.begin_codes("predicted", z, rng())
    distances = torch.cdist(architect.codes, architect(z)).detach()
    assert distances.min(1).values.max() < 1e-2  # cdist rounds near zero
    assert len(set(distances.argmin(1).tolist())) == 4


def test_a_code_without_a_predictor() -> None:
    architect = Architect(None, 30, 1, rng())
    architect.begin_codes("predicted", torch.zeros(3, 1), rng())
    assert architect.predictor is None and float(architect.codes.detach().norm()) > 0.9


def test_spread_takes_one_point_of_each_far_cluster() -> None:
    centres = 100 * torch.eye(5)
    points = centres.repeat_interleave(20, 0) + 0.1 * torch.randn(100, 5, generator=rng())
    for seed in range(5):
        assert sorted((spread(points, 5, rng(seed)) // 20).tolist()) == [0, 1, 2, 3, 4]


def test_spread_over_equal_points_still_gives_as_many() -> None:
    assert len(spread(torch.ones(9, 3), 4, rng())) == 4


def test_clustered_codes_are_the_means_of_equally_many_prompts() -> None:
    z = torch.randn(60, 8, generator=rng(1))
    architect = Architect(8, 30, 4, rng())
    architect.begin_codes("clustered", z, rng())
    codes, embeddings = architect.codes.detach(), architect(z).detach()
    torch.testing.assert_close(codes.mean(0), embeddings.mean(0))  # so what the warm-up learnt of the budget is kept
    served = torch.bincount(torch.cdist(codes, embeddings).argmin(0), minlength=4)
    assert int(served.min()) >= 8


def test_clusters_are_found() -> None:
    truth = 100 * torch.eye(5)
    points = truth.repeat_interleave(20, 0) + 0.1 * torch.randn(100, 5, generator=rng())
    found = clustered(points, points[spread(points, 5, rng())])
    assert torch.cdist(truth, found).min(1).values.max() < 1.0
    assert clustered(torch.ones(9, 3), torch.ones(4, 3)).isfinite().all()
