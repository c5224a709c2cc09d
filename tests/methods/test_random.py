"""Chance keeps to the budget, to the seed, and to what it may draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aptp_bench.errors import BudgetError
from aptp_bench.methods.random import Random
from aptp_bench.plugins import Job
from aptp_bench.profiling.alignment import changed_widths
from aptp_bench.pruning.gates import GateSpace

Make = Callable[..., Job]


def shape(unet: Any) -> list[tuple[int, ...]]:
    return [tuple(p.shape) for p in unet.parameters()]


@pytest.mark.parametrize(("convention", "ratio"), [("exact", 0.6), ("aptp", 0.9), ("modules", 0.6)])
def test_the_budget_is_met(job: Make, left: Any, convention: str, ratio: float) -> None:
    mixture = Random().prune(job(ratio, convention))
    assert left(mixture.experts[0], job(ratio, convention)) == pytest.approx(ratio, abs=0.005) and not mixture.remark


def test_other_seeds_draw_other_units(job: Make) -> None:
    first, other = (Random().prune(job(0.7, seed=seed)).experts[0] for seed in (0, 1))
    assert shape(first) != shape(other)


def test_every_kind_of_unit_is_drawn_and_blocks_only_where_they_may(job: Make) -> None:
    whole = GateSpace.of(job().teacher.unet).counts()
    kinds: set[str] = set()
    for seed in range(4):
        left = GateSpace.of(Random().prune(job(0.6, seed=seed)).experts[0]).counts()
        kinds |= {kind for kind in whole if left[kind] < whole[kind]}
    assert kinds == set(whole)
    kept = GateSpace.of(Random(depth=False).prune(job(0.6)).experts[0])
    assert len(kept.depths) == whole["depth"]


def test_a_budget_below_the_leanest_network_is_refused(job: Make) -> None:
    with pytest.raises(BudgetError, match="raise --budget"):
        Random(depth=False).prune(job(0.02))


@pytest.mark.parametrize("depth", [True, False])
def test_aligned_widths_meet_the_same_budget(job: Make, left: Any, small_sd: Any, depth: bool) -> None:
    given = job(0.78, teacher=small_sd)
    aligned = Random(align=16, depth=depth).prune(given).experts[0]
    found = list(changed_widths(aligned, small_sd.unet))
    assert found and all(width % 16 == 0 for width in found)
    assert left(aligned, given) == pytest.approx(0.78, abs=0.005)
