from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from aptp_bench.errors import BudgetError
from aptp_bench.methods.aptp import APTP
from aptp_bench.models.mixture import Mixture
from aptp_bench.plugins import Job
from aptp_bench.profiling.alignment import changed_widths
from aptp_bench.training.latents import Pairs

Jobs = Callable[..., Job]


@pytest.fixture
def ratios(left: Any) -> Callable[[Mixture, Job], list[float]]:
    return lambda mixture, given: [left(mixture.experts[i], given) for i in range(len(mixture))]


@pytest.fixture
def landed_at(ratios: Any) -> Callable[[Mixture, Job], float]:
    def mean(mixture: Mixture, given: Job) -> float:
        loads = torch.bincount(mixture.route(given.train.captions), minlength=len(mixture)).double()
        return float((loads * torch.tensor(ratios(mixture, given))).sum() / loads.sum())

    return mean


def alike(a: Mixture, b: Mixture, captions: Sequence[str]) -> bool:
    if len(a) != len(b) or not torch.equal(a.route(captions), b.route(captions)):
        return False
    states = [(a.experts[i].state_dict(), b.experts[i].state_dict()) for i in range(len(a))]
    return all(
        x.keys() == y.keys() and all(x[k].shape == y[k].shape and torch.equal(x[k], y[k]) for k in x) for x, y in states
    )


@pytest.mark.parametrize("convention", ["aptp", "modules"])
def test_the_mean_over_training_prompts_meets_the_budget(
    job: Jobs, landed_at: Any, settings: dict[str, Any], convention: str
) -> None:
    given = job(0.8, convention)
    assert landed_at(APTP(**settings).prune(given), given) == pytest.approx(0.8, abs=0.005)


def test_costs_differ_prompts_are_counted_and_files_keep_it_all(
    job: Jobs, ratios: Any, landed_at: Any, settings: dict[str, Any], tmp_path: Path
) -> None:
    given = job(0.8)
    mixture = APTP(**settings).prune(given)
    assert landed_at(mixture, given) == pytest.approx(0.8, abs=0.005)
    found = ratios(mixture, given)
    assert found == sorted(found) and len(set(found)) > 1
    report = mixture.router.report
    assert [expert.macs_ratio for expert in report.experts] == pytest.approx(found)
    served = torch.bincount(mixture.route(given.train.captions), minlength=3).tolist()
    assert [expert.prompts for expert in report.experts] == served
    mixture.save(tmp_path / "mixture")
    again = Mixture.load(tmp_path / "mixture", lazy=True)
    assert alike(mixture, again, given.train.captions)
    assert again.router.report == report
    assert [row["stage"] for row in again.router.history] == ["warmup"] * 2 + ["joint"] * 3
    assert len(again.router.history[-1]["loads"]) == 3


def test_the_seed_decides(job: Jobs, settings: dict[str, Any], tmp_path: Path, pairs: Pairs) -> None:
    jobs = [job(0.8, seed=seed, workdir=tmp_path / str(seed)) for seed in (1, 2)]
    assert not alike(*(APTP(**settings).prune(given) for given in jobs), pairs.captions)


def test_a_killed_search_goes_on_with_the_same_result(
    job: Jobs, settings: dict[str, Any], tmp_path: Path, pairs: Pairs, killed: Any
) -> None:
    settings |= {"align_below": 0.99}
    whole = APTP(**settings).prune(job(0.8, workdir=tmp_path / "whole"))
    for steps in (1, 4, 15):
        given = job(0.8, workdir=tmp_path / str(steps))
        with pytest.raises(KeyboardInterrupt):
            APTP(**settings).prune(replace(given, progress=killed(steps)))
        resumed = APTP(**settings).prune(given)
        assert alike(whole, resumed, pairs.captions)
        assert whole.router.history == resumed.router.history


def test_uni_arch_is_one_network_and_needs_no_encoder(job: Jobs, landed_at: Any, settings: dict[str, Any]) -> None:
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
        {"transport_rounding": "balanced", "transport_noise": False, "transport_relative": True, "init": "clustered"},
        {"network_mean": "samples", "std_over": "experts"},
        {"contrastive": False, "blocks": "norm", "precision": "bfloat16", "lr_scale": "none"},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_every_switch_still_lands(job: Jobs, landed_at: Any, settings: dict[str, Any], changes: dict[str, Any]) -> None:
    given = job(0.8)
    mixture = APTP(**settings | {"warmup_steps": 1, "joint_steps": 1} | changes).prune(given)
    assert landed_at(mixture, given) == pytest.approx(0.8, abs=0.005)


def test_loads_that_are_even_enough_are_not_aligned(job: Jobs, settings: dict[str, Any]) -> None:
    for below, aligned in ((0.0, False), (0.99, True)):
        given = job(0.8, workdir=job().workdir / str(below))
        report = APTP(**settings | {"align_below": below, "init": "predicted"}).prune(given).router.report
        assert (report.before_alignment is not None) == aligned
        assert (given.workdir / "alignment-1").exists() == aligned


def test_experts_of_aligned_widths_meet_the_same_budget(job: Jobs, landed_at: Any, settings: dict[str, Any]) -> None:
    given = job(0.85)
    mixture = APTP(**settings | {"align": 8}).prune(given)
    found = [w for i in range(len(mixture)) for w in changed_widths(mixture.experts[i], given.teacher.unet)]
    assert found and all(width % 8 == 0 for width in found)
    assert landed_at(mixture, given) == pytest.approx(0.85, abs=0.005)


def test_a_budget_that_cannot_be_met_is_refused(job: Jobs, settings: dict[str, Any]) -> None:
    with pytest.raises(BudgetError, match="raise --budget"):
        APTP(**settings | {"warmup_steps": 0, "joint_steps": 1}).prune(job(0.02))
