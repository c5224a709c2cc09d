"""A method: it prunes a teacher to a budget."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from aptp_bench.budget import Budget
from aptp_bench.contracts.base import Plugin
from aptp_bench.core.progress import Progress
from aptp_bench.core.recipe import World
from aptp_bench.core.settings import Parts, Precision, SamplingConfig

if TYPE_CHECKING:
    import torch
    from diffusers import StableDiffusionPipeline

    from aptp_bench.models.mixture import Mixture
    from aptp_bench.training.latents import Pairs


@dataclass(frozen=True)
class Job:
    """All that a method is given. It writes into none of it.

    teacher: the dense pipeline (its U-Net frozen, eval mode); train: the training pairs (n captions, latents
    [m, C, h, w], text [n, tokens, width]); workdir: a folder that outlives a kill, for checkpoints; device: where to
    compute; sampling: how images will be made, for methods that say `uses_sampling`; labels: what else the dataset says
    of the training pairs, by column, one entry a pair.
    """

    teacher: StableDiffusionPipeline
    train: Pairs
    budget: Budget
    seed: int
    device: torch.device
    workdir: Path
    progress: Progress
    scale: World = "mini"
    sampling: SamplingConfig = SamplingConfig()  # noqa: RUF009 (frozen)
    labels: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """Length of the text that the U-Net reads; 1 where it reads none."""
        from aptp_bench.pruning.unets import tokens_of

        return tokens_of(self.teacher)


@dataclass(frozen=True)
class Phase:
    """A part of pruning that runs the U-Net again and again, as a plan prices it.

    steps: how often, at most; batch: samples of a step; shared: what several processes divide among them, its samples or
    the steps. learns: where gradients go; teacher: whether a step has a forward pass of the dense network beside it;
    full_size: on latents as large as those of images, not of training images. split: the setting, and what it amounts to,
    that says how many samples are handled together, where that is not `accumulate`. The rest as in fine-tuning's settings.
    """

    name: str
    steps: int
    batch: int
    shared: Literal["samples", "steps", "nothing"] = "samples"
    learns: Literal["nothing", "gates", "weights"] = "nothing"
    teacher: bool = False
    full_size: bool = False
    accumulate: Parts = 1
    precision: Precision = "float32"
    gradient_checkpointing: bool = False
    split: tuple[str, int] | None = None


@dataclass(frozen=True)
class Forecast:
    """What a method comes to. size: the share of the dense parameters that an expert keeps; None: the budget's."""

    phases: tuple[Phase, ...] = ()
    experts: int = 1
    size: float | None = None


@dataclass(frozen=True)
class Sketch:
    """What a forecast may look at. unet: makes the dense U-Net on the meta device, which takes seconds.

    noted: (name, count) -> a number that follows from the geometry alone, counted at the first time that it is asked for.
    tokens: of a prompt; budget: what is asked of the experts.
    """

    unet: Callable[[], Any]
    noted: Callable[[str, Callable[[], int]], int]
    reads_prompts: bool
    tokens: int
    budget: Budget


class Method(Plugin, ABC):
    """Prunes a teacher to a budget.

    title: what people call it, its name where empty; paper: how to cite it, with its arXiv number or DOI, which pages link.
    published_as: of a method that brings weights made elsewhere, its option that says what people call them. Nothing is
    asked of what they cost unless a budget is given, and they stand beside the boards as what they are.
    presets: its settings by scale, where they differ from the defaults; finetuning: the settings of the shared
    fine-tuning that its paper prescribes, loss weights only: steps, batch and learning rate are the same for all.
    """

    title: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    published_as: ClassVar[str | None] = None
    tunes: bool = True  # False: the result is used as it is (dense)
    uses_data: bool = True  # False: it needs no training pairs, so none are encoded and `job.train` is empty
    uses_sampling: ClassVar[bool] = False  # True: its mixtures plan the calls of a sampler, which `job.sampling` names
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    finetuning: ClassVar[dict[str, Any]] = {}

    def needs_prompts(self) -> bool:
        """Whether it asks what prompts say, so that it cannot prune a model that reads none."""
        return False

    def check(self, scale: World) -> None:  # most methods need nothing
        """Raise what would stop `prune` and can be told before any work, such as WeightsError for a missing encoder."""

    def digests(self, scale: World) -> dict[str, str]:  # most methods read nothing else
        """Digests of what it reads beside the job, by name, such as a prompt encoder's: options say where it lies alone."""
        return {}

    def forecast(self, sketch: Sketch) -> Forecast | None:
        """What pruning will run, and how many experts there will be; None: not known, and plans say so."""
        return None

    @abstractmethod
    def prune(self, job: Job) -> Mixture:
        """A mixture within ±0.5 % of the budget, or the nearest below with a remark that says why it is not nearer.

        Raises BudgetError where neither can be had.
        """
