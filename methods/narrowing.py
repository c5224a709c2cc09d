"""What norm and structural pruning share: coupled channels, narrowed by what their weights are worth, to a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from aptp_bench.core.documents import EXECUTION
from aptp_bench.plugins import Job, PluginConfig

if TYPE_CHECKING:
    from aptp_bench.models.mixture import Mixture
    from aptp_bench.pruning.coupled import Saliency

WIDTHS = "widths.json"


class NarrowingConfig(PluginConfig):
    """Which channels may go, and how they are compared."""

    heads: Literal["whole", "width"] = Field(
        "whole",
        description="whole: attention loses heads; width: every head becomes narrower by as much (the APTP authors' "
        "baseline)",
    )
    feed_forwards: bool = Field(
        True,
        description="whether feed-forwards may be narrowed; the APTP authors' baseline leaves them, and with them the "
        "inner width of every transformer",
    )
    ranking: Literal["local", "global"] = Field(
        "local",
        description="local: all groups of coupled channels lose the same share, the lowest scores within each (paper); "
        "global: one ranking over the network, scores divided by their group's mean (the APTP authors' baseline)",
    )
    rounding: Literal["up", "nearest"] = Field(
        "up",
        description="local ranking: when a started unit goes; up: at once (torch-pruning, the APTP authors' baseline); "
        "nearest: from its half on, where layers have few units",
    )
    align: Literal[1, 8, 16, 64] = Field(
        1,
        description="widths that pruning changes stay multiples of this, narrowed heads included, or of what the dense "
        "width has in common with it; 8: what half-precision matrix units want; 64: whole tiles; 1: any width (paper, "
        "the APTP authors' baseline)",
    )


class StructuralConfig(NarrowingConfig):
    """The settings of Structural pruning and of the gradients it sums; defaults are the paper's for latent diffusion."""

    threshold: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="T: the first step whose loss is below T times the largest so far ends the sum; paper 0.1 for "
        "latent diffusion, 0.05 on CIFAR-10; 0: every step counts",
    )
    stride: int = Field(10, ge=1, description="every stride-th diffusion step is evaluated; paper 1")
    pairs: int = Field(64, ge=1, description="training pairs, the same with the same noise at every step; paper 128")
    micro_batch: int = Field(
        8, ge=1, description="pairs that go through the network at once, to save memory", json_schema_extra=EXECUTION
    )
    loss: Literal["noise", "prediction"] = Field(
        "noise",
        description="what is differentiated under v-prediction; noise: the error of the noise that v implies, "
        "alpha_t times that of v (the paper's loss); prediction: the error of v. T is applied to noise always",
    )
    checkpoint_every: int = Field(
        10, ge=1, description="evaluated steps between two checkpoints", json_schema_extra=EXECUTION
    )


def narrow(job: Job, config: NarrowingConfig, saliency: Saliency, first: bool = False) -> Mixture:
    """The teacher without its least worthy units, at the budget; it is left as it was.

    saliency, first: see coupled.scores. What each group lost is written to the job's folder. Raises BudgetError.
    """
    from aptp_bench.core.distributed import Ranks
    from aptp_bench.core.files import write_json
    from aptp_bench.models.mixture import Mixture
    from aptp_bench.pruning import alignment, budget_fit, coupled
    from aptp_bench.pruning.macs import example_inputs

    unet = job.teacher.unet
    groups = alignment.stepped(unet, coupled.groups(unet, config.heads, config.feed_forwards), config.align)
    scores = coupled.scores(unet, groups, saliency, first)
    local = config.ranking == "local"
    queue = [
        budget_fit.uniform(group.size, config.rounding, group.step) if local else budget_fit.ranked(score, group.step)
        for group, score in zip(groups, scores, strict=True)
    ]
    inputs = example_inputs(unet, tokens=job.tokens)
    fitted = budget_fit.fit(unet, groups, queue, job.budget, inputs)
    if Ranks.here().first:
        lost = {group.path: [n, group.size] for group, n in zip(groups, fitted.removed, strict=True)}
        job.workdir.mkdir(parents=True, exist_ok=True)
        write_json(job.workdir / WIDTHS, {"ratio": fitted.ratio, "removed_of": lost})
    keep = [coupled.weakest(score, n) for score, n in zip(scores, fitted.removed, strict=True)]
    return Mixture.of_one(coupled.cut(unet, groups, keep))
