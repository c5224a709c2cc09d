"""FID against an independent implementation and a closed form, and its three routes against each other."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from aptp_bench.core.intervals import influence_interval
from aptp_bench.errors import MetricError
from aptp_bench.metrics import fid
from aptp_bench.metrics.fid import (
    FID,
    Moments,
    fid_interval,
    frechet_distance,
    influences,
    judged,
    low_rank_distance,
    moments_distance,
)


def features(n: int, d: int, seed: int, shift: float = 0.0) -> Tensor:
    """Positive, correlated and of unequal scale, as pooled features are."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=torch.Generator().manual_seed(99)) / d**0.5
    scales = torch.logspace(0, -2, d)
    return ((torch.randn(n, d, generator=generator) * scales) @ mixing + shift * scales + 0.3).relu()


def numpy_moments(x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    return x.double().numpy().mean(axis=0), np.cov(x.double().numpy(), rowvar=False)


def test_equals_clean_fid() -> None:
    from cleanfid.fid import frechet_distance as theirs

    fake, real = features(500, 48, 0, 0.2), features(700, 48, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its sqrtm(disp=False) is on its way out of scipy
        expected = theirs(*numpy_moments(fake), *numpy_moments(real))
    assert frechet_distance(fake, real)[0] == pytest.approx(expected, rel=1e-6)


def test_gaussians_with_diagonal_covariances_have_a_closed_form() -> None:
    base = torch.eye(4, dtype=torch.float64).repeat(2, 1)
    base[4:] *= -1  # mean 0, covariance 2/7 on the diagonal
    fake, real = base * torch.tensor([1.0, 2.0, 3.0, 4.0]) + 5, base
    spread = 2 / 7
    expected = 4 * 25 + spread * sum((s - 1) ** 2 for s in (1, 2, 3, 4))
    assert frechet_distance(fake, real)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("block", [512, 16, 7])
def test_the_three_routes_agree(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(fid, "BLOCK", block)
    fake, real = features(300, 40, 4, 0.2), features(200, 40, 5)
    value, route = moments_distance(Moments.of(fake), Moments.of(real))
    assert route == "cholesky"
    assert low_rank_distance(fake, real) == pytest.approx(value, rel=1e-10)
    flat = torch.cat([torch.ones(300, 1), fake], 1), torch.cat([torch.ones(200, 1), real], 1)  # a dead feature
    eigen, route = moments_distance(Moments.of(flat[0]), Moments.of(flat[1]))
    assert route == "eigen"
    assert eigen == pytest.approx(value, rel=1e-8)


def test_few_images_take_the_low_rank_route_whichever_side_they_are_on() -> None:
    few, many = features(30, 64, 6, 0.2), features(200, 64, 7)
    value, route = frechet_distance(few, many)
    assert route == "low-rank"
    assert frechet_distance(many, few) == (pytest.approx(value, rel=1e-10), "low-rank")
    eigen, _ = moments_distance(Moments.of(many), Moments.of(few))
    assert value == pytest.approx(eigen, rel=1e-6)


@pytest.mark.parametrize("n", [5, 300])
def test_a_set_is_at_no_distance_from_itself(n: int) -> None:
    for seed in range(8):  # rounding falls on either side of zero
        x = features(n, 40, seed)
        assert 0 <= frechet_distance(x, x)[0] < 1e-8


@pytest.mark.parametrize("block", [512, 8, 3])
def test_moments_are_those_of_numpy_in_any_blocks(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    x = features(103, 10, 9)
    monkeypatch.setattr(fid, "CHUNK", 10)
    monkeypatch.setattr(fid, "BLOCK", block)
    moments = Moments.of(x)
    mean, covariance = numpy_moments(x)
    assert np.allclose(moments.mean, mean, rtol=1e-13)
    assert np.allclose(moments.covariance, covariance, rtol=1e-11)
    rest = moments.without(Moments.of(x[:40]))
    assert np.allclose(rest.covariance, numpy_moments(x[40:])[1], rtol=1e-11)


def test_many_features_in_float32_give_the_distance_of_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a mean far from zero, a dead feature, and rows that come in order of size."""
    monkeypatch.setattr(fid, "CHUNK", 300)
    monkeypatch.setattr(fid, "CHEAP", 32)
    monkeypatch.setattr(fid, "BLOCK", 24)
    a, b = (torch.cat([x + 50, torch.zeros(len(x), 1)], 1) for x in (features(1500, 64, 1, 0.2), features(900, 64, 2)))
    a = a[a.norm(dim=1).argsort()]
    assert frechet_distance(a, b)[0] == pytest.approx(frechet_distance(a.double(), b.double())[0], abs=1e-5)
    kinds = Moments.of(a), Moments.of(a.double())
    torch.testing.assert_close(kinds[0].covariance, kinds[1].covariance, rtol=1e-5, atol=1e-6)
    assert not torch.equal(kinds[0].outer, kinds[1].outer)  # the quick way was taken
    found, exact = judged(b, kinds[0]), judged(b.double(), kinds[1])
    torch.testing.assert_close(found.influences, exact.influences, rtol=1e-3, atol=1e-4)


def test_the_interval_is_as_wide_as_fresh_samples_scatter() -> None:
    real = features(1000, 24, 10)
    values = torch.tensor([frechet_distance(features(200, 24, 100 + i, 2.0), real)[0] for i in range(40)])
    widths = [fid_interval(10.0, features(200, 24, 100 + i, 2.0), real, 50) for i in range(4)]
    mean_width = sum(high - low for low, high in widths) / len(widths)
    assert mean_width / (2 * 1.96) == pytest.approx(float(values.std()), rel=0.4)


def test_the_measurement_says_how_it_was_made(given) -> None:
    fake, real = features(90, 16, 11, 0.2), features(80, 16, 12)
    evidence = given(fake={"pool": fake}, real={"pool": real})
    found = FID()(evidence)
    assert found.value == pytest.approx(frechet_distance(fake, real)[0], rel=1e-9)
    assert found.interval is not None
    assert found.interval[0] < found.value < found.interval[1]
    assert (found.n, found.detail["n_real"], found.detail["route"], found.better) == (90, 80, "cholesky", "lower")
    assert FID(groups=0)(evidence).interval is None


def test_many_features_have_an_interval_that_needs_no_groups(given) -> None:
    """As wide as that of fifty groups, which many features would make too slow."""
    evidence = given(fake={"pool": features(1200, 24, 0)}, real={"pool": features(900, 24, 1, 0.1)})
    low, high = FID(groups=50)(evidence).interval or (0, 0)
    fake, real = evidence.fake["pool"], evidence.real["pool"]
    found = influence_interval(frechet_distance(fake, real)[0], influences(fake, real))
    assert (found[1] - found[0]) == pytest.approx(high - low, rel=0.2)
    wide = given(fake={"pool": features(90, 520, 0)}, real={"pool": features(80, 520, 1)})
    assert FID()(wide).interval is not None and FID()(wide).detail["jackknife_groups"] is None


@pytest.mark.parametrize("case", ["full", "dead feature", "few"])
def test_distance_and_influences_at_once_are_those_one_by_one(case: str) -> None:
    fake, real = features(20 if case == "few" else 300, 24, 1, 0.3), features(200, 24, 2)
    if case == "dead feature":
        fake, real = torch.cat([torch.ones(300, 1), fake], 1), torch.cat([torch.ones(200, 1), real], 1)
    found = judged(fake, real)
    assert (found.value, found.route) == (
        pytest.approx(frechet_distance(fake, real)[0], rel=1e-9),
        frechet_distance(fake, real)[1],
    )
    torch.testing.assert_close(found.influences, influences(fake, real), rtol=1e-6, atol=1e-7)


def test_one_image_is_not_enough(given) -> None:
    with pytest.raises(MetricError, match="two images"):
        FID()(given(fake={"pool": torch.ones(1, 4)}, real={"pool": torch.rand(9, 4)}))


def test_too_few_images_for_a_full_rank_say_so(given) -> None:
    def caution(n: int) -> str:
        measured = FID()(given(fake={"pool": features(n, 8, 0)}, real={"pool": features(64, 8, 1)}))
        return str(measured.detail.get("caution", ""))

    assert "2 generated" in caution(2) and caution(8) and not caution(9)
