"""What is profiled: a model as it is, a method's result, saved weights, or a mixture that a run left; as networks, whatever their weights.

A method that learns from data is given noise instead: its widths are then some that it can return at the budget, not
those it would choose. Speed depends on widths alone, so costs are true of that network; `geometry` says how it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from aptp_bench import registry
from aptp_bench.budget import Budget
from aptp_bench.config import model_named
from aptp_bench.contracts.method import Job
from aptp_bench.contracts.model import ModelPlugin
from aptp_bench.core.noise import generator
from aptp_bench.core.progress import Progress
from aptp_bench.errors import ConfigError
from aptp_bench.models import published
from aptp_bench.models.mixture import Mixture
from aptp_bench.pruning.unets import text_width, tokens_of
from aptp_bench.training.latents import Pairs

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

    from aptp_bench.harness.run_folder import RunFolder

PAIRS = 64  # noise pairs for methods that read data
TRAINED_AT = 32  # latents of these pairs at most, as in training at 256 pixels
DENSE = "dense"  # the method of a model as it is
AS_IT_IS = "the model as it is"
PRUNED = "the method's own pruning stage; where it learns from data, on noise: widths it can return, not those it would choose"


@dataclass(frozen=True)
class Subject:
    """A mixture to be profiled. share: [experts], each one's part of the prompts; geometry: how its widths came about."""

    label: str
    mixture: Mixture
    share: Tensor
    geometry: str
    method: str = DENSE
    settings: dict[str, Any] = field(default_factory=dict)
    budget: Budget | None = None


def dense(unet: Any, label: str = DENSE) -> Subject:
    """The model's own U-Net, on the meta device or not."""
    return Subject(label, Mixture.of_one(unet), torch.ones(1, dtype=torch.float64), AS_IT_IS)


def of_weights(source: str, kind: ModelPlugin, device: torch.device | str) -> Subject:
    """The U-Net in a folder or at a hub id, pruned or not. device "meta": its geometry alone. Raises WeightsError."""
    unet: Any = published.read(published.find(source), device)
    published.check_fits(unet, kind.skeleton(), source)
    about = (Mixture.of_one(unet), torch.ones(1, dtype=torch.float64), f"the weights in {source}")
    return Subject(Path(source).name, *about, method="weights")


def saved(folder: Path) -> Subject:
    """A mixture on disk, its experts read one at a time, as if each served as many prompts. Raises CheckpointError."""
    mixture = Mixture.load(folder, lazy=True)
    share = torch.full((len(mixture),), 1 / len(mixture), dtype=torch.float64)
    return Subject(folder.name, mixture, share, f"a saved mixture ({folder})", method="saved")


def of_run(run: RunFolder) -> Subject:
    """What a run measured, its experts weighted by their evaluation prompts. Raises CheckpointError, ConfigError."""
    served = torch.tensor([expert.eval_prompts for expert in run.record.experts], dtype=torch.float64)
    recipe, mixture = run.recipe, Mixture.load(run.mixture, lazy=True)
    about = (f"the run {run.folder.name}", recipe.method, recipe.method_config, recipe.budget)
    return Subject(run.folder.name, mixture, served / served.sum(), *about)


@dataclass(frozen=True)
class Asked:
    """A method's result to be profiled: its name, options as --set takes them, budget and seed."""

    method: str
    settings: Mapping[str, Any]
    budget: Budget
    seed: int = 0
    label: str = ""


def pruned(
    asked: Asked,
    teacher: StableDiffusionPipeline,
    workdir: Path,
    device: torch.device,
    progress: Progress,
    edge: int = TRAINED_AT,
) -> Subject:
    """What the method makes of the teacher at the budget. edge: height and width of latents that it learns from, at most.

    Raises UnknownNameError, ConfigError, BudgetError.
    """
    kind = registry.get("methods", asked.method)
    method = kind(**{**kind.presets.get("mini", {}), **asked.settings})
    method.check("mini")
    train = noise_pairs(teacher, asked.seed, edge) if method.uses_data else Pairs([], torch.empty(0), torch.empty(0))
    job = Job(teacher, train, asked.budget, asked.seed, device, workdir, progress, "mini")
    mixture = method.prune(job)
    served = torch.bincount(mixture.route(list(train.captions)), minlength=len(mixture)).double()
    share = served / served.sum() if len(train) else torch.ones(1, dtype=torch.float64)
    settings = method.config.model_dump(mode="json")
    return Subject(asked.label or asked.method, mixture, share, PRUNED, asked.method, settings, asked.budget)


def noise_pairs(teacher: StableDiffusionPipeline, seed: int, edge: int = TRAINED_AT) -> Pairs:
    """PAIRS pairs of the teacher's sizes: latents and texts of normal noise, captions of the embedded world."""
    from aptp_bench.data.scenes.prompts import prompts

    unet, tokens = teacher.unet, tokens_of(teacher)
    edge, width = min(edge, unet.config.sample_size), text_width(unet) or 1
    drawn = generator("profile", seed)
    captions = [prompt.prompt for prompt in prompts()][:PAIRS]
    latents = torch.randn(PAIRS, unet.config.in_channels, edge, edge, generator=drawn)
    return Pairs(captions, latents, torch.randn(PAIRS, tokens, width, generator=drawn))


def model(name: str) -> ModelPlugin:
    """The model of that name; a scale's name stands for the model of its recipe. Raises UnknownNameError."""
    return registry.get("models", model_named(name))()


def latent_size(kind: ModelPlugin, resolution: int | None) -> int:
    """Height and width of the latents of images of `resolution` pixels, the model's own if None. Raises ConfigError."""
    if resolution is None:
        return kind.latent_size
    factor = kind.resolution // kind.latent_size
    step = factor * 2 ** (len(kind.skeleton().config.down_block_types) - 1)
    if resolution < step or resolution % step:
        near = max(step, round(resolution / step) * step)
        raise ConfigError(f"{kind.name} makes images whose edge is a multiple of {step}; use --resolution {near}")
    return resolution // factor
