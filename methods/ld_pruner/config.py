"""LD-Pruner's options. Where the paper is silent, the default is ours and says so."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from aptp_bench.core.documents import EXECUTION
from aptp_bench.plugins import PluginConfig

Formula = Literal["sum", "product", "average", "deviation"]
Candidates = Literal["costly", "paper", "all"]
Shortcut = Literal["shortcut", "slice"]

# Latents of the one condition of a model without prompts. In the mini world's LDM-4, 4 order the operators as 16 do (Spearman's
# correlation 0.99, at the default 10 steps).
ALONE = 4


class LDPrunerConfig(PluginConfig):
    """What is scored, on which latents, and how much is modified."""

    prompts: int = Field(
        50,
        ge=1,
        description="training captions, drawn by seed, that scores are averaged over; paper 50, which ones is lost. A "
        "model without text has one condition, whatever is set here",
    )
    generations: int = Field(
        2,
        ge=1,
        description="n: latents a prompt; with 1 there is no deviation; the paper's number is lost. Of a model without "
        f"prompts, which has one condition: {ALONE} at least",
    )
    steps: int = Field(10, ge=1, description="DDIM steps that make a latent; the paper's sampler and number are lost")
    guidance: float = Field(
        7.5, ge=0, description="guidance scale of these latents, 1 or less: none; the paper's number is lost"
    )
    score: Formula = Field(
        "sum", description="eq. 7: sum (paper) or product of both distances, average or deviation alone"
    )
    unbiased: bool = Field(False, description="deviation of eqs. 5, 6 over n - 1 instead of n")
    candidates: Candidates = Field(
        "costly",
        description="costly: operators with MACs of their own, the default in the small worlds; paper: the kinds that "
        "the paper names (convolutions, attentions, norms, activations, BasicTransformerBlock, Transformer2DModel), "
        "the default at paper scale; all: both, and time projections",
    )
    resnets: Shortcut = Field(
        "shortcut",
        description="stand-in of a ResBlock that changes the width: its own trained 1x1 shortcut, or the slice of the "
        "decoder's stream that APTP's depth gate passes, where the stream is as wide as the output",
    )
    p: int | None = Field(
        None,
        ge=0,
        description="operators to modify, the paper's rule (42 of SD 1.4), as a second budget: what they leave must "
        "meet --budget, which at 1 leaves p alone; None: as few as meet the budget. An operator inside a modified one "
        "is left out and not counted; one that holds modified ones takes their place",
    )
    batch: int = Field(
        16,
        ge=1,
        description="latents made together, in whole prompts; guidance doubles it. What the original's parts give in the "
        "first step is held meanwhile: of SD 2.1 256 MB a latent",
        json_schema_extra=EXECUTION,
    )

    @field_validator("score", "unbiased")
    @classmethod
    def _needs_a_set(cls, value: Formula | bool, info: ValidationInfo) -> Formula | bool:
        """One latent a prompt has no deviation to score by."""
        if value in ("product", "deviation", True) and info.data.get("generations") == 1:
            raise ValueError("needs generations of 2 or more")
        return value
