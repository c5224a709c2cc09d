"""The ladder: a floor of held-out samples, and runs held against the one above them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from aptp_bench.benchmarks.ladder import FLOOR, Rung, climbed, floor
from aptp_bench.config import recipe
from aptp_bench.errors import ConfigError
from aptp_bench.harness.run import run_each
from aptp_bench.harness.run_folder import place
from aptp_bench.reporting.comparison import Side

SMALL = ["sizes.train=24", "sizes.val=8", "sampling.steps=2", "finetune.steps=0", "metrics=[macs,fid]"]


@pytest.fixture
def sides(store) -> list[Side]:
    """Runs of random networks without prompts: dense, and half of it."""
    asked = [
        recipe(method, "faces", "smoke", {"weights": "random", "budget.ratio": ratio}, SMALL)
        for method, ratio in (("dense", 1.0), ("norm", 0.5))
    ]
    records = run_each(asked, store, torch.device("cpu"))
    return [Side.of(place(record, store.root)) for record in records]


def test_held_out_samples_are_nearer_than_what_random_networks_draw_and_steps_add_up(sides: list[Side]) -> None:
    rungs = climbed(floor(sides[0], "fid"), sides, "fid")
    assert [rung.name for rung in rungs] == [FLOOR, *(side.name for side in sides)]
    assert rungs[1].sure and not rungs[1].paired and rungs[2].paired
    for above, rung in itertools.pairwise(rungs):
        assert rung.value == pytest.approx(above.value + rung.step, rel=1e-4)
    (down,) = climbed(floor(sides[0], "fid"), sides[::-1], "fid")[2:]
    assert down.step == pytest.approx(-rungs[2].step) and down.reach == pytest.approx(rungs[2].reach)


def test_only_a_step_beyond_its_interval_is_sure() -> None:
    assert [Rung("a", 1.0, step, 0.5).sure for step in (None, -1.0, 0.4, 0.6)] == [False, False, False, True]


def test_what_has_no_such_metric_is_refused_in_one_line(sides: list[Side], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--metric") as refused:
        floor(sides[0], "clip_score")
    assert "\n" not in str(refused.value)
