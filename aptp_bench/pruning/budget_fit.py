"""How many units each group of coupled channels loses, so that the network meets a budget.

Units stand in one queue, by the ratio at which a uniform cut would take them or by their scores; where a group loses
several at once, such a step has one place. They go in that order as long as the budget allows; a step that would
overshoot is passed over, and its group stays there, while finer ones go on. So the widths are those of a uniform cut
but for the last percent, where a step of a uniform cut is too coarse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from aptp_bench.budget import TOLERANCE, Budget
from aptp_bench.errors import BudgetError
from aptp_bench.pruning.coupled import Group, cut, weakest
from aptp_bench.pruning.macs import ExampleInputs, MacCount, count
from aptp_bench.pruning.surgery import meta_clone

Rounding = Literal["up", "nearest"]

CLOSE = 5e-5  # of the dense MACs: no unit is removed for less
ROUNDS = 6  # counts of a candidate at most; two or three do


@dataclass(frozen=True)
class Fitted:
    """removed: units that each group loses; ratio: the share of the dense MACs that stays, counted."""

    removed: tuple[int, ...]
    ratio: float


def uniform(size: int, rounding: Rounding, step: int = 1) -> Tensor:
    """The ratios above which a layer of `size` units loses its first, second, ... step: [(size - 1) // step], float64.

    up: a started step is made, as in torch-pruning; nearest: one is made from its half on.
    """
    begun = torch.arange((size - 1) // step, dtype=torch.float64)
    return (begun + (0.5 if rounding == "nearest" else 0.0)) * step / size


def ranked(score: Tensor, step: int = 1) -> Tensor:
    """score: [size] -> the places in the queue of a global ranking, [(size - 1) // step].

    A step's units, in the order of their scores, have the mean of them, divided by that of all.
    """
    steps = (len(score) - 1) // step
    lowest = score.sort().values[: steps * step].unflatten(0, (steps, step)).mean(1)
    return lowest / score.mean().clamp(min=torch.finfo(score.dtype).tiny)


def fit(
    unet: UNet2DConditionModel, among: Sequence[Group], queue: Sequence[Tensor], budget: Budget, inputs: ExampleInputs
) -> Fitted:
    """Removals that meet `budget` within its tolerance. queue: a group each, the rising places of its steps.

    Works on the meta device: weights are not read. Raises BudgetError, with the nearest budgets that can be had, if no
    combination is found.
    """
    tries = _tries(meta_clone(unet), among, _order(among, queue), budget, inputs)
    best = min(tries, key=lambda fitted: abs(budget.missed_by(fitted.ratio)))
    if abs(budget.missed_by(best.ratio)) > TOLERANCE:
        raise BudgetError(_missed([fitted.ratio for fitted in tries], budget))
    return best


def _tries(
    geometry: UNet2DConditionModel, among: Sequence[Group], order: list[int], budget: Budget, inputs: ExampleInputs
) -> list[Fitted]:
    """Candidates, each aimed anew by what the last one really cost; where none is close, one step more at the end."""
    whole, tries = count(geometry, inputs, budget.convention), list[Fitted]()
    dense = whole.total

    def counted(removed: tuple[int, ...]) -> Fitted:
        left = count(shaped(geometry, among, removed), inputs, budget.convention).total
        return Fitted(removed, left / dense)

    target = budget.ratio * dense
    for _ in range(ROUNDS):
        removed, coarse = _walk(_Estimate.of(geometry, among, whole), order, target, CLOSE * dense)
        if tries and tries[-1].removed == removed:
            break
        tries.append(counted(removed))
        missed = budget.missed_by(tries[-1].ratio)
        if abs(missed) <= 2 * CLOSE:
            return tries
        target -= missed * dense  # the estimate leaves biases and activations out
    if coarse is not None:
        tries.append(counted(tuple(n + among[i].step * (i == coarse) for i, n in enumerate(removed))))
    return tries


def shaped(unet: UNet2DConditionModel, among: Sequence[Group], removed: Sequence[int]) -> UNet2DConditionModel:
    """A copy of `unet` that has lost its last units, `removed` of each group: for counting, on the meta device."""
    keep = [weakest(-torch.arange(group.size), n) for group, n in zip(among, removed, strict=True)]
    return cut(unet, among, keep)


@dataclass
class _Estimate:
    """A running estimate of the MACs while units go: of a layer, a rate times its width in times its width out.

    Exact in the convention `exact`; elsewhere biases and activations are missing, which a count of the result shows.
    layers: [rate, width in, width out] of each; touched: group -> (layer, its channels in and out that go in a step);
    removed: units that each group has lost, in steps of `steps`.
    """

    total: float
    layers: list[list[float]]
    touched: list[list[tuple[int, int, int]]]
    steps: list[int]
    removed: list[int]

    @classmethod
    def of(cls, geometry: UNet2DConditionModel, among: Sequence[Group], dense: MacCount) -> _Estimate:
        found = {path: _widths(m) for path, m in geometry.named_modules() if dense.by_module.get(path)}
        widths = {path: pair for path, pair in found.items() if pair is not None}
        index = {path: i for i, path in enumerate(widths)}
        layers = [[dense.by_module[path] / (a * b), a, b] for path, (a, b) in widths.items()]
        touched = [_touched(group, index) for group in among]
        return cls(float(dense.total), layers, touched, [group.step for group in among], [0] * len(among))

    def step(self, group: int) -> float:
        """MACs that one more step of the group is worth."""
        cost = 0.0
        for layer, less_in, less_out in self.touched[group]:
            rate, a, b = self.layers[layer]
            cost += rate * (a * b - (a - less_in) * (b - less_out))
        return cost

    def remove(self, group: int) -> None:
        """Take one step's units away."""
        self.total -= self.step(group)
        self.removed[group] += self.steps[group]
        for layer, less_in, less_out in self.touched[group]:
            self.layers[layer][1] -= less_in
            self.layers[layer][2] -= less_out


def _widths(module: Any) -> tuple[int, int] | None:
    """What a module's cost is proportional to: channels in, channels out (or one of them, where it has but one)."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        return module.weight.shape[1], module.weight.shape[0]
    if isinstance(module, (nn.GroupNorm, nn.LayerNorm)):
        return 1, len(module.weight)
    return (1, module.to_q.out_features) if isinstance(module, Attention) else None


def _touched(group: Group, index: dict[str, int]) -> list[tuple[int, int, int]]:
    going: dict[str, list[int]] = {}
    for member in group.members:
        channels = group.step * len(member.at) // group.size
        going.setdefault(member.layer, [0, 0])[1 if member.side == "out" else 0] += channels
        if member.side == "out" and member.layer.endswith(".to_q"):
            going[member.layer.removesuffix(".to_q")] = [0, channels]  # the matmuls of attention are as wide
    return [(index[path], wide, long) for path, (wide, long) in going.items() if path in index]


def _order(among: Sequence[Group], queue: Sequence[Tensor]) -> list[int]:
    """The queue: the group of each step that may be made, by place; at one place in the order of the groups."""
    free = [
        place[: (group.size - group.least) // group.step].double() for group, place in zip(among, queue, strict=True)
    ]
    places = torch.cat(free)
    owners = torch.arange(len(free)).repeat_interleave(torch.tensor([len(place) for place in free]))
    return owners[places.argsort(stable=True)].tolist()


def _walk(estimate: _Estimate, order: list[int], target: float, close: float) -> tuple[tuple[int, ...], int | None]:
    """Units of each group that go until `close` above `target`; the group passed over that misses it by least."""
    passed = set[int]()
    for group in order:
        spare = estimate.total - target
        if spare <= close:
            break
        if group not in passed and estimate.step(group) <= spare:
            estimate.remove(group)
        else:
            passed.add(group)
    return tuple(estimate.removed), min(passed, key=estimate.step, default=None)


def _missed(ratios: list[float], budget: Budget) -> str:
    above = min((ratio for ratio in ratios if ratio > budget.ratio), default=None)
    below = max((ratio for ratio in ratios if ratio <= budget.ratio), default=None)
    if below is None:
        return f"the leanest network costs {above:.4f} of the dense MACs ({budget.convention}); raise --budget"
    near = " or ".join(f"{ratio:.4f}" for ratio in (above, below) if ratio is not None)
    return f"no widths cost {budget.ratio:g} of the dense MACs ({budget.convention}); the nearest are --budget {near}"
