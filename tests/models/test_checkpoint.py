"""A pruned network comes back bit for bit, whatever cut it; a broken one as one line that says what to do."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from aptp_bench.core.files import written_aside
from aptp_bench.errors import CheckpointError
from aptp_bench.models.checkpoint import CONFIG, PRUNING, WEIGHTS, Pruning, json_document, load_unet, save_unet
from aptp_bench.pruning import surgery
from aptp_bench.pruning.gates import GateSpace, guarded
from aptp_bench.pruning.macs import count, example_inputs
from aptp_bench.pruning.substitutes import NearestUpsample, Pointwise, PoolDownsample, Zeros


def cut_at_random(unet):
    space = GateSpace.of(unet)
    return surgery.cut(unet, space, guarded(torch.rand(space.size) < 0.5, space))


def substituted(unet):
    student = surgery.clone(unet)
    for path, module in {
        "mid_block.attentions.0.transformer_blocks.0.attn2": Zeros(),
        "down_blocks.0.downsamplers.0": PoolDownsample(),
        "up_blocks.0.upsamplers.0": NearestUpsample(),
        "down_blocks.1.resnets.0": Pointwise(32, 64),
    }.items():
        surgery.substitute_(student, path, module)
    return student


def same(one, other) -> bool:
    """Equal tensors under equal names, both ways."""
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(t, theirs[name]) for name, t in ours.items())


@pytest.mark.parametrize("prune", [surgery.clone, cut_at_random, substituted])
def test_round_trip_is_exact(prune, unet, inputs, tmp_path):
    pruned, given = prune(unet), inputs(2)
    save_unet(pruned, tmp_path / "net")
    again = load_unet(tmp_path / "net")
    assert same(pruned, again) and not again.training
    with torch.no_grad():
        torch.testing.assert_close(pruned(**given).sample, again(**given).sample)
    assert all(p.requires_grad for p in again.parameters())
    sizes = example_inputs(unet, tokens=7)
    assert count(pruned, sizes, "aptp") == count(again, sizes, "aptp")


def test_loaded_network_can_be_trained_pruned_and_saved_again(unet, inputs, tmp_path):
    save_unet(cut_at_random(unet), tmp_path / "a")
    first = load_unet(tmp_path / "a")
    first.train()(**inputs()).sample.mean().backward()
    second = cut_at_random(first)
    save_unet(second, tmp_path / "b")
    assert same(load_unet(tmp_path / "b"), second)


def test_dtype_is_the_stored_one_or_the_one_asked_for(unet, tmp_path):
    save_unet(surgery.clone(unet, {p: p.detach().half() for p in unet.parameters()}), tmp_path / "net")
    assert load_unet(tmp_path / "net").dtype == torch.float16
    assert {p.dtype for p in load_unet(tmp_path / "net", dtype=torch.bfloat16).parameters()} == {torch.bfloat16}


def test_files_are_plain_and_say_what_was_done(unet, tmp_path):
    pruned = cut_at_random(unet)
    save_unet(pruned, tmp_path / "net")
    assert sorted(p.name for p in (tmp_path / "net").iterdir()) == sorted([CONFIG, PRUNING, WEIGHTS])
    said = Pruning.model_validate_json((tmp_path / "net" / PRUNING).read_text())
    closed = {name for name, module in pruned.named_modules() if isinstance(module, surgery.SkipResnet)}
    assert {path for path, entry in said.substitutes.items() if entry.name == "skip_resnet"} == closed
    for path, heads in said.heads.items():
        assert pruned.get_submodule(path).heads == heads
    config = json.loads((tmp_path / "net" / CONFIG).read_text())
    assert config["_class_name"] == "UNet2DConditionModel"  # so that diffusers can read it alone
    assert config.keys() == {name for name in unet.config if not name.startswith("_")} | {"_class_name"}


def test_saving_twice_gives_the_same_bytes(unet, tmp_path):
    for name in ("a", "b"):
        save_unet(unet, tmp_path / name)
    for file in (CONFIG, PRUNING, WEIGHTS):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.fixture(scope="session")
def original(_original, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "net"
    space = GateSpace.of(_original)
    keep = guarded(torch.rand(space.size, generator=torch.Generator().manual_seed(0)) < 0.5, space)
    save_unet(surgery.cut(_original, space, keep), folder)
    return folder


@pytest.fixture
def saved(original, tmp_path):
    return shutil.copytree(original, tmp_path / "net")


@pytest.mark.parametrize("file", [CONFIG, PRUNING, WEIGHTS])
def test_missing_and_corrupt_files(file, saved):
    whole = (saved / file).read_bytes()
    (saved / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=file) as caught:
        load_unet(saved)
    assert "\n" not in str(caught.value)
    (saved / file).unlink()
    with pytest.raises(CheckpointError, match=f"{file} is missing"):
        load_unet(saved)


@pytest.mark.parametrize(
    "change",
    [
        {"substitutes": {"mid_block.resnets.0": {"name": "os.system"}}},
        {"substitutes": {"nowhere.0": {"name": "zeros"}}},
        {"substitutes": {"mid_block.resnets.0": {"name": "skip_resnet", "settings": {"x": 1}}}},
        {"heads": {"mid_block.attentions.0.transformer_blocks.0.attn1": 77}},
        {"groups": {"conv_norm_out": 7}},
        {"heads": {"nowhere": 1}},
        {"version": 2},
        {"extra": 2},
    ],
    ids=str,
)
def test_document_that_does_not_fit_is_refused(change, saved):
    said = json.loads((saved / PRUNING).read_text())
    for name, value in change.items():
        said[name] = {**said[name], **value} if isinstance(value, dict) else value
    (saved / PRUNING).write_text(json.dumps(said))
    with pytest.raises(CheckpointError, match="os.system" if "os.system" in str(change) else "net"):
        load_unet(saved)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("conv_in.weight"), "'conv_in.weight' is missing"),
        (lambda t: t.update(more=torch.zeros(1)), "'more' is unexpected"),
        (lambda t: t.update({"conv_in.weight": torch.zeros(3)}), "'conv_in.weight' has shape"),
        (lambda t: t.update({"add_embedding.pool.positional_embedding": torch.zeros(1, 3)}), "has shape"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(change, said, saved):
    tensors = load_file(saved / WEIGHTS)
    change(tensors)
    save_file(tensors, saved / WEIGHTS)
    with pytest.raises(CheckpointError, match=said):
        load_unet(saved)


def test_config_of_another_class_is_refused(saved):
    config = json.loads((saved / CONFIG).read_text())
    (saved / CONFIG).write_text(json.dumps({**config, "_class_name": "UNet1DModel"}))
    with pytest.raises(CheckpointError, match="UNet1DModel"):
        load_unet(saved)


def test_module_without_a_name_cannot_be_saved(unet, tmp_path):
    surgery.substitute_(unet, "mid_block.resnets.0.conv1", nn.Identity())
    with pytest.raises(CheckpointError, match=r"mid_block\.resnets\.0\.conv1.*Identity"):
        save_unet(unet, tmp_path / "net")
    assert not (tmp_path / "net").exists()


def test_strangers_folder_is_never_replaced(unet, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.png").write_text("precious")
    with pytest.raises(CheckpointError, match="holds other files"):
        save_unet(unet, tmp_path / "photos")
    assert (tmp_path / "photos" / "one.png").read_text() == "precious"


def test_failed_write_leaves_the_old_checkpoint(tmp_path):
    with written_aside(tmp_path / "x", "mark") as aside:
        (aside / "mark").write_text("old")
        assert not (tmp_path / "x").exists()
    with pytest.raises(RuntimeError), written_aside(tmp_path / "x", "mark") as aside:
        (aside / "mark").write_text("new")
        raise RuntimeError
    assert (tmp_path / "x" / "mark").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    with written_aside(tmp_path / "x", "mark") as aside:
        (aside / "mark").write_text("new")
    assert (tmp_path / "x" / "mark").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_folder_that_cannot_be_made_is_named(unet, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_unet(unet, tmp_path / "file" / "net")


def test_a_document_that_is_nested_too_deeply_is_corrupt(tmp_path):
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match=r"config\.json is corrupt"):
        json_document(tmp_path / "config.json")
