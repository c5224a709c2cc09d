"""Every registered method keeps its promises, and each promise is broken by a method that should break it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from aptp_bench import registry
from aptp_bench.budget import Budget
from aptp_bench.contract import PROMISES, Trial, check
from aptp_bench.errors import BudgetError
from aptp_bench.models.mixture import ConstantRouter, Mixture
from aptp_bench.models.surgery import clone, substitute_
from aptp_bench.plugins import Job, Method

Prune = Callable[[Job], Mixture]


@pytest.mark.parametrize("name", registry.plugins("methods"))
def test_every_registered_method_keeps_its_promises(name: str, tmp_path: Path) -> None:
    verdicts = list(check(name, tmp_path))
    assert len(verdicts) == len(PROMISES)
    assert [f"{verdict.promise}: {verdict.why}" for verdict in verdicts if not verdict.kept] == []


class Stranger(Method):
    """Does what a test tells it."""

    name = "stranger"
    does: ClassVar[Prune]

    def prune(self, job: Job) -> Mixture:
        return type(self).does(job)


@pytest.fixture
def broken(register: Any, tmp_path: Path) -> Callable[[Prune], dict[str, str]]:
    """broken(prune) -> the promises that a method which prunes so breaks, with the reasons."""

    def tried(prune: Prune) -> dict[str, str]:
        register("methods", "stranger", type("Told", (Stranger,), {"does": staticmethod(prune)}))
        return {verdict.promise: verdict.why for verdict in check("stranger", tmp_path) if not verdict.kept}

    return tried


def good(job: Job) -> Mixture:
    """As little as random pruning does."""
    return registry.get("methods", "random")().prune(job)


def copied(job: Job) -> Any:
    return clone(good(job).experts[0])


def refused(job: Job) -> Mixture:
    if job.budget.ratio < 1:
        raise BudgetError("only the whole will do; use --budget 1")
    return Mixture.of_one(job.teacher.unet)


def refused_without_a_word(job: Job) -> Mixture:
    raise BudgetError("")


def too_large(job: Job) -> Mixture:
    return Mixture.of_one(job.teacher.unet, remark="nothing was removed")


def too_small(job: Job) -> Mixture:
    return Mixture.of_one(smaller(job))


def too_small_with_a_remark(job: Job) -> Mixture:
    return Mixture.of_one(smaller(job), remark="steps are coarse")


def smaller(job: Job) -> Any:
    less = Budget(ratio=job.budget.ratio - 0.1, convention=job.budget.convention)
    return good(dataclasses.replace(job, budget=less)).experts[0]


def changes_the_teacher(job: Job) -> Mixture:
    with torch.no_grad():
        job.teacher.unet.conv_in.weight[0] += 1
    return good(job)


def leaves_a_hook(job: Job) -> Mixture:
    job.teacher.unet.mid_block.register_forward_hook(lambda *_: None)
    return Mixture.of_one(copied(job))


def leaves_a_gradient(job: Job) -> Mixture:
    job.teacher.unet.requires_grad_(True)
    return good(job)


def changes_the_pairs(job: Job) -> Mixture:
    job.train.latents.zero_()
    return good(job)


def uses_the_global_generator(job: Job) -> Mixture:
    unet = copied(job)
    with torch.no_grad():
        unet.conv_out.weight += torch.randn_like(unet.conv_out.weight)
    return Mixture.of_one(unet)


def routes_by_chance(job: Job) -> Mixture:
    class ByChance(ConstantRouter):
        def __call__(self, prompts: Any) -> torch.Tensor:
            return torch.randint(0, 2, (len(prompts),))

    unet = copied(job)
    return Mixture([unet, unet], ByChance())


def forgets_on_saving(job: Job) -> Mixture:
    unet = copied(job)
    unet.register_forward_hook(lambda module, args, output: type(output)(sample=output.sample + 1))
    return Mixture.of_one(unet)


def fits_one_size(job: Job) -> Mixture:
    unet = copied(job)

    class OneSize(type(unet.conv_in)):  # type: ignore[misc]
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) if x.shape[-2:] == (8, 8) else super().forward(x)[..., :2]

    unet.conv_in.__class__ = OneSize
    return Mixture.of_one(unet)


def cuts_the_graph(job: Job) -> Mixture:
    unet = copied(job)
    unet.conv_in.register_forward_hook(lambda module, args, output: output.detach())
    return Mixture.of_one(unet)


def adds_parameters(job: Job) -> Mixture:
    unet = copied(job)
    wide = torch.nn.GroupNorm(1, 1)
    wide.weight = torch.nn.Parameter(torch.ones(10**6))
    unet.extra = wide
    return Mixture.of_one(unet)


def costs_more(job: Job) -> Mixture:
    unet = clone(job.teacher.unet)
    wide = unet.up_blocks[3].resnets[0].conv1
    substitute_(unet, "up_blocks.3.resnets.0.conv1", torch.nn.Conv2d(wide.in_channels, wide.out_channels, 5, padding=2))
    return Mixture.of_one(unet)


WORDS = {promise.__name__: str(promise.__doc__) for promise in PROMISES}


@pytest.mark.parametrize("prune", [good, refused, too_small_with_a_remark])
def test_what_is_allowed_breaks_nothing(broken: Any, prune: Prune) -> None:
    assert broken(prune) == {}


@pytest.mark.parametrize(
    ("prune", "promise", "why"),
    [
        (refused_without_a_word, "budget_met", "every budget was refused|without one line"),
        (too_large, "budget_met", r"missed by \+20.00% .*more than the budget"),
        (too_small, "budget_met", "less, without a remark"),
        (changes_the_teacher, "teacher_unchanged", "weights, modes, hooks or gradients"),
        (leaves_a_hook, "teacher_unchanged", "weights, modes, hooks or gradients"),
        (leaves_a_gradient, "teacher_unchanged", "weights, modes, hooks or gradients"),
        (changes_the_pairs, "teacher_unchanged", "the latents of the training pairs"),
        (uses_the_global_generator, "deterministic", "differ in expert 0"),
        (routes_by_chance, "deterministic", "route prompts differently"),
        (forgets_on_saving, "saved_and_loaded", "loaded expert 0 computes something else"),
        (fits_one_size, "runs_anywhere", r"a network fails on a batch of 3 at \(16, 16\)"),
        (cuts_the_graph, "runs_anywhere", "would not reach 'conv_in.weight'"),
        (adds_parameters, "never_larger", "more than the dense network: parameters"),
        (costs_more, "never_larger", "more than the dense network: exact, aptp, modules, parameters"),
    ],
)
def test_every_promise_can_be_broken(broken: Any, prune: Prune, promise: str, why: str) -> None:
    found = broken(prune)
    assert WORDS[promise] in found and re.search(why, found[WORDS[promise]])


def test_prunings_of_one_trial_do_not_share_a_folder(tmp_path: Path) -> None:
    folders = []

    def prune(job: Job) -> Mixture:
        assert job.workdir.is_dir() and not any(job.workdir.iterdir())
        (job.workdir / "x").write_text("")
        folders.append(job.workdir)
        return Mixture.of_one(job.teacher.unet)

    trial = Trial.of(type("Told", (Stranger,), {"does": staticmethod(prune)})(), tmp_path)
    assert len(trial.attempts) == 3 and trial.prune(next(iter(trial.attempts)), again=1)
    assert len(set(folders)) == 4
