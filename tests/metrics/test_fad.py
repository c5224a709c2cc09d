"""FAD against independent implementations, and its replicates against weights that are really moved."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from aptp_bench.errors import MetricError
from aptp_bench.metrics.fad import FAD, checked, fad, fad_interval, fad_replicates
from aptp_bench.metrics.fid import frechet_distance


def embeddings(n: int, k: int, d: int, seed: int, shift: float = 0.0) -> Tensor:
    """[n, k, d], of unequal scale, correlated, and alike within a clip."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=torch.Generator().manual_seed(99)) / d**0.5
    own = torch.randn(n, 1, d, generator=generator) + 0.5 * torch.randn(n, k, d, generator=generator)
    return own * torch.logspace(0, -2, d) @ mixing + shift


def independent(x: np.ndarray, y: np.ndarray) -> float:
    """Dowson & Landau 1982: the eigenvalues of S1 S2 by the general solver, float64."""
    first, second = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    roots = np.sqrt(np.linalg.eigvals(first @ second).astype(complex)).real
    apart = x.mean(axis=0) - y.mean(axis=0)
    return float(apart @ apart + np.trace(first) + np.trace(second) - 2 * roots.sum())


def by_root(x: np.ndarray, y: np.ndarray) -> float:
    """The trace of scipy's square root of the product, as in the authors' code."""
    from scipy.linalg import sqrtm

    first, second = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    apart = x.mean(axis=0) - y.mean(axis=0)
    return float(apart @ apart + np.trace(first + second) - 2 * np.trace(sqrtm(first @ second)).real)


@pytest.mark.parametrize("d", [16, 128])
@pytest.mark.parametrize("theirs", [independent, by_root])
def test_equals_an_independent_implementation(d: int, theirs: object) -> None:
    fake, real = embeddings(200, 3, d, 0, 0.1), embeddings(250, 3, d, 1)
    flat = [x.double().flatten(0, 1).numpy() for x in (fake, real)]
    assert fad(fake, real)[0] == pytest.approx(theirs(*flat), rel=1e-6)


def test_is_fid_of_the_flattened_embeddings() -> None:
    fake, real = embeddings(40, 2, 24, 2, 0.1), embeddings(30, 5, 24, 3)
    assert fad(fake, real) == frechet_distance(fake.reshape(-1, 24), real.reshape(-1, 24))


def test_gaussians_that_differ_in_scale_have_a_closed_form() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 1, 8, generator=generator, dtype=torch.float64)
    spread = float(x.flatten(0, 1).T.cov().trace())
    shifted = 3 * x + 2 - 3 * x.mean(0) + x.mean(0)  # mean 2 further, deviations three times as large
    assert fad(shifted, x)[0] == pytest.approx(4 * 8 + spread * 4, rel=1e-9)


@pytest.mark.parametrize("k", [1, 4])
def test_a_replicate_is_what_more_weight_on_its_clip_does(k: int) -> None:
    fake, real = embeddings(60, k, 6, 4, 0.2).double(), embeddings(80, k, 6, 5).double()
    value = fad(fake, real)[0]
    replicates = torch.tensor(fad_replicates(value, fake, real), dtype=torch.float64)
    assert float(replicates.mean()) == pytest.approx(value, rel=1e-9)
    flat = real.flatten(0, 1).numpy()

    def weighted(weights: np.ndarray) -> float:
        x = fake.flatten(0, 1).numpy()
        w = np.repeat(weights / weights.sum() / k, k)
        mean = w @ x
        n = len(x)
        first = (x - mean).T @ (w[:, None] * (x - mean)) * n / (n - 1)
        second = np.cov(flat, rowvar=False)
        roots = np.sqrt(np.linalg.eigvals(first @ second).astype(complex)).real
        apart = mean - flat.mean(axis=0)
        return float(apart @ apart + np.trace(first) + np.trace(second) - 2 * roots.sum())

    for clip in (0, 17):
        step = 1e-4
        up, down = np.ones(60), np.ones(60)
        up[clip], down[clip] = 1 + step, 1 - step
        slope = 60 * (weighted(up) - weighted(down)) / (2 * step)
        assert float(replicates[clip]) - value == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_the_interval_treats_a_clip_as_one() -> None:
    """Three equal embeddings a clip say no more than one: the interval must not shrink."""
    fake, real = embeddings(200, 1, 12, 6, 0.3), embeddings(400, 1, 12, 7)
    one = fad_interval(fad(fake, real)[0], fake, real, 40)
    tripled = fake.repeat(1, 3, 1)
    three = fad_interval(fad(tripled, real)[0], tripled, real, 40)
    assert three[1] - three[0] == pytest.approx(one[1] - one[0], rel=0.05)
    spread = torch.tensor(fad_replicates(0.0, fake, real)).std()
    assert torch.tensor(fad_replicates(0.0, tripled, real)).std() == pytest.approx(float(spread), rel=0.05)


def test_the_measurement_says_how_it_was_made(given) -> None:
    fake, real = embeddings(90, 2, 16, 8, 0.2), embeddings(80, 2, 16, 9)
    found = FAD()(given(fake={"embedding": fake}, real={"embedding": real}))
    assert found.value == fad(fake, real)[0]
    assert found.interval is not None and found.interval[0] < found.value < found.interval[1]
    assert (found.n, found.detail["n_real"], found.detail["embeddings_a_clip"], found.better) == (90, 80, 2, "lower")
    assert found.replicates is not None and len(found.replicates) == 90
    assert FAD(groups=0)(given(fake={"embedding": fake}, real={"embedding": real})).interval is None


def test_a_vector_a_clip_is_taken_too(given) -> None:
    fake, real = embeddings(30, 1, 8, 1, 0.2), embeddings(30, 1, 8, 2)
    flat = given(fake={"embedding": fake[:, 0]}, real={"embedding": real[:, 0]})
    assert FAD()(flat).value == fad(fake, real)[0]


def test_what_cannot_be_measured_is_refused(given) -> None:
    fine = embeddings(9, 2, 4, 0)
    with pytest.raises(MetricError, match="training sounds"):
        FAD()(given(fake={"embedding": fine}))
    with pytest.raises(MetricError, match="two real clips, got 1"):
        FAD()(given(fake={"embedding": fine}, real={"embedding": fine[:1]}))
    broken = fine.clone()
    broken[3, 1, 2] = float("nan")
    with pytest.raises(MetricError, match="1 of 9 generated clips"):
        FAD()(given(fake={"embedding": broken}, real={"embedding": fine}))
    with pytest.raises(MetricError, match=r"got \[9\]"):
        checked(torch.zeros(9), "generated")
