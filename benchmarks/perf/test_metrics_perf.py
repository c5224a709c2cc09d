"""What the metrics' arithmetic costs, as a ratio to the reference computation in the same run: seconds alone are a machine's.

Run: pytest benchmarks/perf/test_metrics_perf.py
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from aptp_bench.metrics.cmmd import SCALE, cmmd
from aptp_bench.metrics.fid import Moments, frechet_distance, moments_distance

WIDTH = 2048  # of Inception's pooled features


def features(n: int, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, width, generator=generator) * torch.logspace(0, -1, width)


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def with_sqrtm(a: Moments, b: Moments) -> float:
    """The distance as clean-fid and pytorch-fid compute it."""
    from scipy.linalg import sqrtm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = sqrtm((a.covariance @ b.covariance).numpy()).real
    square = float((a.mean - b.mean).square().sum())
    return square + float(a.covariance.trace() + b.covariance.trace()) - 2 * float(root.trace())


def test_fid_against_scipy(benchmark: Any) -> None:
    """Same value and at least three times as fast; 7 to 13 times on two quiet cores."""
    a, b = Moments.of(features(6000, WIDTH, 0)), Moments.of(features(6000, WIDTH, 1))
    ours, _ = benchmark.pedantic(moments_distance, (a, b), rounds=2, warmup_rounds=1)
    theirs, expected = seconds(lambda: with_sqrtm(a, b))
    benchmark.extra_info["scipy_s"] = theirs
    benchmark.extra_info["times_faster"] = theirs / benchmark.stats["median"]
    assert ours == pytest.approx(expected, rel=1e-6)
    assert benchmark.extra_info["times_faster"] > 3


def test_fid_of_few_images(benchmark: Any) -> None:
    """A thousand images: the nuclear norm of features, instead of a 2048 x 2048 decomposition."""
    fake, real = features(1000, WIDTH, 2), features(1000, WIDTH, 3)
    _, route = benchmark.pedantic(frechet_distance, (fake, real), rounds=2)
    assert route == "low-rank"
    whole, _ = seconds(lambda: moments_distance(Moments.of(fake), Moments.of(real)))
    benchmark.extra_info["times_faster"] = whole / benchmark.stats["median"]
    assert benchmark.extra_info["times_faster"] > 1


def full_kernel(x: Tensor, y: Tensor) -> float:
    """Three whole matrices at once, as in the reference code."""

    def closeness(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-torch.cdist(a, b).square() / 200).mean()

    x, y = x.double(), y.double()
    return SCALE * float(closeness(x, x) + closeness(y, y) - 2 * closeness(x, y))


def test_cmmd_in_blocks(benchmark: Any) -> None:
    """Blocks hold 1024 rows of the kernel at a time, for at most twice the time of whole matrices."""
    x, y = (torch.nn.functional.normalize(features(4000, 768, seed), dim=1) for seed in (4, 5))
    ours = benchmark.pedantic(cmmd, (x, y), rounds=2, warmup_rounds=1)
    full, expected = seconds(lambda: full_kernel(x, y))
    benchmark.extra_info["full_s"] = full
    benchmark.extra_info["times_faster"] = full / benchmark.stats["median"]
    assert ours.item() == pytest.approx(expected, rel=1e-6)
    assert benchmark.extra_info["times_faster"] > 0.5
