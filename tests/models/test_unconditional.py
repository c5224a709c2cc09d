from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from aptp_bench.core.settings import SamplingConfig
from aptp_bench.errors import WeightsError
from aptp_bench.generation.sampling import Sampler
from aptp_bench.models import weights
from aptp_bench.models.pipelines import encoded
from aptp_bench.models.unconditional import (
    AUDIO_DIFFUSION_GEOMETRY,
    MINI_FACES_GEOMETRY,
    AudioDiffusion,
    LDMCelebAHQ,
    MiniFaces,
)
from aptp_bench.models.unconditional_pipeline import Unconditional
from aptp_bench.pruning.gates import GateSpace
from aptp_bench.pruning.macs import count, example_inputs, parameters
from aptp_bench.pruning.unets import tokens_of

pytestmark = pytest.mark.usefixtures("offline")
SAMPLING = SamplingConfig(steps=2, guidance=1.0, scheduler="ddim", exact=True)


@pytest.fixture(scope="module")
def faces() -> Unconditional:
    return MINI_FACES_GEOMETRY.build()


@pytest.fixture(scope="module")
def original(faces: Unconditional, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As repositories of latent diffusion lie on the hub: unet, vqvae, scheduler."""
    folder = tmp_path_factory.mktemp("ldm")
    with weights.quiet():
        faces.unet.save_pretrained(folder / "unet")
        faces.vae.save_pretrained(folder / "vqvae")
        faces.scheduler.save_pretrained(folder / "scheduler")
    return folder


@pytest.fixture
def saved(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "copy")


def test_networks_have_their_published_sizes() -> None:
    """The paper's 163.1 M for audio are the U-Net and what decodes latents."""
    with torch.device("meta"):
        vae = AUDIO_DIFFUSION_GEOMETRY.build_vae()
    assert parameters(LDMCelebAHQ().skeleton()) == 274_056_163
    assert parameters(AudioDiffusion().skeleton()) == 113_668_609
    assert parameters(vae.decoder) + parameters(vae.post_quant_conv) == 49_474_051


@pytest.mark.parametrize("kind", [LDMCelebAHQ, AudioDiffusion])
def test_true_geometry_is_gated_and_counted(kind: Any) -> None:
    unet = kind().skeleton()
    space = GateSpace.of(unet)
    assert set(space.counts()) == {"resnet", "self_attention", "depth"} and len(space.depths) == 14
    assert count(unet, example_inputs(unet), "exact").total > count(unet, example_inputs(unet), "modules").total * 0.9


def test_a_saved_pipeline_is_read_as_it_was(faces: Unconditional, saved: Path) -> None:
    again = MiniFaces().load(str(saved))
    drawn = [Sampler.of(each, SAMPLING).draw(each.unet, ["", ""], [0, 1]) for each in (faces, again)]
    assert torch.equal(*drawn) and drawn[0].shape == (2, 32, 32, 3)


@pytest.mark.parametrize("gone", ["unet", "vqvae", "scheduler"])
def test_a_missing_part_is_named(saved: Path, gone: str) -> None:
    shutil.rmtree(saved / gone)
    with pytest.raises(WeightsError, match=gone):
        MiniFaces().load(str(saved))


def test_another_network_is_refused(saved: Path) -> None:
    with pytest.raises(WeightsError, match="another network than ldm-celebahq"):
        LDMCelebAHQ().load(str(saved))


def test_a_broken_scheduler_is_refused(saved: Path) -> None:
    (saved / "scheduler" / "scheduler_config.json").write_text(json.dumps({"_class_name": "os"}))
    with pytest.raises(WeightsError, match="scheduler"):
        MiniFaces().load(str(saved))


def test_an_image_is_of_its_seed_and_number_whatever_it_is_made_with(faces: Unconditional) -> None:
    sampler = Sampler.of(faces, SAMPLING, seed=3)
    together = sampler.draw(faces.unet, [""] * 3, [0, 1, 2])
    assert torch.equal(sampler.draw(faces.unet, [""], [2])[0], together[2])
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(Sampler.of(faces, SAMPLING, seed=4).draw(faces.unet, [""], [0])[0], together[0])


def test_sounds_are_grey_images_of_one_channel() -> None:
    small = {"block_out_channels": (32, 32, 32, 32), "layers_per_block": 1, "norm_num_groups": 8}
    geometry = type(AUDIO_DIFFUSION_GEOMETRY)(
        unet={
            **AUDIO_DIFFUSION_GEOMETRY.unet,
            "block_out_channels": (8,) * 6,
            "norm_num_groups": 4,
            "layers_per_block": 1,
        },
        vae={**AUDIO_DIFFUSION_GEOMETRY.vae, **small},
        quantised=False,
    )
    made = geometry.build()
    image = Sampler.of(made, SAMPLING).draw(made.unet, [""], [0])
    assert image.shape == (1, 256, 256, 3) and torch.equal(image[..., 0], image[..., 2])
    assert encoded(made.vae, torch.zeros(2, 1, 256, 256)).shape == (2, 1, 32, 32)
    assert tokens_of(made) == 1


def test_latents_are_what_the_decoder_takes_back(faces: Unconditional) -> None:
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    latents = encoded(faces.vae, pixels)
    again = faces.vae.decode(latents / faces.vae.config.scaling_factor).sample
    assert latents.shape == (2, 3, 8, 8) and torch.allclose(again, faces.vae(pixels).sample, atol=1e-5)
