"""Structural pruning (Diff-Pruning): drop the channels and heads that the denoising loss misses least.

Paper: Fang, Ma, Wang, "Structural Pruning for Diffusion Models", NeurIPS 2023, arXiv:2305.10924. The score of a weight
is |theta * sum over t of dL_t/dtheta|, its first-order Taylor expansion over the diffusion steps whose loss is not yet
negligible, L_t / L_max > T; layers are ranked alone. Ours differs: under v-prediction L_t is that of the noise which v
implies, because the loss of v itself does not fall towards 0 as t grows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from aptp_bench.methods.narrowing import StructuralConfig, narrow
from aptp_bench.plugins import Forecast, Job, Method, Phase, Sketch

if TYPE_CHECKING:
    from torch import Tensor

    from aptp_bench.models.mixture import Mixture

DIFFUSION_STEPS = 1000  # of the models' training, which a threshold may end sooner


class Structural(Method):
    """One expert: of every group of coupled channels, those whose removal changes the loss most."""

    name = "structural"
    title = "Structural"
    paper = "Fang et al., Structural Pruning for Diffusion Models, NeurIPS 2023, arXiv:2305.10924"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "mini": {"stride": 50, "micro_batch": 32, "rounding": "nearest"},
        "smoke": {"stride": 100, "pairs": 16, "micro_batch": 16, "rounding": "nearest"},
    }

    Config = StructuralConfig
    config: StructuralConfig

    def forecast(self, sketch: Sketch) -> Forecast:
        """Gradients at every stride-th step, at most, for every process all of them."""
        c = self.config
        steps, parts = math.ceil(DIFFUSION_STEPS / c.stride), math.ceil(c.pairs / c.micro_batch)
        split = ("micro_batch", min(c.micro_batch, c.pairs))
        return Forecast((Phase("gradients", steps, c.pairs, "nothing", "weights", accumulate=parts, split=split),))

    def prune(self, job: Job) -> Mixture:
        """Sum gradients over the steps, rank, land on the budget, cut. Raises BudgetError, TrainingError."""
        from aptp_bench.methods import diffusion_gradients

        gradients = diffusion_gradients.gradients(job, self.config)

        def change(name: str, weight: Tensor) -> Tensor:
            return (weight * gradients[name].to(weight)).abs()

        return narrow(job, self.config, change)
