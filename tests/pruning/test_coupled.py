"""Coupled channels: found as torch-pruning finds them, cut as it cuts them, and none of its pitfalls."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch_pruning
from diffusers import UNet2DConditionModel
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor, nn

from aptp_bench.errors import PruningError
from aptp_bench.models.checkpoint import load_unet, save_unet
from aptp_bench.pruning import coupled
from aptp_bench.pruning.coupled import Group, Heads, Saliency, cut, groups, scores, weakest
from aptp_bench.pruning.macs import parameters
from aptp_bench.pruning.surgery import clone
from tests.pruning.conftest import taken

Found = dict[Heads, tuple[Group, ...]]


@pytest.fixture(scope="module")
def found(coupled: Any) -> Found:
    return {"whole": coupled("small", "whole"), "width": coupled("small", "width")}


def magnitude(name: str, weight: Tensor) -> Tensor:
    return weight.abs()


def uniformly(
    unet: UNet2DConditionModel,
    among: Sequence[Group],
    ratio: float,
    saliency: Saliency = magnitude,
    first: bool = False,
) -> UNet2DConditionModel:
    worth = scores(unet, among, saliency, first)
    return cut(unet, among, [weakest(score, taken(len(score), ratio)) for score in worth])


def at_random(among: Sequence[Group]) -> list[Tensor]:
    return [weakest(torch.rand(g.size), int(torch.randint(g.size - g.least + 1, ()))) for g in among]


def kind(group: Group) -> str:
    if group.attention or group.path.endswith(("to_q", "to_k", "to_v")):
        return "attention"
    names = {".ff.net.0.proj": "feed-forward", ".ff.net.2": "transformer", "conv1": "resnet"}
    alone = next((kind for end, kind in names.items() if group.path.endswith(end)), "stream")
    return "time" if group.path.startswith("time_embedding") else alone


def test_109_groups_on_sd21(coupled: Any) -> None:
    made = coupled("sd21")
    numbers = {"stream": 21, "resnet": 22, "transformer": 16, "attention": 32, "feed-forward": 16, "time": 2}
    assert Counter(map(kind, made)) == numbers
    sizes = {(kind(group), group.size) for group in made}
    assert {size for of, size in sizes if of == "stream"} == {10, 20, 40, 1280}  # no GroupNorm after one of them
    assert {size for of, size in sizes if of == "attention"} == {5, 10, 20}
    assert {size for of, size in sizes if of == "feed-forward"} == {1280, 2560, 5120}


def test_the_residual_stream_goes_with_its_consumers_in_the_decoder(coupled: Any) -> None:
    stream = next(group for group in coupled("sd21") if group.path == "conv_in")
    members = {(member.layer, member.side) for member in stream.members}
    assert {("down_blocks.0.resnets.1.conv2", "out"), ("up_blocks.3.resnets.2.conv1", "in")} <= members
    assert ("down_blocks.0.downsamplers.0.conv", "in") in members
    assert all(member.layer != "conv_out" or member.side == "in" for g in coupled("sd21") for member in g.members)


def test_without_feed_forwards_they_and_the_inner_width_of_transformers_stay(
    unet: UNet2DConditionModel, found: Found
) -> None:
    made = groups(unet, feed_forwards=False)
    gone = [kind(g) for g in found["whole"] if g.path not in {group.path for group in made}]
    assert Counter(gone) == {"feed-forward": 4, "transformer": 4}
    assert not any(".ff." in member.layer for group in made for member in group.members)


def bare(net: UNet2DConditionModel) -> UNet2DConditionModel:
    """In place: norms pass their input, and the scale of attention stays that of the whole heads."""
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, (nn.GroupNorm, nn.LayerNorm)):
                setattr(module, name, nn.Identity())
        if isinstance(module, Attention):
            module.scale = 0.25
    net.set_attn_processor(AttnProcessor())  # reads `scale`
    return net


def masked(net: UNet2DConditionModel, among: Sequence[Group], keep: Sequence[Tensor]) -> UNet2DConditionModel:
    """In place: the channels of removed units are zero wherever they are written."""
    for group, kept in zip(among, keep, strict=True):
        for member in (m for m in group.members if m.side == "out"):
            layer: Any = net.get_submodule(member.layer)
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                for parameter in (layer.weight, layer.bias):
                    if parameter is not None:
                        parameter.data[member.at[~kept[member.unit]]] = 0.0
    return net


@pytest.mark.parametrize("heads", ["whole", "width"])
def test_cut_equals_masked_over_all_groups_at_once_where_norms_are_identities(
    build: Any, inputs: Any, found: Found, heads: Heads
) -> None:
    unet, keep = build(torch.float64), at_random(found[heads])
    removed = bare(cut(unet, found[heads], keep))
    zeroed = masked(bare(clone(unet)), found[heads], keep)
    given = inputs(2, torch.float64)
    with torch.no_grad():
        expected = zeroed(**given).sample
        torch.testing.assert_close(removed(**given).sample, expected, rtol=0, atol=1e-12 * float(expected.abs().max()))


def by_torch_pruning(unet: UNet2DConditionModel, importance: Any, heads: Heads, ratio: float) -> UNet2DConditionModel:
    """What torch-pruning's own pruner leaves of a network, gradients of its parameters included."""
    student = copy.deepcopy(unet)
    for ours, theirs in zip(unet.parameters(), student.parameters(), strict=True):
        theirs.grad = ours.grad  # deepcopy leaves it
    attentions = [m for m in student.modules() if isinstance(m, Attention)]
    how = {"prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": ratio} if heads == "whole" else {}
    torch_pruning.pruner.BasePruner(
        student,
        {
            "sample": torch.randn(1, 4, 8, 8),
            "timestep": torch.ones(1).long(),
            "encoder_hidden_states": torch.randn(1, 7, 128),
        },
        importance=importance,
        pruning_ratio=ratio,
        ignored_layers=[student.conv_out, student.add_embedding.pool],
        num_heads={p: a.heads for a in attentions for p in (a.to_q, a.to_k, a.to_v)},
        out_channel_groups={m.net[0].proj: 2 for m in student.modules() if isinstance(m, FeedForward)},
        in_channel_groups={},
        unwrapped_parameters=[(student.add_embedding.pool.positional_embedding, 1)],
        **how,
    ).step()
    return student


