from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import Tensor

from aptp_bench.methods.ld_pruner.operators import FREE, Operator, operators, savings, stand_in, stand_ins
from aptp_bench.pruning.macs import count, example_inputs
from aptp_bench.pruning.substitutes import Pointwise, SkipResnet
from aptp_bench.pruning.surgery import clone, swapped

Build = Callable[..., UNet2DConditionModel]
COSTLY = {
    "resnet": 8,
    "resnet_shortcut": 14,
    "transformer": 16,
    "attn1": 16,
    "attn2": 16,
    "ff": 16,
    "proj_in": 16,
    "proj_out": 16,
    "conv": 30,
    "conv_pointwise": 14,
    "downsample": 3,
    "upsample": 3,
}
COMPOSITE = {"transformer_block": 16}  # beside `transformer`, which is costly too
FREE_COUNTS = {"time_emb_proj": 22, "group_norm": 60, "layer_norm": 48, "activation": 22}
SAVED = {  # G at 96x96 with every operator of the kind modified alone, added up: aptp, exact
    "resnet": (85.1, 84.9),
    "resnet_shortcut": (282.8, 282.4),
    "transformer": (913.0, 603.9),
    "transformer_block": (884.1, 575.1),
    "attn1": (370.1, 367.6),
    "attn2": (341.3, 34.8),
    "ff": (172.7, 172.7),
    "proj_in": (14.4, 14.4),
    "proj_out": (14.4, 14.4),
    "conv": (184.8, 184.7),
    "conv_pointwise": (162.3, 162.3),
    "downsample": (6.4, 6.4),
    "upsample": (76.4, 76.4),
    "time_emb_proj": (0.0, 0.0),
}


