from __future__ import annotations

import pytest
import torch
from torch import Tensor

from aptp_bench.core.intervals import left_out_weights
from aptp_bench.metrics.inception_score import InceptionScore, inception_score, shuffled_splits


def logits(n: int, seed: int = 0, classes: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    sure = torch.nn.functional.one_hot(torch.randint(classes, (n,), generator=generator), classes)
    return 2 * torch.randn(n, classes, generator=generator) + 5 * sure


@pytest.mark.parametrize(("n", "splits"), [(1000, 10), (317, 3)])
def test_equals_torch_fidelity(given, n: int, splits: int) -> None:
    from torch_fidelity.metric_isc import isc_features_to_metric

    theirs = isc_features_to_metric(logits(n), splits=splits)
    found = InceptionScore(splits=splits)(given(fake={"logits": logits(n)}))
    assert found.value == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
    assert found.detail["spread"] == pytest.approx(theirs["inception_score_std"], rel=1e-6)


def test_lies_between_one_and_the_number_of_classes() -> None:
    sure = 1000.0 * torch.eye(6)
    assert inception_score(sure).item() == pytest.approx(6)
    assert inception_score(sure[:1].repeat(5, 1)).item() == pytest.approx(1)
    assert inception_score(torch.zeros(5, 6)).item() == pytest.approx(1)


def test_too_few_images_for_ten_splits_are_divided_less(given) -> None:
    assert InceptionScore()(given(fake={"logits": logits(250)})).detail["splits"] == 2
    assert InceptionScore()(given(fake={"logits": logits(30)})).detail["splits"] == 1


def test_splits_share_all_images_and_the_seed_decides() -> None:
    x = logits(53)
    parts = shuffled_splits(x, 4, seed=1)
    assert sorted(torch.cat(parts)[:, 0].tolist()) == sorted(x[:, 0].tolist())
    assert {len(part) for part in parts} == {13, 14}
    assert torch.equal(parts[0], shuffled_splits(x, 4, seed=1)[0])
    assert not torch.equal(parts[0], shuffled_splits(x, 4, seed=2)[0])


def test_weights_leave_images_out() -> None:
    x, weights = logits(40), left_out_weights(40, 8)
    expected = [inception_score(x[row > 0]).item() for row in weights]
    assert inception_score(x, weights).tolist() == pytest.approx(expected, rel=1e-9)


def test_the_interval_is_as_wide_as_fresh_samples_scatter(given) -> None:
    values = torch.stack([inception_score(logits(150, seed)) for seed in range(60)])
    low, high = InceptionScore(splits=1)(given(fake={"logits": logits(150, 99)})).interval
    assert (high - low) / (2 * 1.96) == pytest.approx(float(values.std()), rel=0.4)


def test_images_that_are_all_alike_have_no_interval(given) -> None:
    """One of no length would claim that another set of images has the same score."""
    found = InceptionScore()(given(fake={"logits": logits(1).repeat(300, 1)}))
    assert found.value == pytest.approx(1) and found.interval is None


def test_a_caution_where_images_are_few(given) -> None:
    assert "caution" in InceptionScore()(given(fake={"logits": logits(30)})).detail
    assert "caution" not in InceptionScore()(given(fake={"logits": logits(250)})).detail