def different(one: nn.Module, other: nn.Module) -> list[str]:
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    return [name for name, tensor in ours.items() if not torch.equal(tensor, theirs[name])]


@pytest.mark.parametrize(("heads", "p"), [("whole", 1), ("width", 2)])
def test_the_cut_is_torch_prunings_to_the_bit(unet: UNet2DConditionModel, found: Found, heads: Heads, p: int) -> None:
    ours = uniformly(unet, found[heads], 0.3, lambda name, weight: weight.abs() ** p)
    theirs = by_torch_pruning(unet, torch_pruning.importance.MagnitudeImportance(p=p), heads, 0.3)
    assert different(ours, theirs) == []


def test_so_it_is_by_taylor_scores(unet: UNet2DConditionModel, found: Found, inputs: Any) -> None:
    unet(**inputs(2)).sample.square().mean().backward()
    slopes = {name: p.grad for name, p in unet.named_parameters()}
    ours = uniformly(unet, found["whole"], 0.3, lambda name, weight: (weight * slopes[name]).abs())
    theirs = by_torch_pruning(unet, torch_pruning.importance.TaylorImportance(multivariable=False), "whole", 0.3)
    assert different(ours, theirs) == []


def test_the_first_layers_filters_alone_decide_if_asked(unet: UNet2DConditionModel, found: Found) -> None:
    ours = uniformly(unet, found["whole"], 0.3, first=True)
    first = torch_pruning.importance.MagnitudeImportance(p=1, group_reduction="first", normalizer=None)
    odd = different(ours, by_torch_pruning(unet, first, "whole", 0.3))
    assert all(".attn" in name for name in odd)  # torch-pruning takes the columns of to_out for the filters of a head


# The pitfalls of torch-pruning, one by one


def test_pitfall_1_geglu_loses_its_share_and_no_more(unet: UNet2DConditionModel, found: Found) -> None:
    student = uniformly(unet, found["whole"], 0.3)
    path = "mid_block.attentions.0.transformer_blocks.0.ff.net"
    assert unet.get_submodule(f"{path}.2").in_features == 256
    assert student.get_submodule(f"{path}.2").in_features == 256 - 77
    assert student.get_submodule(f"{path}.0.proj").out_features == 2 * (256 - 77)


def test_pitfall_2_cutting_in_three_steps_works(unet: UNet2DConditionModel, found: Found, inputs: Any) -> None:
    sizes = [parameters(unet)]
    for among in (found["whole"], None, None):
        unet = uniformly(unet, among or groups(unet), 0.1)
        sizes.append(parameters(unet))
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < 0.7 * sizes[0]
    assert unet(**inputs()).sample.isfinite().all()


def test_pitfall_3_one_network_leaves_nothing_behind_for_the_next(
    build: Any, unet: UNet2DConditionModel, found: Found
) -> None:
    groups(build(block_out_channels=(16, 32), attention_head_dim=2))
    assert [(group.path, group.size) for group in groups(unet)] == [(g.path, g.size) for g in found["whole"]]


@pytest.mark.parametrize("ratio", [0.1, 0.6])
def test_pitfall_4_narrow_and_wide_layers_lose_the_same_share_to_within_a_unit(
    unet: UNet2DConditionModel, found: Found, ratio: float
) -> None:
    student = uniformly(unet, found["width"], ratio)
    for group in found["width"]:
        left = len(student.get_submodule(group.path).weight) / len(unet.get_submodule(group.path).weight)
        assert 1 - ratio - 1 / group.size <= left <= 1 - ratio + 1e-9 or left == 1 / group.size


def test_pitfall_5_group_norms_divide_after_any_cut(unet: UNet2DConditionModel, found: Found) -> None:
    student = cut(unet, found["whole"], at_random(found["whole"]))
    norms = {path: m for path, m in student.named_modules() if isinstance(m, nn.GroupNorm)}
    assert len(norms) == 21
    assert all(m.num_groups == 8 and m.num_channels % 8 == 0 == len(m.weight) % 8 for m in norms.values())


