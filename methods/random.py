"""Random pruning: random units go until the budget is met, the floor that every method must beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from aptp_bench.plugins import Forecast, Job, Method, PluginConfig, Sketch

if TYPE_CHECKING:
    from aptp_bench.models.mixture import Mixture


class RandomConfig(PluginConfig):
    """What may be drawn."""

    depth: bool = Field(True, description="whether whole blocks may go too; off: heads, groups and feed-forward slices")
    align: Literal[1, 8, 16, 64] = Field(
        1,
        description="widths stay multiples of this, or of what the dense width has in common with it: as many units as "
        "that takes go together, in random order within their layer; 1: any width",
    )


class Random(Method):
    """Heads, channel groups, feed-forward slices and blocks drawn at random: the floor that every method must beat."""

    name = "random"
    title = "Random"
    Config = RandomConfig
    config: RandomConfig

    def forecast(self, sketch: Sketch) -> Forecast:
        """It runs no network: units are drawn by lot."""
        return Forecast()

    def prune(self, job: Job) -> Mixture:
        """One network of the gate space, every unit as likely to go as any other. Raises BudgetError if it is too small."""
        import torch  # torch is not needed to list methods

        from aptp_bench.core.noise import generator
        from aptp_bench.models.mixture import Mixture
        from aptp_bench.pruning.alignment import chunks
        from aptp_bench.pruning.cost import Cost
        from aptp_bench.pruning.gates import GateSpace
        from aptp_bench.pruning.macs import example_inputs
        from aptp_bench.pruning.surgery import cut
        from aptp_bench.pruning.threshold import land

        unet: Any = job.teacher.unet
        space = GateSpace.of(unet)
        lots = torch.rand(1, space.size, generator=generator("random", job.seed))
        if not self.config.depth:
            lots[:, space.width_size :] = float("inf")
        inputs = example_inputs(unet, tokens=job.tokens)
        cost = Cost.of(unet, space, inputs, job.budget.convention)
        landed = land(lots, torch.ones(1), cost, job.budget, chunks=chunks(unet, space, self.config.align))
        return Mixture.of_one(cut(unet, space, landed.keep[0]))
