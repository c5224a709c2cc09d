"""Plans of calls: shares that hold for any sampler, full calls evenly spread, and MACs that are really executed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, PNDMScheduler
from pydantic import ValidationError
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from aptp_bench.budget import CONVENTIONS
from aptp_bench.models.call_plan import ONE_CALL, PLAIN, CallPlan, ImageCalls, calls_of
from aptp_bench.models.feature_cache import branches
from aptp_bench.pruning.macs import count, example_inputs

PNDM, DDIM = PNDMScheduler(skip_prk_steps=True), DDIMScheduler()


@pytest.mark.parametrize(("made", "full"), [(26, 26), (26, 13), (26, 10), (26, 1), (7, 5), (1, 1)])
def test_full_calls_are_as_many_as_planned_spread_evenly_and_the_first_is_one(made: int, full: int) -> None:
    calls = ImageCalls.of(CallPlan(of=26, made=made, full=full, branch=0), 26, made)
    assert (calls.made, calls.full, calls.turns[0]) == (made, full, True)
    gaps = [b - a for a, b in pairwise([i for i, turn in enumerate(calls.turns) if turn])]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_every_nth_call_where_the_interval_is_whole() -> None:
    calls = ImageCalls.of(CallPlan(of=12, made=12, full=4, branch=0), 12, 12)
    assert calls.turns == (True, False, False) * 4


def test_for_another_sampler_the_shares_are_kept() -> None:
    plan = CallPlan(of=26, made=26, full=13, branch=1)
    assert ImageCalls.of(plan, 50, 50).turns == (True, False) * 25
    assert CallPlan(of=26, made=13, full=13).steps(DDIM, 50) == 25


@pytest.mark.parametrize("scheduler", [PNDM, DDIM], ids=["pndm", "ddim"])
def test_steps_are_the_most_whose_calls_the_plan_has(scheduler: Any) -> None:
    for made in range(1, 27):
        plan = CallPlan(of=26, made=made, full=made)
        for asked in (1, 2, 10, 25):
            steps, share = plan.steps(scheduler, asked), calls_of(scheduler, asked) * made / 26
            assert 1 <= steps <= asked
            assert steps == 1 or calls_of(scheduler, steps) <= share
            assert steps == asked or calls_of(scheduler, steps + 1) > share
    assert PLAIN.steps(scheduler, 25) == 25


def test_twelve_steps_of_pndm_are_half_the_calls_of_twenty_five() -> None:
    assert (calls_of(PNDM, 25), calls_of(PNDM, 12), calls_of(DDIM, 25)) == (26, 13, 25)
    assert CallPlan(of=26, made=13, full=13).steps(PNDM, 25) == 12


def test_plans_that_nothing_can_follow_are_refused() -> None:
    for wrong in ({"made": 2}, {"of": 2, "made": 1, "full": 2}, {"of": 2, "made": 2, "full": 1}, {"of": 0}):
        with pytest.raises(ValidationError):
            CallPlan(**wrong)


@pytest.mark.parametrize("batch", [1, 2])
def test_the_counted_mean_is_what_is_executed(unet: Any, inputs: Any, batch: int) -> None:
    given = inputs(batch)
    like = example_inputs(unet, tokens=given["encoder_hidden_states"].shape[1])
    for branch in range(branches(unet)):
        for full, made, asked in ((2, 5, 5), (5, 5, 5), (1, 3, 9)):
            calls = ImageCalls.of(CallPlan(of=asked, made=made, full=full, branch=branch), asked, made)
            counter = FlopCounterMode(display=False)
            with counter, calls.followed(unet), torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
                for _ in range(made):
                    unet(**given)
            executed = counter.get_total_flops() // 2 // batch
            assert calls.macs(unet, like, "exact") == round(executed / asked)


def test_macs_lie_between_those_of_the_calls_in_every_convention(unet: Any) -> None:
    like = example_inputs(unet)
    for name in CONVENTIONS:
        whole = count(unet, like, name).total
        assert ONE_CALL.macs(unet, like, name) == whole
        means = [
            ImageCalls.of(CallPlan(of=8, made=8, full=full, branch=1), 8, 8).macs(unet, like, name)
            for full in range(1, 9)
        ]
        assert means == sorted(means) and 0 < means[0] < means[-1] == whole
        assert ImageCalls((True,) * 4, 8).macs(unet, like, name) == round(whole / 2)


def test_a_call_of_each_kind() -> None:
    assert PLAIN.kinds.turns == CallPlan(of=4, made=4, full=4, branch=2).kinds.turns == (True,)
    assert CallPlan(of=4, made=4, full=3, branch=2).kinds.turns == (True, False)


def test_facts_are_for_records() -> None:
    calls = ImageCalls.of(CallPlan(of=8, made=4, full=2, branch=0), 8, 4)
    assert calls.facts == {"dense": 8, "made": 4, "full": 2}
