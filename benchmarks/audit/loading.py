"""Cutting a network and then loading the dense weights where shapes still fit: what stays random, and what it costs."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DConditionModel

from aptp_bench.benchmarks.audit.finding import Check, Place, quality, table
from aptp_bench.benchmarks.audit.scene import Scene
from aptp_bench.core.settings import FinetuneConfig
from aptp_bench.harness.run import MIXTURE
from aptp_bench.models.mixture import Mixture
from aptp_bench.pruning.surgery import clone
from aptp_bench.training.finetune import finetune
from aptp_bench.training.latents import Pairs

SEED = 0
WAYS = ("load, then cut", "cut, then load")


def measure(place: Place) -> dict[str, Any]:
    """One architecture (Random at 0.78, cut in the units of APTP) with weights from either order: before and after the same fine-tuning."""
    scene = Scene.of(place, "random", seed=SEED)
    pairs = scene.bench.pairs()
    pruned = Mixture.load(scene.bench.prune(pairs, whole=True).folder / MIXTURE)
    sliced, teacher = pruned.experts[0], scene.bench.materials.teacher.unet
    reset = cut_then_loaded(sliced, teacher)
    facts: dict[str, dict[str, Any]] = {"random": left_random(sliced, teacher), "untuned": {}, "tuned": {}}
    for way, unet in zip(WAYS, (sliced, reset), strict=True):
        facts["untuned"][way] = _quality(scene, unet, f"{way}, untuned")
        tuned = _tuned(scene, unet, Pairs.load(pairs.folder), way)
        facts["tuned"][way] = _quality(scene, tuned, f"{way}, tuned")
    return {**facts, "steps": scene.bench.recipe.finetune["steps"]}


def lines(facts: dict[str, Any]) -> list[str]:
    """Both tables."""
    lost = facts["random"]
    rows = [
        [f"{way}, {state}", *quality(facts[key][way])]
        for key, state in (("untuned", "as pruned"), ("tuned", f"after {facts['steps']} steps"))
        for way in WAYS
    ]
    names = [name.replace("_", " ") for name in facts["tuned"][WAYS[0]]]
    said = f"{lost['tensors']} of {lost['of_tensors']} tensors, {lost['parameters']:.0%} of the parameters"
    return [f"Left random by cutting first (Random at 0.78, mini model): {said}.", "", *table(["", *names], rows)]


def cut_then_loaded(pruned: UNet2DConditionModel, teacher: UNet2DConditionModel) -> UNet2DConditionModel:
    """The pruned geometry, freshly initialised, with the teacher's tensors wherever a name has the same shape in both."""
    fresh = clone(pruned)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        for module in fresh.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    dense = teacher.state_dict()
    fits = {name: dense[name] for name, tensor in fresh.state_dict().items() if _fits(dense, name, tensor)}
    fresh.load_state_dict(fits, strict=False)
    return fresh


def left_random(pruned: UNet2DConditionModel, teacher: UNet2DConditionModel) -> dict[str, float]:
    """How many tensors, and which share of the parameters, do not fit the teacher's."""
    dense, own = teacher.state_dict(), pruned.state_dict()
    lost = [tensor for name, tensor in own.items() if not _fits(dense, name, tensor)]
    share = sum(t.numel() for t in lost) / sum(t.numel() for t in own.values())
    return {"tensors": len(lost), "of_tensors": len(own), "parameters": share}


def _fits(dense: dict[str, torch.Tensor], name: str, tensor: torch.Tensor) -> bool:
    return name in dense and dense[name].shape == tensor.shape


def _tuned(scene: Scene, unet: UNet2DConditionModel, pairs: Pairs, way: str) -> UNet2DConditionModel:
    """The harness's own fine-tuning, with checkpoints, so that a killed check goes on."""
    bench = scene.bench
    config = FinetuneConfig(**bench.recipe.finetune)
    folder = scene.place.runs / f"audit-loading-{scene.place.scale}" / way.replace(", ", "-").replace(" ", "-")
    tuned = finetune(
        Mixture.of_one(unet), bench.materials.teacher, pairs, config,
        seed=SEED, folder=folder, device=bench.materials.device, progress=scene.place.progress,
    )  # fmt: skip
    return tuned.experts[0]


def _quality(scene: Scene, unet: UNet2DConditionModel, label: str) -> dict[str, Any]:
    return scene.quality(scene.sample(unet.eval(), range(len(scene.captions)), label), label)


CHECK = Check("loading", "cutting before loading leaves weights random", measure, lines)
