"""Norm pruning: drop the channels and heads whose weights are smallest.

Paper: Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, arXiv:1608.08710, Section 3.1. It ranks filters
within a layer by their L1 norm; where shortcuts couple layers, the shortcut's filters decide. Heads, feed-forwards and
GroupNorms are not in the paper; here a head is the mean of its channels, and a GroupNorm loses the same channel of
every group. The baseline of the APTP authors is another setting of the same options (see their help): heads=width
feed_forwards=false ranking=global order=2 layers=all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from aptp_bench.methods.narrowing import NarrowingConfig, narrow
from aptp_bench.plugins import Forecast, Job, Method, Sketch

if TYPE_CHECKING:
    from torch import Tensor

    from aptp_bench.models.mixture import Mixture


class Norm(Method):
    """One expert: of every group of coupled channels, those with the largest weights."""

    name = "norm"
    title = "Norm"
    paper = "Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017, arXiv:1608.08710"
    presets: ClassVar[dict[str, dict[str, Any]]] = {"mini": {"rounding": "nearest"}, "smoke": {"rounding": "nearest"}}

    class Config(NarrowingConfig):
        """Defaults are the paper's."""

        order: float = Field(  # beyond these bounds the powers of small weights are all 0, or all 1, in float32
            1.0, ge=0.1, le=8, description="order p of the norm; paper 1, the APTP authors' baseline 2"
        )
        layers: Literal["first", "all"] = Field(
            "first",
            description="whose weights count where layers are coupled; first: the filters of one layer that writes the "
            "channels, at a shortcut the shortcut's (paper); all: those of every layer that writes or reads them "
            "(torch-pruning, the APTP authors' baseline)",
        )

    config: Config

    def forecast(self, sketch: Sketch) -> Forecast:
        """It runs no network: weights are compared."""
        return Forecast()

    def prune(self, job: Job) -> Mixture:
        """Rank, land on the budget, cut. Raises BudgetError if it cannot be met."""

        def magnitude(name: str, weight: Tensor) -> Tensor:
            return weight.abs() ** self.config.order

        return narrow(job, self.config, magnitude, first=self.config.layers == "first")
