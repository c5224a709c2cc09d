"""Evaluation: evidence (images, captions, features, the mixture itself) and the metrics that read it.

One backbone reads an image set once, whatever the number of metrics that ask for its features.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from aptp_bench import registry
from aptp_bench.budget import Convention
from aptp_bench.config import LatencyConfig, Recipe, SamplingConfig
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.provenance import captions_digest
from aptp_bench.errors import MetricError, WeightsError
from aptp_bench.generation.image_sets import ImageSet
from aptp_bench.plugins import BackbonePlugin, Metric, ModelPlugin, Progress
from aptp_bench.records import Measurement

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

    from aptp_bench.harness.inputs import Materials
    from aptp_bench.models.mixture import Mixture

READ_AT_ONCE = 256  # images in memory while a backbone reads a set

Features = dict[str, Tensor]
Cache = Callable[[str, dict[str, Any], Callable[[], Features]], Features]


def uncached(name: str, key: dict[str, Any], compute: Callable[[], Features]) -> Features:
    """Compute and keep nothing on disk; evidence still holds in memory what it has read."""
    return compute()


@dataclass(frozen=True)
class Deployed:
    """The system behind the images, read when a metric asks for it.

    folder: of a saved mixture; assigned: a JSON file with the expert of each evaluation prompt.
    """

    folder: Path
    assigned: Path
    materials: Materials
    recipe: Recipe

    @cached_property
    def mixture(self) -> Mixture:
        """The experts, one in memory at a time, and their router."""
        from aptp_bench.models.mixture import Mixture

        return Mixture.load(self.folder, self.materials.device, lazy=True)

    @cached_property
    def assignment(self) -> Tensor:
        """Expert of each evaluation prompt, int64 [n]."""
        return torch.tensor(json.loads(self.assigned.read_text(encoding="utf-8")), dtype=torch.long)


@dataclass(frozen=True)
class Evidence:
    """What metrics may look at. Parts that are not there raise MetricError when asked for."""

    captions: Sequence[str]
    image_set: ImageSet | None = None
    real_set: ImageSet | None = None
    backbones: Mapping[str, BackbonePlugin] = field(default_factory=dict)  # role -> network
    deployed: Deployed | None = None
    cache: Cache = uncached
    progress: Progress = field(default_factory=SilentProgress)
    read: dict[tuple[str, str], Features] = field(default_factory=dict)  # (network, set) -> features

    def has(self, need: str) -> bool:
        """Whether a need of Metric.needs is met."""
        there = {
            "images": self.image_set,
            "reals": self.real_set,
            "captions": self.captions or None,
            "mixture": self.deployed,
        }
        return there.get(need) is not None

    def images(self) -> Tensor:
        """The generated images, all of them: uint8 [n, H, W, 3]. Raises MetricError if there are none."""
        return _whole(self.image_set, "generated images")

    def reals(self) -> Tensor:
        """The real images: uint8 [m, H, W, 3]. Raises MetricError if there are none."""
        return _whole(self.real_set, "real images")

    def backbone(self, role: str) -> BackbonePlugin:
        """The network that plays `role`. Raises MetricError if none does."""
        if role not in self.backbones:
            raise MetricError(
                f"no backbone plays '{role}'; name one with --set backbones.{role}=… (see: aptp-bench doctor)"
            )
        return self.backbones[role]

    def features(self, role: str) -> tuple[Features, Features | None]:
        """Features by name, float32 [n, d], of the generated images and of the real ones (None without these)."""
        if self.image_set is None:
            raise MetricError("there are no generated images to read; generate some first")
        return self._features(role, self.image_set), self._features(
            role, self.real_set
        ) if self.real_set is not None else None

    def text_features(self, role: str) -> Tensor:
        """Features of the captions, float32 [n, d]."""
        network = self.backbone(role)
        key = {"captions": captions_digest(self.captions)}
        found = self._kept(network, key["captions"], key, lambda: {"text": network.text_features(list(self.captions))})
        return found["text"]

    def _features(self, role: str, images: ImageSet) -> Features:
        network = self.backbone(role)

        def compute() -> Features:
            starts = list(range(0, len(images), READ_AT_ONCE))
            label = f"{network.name} reads images"
            parts = [
                network.image_features(images.read(range(start, min(start + READ_AT_ONCE, len(images)))))
                for start in self.progress.track(starts, label)
            ]
            return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

        return self._kept(network, images.digest, {"images": images.digest}, compute)

    def _kept(
        self, network: BackbonePlugin, what: str, key: dict[str, Any], compute: Callable[[], Features]
    ) -> Features:
        place = (network.name, what)
        if place not in self.read:
            settings = network.config.model_dump(mode="json", exclude={"batch", "device"})
            key = {**key, "backbone": network.name, "weights": network.digest(), "settings": settings}
            self.read[place] = self.cache(f"features-{network.name}", key, compute)
        return self.read[place]

    @property
    def system(self) -> Deployed:
        """What is measured by cost metrics. Raises MetricError where only images are at hand."""
        if self.deployed is None:
            raise MetricError("this metric measures a mixture and only images are at hand; use aptp-bench run")
        return self.deployed

    @property
    def mixture(self) -> Mixture:
        """The experts and their router."""
        return self.system.mixture

    @property
    def teacher(self) -> StableDiffusionPipeline:
        """The dense pipeline."""
        return self.system.materials.teacher

    @property
    def model(self) -> ModelPlugin:
        """The model family."""
        return self.system.materials.model

    @property
    def assignment(self) -> Tensor:
        """Expert of each evaluation prompt, int64 [n]."""
        return self.system.assignment

    @property
    def sampling(self) -> SamplingConfig:
        """Sampler, steps and guidance of the images."""
        return self.system.recipe.sampling

    @property
    def latency(self) -> LatencyConfig:
        """How to time."""
        return self.system.recipe.latency

    @property
    def convention(self) -> Convention:
        """The MAC convention of the budget."""
        return self.system.recipe.budget.convention

    @property
    def device(self) -> torch.device:
        """Where the mixture runs."""
        return self.system.materials.device

    @property
    def dtype(self) -> torch.dtype:
        """The type the mixture computes in."""
        return self.teacher.unet.dtype


def backbones(roles: Mapping[str, str], device: torch.device) -> tuple[dict[str, BackbonePlugin], dict[str, str]]:
    """(role -> network, role -> why there is none). Two roles of one name share the network.

    Raises UnknownNameError for a name that nothing provides, before anything is loaded.
    """
    kinds = {name: registry.get("backbones", name) for name in roles.values()}
    networks: dict[str, BackbonePlugin] = {}
    lacking: dict[str, str] = {}
    for name, kind in kinds.items():
        reason = kind.unavailable()
        if reason is None:
            networks[name] = kind(device=str(device)) if "device" in kind.Config.model_fields else kind()
        else:
            lacking[name] = reason
    found = {role: networks[name] for role, name in roles.items() if name in networks}
    return found, {role: lacking[name] for role, name in roles.items() if name in lacking}


def obstacle(metric: Metric, evidence: Evidence | None, lacking: Mapping[str, str]) -> str | None:
    """Why `metric` cannot be measured, known before any work; None if nothing speaks against it."""
    if evidence is None:
        return f"no {metric.on} images in this run"
    missing = sorted(need for need in metric.needs if not evidence.has(need))
    if missing:
        return f"needs {', '.join(missing)}"
    if metric.backbone is not None and metric.backbone in lacking:
        return lacking[metric.backbone]
    return type(metric).unavailable()


def measure(
    metrics: Sequence[Metric],
    evidences: Mapping[str, Evidence],
    lacking: Mapping[str, str],
    measured: Callable[[Metric, Evidence], Measurement] | None = None,
    progress: Progress | None = None,
) -> tuple[dict[str, Measurement], dict[str, str]]:
    """(metric -> measurement, metric -> why it could not be measured). What cannot be measured is named, never made up.

    evidences: by the prompts they come from, "dataset" and "partiprompts"; lacking: role -> why it has no network;
    measured: how one metric is read, by default it is called.
    """
    results: dict[str, Measurement] = {}
    skipped: dict[str, str] = {}
    for metric in (progress or SilentProgress()).track(metrics, "measure"):
        evidence = evidences.get(metric.on)
        reason = obstacle(metric, evidence, lacking)
        if reason is None and evidence is not None:
            try:
                results[metric.name] = (measured or _call)(metric, evidence)
            except (MetricError, WeightsError) as err:
                reason = str(err)
        if reason is not None:
            skipped[metric.name] = reason
    return results, skipped


def _call(metric: Metric, evidence: Evidence) -> Measurement:
    return metric(evidence)


def _whole(images: ImageSet | None, what: str) -> Tensor:
    if images is None:
        raise MetricError(f"there are no {what}; give a folder of them")
    return images.read(range(len(images)))
