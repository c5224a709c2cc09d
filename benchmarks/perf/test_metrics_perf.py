"""What the metrics' arithmetic costs, as a ratio to the reference computation in the same run: seconds alone are a machine's.

Run: pytest benchmarks/perf/test_metrics_perf.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aptp_bench.core.intervals import GROUPS, left_out_weights
from aptp_bench.metrics.cmmd import SCALE, cmmd
from aptp_bench.metrics.fid import Moments, frechet_distance, moments_distance

WIDTH = 2048  # of Inception's pooled features
LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")


def features(n: int, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, width, generator=generator) * torch.logspace(0, -1, width)


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def faster(benchmark: Any, theirs: float) -> float:
    """How many times the rival's seconds hold our fastest run; noted beside the timing."""
    benchmark.extra_info["rival_s"] = theirs
    benchmark.extra_info["times_faster"] = theirs / benchmark.stats.stats.min
    return benchmark.extra_info["times_faster"]


def clean_fid(a: Moments, b: Moments) -> float:
    """clean-fid's own function, on the same means and covariances."""
    from cleanfid.fid import frechet_distance as theirs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its sqrtm(disp=False) is on its way out of scipy
        return float(theirs(a.mean.numpy(), a.covariance.numpy(), b.mean.numpy(), b.covariance.numpy()))


def torchmetrics_fid(a: Moments, b: Moments) -> float:
    """torchmetrics' own function: eigenvalues of the product, which is not symmetric."""
    from torchmetrics.image.fid import _compute_fid

    return float(_compute_fid(a.mean, a.covariance, b.mean, b.covariance))


@pytest.mark.parametrize(("rival", "least"), [(clean_fid, 5.0), (torchmetrics_fid, 1.0)])
def test_fid_of_many_images(rival: Callable[[Moments, Moments], float], least: float, benchmark: Any) -> None:
    """From the moments of 6000 features on either side: the same value, and `least` times as fast as the rival."""
    a, b = Moments.of(features(6000, WIDTH, 0)), Moments.of(features(6000, WIDTH, 1))
    ours, route = benchmark.pedantic(moments_distance, (a, b), rounds=3, warmup_rounds=1)
    theirs, expected = seconds(lambda: rival(a, b))
    assert route == "cholesky"
    assert ours == pytest.approx(expected, rel=1e-6)
    assert faster(benchmark, theirs) >= least


def test_fid_of_few_images(benchmark: Any) -> None:
    """A thousand images, from features to value: the nuclear norm, against clean-fid on covariances without rank."""
    fake, real = features(1000, WIDTH, 2), features(1000, WIDTH, 3)
    value, route = benchmark.pedantic(frechet_distance, (fake, real), rounds=2)
    assert route == "low-rank"
    theirs, expected = seconds(lambda: clean_fid(Moments.of(fake), Moments.of(real)))
    assert value == pytest.approx(expected, rel=1e-4)  # sqrtm of matrices without full rank is off by that much
    assert faster(benchmark, theirs) >= 5


def full_kernel(x: Tensor, y: Tensor) -> float:
    """Three whole matrices, as in the reference code."""

    def closeness(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-torch.cdist(a, b).square() / 200).mean()

    x, y = x.double(), y.double()
    return SCALE * float(closeness(x, x) + closeness(y, y) - 2 * closeness(x, y))


def alone(call: str, n: int) -> dict[str, float]:
    """A CMMD of n against n in a process of its own: its value, seconds, and the most memory in MB before and after."""
    done = subprocess.run([sys.executable, __file__, call, str(n)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def measured(call: Callable[[Tensor, Tensor], Any], n: int) -> dict[str, float]:
    """What `alone` reports, of this process."""
    x, y = (torch.nn.functional.normalize(features(n, 768, seed), dim=1) for seed in (4, 5))
    held_mb = peak_mb()
    taken, value = seconds(lambda: float(call(x, y)))
    return {"value": value, "seconds": taken, "held_mb": held_mb, "peak_mb": peak_mb()}


def peak_mb() -> float:
    """The most memory this process has held. Not ru_maxrss: a child inherits that from the process that started it."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def paper_cmmd(x: Tensor, y: Tensor) -> Tensor:
    """The distance as the metric computes it: the value and its jackknife share one pass."""
    weights = torch.full((1, len(x)), 1 / len(x), dtype=torch.float64)
    return cmmd(x, y, torch.cat([weights, left_out_weights(len(x), GROUPS)]))[0]


@LINUX
def test_cmmd_against_whole_matrices(benchmark: Any) -> None:
    """6000 against 6000: the same value in less time and a fraction of the memory."""
    ours = benchmark.pedantic(alone, ("cmmd", 6000), rounds=2)
    full = alone("full_kernel", 6000)
    beyond = [run["peak_mb"] - run["held_mb"] for run in (ours, full)]
    facts = {"times_faster": full["seconds"] / ours["seconds"], "times_less_memory": beyond[1] / beyond[0]}
    benchmark.extra_info.update(facts, ours=ours, full=full)
    assert ours["value"] == pytest.approx(full["value"], rel=1e-6)
    assert facts["times_faster"] > 1
    assert facts["times_less_memory"] > 3


@LINUX
def test_cmmd_of_the_papers_size(benchmark: Any) -> None:
    """30,000 against 30,000 with its interval, features included, in 2 GB; whole matrices would hold 7 GB each."""
    found = benchmark.pedantic(alone, ("paper_cmmd", 30_000), rounds=1)
    benchmark.extra_info.update(found)
    assert found["value"] > 0
    assert found["peak_mb"] <= 2e9 / 2**20


if __name__ == "__main__":
    chosen = {"cmmd": cmmd, "full_kernel": full_kernel, "paper_cmmd": paper_cmmd}[sys.argv[1]]
    sys.stdout.write(json.dumps(measured(chosen, int(sys.argv[2]))))
