"""Gradients summed over a prefix of the diffusion steps: the sum, its end, and a kill in between."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from aptp_bench.core.noise import generator
from aptp_bench.errors import CheckpointError, TrainingError
from aptp_bench.methods import diffusion_gradients
from aptp_bench.methods.structural import Structural
from aptp_bench.plugins import Job

MakeJob = Callable[..., Job]
SHORT = {"stride": 125, "pairs": 6, "micro_batch": 6, "threshold": 0.0, "checkpoint_every": 1}


def config(**settings: Any) -> Structural.Config:
    return Structural.Config(**{**SHORT, **settings})


def rows(job: Job) -> list[dict[str, Any]]:
    return json.loads((job.workdir / "losses.json").read_text())


def by_hand(job: Job, steps: Sequence[int], noise: bool) -> tuple[dict[str, Tensor], list[float]]:
    """One graph over all steps, on a copy: the gradients of the summed losses, and the losses."""
    unet, scheduler = copy.deepcopy(job.teacher.unet).requires_grad_(True), job.teacher.scheduler
    draw = generator("structural", job.seed)
    members = torch.randperm(len(job.train), generator=draw)[:6]
    batch = job.train.batch(members)
    eps = torch.randn(batch.latents.shape, generator=draw)
    losses = []
    for t in steps:
        at = torch.full((6,), t)
        predicted = unet(scheduler.add_noise(batch.latents, eps, at), at, encoder_hidden_states=batch.text).sample
        if noise:  # eps from v (Salimans & Ho 2022)
            alpha = scheduler.alphas_cumprod[t]
            x = scheduler.add_noise(batch.latents, eps, at)
            losses.append((alpha.sqrt() * predicted + (1 - alpha).sqrt() * x - eps).square().mean())
        else:
            velocity = DDIMScheduler.from_config(scheduler.config).get_velocity(batch.latents, eps, at)
            losses.append((predicted - velocity).square().mean())
    sum(losses).backward()
    return {name: p.grad for name, p in unet.named_parameters()}, [float(loss.detach()) for loss in losses]


def close(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=1e-3, atol=1e-5 * float(other[name].abs().max() + 1e-3))


@pytest.mark.parametrize("loss", ["noise", "prediction"])
def test_the_sum_is_that_of_one_graph_over_all_steps(job: MakeJob, loss: str) -> None:
    given = job()
    summed = diffusion_gradients.gradients(given, config(loss=loss))
    expected, losses = by_hand(given, range(0, 1000, 125), noise=loss == "noise")
    close(summed, expected)
    assert [row[loss] for row in rows(given)] == pytest.approx(losses, rel=1e-4)


def test_the_first_step_below_the_threshold_ends_the_sum_and_does_not_count(job: MakeJob, tmp_path: Path) -> None:
    diffusion_gradients.gradients(job(workdir=tmp_path / "all"), config())
    noise = [row["noise"] for row in rows(job(workdir=tmp_path / "all"))]
    end = next(i for i in range(8) if noise[i] < 0.5 * max(noise[: i + 1]))
    assert 0 < end < 7
    given = job(workdir=tmp_path / "some")
    summed = diffusion_gradients.gradients(given, config(threshold=0.5))
    assert [row["kept"] for row in rows(given)] == [True] * end + [False]
    close(summed, by_hand(given, range(0, 125 * end, 125), noise=True)[0])


def test_the_loss_of_a_network_that_predicts_noise_is_taken_as_it_is(job: MakeJob, tiny: Any) -> None:
    pipe = copy.copy(tiny)
    pipe.scheduler = type(tiny.scheduler).from_config({**tiny.scheduler.config, "prediction_type": "epsilon"})
    given = job(teacher=pipe)
    diffusion_gradients.gradients(given, config(loss="noise"))
    assert all(row["noise"] == row["prediction"] for row in rows(given))


def test_micro_batches_change_nothing_but_rounding(job: MakeJob, tmp_path: Path) -> None:
    close(*(diffusion_gradients.gradients(job(workdir=tmp_path / str(n)), config(micro_batch=n)) for n in (4, 6)))


@pytest.mark.parametrize(("kill", "every", "threshold"), [(1, 1, 0.0), (5, 2, 0.0), (2, 1, 0.5)])
def test_a_killed_sum_goes_on_to_the_same_bits(
    job: MakeJob, tmp_path: Path, killed: Any, kill: int, every: int, threshold: float
) -> None:
    settings = config(checkpoint_every=every, threshold=threshold)
    whole = diffusion_gradients.gradients(job(workdir=tmp_path / "whole"), settings)
    with pytest.raises(KeyboardInterrupt):
        diffusion_gradients.gradients(job(workdir=tmp_path / "broken", progress=killed(kill)), settings)
    done = len(rows(job(workdir=tmp_path / "broken")))
    assert done == kill - kill % every
    again = diffusion_gradients.gradients(job(workdir=tmp_path / "broken"), settings)
    assert all(torch.equal(tensor, again[name]) for name, tensor in whole.items())
    assert rows(job(workdir=tmp_path / "broken")) == rows(job(workdir=tmp_path / "whole"))


def test_a_finished_sum_is_read_and_not_done_again(job: MakeJob, killed: Any) -> None:
    first = diffusion_gradients.gradients(job(), config(threshold=0.5))
    again = diffusion_gradients.gradients(job(progress=killed(0)), config(threshold=0.5))
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())


def test_the_sum_of_other_settings_is_refused(job: MakeJob) -> None:
    diffusion_gradients.gradients(job(), config())
    with pytest.raises(CheckpointError, match=r"is of other settings .* delete it, run again"):
        diffusion_gradients.gradients(job(), config(stride=500))
    with pytest.raises(CheckpointError, match="is of other settings"):
        diffusion_gradients.gradients(job(seed=1), config())


def test_a_broken_file_is_refused(job: MakeJob) -> None:
    diffusion_gradients.gradients(job(), config())
    (job().workdir / "gradients.safetensors").write_bytes(b"not tensors")
    with pytest.raises(CheckpointError, match=r"cannot be read .* delete it and run again"):
        diffusion_gradients.gradients(job(), config())


def test_a_loss_that_is_not_finite_is_an_error(job: MakeJob, tiny: Any) -> None:
    pipe = copy.copy(tiny)
    pipe.unet = copy.deepcopy(tiny.unet)
    with torch.no_grad():
        pipe.unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match="loss at step 0 is nan"):
        diffusion_gradients.gradients(job(teacher=pipe), config())


def test_the_teachers_gradients_and_flags_are_left_alone(job: MakeJob, tiny: Any) -> None:
    pipe = copy.copy(tiny)
    pipe.unet = copy.deepcopy(tiny.unet)
    pipe.unet.conv_in.requires_grad_(True)
    pipe.unet.conv_in.weight.grad = torch.ones_like(pipe.unet.conv_in.weight)
    diffusion_gradients.gradients(job(teacher=pipe), config())
    assert {name for name, p in pipe.unet.named_parameters() if p.requires_grad} == {"conv_in.weight", "conv_in.bias"}
    assert torch.equal(pipe.unet.conv_in.weight.grad, torch.ones_like(pipe.unet.conv_in.weight))
    assert all(torch.equal(p, q) for p, q in zip(pipe.unet.parameters(), tiny.unet.parameters(), strict=True))
