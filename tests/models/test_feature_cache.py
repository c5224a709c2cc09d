"""Calls that reuse: the same answer to the same question, the deep layers asleep, and no trace afterwards."""

from __future__ import annotations

import copy
import gc
import weakref
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from diffusers.hooks import HookRegistry, ModelHook

from aptp_bench.errors import PruningError
from aptp_bench.models.feature_cache import branches, following, left_out, reusing
from aptp_bench.pruning.gates import GateSpace, guarded
from aptp_bench.pruning.substitutes import SkipTransformer, Zeros
from aptp_bench.pruning.surgery import cut, substitute_

DEEP: dict[str, Any] = {
    "block_out_channels": (16, 16, 32),
    "attention_head_dim": [2, 2, 4],
    "layers_per_block": 2,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"),
    "addition_embed_type": None,
}


@pytest.fixture(scope="module")
def deep(build: Any) -> Any:
    """Three levels of two layers, with attention in some."""
    return build(**DEEP)


def every_branch(unet: Any) -> range:
    return range(branches(unet))


@torch.no_grad()
def output(unet: Any, given: dict[str, Any]) -> torch.Tensor:
    return unet(**given).sample


def test_there_is_a_branch_for_every_skip_and_deeper_ones_leave_out_less(deep: Any) -> None:
    assert branches(deep) == 9  # conv_in, six layers, two downsamplers
    sizes = []
    for branch in every_branch(deep):
        paths = left_out(deep, branch)
        assert not [one for one in paths for other in paths if one.startswith(f"{other}.")]
        sizes.append(sum(p.numel() for path in paths for p in deep.get_submodule(path).parameters()))
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == len(sizes)
    assert left_out(deep, 8) == ["mid_block"]
    reused = [left_out(deep, branch)[-1] for branch in (0, 1, 2, 3)]
    inside = ["up_blocks.2.attentions.1", "up_blocks.2.attentions.0"]
    assert reused == [
        *inside,
        "up_blocks.1",
        "up_blocks.1.resnets.1",
    ]  # a block's output comes from where it samples up


def test_what_is_computed_matters_and_what_is_left_out_does_not(build: Any, inputs: Any) -> None:
    unet, given = build(**DEEP), inputs(1)
    for branch in every_branch(unet):
        unet.zero_grad(set_to_none=True)
        with reusing(unet, branch) as turn:
            output(unet, given)
            turn.full = False
            unet(**given).sample.square().sum().backward()
        asleep = tuple(f"{path}." for path in left_out(unet, branch))
        for name, parameter in unet.named_parameters():
            assert (parameter.grad is None) == name.startswith(asleep), (branch, name)


@pytest.mark.parametrize("size", [8, 12, 10])  # 10: no multiple of what three levels need, so sizes are handed up
def test_asked_the_same_a_call_that_reuses_answers_the_same(deep: Any, inputs: Any, size: int) -> None:
    given = inputs(2, size=size)
    plain = output(deep, given)
    for branch in every_branch(deep):
        with reusing(deep, branch) as turn:
            full = output(deep, given)
            turn.full = False
            assert torch.equal(full, plain) and torch.equal(output(deep, given), plain), branch


def test_pruned_and_substituted_networks_reuse_too(deep: Any, inputs: Any) -> None:
    space = GateSpace.of(deep)
    pruned = cut(deep, space, guarded(torch.rand(space.size) < 0.5, space))
    substitute_(pruned, "up_blocks.2.attentions.0", SkipTransformer())
    substitute_(pruned, "mid_block.attentions.0.transformer_blocks.0.attn2", Zeros())
    given = inputs(1)
    for branch in every_branch(pruned):
        with reusing(pruned, branch) as turn:
            full = output(pruned, given)
            turn.full = False
            assert torch.equal(output(pruned, given), full)


def test_what_is_reused_is_what_the_layer_below_gave_in_the_last_full_call(deep: Any, inputs: Any) -> None:
    """By another way: every layer works, and a hook of torch's puts the old feature where the skip is taken."""
    before, now = inputs(1), inputs(1)
    for branch in every_branch(deep):
        other = copy.deepcopy(deep)
        seen: list[Any] = []
        below = other.get_submodule(left_out(other, branch)[-1])
        handle = below.register_forward_hook(lambda *call, seen=seen: seen.append(call[-1]))
        output(other, before)
        handle.remove()
        below.register_forward_hook(lambda *_, seen=seen: seen[0])
        with reusing(deep, branch) as turn:
            for given in (now, before):  # the last full one counts
                output(deep, given)
            turn.full = False
            found = output(deep, now)
        assert torch.equal(found, output(other, now)), branch
        assert not torch.equal(found, output(deep, now))


def test_calls_follow_the_turns(deep: Any, inputs: Any) -> None:
    worked: list[None] = []
    handle = deep.mid_block.resnets[0].register_forward_hook(lambda *_: worked.append(None))
    counts = []
    with following(deep, 2, [True, False, False, True, False]):
        for _ in range(5):
            output(deep, inputs(1))
            counts.append(len(worked))
    handle.remove()
    assert counts == [1, 1, 1, 2, 2]


@pytest.mark.parametrize("fails", [False, True])
def test_afterwards_the_network_is_as_it_was(build: Any, inputs: Any, fails: bool) -> None:
    deep, given = build(**DEEP), inputs(1)
    before = {name: set(vars(module)) for name, module in deep.named_modules()}
    plain = output(deep, given)
    with pytest.raises(KeyboardInterrupt) if fails else nullcontext(), following(deep, 4, [True, False]):
        output(deep, inputs(1))
        if fails:
            raise KeyboardInterrupt
        output(deep, given)
    assert {name: set(vars(module)) for name, module in deep.named_modules()} == before
    assert torch.equal(output(deep, given), plain)


def test_hooks_of_others_stay(deep: Any, inputs: Any) -> None:
    class Counts(ModelHook):
        seen = 0

        def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> Any:
            self.seen += 1
            return args, kwargs

    unet, counts = copy.deepcopy(deep), Counts()
    HookRegistry.check_if_exists_or_initialize(unet.mid_block).register_hook(counts, "counts")
    with following(unet, 4, [True]):
        output(unet, inputs(1))
    output(unet, inputs(1))
    assert counts.seen == 2


def test_no_feature_outlives_the_calls(deep: Any, inputs: Any) -> None:
    seen: list[Any] = []
    below = deep.get_submodule(left_out(deep, 1)[-1])
    handle = below.register_forward_hook(lambda *call: seen.append(weakref.ref(call[-1][0])))
    gc.disable()  # memory of a card is not to wait for the collector
    try:
        with following(deep, 1, [True, False]):
            output(deep, inputs(1))
            assert seen[0]() is not None
        assert seen[0]() is None
    finally:
        gc.enable()
        handle.remove()


def test_what_cannot_be_reused_is_refused(deep: Any, build: Any) -> None:
    with pytest.raises(PruningError, match="branch 9 is not there; take one from 0 to 8"):
        left_out(deep, 9)
    with pytest.raises(PruningError, match="cannot be reused"):
        branches(build(mid_block_type=None))
