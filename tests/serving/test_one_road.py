"""A run's generate stage and serving sample by one road: asked alike, they give the same bytes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.settings import SamplingConfig
from aptp_bench.generation.generate import generate
from aptp_bench.generation.sampling import Sampler
from aptp_bench.models.call_plan import CallPlan
from aptp_bench.models.mixture import Mixture
from aptp_bench.serving.pipeline import RoutedPipeline
from aptp_bench.serving.serve import Source, draw

PROMPTS = ["a dog", "two birds in the sky", "pizza", "a red car", "a cat!", "an apple on a table", "trains", "a man"]


@pytest.mark.parametrize("scheduler", ["pndm", "ddim"])
@pytest.mark.parametrize(("exact", "batch", "served"), [(False, 3, 3), (True, 3, 1), (True, 1, 4)])
def test_a_served_image_is_the_runs_own(
    small_sd: Any,
    narrowed: Callable[[float], Any],
    router_by: Any,
    tmp_path: Path,
    scheduler: Any,
    exact: bool,
    batch: int,
    served: int,
) -> None:
    by_length = router_by(lambda prompt: len(prompt) % 2)()
    teacher, mixture = copy.deepcopy(small_sd), Mixture([narrowed(0.3), narrowed(0.9)], by_length)
    config = SamplingConfig(steps=3, scheduler=scheduler, batch=batch, exact=exact)
    generate(mixture, Sampler.of(teacher, config, 5), PROMPTS, tmp_path / "run", SilentProgress())
    pipe = RoutedPipeline.of(teacher, mixture, scheduler)
    pipe.set_progress_bar_config(disable=True)
    rows = draw(Source(pipe, config.model_copy(update={"batch": served}), 5), PROMPTS, tmp_path / "served")
    assert {row["expert"] for row in rows} == {0, 1}
    for row in rows:
        assert (tmp_path / "served" / row["image"]).read_bytes() == (tmp_path / "run" / row["image"]).read_bytes()
    if exact:  # latents show what 8-bit images round away
        latents = [
            pipe(PROMPTS, num_inference_steps=3, seed=5, batch_size=size, output_type="latent", exact=True).images
            for size in (batch, served)
        ]
        assert torch.equal(*latents)


@pytest.mark.parametrize("plan", [CallPlan(of=6, made=4, full=4), CallPlan(of=6, made=6, full=2, branch=1)], ids=str)
def test_a_mixture_that_plans_its_calls_is_served_so(
    small_sd: Any, narrowed: Callable[[float], Any], router_by: Any, tmp_path: Path, plan: CallPlan
) -> None:
    by_length = router_by(lambda prompt: len(prompt) % 2)()
    teacher, config = copy.deepcopy(small_sd), SamplingConfig(steps=5, batch=2)
    mixture = Mixture([narrowed(0.3), narrowed(0.9)], by_length, plan=plan)
    generate(mixture, Sampler.of(teacher, config, 5), PROMPTS, tmp_path / "run", SilentProgress())
    pipe = RoutedPipeline.of(teacher, mixture).to("cpu")
    pipe.set_progress_bar_config(disable=True)
    for row in draw(Source(pipe, config, 5), PROMPTS, tmp_path / "served"):
        assert (tmp_path / "served" / row["image"]).read_bytes() == (tmp_path / "run" / row["image"]).read_bytes()


def test_exact_is_in_keys_and_records_only_where_it_is_asked_for() -> None:
    """Stages and records from before it had no such key: they must be found again."""
    assert SamplingConfig().model_dump(mode="json", exclude={"batch"}) == {
        "steps": 25,
        "guidance": 7.5,
        "scheduler": "pndm",
    }
    assert SamplingConfig(exact=True).model_dump()["exact"] is True
    assert SamplingConfig(**SamplingConfig(exact=True).model_dump()).exact
