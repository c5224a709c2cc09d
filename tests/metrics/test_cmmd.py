from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from aptp_bench.core.intervals import left_out_weights
from aptp_bench.metrics import cmmd as module
from aptp_bench.metrics.cmmd import CMMD, cmmd


def embeddings(n: int, seed: int, shift: float = 0.0, d: int = 16) -> Tensor:
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    x[:, 0] += shift
    return F.normalize(x, dim=1)


def direct(x: Tensor, y: Tensor) -> float:
    """The whole kernel matrices, diagonals included, as the paper's code has them."""

    def closeness(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-(a[:, None] - b[None]).square().sum(-1) / 200).mean()

    x, y = x.double(), y.double()
    return 1000 * float(closeness(x, x) + closeness(y, y) - 2 * closeness(x, y))


@pytest.mark.parametrize("block", [1, 7, 4096])
def test_blocks_equal_the_direct_computation(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    x, y = embeddings(40, 0, 1.0), embeddings(31, 1)
    assert cmmd(x, y).item() == pytest.approx(direct(x, y), rel=1e-9)


def test_is_a_squared_distance() -> None:
    x, y = embeddings(50, 2, 1.0), embeddings(60, 3)
    assert cmmd(x, x).item() == pytest.approx(0, abs=1e-10)
    assert cmmd(x, y).item() == pytest.approx(cmmd(y, x).item(), rel=1e-12)
    assert cmmd(embeddings(50, 2, 2.0), y) > cmmd(x, y) > 0


def test_small_values_keep_their_digits() -> None:
    """Two points so close that their kernel rounds to 1 in float64: the distance is the first term of its series."""
    x = torch.zeros(1, 2, dtype=torch.float64)
    y = torch.tensor([[1e-7, 0.0]], dtype=torch.float64)
    assert cmmd(x, y).item() == pytest.approx(1000 * 2 * 1e-14 / 200, rel=1e-9, abs=0)


def test_the_bias_is_the_one_that_is_documented() -> None:
    values = [cmmd(embeddings(100, i), embeddings(100, 1000 + i)).item() for i in range(100)]
    gap = 1 - torch.exp(-torch.cdist(embeddings(300, 1), embeddings(300, 2)).square() / 200).mean()
    assert sum(values) / 100 == pytest.approx(1000 * float(gap) * (1 / 100 + 1 / 100), rel=0.1)


@pytest.mark.parametrize("block", [7, 4096])
def test_weights_leave_images_out(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    x, y, weights = embeddings(20, 4, 1.0), embeddings(30, 5), left_out_weights(20, 5)
    values = cmmd(x, y, weights)
    assert values.tolist() == pytest.approx([cmmd(x[w > 0], y).item() for w in weights], rel=1e-9)


def test_the_interval_is_as_wide_as_fresh_samples_scatter(given) -> None:
    real = embeddings(600, 6)
    values = torch.tensor([cmmd(embeddings(150, 100 + i, 3.0), real).item() for i in range(40)])
    found = CMMD()(given(fake={"embedding": embeddings(150, 99, 3.0)}, real={"embedding": real}))
    low, high = found.interval
    assert (high - low) / (2 * 1.96) == pytest.approx(float(values.std()), rel=0.4)
    assert low < found.value < high


def test_the_measurement_says_how_it_was_made(given) -> None:
    x, y = embeddings(20, 7, 1.0), embeddings(30, 8)
    evidence = given(fake={"embedding": x}, real={"embedding": y})
    found = CMMD(groups=0)(evidence)
    assert (found.value, found.n, found.interval) == (cmmd(x, y).item(), 20, None)
    assert (found.unit, found.detail["n_real"], found.detail["backbone"]) == ("x1000", 30, "fake-net")
