"""LD-Pruner: operators whose removal leaves the generated latents alone are removed, a cheap stand-in where one is needed.

Paper: Castells, Song, Kim, Choi, "LD-Pruner: Efficient Pruning of Latent Diffusion Models using Task-Agnostic
Insights", CVPR Workshops 2024, pp. 821-830. Its list of operators, prompts and sampling are not public: ours are
options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from aptp_bench.methods.ld_pruner.config import LDPrunerConfig
from aptp_bench.plugins import Job, Method

if TYPE_CHECKING:
    from aptp_bench.models.mixture import Mixture

__all__ = ["LDPruner", "LDPrunerConfig"]


class LDPruner(Method):
    """One expert: the operators that change the latents least are removed, or swapped for a stand-in, one after another."""

    name = "ld_pruner"
    title = "LD-Pruner"
    paper = "Castells et al., LD-Pruner, CVPR Workshops 2024, pp. 821-830, arXiv:2404.11936"
    Config = LDPrunerConfig
    config: LDPrunerConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "mini": {"prompts": 8, "generations": 4, "steps": 2, "guidance": 1.0, "batch": 32},
        "smoke": {"prompts": 2, "generations": 2, "steps": 1, "guidance": 1.0},
        "paper": {"candidates": "paper"},
    }
    # Supplementary Table 4: 0.7 for features and outputs; the denoising loss beside them as in BK-SDM
    finetuning: ClassVar[dict[str, Any]] = {"alpha_ddpm": 1.0, "alpha_distill": 0.7, "blocks": "sum", "snr_gamma": None}

    def prune(self, job: Job) -> Mixture:
        """Score every operator, modify the lowest. Raises BudgetError if all of them together do not save enough."""
        from aptp_bench.methods.ld_pruner.pruning import prune  # imported late: torch is not needed to list methods

        return prune(job, self.config)
