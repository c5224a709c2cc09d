"""A ResBlock's gate before its GroupNorm is divided out again: what the search cannot see, and what that did."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aptp_bench import records, registry
from aptp_bench.benchmarks.audit.finding import Check, Place, quality, table
from aptp_bench.core.noise import generator
from aptp_bench.pruning.gates import GateSpace, Placement, gated, guarded
from aptp_bench.pruning.surgery import cut
from aptp_bench.records import Record
from aptp_bench.reporting.ranking.entries import Entry

PLACEMENTS: tuple[Placement, ...] = ("consumer", "before_norm")
SHOWN = ("fid", "clip_score", "cmmd", "pick_score")
BATCH = 4


def measure(place: Place) -> dict[str, Any]:
    """Gates of ResBlocks on the mini model in float64: what a half-open one changes, its gradient, gated against cut."""
    unet = registry.get("models", "mini-sd")().load().unet.double()
    space = GateSpace.of(unet)
    facts = {each: _effects(unet, space, each) for each in PLACEMENTS}
    return {"effects": facts, "runs": _runs(place)}


def lines(facts: dict[str, Any]) -> list[str]:
    """Both tables."""
    effects = [
        ["ResBlock gates at 0.5: relative change of the output", *_row(facts, "change")],
        ["root mean square of the gates' gradients", *_row(facts, "gradient")],
        ["half of all gates closed: gated against cut, relative", *_row(facts, "gated_against_cut")],
    ]
    runs = [[f"`placement={name}`", *quality(found)] for name, found in facts["runs"].items()]
    names = list(next(iter(facts["runs"].values()), {}))
    return [
        *table(["", "on the consumer's input (ours)", "before `norm2` (the authors')"], effects),
        "",
        *table(["APTP, mini world, 0.78, seed 0", *(name.replace("_", " ") for name in names)], runs),
    ]


def _effects(unet: Any, space: GateSpace, placement: Placement) -> dict[str, float]:
    half = torch.ones(1, space.size, dtype=torch.float64)
    half[:, _resnets(space)] = 0.5
    given, target = _inputs(unet)
    with torch.no_grad():
        plain = unet(**given).sample
        with gated(unet, space, half, placement):
            change = _relative(unet(**given).sample, plain)
    gates = half.clone().requires_grad_()
    with gated(unet, space, gates, placement):
        (unet(**given).sample - target).square().mean().backward()
    slope = gates.grad if gates.grad is not None else torch.zeros_like(gates)
    gradient = slope[:, _resnets(space)].square().mean().sqrt()
    return {"change": change, "gradient": float(gradient), "gated_against_cut": _against_cut(unet, space, placement)}


@torch.no_grad()
def _against_cut(unet: Any, space: GateSpace, placement: Placement) -> float:
    keep = guarded(torch.rand(space.size, generator=generator("audit", "keep")) < 0.5, space)
    given, _ = _inputs(unet)
    with gated(unet, space, keep.double()[None], placement):
        masked = unet(**given).sample
    return _relative(masked, cut(unet, space, keep)(**given).sample)


def _inputs(unet: Any) -> tuple[dict[str, Tensor], Tensor]:
    drawn = generator("audit", "inputs")
    size, text = unet.config.sample_size, unet.config.cross_attention_dim
    sample, target = (torch.randn(BATCH, 4, size, size, generator=drawn, dtype=torch.float64) for _ in range(2))
    words = torch.randn(BATCH, 77, text, generator=drawn, dtype=torch.float64)
    return {"sample": sample, "timestep": torch.tensor(500), "encoder_hidden_states": words}, target


def _resnets(space: GateSpace) -> list[int]:
    return [i for layer in space.widths if layer.kind == "resnet" for i in range(layer.start, layer.span.stop)]


def _relative(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


def _row(facts: dict[str, Any], key: str) -> list[str]:
    return [f"{facts['effects'][each][key]:.1e}" for each in PLACEMENTS]


def _runs(place: Place) -> dict[str, dict[str, Any]]:
    """The seed-0 records of APTP with either placement, all else equal."""
    found, _ = records.load_all(place.results)
    return {
        each: {name: record.results[name].model_dump(mode="json") for name in SHOWN}
        for each in PLACEMENTS
        for record in found.values()
        if _is(record, each)
    }


def _is(record: Record, placement: Placement) -> bool:
    what, changed = record.what, Entry((record,)).changed
    plain = changed in ((), (f"placement={placement}",)) and what.seed == 0 and what.budget.ratio == 0.78
    same = (what.method, what.dataset, record.world) == ("aptp", "coco", "mini")
    return plain and same and what.method_config["placement"] == placement


CHECK = Check("placement", "gates before norm2 are cancelled", measure, lines)
