from __future__ import annotations

import math

import pytest
import torch

from aptp_bench.core.intervals import (
    GROUPS,
    jackknife_interval,
    left_out,
    left_out_weights,
    mean_interval,
    percentile,
    student,
)

T = {1: 12.706, 2: 4.303, 3: 3.182, 5: 2.571, 10: 2.228, 30: 2.042, 120: 1.980, math.inf: 1.960}  # from any table


def half(interval: tuple[float, float]) -> float:
    return (interval[1] - interval[0]) / 2


def test_the_mean_interval_is_as_wide_as_theory_says() -> None:
    values = torch.randn(400, generator=torch.Generator().manual_seed(0)) * 3 + 10
    low, high = mean_interval(values)
    assert low < values.mean() < high
    assert half((low, high)) == pytest.approx(1.96 * float(values.std()) / 20, rel=0.1)


def test_the_mean_interval_covers_the_truth_nineteen_times_in_twenty() -> None:
    generator = torch.Generator().manual_seed(1)
    samples = [torch.rand(60, generator=generator) for _ in range(200)]
    covered = sum(low < 0.5 < high for low, high in (mean_interval(s, resamples=200) for s in samples))
    assert 180 <= covered <= 199


def test_the_same_evidence_gives_the_same_interval_and_one_value_gives_none() -> None:
    values = torch.arange(30.0)
    assert mean_interval(values) == mean_interval(values)
    assert mean_interval(torch.ones(1)) is None


def test_every_item_is_left_out_exactly_once() -> None:
    groups = left_out(103, 10)
    assert len(groups) == 10
    assert {len(group) for group in groups} == {10, 11}
    assert sorted(torch.cat(groups).tolist()) == list(range(103))
    assert len(left_out(3, 10)) == 3


def test_weights_are_equal_over_what_remains() -> None:
    weights = left_out_weights(20, 4)
    assert torch.allclose(weights.sum(dim=1), torch.ones(4, dtype=torch.float64))
    assert (weights == 0).sum(dim=0).tolist() == [1] * 20
    assert weights.unique().tolist() == pytest.approx([0, 1 / 15])


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = torch.randn(500, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    replicates = left_out_weights(500, 500) @ values
    interval = jackknife_interval(float(values.mean()), replicates)
    assert half(interval) == pytest.approx(1.96 * float(values.std()) / 500**0.5, rel=1e-9)
    grouped = jackknife_interval(float(values.mean()), left_out_weights(500, GROUPS) @ values)
    assert half(grouped) == pytest.approx(half(interval), rel=0.3)


def test_a_floor_cuts_the_lower_end_only() -> None:
    replicates = torch.tensor([0.0, 2.0])
    assert jackknife_interval(0.1, replicates, floor=0.0) == (0.0, jackknife_interval(0.1, replicates)[1])


def test_percentile_leaves_a_fortieth_on_each_side() -> None:
    assert percentile(torch.arange(1001.0)) == (25.0, 975.0)


@pytest.mark.parametrize(("freedom", "quantile"), T.items())
def test_student_is_the_tables(freedom: float, quantile: float) -> None:
    assert student(freedom) == pytest.approx(quantile, abs=6e-4)


def test_student_falls_towards_the_normal_quantile_and_rises_with_what_is_asked() -> None:
    assert [student(f) for f in (1, 2, 9, 300, math.inf)] == sorted(
        (student(f) for f in (1, 2, 9, 300, math.inf)), reverse=True
    )
    assert student(5, 0.05) < student(5, 0.01) and student(5, 1.0) == pytest.approx(0)
