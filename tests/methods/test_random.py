"""Chance keeps to the budget, to the seed, and to what it may draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from aptp_bench.budget import CONVENTIONS
from aptp_bench.errors import BudgetError
from aptp_bench.methods.random import Random
from aptp_bench.models.gates import GateSpace
from aptp_bench.models.macs import count, example_inputs
from aptp_bench.plugins import Job
from aptp_bench.profiling.alignment import changed_widths

Make = Callable[..., Job]


def shape(unet: Any) -> list[tuple[int, ...]]:
    return [tuple(p.shape) for p in unet.parameters()]


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("ratio", [0.6, 0.9])
def test_the_budget_is_met(job: Make, convention: str, ratio: float) -> None:
    given = job(ratio, convention)
    mixture = Random().prune(given)
    inputs = example_inputs(given.teacher.unet)
    cost = count(mixture.experts[0], inputs, convention).total / count(given.teacher.unet, inputs, convention).total
    assert cost == pytest.approx(ratio, abs=0.005) and not mixture.remark


def test_other_seeds_draw_other_units(job: Make) -> None:
    first, again, other = (Random().prune(job(0.7, seed=seed)).experts[0] for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert shape(first) != shape(other)


def test_every_kind_of_unit_is_drawn_and_blocks_only_where_they_may(job: Make) -> None:
    whole = GateSpace.of(job().teacher.unet).counts()
    kinds: set[str] = set()
    for seed in range(4):
        left = GateSpace.of(Random().prune(job(0.6, seed=seed)).experts[0]).counts()
        kinds |= {kind for kind in whole if left[kind] < whole[kind]}
        kept = GateSpace.of(Random(depth=False).prune(job(0.6, seed=seed)).experts[0])
        assert len(kept.depths) == whole["depth"]
    assert kinds == set(whole)


def test_a_budget_below_the_leanest_network_is_refused(job: Make) -> None:
    with pytest.raises(BudgetError, match="raise --budget"):
        Random(depth=False).prune(job(0.02))


@pytest.mark.parametrize("depth", [True, False])
def test_aligned_widths_meet_the_same_budget(job: Make, small_sd: Any, depth: bool) -> None:
    for seed in range(3):
        given = job(0.78, teacher=small_sd, seed=seed)
        any_width, aligned = (Random(align=align, depth=depth).prune(given).experts[0] for align in (1, 16))
        assert not all(width % 16 == 0 for width in changed_widths(any_width, small_sd.unet))
        assert all(width % 16 == 0 for width in changed_widths(aligned, small_sd.unet))
        inputs = example_inputs(small_sd.unet, tokens=small_sd.tokenizer.model_max_length)
        cost = [count(unet, inputs, "exact").total for unet in (aligned, small_sd.unet)]
        assert cost[0] / cost[1] == pytest.approx(0.78, abs=0.005)
