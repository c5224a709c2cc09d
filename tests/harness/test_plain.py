"""What a user's U-Net may carry instead of plain weights: each is refused before any work, with the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from PIL import Image
from torch import nn
from torch.nn.utils import prune

import aptp_bench
from aptp_bench.errors import AptpBenchError
from aptp_bench.harness.teacher import teacher_of
from tests.conftest import tiny_pipeline

LAYER = "down_blocks.0.resnets.0.conv1"


class LoraLayer(nn.Module):
    """Stands for those of peft, which is not needed to run this."""

    def __init__(self, around: nn.Module) -> None:
        super().__init__()
        self.base_layer = around


LoraLayer.__module__ = "peft.tuners.lora.layer"


def wrapped(pipe: Any) -> None:
    pipe.unet = nn.DataParallel(pipe.unet)


class OptimizedModule(nn.Module):
    """Stands for that of torch.compile, which takes seconds to import."""

    def __init__(self, around: nn.Module) -> None:
        super().__init__()
        self._orig_mod = around


def compiled(pipe: Any) -> None:
    pipe.unet = OptimizedModule(pipe.unet)


def adapted(pipe: Any) -> None:
    pipe.unet.conv_in = LoraLayer(pipe.unet.conv_in)


def tied(pipe: Any) -> None:
    attention = pipe.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1
    attention.to_k.weight = attention.to_q.weight


def packed(pipe: Any) -> None:
    conv = pipe.unet.conv_in
    conv.weight = nn.Parameter(torch.zeros(conv.weight.shape, dtype=torch.int8), requires_grad=False)


def not_finite(pipe: Any) -> None:
    pipe.unet.conv_in.bias.data[0] = float("nan")


def masked(pipe: Any) -> None:
    prune.l1_unstructured(pipe.unet.get_submodule(LAYER), "weight", 0.5)


CASES: list[tuple[Callable[[Any], Any], str]] = [
    (wrapped, r"wrapped in DataParallel; set pipeline.unet = pipeline.unet.module"),
    (compiled, r"wrapped in OptimizedModule; set pipeline.unet = pipeline.unet._orig_mod"),
    (adapted, r"'conv_in' of the U-Net carries adapters; call pipeline.fuse_lora\(\)"),
    (tied, r"to_q.weight' and '.*to_k.weight' are one tensor"),
    (packed, "'conv_in' of the U-Net is quantised"),
    (not_finite, "unet holds numbers that are not finite, first in conv_in.bias"),
    (masked, f"'{LAYER}' of the U-Net computes its weight from others"),
    (lambda pipe: torch.nn.utils.parametrizations.weight_norm(pipe.unet.conv_in), "computes its weight from others"),
    (lambda pipe: pipe.unet.fuse_qkv_projections(), "has fused projections"),
    (lambda pipe: pipe.unet.to("meta"), "unet has no weights yet"),
    (lambda pipe: pipe.unet.conv_in.half(), "unet is in float16"),
    (lambda pipe: pipe.unet.register_to_config(sample_size=None), "no sample_size; set it"),
    (lambda pipe: pipe.unet.register_to_config(addition_embed_type="text_time"), "reads more than a text"),
]


@pytest.mark.parametrize(("spoil", "line"), CASES, ids=[line for _, line in CASES])
def test_what_is_no_plain_network_is_refused_in_one_line_before_any_work(
    spoil: Callable[[Any], Any], line: str
) -> None:
    pipe = tiny_pipeline()
    spoil(pipe)
    with pytest.raises(AptpBenchError, match=line) as caught:
        teacher_of(pipe)
    assert "\n" not in str(caught.value)


def test_a_pipeline_without_an_autoencoder_is_not_said_to_be_a_unet_alone() -> None:
    unet = UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
        attention_head_dim=4,
    )
    pipeline, images = DDPMPipeline(unet, DDPMScheduler()), [Image.new("RGB", (8, 8))]
    with pytest.raises(AptpBenchError, match=r"DDPMPipeline makes images without an autoencoder.*norm or random"):
        aptp_bench.prune(pipeline, "structural", 0.8, images)
