"""Precision and recall are torch-fidelity's on the same features, and say what they are to say of sets that are plain."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from aptp_bench.errors import MetricError
from aptp_bench.metrics import precision_recall
from aptp_bench.metrics.precision_recall import Precision, Recall, covered


def features(n: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed)) + shift


@pytest.mark.parametrize("neighbours", [3, 5])
def test_equal_torch_fidelitys_own(neighbours: int, given, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_fidelity.metric_prc import prc_features_to_metric

    fake, real = features(80, 0, 0.7), features(120, 1)
    theirs = prc_features_to_metric(fake, real, prc_neighborhood=neighbours, verbose=False)
    monkeypatch.setattr(precision_recall, "BLOCK", 32)
    evidence = given(fake={"pool": fake}, real={"pool": real})
    for kind in (Precision, Recall):
        found = kind(neighbours=neighbours)(evidence)
        assert 0 < found.value < 1 and found.value == pytest.approx(theirs[kind.name], abs=1e-7)
        low, high = found.interval or (0, 0)
        assert low < found.value < high and found.n == 80


def test_a_kind_that_is_never_made_costs_recall_and_not_precision(given) -> None:
    real = torch.cat([features(60, 0), features(60, 1, 50.0)])
    evidence = given(fake={"pool": features(60, 2)}, real={"pool": real})
    precision, recall = Precision()(evidence), Recall()(evidence)
    assert precision.value > 0.8 and 0.4 <= recall.value <= 0.5
    assert len(precision.replicates or ()) == 60 and recall.replicates is None
    assert recall.detail["interval_over"] == "real images"


def test_equal_sets_cover_each_other_and_far_ones_do_not() -> None:
    x = features(30, 3)
    assert covered(x, x, 3).all() and not covered(x + 1000, x, 3).any()
    with pytest.raises(MetricError, match="no 3 neighbours"):
        covered(x, x[:3], 3)
