"""Seeds of published records never change."""

from __future__ import annotations

from aptp_bench.core.noise import expert_seed, stage_seed


def test_seeds_are_those_of_the_published_records() -> None:
    assert [expert_seed(seed, index) for seed, index in ((0, 3), (2, 1))] == [3, 2001]
    assert stage_seed(0, "alignment-1") == 2461173722
    assert stage_seed(1, "alignment-1") != stage_seed(0, "alignment-1") != stage_seed(0, "joint")
