"""The dense network: the reference row of every table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aptp_bench.errors import BudgetError
from aptp_bench.plugins import Forecast, Job, Method, Sketch

if TYPE_CHECKING:
    from aptp_bench.models.mixture import Mixture


class Dense(Method):
    """The teacher as it is: one expert, nothing removed, nothing tuned."""

    name = "dense"
    title = "Dense"
    paper = "Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models, CVPR 2022, arXiv:2112.10752"
    tunes = False
    uses_data = False

    def forecast(self, sketch: Sketch) -> Forecast:
        """It runs nothing, and removes nothing."""
        return Forecast(size=1.0)

    def prune(self, job: Job) -> Mixture:
        """The teacher's U-Net for every prompt. Raises BudgetError for any budget but the whole."""
        from aptp_bench.models.mixture import Mixture

        if job.budget.ratio != 1.0:
            raise BudgetError(f"dense removes nothing and cannot meet a budget of {job.budget.ratio:g}; use --budget 1")
        return Mixture.of_one(job.teacher.unet)
