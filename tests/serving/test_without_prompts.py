"""A model that reads no prompts is served by the same pipeline; how many images is all that is asked of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from aptp_bench.cli.generate import generate
from aptp_bench.errors import ConfigError
from aptp_bench.generation.sampling import parts_of
from aptp_bench.models.mixture import Mixture
from aptp_bench.models.unconditional import MINI_FACES_GEOMETRY
from aptp_bench.serving.pipeline import RoutedPipeline


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
