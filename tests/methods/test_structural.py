from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from aptp_bench.methods import diffusion_gradients
from aptp_bench.methods.structural import Structural
from aptp_bench.plugins import Job
from aptp_bench.profiling.alignment import changed_widths
from aptp_bench.pruning.coupled import cut, groups, scores, weakest

MakeJob = Callable[..., Job]
SHORT = {"stride": 250, "pairs": 6, "micro_batch": 4, "threshold": 0.0}


def test_it_lands_on_the_budget_with_one_expert(job: MakeJob, left: Any) -> None:
    given = job(0.7, "aptp")
    mixture = Structural(**SHORT).prune(given)
    assert len(mixture) == 1 and left(mixture.experts[0], given) == pytest.approx(0.7, abs=0.005)


def test_units_go_by_weight_times_summed_gradient(job: MakeJob, tiny: Any) -> None:
    given = job(0.8)
    method = Structural(**SHORT)
    student = method.prune(given).experts[0]
    slopes = diffusion_gradients.gradients(given, method.config)
    lost = json.loads((given.workdir / "widths.json").read_text())["removed_of"]
    found = groups(tiny.unet)
    worth = scores(tiny.unet, found, lambda name, weight: (weight * slopes[name]).abs())
    keep = [weakest(score, lost[group.path][0]) for group, score in zip(found, worth, strict=True)]
    expected = cut(tiny.unet, found, keep).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in student.state_dict().items())


def test_the_seed_decides(job: MakeJob, tmp_path: Path) -> None:
    jobs = [job(0.8, seed=seed, workdir=tmp_path / str(seed)) for seed in (0, 1)]
    one, other = (Structural(**SHORT).prune(given).experts[0].state_dict() for given in jobs)
    assert any(not torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_aligned_widths_meet_the_same_budget(job: MakeJob, left: Any, tiny: Any) -> None:
    aligned = Structural(**SHORT, align=8).prune(job(0.8)).experts[0]
    found = list(changed_widths(aligned, tiny.unet))
    assert found and all(width % 8 == 0 for width in found)
    assert left(aligned, job(0.8)) == pytest.approx(0.8, abs=0.005)
