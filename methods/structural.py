"""Structural pruning (Diff-Pruning): drop the channels and heads that the denoising loss misses least.

Paper: Fang, Ma, Wang, "Structural Pruning for Diffusion Models", NeurIPS 2023, arXiv:2305.10924. The score of a weight
is |theta * sum over t of dL_t/dtheta|, its first-order Taylor expansion over the diffusion steps whose loss is not yet
negligible, L_t / L_max > T; layers are ranked alone. Ours differs: under v-prediction L_t is that of the noise which v
implies, because the loss of v itself does not fall towards 0 as t grows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from aptp_bench.methods.narrowing import NarrowingConfig, narrow
from aptp_bench.plugins import Job, Method

if TYPE_CHECKING:
    from torch import Tensor

    from aptp_bench.models.mixture import Mixture


class Structural(Method):
    """One expert: of every group of coupled channels, those whose removal changes the loss most."""

    name = "structural"
    paper = "Fang et al., Structural Pruning for Diffusion Models, NeurIPS 2023, arXiv:2305.10924"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "mini": {"stride": 50, "micro_batch": 32, "rounding": "nearest"},
        "smoke": {"stride": 100, "pairs": 16, "micro_batch": 16, "rounding": "nearest"},
    }

    class Config(NarrowingConfig):
        """Defaults are the paper's for latent diffusion where it gives a number."""

        threshold: float = Field(
            0.1,
            ge=0,
            lt=1,
            description="T: the first step whose loss is below T times the largest so far ends the sum; paper 0.1 for "
            "latent diffusion, 0.05 on CIFAR-10; 0: every step counts",
        )
        stride: int = Field(10, ge=1, description="every stride-th diffusion step is evaluated; paper 1")
        pairs: int = Field(
            64, ge=1, description="training pairs, the same with the same noise at every step; paper 128"
        )
        micro_batch: int = Field(8, ge=1, description="pairs that go through the network at once, to save memory")
        loss: Literal["noise", "prediction"] = Field(
            "noise",
            description="what is differentiated under v-prediction; noise: the error of the noise that v implies, "
            "alpha_t times that of v (the paper's loss); prediction: the error of v. T is applied to noise always",
        )
        checkpoint_every: int = Field(10, ge=1, description="evaluated steps between two checkpoints")

    config: Config

    def prune(self, job: Job) -> Mixture:
        """Sum gradients over the steps, rank, land on the budget, cut. Raises BudgetError, TrainingError."""
        from aptp_bench.methods import diffusion_gradients

        gradients = diffusion_gradients.gradients(job, self.config)

        def change(name: str, weight: Tensor) -> Tensor:
            return (weight * gradients[name].to(weight)).abs()

        return narrow(job, self.config, change)
