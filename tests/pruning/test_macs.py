"""Three conventions, to the digit: published totals, torch's own count, torch-pruning's own count."""

from __future__ import annotations

import pytest
import torch
import torch_pruning
from diffusers.models.attention_processor import Attention
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from aptp_bench.errors import CountError
from aptp_bench.pruning import macs
from aptp_bench.pruning.gates import GateSpace, guarded
from aptp_bench.pruning.macs import MacCount, count, example_inputs, parameters
from aptp_bench.pruning.substitutes import NearestUpsample, PoolDownsample, SkipTransformer, Zeros
from aptp_bench.pruning.surgery import clone, cut, substitute_

GOLDEN = {  # convention -> MACs of SD 2.1's U-Net at 96x96 and 64x64 latents
    "exact": (1_074_552_872_960, 402_128_732_160),
    "aptp": (1_384_186_267_264, 460_909_190_784),
    "modules": (760_931_140_224, 339_300_553_344),
}
ODD = {"use_linear_projection": False, "addition_embed_type": None, "resnet_time_scale_shift": "scale_shift"}


@pytest.fixture(autouse=True)
def forgetful(monkeypatch) -> None:
    """Every test counts for itself."""
    monkeypatch.setattr(macs, "_COUNTED", {})


def executed(unet, inputs: dict) -> int:
    """torch's own count; attention is left in its two products, since not every release sees into the fused kernels."""
    with FlopCounterMode(display=False) as flops, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        unet(**inputs)
    return flops.get_total_flops() // 2


def pruned(unet, seed: int = 0):
    space = GateSpace.of(unet)
    return cut(unet, space, guarded(torch.rand(space.size, generator=torch.Generator().manual_seed(seed)) < 0.6, space))


@pytest.fixture(scope="module")
def counted(sd21) -> dict[str, MacCount]:
    """SD 2.1 by convention, at its 96x96 latents."""
    return {convention: count(sd21, example_inputs(sd21), convention) for convention in GOLDEN}


def test_sd21_costs_what_is_published(counted, sd21):
    assert parameters(sd21) == 865_910_724
    for convention, (at_96, at_64) in GOLDEN.items():
        assert counted[convention].total == at_96
        assert count(sd21, example_inputs(sd21, 64), convention).total == at_64


@pytest.mark.parametrize(
    ("config", "cuts"), [({}, 0), ({}, 1), (ODD, 1), ({"act_fn": "gelu"}, 0), ({"act_fn": "mish"}, 0)], ids=str
)
def test_independent_counters_agree(config, cuts, build, inputs):
    unet, real = build(**config), inputs()
    unet = pruned(unet) if cuts else unet
    given = example_inputs(unet, tokens=real["encoder_hidden_states"].shape[1])
    assert count(unet, given, "exact").total == executed(unet, real)
    assert count(unet, given, "modules").total == torch_pruning.utils.count_ops_and_params(unet, real)[0]


def test_substitutes_are_counted(build, inputs):
    unet, real = build(), inputs()
    substitute_(unet, "down_blocks.0.downsamplers.0", PoolDownsample())
    substitute_(unet, "up_blocks.0.upsamplers.0", NearestUpsample())
    substitute_(unet, "mid_block.attentions.0.transformer_blocks.0.attn2", Zeros())
    given = example_inputs(unet, tokens=real["encoder_hidden_states"].shape[1])
    assert count(unet, given, "exact").total == executed(unet, real)
    assert count(unet, given, "modules").total == torch_pruning.utils.count_ops_and_params(unet, real)[0]


def test_work_is_filed_under_the_module_that_does_it(counted):
    exact = counted["exact"]
    assert sum(exact.by_module.values()) == exact.total
    assert exact.under("down_blocks.0.attentions.0") == pytest.approx(73.74e9, rel=1e-4)
    attention = "down_blocks.0.attentions.0.transformer_blocks.0.attn2"
    assert exact.by_module[attention] == 2 * 96**2 * 77 * 320
    assert exact.by_module[f"{attention}.to_k"] == 77 * 1024 * 320
    top = ("conv_in", "time_embedding", "down_blocks", "mid_block", "up_blocks", "conv_out")
    assert sum(map(exact.under, top)) == exact.total
    assert MacCount("exact", 7, {"a.1": 1, "a.1.b": 2, "a.11": 4}).under("a.1") == 3  # a path, not a prefix