TWO_STAGES = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "block_out_channels": (8, 16),
    "attention_head_dim": 2,
    "layers_per_block": 1,
}
RESAMPLING = {
    "down_block_types": ("ResnetDownsampleBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "ResnetUpsampleBlock2D"),
}
KINDS: dict[str, dict[str, Any]] = {
    "of Stable Diffusion": {},
    "convolutional projections": {"use_linear_projection": False},
    "no mid block": {"mid_block_type": None},
    "two transformer blocks": {"transformer_layers_per_block": 2},
    "scale and shift": {"resnet_time_scale_shift": "scale_shift"},
    "one attention to the text": {"only_cross_attention": True},
    "resampling ResBlocks": RESAMPLING,
}


@pytest.fixture(scope="module")
def unet(build: Build) -> UNet2DConditionModel:
    return build(**TWO_STAGES)


def given(size: int = 8, batch: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, 4, size, size, generator=generator)
    return {
        "sample": x,
        "timestep": torch.tensor(7),
        "encoder_hidden_states": torch.randn(batch, 5, 16, generator=generator),
    }


@torch.no_grad()
def output(unet: UNet2DConditionModel, **kwargs: Tensor) -> Tensor:
    return unet(**kwargs).sample


def test_sd21_has_the_operators_of_the_table(sd21: UNet2DConditionModel) -> None:
    costly = operators(sd21)
    assert Counter(operator.kind for operator in costly) == COSTLY and len(costly) == 168
    everything = operators(sd21, "all")
    assert Counter(operator.kind for operator in everything) == COSTLY | COMPOSITE | FREE_COUNTS
    assert len(everything) == 336


def test_the_papers_candidates_are_the_kinds_that_it_names(sd21: UNet2DConditionModel) -> None:
    named, everything = operators(sd21, "paper"), operators(sd21, "all")
    assert [o for o in everything if o in named] == list(named) and len(named) == 276
    ours = {"resnet", "resnet_shortcut", "ff", "time_emb_proj"}
    assert {o.kind for o in everything} - {o.kind for o in named} == ours
    types = {type(sd21.get_submodule(o.path)).__name__ for o in named}
    assert {"Conv2d", "Attention", "GroupNorm", "LayerNorm", "SiLU"} <= types
    assert {"BasicTransformerBlock", "Transformer2DModel"} <= types


class Held(torch.nn.Module):
    def __init__(self, part: torch.nn.Module) -> None:
        super().__init__()
        self.part = part


COMBINATIONS = {
    "downsample_pointwise": Downsample2D(4, use_conv=True, out_channels=6),
    "upsample_pointwise": Upsample2D(4, use_conv=True, out_channels=6),
    "resnet_down": ResnetBlock2D(in_channels=4, temb_channels=8, groups=2, down=True),
    "resnet_up": ResnetBlock2D(in_channels=4, temb_channels=8, groups=2, up=True),
    "resnet_down_shortcut": ResnetBlock2D(in_channels=4, out_channels=6, temb_channels=8, groups=2, down=True),
    "resnet_up_shortcut": ResnetBlock2D(in_channels=4, out_channels=6, temb_channels=8, groups=2, up=True),
}


@pytest.mark.parametrize("kind", COMBINATIONS)
def test_where_resolution_and_width_change_the_stand_ins_are_combined(kind: str) -> None:
    module, temb = COMBINATIONS[kind].eval(), () if "sample" in kind else (torch.randn(2, 8),)
    (operator,) = (o for o in operators(Held(module), "all") if o.path == "part")
    assert operator.kind == kind
    x = torch.randn(2, 4, 6, 6)
    with torch.no_grad():
        assert stand_in(Held(module), operator)(x, *temb).shape == module(x, *temb).shape


@pytest.mark.parametrize(("column", "convention"), [(0, "aptp"), (1, "exact")])
def test_sd21_saves_what_the_table_says(column: int, convention: Any, sd21: UNet2DConditionModel) -> None:
    among = operators(sd21, "all")
    dense, saved = savings(sd21, among, example_inputs(sd21, tokens=77), convention)
    assert dense == {"aptp": 1_384_186_267_264, "exact": 1_074_552_872_960}[convention]
    by_kind: Counter[str] = Counter()
    for operator in among:
        by_kind[operator.kind] += saved[operator.path]
    for kind, row in SAVED.items():
        assert by_kind[kind] / 1e9 == pytest.approx(row[column], abs=0.051), kind
    assert all(by_kind[kind] < 0.4e9 for kind in FREE)


def test_the_ends_and_the_embeddings_are_never_candidates(build: Build) -> None:
    unet = build(**TWO_STAGES, addition_embed_type="text", addition_embed_type_num_heads=4)
    for operator in operators(unet, "all"):
        assert operator.path.split(".")[0] in ("down_blocks", "mid_block", "up_blocks")


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS.keys())
def test_every_operator_alone_changes_the_output_and_can_be_put_back(config: dict[str, Any], build: Build) -> None:
    unet, inputs = build(**TWO_STAGES | config), given()
    original, among = output(unet, **inputs), operators(unet, "all")
    assert config or {operator.kind for operator in among} == (COSTLY | COMPOSITE | FREE_COUNTS).keys()
    _, saved = savings(unet, operators(unet), example_inputs(unet, tokens=5), "exact")
    assert all(saved.values())
    for operator in among:
        with swapped(unet, operator.path, stand_in(unet, operator)):
            changed = output(unet, **inputs)
        assert changed.shape == original.shape and changed.isfinite().all()
        assert not torch.equal(changed, original), operator
    assert torch.equal(output(unet, **inputs), original)


@pytest.mark.parametrize("resnets", ["shortcut", "slice"])
def test_every_operator_alone_runs_at_sizes_that_do_not_halve(resnets: Any, unet: UNet2DConditionModel) -> None:
    inputs = given(size=7, batch=2)
    kinds = {"downsample", "upsample", "resnet", "resnet_shortcut", "transformer", "conv_pointwise"}
    for operator in operators(unet, resnets=resnets):
        if operator.kind in kinds:
            with swapped(unet, operator.path, stand_in(unet, operator)):
                assert output(unet, **inputs).shape == (2, 4, 7, 7)


