from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from aptp_bench.budget import CONVENTIONS, Budget
from aptp_bench.errors import BudgetError, PruningError
from aptp_bench.pruning.cost import Cost
from aptp_bench.pruning.gates import GateSpace, guarded
from aptp_bench.pruning.macs import count, example_inputs
from aptp_bench.pruning.surgery import cut
from aptp_bench.pruning.threshold import land, logit_of

LOADS = torch.tensor([0.5, 0.3, 0.2])


@pytest.fixture(scope="module")
def space(tiny: Any) -> GateSpace:
    return GateSpace.of(tiny.unet)


@pytest.fixture(scope="module")
def costs(tiny: Any, space: GateSpace) -> dict[str, Cost]:
    return {name: Cost.of(tiny.unet, space, example_inputs(tiny.unet), name) for name in CONVENTIONS}


def codes(space: GateSpace, seed: int = 0, mean: float = 3.0) -> Tensor:
    return mean + 2 * torch.randn(3, space.size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("convention", "ratio"), [("exact", 0.6), ("aptp", 0.8), ("modules", 0.95)])
def test_experts_land_within_half_a_percent_in_what_the_cut_networks_really_cost(
    tiny: Any, space: GateSpace, costs: dict[str, Cost], convention: str, ratio: float
) -> None:
    landed = land(codes(space), LOADS, costs[convention], Budget.of(ratio, convention))
    inputs = example_inputs(tiny.unet)
    dense = count(tiny.unet, inputs, convention).total
    real = [count(cut(tiny.unet, space, keep), inputs, convention).total / dense for keep in landed.keep]
    assert float((LOADS.double() * torch.tensor(real)).sum()) == pytest.approx(ratio, abs=0.005)
    assert landed.ratios.tolist() == pytest.approx(real)


@pytest.mark.parametrize("seed", range(2))
def test_few_gates_are_flipped_against_the_threshold_and_only_near_it(
    space: GateSpace, costs: dict[str, Cost], seed: int
) -> None:
    logits = codes(space, seed)
    landed = land(logits, LOADS, costs["exact"], Budget.of(0.8))
    against = landed.keep != guarded(logits >= landed.threshold, space)
    assert int(against.sum()) <= landed.flips < 0.05 * logits.numel()
    assert float((logits - landed.threshold).abs()[against].sum()) < 10.0


def test_every_layer_keeps_a_unit(space: GateSpace, costs: dict[str, Cost]) -> None:
    logits = codes(space)
    logits[1, space.widths[2].span] = -50.0
    landed = land(logits, LOADS, costs["exact"], Budget.of(0.8))
    for keep in landed.keep:
        assert all(part.any() for part in space.split(keep)[0])


def test_without_the_shift_the_threshold_is_the_one_asked_for_or_refused(
    space: GateSpace, costs: dict[str, Cost]
) -> None:
    logits = codes(space)
    reached = float((LOADS.double() * costs["exact"].ratio(guarded(logits >= 0.0, space))).sum())
    landed = land(logits, LOADS, costs["exact"], Budget.of(reached), shift=False)
    assert landed.mean == pytest.approx(reached) == landed.plain and landed.threshold == 0.0
    with pytest.raises(BudgetError, match="use landing=shift, or train longer"):
        land(logits, LOADS, costs["exact"], Budget.of(reached - 0.02), shift=False)


def test_a_budget_below_the_leanest_network_is_refused(space: GateSpace, costs: dict[str, Cost]) -> None:
    with pytest.raises(BudgetError, match=r"the leanest network 0\.\d+; raise --budget"):
        land(codes(space), LOADS, costs["exact"], Budget.of(0.01))


def test_the_whole_budget_keeps_everything(space: GateSpace, costs: dict[str, Cost]) -> None:
    assert land(codes(space), LOADS, costs["exact"], Budget.of(1.0)).keep.all()


def test_loads_decide_the_mean(space: GateSpace, costs: dict[str, Cost]) -> None:
    logits = codes(space)
    logits[0] += 1.0  # a rich expert
    few, many = torch.tensor([0.02, 0.49, 0.49]), torch.tensor([0.9, 0.05, 0.05])
    a, b = (land(logits, loads, costs["exact"], Budget.of(0.8)) for loads in (few, many))
    assert a.threshold < b.threshold


def test_a_half_is_logit_zero_and_gates_are_scaled_by_the_temperature() -> None:
    assert logit_of(0.5, 0.4) == 0.0
    gate = torch.sigmoid(torch.tensor(logit_of(0.8, 0.4)) / 0.4)
    assert float(gate) == pytest.approx(0.8)


def test_a_unit_of_infinite_logit_stays(space: GateSpace, costs: dict[str, Cost]) -> None:
    for seed in range(2):
        logits = codes(space, seed)
        logits[:, space.width_size :] = float("inf")
        assert land(logits, LOADS, costs["exact"], Budget.of(0.6)).keep[:, space.width_size :].all()


def test_chunks_too_coarse_for_a_budget_are_refused_with_what_was_reached(
    space: GateSpace, costs: dict[str, Cost]
) -> None:
    logits, whole = codes(space)[:1], [layer.size for layer in space.widths]
    with pytest.raises(BudgetError, match=r"too coarse; use --budget (0\.\d+) or a smaller align") as refused:
        land(logits, torch.ones(1), costs["exact"], Budget.of(0.8), chunks=whole)
    near = float(str(refused.value).split("--budget ")[1].split()[0])
    landed = land(logits, torch.ones(1), costs["exact"], Budget.of(near), chunks=whole)
    assert landed.keep[0, : space.width_size].all() and not landed.keep.all()


def test_the_leanest_network_keeps_what_must_stay(space: GateSpace, costs: dict[str, Cost]) -> None:
    logits = codes(space)
    logits[:] = float("inf")
    with pytest.raises(BudgetError, match=r"the leanest network 1\.0000; raise --budget"):
        land(logits, LOADS, costs["exact"], Budget.of(0.5))


def test_scores_that_rank_nothing_are_refused_with_what_is_wrong(space: GateSpace, costs: dict[str, Cost]) -> None:
    spoilt = codes(space)
    spoilt[1, 3] = float("nan")
    with pytest.raises(PruningError, match=rf"1 of {spoilt.numel()} scores are NaN"):
        land(spoilt, LOADS, costs["exact"], Budget.of(0.6))
    for wrong in (codes(space)[:, :-1], codes(space)[:2], codes(space)[0]):
        with pytest.raises(
            PruningError, match=rf"do not fit 3 networks of {space.size} gates; give \[3, {space.size}\]"
        ):
            land(wrong, LOADS, costs["exact"], Budget.of(0.6))
