"""One method and one metric for aptp-bench: all that a package of your own needs."""

from __future__ import annotations

import torch
from pydantic import Field

import aptp_bench as bench


class Uniform(bench.Method):
    """Every layer keeps the same share of its heads, channel groups and feed-forward slices; no block goes."""

    name = "uniform"

    class Config(bench.PluginConfig):  # what --set takes
        keep: str = Field("first", pattern="^(first|last)$", description="which units of a layer stay")

    def prune(self, job: bench.Job) -> bench.Mixture:
        """One network: units are ranked by their place in their layer, and one threshold for all meets the budget."""
        unet = job.teacher.unet
        space = bench.GateSpace.of(unet)
        shares = [torch.arange(layer.size) / layer.size for layer in space.widths]
        if self.config.keep == "first":
            shares = [-share for share in shares]
        scores = torch.cat([*shares, torch.full((len(space.depths),), torch.inf)])  # infinite: stays
        inputs = bench.example_inputs(unet, tokens=job.tokens)
        cost = bench.Cost.of(unet, space, inputs, job.budget.convention)
        landed = bench.land(scores[None], torch.ones(1), cost, job.budget)
        return bench.Mixture.of_one(bench.cut(unet, space, landed.keep[0]))


class Colourfulness(bench.Metric):
    """How colourful images are (Hasler and Suesstrunk 2003): spread and mean of the two opponent colours."""

    name, unit, better = "colourfulness", "", "neither"
    needs = frozenset({"images"})

    def __call__(self, evidence: bench.Evidence) -> bench.Measurement:
        """The mean over images, in units of 8-bit colour."""
        red, green, blue = evidence.images().double().unbind(-1)  # [n, H, W] each
        opponents = torch.stack([red - green, (red + green) / 2 - blue]).flatten(2)  # [2, n, H W]
        values = opponents.std(2, correction=0).norm(dim=0) + 0.3 * opponents.mean(2).norm(dim=0)
        return self.measured(float(values.mean()), n=len(values))
