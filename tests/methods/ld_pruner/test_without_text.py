"""Networks without text: diffusers' UNet2DModel, whose attentions stand alone and add their own residual."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DModel
from torch import Tensor

from aptp_bench.core.noise import starting_noise
from aptp_bench.methods.ld_pruner import LDPrunerConfig
from aptp_bench.methods.ld_pruner.latents import answering, overhearing, spared, trials
from aptp_bench.methods.ld_pruner.operators import operators, savings, stand_in, stand_ins
from aptp_bench.pruning.macs import count
from aptp_bench.pruning.surgery import clone, swapped
from aptp_bench.training.latents import Pairs

NO_PAIRS = Pairs([], torch.empty(0, 0, 0, 0), torch.empty(0, 0, 0))
SAMPLERS = {
    "convolutions": {},
    "resnets": {
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "down_block_types": ("AttnDownBlock2D",) * 2,
        "up_block_types": ("AttnUpBlock2D",) * 2,
    },
    "scale and shift": {"resnet_time_scale_shift": "scale_shift"},
}
LDM = {  # LDM-4 on CelebA-HQ (Rombach et al. 2022): 274,056,163 parameters
    "sample_size": 64,
    "block_out_channels": (224, 448, 672, 896),
    "attention_head_dim": 32,
    "down_block_types": ("DownBlock2D", *("AttnDownBlock2D",) * 3),
    "up_block_types": (*("AttnUpBlock2D",) * 3, "UpBlock2D"),
}


def build(**config: Any) -> UNet2DModel:
    settings = {
        "sample_size": 8,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        unet = UNet2DModel(**{**settings, **config}).eval().requires_grad_(False)
        for parameter in unet.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return unet


def given(unet: Any, device: str = "cpu") -> dict[str, Tensor]:
    size = unet.config.sample_size
    sample = torch.randn(1, unet.config.in_channels, size, size, generator=torch.Generator().manual_seed(0))
    return {"sample": sample.to(device), "timestep": torch.tensor([7], device=device)}


@pytest.fixture(scope="module")
def ldm() -> UNet2DModel:
    with torch.device("meta"):
        return UNet2DModel(**LDM).eval()


def test_ldm_4_has_the_operators_of_the_table(ldm: UNet2DModel) -> None:
    assert sum(p.numel() for p in ldm.parameters()) == 274_056_163
    assert [len(operators(ldm, candidates)) for candidates in ("costly", "paper", "all")] == [88, 148, 192]
    kinds = Counter(operator.kind for operator in operators(ldm, "paper"))
    assert kinds["attention"] == 16 and kinds["group_norm"] == 60 and kinds["downsample"] == kinds["upsample"] == 3


@pytest.mark.parametrize("config", SAMPLERS.values(), ids=SAMPLERS.keys())
def test_every_operator_alone_changes_the_output_and_can_be_put_back(config: dict[str, Any]) -> None:
    unet = build(**config)
    inputs, among = given(unet), operators(unet, "all")
    original = unet(**inputs).sample
    for operator in among:
        with swapped(unet, operator.path, stand_in(unet, operator)):
            changed = unet(**inputs).sample
        assert changed.shape == original.shape and changed.isfinite().all()
        assert not torch.equal(changed, original), operator
    assert torch.equal(unet(**inputs).sample, original)
    assert {"attention", "group_norm", "resnet"} <= {operator.kind for operator in among}
    resampling = {"resnet_down", "resnet_up"} if "downsample_type" in config else {"downsample", "upsample"}
    assert resampling <= {operator.kind for operator in among}


def test_a_removed_attention_passes_its_input_with_the_norm_that_it_holds() -> None:
    unet = build()
    attention = next(o for o in operators(unet) if o.kind == "attention")
    norm = next(o for o in operators(unet, "paper") if o.path == f"{attention.path}.group_norm")
    assert norm.within(attention.path) and stand_ins(unet, attention).keys() == {attention.path}
    x = torch.randn(2, 16, 4, 4)
    assert torch.equal(stand_in(unet, attention)(x), x)


def test_savings_are_those_of_the_cut_network() -> None:
    unet = build()
    inputs = given(unet, "meta")
    among = operators(unet, "all")
    dense, saved = savings(unet, among, inputs, "exact")
    assert all(saved[operator.path] > 0 for operator in operators(unet))
    for operator in among[::9]:
        left = count(clone(unet, modules=stand_ins(unet, operator)), inputs, "exact").total
        assert left == dense - saved[operator.path], operator


@pytest.fixture
def trial() -> Any:
    """Two latents of two steps for a model without a tokenizer."""
    teacher = SimpleNamespace(unet=build(), scheduler=DDIMScheduler())
    asked = LDPrunerConfig(generations=3, steps=2, guidance=7.5)
    (made,) = trials(teacher, NO_PAIRS, [0], asked, seed=3)
    return made, teacher.unet


def test_there_is_one_condition_and_nothing_to_guide(trial: Any) -> None:
    made, unet = trial
    assert made.text is None and made.samples == 2 * 3
    assert torch.equal(made.noise, starting_noise(3, range(3), (3, 8, 8)))
    latents = made.latents(unet)
    assert latents.shape == (1, 3, 3, 8, 8) and latents.isfinite().all()


def test_known_parts_answer_exactly_what_they_would_compute(trial: Any) -> None:
    made, unet = trial
    answers: dict[str, Any] = {}
    made.latents(unet, overhearing(unet, answers))
    for operator in operators(unet, "all")[::3]:
        with swapped(unet, operator.path, stand_in(unet, operator)):
            plain = made.latents(unet)
            assert torch.equal(made.latents(unet, answering(unet, answers, operator.path)), plain), operator


def test_a_third_of_the_first_step_is_spared_on_ldm_4(ldm: UNet2DModel) -> None:
    among = [operator.path for operator in operators(ldm, "paper")]
    shares = spared(ldm, among, given(ldm, "meta"))
    assert sum(shares.values()) / len(among) == pytest.approx(0.360, abs=0.0005)
