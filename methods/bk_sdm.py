"""BK-SDM: whole layers are removed; what is left keeps the dense network's weights and learns from its features.

Paper: Kim, Song, Castells, Choi, "BK-SDM: A Lightweight, Fast, and Cheap Version of Stable Diffusion", ECCV 2024,
arXiv:2305.15798, Section 3. Ours differs: the paper has three networks, Base, Small and Tiny; here a budget chooses
among all that its removals can make (48 for Stable Diffusion, these three and the dense one among them).

A decoder stage of l + 1 layers consumes what an encoder stage of l layers leaves, so the two shrink together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from aptp_bench.budget import TOLERANCE, Budget, Convention
from aptp_bench.errors import BudgetError, ConfigError, PruningError
from aptp_bench.plugins import Forecast, Job, Method, PluginConfig, Sketch

if TYPE_CHECKING:
    import torch
    from diffusers import UNet2DConditionModel

    from aptp_bench.models.mixture import Mixture
    from aptp_bench.pruning.macs import ExampleInputs

BLOCKS = {"DownBlock2D", "CrossAttnDownBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"}
SIZES = (
    "block_out_channels", "attention_head_dim", "num_attention_heads", "cross_attention_dim",
    "transformer_layers_per_block", "only_cross_attention",
)  # fmt: skip
"""Settings of a U-Net that are one value, or one a stage from the outermost on."""


class BKSDMConfig(PluginConfig):
    """Which network of the family is taken."""

    variant: Literal["budget", "base", "small", "tiny", "paper-cc3m", "paper-coco"] = Field(
        "budget",
        description="budget: the member that the budget asks for; base, small, tiny: the paper's, whatever the budget; "
        "paper-cc3m, paper-coco: those that cost what the APTP paper prints for BK-SDM, layers removed everywhere but "
        "in the outermost stage, or there only (inferred from the numbers)",
    )
    order: Literal["nearest", "inner"] = Field(
        "nearest",
        description="of variant=budget. nearest: among all members; inner: among those on one path, which removes the "
        "mid block, then layers from the innermost stage outwards, then the innermost stage",
    )
    side: Literal["below", "either"] = Field(
        "below", description="of variant=budget. below: at most the budget + 0.5 %; either: it may cost more if nearer"
    )


class BKSDM(Method):
    """Whole layers, the mid block or the innermost stage removed; the teacher's weights inherited."""

    name = "bk_sdm"
    title = "BK-SDM"
    paper = (
        "Kim et al., BK-SDM: A Lightweight, Fast, and Cheap Version of Stable Diffusion, ECCV 2024, arXiv:2305.15798"
    )
    Config = BKSDMConfig
    config: BKSDMConfig
    finetuning: ClassVar[dict[str, Any]] = {
        "alpha_ddpm": 1.0,
        "alpha_distill": 1.0,
        "blocks": "sum",
        "mid_block": False,
        "snr_gamma": None,
    }

    def forecast(self, sketch: Sketch) -> Forecast | None:
        """It runs no network: members of the family are counted, of which each keeps another share of the parameters."""
        c, budget = self.config, sketch.budget
        asked = f"{c.order}, {c.side}, {budget.ratio:g} {budget.convention}" if c.variant == "budget" else c.variant

        def kept() -> int:
            try:
                return chosen(sketch.unet(), sketch.tokens, budget, c)[0].parameters
            except (BudgetError, ConfigError, PruningError):
                return 0  # `prune` says why; a number, so that this too is found once

        def whole() -> int:
            return sum(p.numel() for p in sketch.unet().parameters())

        parameters = sketch.noted(f"bk_sdm parameters, {asked}", kept)
        return Forecast(size=parameters / sketch.noted("parameters unet", whole)) if parameters else None

    def prune(self, job: Job) -> Mixture:
        """The chosen member, with a remark if it misses the budget by more than the tolerance.

        Raises BudgetError if every member costs more, PruningError if the U-Net is not of Stable Diffusion's kind,
        ConfigError if the variant does not fit it.
        """
        from aptp_bench.models.mixture import Mixture  # imported late: torch is not needed to list methods

        unet, variant = job.teacher.unet, self.config.variant
        offer, pool = chosen(unet, job.tokens, job.budget, self.config)
        if variant == "budget":
            remark = _why_not_nearer(offer, pool, job.budget)
        else:
            remark = _off(offer, job.budget, f"{variant} is {offer.member} whatever the budget")
        return Mixture.of_one(build(unet, offer.member), remark)


