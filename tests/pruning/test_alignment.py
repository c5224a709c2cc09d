"""Widths in multiples: whatever was pruned, in coupled channels or in the gate space, fits, and so does the budget."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from aptp_bench.budget import TOLERANCE, Budget
from aptp_bench.profiling.alignment import alignment
from aptp_bench.pruning.alignment import chunks, dealt, stepped
from aptp_bench.pruning.budget_fit import fit, ranked, shaped, uniform
from aptp_bench.pruning.cost import Cost
from aptp_bench.pruning.coupled import Heads
from aptp_bench.pruning.gates import GateSpace, Width
from aptp_bench.pruning.macs import count, example_inputs
from aptp_bench.pruning.surgery import cut
from aptp_bench.pruning.threshold import Landed, land

ALIGNS = (8, 16, 64)


def changed(student: nn.Module, dense: nn.Module) -> Iterator[tuple[str, int, int]]:
    """Path, width and dense width of whatever pruning changed: inputs and outputs of layers, and heads."""
    before = dict(dense.named_modules())
    for path, layer in student.named_modules():
        for new, old in zip(widths(layer), widths(before.get(path)), strict=False):
            if new != old:
                yield path, new, old


def widths(layer: Any) -> tuple[int, ...]:
    if isinstance(layer, (nn.Conv2d, nn.Linear)):
        return tuple(layer.weight.shape[:2])
    return (layer.to_q.out_features // layer.heads,) if isinstance(layer, Attention) else ()


def misfits(student: nn.Module, dense: nn.Module, align: int) -> list[str]:
    found = changed(student, dense)
    return [f"{path}: {new} of {old}" for path, new, old in found if new % math.gcd(align, old)]


def macs(student: UNet2DConditionModel, dense: UNet2DConditionModel) -> float:
    inputs = example_inputs(dense)
    return count(student, inputs, "exact").total / count(dense, inputs, "exact").total


def codes(space: GateSpace, seed: int = 0) -> Tensor:
    return 3 + 2 * torch.randn(2, space.size, generator=torch.Generator().manual_seed(seed))


def zipped(unet: Any, space: GateSpace, align: int) -> list[tuple[Width, int]]:
    return list(zip(space.widths, chunks(unet, space, align), strict=True))


def landed_in_chunks(unet: Any, cost: Cost, align: int, ratio: float, seed: int = 0) -> Landed:
    logits, together = codes(cost.space, seed), chunks(unet, cost.space, align)
    return land(logits, torch.tensor([0.6, 0.4]), cost, Budget.of(ratio), chunks=together)


# Coupled channels


@pytest.mark.parametrize(
    ("name", "heads", "align", "ratio", "ranking"),
    [
        ("sd21", "width", 64, 0.64, "nearest"),
        ("small", "whole", 64, 0.94, "up"),
        ("odd", "whole", 8, 0.64, "up"),
        ("odd", "width", 16, 0.64, "global"),
        ("odd", "whole", 16, 0.78, "global"),
        ("odd", "width", 8, 0.78, "nearest"),
    ],
)
def test_all_widths_are_multiples_and_the_budget_is_met_by_any_ranking(
    networks: Any, coupled: Any, name: str, heads: Heads, align: int, ratio: float, ranking: Any
) -> None:
    unet = networks[name]
    among = stepped(unet, coupled(name, heads), align)
    queue = [
        ranked(0.5 + torch.rand(group.size).double(), group.step)
        if ranking == "global"
        else uniform(group.size, ranking, group.step)
        for group in among
    ]
    fitted = fit(unet, among, queue, Budget.of(ratio), example_inputs(unet))
    student = shaped(unet, among, fitted.removed)
    assert misfits(student, unet, align) == [] and any(changed(student, unet))
    assert macs(student, unet) == pytest.approx(fitted.ratio) == pytest.approx(ratio, abs=TOLERANCE)
    if name == "sd21":
        assert alignment(student, unet)["multiple_of_8"] == alignment(student, unet)["multiple_of_64"] == 1.0


def test_without_steps_they_are_not(odd: Any, coupled: Any) -> None:
    among = coupled("odd", "width")
    queue = [uniform(group.size, "nearest") for group in among]
    student = shaped(odd, among, fit(odd, among, queue, Budget.of(0.78), example_inputs(odd)).removed)
    assert float(alignment(student, odd)["multiple_of_8"] or 0) < 0.5


@pytest.mark.parametrize(("heads", "align"), [("whole", 64), ("width", 16), ("width", 8)])
def test_no_smaller_step_would_do(odd: Any, coupled: Any, heads: Heads, align: int) -> None:
    among = stepped(odd, coupled("odd", heads), align)
    for group in {(group.size, group.step, len(group.members)): group for group in among}.values():
        small = [n for n in {1, group.step // 2, group.step - 1} if 0 < n < min(group.step, group.size)]
        assert all(misfits(shaped(odd, [group], [n]), odd, align) for n in small), group.path
        if group.step < group.size:
            assert misfits(shaped(odd, [group], [group.step]), odd, align) == []


@pytest.mark.parametrize("heads", ["whole", "width"])
def test_steps_on_sd21(sd21: Any, coupled: Any, heads: Heads) -> None:
    steps = {group.path: group.step for group in stepped(sd21, coupled("sd21", heads), 64)}
    block = "down_blocks.0.attentions.0.transformer_blocks.0"
    assert steps["conv_in"] == steps["mid_block.resnets.0.conv1"] == 2  # of 32 channels, one in each norm group
    assert steps[f"{block}.ff.net.0.proj"] == steps[f"{block}.ff.net.2"] == steps["time_embedding.linear_1"] == 64
    assert steps[f"{block}.attn1.to_v"] == (1 if heads == "whole" else 64)  # a head of 64; of 64 channels, none


def test_a_head_is_no_narrower_than_a_multiple_even_if_all_heads_together_are(unet: Any, coupled: Any) -> None:
    steps = {group.path: group.step for group in stepped(unet, coupled("small", "width"), 8)}
    assert steps["mid_block.attentions.0.transformer_blocks.0.attn1.to_v"] == 8  # 4 heads: half would keep their sum


def test_any_width_is_a_multiple_of_one(odd: Any, coupled: Any) -> None:
    among = [replace(group, step=7) for group in (*coupled("odd", "whole"), *coupled("odd", "width"))]
    assert all(group.step == 1 for group in stepped(odd, among, 1))


# Gates


@pytest.mark.parametrize(("name", "align", "ratio"), [("sd21", 64, 0.64), ("odd", 16, 0.64), ("small", 8, 0.78)])
def test_all_widths_of_landed_experts_are_multiples_and_the_budget_is_met(
    networks: Any, costs: Any, name: str, align: int, ratio: float
) -> None:
    unet, cost = networks[name], costs(name)
    landed = landed_in_chunks(unet, cost, align, ratio)
    experts = [cut(unet, cost.space, keep) for keep in landed.keep]
    for expert in experts:
        assert misfits(expert, unet, align) == [] and any(changed(expert, unet))
        assert name != "sd21" or alignment(expert, unet)["multiple_of_8"] == 1.0
    real = [macs(expert, unet) for expert in experts]
    assert 0.6 * real[0] + 0.4 * real[1] == pytest.approx(landed.mean) == pytest.approx(ratio, abs=TOLERANCE)


@pytest.mark.parametrize("align", ALIGNS)
def test_chunks_stay_whole_where_gates_are_flipped_to_come_nearer(unet: Any, costs: Any, align: int) -> None:
    cost = costs("small")
    landed = next(each for seed in range(20) if (each := landed_in_chunks(unet, cost, align, 0.78, seed)).flips)
    for layer, size in zipped(unet, cost.space, align):
        assert all(int(closed) % size == 0 for closed in (~landed.keep[:, layer.span]).sum(1)), layer.path


@pytest.mark.parametrize("align", [16, 64])
def test_no_smaller_chunk_would_do(odd: Any, align: int) -> None:
    space = GateSpace.of(odd)
    first = {(layer.kind, layer.size, size): (layer, size) for layer, size in zipped(odd, space, align)}
    for layer, size in first.values():
        for closed in {1, size // 2, size - 1, size} - {0, layer.size}:
            keep = torch.ones(space.size, dtype=torch.bool)
            keep[layer.start : layer.start + closed] = False
            fits = misfits(cut(odd, space, keep), odd, align) == []
            assert fits == (closed % size == 0), (layer.path, closed, size)


def test_chunks_on_sd21(sd21: Any) -> None:
    space = GateSpace.of(sd21)
    sizes = {
        align: {
            (sd21.get_submodule(w.path).conv2.in_channels, size)
            for w, size in zipped(sd21, space, align)
            if w.kind == "resnet"
        }
        for align in ALIGNS
    }
    assert sizes == {
        8: {(320, 4), (640, 2), (1280, 1)},
        16: {(320, 8), (640, 4), (1280, 2)},
        64: {(320, 32), (640, 16), (1280, 8)},
    }
    assert all(size == 1 for w, size in zipped(sd21, space, 64) if w.kind.endswith("attention"))  # heads of 64


def test_what_cannot_be_cut_in_multiples_stays_whole(unet: Any, costs: Any) -> None:
    cost = costs("small")
    landed = landed_in_chunks(unet, cost, 64, 0.78)
    whole = [w for w, size in zipped(unet, cost.space, 64) if size == w.size]
    assert {unet.get_submodule(w.path).conv2.in_channels for w in whole if w.kind == "resnet"} == {32, 64}
    assert all(landed.keep[:, w.span].all() for w in whole)


def test_gates_are_dealt_by_their_logits_and_the_best_chunk_stays(unet: Any) -> None:
    space = GateSpace.of(unet)
    sizes = [4, *[1] * (len(space.widths) - 1)]
    logits = codes(space)
    levels, names = dealt(logits, space, sizes)
    span = space.widths[0].span
    for row in range(2):
        given, level, name = logits[row, span], levels[row, span], names[row, span]
        order = given.argsort()
        for i, four in enumerate(order.split(4)):
            assert name[four].unique().numel() == 1
            assert int(name[four[0]]) == row * space.size + span.start + int(four[0])
            best = i == len(order) // 4 - 1
            assert level[four].tolist() == pytest.approx([math.inf if best else float(given[four].mean())] * 4)
    other = torch.ones_like(logits, dtype=torch.bool)
    other[:, span] = False
    assert torch.equal(levels[other], logits[other])
    assert torch.equal(names[other], torch.arange(logits.numel()).view_as(names)[other])


def test_gates_that_close_one_by_one_are_left_alone(unet: Any) -> None:
    space = GateSpace.of(unet)
    ones = chunks(unet, space, 1)
    logits = codes(space)
    before = logits.clone()
    levels, names = dealt(logits, space, ones)
    assert set(ones) == {1} and torch.equal(levels, before) and torch.equal(logits, before)
    assert names.flatten().tolist() == list(range(logits.numel()))
