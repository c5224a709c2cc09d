"""A network saved here opens in diffusers where its config says all of it, and by one call of ours wherever it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel, UNet2DModel

import aptp_bench
from aptp_bench.errors import CheckpointError, ConfigError, WeightsError
from aptp_bench.methods import bk_sdm
from aptp_bench.models import weights
from aptp_bench.models.mixture import Mixture
from aptp_bench.pruning.substitutes import Zeros
from aptp_bench.pruning.surgery import clone
from tests.conftest import narrow


def same(one: Any, other: Any) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def without_layers(unet: Any) -> Any:
    """BK-SDM's network without the mid block: another config says all of it."""
    return bk_sdm.build(unet, bk_sdm.Member(bk_sdm.dense(unet).layers, False))


def with_a_stand_in(unet: Any) -> Any:
    return clone(unet, modules={"mid_block.attentions.0.transformer_blocks.0.attn2": Zeros()})


@pytest.mark.parametrize("prune", [clone, without_layers])
def test_what_a_config_says_opens_in_diffusers_too(small_sd: Any, tmp_path: Path, prune: Any) -> None:
    pruned = prune(small_sd.unet)
    assert aptp_bench.save(pruned, tmp_path / "unet") == tmp_path / "unet"
    stock, report = UNet2DConditionModel.from_pretrained(tmp_path / "unet", output_loading_info=True)
    assert same(stock, pruned) and not any(report.values())
    assert same(aptp_bench.load(tmp_path / "unet"), pruned)


@pytest.mark.parametrize("prune", [lambda unet: narrow(unet, 0.5), with_a_stand_in])
def test_diffusers_refuses_the_others_and_ours_opens_them(small_sd: Any, tmp_path: Path, prune: Any) -> None:
    pruned = prune(small_sd.unet)
    aptp_bench.save(pruned, tmp_path / "unet")
    with pytest.raises(OSError):
        UNet2DConditionModel.from_pretrained(tmp_path / "unet")
    assert same(aptp_bench.load(tmp_path / "unet"), pruned)


def test_a_network_without_text_opens_in_diffusers(tmp_path: Path) -> None:
    unet = UNet2DModel(
        sample_size=8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    aptp_bench.save(unet, tmp_path / "unet")
    assert same(UNet2DModel.from_pretrained(tmp_path / "unet"), unet) and same(aptp_bench.load(tmp_path / "unet"), unet)


def test_a_mixture_comes_back_as_one(narrowed: Any, tmp_path: Path) -> None:
    aptp_bench.save(Mixture.of_one(narrowed(0.5), "a remark"), tmp_path / "mixture")
    found = aptp_bench.load(tmp_path / "mixture", dtype=torch.float64)
    assert isinstance(found, Mixture) and found.remark == "a remark" and found.experts[0].dtype == torch.float64


def test_a_hub_id_is_fetched_and_nothing_pickled_with_it(
    small_sd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aptp_bench.save(small_sd.unet, tmp_path / "there")
    asked = []

    def fetched(hub_id: str, files: Any, fetch: bool) -> Path:
        asked.append((hub_id, tuple(files), fetch))
        return tmp_path / "there"

    monkeypatch.setattr(weights, "snapshot", fetched)
    assert same(aptp_bench.load("somebody/pruned"), small_sd.unet)
    ((hub_id, files, fetch),) = asked
    assert (hub_id, fetch) == ("somebody/pruned", True)
    assert {Path(pattern).suffix for pattern in files} == {".json", ".jsonl", ".txt", ".safetensors", ".md"}


def test_what_is_no_network_is_refused_in_one_line(small_sd: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a AutoencoderKL is not saved here"):
        aptp_bench.save(small_sd.vae, tmp_path / "vae")
    with pytest.raises(WeightsError, match="there is no folder"):
        aptp_bench.load(tmp_path / "nowhere")
    (tmp_path / "model_index.json").write_text(json.dumps({}))
    with pytest.raises(CheckpointError, match=r"whole pipeline; open it with RoutedPipeline\.from_pretrained"):
        aptp_bench.load(tmp_path)
    assert not (tmp_path / "vae").exists()


def test_a_folder_of_diffusers_and_a_device_that_is_not_there_are_said(small_sd: Any, tmp_path: Path) -> None:
    small_sd.unet.save_pretrained(tmp_path / "stock")
    with pytest.raises(CheckpointError, match="not saved here but by diffusers; open it with from_pretrained"):
        aptp_bench.load(tmp_path / "stock")
    with pytest.raises(ConfigError, match=r"device 'gpu' cannot be used here \(.*\); use device cpu"):
        aptp_bench.load(tmp_path / "stock", device="gpu")


@pytest.mark.parametrize("dtype", ["float16", torch.int8])
def test_weights_are_read_as_a_floating_type_or_as_they_are(small_sd: Any, tmp_path: Path, dtype: Any) -> None:
    aptp_bench.save(small_sd.unet, tmp_path / "unet")
    with pytest.raises(ConfigError, match="floating types"):
        aptp_bench.load(tmp_path / "unet", dtype=dtype)


def test_what_would_not_be_read_again_is_not_saved(tiny: Any, tmp_path: Path) -> None:
    broken = clone(tiny.unet)
    broken.conv_in.weight.data[0, 0, 0, 0] = float("nan")
    for network, line in ((broken, "not finite in conv_in.weight"), (clone(tiny.unet).to("meta"), "meta device")):
        with pytest.raises(CheckpointError, match=line):
            aptp_bench.save(network, tmp_path / "unet")
    assert not any(tmp_path.iterdir())