def test_aptp_counts_attention_as_published_and_every_activation_twice(counted, sd21):
    """Self- and cross-attention cost the same, 312.487 G each."""
    by_module = counted["aptp"].by_module
    for kind in ("attn1", "attn2"):
        paths = [path for path, m in sd21.named_modules() if isinstance(m, Attention) and path.endswith(kind)]
        assert sum(by_module[path] for path in paths) == pytest.approx(312.487e9, rel=1e-6)
    activations = {path for path, m in sd21.named_modules() if isinstance(m, nn.SiLU)}
    assert sum(by_module[path] for path in activations) == pytest.approx(0.30166e9, rel=1e-3)


def test_in_aptp_the_length_of_the_text_does_not_matter(unet):
    assert len({count(unet, example_inputs(unet, tokens=n), "aptp").total for n in (5, 77)}) == 1


def test_text_embedding_is_counted_in_all_conventions(build):
    with_text, without = build(), build(addition_embed_type=None)
    for convention in GOLDEN:
        counted = count(with_text, example_inputs(with_text, tokens=7), convention)
        rest = count(without, example_inputs(without, tokens=7), convention).total
        assert counted.total - rest == counted.under("add_embedding") > 0
    pool = count(with_text, example_inputs(with_text, tokens=7), "exact").by_module["add_embedding.pool"]
    assert pool == 2 * 8 * 128  # one query, the mean and seven tokens as keys, all heads together 128 wide


def test_unknown_modules_are_refused(build):
    unet = build()
    substitute_(unet, "mid_block.resnets.0.norm1", nn.BatchNorm2d(64))
    with pytest.raises(CountError, match=r"BatchNorm2d 'mid_block\.resnets\.0\.norm1'"):
        count(unet, example_inputs(unet), "modules")
    substitute_(unet, "mid_block.resnets.0.norm1", nn.PixelShuffle(1))  # no parameters, and yet it may cost
    with pytest.raises(CountError, match="PixelShuffle"):
        count(unet, example_inputs(unet), "exact")
    gelu = build(act_fn="gelu")
    with pytest.raises(CountError, match="aptp"):
        count(gelu, example_inputs(gelu), "aptp")


def test_hidden_work_is_refused(build):
    class Squared(nn.Identity):
        def forward(self, x):
            return x @ x.transpose(-1, -2)

    unet = build()
    substitute_(unet, "mid_block.resnets.0.dropout", Squared())
    with pytest.raises(CountError, match="torch executes"):
        count(unet, example_inputs(unet), "exact")


def test_unknown_names_and_inputs_are_refused(build):
    unet = build()
    with pytest.raises(CountError, match="exact, aptp, modules"):
        count(unet, example_inputs(unet), "macs")
    crowded = build(class_embed_type="timestep")
    with pytest.raises(CountError, match="conditions"):
        example_inputs(crowded)


def test_remembered_counts_are_not_confused(unet, monkeypatch):
    """Counts are kept by geometry: another geometry, other inputs or other heads are counted anew, and few are kept."""
    monkeypatch.setattr(macs, "_REMEMBERED", 2)
    totals = [
        count(unet, example_inputs(unet, size, tokens), "aptp").total for size, tokens in ((8, 7), (16, 7), (8, 7))
    ]
    assert totals[0] == totals[2] < totals[1]
    unet.mid_block.attentions[0].transformer_blocks[0].attn1.heads = 2
    assert count(unet, example_inputs(unet, 8, 7), "aptp").total < totals[0]
    unet.mid_block.attentions[0].transformer_blocks[0].attn1.heads = 4
    substitute_(unet, "mid_block.attentions.0", SkipTransformer())
    assert count(unet, example_inputs(unet, 8, 7), "aptp").total < totals[0]
    assert len(macs._COUNTED) == 2


def test_they_are_the_same_in_inference_mode(unet, monkeypatch):
    usual = count(unet, example_inputs(unet), "exact")
    monkeypatch.setattr(macs, "_COUNTED", {})
    with torch.inference_mode():
        assert count(unet, example_inputs(unet), "exact") == usual


def test_network_and_inputs_are_left_alone(unet, inputs):
    given, before = inputs(), {name: p.clone() for name, p in unet.named_parameters()}
    count(unet, given, "aptp")
    assert given["encoder_hidden_states"].shape[1] == 7 and not given["sample"].is_meta
    assert not any(m._forward_hooks for m in unet.modules())
    assert all(torch.equal(p, before[name]) for name, p in unet.named_parameters())


def test_inputs_follow_the_configuration(build):
    unet = build(sample_size=(8, 16), cross_attention_dim=128)
    given = example_inputs(unet)
    assert given["sample"].shape == (1, 4, 8, 16) and given["encoder_hidden_states"].shape == (1, 77, 128)
    assert example_inputs(clone(unet), 4, 3)["sample"].shape == (1, 4, 4, 4)
