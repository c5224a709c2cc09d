"""Cached calls meet the budget on paper and when executed, and only the plan tells the mixture from the dense network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from aptp_bench.budget import CONVENTIONS, TOLERANCE
from aptp_bench.core.settings import SamplingConfig
from aptp_bench.errors import BudgetError, PruningError
from aptp_bench.generation.sampling import Sampler
from aptp_bench.methods.deepcache import DeepCache
from aptp_bench.models.call_plan import ImageCalls
from aptp_bench.models.mixture import Mixture
from aptp_bench.plugins import Job
from aptp_bench.pruning.macs import count, example_inputs

Make = Callable[..., Job]


def calls(mixture: Mixture, job: Job) -> ImageCalls:
    return Sampler.of(job.teacher, job.sampling, plan=mixture.plan).calls


def ratio(mixture: Mixture, job: Job) -> float:
    """Its mean MACs as a share of the dense network's, in the budget's convention."""
    inputs = example_inputs(job.teacher.unet, tokens=job.tokens)
    name = job.budget.convention
    return calls(mixture, job).macs(mixture.experts[0], inputs, name) / count(job.teacher.unet, inputs, name).total


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("asked", [0.35, 0.5, 0.64, 0.78, 1.0])
def test_the_budget_is_met_or_the_remark_says_by_how_much_not(job: Make, asked: float, convention: str) -> None:
    given = job(asked, convention)
    mixture = DeepCache().prune(given)
    assert mixture.experts[0] is given.teacher.unet and calls(mixture, given).made == 26
    missed = ratio(mixture, given) - asked
    assert missed <= 1e-6
    assert f"{mixture.plan.full} of 26 calls are full" in mixture.remark
    assert missed > -5e-5 or f"{-missed:.2%} of the dense MACs below" in mixture.remark


def test_of_the_branches_that_meet_the_budget_the_outermost_is_taken(job: Make, small_sd: Any) -> None:
    outermost = set()
    for budget in (0.8, 0.81, 0.82, 0.83):
        given = job(budget, teacher=small_sd)
        each = [DeepCache(branch=branch).prune(given) for branch in range(3)]
        near = [mixture.plan for mixture in each if ratio(mixture, given) >= budget - TOLERANCE]
        nearest = max(each, key=lambda mixture: ratio(mixture, given)).plan
        assert DeepCache().prune(given).plan == (near[0] if near else nearest)
        outermost.add(near[0].branch if near else None)
    assert len(outermost) > 1


def test_a_full_call_more_could_not_be_paid_for(job: Make) -> None:
    given = job(0.6)
    mixture = DeepCache(branch=1).prune(given)
    assert mixture.plan.branch == 1
    dearer = mixture.plan.model_copy(update={"full": mixture.plan.full + 1})
    assert ratio(Mixture.of_one(given.teacher.unet, plan=dearer), given) > 0.6


def test_an_image_executes_what_is_counted(job: Make) -> None:
    given = job(0.5, sampling=SamplingConfig(steps=7, guidance=1.0))
    mixture = DeepCache().prune(given)
    unet, counter = mixture.experts[0], FlopCounterMode(display=False)
    sample = {"sample": torch.randn(1, 4, 4, 4), "timestep": 3, "encoder_hidden_states": torch.randn(1, 77, 16)}
    made = calls(mixture, given)
    with counter, made.followed(unet), torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        for _ in range(made.made):
            unet(**sample)
    whole = count(unet, example_inputs(unet, tokens=77), "exact").total
    assert counter.get_total_flops() / 2 / (8 * whole) == pytest.approx(ratio(mixture, given), abs=1e-5)
    assert 0.4 < ratio(mixture, given) <= 0.5


def test_other_samplers_have_other_plans(job: Make) -> None:
    plan = DeepCache().prune(job(0.5, sampling=SamplingConfig(steps=10, scheduler="ddim"))).plan
    assert plan.of == plan.made == 10


def test_what_cannot_be_is_refused(job: Make) -> None:
    with pytest.raises(BudgetError, match=r"use --budget 0\.\d+ or more") as caught:
        DeepCache().prune(job(0.05))
    least = float(str(caught.value).rsplit("--budget ", 1)[1].split()[0])
    assert DeepCache().prune(job(least)).plan.full == 1
    with pytest.raises(PruningError, match="branch 40 is not there"):
        DeepCache(branch=40).prune(job(0.5))


def test_sd21_is_planned_from_its_geometry(sd21: Any, job: Make, tiny: Any) -> None:
    """The published network, without weights: at half of the MACs seven of ten calls reuse."""
    from types import SimpleNamespace

    teacher: Any = SimpleNamespace(
        unet=sd21, vae=None, text_encoder=None, tokenizer=tiny.tokenizer, scheduler=tiny.scheduler
    )
    given = job(0.5, teacher=teacher)
    mixture = DeepCache().prune(given)
    assert 0.5 - TOLERANCE <= ratio(mixture, given) <= 0.5
    assert mixture.plan.full < 13
