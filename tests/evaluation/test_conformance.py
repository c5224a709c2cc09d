"""Every registered method keeps its promises, and each promise is broken by a method that should break it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from aptp_bench import registry
from aptp_bench.budget import Budget
from aptp_bench.errors import BudgetError
from aptp_bench.evaluation import conformance
from aptp_bench.evaluation.conformance import (
    BUDGETS,
    PROMISES,
    SMALL,
    BrokenPromise,
    Trial,
    budget_met,
    check,
    deterministic,
    never_larger,
    runs_anywhere,
    saved_and_loaded,
    teacher_unchanged,
)
from aptp_bench.models.call_plan import CallPlan
from aptp_bench.models.checkpoint import save_unet
from aptp_bench.models.mixture import ConstantRouter, Mixture
from aptp_bench.plugins import Job, Method
from aptp_bench.pruning.surgery import clone, substitute_
from tests.conftest import narrow

Prune = Callable[[Job], Mixture]


LITTLE = dataclasses.replace(
    SMALL,
    unet={
        **SMALL.unet,
        "block_out_channels": (16, 32),
        "attention_head_dim": [2, 4],
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "layers_per_block": 1,
    },
)
WHOLE_SIZE = {"bk_sdm", "dense"}  # on the teacher of `aptp-bench check`: bk_sdm is made for four stages
FEW = {"experts": 2, "warmup_steps": 1, "joint_steps": 2, "batch": 16, "align_steps": 20}
SHORT = {"aptp": FEW, "aptp_equal": FEW}


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two stages in place of the four of the contract's teacher."""
    monkeypatch.setattr(conformance, "SMALL", LITTLE)


@pytest.mark.parametrize("name", registry.plugins("methods"))
def test_every_registered_method_keeps_its_promises(name: str, tmp_path: Path, request: Any) -> None:
    if name not in WHOLE_SIZE:
        request.getfixturevalue("little")
    settings = SHORT.get(name, {})
    if name == "checkpoint":
        save_unet(narrow(conformance.SMALL.build_unet(), 0.5), tmp_path / "weights")
        settings = {"folder": str(tmp_path / "weights")}
    verdicts = list(check(name, tmp_path, **settings))
    assert len(verdicts) == len(PROMISES)
    assert [f"{verdict.promise}: {verdict.why}" for verdict in verdicts if not verdict.kept] == []


class Stranger(Method):
    """Does what a test tells it."""

    name = "stranger"
    does: ClassVar[Prune]

    def prune(self, job: Job) -> Mixture:
        return type(self).does(job)


def told(prune: Prune) -> type[Method]:
    return type("Told", (Stranger,), {"does": staticmethod(prune)})


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


def plans_by_chance(job: Job) -> Mixture:
    made = int(torch.randint(1, 10**6, ()))
    return Mixture.of_one(copied(job), plan=CallPlan(of=10**6, made=made, full=made))


def forgets_its_plan_on_saving(job: Job) -> Mixture:
    class Forgets(Mixture):
        def save(self, folder: Path) -> None:
            Mixture(self.experts, self.router, self.remark).save(folder)

    return Forgets([copied(job)], ConstantRouter(), plan=CallPlan(of=2, made=1))


def calls_less_often(job: Job) -> Mixture:
    return Mixture.of_one(job.teacher.unet, plan=CallPlan(of=26, made=13, full=13))


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
    wide = unet.up_blocks[1].resnets[0].conv1
    substitute_(unet, "up_blocks.1.resnets.0.conv1", torch.nn.Conv2d(wide.in_channels, wide.out_channels, 5, padding=2))
    return Mixture.of_one(unet)


@pytest.mark.parametrize("prune", [refused, too_small_with_a_remark])
def test_what_is_allowed_breaks_nothing(little: None, register: Any, tmp_path: Path, prune: Prune) -> None:
    register("methods", "stranger", told(prune))
    assert [verdict.why for verdict in check("stranger", tmp_path)] == [""] * len(PROMISES)


@pytest.mark.parametrize(
    ("prune", "promise", "why"),
    [
        (refused_without_a_word, budget_met, "without one line"),
        (refused_without_a_word, deterministic, "every budget was refused"),
        (too_large, budget_met, r"missed by \+20.00% .*more than the budget"),
        (too_small, budget_met, "without a remark"),
        (calls_less_often, budget_met, r"missed by -30.00% .* without a remark"),
        (plans_by_chance, deterministic, "planned in two ways"),
        (forgets_its_plan_on_saving, saved_and_loaded, "planned in two ways"),
        (changes_the_teacher, teacher_unchanged, "teacher"),
        (leaves_a_hook, teacher_unchanged, "teacher"),
        (leaves_a_gradient, teacher_unchanged, "teacher"),
        (changes_the_pairs, teacher_unchanged, "latents"),
        (uses_the_global_generator, deterministic, "expert 0"),
        (routes_by_chance, deterministic, "route"),
        (forgets_on_saving, saved_and_loaded, "expert 0"),
        (fits_one_size, runs_anywhere, r"batch of 3 at \(16, 16\)"),
        (cuts_the_graph, runs_anywhere, "'conv_in.weight'"),
        (adds_parameters, never_larger, ": parameters$"),
        (costs_more, never_larger, ": exact, aptp, modules, parameters$"),
    ],
)
def test_every_promise_can_be_broken(
    little: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, prune: Prune, promise: Any, why: str
) -> None:
    assert promise in PROMISES
    monkeypatch.setattr(conformance, "BUDGETS", BUDGETS[:1])
    with pytest.raises(BrokenPromise, match=why):
        promise(Trial.of(told(prune)(), tmp_path))


def test_prunings_of_one_trial_do_not_share_a_folder(little: None, tmp_path: Path) -> None:
    folders = []

    def prune(job: Job) -> Mixture:
        assert job.workdir.is_dir() and not any(job.workdir.iterdir())
        (job.workdir / "x").write_text("")
        folders.append(job.workdir)
        return Mixture.of_one(job.teacher.unet)

    trial = Trial.of(told(prune)(), tmp_path)
    assert len(trial.attempts) == 3 and trial.prune(next(iter(trial.attempts)), again=1)
    assert len(set(folders)) == 4


@pytest.mark.parametrize(
    ("prune", "line"),
    [
        (lambda job: job.teacher.unet, "prune gave back a UNet2DConditionModel; return Mixture.of_one"),
        (lambda job: None, "prune gave back a NoneType; return Mixture.of_one"),
        (lambda job: Mixture([job.teacher.unet] * 2, None), "whose router is a NoneType; give Mixture a Router"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_mixture_is_said_to_be_none(
    little: None, register: Any, tmp_path: Path, prune: Any, line: str
) -> None:
    register("methods", "stranger", told(prune))
    verdicts = list(check("stranger", tmp_path))
    assert all(not each.kept and line in each.why for each in verdicts)
