from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from aptp_bench.reporting.figures.pareto import pareto
from aptp_bench.reporting.figures.room import dodge
from aptp_bench.reporting.ranking.entries import entries

Spot = tuple[float, tuple[float, float]]


def crowd(seed: int) -> list[Spot]:
    rng = random.Random(seed)
    return [
        (rng.choice([0.5, 0.5, 0.502, 0.64]), (low, low + rng.random())) for low in (3 * rng.random() for _ in range(9))
    ]


@pytest.mark.parametrize("seed", range(20))
def test_what_overlaps_in_height_is_apart_sideways(seed: int) -> None:
    points, gap = crowd(seed), 0.01
    places = dodge(points, gap)
    for (x, a), (y, b) in itertools.combinations(zip(places, (ends for _, ends in points), strict=True), 2):
        assert abs(x - y) >= 0.99 * gap or a[1] < b[0] or b[1] < a[0]


def test_who_has_room_is_not_moved() -> None:
    apart: list[Spot] = [(0.5, (0, 1)), (0.5, (2, 3)), (0.7, (0, 3))]
    assert dodge(apart, 0.01) == [0.5, 0.5, 0.7]
    assert dodge([*apart, (0.7, (1, 2))], 0.01)[:2] == [0.5, 0.5]
    assert dodge([], 0.01) == []


def test_a_crowd_keeps_its_order_and_its_middle() -> None:
    points: list[Spot] = [(0.502, (0, 1)), (0.5, (0, 1)), (0.501, (0, 1))]
    places = dodge(points, 0.01)
    assert places[1] < places[2] < places[0] and sum(places) / 3 == pytest.approx(0.501)


def test_labels_of_a_plot_lie_neither_on_each_other_nor_outside(make_record: Any) -> None:
    made = [
        make_record(f"m{i}", budget=b, fid=(3 + i / 9, 2.5 + i / 9, 3.5 + i / 9)) for i in range(6) for b in (0.5, 0.6)
    ]
    axes = pareto(entries(made), "fid").axes[0]
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert len(boxes) > 6
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert all(axes.bbox.contains(*box.min) and axes.bbox.contains(*box.max) for box in boxes)
