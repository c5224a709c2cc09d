"""A resolved recipe: every setting that decides a run's numbers, as records keep it. Resolving one: aptp_bench.config."""

from __future__ import annotations

import shlex
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from aptp_bench.budget import Budget
from aptp_bench.core.documents import Frozen
from aptp_bench.core.settings import LatencyConfig, SamplingConfig

OPTIONAL = (
    "prompts_config",
    "metric_config",
    "backbone_config",
)  # sections that documents have where they say something
Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$", max_length=100)]  # of a plugin; file names are made of it
MOST_EDGE = 4096  # pixels: twice what any published model makes; far larger ones fit no memory
MOST_ROWS = 100_000_000  # thirty times CC3M
World = Literal["mini", "smoke", "paper"]
Task = Literal["text-to-image", "image", "audio"]  # what a model makes


class Sizes(Frozen):
    """How many rows of each data set a run uses."""

    train: int = Field(gt=0, le=MOST_ROWS, description="training pairs")
    val: int = Field(gt=0, le=MOST_ROWS, description="held-out captions, one image generated for each")
    partiprompts: int = Field(ge=0, le=MOST_ROWS, description="prompts of the second evaluation set; 0: leave it out")


class Resolution(Frozen):
    """Pixels, width = height, at which images are handled where they are not generated."""

    train: int = Field(ge=8, le=MOST_EDGE, description="of training images; the paper uses 256")
    measure: int = Field(
        ge=8,
        le=MOST_EDGE,
        description="to which images, generated and real, are brought before a metric's network; the paper uses 256",
    )


class Recipe(Frozen):
    """Everything that decides a run's numbers."""

    method: Name
    method_config: dict[str, Any] = Field(default_factory=dict, description="the method's options")
    dataset: Name
    dataset_config: dict[str, Any] = Field(default_factory=dict, description="the dataset's options")
    prompts: Name | None = Field(None, description="caption-only dataset of the second evaluation set")
    prompts_config: dict[str, Any] = Field(
        default_factory=dict, description="that dataset's options, where they are not the default"
    )
    model: Name
    weights: str | None = Field(None, description="a folder, a hub id, or random; None: the model's own")
    scale: World
    budget: Budget
    seed: int = Field(0, ge=0)
    sizes: Sizes
    resolution: Resolution
    encode_batch: int = Field(64, gt=0, description="images encoded together")
    store_text: bool = Field(
        True,
        description="whether captions' embeddings are stored beside the latents (COCO: 63 GB); else captions are encoded "
        "when they are trained on: the same embeddings up to float16's last bit, 9 % more work",
    )
    finetune: dict[str, Any] = Field(default_factory=dict, description="settings of the shared fine-tuning")
    sampling: SamplingConfig
    metrics: tuple[Name, ...]
    backbones: dict[str, str] = Field(
        description="which network plays each role: inception, clip_score, cmmd, preference, hps, perceptual, dino, audio"
    )
    metric_config: dict[Name, dict[str, Any]] = Field(
        default_factory=dict, description="options of metrics, by their names, where they are not the default"
    )
    backbone_config: dict[Name, dict[str, Any]] = Field(
        default_factory=dict, description="options of these networks, by their names, where they are not the default"
    )
    latency: LatencyConfig
    reference: Name | None = Field(None, description="method of the reference row")
    settings: tuple[str, ...] = Field((), description="what --set changed, as it was given")

    @model_serializer(mode="wrap")
    def _without_default_options(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Options that are newer than some records only where they are not the default: what is named by them stays so."""
        found: dict[str, Any] = handler(self)
        default: dict[str, Any] = {**{key: {} for key in OPTIONAL}, "store_text": True}
        return {key: value for key, value in found.items() if key not in default or value != default[key]}

    @property
    def name(self) -> str:
        """How progress and errors call this run."""
        return f"{self.method} on {self.dataset} ({self.scale})"

    @property
    def random_weights(self) -> bool:
        """Whether the model is untrained: images are noise."""
        return self.weights == "random"

    @property
    def command(self) -> str:
        """The line that runs exactly this again."""
        words = ["aptp-bench", "run", "--method", self.method, "--dataset", self.dataset]
        words += ["--scale", self.scale, "--model", self.model]
        words += ["--budget", f"{self.budget.ratio:g}", "--macs", self.budget.convention, "--seed", str(self.seed)]
        words += ["--weights", self.weights] if self.weights else []
        for setting in self.settings:
            words += ["--set", setting]
        return shlex.join(words)
