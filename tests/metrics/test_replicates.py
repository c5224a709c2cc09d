"""One number a prompt: whatever the metric, they average to its value and scatter as the jackknife over groups says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from aptp_bench.core.intervals import left_out
from aptp_bench.metrics import cmmd, fid, inception_score
from aptp_bench.metrics.clip_score import CLIPScore
from aptp_bench.metrics.cmmd import CMMD
from aptp_bench.metrics.fid import FID
from aptp_bench.metrics.inception_score import InceptionScore
from aptp_bench.metrics.pick_score import PickScore

N, GROUPS = 600, 200  # groups of three: the jackknife's own error is then 5 %


def drawn(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def images(seed: int, change: float, n: int = N) -> dict[str, Tensor]:
    """What networks say of the images of one run: of the same prompts, and less like the first run's the larger `change`."""
    features = drawn(n, 12, 1) @ drawn(12, 12, 2) / 3 + change * drawn(n, 12, seed)
    return {"pool": features.relu(), "logits": 2 * features, "embedding": F.normalize(features, dim=1)}


def evidence(given: Any, fake: dict[str, Tensor]) -> Any:
    real = images(77, 0.5)
    network = type("Network", (), {"name": "a", "resize": "b", "logit_scale": 20.0, "digest": lambda self: "c"})()
    return given(fake=fake, real=real, text=real["embedding"][: len(fake["pool"])], network=network)


METRICS = [FID(), CMMD(), InceptionScore(splits=1), InceptionScore(splits=3), CLIPScore(), PickScore()]


def replicates(given: Any, metric: Any, fake: dict[str, Tensor]) -> Tensor:
    return torch.tensor(metric(evidence(given, fake)).replicates, dtype=torch.float64)


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: f"{m.name}-{getattr(m.config, 'splits', '')}")
def test_they_average_to_the_value(given, metric) -> None:
    found = metric(evidence(given, images(3, 0.4)))
    assert len(found.replicates) == found.n == N
    assert sum(found.replicates) / N == pytest.approx(found.value, rel=1e-9)


@pytest.mark.parametrize(
    "metric", [FID(groups=0), CMMD(groups=0), InceptionScore(splits=1), CLIPScore()], ids=lambda m: m.name
)
def test_their_error_is_the_jackknifes_alone_and_in_pairs(given, metric) -> None:
    """The same groups of prompts are left out of both runs, as two records have them."""
    first, second = images(3, 0.9), images(4, 1.2)
    without = [torch.ones(N, dtype=torch.bool).index_fill(0, group, False) for group in left_out(N, GROUPS)]

    def value(fake: dict[str, Tensor], kept: Tensor) -> float:
        seen = evidence(given, {name: rows[kept] for name, rows in fake.items()})
        seen.text = images(77, 0.5)["embedding"][kept]
        return float(metric(seen).value)

    parts = torch.tensor([[value(first, kept), value(second, kept)] for kept in without], dtype=torch.float64)
    own = torch.stack([replicates(given, metric, each) for each in (first, second)], dim=1)
    for few, many in ((parts[:, 0], own[:, 0]), (parts[:, 0] - parts[:, 1], own[:, 0] - own[:, 1])):
        jackknife = ((GROUPS - 1) / GROUPS * (few - few.mean()).square().sum()).sqrt()
        assert float(many.std() / N**0.5) == pytest.approx(float(jackknife), rel=0.1)


def weighted_fid(x: Tensor, real: Tensor, weights: Tensor) -> Tensor:
    """The distance of weighted images by the eigenvalues of S1 S2; independent of the metric's routes."""
    mean = weights @ x
    first = (x - mean).T @ torch.diag(weights) @ (x - mean) * len(x) / (len(x) - 1)
    second = torch.cov(real.T)
    shared = torch.linalg.eigvals(first @ second).real.clamp(min=0).sqrt().sum()
    return (mean - real.mean(dim=0)).square().sum() + first.trace() + second.trace() - 2 * shared


FORMULAS: list[tuple[str, Callable[..., Tensor], Callable[..., Tensor]]] = [
    ("fid", fid.influences, weighted_fid),
    ("cmmd", cmmd.influences, lambda x, y, w: cmmd.cmmd(x, y, w[None])[0]),
    ("inception_score", inception_score.influences, lambda x, y, w: inception_score.inception_score(x, w[None])[0]),
]


@pytest.mark.parametrize(("name", "closed", "value"), FORMULAS, ids=[name for name, *_ in FORMULAS])
def test_the_closed_forms_are_derivatives_by_the_weights(name, closed, value) -> None:
    n, step = 40, 1e-5
    x, y = images(3, 0.4, n)["pool"].double() + 0.1, images(77, 0.5)["pool"].double()
    found = closed(x) if name == "inception_score" else closed(x, y)
    assert float(found.sum()) == pytest.approx(0, abs=1e-8 * float(found.abs().sum()))
    even = torch.full((n,), 1 / n, dtype=torch.float64)
    for i in range(0, n, 7):
        towards = F.one_hot(torch.tensor(i), n).double() - even
        ends = [value(x, y, even + sign * step * towards) for sign in (1, -1)]
        assert float(found[i]) == pytest.approx(float(ends[0] - ends[1]) / (2 * step), rel=1e-4, abs=1e-6)


def test_fid_has_them_where_a_covariance_lacks_rank() -> None:
    """Twelve images in 30 dimensions: the derivative is taken within their span, and moving along it moves the value so."""
    x, real = drawn(12, 30, 5).double(), drawn(200, 30, 6).double()
    found, step = fid.influences(x, real), 1e-5
    even = torch.full((12,), 1 / 12, dtype=torch.float64)
    towards = F.one_hot(torch.tensor(3), 12).double() - even
    ends = [weighted_fid(x, real, even + sign * step * towards) for sign in (1, -1)]
    assert float(found[3]) == pytest.approx(float(ends[0] - ends[1]) / (2 * step), rel=1e-3)
    dead = torch.cat([x.new_zeros(12, 2), x], dim=1), torch.cat([real.new_zeros(200, 2), real], dim=1)
    assert torch.allclose(fid.influences(*dead), found)


def test_the_replicates_of_splits_stand_in_the_order_of_the_prompts(given) -> None:
    """An image that is all classes at once pulls the score down wherever it stands."""
    fake = images(3, 0.4)
    fake["logits"] = 20 * F.one_hot(torch.arange(N) % 12, 12).double()
    fake["logits"][123] = 0.0
    found = replicates(given, InceptionScore(splits=3), fake)
    assert int(found.argmin()) == 123
