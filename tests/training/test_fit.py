"""A step is split as far as memory asks for, and neither that nor forgotten activations change what is learnt."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from aptp_bench.budget import Budget
from aptp_bench.core.costs import USED, StepCost
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.settings import FinetuneConfig
from aptp_bench.errors import TrainingError
from aptp_bench.methods.aptp.config import APTPConfig
from aptp_bench.methods.aptp.pruning import prune
from aptp_bench.models.mixture import Mixture
from aptp_bench.plugins import Job
from aptp_bench.training import fit
from aptp_bench.training.finetune import finetune
from aptp_bench.training.latents import Pairs
from aptp_bench.training.loop import Part

CPU = torch.device("cpu")
COST = StepCost(operations=(), trained=1000, first=((0, 100), (900, 10)), later=((0, 100),))


def needed(share: int, parts: int) -> int:
    return COST.needs(math.ceil(share / parts), parts > 1)


@pytest.mark.parametrize("share", [1, 7, 64])
@pytest.mark.parametrize("room", [1e3, 2e4, 3e4, 1e9])
def test_the_fewest_parts_that_fit_are_taken(share: int, room: float) -> None:
    found = COST.fitting(share, room)
    assert found is None or needed(share, found) <= room
    assert all(needed(share, fewer) > room for fewer in range(1, found or share + 1))


def test_several_processes_hold_their_gradients_from_the_start() -> None:
    room = COST.needs(64)
    alone, many = (COST.fitting(64, room, processes=processes) for processes in (1, 2))
    assert alone == 1 and many is not None and many > 1


def test_half_precision_needs_fewer_parts() -> None:
    whole, half = (COST.fitting(64, needed(64, 8), precision) for precision in ("float32", "bfloat16"))
    assert half is not None and whole is not None and half < whole


def test_a_batch_stays_whole_where_memory_is_not_known() -> None:
    def count() -> StepCost:
        raise AssertionError("nothing to fit")

    assert fit.parts("auto", 64, "float32", CPU, count) == 1
    assert fit.parts(3, 64, "float32", CPU, count) == 3


@pytest.mark.parametrize(("batch", "processes", "asked"), [(128, 8, 32), (9, 2, 64), (5, 5, 2), (7, 1, 99)])
def test_no_part_is_without_samples(batch: int, processes: int, asked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit.Ranks, "here", lambda: fit.Ranks(0, processes))
    parts = processes * fit.parts(asked, batch, "float32", CPU, lambda: COST)
    rows = [Part(i, parts).rows(batch) for i in range(parts)]
    assert all(each.stop > each.start for each in rows) and parts // processes == min(asked, batch // processes)


def test_a_batch_that_is_smaller_than_the_processes_are_many_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit.Ranks, "here", lambda: fit.Ranks(0, 3))
    with pytest.raises(TrainingError, match="a batch of 2 is too small for 3 processes"):
        fit.parts("auto", 2, "float32", CPU, lambda: COST)


def test_auto_fits_the_room_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "_free", lambda device: 22_000)
    found = fit.parts("auto", 64, "float32", CPU, lambda: COST)
    assert found == COST.fitting(64, USED * 22_000) > 1


@pytest.fixture
def tuned(small_sd: Any, narrowed: Any, tmp_path: Path) -> Any:
    """tuned(**settings) -> the weights of an expert after two steps."""
    noise = torch.Generator().manual_seed(0)
    text = torch.randn(8, 32, small_sd.unet.config.cross_attention_dim, generator=noise)
    pairs = Pairs(["a car"] * 8, torch.randn(8, 4, 8, 8, generator=noise), text)

    def run(**settings: Any) -> dict[str, torch.Tensor]:
        config = FinetuneConfig(steps=2, batch=4, **settings)
        folder = tmp_path / "-".join(map(str, settings)) if settings else tmp_path / "plain"
        mixture = Mixture.of_one(narrowed(0.5))
        return finetune(mixture, small_sd, pairs, config, seed=0, folder=folder, device=CPU).experts[0].state_dict()

    return run


def test_checkpointing_changes_no_bit(tuned: Any) -> None:
    plain, again = tuned(), tuned(gradient_checkpointing=True)
    assert all(torch.equal(tensor, again[name]) for name, tensor in plain.items())


def test_checkpointing_changes_no_bit_of_a_search(small_sd: Any, tmp_path: Path) -> None:
    noise = torch.Generator().manual_seed(0)
    text = torch.randn(8, 32, small_sd.unet.config.cross_attention_dim, generator=noise)
    pairs = Pairs(["a car"] * 8, torch.randn(8, 4, 8, 8, generator=noise), text)
    rows = []
    for flag in (False, True):
        config = APTPConfig(uni_arch=True, batch=4, warmup_steps=1, joint_steps=2, gradient_checkpointing=flag)
        job = Job(small_sd, pairs, Budget.of(0.8, "exact"), 0, CPU, tmp_path / str(flag), SilentProgress())
        rows.append(prune(job, config).router.history)
    assert rows[0] == rows[1] and len(rows[0]) == 3
    assert not small_sd.unet.is_gradient_checkpointing


def test_auto_is_one_part_on_the_cpu_to_the_bit(tuned: Any) -> None:
    plain, again = tuned(), tuned(accumulate="auto")
    assert all(torch.equal(tensor, again[name]) for name, tensor in plain.items())
