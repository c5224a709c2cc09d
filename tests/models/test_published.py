"""A U-Net that was pruned elsewhere comes back as it was, whoever wrote its folder; what does not fit is one line."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from aptp_bench.errors import CheckpointError
from aptp_bench.methods.bk_sdm import Member, build
from aptp_bench.models import published
from aptp_bench.models.checkpoint import save_unet
from aptp_bench.models.mixture import Mixture
from aptp_bench.models.published import WEIGHTS, check_fits, find, read
from aptp_bench.models.stable_diffusion import SD21, SD21_BASE_GEOMETRY, MiniSD
from aptp_bench.pruning.gates import GateSpace, guarded
from aptp_bench.pruning.macs import count, example_inputs, parameters
from aptp_bench.pruning.surgery import cut
from tests.conftest import tiny_pipeline

SMALL = Member((1, 1, 1, 1), False)  # BK-SDM's


@pytest.fixture(scope="module")
def unet() -> Any:
    """SD 2.1's topology, all of its blocks, a few thousand parameters."""
    sizes = {"layers_per_block": 2, "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)}
    return tiny_pipeline(**sizes, up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3).unet


def expert_of(unet: Any) -> Any:
    """Half of the units and every second block that can be dropped are gone, as in an expert of APTP."""
    space = GateSpace.of(unet)
    keep = guarded(torch.rand(space.size, generator=torch.Generator().manual_seed(1)) < 0.5, space)
    keep[space.width_size :: 2] = False
    return cut(unet, space, keep)


def write_authors(unet: Any, folder: Path, **changes: Any) -> Path:
    """An expert as the APTP authors' code leaves it: their classes' names, the tensors, and a pickle that nobody may open."""
    config = json.loads(unet.to_json_string()) | {"gated_ff": True, "ff_gate_width": 32}
    for key in ("down_block_types", "up_block_types"):
        config[key] = [f"{name}HalfGated" for name in config[key]]
    config |= {"_class_name": "UNet2DConditionModelPruned", "mid_block_type": f"{config['mid_block_type']}WidthGated"}
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "config.json").write_text(json.dumps(config | changes))
    save_file({k: v.contiguous() for k, v in unet.state_dict().items()}, folder / "unet" / WEIGHTS)
    (folder / "arch_vector.pt").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    return folder


def output(unet: Any, width: int = 16) -> torch.Tensor:
    drawn = torch.Generator().manual_seed(0)
    text = torch.randn(2, 5, width, generator=drawn)
    with torch.no_grad():
        return unet(torch.randn(2, 4, 8, 8, generator=drawn), torch.tensor([3, 700]), text).sample


def same(one: Any, other: Any) -> bool:
    """Equal tensors under equal names, and what is computed from them."""
    ours, theirs = one.state_dict(), other.state_dict()
    alike = ours.keys() == theirs.keys() and all(torch.equal(t, theirs[name]) for name, t in ours.items())
    return alike and torch.allclose(output(one), output(other), atol=1e-5)


def counts(unet: Any) -> list[int]:
    return [count(unet, example_inputs(unet), name).total for name in ("exact", "aptp", "modules")]


def test_blocks_that_are_missing_are_what_the_config_says(unet: Any, tmp_path: Path) -> None:
    small = build(unet, SMALL)
    small.save_pretrained(tmp_path / "bk-sdm" / "unet")
    again = read(find(str(tmp_path / "bk-sdm")))
    assert same(again, small) and not again.training
    assert counts(again) == counts(small) and all(
        now < then for now, then in zip(counts(again), counts(unet), strict=True)
    )
    check_fits(again, unet, "bk-sdm")


def test_half_precision_and_shards_are_read(unet: Any, tmp_path: Path) -> None:
    build(unet, SMALL).half().save_pretrained(tmp_path / "parts", max_shard_size="40KB")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 1
    assert read(find(str(tmp_path / "parts"))).dtype == torch.float32


@pytest.mark.parametrize("most", ["10GB", "40KB"])
def test_a_variant_is_read_where_there_is_nothing_else(most: str, unet: Any, tmp_path: Path) -> None:
    small = build(unet, SMALL)
    small.save_pretrained(tmp_path / "unet", variant="fp16", max_shard_size=most)
    assert same(read(find(str(tmp_path))), small)
    small.save_pretrained(tmp_path / "unet", variant="non_ema", max_shard_size=most)
    with pytest.raises(CheckpointError, match="holds the variants fp16, non_ema"):
        read(find(str(tmp_path)))
    small.save_pretrained(tmp_path / "unet")
    assert same(read(find(str(tmp_path))), small)


def test_an_expert_of_the_authors_is_the_network_that_was_cut(unet: Any, tmp_path: Path) -> None:
    expert = expert_of(unet)
    again = read(find(str(write_authors(expert, tmp_path / "arch0" / "checkpoint-30000"))))
    assert same(again, expert)
    assert counts(again) == counts(expert) and parameters(again) == parameters(expert) < parameters(unet)
    check_fits(again, unet, "arch0")
    inside = find(str(tmp_path), "arch0/checkpoint-30000")
    assert counts(read(inside, "meta")) == counts(expert)


def test_what_we_narrowed_is_read_too(unet: Any, tmp_path: Path) -> None:
    expert = expert_of(unet)
    save_unet(expert, tmp_path / "net")
    assert same(read(find(str(tmp_path / "net"))), expert)


