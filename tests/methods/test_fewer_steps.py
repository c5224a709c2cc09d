"""The dense network, called as often as the budget allows: exactly where calls divide so, else the nearest below."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aptp_bench.budget import CONVENTIONS
from aptp_bench.core.settings import SamplingConfig
from aptp_bench.errors import BudgetError
from aptp_bench.generation.sampling import Sampler
from aptp_bench.methods.fewer_steps import FewerSteps
from aptp_bench.plugins import Job

Make = Callable[..., Job]


def calls_and_steps(job: Job) -> tuple[int, int]:
    mixture = FewerSteps().prune(job)
    assert len(mixture) == 1 and mixture.experts[0] is job.teacher.unet
    made = Sampler.of(job.teacher, job.sampling, plan=mixture.plan)
    return made.calls.made, made.steps


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_half_of_25_steps_of_pndm_are_12(job: Make, convention: str) -> None:
    assert calls_and_steps(job(0.5, convention)) == (13, 12)  # 13 of 26 calls
    assert "12 of 25 steps, 13 of 26 calls" in FewerSteps().prune(job(0.5, convention)).remark


@pytest.mark.parametrize(
    ("ratio", "settings", "expected"),
    [
        (1.0, {}, (26, 25)),
        (0.64, {}, (16, 15)),
        (0.5, {"scheduler": "ddim"}, (12, 12)),
        (0.29, {"scheduler": "ddim", "steps": 100}, (29, 29)),  # 0.29 * 100 is a little less than 29
        (0.1, {"steps": 20}, (1, 1)),  # two calls are no whole number of PNDM's steps
    ],
)
def test_no_step_more_could_be_paid_for(job: Make, ratio: float, settings: Any, expected: tuple[int, int]) -> None:
    given = job(ratio, sampling=SamplingConfig(**settings))
    calls, steps = calls_and_steps(given)
    assert (calls, steps) == expected
    dearer = Sampler.of(given.teacher, given.sampling.model_copy(update={"steps": steps + 1})).calls.asked
    whole = Sampler.of(given.teacher, given.sampling).calls.asked
    assert calls / whole <= ratio + 1e-9 < dearer / whole


def test_how_far_below_the_budget_is_said(job: Make) -> None:
    assert "2.46% of the dense MACs below" in FewerSteps().prune(job(0.64)).remark  # 16 of 26 calls
    assert "below" not in FewerSteps().prune(job(0.5)).remark


def test_less_than_one_call_is_refused(job: Make) -> None:
    with pytest.raises(BudgetError, match=r"is none; use --budget 0\.039 or more"):
        FewerSteps().prune(job(0.03))
    assert calls_and_steps(job(0.039))[0] == 1