def test_all_operators_together_run(unet: UNet2DConditionModel) -> None:
    outer = [
        o for o in operators(unet) if o.kind in ("resnet", "resnet_shortcut", "transformer", "downsample", "upsample")
    ]
    bare = clone(unet, modules={operator.path: stand_in(unet, operator) for operator in outer})
    assert output(bare, **given(size=7)).shape == (1, 4, 7, 7)


@pytest.mark.parametrize("convention", ["exact", "aptp", "modules"])
def test_savings_add_up_to_the_cost_of_the_network_that_is_left(convention: Any, unet: UNet2DConditionModel) -> None:
    among, inputs = operators(unet, "all"), example_inputs(unet, tokens=5)
    dense, saved = savings(unet, among, inputs, convention)
    generator = torch.Generator().manual_seed(3)
    norm = next(operator for operator in among if operator.reader is not None)
    branch = next(operator for operator in among if operator.path == norm.reader)
    for first in ([norm, branch], [branch, norm]):
        modified: list[Operator] = []
        for operator in first + [among[i] for i in torch.randperm(len(among), generator=generator)]:
            alone = operator not in modified and not any(
                operator.within(o.path) or o.within(operator.path) for o in modified
            )
            modified += [operator] if alone else []
        left = clone(unet, modules={path: m for o in modified for path, m in stand_ins(unet, o).items()})
        assert count(left, inputs, convention).total == dense - sum(saved[operator.path] for operator in modified)


def test_the_norm_of_a_closed_branch_goes_with_it_and_changes_nothing(unet: UNet2DConditionModel) -> None:
    branches = [operator for operator in operators(unet) if operator.kind in ("attn1", "attn2", "ff")]
    for operator in branches[:6]:
        both = stand_ins(unet, operator)
        (norm,) = both.keys() - {operator.path}
        assert [o.path for o in operators(unet, "all") if o.reader == operator.path] == [norm]
        alone = clone(unet, modules={operator.path: both[operator.path]})
        assert torch.equal(output(alone, **given()), output(clone(unet, modules=both), **given()))
        assert not torch.equal(output(alone, **given()), output(unet, **given()))


def test_a_widening_resnet_keeps_its_own_shortcut(unet: UNet2DConditionModel) -> None:
    operator = next(o for o in operators(unet) if o.kind == "resnet_shortcut")
    made, trained = stand_in(unet, operator), unet.get_submodule(operator.path).conv_shortcut
    x = torch.randn(2, trained.in_channels, 4, 4)
    assert isinstance(made, Pointwise) and torch.equal(made(x), trained(x))


def test_a_slice_passes_the_stream_where_it_is_as_wide_as_the_output(build: Build) -> None:
    unet = build()
    kinds = {o.path: type(stand_in(unet, o)) for o in operators(unet, resnets="slice") if o.kind == "resnet_shortcut"}
    wide = {path for path, kind in kinds.items() if kind is Pointwise}
    assert wide == {
        "down_blocks.1.resnets.0",
        "down_blocks.2.resnets.0",
        "up_blocks.2.resnets.0",
        "up_blocks.3.resnets.0",
    }
    assert set(kinds.values()) == {Pointwise, SkipResnet} and len(kinds) == 14
    operator = next(o for o in operators(unet, resnets="slice") if o.path == "up_blocks.1.resnets.1")
    x = torch.randn(1, 64, 2, 2)
    assert torch.equal(stand_in(unet, operator)(x, None), x[:, :32])


def test_reading_a_network_leaves_it_as_it_was(unet: UNet2DConditionModel) -> None:
    before = clone(unet)
    random = torch.random.get_rng_state()
    for operator in operators(unet, "all", "slice"):
        for parameter in stand_in(unet, operator).parameters():
            parameter.data += 1.0  # no memory of the network's
    savings(unet, operators(unet), example_inputs(unet, tokens=5), "exact")
    assert torch.equal(torch.random.get_rng_state(), random)
    assert repr(unet) == repr(before)
    assert all(torch.equal(p, q) for p, q in zip(before.parameters(), unet.parameters(), strict=True))
