"""Evidence: what metrics may look at. One backbone reads an image set once, however many metrics ask for its features."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aptp_bench.budget import Convention
from aptp_bench.contracts.backbone import BackbonePlugin
from aptp_bench.contracts.model import ModelPlugin
from aptp_bench.core.blocks import Features, Named, Reading, uncached
from aptp_bench.core.digests import captions_digest
from aptp_bench.core.settings import LatencyConfig, SamplingConfig
from aptp_bench.core.source import source_digest
from aptp_bench.errors import AptpBenchError, MetricError

if TYPE_CHECKING:
    import torch
    from diffusers import StableDiffusionPipeline
    from torch import Tensor

    from aptp_bench.models.mixture import Mixture

READ_AT_ONCE = 256  # images in memory while a backbone reads a set

Cache = Callable[[Sequence[Named], Reading], "Sequence[Features | AptpBenchError]"]


class ImageSet(ABC):
    """Images in a fixed order. `digest` names what they are: equal digests, equal images."""

    digest: str

    @abstractmethod
    def __len__(self) -> int:
        """How many there are."""

    @abstractmethod
    def read(self, indices: range) -> Tensor:
        """Some of them: uint8 [n, H, W, 3]. Raises DataError naming an image that is missing or broken."""

    def ahead(self, blocks: Sequence[range]) -> Iterator[Tensor]:
        """What `read` gives for each, in this order. A set may read some before they are asked for."""
        return map(self.read, blocks)


@dataclass(frozen=True)
class System:
    """The system behind the images, read when a metric asks for it.

    load: reads the mixture; assigned: a JSON file with the expert of each evaluation prompt; counted: one with what
    networks cost; teacher: the dense pipeline; convention: the MAC convention of the budget; device: where the mixture
    runs.
    """

    load: Callable[[], Mixture]
    assigned: Path
    counted: Path
    model: ModelPlugin
    teacher: StableDiffusionPipeline
    device: torch.device
    sampling: SamplingConfig
    latency: LatencyConfig
    convention: Convention

    @cached_property
    def mixture(self) -> Mixture:
        """The experts, one in memory at a time, and their router."""
        return self.load()

    @cached_property
    def assignment(self) -> Tensor:
        """Expert of each evaluation prompt, int64 [n]."""
        import torch

        return torch.tensor(json.loads(self.assigned.read_text(encoding="utf-8")), dtype=torch.long)

    @cached_property
    def costs(self) -> dict[str, Any]:
        """As counted when the mixture was pruned: {"dense": cost, "experts": [cost of each]}.

        A cost is {"macs": {convention: MACs of one call on one sample}, "parameters": number}.
        """
        found: dict[str, Any] = json.loads(self.counted.read_text(encoding="utf-8"))
        return found

    @property
    def dtype(self) -> torch.dtype:
        """The type the mixture computes in."""
        return self.teacher.unet.dtype


@dataclass(frozen=True)
class Reference:
    """Other images for the same prompts, in their order, or for the first of them. name: what they are, in words."""

    image_set: ImageSet
    name: str


@dataclass(frozen=True)
class Evidence:
    """What metrics may look at. Parts that are not there raise MetricError when asked for.

    captions: n texts, those of the generated images in their order; image_set: the generated images; real_set: the real
    ones; reference: the dense network's of the same prompts and noise; deployed: the mixture and what it runs on.
    """

    captions: Sequence[str]
    image_set: ImageSet | None = None
    real_set: ImageSet | None = None
    backbones: Mapping[str, BackbonePlugin] = field(default_factory=dict)  # role -> network
    deployed: System | None = None
    reference: Reference | None = None
    cache: Cache = uncached
    companions: Mapping[str, Sequence[str]] = field(default_factory=dict)  # roles by set, see evaluate.companions
    read: dict[tuple[str, str], Features] = field(default_factory=dict)  # (network, set) -> features

    def has(self, need: str) -> bool:
        """Whether a need of Metric.needs is met."""
        there = {
            "images": self.image_set,
            "reals": self.real_set,
            "captions": any(self.captions) or None,
            "mixture": self.deployed,
            "reference": self.reference,
        }
        return there.get(need) is not None

    def images(self) -> Tensor:
        """The generated images, all of them: uint8 [n, H, W, 3]. Raises MetricError if there are none."""
        return _whole(self.image_set, "generated images")

    def reals(self) -> Tensor:
        """The real images: uint8 [m, H, W, 3]. Raises MetricError if there are none."""
        return _whole(self.real_set, "real images")

    @property
    def compared(self) -> tuple[ImageSet, Reference]:
        """The generated images, and those of the same prompts that they are compared with. Raises MetricError."""
        if self.image_set is None or self.reference is None:
            raise MetricError(
                "this metric compares images with a reference's; use aptp-bench run, or --reference FOLDER"
            )
        if len(self.reference.image_set) > len(self.image_set):
            raise MetricError(
                f"{len(self.image_set)} images for {len(self.reference.image_set)} of {self.reference.name}; generate the rest"
            )
        return self.image_set, self.reference

    def pair_scores(self, compare: Callable[[Tensor, Tensor], Tensor], key: dict[str, Any]) -> Tensor:
        """Of every generated image beside the reference's of the same prompt: [n]. Raises MetricError.

        compare: uint8 [n, H, W, 3] twice -> [n]; key: all that decides it, as JSON.
        """
        generated, reference = self.compared

        def scores(pair: tuple[Tensor, Tensor]) -> Features:
            if pair[0].shape != pair[1].shape:
                sizes = " and ".join(f"{each.shape[2]}x{each.shape[1]}" for each in pair)
                raise MetricError(f"images of {sizes} pixels cannot be compared; make both of one size")
            return {"scores": compare(*pair)}

        sets = [generated, reference.image_set]
        key |= {
            "images": [each.digest for each in sets],
            "source": source_digest(*map(type, sets), Evidence.pair_scores),
        }
        blocks = _blocks(len(reference.image_set))

        def read(numbers: Sequence[int]) -> Iterator[tuple[Tensor, ...]]:
            return zip(*(_ahead(each, blocks, numbers) for each in sets), strict=True)

        (found,) = self.cache([("scores", key)], Reading(len(blocks), read, [scores]))
        return _or_raise(found)["scores"]

    def feature_pairs(self, role: str, key: str) -> tuple[Tensor, Tensor]:
        """Features `key` of the generated images and of the reference's of the same prompts: [n, d] each. Raises MetricError."""
        generated, reference = self.compared
        other = self._features(role, reference.image_set, "reference")[key]
        return self._features(role, generated, "images")[key][: len(other)], other

    def backbone(self, role: str) -> BackbonePlugin:
        """The network that plays `role`. Raises MetricError if none does."""
        if role not in self.backbones:
            raise MetricError(
                f"no backbone plays '{role}'; name one with --set backbones.{role}=… (see: aptp-bench doctor)"
            )
        return self.backbones[role]

    def features(self, role: str) -> Features:
        """Features of the generated images by name, float32 [n, d]. Raises MetricError."""
        if self.image_set is None:
            raise MetricError("there are no generated images to read; generate some first")
        return self._features(role, self.image_set, "images")

    def real_features(self, role: str) -> Features | None:
        """Features of the real images by name, float32 [m, d]; None without these. Raises MetricError."""
        return None if self.real_set is None else self._features(role, self.real_set, "reals")

    def of_reals(self, role: str, name: str, compute: Callable[[Features], Features]) -> Features:
        """What is computed of the real images' features in one piece, kept for all that is held against them. Raises MetricError."""
        if self.real_set is None:
            raise MetricError("there are no real images to compare with; choose a data set that has them")
        network, real_set = self.backbone(role), self.real_set
        features = self._features(role, real_set, "reals")  # here, where all processes are
        sources = (type(network), type(real_set), compute, Evidence._features)
        key = {"images": real_set.digest, **identity(network), "source": source_digest(*sources)}
        return self.kept(name, key, lambda: compute(features))

    def text_features(self, role: str) -> Tensor:
        """Features of the captions, float32 [n, d]. Raises MetricError if no network plays `role`."""
        network = self.backbone(role)
        digest = captions_digest(self.captions)
        reading = Reading(
            1, lambda numbers: iter([list(self.captions)]), [lambda x: {"text": network.text_features(x)}]
        )
        return self._by([network], digest, {"captions": digest}, reading)["text"]

    def kept(self, name: str, key: dict[str, Any], compute: Callable[[], Features]) -> Features:
        """What is computed in one piece, kept as features are. key: all that decides it, as JSON. Raises what `compute` does."""
        (found,) = self.cache([(name, key)], Reading(1, lambda numbers: iter([None]), [lambda _: compute()]))
        return _or_raise(found)

    def _features(self, role: str, images: ImageSet, kind: str) -> Features:
        """Of one network; those that other metrics will want of these images come from the same pass."""
        others = [self.backbones[other] for other in self.companions.get(kind, ()) if other in self.backbones]
        missing = {each.name: each for each in others if (each.name, images.digest) not in self.read}
        networks = list({(first := self.backbone(role)).name: first, **missing}.values())
        blocks = _blocks(len(images))
        read = partial(_ahead, images, blocks)
        key = {"images": images.digest, "read by": source_digest(type(images))}
        reading = Reading(len(blocks), read, [network.image_features for network in networks])
        return self._by(networks, images.digest, key, reading)

    def _by(self, networks: Sequence[BackbonePlugin], what: str, key: dict[str, Any], reading: Reading) -> Features:
        """Features by the first of the networks; those by the others are there for whoever asks for them."""
        if (networks[0].name, what) not in self.read:
            names: list[Named] = []
            for network in networks:
                source = source_digest(type(network), Evidence.text_features, Evidence._features)
                names.append((f"features-{network.name}", {**key, **identity(network), "source": source}))
            for network, found in zip(networks, self.cache(names, reading), strict=True):
                if network is networks[0] or not isinstance(found, AptpBenchError):
                    self.read[network.name, what] = _or_raise(found)
        return self.read[networks[0].name, what]

    @property
    def system(self) -> System:
        """What is measured by cost metrics. Raises MetricError where only images are at hand."""
        if self.deployed is None:
            raise MetricError("this metric measures a mixture and only images are at hand; use aptp-bench run")
        return self.deployed


def identity(network: BackbonePlugin) -> dict[str, Any]:
    """What decides a network's numbers beside its source, as JSON."""
    settings = network.config.model_dump(mode="json", exclude={"batch", "device"})
    return {"backbone": network.name, "weights": network.digest(), "settings": settings}


def _ahead(images: ImageSet, blocks: Sequence[range], numbers: Sequence[int]) -> Iterator[Tensor]:
    return images.ahead([blocks[i] for i in numbers])


def _or_raise(found: Features | AptpBenchError) -> Features:
    if isinstance(found, AptpBenchError):
        raise found
    return found


def _blocks(size: int) -> list[range]:
    return [range(start, min(start + READ_AT_ONCE, size)) for start in range(0, size, READ_AT_ONCE)]


def _whole(images: ImageSet | None, what: str) -> Tensor:
    if images is None:
        raise MetricError(f"there are no {what}; give a folder of them")
    return images.read(range(len(images)))
