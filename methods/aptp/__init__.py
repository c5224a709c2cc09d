"""APTP: prompts are routed to experts that were pruned for prompts like them.

Paper: Ganjdanesh, Shirkavand, Gao, Huang, "Not All Prompts Are Made Equal: Prompt-based Pruning of Text-to-Image
Diffusion Models", ICLR 2025, arXiv:2406.12042.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from aptp_bench.methods.aptp.config import APTPConfig
from aptp_bench.plugins import Forecast, Job, Method, Phase, Sketch

if TYPE_CHECKING:
    from aptp_bench.models.mixture import Mixture

__all__ = ["APTP", "APTPConfig", "EqualExperts"]


class APTP(Method):
    """N experts and a learned router: similar prompts share an architecture, the mean over prompts meets the budget."""

    name = "aptp"
    title = "APTP"
    paper = (
        "Ganjdanesh et al., Not All Prompts Are Made Equal: Prompt-based Pruning of Text-to-Image Diffusion Models, ICLR 2025, "
        "arXiv:2406.12042"
    )
    Config = APTPConfig
    config: APTPConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # Why these, with figures: docs/aptp_in_the_mini_world.md. All is what paper and code leave open, or do not agree on.
        "mini": {
            "warmup_steps": 50,
            "joint_steps": 400,
            "batch": 64,
            "lr": 2.5e-3,
            "lr_warmup": 10,
            "max_weight": 0.0,
            "std_weight": 0.0,
            "transport_rounding": "balanced",
            "transport_noise": False,
            "network_mean": "samples",
            "init": "clustered",
            "align_below": 0.9,
        },
        "smoke": {
            "experts": 4,
            "warmup_steps": 8,
            "joint_steps": 24,
            "batch": 32,
            "lr": 1e-2,
            "lr_warmup": 2,
            "align_steps": 100,
        },
        "paper": {"accumulate": "auto"},
    }

    def needs_prompts(self) -> bool:
        """A router sends prompts to experts; one architecture for all has none."""
        return not self.config.uni_arch

    def check(self, scale: str) -> None:
        """Raise WeightsError now if there is no prompt encoder, TrainingError if the search has more processes than pairs a step."""
        from aptp_bench.core.distributed import check_batch
        from aptp_bench.methods.aptp import encoder

        check_batch(self.config.batch)
        if not self.config.uni_arch:
            encoder.found(self.config.encoder or encoder.default(scale))

    def digests(self, scale: str) -> dict[str, str]:
        """The prompt encoder's."""
        from aptp_bench.methods.aptp.encoder import PromptEncoder, default

        return (
            {} if self.config.uni_arch else {"encoder": PromptEncoder(self.config.encoder or default(scale)).digest()}
        )

    def forecast(self, sketch: Sketch) -> Forecast:
        """Both stages of the search; the alignment runs no U-Net."""
        c = self.config
        search = Phase(
            "search", c.warmup_steps + c.joint_steps, c.batch, "samples", "gates", c.distillation,
            accumulate=c.accumulate, precision=c.precision, gradient_checkpointing=c.gradient_checkpointing,
        )  # fmt: skip
        return Forecast((search,), experts=c.codes)

    def prune(self, job: Job) -> Mixture:
        """Search, land on the budget, cut. Raises BudgetError if it cannot be met, TrainingError on divergence."""
        from aptp_bench.methods.aptp.pruning import prune  # imported late: torch is not needed to list methods

        return prune(job, self.config)


class EqualExperts(APTP):
    """APTP with experts of one size: what is left of it where no prompt is given more than another."""

    name = "aptp_equal"
    title = "APTP (equal experts)"
    paper = ""

    class Config(APTPConfig):
        """APTP's settings."""

        architectures: Literal["equal"] = Field(
            "equal", description="searched under the budget for every expert by itself, so that all have one size; ours"
        )

    config: Config
