"""One method and one metric for aptp-bench: all that a package of your own needs."""

from __future__ import annotations

import torch
from pydantic import Field

from aptp_bench.evaluation.evaluate import Evidence
from aptp_bench.models.mixture import Mixture
from aptp_bench.plugins import Job, Method, Metric, PluginConfig
from aptp_bench.pruning.cost import Cost
from aptp_bench.pruning.gates import GateSpace
from aptp_bench.pruning.macs import example_inputs
from aptp_bench.pruning.surgery import cut
from aptp_bench.pruning.threshold import land
from aptp_bench.records import Measurement


class Uniform(Method):
    """Every layer keeps the same share of its heads, channel groups and feed-forward slices; no block goes."""

    name = "uniform"

    class Config(PluginConfig):  # what --set takes
        keep: str = Field("first", pattern="^(first|last)$", description="which units of a layer stay")

    def prune(self, job: Job) -> Mixture:
        """One network: units are ranked by their place in their layer, and one threshold for all meets the budget."""
        unet = job.teacher.unet
        space = GateSpace.of(unet)
        shares = [torch.arange(layer.size) / layer.size for layer in space.widths]
        if self.config.keep == "first":
            shares = [-share for share in shares]
        scores = torch.cat([*shares, torch.full((len(space.depths),), torch.inf)])  # infinite: stays
        inputs = example_inputs(unet, tokens=job.teacher.tokenizer.model_max_length)
        cost = Cost.of(unet, space, inputs, job.budget.convention)
        landed = land(scores[None], torch.ones(1), cost, job.budget)
        return Mixture.of_one(cut(unet, space, landed.keep[0]))


class Colourfulness(Metric):
    """How colourful images are (Hasler and Suesstrunk 2003): spread and mean of the two opponent colours."""

    name, unit, better = "colourfulness", "", "neither"
    needs = frozenset({"images"})

    def __call__(self, evidence: Evidence) -> Measurement:
        """The mean over images, in units of 8-bit colour."""
        red, green, blue = evidence.images().double().unbind(-1)  # [n, H, W] each
        opponents = torch.stack([red - green, (red + green) / 2 - blue]).flatten(2)  # [2, n, H W]
        values = opponents.std(2, correction=0).norm(dim=0) + 0.3 * opponents.mean(2).norm(dim=0)
        return self.measured(float(values.mean()), n=len(values))