def test_bk_sdm_small_in_its_true_size_without_reading_a_weight(tmp_path: Path) -> None:
    """A sparse file stands for its 1.9 GB: the header alone is read."""
    with torch.device("meta"):
        small = build(SD21_BASE_GEOMETRY.build_unet(), SMALL)
    small.save_config(tmp_path)
    head: dict[str, Any] = {}
    end = 0
    for name, tensor in small.state_dict().items():
        start, end = end, end + 4 * tensor.numel()
        head[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(head).encode()
    with (tmp_path / WEIGHTS).open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    unet = read(find(str(tmp_path)), "meta")
    assert parameters(unet) == 485_787_524
    assert counts(unet)[0] / 1e9 == pytest.approx(255.7, abs=0.06)
    with pytest.raises(CheckpointError, match="sample_size of its config is 64, not 96"):
        check_fits(unet, SD21().skeleton(), "bk-sdm-small")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"cross_attention_dim": 32}, "cross_attention_dim"),
        ({"in_channels": 9}, "in_channels"),
        ({"sample_size": 8}, "sample_size"),
        ({"class_embed_type": "timestep"}, "class_embed_type"),
    ],
)
def test_another_interface_is_refused_by_its_setting(changes: Any, named: str, unet: Any) -> None:
    with pytest.raises(CheckpointError, match=named) as caught:
        check_fits(tiny_pipeline(**changes).unet, unet, "theirs")
    assert "\n" not in str(caught.value)


def spoil_rows(folder: Path, name: str, rows: int) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors[name] = tensors[name][:rows].clone()
    save_file(tensors, folder / WEIGHTS)


def test_what_does_not_fit_is_said_by_its_layer(unet: Any, tmp_path: Path) -> None:
    norm = "down_blocks.2.resnets.0.norm2.weight"
    unet.save_pretrained(tmp_path / "plain")
    spoil_rows(tmp_path / "plain", norm, 12)
    with pytest.raises(CheckpointError, match=rf"{norm} has the shape \(12,\).*pruning.json"):
        read(find(str(tmp_path / "plain")))
    folder = write_authors(unet, tmp_path / "authors") / "unet"
    spoil_rows(folder, norm, 11)
    with pytest.raises(CheckpointError, match=f"'{norm}' has 11 rows, which are no 4 or fewer units of 4"):
        read(folder)
    other = write_authors(unet, tmp_path / "other", down_block_types=["StrangeDownBlockHalfGated"] * 4) / "unet"
    with pytest.raises(CheckpointError, match="StrangeDownBlock"):
        read(other)


@pytest.mark.parametrize(
    ("layer", "rows", "named"),
    [
        ("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k", 0.5, "attn1"),
        ("down_blocks.0.resnets.0.conv1", 0.5, "resnets.0.conv1"),
        ("up_blocks.1.attentions.0.transformer_blocks.0.ff.net.0.proj", 0.9, "ff.net.0.proj"),
        ("down_blocks.1.downsamplers.0.conv", 0.5, "downsamplers.0.conv"),
    ],
)
def test_layers_that_do_not_fit_each_other_are_said_by_name(
    layer: str, rows: float, named: str, unet: Any, tmp_path: Path
) -> None:
    """Each tensor alone is one that the authors' pruning may leave; together they make no network."""
    folder = write_authors(unet, tmp_path / "odd") / "unet"
    spoil_rows(folder, f"{layer}.weight", int(rows * len(unet.get_parameter(f"{layer}.weight"))))
    with pytest.raises(CheckpointError, match=re.escape(named)) as caught:
        check_fits(read(folder), unet, "odd")
    assert "\n" not in str(caught.value)


def test_tensors_that_are_missing_or_too_many_are_named(unet: Any, tmp_path: Path) -> None:
    unet.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / WEIGHTS)
    save_file({**tensors, "extra.weight": torch.zeros(1)}, tmp_path / WEIGHTS)
    with pytest.raises(CheckpointError, match=f"^{re.escape(str(tmp_path))}: 'extra.weight' is there"):
        read(tmp_path)
    save_file({k: v for k, v in tensors.items() if k != "conv_in.bias"}, tmp_path / WEIGHTS)
    with pytest.raises(CheckpointError, match=f"^{re.escape(str(tmp_path))}: 'conv_in.bias' is missing"):
        read(tmp_path)


def test_a_folder_without_a_network_says_what_it_holds(unet: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config.json in it nor in unet/"):
        find(str(tmp_path))
    Mixture.of_one(unet).save(tmp_path / "mixture")
    with pytest.raises(CheckpointError, match="expert-00"):
        find(str(tmp_path / "mixture"))
    assert read(find(str(tmp_path / "mixture" / "expert-00"))) is not None
    unet.save_pretrained(tmp_path / "pickled", safe_serialization=False)
    with pytest.raises(CheckpointError, match="nothing but safetensors"):
        read(find(str(tmp_path / "pickled")))
    save_unet(expert_of(unet), tmp_path / "half")
    (tmp_path / "half" / "pruning.json").unlink()
    with pytest.raises(CheckpointError, match=r"holds model.safetensors and no pruning.json"):
        read(find(str(tmp_path / "half")))


def test_a_repository_is_fetched_only_as_far_as_its_u_net(
    hub: Path, unet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    there = published.sources.snapshot
    monkeypatch.setattr(
        published.sources, "snapshot", lambda name, files, fetch: asked.extend(files) or there(name, files, fetch)
    )
    build(unet, SMALL).save_pretrained(hub / "nota" / "small" / "unet")
    assert parameters(read(find("nota/small"))) == parameters(build(unet, SMALL))
    assert not [pattern for pattern in asked if "vae" in pattern or pattern in ("*", "*.safetensors")]


def test_the_dense_network_of_a_pipeline_is_one_too(tmp_path: Path) -> None:
    dense = MiniSD().load()
    assert counts(read(find(str(MiniSD().source(None))), "meta")) == counts(dense.unet)
