"""What a plan says of measuring: each network looks at each set of images once, at the MACs that it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CLIPConfig, CLIPModel, Dinov2Config, Dinov2Model

from aptp_bench import config, registry
from aptp_bench.backbones import networks, vggish
from aptp_bench.backbones.alexnet import PerceptualAlexNet
from aptp_bench.backbones.fid_inception import SIZE, FIDInception
from aptp_bench.models.operations import trace
from aptp_bench.planning.machine import Machine
from aptp_bench.planning.plan import Plan, plan

PEAK = 19.5e12  # FLOP a second of an A100 in float32
TOWERS = {  # width, layers, heads, inner width, patch, pixels, of the published configurations
    "clip-vit-b-32": (768, 12, 12, 3072, 32, 224),
    "clip-vit-l-14-336": (1024, 24, 16, 4096, 14, 336),
    "pickscore-v1": (1280, 32, 16, 5120, 14, 224),
    "hps-v2.1": (1280, 32, 16, 5120, 14, 224),
}


def clip(name: str) -> Any:
    width, layers, heads, inner, patch, pixels = TOWERS[name]
    tower = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    tower |= {"intermediate_size": inner, "patch_size": patch, "image_size": pixels}
    return CLIPModel(CLIPConfig(vision_config=tower, text_config={"num_hidden_layers": 1}))


def counted(build: Any, call: Any) -> float:
    with torch.device("meta"):
        network = build().eval()
        return float(sum(trace(network, call).macs().values()))


def image(pixels: int, samples: int = 1, channels: int = 3) -> torch.Tensor:
    return torch.empty(samples, channels, pixels, pixels, device="meta")


OTHERS = {
    "dinov2-large": (
        lambda: Dinov2Model(
            Dinov2Config(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, image_size=518, patch_size=14)
        ),
        lambda network: network(image(224)),
    ),
    "inception-2015": (FIDInception, lambda network: network(image(SIZE))),
    "lpips-alex": (PerceptualAlexNet, lambda network: network(image(256), image(256))),
    "vggish": (lambda: vggish.VGGish(False), lambda network: network(torch.empty(6, 96, 64, device="meta"))),
}


@pytest.mark.parametrize("name", TOWERS)
def test_clip_networks_have_the_macs_that_are_counted(name: str) -> None:
    pixels = TOWERS[name][-1]
    found = counted(lambda: clip(name), lambda network: network.get_image_features(pixel_values=image(pixels)))
    assert sum(registry.get("backbones", name).macs.values()) == pytest.approx(found, rel=0.02)


@pytest.mark.parametrize("name", OTHERS)
def test_other_networks_have_the_macs_that_are_counted(name: str) -> None:
    assert sum(registry.get("backbones", name).macs.values()) == pytest.approx(counted(*OTHERS[name]), rel=0.02)


@pytest.mark.parametrize("kind", [networks.MiniCLIP, networks.MiniPick])
def test_the_mini_worlds_clips_have_the_macs_that_are_counted(kind: Any) -> None:
    network = kind().network.to("meta")
    pixels = network.config.vision_config.image_size
    found = trace(network, lambda small: small.get_image_features(pixel_values=image(pixels))).macs()
    assert sum(kind.macs.values()) == pytest.approx(float(sum(found.values())), rel=0.02)


def test_the_mini_worlds_inception_has_the_macs_that_are_counted() -> None:
    found = trace(networks.MiniInception().network.to("meta"), lambda small: small(image(networks.MINI_EDGE))).macs()
    assert sum(networks.MiniInception.macs.values()) == pytest.approx(float(sum(found.values())), rel=0.02)


def test_pairs_are_compared_at_as_many_pixels_as_there_are() -> None:
    kind = networks.LPIPSAlex
    found = counted(PerceptualAlexNet, lambda network: network(image(512), image(512)))
    assert sum(kind.macs_of(512).values()) == pytest.approx(found, rel=0.1)


def measured(tmp_path: Path, *methods: str, metrics: str, processes: int = 1) -> Plan:
    settings = [f"metrics=[{metrics}]", "sizes.val=1000"]
    runs = [(each, config.recipe(each, "coco", "paper", {}, settings)) for each in methods]
    return plan("a plan", runs, Machine.of("a100", processes, efficiency=1.0), tmp_path)


def seconds(found: Plan) -> float:
    return sum(value for name, value in found.seconds_by_stage.items() if name.startswith("measure-"))


def reading(network: str, images: int) -> float:
    return 2 * images * sum(registry.get("backbones", network).macs.values()) / PEAK


def test_a_network_reads_generated_and_real_images_once(tmp_path: Path) -> None:
    alone, twice, more = (
        seconds(measured(tmp_path, "norm", metrics=each)) for each in ("cmmd", "cmmd,clip_score", "fd_dinov2,cmmd")
    )
    assert alone == pytest.approx(reading("clip-vit-l-14-336", 2000))
    assert twice - alone == pytest.approx(reading("clip-vit-b-32", 1000))
    assert more - alone == pytest.approx(reading("dinov2-large", 2000))
    inception = [seconds(measured(tmp_path, "norm", metrics=each)) for each in ("fid", "fid,kid,precision,recall")]
    assert inception[0] > 0 and inception[0] == pytest.approx(inception[1])


def test_rows_share_the_real_images_and_processes_share_all(tmp_path: Path) -> None:
    one, two, shared = (
        seconds(measured(tmp_path, *methods, metrics="cmmd", processes=processes))
        for methods, processes in ((["norm"], 1), (["norm", "random"], 1), (["norm"], 8))
    )
    assert two == pytest.approx(one + reading("clip-vit-l-14-336", 1000))
    assert shared == pytest.approx(one / 8)


def test_whole_images_and_calls_are_timed_once_for_both_metrics(tmp_path: Path) -> None:
    once, both = (seconds(measured(tmp_path, "norm", metrics=each)) for each in ("latency", "latency,speedup"))
    assert once == pytest.approx(both) and once > 0


def test_what_no_network_reads_is_not_estimated(tmp_path: Path) -> None:
    found = measured(tmp_path, "norm", metrics="ssim,macs,fid")
    assert found.not_estimated == ("measure-ssim",)
    assert found.seconds_by_stage["measure-macs"] == 0
