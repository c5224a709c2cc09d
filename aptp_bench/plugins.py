"""The contracts: what a method, a metric, a dataset, a model and a backbone promise the harness.

A plugin is one class in one file and one line of entry points. Facts about it are data on the class, so that
tables are made from them and nothing elsewhere asks for a name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from aptp_bench.budget import Budget
from aptp_bench.errors import ConfigError
from aptp_bench.records import Better, Measurement

if TYPE_CHECKING:
    import datasets
    import torch
    from diffusers import StableDiffusionPipeline

    from aptp_bench.evaluation.evaluate import Evidence
    from aptp_bench.models.mixture import Mixture
    from aptp_bench.training.latents import Pairs


class PluginConfig(BaseModel):
    """The settings of one plugin: frozen, unknown keys refused, each field with its meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Plugin:
    """What every plugin has: a name, settings, and a word on whether it can run here."""

    name: ClassVar[str]
    Config: ClassVar[type[PluginConfig]] = PluginConfig

    def __init__(self, **settings: Any) -> None:
        try:
            self.config = self.Config(**settings)
        except ValidationError as err:
            raise ConfigError(_explain(self, err)) from err

    @classmethod
    def unavailable(cls) -> str | None:
        """Why this cannot run on this machine, with the command that mends it; None if it can."""
        return None

    @classmethod
    def summary(cls) -> str:
        """The first line of the class's docstring."""
        return (cls.__doc__ or "").strip().splitlines()[0] if cls.__doc__ else ""


class Progress(Protocol):
    """Reports how far long work is. `track` yields the items and draws a bar with the time left."""

    def track(self, items: Sequence[Any], label: str, done: int = 0) -> Iterable[Any]:
        """Iterate over items[done:], showing `done` as finished already."""
        ...

    def say(self, line: str) -> None:
        """One line above the bars."""
        ...


@dataclass(frozen=True)
class Job:
    """All that a method is given. It writes into none of it.

    teacher: the dense pipeline (its U-Net frozen, eval mode); train: the training pairs (latents, text, captions);
    workdir: a folder that outlives a kill, for checkpoints; device: where to compute.
    """

    teacher: StableDiffusionPipeline
    train: Pairs
    budget: Budget
    seed: int
    device: torch.device
    workdir: Path
    progress: Progress
    scale: Literal["mini", "smoke", "paper"] = "mini"


class Method(Plugin, ABC):
    """Prunes a teacher to a budget. `paper` is how to cite it.

    presets: its settings by scale, where they differ from the defaults; finetuning: the settings of the shared
    fine-tuning that its paper prescribes, loss weights only: steps, batch and learning rate are the same for all.
    """

    paper: ClassVar[str] = ""
    tunes: ClassVar[bool] = True  # False: the result is used as it is (dense)
    uses_data: ClassVar[bool] = True  # False: it needs no training pairs, so none are encoded and `job.train` is empty
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    finetuning: ClassVar[dict[str, Any]] = {}

    def check(self, scale: Literal["mini", "smoke", "paper"]) -> None:  # most methods need nothing
        """Raise what would stop `prune` and can be told before any work, such as WeightsError for a missing encoder."""

    @abstractmethod
    def prune(self, job: Job) -> Mixture:
        """A mixture within ±0.5 % of the budget, or the nearest below with a remark that says why it is not nearer.

        Raises BudgetError where neither can be had.
        """


class Metric(Plugin, ABC):
    """Measures evidence. `needs`: any of images, reals, captions, mixture; `on`: the prompts it is measured on."""

    unit: ClassVar[str]
    better: ClassVar[Better]
    needs: ClassVar[frozenset[str]]
    on: ClassVar[Literal["dataset", "partiprompts"]] = "dataset"
    backbone: ClassVar[str | None] = (
        None  # a role (inception | clip_score | cmmd | preference); the scale says who plays it
    )
    paper: ClassVar[str] = ""
    title: ClassVar[str] = ""  # what people call it; empty: its name in words
    tie: ClassVar[float] = 0.0  # relative gap below which two values say nothing, whatever their intervals
    counted: ClassVar[bool] = False  # True: counted, not estimated: the value has no interval because nobody doubts it

    @abstractmethod
    def __call__(self, evidence: Evidence) -> Measurement:
        """The measurement. Raises MetricError if the evidence does not allow it."""

    def measured(self, value: float, n: int, interval: tuple[float, float] | None = None, **detail: Any) -> Measurement:
        """A measurement in this metric's unit and direction."""
        return Measurement(value=value, unit=self.unit, better=self.better, n=n, interval=interval, detail=detail)


class DatasetPlugin(Plugin, ABC):
    """Captioned images with splits, or captions alone (`captions_only`).

    Columns of `load(split)`: "caption" (str) and, unless captions_only, "image" (PIL, RGB).
    """

    world: ClassVar[Literal["mini", "paper"]]
    captions_only: ClassVar[bool] = False
    splits: ClassVar[tuple[str, ...]] = ("train", "val")

    @classmethod
    def unavailable(cls) -> str | None:
        """Which of its files is not where its settings look for it by default, and the setting that names another place."""
        for name, field in cls.Config.model_fields.items():
            if isinstance(field.default, Path) and not field.default.exists():
                place = f"--set dataset_config.{name}=…"
                return f"{field.default} is not there; put the files there or name another place with {place}"
        return None

    @abstractmethod
    def load(self, split: str, limit: int | None = None) -> datasets.Dataset:
        """The first `limit` rows of a split (all if None). Raises DataError if files are missing or broken."""


class ModelPlugin(Plugin, ABC):
    """A model family: how to load it, and its true geometry without weights."""

    world: ClassVar[Literal["mini", "paper"]]
    resolution: ClassVar[int]  # pixels, width = height, at which images are made
    latent_size: ClassVar[int]
    tokens: ClassVar[int] = 77  # length of the text that the U-Net reads

    @abstractmethod
    def load(self, weights: str | None = None) -> StableDiffusionPipeline:
        """A pipeline. weights: None (the default), a local folder, a hub id, or "random". Raises WeightsError."""

    @abstractmethod
    def skeleton(self) -> Any:
        """The U-Net on the meta device: true geometry, no memory."""


class BackbonePlugin(Plugin, ABC):
    """A network that turns images (and texts) into features. `role`: inception | clip_score | cmmd | preference."""

    role: ClassVar[tuple[str, ...]]
    world: ClassVar[Literal["mini", "paper"]]

    @abstractmethod
    def image_features(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """images: uint8 [n, H, W, 3] -> named features, float32 [n, d] (e.g. {"pool": …, "logits": …} or {"embedding": …})."""

    def text_features(self, captions: Sequence[str]) -> torch.Tensor:
        """Captions -> [n, d]. Raises NotImplementedError for networks that read images only."""
        raise NotImplementedError(f"{self.name} reads images only")

    @abstractmethod
    def digest(self) -> str:
        """sha256 of the weights: two numbers from different backbones are never set side by side."""


def _explain(plugin: Plugin, err: ValidationError) -> str:
    first = err.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    known = ", ".join(type(plugin).Config.model_fields) or "none"
    if first["type"] == "extra_forbidden":
        return f"{plugin.name} has no option '{key}'; its options are: {known}"
    return f"{plugin.name}: option '{key}': {first['msg']} (got {first.get('input')!r})"


Track = Callable[[Sequence[Any], str], Iterable[Any]]
