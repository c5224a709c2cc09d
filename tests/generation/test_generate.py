from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aptp_bench.core.distributed import Ranks
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.settings import SamplingConfig
from aptp_bench.generation.generate import batches, generate
from aptp_bench.generation.image_sets import Files
from aptp_bench.generation.images import image_path
from aptp_bench.generation.sampling import Sampler, quantised
from aptp_bench.models.mixture import Mixture
from aptp_bench.pruning.surgery import clone

CAPTIONS = ["a", "bb", "ccc", "dddd", "eeeee", "ffffff", "ggggggg"]


@pytest.fixture
def mixture(tiny: Any, router_by: Any) -> Mixture:
    other = clone(tiny.unet)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.05)
    return Mixture([tiny.unet, other], router_by(lambda prompt: len(prompt) % 2)())


def sampler(tiny: Any, seed: int = 0, **settings: Any) -> Sampler:
    return Sampler.of(tiny, SamplingConfig(**{"steps": 3, "batch": 3, **settings}), seed)


def made(folder: Path, mixture: Mixture, sampler: Sampler, **more: Any) -> Tensor:
    generate(mixture, sampler, CAPTIONS, folder, SilentProgress(), **more)
    return drawn(folder)


def drawn(folder: Path) -> Tensor:
    return Files.numbered(folder, len(CAPTIONS), "").read(range(len(CAPTIONS)))


def test_an_image_a_caption_and_the_router_says_which_expert(tmp_path, tiny, mixture):
    assignment = generate(mixture, sampler(tiny), CAPTIONS, tmp_path, SilentProgress())
    assert assignment.tolist() == [1, 0, 1, 0, 1, 0, 1]
    assert drawn(tmp_path).shape == (7, 8, 8, 3)


def test_images_do_not_depend_on_batch_size_or_ranks(tmp_path, tiny, mixture):
    by_three = made(tmp_path / "three", mixture, sampler(tiny))
    by_one = made(tmp_path / "one", mixture, sampler(tiny, batch=1))
    for rank in (1, 0):
        generate(mixture, sampler(tiny), CAPTIONS, tmp_path / "two", SilentProgress(), Ranks(rank, 2))
    assert (by_three.int() - by_one.int()).abs().max() <= 1  # rounding of a float sum
    assert torch.equal(by_three, drawn(tmp_path / "two"))


def test_each_expert_draws_its_own_prompts(tmp_path, tiny, mixture):
    first, second = (
        made(tmp_path / str(i), Mixture.of_one(mixture.experts[i]), sampler(tiny, batch=1)) for i in (0, 1)
    )
    both = made(tmp_path / "both", mixture, sampler(tiny, batch=1))
    expected = torch.stack([(second if len(caption) % 2 else first)[i] for i, caption in enumerate(CAPTIONS)])
    assert torch.equal(both, expected)
    assert not torch.equal(first, second)


def test_a_stopped_generation_goes_on_and_gives_the_same_bytes(tmp_path, tiny, mixture):
    made(tmp_path / "whole", mixture, sampler(tiny))
    made(tmp_path / "cut", mixture, sampler(tiny))
    kept = image_path(tmp_path / "cut", 0)  # prompts 0, 2 and 4 are one batch
    stamp = kept.stat().st_mtime_ns
    for index in (1, 6):
        image_path(tmp_path / "cut", index).unlink()
    made(tmp_path / "cut", mixture, sampler(tiny))
    for index in range(len(CAPTIONS)):
        assert image_path(tmp_path / "cut", index).read_bytes() == image_path(tmp_path / "whole", index).read_bytes()
    assert kept.stat().st_mtime_ns == stamp


def test_the_seed_and_the_sampler_change_images(tmp_path, tiny, mixture):
    images = [
        made(tmp_path / "0", mixture, sampler(tiny)),
        made(tmp_path / "1", mixture, sampler(tiny, seed=1)),
        made(tmp_path / "2", mixture, sampler(tiny, scheduler="ddim")),
        made(tmp_path / "3", mixture, sampler(tiny, guidance=1.0)),
    ]
    assert all(not torch.equal(images[0], other) for other in images[1:])


@pytest.mark.parametrize(
    ("scheduler", "guidance", "calls", "rows"), [("pndm", 7.5, 6, 4), ("ddim", 7.5, 5, 4), ("ddim", 1.0, 5, 2)]
)
def test_calls_of_the_unet(tiny, scheduler, guidance, calls, rows):
    seen: list[int] = []
    handle = tiny.unet.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(len(args[0])), with_kwargs=True
    )
    try:
        with torch.inference_mode():
            sampler(tiny, steps=5, scheduler=scheduler, guidance=guidance).draw(tiny.unet, ["a", "b"], [0, 1])
    finally:
        handle.remove()
    assert seen == [rows] * calls


def test_the_teachers_pipeline_stays_as_it_was(tiny, mixture):
    before = (id(tiny.unet), id(tiny.scheduler), type(tiny.scheduler), dict(tiny.config))
    made = sampler(tiny, scheduler="ddim")
    with torch.inference_mode():
        made.draw(mixture.experts[1], ["a"], [0])
    assert type(made.parts["scheduler"]).__name__ == "DDIMScheduler" and made.parts["vae"] is tiny.vae
    assert before == (id(tiny.unet), id(tiny.scheduler), type(tiny.scheduler), dict(tiny.config))


def test_batches_hold_one_expert_and_every_prompt_once():
    layout = batches(torch.tensor([2, 0, 2, 2, 0, 2]), 3)
    assert layout == [(0, [1, 4]), (2, [0, 2, 3]), (2, [5])]


def test_levels_are_rounded_not_cut():
    images = torch.tensor([-0.2, 0.0, 0.4999 / 255, 0.5001 / 255, 1.0, 1.3]).view(1, 1, 2, 3).expand(1, 3, 2, 3)
    assert quantised(images)[0, ..., 0].flatten().tolist() == [0, 0, 0, 1, 255, 255]
