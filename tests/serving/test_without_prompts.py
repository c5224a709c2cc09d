"""A model that reads no prompts is served by the same pipeline; how many images is all that is asked of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, LDMPipeline

from aptp_bench.audio import files
from aptp_bench.audio.mel import MINI
from aptp_bench.cli.generate import generate
from aptp_bench.core.settings import SamplingConfig
from aptp_bench.errors import ConfigError
from aptp_bench.generation.sampling import parts_of
from aptp_bench.models.mixture import Mixture
from aptp_bench.models.unconditional import MINI_FACES_GEOMETRY, MINI_SOUNDS_GEOMETRY
from aptp_bench.serving.pipeline import RoutedPipeline
from aptp_bench.serving.serve import Source


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = MINI_FACES_GEOMETRY.build()
    folder = tmp_path_factory.mktemp("served") / "pipeline"
    RoutedPipeline(**parts_of(made, "ddim"), mixture=Mixture.of_one(made.unet)).save_pretrained(folder)
    return folder


def test_a_saved_pipeline_gives_the_same_images(saved: Path) -> None:
    made = MINI_FACES_GEOMETRY.build()
    here = RoutedPipeline(**parts_of(made, "ddim"), mixture=Mixture.of_one(made.unet))
    there = RoutedPipeline.from_pretrained(saved)
    drawn = [
        pipe(["", ""], num_inference_steps=2, guidance_scale=1.0, output_type="pt").images for pipe in (here, there)
    ]
    assert torch.equal(*drawn) and drawn[0].shape == (2, 3, 32, 32)
    assert not there.reads_prompts and not (saved / "text_encoder").exists()


def test_images_are_asked_for_by_number(saved: Path, tmp_path: Path) -> None:
    words = {"run": saved, "steps": 1, "guidance": 1.0, "out": tmp_path / "images"}
    generate(**words, number=2)
    assert len(list((tmp_path / "images").glob("*.png"))) == 2
    with pytest.raises(ConfigError, match="reads no prompts"):
        generate(**words, prompt=["a face"])
    with pytest.raises(ConfigError, match="--number"):
        generate(**words, prompt=["a face"], number=2)


def test_sounds_are_written_as_spectrograms_and_as_waves_also_from_a_saved_pipeline(tmp_path: Path) -> None:
    made = MINI_SOUNDS_GEOMETRY.build()
    pipeline = RoutedPipeline(**parts_of(made, "ddim"), mixture=Mixture.of_one(made.unet))
    pipeline.mel = MINI
    for _ in range(2):  # over itself too
        Source(pipeline, SamplingConfig()).save(tmp_path / "pipeline")
    generate(run=tmp_path / "pipeline", steps=1, guidance=1.0, number=2, out=tmp_path / "sounds")
    assert len(list((tmp_path / "sounds").glob("*.png"))) == 2
    waves = [files.read(path, MINI.rate) for path in files.listed(tmp_path / "sounds")]
    assert [len(wave) for wave in waves] == [MINI.samples] * 2 and not np.array_equal(*waves)


def test_pipelines_of_diffusers_are_served_as_they_are_and_draws_are_each_images_own() -> None:
    made = MINI_FACES_GEOMETRY.build()
    stock = LDMPipeline(vqvae=made.vae, unet=made.unet, scheduler=DDIMScheduler())
    served = RoutedPipeline.of(stock, Mixture.of_one(made.unet), "ddim")
    served.set_progress_bar_config(disable=True)
    served.scheduler = DDPMScheduler()
    settings = {"num_inference_steps": 2, "guidance_scale": 1.0, "output_type": "latent"}
    want = served(["", ""], **settings).images
    torch.rand(1)
    assert torch.equal(served("", indices=[1], **settings).images[0], want[1])
