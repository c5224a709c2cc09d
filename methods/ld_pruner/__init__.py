"""LD-Pruner: operators whose removal leaves the generated latents alone are removed, a cheap stand-in where one is needed.

Paper: Castells, Song, Kim, Choi, "LD-Pruner: Efficient Pruning of Latent Diffusion Models using Task-Agnostic
Insights", CVPR Workshops 2024, pp. 821-830. Its list of operators, prompts and sampling are not public: ours are
options.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from aptp_bench.methods.ld_pruner.config import ALONE, LDPrunerConfig
from aptp_bench.plugins import Forecast, Job, Method, Phase, Sketch

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

    def forecast(self, sketch: Sketch) -> Forecast:
        """The latents of the network as it is, and with every operator modified."""
        c = self.config

        def candidates() -> int:
            from aptp_bench.methods.ld_pruner.operators import operators

            return len(operators(sketch.unet(), c.candidates, c.resnets))

        prompts, generations = (c.prompts, c.generations) if sketch.reads_prompts else (1, max(c.generations, ALONE))
        at_once = min(max(1, c.batch // generations), prompts)
        guided = 2 if sketch.reads_prompts and c.guidance > 1 else 1
        networks = 1 + sketch.noted(f"ld_pruner operators, {c.candidates}, {c.resnets}", candidates)
        steps = networks * math.ceil(prompts / at_once) * c.steps
        rows, split = at_once * generations * guided, ("batch", at_once * generations)
        return Forecast((Phase("scores", steps, rows, "steps", full_size=True, split=split),))

    def prune(self, job: Job) -> Mixture:
        """Score every operator, modify the lowest. Raises BudgetError if all of them together do not save enough."""
        from aptp_bench.methods.ld_pruner.pruning import prune  # imported late: torch is not needed to list methods

        return prune(job, self.config)
