"""KID is torch-fidelity's on the same features, without bias, and its interval is as wide as fresh images scatter."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from aptp_bench.errors import MetricError
from aptp_bench.metrics import kid
from aptp_bench.metrics.kid import KID, SCALE, Sums


def features(n: int, seed: int, shift: float = 0.0, d: int = 16) -> Tensor:
    return (torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift).relu()


def distance(fake: Tensor, real: Tensor) -> float:
    return Sums.of(fake, real).value


def test_equals_torch_fidelitys_own_on_one_subset_that_is_the_whole() -> None:
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    fake, real = features(90, 0, 0.3).double(), features(90, 1).double()
    theirs = kid_features_to_metric(fake, real, kid_subsets=1, kid_subset_size=90, verbose=False)
    assert distance(fake, real) == pytest.approx(SCALE * theirs[KEY_METRIC_KID_MEAN], rel=1e-9)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, real = features(50, 2, 0.2), features(70, 3)
    whole = distance(fake, real)
    monkeypatch.setattr(kid, "BLOCK", 7)
    assert distance(fake, real) == pytest.approx(whole, rel=1e-12)


def test_without_an_image_is_what_is_left_measured_anew() -> None:
    fake, real = features(12, 4, 0.2), features(20, 5)
    anew = [distance(torch.cat([fake[:i], fake[i + 1 :]]), real) for i in range(len(fake))]
    assert Sums.of(fake, real).without_each.tolist() == pytest.approx(anew, rel=1e-9)


def test_it_has_no_bias_and_the_interval_is_honest(given) -> None:
    real = features(400, 9)
    alike = torch.tensor([distance(features(60, 100 + i), real) for i in range(60)])
    assert abs(float(alike.mean())) < 3 * float(alike.std()) / 60**0.5 + abs(distance(features(4000, 8), real))
    apart = torch.tensor([distance(features(60, 200 + i, 0.5), real) for i in range(60)])
    low, high = KID()(given(fake={"pool": features(60, 300, 0.5)}, real={"pool": real})).interval or (0, 0)
    assert (high - low) / (2 * 1.96) == pytest.approx(float(apart.std()), rel=0.4)


def test_replicates_are_about_the_value_one_an_image(given) -> None:
    found = KID()(given(fake={"pool": features(40, 1, 0.4)}, real={"pool": features(50, 2)}))
    assert found.n == 40 and found.detail["n_real"] == 50 and found.better == "lower"
    assert sum(found.replicates or ()) / 40 == pytest.approx(found.value)
    with pytest.raises(MetricError, match="two images"):
        KID()(given(fake={"pool": features(1, 1)}, real={"pool": features(50, 2)}))