def test_pitfall_6_heads_go_whole_and_a_started_one_goes(unet: UNet2DConditionModel, found: Found) -> None:
    student = uniformly(unet, found["whole"], 0.05)
    for path, module in unet.named_modules():
        if isinstance(module, Attention):
            left: Any = student.get_submodule(path)
            assert left.heads == module.heads - 1
            assert left.to_q.out_features == left.to_v.out_features == left.to_out[0].in_features == 16 * left.heads


def test_pitfall_7_narrowed_heads_are_equally_wide(unet: UNet2DConditionModel, found: Found, inputs: Any) -> None:
    student = uniformly(unet, found["width"], 0.3)
    for path, module in unet.named_modules():
        if isinstance(module, Attention):
            left: Any = student.get_submodule(path)
            assert left.heads == module.heads and left.to_q.out_features == left.to_k.out_features == 11 * left.heads
    attention = next(
        g for g in found["width"] if g.path.endswith("mid_block.attentions.0.transformer_blocks.0.attn1.to_v")
    )
    assert all(torch.equal(member.at % 16, member.unit) for member in attention.members)
    assert student(**inputs()).sample.isfinite().all()


def test_pitfall_8_frozen_weights_are_found(unet: UNet2DConditionModel, found: Found) -> None:
    unet.requires_grad_(False)
    with torch.no_grad():
        frozen = groups(unet)
    assert [(group.path, group.size) for group in frozen] == [(group.path, group.size) for group in found["whole"]]
    assert not any(p.requires_grad for p in unet.parameters())


def test_no_group_at_all_is_an_error(unet: UNet2DConditionModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_pruning.DependencyGraph, "get_all_groups", lambda *_, **__: iter(()))
    with pytest.raises(PruningError, match="no coupled channels"):
        groups(unet)


def test_where_the_image_is_a_pixel_group_norms_keep_two_channels_a_group(build: Any) -> None:
    least = {group.path: group.least for group in groups(build(sample_size=2))}
    assert least["mid_block.resnets.0.conv1"] == least["down_blocks.1.resnets.0.conv1"] == 2
    assert least["down_blocks.0.resnets.0.conv1"] == least["time_embedding.linear_1"] == least["conv_in"] == 1


# What is left


@pytest.mark.parametrize("heads", ["whole", "width"])
def test_what_is_left_runs_backward_too_at_any_size_and_comes_back_from_its_file(
    unet: UNet2DConditionModel, found: Found, inputs: Any, heads: Heads, tmp_path: Any
) -> None:
    student = cut(unet, found[heads], at_random(found[heads])).requires_grad_(True)
    for batch, size in ((1, 8), (3, 16)):
        student.zero_grad()
        student(**inputs(batch, size=size)).sample.square().mean().backward()
        assert [name for name, p in student.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    save_unet(student, tmp_path / "unet")
    again = load_unet(tmp_path / "unet")
    assert different(student, again) == []
    given = inputs(2)
    with torch.no_grad():
        torch.testing.assert_close(student(**given).sample, again(**given).sample)


def test_the_network_that_is_cut_stays_as_it_was(unet: UNet2DConditionModel, found: Found) -> None:
    flags = [p.requires_grad_(i % 2 == 0).requires_grad for i, p in enumerate(unet.parameters())]
    before = copy.deepcopy(unet.state_dict())
    unet.train()
    made = groups(unet)
    student = cut(unet, made, at_random(made))
    assert all(torch.equal(tensor, before[name]) for name, tensor in unet.state_dict().items())
    assert [p.requires_grad for p in unet.parameters()] == flags and unet.training
    assert all(p.grad is None for p in unet.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in unet.modules())
    shared = {p.data_ptr() for p in unet.parameters()} & {p.data_ptr() for p in student.parameters()}
    assert not shared


def test_the_lowest_scores_go_and_of_equals_the_earlier() -> None:
    assert weakest(torch.tensor([3.0, 1.0, 2.0, 1.0]), 1).tolist() == [True, False, True, True]
    assert weakest(torch.tensor([3.0, 1.0, 2.0, 1.0]), 3).tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    "wrong", [lambda n: torch.zeros(n, dtype=torch.bool), lambda n: torch.ones(n + 1, dtype=torch.bool)]
)
def test_a_group_that_keeps_nothing_or_another_number_is_refused(
    unet: UNet2DConditionModel, found: Found, wrong: Callable[[int], Tensor]
) -> None:
    keep = [torch.ones(group.size, dtype=torch.bool) for group in found["whole"]]
    keep[3] = wrong(len(keep[3]))
    with pytest.raises(PruningError, match=found["whole"][3].path):
        cut(unet, found["whole"], keep)


def test_a_width_that_does_not_divide_stays_whole(unet: UNet2DConditionModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coupled, "_parts", lambda twin: {twin.mid_block.resnets[0].norm2: 7})
    paths = {group.path for group in groups(unet)}
    assert "mid_block.resnets.0.conv1" not in paths and "mid_block.resnets.1.conv1" in paths
