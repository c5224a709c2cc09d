from __future__ import annotations

import pytest
import torch

from aptp_bench.models.stable_diffusion import MiniSD
from aptp_bench.profiling.profile import Profiler
from aptp_bench.profiling.records import Ratio, Spread, Timing
from aptp_bench.profiling.setups import Setup
from aptp_bench.profiling.targets import Subject, dense
from aptp_bench.reporting.figures import speed as plots

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def profiler() -> Profiler:
    kind = MiniSD()
    return Profiler(kind, dense(kind.skeleton()), 8)


def timing(value: float, **setup) -> Timing:
    return Timing(
        setup=Setup(**setup),
        call=Spread(median_s=value, interval_s=(value, value), q25_s=value, q75_s=value, n=3),
        call_ratio=Ratio(value=value, interval=(value - 0.02, value + 0.01)),
        dense_call_s=1.0,
        predicted_call_s=None,
        first_call_s=0.0,
        attention=[],
        conditions={},
    )


def test_bars_are_the_blocks_macs(profiler) -> None:
    axes = plots.macs_by_block(profiler).axes[0]
    blocks = [b for level, b in profiler.dense_tree().walk() if level == 1 and b.macs["exact"]]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([b.macs["exact"] / 1e6 for b in blocks])
    assert [label.get_text() for label in axes.get_yticklabels()] == [b.name for b in blocks]
    assert "10⁶ MACs (exact)" in axes.get_xlabel()
    assert "mini world" in axes.get_title()


def test_a_point_is_one_minus_each_ratio(profiler) -> None:
    record = profiler.record([], [timing(0.9), timing(0.7, batch=4)], "how", CPU)
    pruned = record.model_copy(update={"label": "Norm", "method": "norm", "macs_ratio": {"exact": 0.6}})
    figure = plots.savings([record, pruned], "saved")
    points = [tuple(float(v[0]) for v in bar.lines[0].get_data()) for axes in figure.axes for bar in axes.containers]
    assert points == [pytest.approx((0.4, 0.1)), pytest.approx((0.4, 0.3))]  # dense is the origin, not a point
    assert [axes.get_title() for axes in figure.axes] == ["float32, batch 1, eager", "float32, batch 4, eager"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Norm"]
    assert figure.axes[0].get_xlim()[1] >= 0.4
    assert figure.axes[0].get_ylim()[1] >= 0.32


def test_subjects_of_one_bar_a_network(profiler) -> None:
    unet = profiler.skeleton
    pair = Subject("norm", dense(unet).mixture, torch.ones(1).double(), "by hand", "norm")
    axes = plots.macs_by_block(Profiler(profiler.kind, pair, 8)).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["dense", "norm"]
