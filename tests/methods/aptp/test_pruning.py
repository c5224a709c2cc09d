from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from aptp_bench.budget import CONVENTIONS
from aptp_bench.errors import BudgetError
from aptp_bench.methods.aptp import APTP
from aptp_bench.models.macs import count, example_inputs
from aptp_bench.models.mixture import Mixture
from aptp_bench.models.surgery import clone
from aptp_bench.pairs import Pairs
from aptp_bench.plugins import Job
from aptp_bench.profiling.alignment import changed_widths
from aptp_bench.progress import SilentProgress

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

Jobs = Callable[..., Job]


def ratios(mixture: Mixture, job: Job) -> list[float]:
    unet, convention = job.teacher.unet, job.budget.convention
    inputs = example_inputs(unet, tokens=job.teacher.tokenizer.model_max_length)
    dense = count(unet, inputs, convention).total
    return [count(mixture.experts[i], inputs, convention).total / dense for i in range(len(mixture))]


def landed_at(mixture: Mixture, job: Job) -> float:
    loads = torch.bincount(mixture.route(job.train.captions), minlength=len(mixture)).double()
    return float((loads * torch.tensor(ratios(mixture, job))).sum() / loads.sum())


def alike(a: Mixture, b: Mixture, captions: Sequence[str]) -> bool:
    if len(a) != len(b) or not torch.equal(a.route(captions), b.route(captions)):
        return False
    states = [(a.experts[i].state_dict(), b.experts[i].state_dict()) for i in range(len(a))]
    return all(
        x.keys() == y.keys() and all(x[k].shape == y[k].shape and torch.equal(x[k], y[k]) for k in x) for x, y in states
    )


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_mean_over_training_prompts_meets_the_budget(job: Jobs, settings: dict[str, Any], convention: str) -> None:
    given = job(0.8, convention)
    mixture = APTP(**settings).prune(given)
    assert landed_at(mixture, given) == pytest.approx(0.8, abs=0.005)


def test_every_expert_serves_prompts_and_costs_differ(job: Jobs, settings: dict[str, Any]) -> None:
    given = job(0.8)
    mixture = APTP(**settings).prune(given)
    found = ratios(mixture, given)
    assert found == sorted(found) and len(set(found)) == 3
    report = mixture.router.report
    assert [expert.macs_ratio for expert in report.experts] == pytest.approx(found)
    assert min(expert.prompts for expert in report.experts) > 0
    served = torch.bincount(mixture.route(given.train.captions), minlength=3).tolist()
    assert [expert.prompts for expert in report.experts] == served


def test_the_teacher_is_left_as_it_was(job: Jobs, settings: dict[str, Any], tiny: StableDiffusionPipeline) -> None:
    before, flags = clone(tiny.unet), [p.requires_grad for p in tiny.unet.parameters()]
    APTP(**settings).prune(job(0.8))
    assert all(torch.equal(p, q) for p, q in zip(before.parameters(), tiny.unet.parameters(), strict=True))
    assert [p.requires_grad for p in tiny.unet.parameters()] == flags
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in tiny.unet.modules())


def test_the_seed_decides_everything(job: Jobs, settings: dict[str, Any], tmp_path: Path, pairs: Pairs) -> None:
    one, two, other = (
        APTP(**settings).prune(job(0.8, seed=seed, workdir=tmp_path / folder))
        for seed, folder in ((1, "a"), (1, "b"), (2, "c"))
    )
    assert alike(one, two, pairs.captions)
    assert not alike(one, other, pairs.captions)


class Killed(SilentProgress):
    def __init__(self, steps: int) -> None:
        self.left = steps

    def track(self, items: Sequence[Any], label: str, done: int = 0) -> Iterator[Any]:
        for item in items[done:]:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            yield item


