"""Mixtures that plan their calls are sampled so, batch for batch anew, and as the sampler has it where nothing is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.settings import SamplingConfig
from aptp_bench.errors import DataError
from aptp_bench.generation.generate import generate
from aptp_bench.generation.image_sets import Files
from aptp_bench.generation.sampling import Sampler, quantised
from aptp_bench.models.call_plan import PLAIN, CallPlan
from aptp_bench.models.mixture import Mixture

PROMPTS = ("a dog", "two birds", "pizza")
REUSING = CallPlan(of=6, made=6, full=2, branch=1)
FEWER = CallPlan(of=6, made=4, full=4)

DTYPES = ("float32", "bfloat16")


def sampler(teacher: Any, plan: CallPlan, **settings: Any) -> Sampler:
    return Sampler.of(teacher, SamplingConfig(**{"steps": 5, **settings}), 3, plan)


@torch.inference_mode()
def latents(made: Sampler, unet: Any, at: tuple[int, ...] = (0, 1, 2)) -> Tensor:
    edge = unet.config.sample_size
    noise = torch.randn(3, 4, edge, edge, generator=torch.Generator().manual_seed(7))
    return made(unet, [PROMPTS[i] for i in at], noise[list(at)], latent=True)


def test_where_every_call_is_full_images_are_the_plain_ones(tiny: Any) -> None:
    every = CallPlan(of=6, made=6, full=6, branch=1)
    assert torch.equal(latents(sampler(tiny, every), tiny.unet), latents(sampler(tiny, PLAIN), tiny.unet))


@pytest.mark.parametrize(("guidance", "rows"), [(7.5, 6), (1.0, 3)])
@pytest.mark.parametrize("scheduler", ["pndm", "ddim"])
@pytest.mark.parametrize("plan", [PLAIN, FEWER, REUSING, CallPlan(of=6, made=4, full=2, branch=0)], ids=str)
def test_the_network_is_called_as_planned(
    tiny: Any, plan: CallPlan, scheduler: str, guidance: float, rows: int
) -> None:
    made = sampler(tiny, plan, scheduler=scheduler, guidance=guidance)
    called: list[int] = []
    deep: list[int] = []
    hooks = [
        tiny.unet.conv_in.register_forward_hook(lambda _, given, __: called.append(len(given[0]))),
        tiny.unet.mid_block.resnets[0].register_forward_hook(lambda _, given, __: deep.append(len(given[0]))),
    ]
    latents(made, tiny.unet)
    for hook in hooks:
        hook.remove()
    assert called == [rows] * made.calls.made and deep == [rows] * made.calls.full
    assert made.calls.asked == {"pndm": 6, "ddim": 5}[scheduler]
    assert made.calls.made <= made.calls.asked * plan.made / plan.of
    assert (made.calls.full < made.calls.made) == (plan.branch is not None)


def test_fewer_steps_are_those_of_a_sampler_of_fewer(tiny: Any) -> None:
    assert torch.equal(latents(sampler(tiny, FEWER), tiny.unet), latents(sampler(tiny, PLAIN, steps=3), tiny.unet))


def test_every_batch_begins_anew_after_a_failure_too(tiny: Any) -> None:
    made = sampler(tiny, REUSING)
    alone = latents(made, tiny.unet, (2,))

    def fails(*_: Any) -> None:
        raise KeyboardInterrupt

    latents(made, tiny.unet, (0,))
    assert torch.equal(latents(made, tiny.unet, (2,)), alone)
    handle = tiny.unet.mid_block.register_forward_hook(fails)
    with pytest.raises(KeyboardInterrupt):
        latents(made, tiny.unet, (1,))
    handle.remove()
    assert torch.equal(latents(made, tiny.unet, (2,)), alone)
    assert not torch.equal(alone, latents(sampler(tiny, PLAIN), tiny.unet, (2,)))


@pytest.mark.parametrize("branch", range(3))
def test_exact_images_do_not_depend_on_their_batch(small_sd: Any, branch: int) -> None:
    made = sampler(small_sd, CallPlan(of=6, made=6, full=2, branch=branch), exact=True)
    alone = [latents(made, small_sd.unet, (i,)) for i in range(3)]
    assert torch.equal(latents(made, small_sd.unet), torch.cat(alone))


def test_a_stage_of_images_follows_the_mixtures_plan(tiny: Any, tmp_path: Path) -> None:
    images = {}
    for plan in (PLAIN, FEWER, REUSING):
        folder = tmp_path / f"{plan.made}-{plan.full}"
        mixture = Mixture.of_one(tiny.unet, plan=plan)
        generate(mixture, sampler(tiny, PLAIN), PROMPTS, folder, SilentProgress())
        images[plan] = Files.numbered(folder, len(PROMPTS), "").read(range(len(PROMPTS)))
        with torch.inference_mode():
            assert torch.equal(images[plan], sampler(tiny, plan).draw(tiny.unet, PROMPTS, range(3)))
    assert not torch.equal(images[PLAIN], images[FEWER]) and not torch.equal(images[PLAIN], images[REUSING])


def test_in_half_precision_images_are_others_and_near(small_sd: Any) -> None:
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    full, half = (sampler(small_sd, PLAIN, dtype=dtype)(small_sd.unet, ["a", "b"], noise) for dtype in DTYPES)
    assert full.dtype == half.dtype == torch.float32
    assert 0 < (full - half).abs().mean() < 0.05


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_images_that_are_not_finite_are_refused_instead_of_black(wrong: float) -> None:
    images = torch.rand(3, 3, 4, 4)
    assert quantised(images).shape == (3, 4, 4, 3)
    images[1, 0, 0, 0] = wrong
    with pytest.raises(DataError, match="1 of 3 sampled images"):
        quantised(images)
