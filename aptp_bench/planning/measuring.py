"""How long metrics take at best: the passes of their networks over images, and what they time. Reading files is not counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aptp_bench import registry
from aptp_bench.core.costs import Operation, StepCost
from aptp_bench.core.store import digest_of
from aptp_bench.planning.loops import Load

Work = tuple[str, float]  # its identity, and seconds at best


@dataclass(frozen=True)
class Reading(Load):
    """A metric's stage. works: what it needs and others may need too, whoever comes first does it; None: not estimated."""

    works: tuple[Work, ...] | None = None


def measuring(run: Any, name: str) -> Reading:
    """Of a metric of the run, as `stages` has it: its stages ask for this, so its type is not named here."""
    kind = registry.get("metrics", name)
    if kind.timed:
        return Reading(works=((run.identity("timing"), _timing(run)),))
    if kind.counted:  # a call or none
        return Reading(works=())
    role = run.recipe.backbones.get(kind.backbone)
    network = None if role is None else registry.get("backbones", role)
    macs = {} if network is None else network.macs_of(run.recipe.resolution.measure)
    return Reading(works=tuple(_passes(run, kind, network, macs)) if macs else None)


def _passes(run: Any, metric: Any, network: Any, macs: dict[Any, float]) -> Iterator[Work]:
    """The sets of images that a metric's network reads. Of pairs each is read beside the other."""
    operations = tuple(Operation(kind, kind, round(each), 0, 0) for kind, each in macs.items())
    cost = StepCost(operations=operations, trained=0, first=((0, 0),), later=((0, 0),))
    sets = {need: run.seen(need, metric.on) for need in ("images", "reals", "reference") if need in metric.needs}
    if network.pairs and "reference" in sets:
        sets = {"reference": (digest_of([*sets.values()]), sets["reference"][1])}
    how = [network.name, run.recipe.backbone_config.get(network.name, {}), run.recipe.resolution.measure]
    for what, images in sets.values():
        yield digest_of([what, *how]), run.machine.bound(cost, run.machine.share(images))


def _timing(run: Any) -> float:
    """Every expert's calls beside the dense network's, and whole images of one beside the dense network's; no process shares."""
    how, left = run.recipe.latency, run.recipe.budget.ratio
    often = how.warmup + how.repeats
    call, image = run.call(how.batch), run.image(how.batch)
    calls = run.experts * (left * (often + 1) + often) * call
    return calls + (how.images + 1) * (image(left) + image(1.0)) + image(left)