@dataclass(frozen=True)
class Member:
    """One network of the family: layers of each encoder stage, the outermost first, and whether it has a mid block."""

    layers: tuple[int, ...]
    mid: bool

    def __str__(self) -> str:
        """For example "(1,1,1) without mid block", which is Tiny."""
        return f"({','.join(map(str, self.layers))}) {'with' if self.mid else 'without'} mid block"

    def config(self, teacher: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration of the teacher's U-Net, changed to this member's."""
        n = len(self.layers)
        config = {key: value for key, value in teacher.items() if not key.startswith("_")}
        config |= {key: config[key][:n] for key in SIZES if isinstance(config[key], (list, tuple))}
        config |= {"down_block_types": config["down_block_types"][:n], "up_block_types": config["up_block_types"][-n:]}
        return config | {"layers_per_block": list(self.layers), **({} if self.mid else {"mid_block_type": None})}

    def source(self, name: str, whole: Member) -> str:
        """The name in the dense network of what this member calls `name`.

        Decoder stages correspond from the output on; the last layer of one, which meets the outer stage's width in its
        skip, is the dense network's last.
        """
        found = re.fullmatch(r"up_blocks\.(\d+)\.(?:(resnets|attentions)\.(\d+)\.)?(.+)", name)
        if found is None:
            return name
        stage, kind, layer, rest = int(found[1]), found[2], found[3], found[4]
        up = f"up_blocks.{stage + len(whole.layers) - len(self.layers)}"
        if kind is None:
            return f"{up}.{rest}"
        level = len(self.layers) - 1 - stage
        last = int(layer) == self.layers[level]
        return f"{up}.{kind}.{whole.layers[level] if last else layer}.{rest}"

    def without(self, member: Member) -> list[str]:
        """Paths of the modules of this network that go in `member`, which has as many stages and no more layers."""
        gone = ["mid_block"] if self.mid and not member.mid else []
        for level, (kept, there) in enumerate(zip(member.layers, self.layers, strict=True)):
            blocks = (f"down_blocks.{level}", f"up_blocks.{len(self.layers) - 1 - level}")
            units = product(blocks, ("resnets", "attentions"), range(kept, there))
            gone += [f"{block}.{kind}.{layer}" for block, kind, layer in units]
        return gone


@dataclass(frozen=True)
class Offer:
    """A member and its price: MACs of one pass, these as a share of the dense network's, and parameters."""

    member: Member
    macs: int
    ratio: float
    parameters: int


def dense(unet: UNet2DConditionModel) -> Member:
    """The member that is the U-Net itself. Raises PruningError unless it is of Stable Diffusion's kind, and whole."""
    config = unet.config
    odd = sorted({*config["down_block_types"], *config["up_block_types"]} - BLOCKS)
    if odd or config["reverse_transformer_layers_per_block"] is not None:
        what = ", ".join(odd) or "a decoder unlike its encoder"
        raise PruningError(f"bk_sdm removes layers of Stable Diffusion's blocks, not of {what}; use another --method")
    layers = _by_stage(config["layers_per_block"], len(config["down_block_types"]))
    whole = Member(tuple(layers), config["mid_block_type"] is not None)
    if odd := sorted(_shapes(unet) ^ _shapes(_skeleton(unet, whole))):
        raise PruningError(f"bk_sdm needs a dense U-Net, and '{odd[0][0]}' of this one was cut; give the teacher")
    return whole


def family(unet: UNet2DConditionModel, whole: Member) -> list[Member]:
    """All members: 1 to all layers in each stage, with and without mid block, with and without the innermost stage.

    The innermost stage can go where the next one has the same sizes, so that the weights around it fit each other.
    """
    n = len(whole.layers)
    sizes = [_by_stage(unet.config[key], n) for key in SIZES]
    depths = [n, n - 1] if n > 1 and all(values[-1] == values[-2] for values in sizes) else [n]
    return [
        Member(layers, mid)
        for depth in depths
        for layers in product(*(range(most, 0, -1) for most in whole.layers[:depth]))
        for mid in ([True, False] if whole.mid else [False])
    ]


def path(whole: Member, members: Iterable[Member]) -> list[Member]:
    """Those of `members` on the way from the dense one to the smallest, each with one thing less than the one before.

    First the mid block goes, then layers from the innermost stage outwards, then the innermost stage: what the paper
    finds to matter least goes first.
    """
    layers = list(whole.layers)
    steps = [whole, Member(whole.layers, False)]
    for level in reversed(range(len(layers))):
        while layers[level] > 1:
            layers[level] -= 1
            steps.append(Member(tuple(layers), False))
    steps.append(Member(tuple(layers[:-1]), False))
    allowed = set(members)
    return [member for member in dict.fromkeys(steps) if member in allowed]


def fixed(variant: str, whole: Member, members: Iterable[Member]) -> Member:
    """The member of that name. Raises ConfigError if the dense network cannot be cut to it, or is it already."""
    ones = (1,) * len(whole.layers)
    member = {
        "base": Member(ones, True),
        "small": Member(ones, False),
        "tiny": Member(ones[1:], False),
        "paper-cc3m": Member((*whole.layers[:1], *ones[1:]), True),
        "paper-coco": Member((*ones[:1], *whole.layers[1:]), True),
    }[variant]
    if member == whole or member not in set(members):
        raise ConfigError(f"variant={variant} is {member}, which {whole} cannot be cut to; use variant=budget")
    return member


def priced(
    unet: UNet2DConditionModel, whole: Member, inputs: ExampleInputs, convention: Convention
) -> dict[Member, Offer]:
    """Every member of the family and its price, the dense one first. Raises CountError as `count` does.

    What a layer costs does not depend on which others there are: one count with and one without the innermost stage
    give every price exactly.
    """
    from aptp_bench.pruning.macs import count
    from aptp_bench.pruning.surgery import meta_clone

    members, twin = family(unet, whole), meta_clone(unet)
    total = count(twin, inputs, convention).total
    offers: dict[Member, Offer] = {}
    for most in dict.fromkeys(Member(whole.layers[: len(member.layers)], whole.mid) for member in members):
        network = build(twin, most)
        macs = count(network, inputs, convention).by_module
        sizes = {name: p.numel() for name, p in network.named_parameters()}
        for member in (m for m in members if len(m.layers) == len(most.layers)):
            left, parameters = (_left(amounts, most.without(member)) for amounts in (macs, sizes))
            offers[member] = Offer(member, left, left / total, parameters)
    return offers


def chosen(unet: Any, tokens: int, budget: Budget, config: BKSDMConfig) -> tuple[Offer, list[Offer]]:
    """The member that the settings ask for, and those that it was chosen from. unet: on the meta device or not."""
    from aptp_bench.pruning.macs import example_inputs

    whole = dense(unet)
    offers = priced(unet, whole, example_inputs(unet, tokens=tokens), budget.convention)
    if config.variant != "budget":
        return offers[fixed(config.variant, whole, offers)], list(offers.values())
    pool = [offers[member] for member in (offers if config.order == "nearest" else path(whole, offers))]
    return nearest(pool, budget, config.side), pool


def nearest(offers: Iterable[Offer], budget: Budget, side: Literal["below", "either"]) -> Offer:
    """The offer with the smallest |MACs - budget|; of two as near, the one with more parameters.

    side: "below" leaves out what is above the budget by more than the tolerance. Raises BudgetError if all are.
    """
    offers = list(offers)
    allowed = [o for o in offers if side == "either" or budget.missed_by(o.ratio) <= TOLERANCE]
    if not allowed:
        least = min(offers, key=lambda o: o.macs)
        raise BudgetError(
            f"BK-SDM removes whole layers and has nothing below {least.member} at {least.ratio:.4f} of the dense "
            f"{budget.convention} MACs; use --budget {least.ratio:.2f} or more, or another --method"
        )
    return min(allowed, key=lambda o: (abs(budget.missed_by(o.ratio)), -o.parameters))


def build(unet: UNet2DConditionModel, member: Member) -> UNet2DConditionModel:
    """A member with copies of the teacher's weights, on its device, in its dtype, eval mode, frozen; meta or not.

    Raises PruningError if the teacher lacks a tensor that the member needs, or has it in another shape.
    """
    student, given = _skeleton(unet, member), unet.state_dict()
    config = unet.config
    whole = Member(tuple(_by_stage(config["layers_per_block"], len(config["down_block_types"]))), True)
    tensors: dict[str, torch.Tensor] = {}
    for name, wanted in student.state_dict().items():
        source = member.source(name, whole)
        if source not in given or given[source].shape != wanted.shape:
            raise PruningError(f"the teacher has no '{source}' that fits '{name}' of {member}; use another variant")
        tensors[name] = given[source].clone()
    student.load_state_dict(tensors, assign=True)
    return student.eval().requires_grad_(False)


def _skeleton(unet: UNet2DConditionModel, member: Member) -> Any:
    """The member on the meta device: its shapes, no numbers."""
    from aptp_bench.models.checkpoint import skeleton

    return skeleton(member.config(unet.config))


def _shapes(unet: Any) -> set[tuple[str, tuple[int, ...]]]:
    return {(name, tuple(tensor.shape)) for name, tensor in unet.state_dict().items()}


def _by_stage(value: Any, n: int) -> list[Any]:
    """A setting of n stages that is given once or for each."""
    return list(value) if isinstance(value, (list, tuple)) else [value] * n


def _left(amounts: Mapping[str, int], gone: Iterable[str]) -> int:
    """Sum of the amounts, by path, that do not lie in the modules `gone`."""
    prefixes = tuple(f"{at}." for at in gone)
    return sum(amount for name, amount in amounts.items() if not name.startswith(prefixes))


def _off(offer: Offer, budget: Budget, why: str, more: str = "") -> str:
    """One line on how far an offer is from the budget; empty within the tolerance."""
    missed = budget.missed_by(offer.ratio)
    if abs(missed) <= TOLERANCE:
        return ""
    side = "above" if missed > 0 else "below"
    cost = f"{offer.ratio:.4f} of the dense {budget.convention} MACs, {abs(missed):.2%} {side} the budget"
    return f"BK-SDM {why}: {cost} {budget.ratio:g}{more}"


def _why_not_nearer(offer: Offer, pool: Iterable[Offer], budget: Budget) -> str:
    """The remark on a choice by budget, with the nearest one on the budget's other side."""
    sign = 1 if budget.missed_by(offer.ratio) < 0 else -1
    others = [o for o in pool if sign * budget.missed_by(o.ratio) > 0]
    other = min(others, key=lambda o: sign * o.ratio, default=None)
    side = "above" if sign > 0 else "below"
    more = f"; the nearest {side} is {other.member} at {other.ratio:.4f}" if other else f"; none is {side}"
    return _off(offer, budget, f"removes whole layers, the nearest is {offer.member}", more)