@pytest.mark.parametrize("killed_after", [1, 4, 15])
def test_a_killed_search_goes_on_with_the_same_result(
    job: Jobs, settings: dict[str, Any], tmp_path: Path, pairs: Pairs, killed_after: int
) -> None:
    settings |= {"align_below": 0.99}
    whole = APTP(**settings).prune(job(0.8, workdir=tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        APTP(**settings).prune(job(0.8, workdir=tmp_path / "broken", progress=Killed(killed_after)))
    resumed = APTP(**settings).prune(job(0.8, workdir=tmp_path / "broken"))
    assert alike(whole, resumed, pairs.captions)
    assert whole.router.history == resumed.router.history


def test_a_saved_mixture_routes_and_costs_the_same(job: Jobs, settings: dict[str, Any], tmp_path: Path) -> None:
    given = job(0.8)
    mixture = APTP(**settings).prune(given)
    mixture.save(tmp_path / "mixture")
    again = Mixture.load(tmp_path / "mixture", lazy=True)
    assert alike(mixture, again, given.train.captions)
    assert again.router.report == mixture.router.report
    stages = [row["stage"] for row in again.router.history]
    assert stages == ["warmup"] * 2 + ["joint"] * 3
    assert len(again.router.history[-1]["loads"]) == 3


def test_uni_arch_is_one_network_and_needs_no_encoder(job: Jobs, settings: dict[str, Any]) -> None:
    given = job(0.8)
    mixture = APTP(**settings | {"uni_arch": True, "encoder": "/nowhere", "distillation": False}).prune(given)
    assert len(mixture) == 1 and mixture.router.name == "constant"
    assert landed_at(mixture, given) == pytest.approx(0.8, abs=0.005)
    assert [row["stage"] for row in mixture.router.history] == ["joint"] * 5  # the steps of the warm-up train its code


@pytest.mark.parametrize(
    "changes",
    [
        {"transport": False, "distillation": False},
        {"depth_gates": "nested", "noise": "logistic", "gates": "straight_through"},
        {"similarity": "inner", "init": "predicted", "placement": "before_norm"},
        {"similarity": "cosine_logits", "init": "random", "batch_scope": "local", "accumulate": 2},
        {"link": "assignment", "resource_on": "prunable", "guard": False, "snr_gamma": None},
        {"contrastive": False, "blocks": "norm", "precision": "bfloat16", "lr_scale": "none"},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_every_switch_still_lands(job: Jobs, settings: dict[str, Any], changes: dict[str, Any]) -> None:
    given = job(0.8)
    mixture = APTP(**settings | {"warmup_steps": 1, "joint_steps": 1} | changes).prune(given)
    assert landed_at(mixture, given) == pytest.approx(0.8, abs=0.005)


def test_loads_that_are_even_enough_are_not_aligned(job: Jobs, settings: dict[str, Any]) -> None:
    for below, aligned in ((0.0, False), (0.99, True)):
        given = job(0.8, workdir=job().workdir / str(below))
        report = APTP(**settings | {"align_below": below, "init": "predicted"}).prune(given).router.report
        assert (report.before_alignment is not None) == aligned
        assert (given.workdir / "alignment-1").exists() == aligned


def test_experts_of_aligned_widths_meet_the_same_budget(job: Jobs, settings: dict[str, Any]) -> None:
    given, found = job(0.85), {}
    for align in (1, 8):
        mixture = APTP(**settings | {"align": align}).prune(given)
        found[align] = [w for i in range(len(mixture)) for w in changed_widths(mixture.experts[i], given.teacher.unet)]
        assert landed_at(mixture, given) == pytest.approx(0.85, abs=0.005)
    assert found[8] and all(width % 8 == 0 for width in found[8])
    assert not all(width % 8 == 0 for width in found[1])


def test_a_budget_that_cannot_be_met_is_refused(job: Jobs, settings: dict[str, Any]) -> None:
    with pytest.raises(BudgetError, match="raise --budget"):
        APTP(**settings | {"warmup_steps": 0, "joint_steps": 1}).prune(job(0.02))
