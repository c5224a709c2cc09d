"""U-Nets that read no text are gated, counted, cut and saved by the same code as those that read one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from aptp_bench.models.checkpoint import load_unet, save_unet
from aptp_bench.pruning import coupled, surgery
from aptp_bench.pruning.cost import Cost
from aptp_bench.pruning.gates import GateSpace, gated, guarded
from aptp_bench.pruning.macs import count, example_inputs, parameters
from aptp_bench.pruning.substitutes import Identity
from aptp_bench.pruning.unets import UNet2DModel

FACES = {
    "block_out_channels": (16, 32, 48, 64),
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "down_block_types": ("DownBlock2D", *["AttnDownBlock2D"] * 3),
    "up_block_types": (*["AttnUpBlock2D"] * 3, "UpBlock2D"),
}
SOUNDS = {
    "in_channels": 1,
    "out_channels": 1,
    "block_out_channels": (16, 16, 32, 32, 64, 64),
    "sample_size": 32,
    "layers_per_block": 2,
    "down_block_types": (*["DownBlock2D"] * 4, "AttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "AttnUpBlock2D", *["UpBlock2D"] * 4),
}
NETWORKS = {"faces": FACES, "sounds": SOUNDS}


def small(name: str, dtype: torch.dtype = torch.float64) -> UNet2DModel:
    settings: dict[str, Any] = {"sample_size": 16, "norm_num_groups": 8, **NETWORKS[name]}
    unet = UNet2DModel(**settings).eval()
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.data = (parameter + 0.05 * torch.randn_like(parameter)).to(dtype)
    return unet


def call(unet: UNet2DModel, batch: int = 2) -> torch.Tensor:
    edge = unet.config.sample_size
    drawn = torch.Generator().manual_seed(3)
    x = torch.randn(batch, unet.config.in_channels, edge, edge, generator=drawn, dtype=unet.dtype)
    with torch.no_grad():
        return unet(x, torch.full((batch,), 400), encoder_hidden_states=torch.zeros(batch, 1, 1)).sample


@pytest.mark.parametrize("name", NETWORKS)
def test_gated_is_cut_and_what_it_costs_is_counted(name: str) -> None:
    unet = small(name)
    space = GateSpace.of(unet)
    cost = Cost.of(unet, space, example_inputs(unet), "exact")
    for share in (0.0, 0.5, 0.9):
        keep = guarded(torch.rand(space.size, generator=torch.Generator().manual_seed(1)) < share, space)
        with gated(unet, space, keep[None].to(unet.dtype)):
            soft = call(unet)
        student = surgery.cut(unet, space, keep)
        assert (call(student) - soft).abs().max() <= 1e-10
        assert float(cost(keep)) == count(student, example_inputs(student), "exact").total


@pytest.mark.parametrize("name", NETWORKS)
def test_an_attention_that_stands_alone_can_be_skipped(name: str) -> None:
    unet = small(name)
    space = GateSpace.of(unet)
    skipped = [unit for unit in space.depths if unit.kind == "attention"]
    assert len(skipped) == 2 * sum(kind.startswith("Attn") for kind in unet.config.down_block_types)
    keep = torch.ones(space.size, dtype=torch.bool)
    keep[skipped[0].start] = False
    student = surgery.cut(unet, space, keep)
    assert isinstance(student.get_submodule(skipped[0].path), Identity)
    assert not torch.equal(call(student), call(unet))


@pytest.mark.parametrize("heads", ["whole", "width"])
@pytest.mark.parametrize("name", NETWORKS)
def test_coupled_channels_go_together(name: str, heads: Any) -> None:
    unet = small(name)
    among = coupled.groups(unet, heads)
    keep = [torch.arange(group.size) % 4 != 0 if group.size > 3 else torch.ones(group.size, dtype=torch.bool)
            for group in among]  # fmt: skip
    student = coupled.cut(unet, among, keep)
    assert parameters(student) < 0.8 * parameters(unet)
    assert call(student).shape == call(unet).shape and call(student).isfinite().all()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_saved_network_computes_the_same_and_is_diffusers_own(name: str, tmp_path) -> None:
    unet = small(name)
    space = GateSpace.of(unet)
    keep = guarded(torch.rand(space.size, generator=torch.Generator().manual_seed(2)) < 0.6, space)
    student = surgery.cut(unet, space, keep)
    save_unet(student, tmp_path / "cut")
    assert torch.equal(call(load_unet(tmp_path / "cut")), call(student))
    assert '"_class_name": "UNet2DModel"' in (tmp_path / "cut" / "config.json").read_text()


def test_all_conventions_count_it() -> None:
    unet = small("faces")
    found = {name: count(unet, example_inputs(unet), name).total for name in ("exact", "aptp", "modules")}
    assert found["modules"] < found["exact"] < found["aptp"]
