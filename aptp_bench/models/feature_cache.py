"""Calls of a U-Net that reuse what its deep layers gave in an earlier call, on diffusers' hooks.

Ma et al., "DeepCache: Accelerating Diffusion Models for Free", CVPR 2024, arXiv:2312.00858, Section 3.2. A skip connection
hands what a layer of the way down made to one layer of the way up. A call that reuses at branch m computes conv_in, the
m steps of the way down behind it, and the way up from the layer that takes skip m; what that layer gets from below is
what it got in the last full call. Branches are counted from 0, the outermost skip.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from diffusers.hooks import HookRegistry, ModelHook
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from aptp_bench.errors import PruningError

NAME = "aptp_bench_feature_cache"


def branches(unet: UNet2DConditionModel) -> int:
    """How many branches there are to reuse at. Raises PruningError for a U-Net whose skips do not pair off."""
    made = 1 + sum(len(steps) for _, steps in _way_down(unet))
    taken = sum(len(layers) for _, layers in _way_up(unet))
    if made != taken or unet.mid_block is None:
        raise PruningError(f"features of this U-Net cannot be reused: {made} skips for {taken} layers of the way up")
    return made


def left_out(unet: UNet2DConditionModel, branch: int) -> list[str]:
    """Paths of what a call that reuses at `branch` does not compute, none inside another, in the order of work.

    What the last one gives is what is reused. Raises PruningError for a branch that is not there.
    """
    if not 0 <= branch < branches(unet):
        raise PruningError(f"branch {branch} is not there; take one from 0 to {branches(unet) - 1}")
    paths, kept, dropped = [], branch, branches(unet) - 1 - branch
    for block, steps in _way_down(unet):
        paths += [path for step in steps[kept:] for path in step] if kept > 0 else [block]
        kept -= len(steps)
    paths.append("mid_block")
    for block, layers in _way_up(unet):
        paths += [block] if dropped >= len(layers) else [path for layer in layers[: max(dropped, 0)] for path in layer]
        dropped -= len(layers)
    return paths


class Turn:
    """Whether the calls to come compute the whole network; a first one must, before others can reuse anything."""

    full: bool = True


@contextmanager
def reusing(unet: UNet2DConditionModel, branch: int) -> Iterator[Turn]:
    """While entered, `unet` computes what the Turn says. Afterwards it is as it was, and nothing of its calls is left."""
    *placeholders, reused = [unet.get_submodule(path) for path in left_out(unet, branch)]
    turn = Turn()
    with ExitStack() as stack:
        for module in placeholders:
            stack.enter_context(_hooked(module, _Deep(turn, whole=False)))
        stack.enter_context(_hooked(reused, _Deep(turn, whole=True)))
        yield turn


@contextmanager
def following(unet: UNet2DConditionModel, branch: int, turns: Sequence[bool]) -> Iterator[None]:
    """While entered, the calls of `unet` are the `turns` in their order: True a full one, False one that reuses."""
    with reusing(unet, branch) as turn, _hooked(unet, _Turns(turn, turns)):
        yield


class _Deep(ModelHook):
    """On what is left out: a full call runs it and keeps what it gives, the others give that again.

    whole: keep tensors, else their shapes alone, for nobody reads them.
    """

    def __init__(self, turn: Turn, whole: bool) -> None:
        super().__init__()
        self.turn, self.whole = turn, whole
        self.kept: Any = None

    def new_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """What stands in for the module's forward."""
        if not self.turn.full:
            return self.kept
        self.kept = None  # or two calls' features were in memory at once
        forward: Any = self.fn_ref.original_forward
        given = forward(*args, **kwargs)
        self.kept = given if self.whole else tree_map_only(Tensor, _shape_alone, given)
        return given


class _Turns(ModelHook):
    """On the U-Net: each of its calls is the next of the turns."""

    def __init__(self, turn: Turn, turns: Sequence[bool]) -> None:
        super().__init__()
        self.turn, self.turns = turn, iter(turns)

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Before a call."""
        self.turn.full = next(self.turns)
        return args, kwargs


@contextmanager
def _hooked(module: nn.Module, hook: _Deep | _Turns) -> Iterator[None]:
    before = set(vars(module))
    registry = HookRegistry.check_if_exists_or_initialize(module)
    registry.register_hook(hook, NAME)
    try:
        yield
    finally:
        registry.remove_hook(NAME, recurse=False)
        hook.__dict__.pop("kept", None)  # hooks lie in circles of references, which live on for a while
        for name in set(vars(module)) - before:  # diffusers leaves its registry and a forward
            delattr(module, name)


def _shape_alone(tensor: Tensor) -> Tensor:
    """A tensor of that shape that holds one number."""
    return torch.zeros((), dtype=tensor.dtype, device=tensor.device).expand(tensor.shape)


Way = list[tuple[str, list[list[str]]]]  # of each block its path, and the paths of each of its steps


def _way_down(unet: Any) -> Way:
    """Every step leaves a skip."""
    return [(path, _layers(path, block) + _sampling(path, block)) for path, block in _blocks(unet, "down_blocks")]


def _way_up(unet: Any) -> Way:
    """Every step takes a skip; what samples up belongs to the block, behind its steps."""
    return [(path, _layers(path, block)) for path, block in _blocks(unet, "up_blocks")]


def _blocks(unet: Any, side: str) -> list[tuple[str, Any]]:
    return [(f"{side}.{i}", block) for i, block in enumerate(getattr(unet, side))]


def _layers(path: str, block: Any) -> list[list[str]]:
    kinds = [kind for kind in ("resnets", "attentions") if getattr(block, kind, None)]
    return [[f"{path}.{kind}.{i}" for kind in kinds] for i in range(len(block.resnets))]


def _sampling(path: str, block: Any) -> list[list[str]]:
    return [[f"{path}.downsamplers.{i}" for i in range(len(block.downsamplers))]] if block.downsamplers else []
