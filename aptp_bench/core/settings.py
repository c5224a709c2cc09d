"""The settings of a run's stages: training, fine-tuning, sampling, timing. They can be read without torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from aptp_bench.core.documents import EXECUTION, Frozen

Blocks = Literal["mean", "sum", "norm"]
Precision = Literal["float32", "tf32", "bfloat16"]
Parts = Annotated[int, Field(ge=1)] | Literal["auto"]  # auto: as few as the device's memory allows, see training.fit

MOST_GUIDANCE = 100.0  # beyond which images are black or white
MOST_STEPS = (
    1000  # the diffusion steps that every model here was trained on: of more, samplers make steps that do nothing
)

MOST_CALLS = 100_000  # timed, or samples of one: hours of timing


CALLS_PER_IMAGE_TIMED = 5  # an image is dozens of U-Net calls: it is timed this many times less often


class Settings(Frozen):
    """Numbers that are numbers: neither infinite nor none."""

    model_config = ConfigDict(allow_inf_nan=False)


class TrainConfig(Settings):
    """How long and how fast to train. `batch` is global: over all processes and accumulated parts."""

    steps: int = Field(ge=0, description="optimiser steps")
    batch: int = Field(ge=1, description="samples of a step, over all processes and accumulated parts")
    lr: float = Field(gt=0, le=1, description="learning rate of AdamW after the warm-up, constant")
    warmup: int = Field(0, ge=0, description="steps in which the learning rate rises linearly to lr")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay")
    clip: float | None = Field(None, gt=0, description="largest gradient norm; None: not clipped")
    accumulate: int = Field(
        1, ge=1, description="parts in which a process computes its share, to save memory", json_schema_extra=EXECUTION
    )
    checkpoint_every: int = Field(100, ge=1, description="steps between two checkpoints", json_schema_extra=EXECUTION)

    def lr_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return self.lr * min(1.0, (step + 1) / self.warmup) if self.warmup else self.lr


class FinetuneConfig(Settings):
    """How experts are fine-tuned. The defaults are the paper's where it gives a number."""

    steps: int = Field(30_000, ge=0, description="optimiser steps; see `share`")
    share: Literal["each", "total"] = Field(
        "each",
        description="each: every expert trains for `steps`; total: `steps` are divided among the experts by their "
        "number of pairs, so that a mixture costs what one network does. The paper does not say which",
    )
    batch: int = Field(128, ge=1, description="pairs of a step; paper 128")
    lr: float = Field(1e-5, gt=0, le=1, description="learning rate, constant; paper 1e-5")
    warmup: int = Field(
        0, ge=0, description="steps of linear warm-up; paper: fixed rate; the authors' baseline config 250"
    )
    weight_decay: float = Field(
        0.0, ge=0, description="weight decay of AdamW; not in the paper, 0 in the authors' pruning configs"
    )
    clip: float | None = Field(1.0, gt=0, description="largest gradient norm; None: not clipped; not in the paper")
    alpha_ddpm: float = Field(
        0.0001, ge=0, description="weight of the denoising loss, eq. 30; the authors' configs have 0.01"
    )
    alpha_distill: float = Field(
        1.0, ge=0, description="weight of output + block distillation, eq. 30; the authors' configs have 0.5"
    )
    output_distillation: bool = Field(True, description="whether eq. 27 is part of the distillation")
    block_distillation: bool = Field(True, description="whether eq. 28 is part of the distillation")
    blocks: Blocks = Field(
        "mean", description="how eq. 28 adds up: mean over blocks (authors), sum, or norm (as printed)"
    )
    mid_block: bool = Field(
        True, description="whether eq. 28 compares the mid block too, as in APTP; BK-SDM leaves it out"
    )
    snr_gamma: float | None = Field(
        5.0, gt=0, description="Min-SNR gamma of the denoising loss (authors: 5); None: unweighted (paper)"
    )
    drop_text: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of prompts replaced by the empty one, which guidance needs at sampling; neither the paper "
        "nor its code has it",
    )
    accumulate: Parts = Field(
        1,
        description="parts in which a process computes its share of the batch, to save memory; auto: as few as fit the "
        "GPU, one on a CPU",
        json_schema_extra=EXECUTION,
    )
    gradient_checkpointing: bool = Field(
        False,
        description="forget activations and compute them again when their gradients are due: a fifth of the memory, a "
        "third more time, the same numbers",
        json_schema_extra=EXECUTION,
    )
    shard: bool = Field(
        False,
        description="each of several processes keeps its part of an expert's weights, gradients and moments alone (FSDP2), "
        "and layers are gathered as they are due: for GPUs that cannot hold all of them",
        json_schema_extra=EXECUTION,
    )
    precision: Precision = Field(
        "float32",
        description="of the networks' passes: float32 (the authors), tf32 for products on a GPU, or bfloat16 by autocast",
    )
    checkpoint_every: int = Field(500, ge=1, description="steps between two checkpoints", json_schema_extra=EXECUTION)
    reset: bool = Field(
        False,
        description="train the pruned architecture from scratch: every weight is drawn anew before the first step, by "
        "seed (LD-Pruner, Tables 2 and 3)",
    )

    @model_serializer(mode="wrap")
    def _without_newer_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Newer settings only where they are not the default: keys of stages and records from before stay what they were."""
        return _unless_default(handler(self), {"reset": False, "gradient_checkpointing": False, "shard": False})

    def steps_each(self, pairs: Sequence[int]) -> list[int]:
        """Steps of every expert, by how many training pairs it serves; of one that serves none, 0."""
        if self.share == "each":
            return [self.steps * (own > 0) for own in pairs]
        return [round(self.steps * own / max(sum(pairs), 1)) for own in pairs]

    def training(self, steps: int, parts: int) -> TrainConfig:
        """The settings of the loop that trains one expert. parts: what `accumulate` amounts to here."""
        kept = self.model_dump(include=set(TrainConfig.model_fields))
        return TrainConfig(**{**kept, "steps": steps, "accumulate": parts})


class SamplingConfig(Settings):
    """How images are generated. PNDM calls the U-Net steps + 1 times, DDIM steps times; guidance doubles the batch."""

    steps: int = Field(25, gt=0, le=MOST_STEPS, description="sampler steps; the paper uses 25")
    guidance: float = Field(
        7.5, ge=0, le=MOST_GUIDANCE, description="classifier-free guidance scale; the paper uses 7.5; 1 or less: none"
    )
    scheduler: Literal["pndm", "ddim"] = Field("pndm", description="sampler; the paper uses PNDM")
    batch: int = Field(64, gt=0, description="images generated together; changes no noise")
    exact: bool = Field(
        False, description="on a CPU the same image to the last bit in batches of any size, at some cost in time"
    )
    dtype: Precision = Field(
        "float32",
        description="of all networks: float32, tf32 for products on a GPU, or bfloat16 by autocast; other images, if slightly",
    )

    @model_serializer(mode="wrap")
    def _without_newer_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Newer settings only where they are not the default: keys of stages and records from before stay what they were."""
        return _unless_default(handler(self), {"exact": False, "dtype": "float32"})


class LatencyConfig(Settings):
    """How one U-Net call is timed."""

    warmup: int = Field(2, ge=0, le=MOST_CALLS, description="untimed calls before the timed ones")
    repeats: int = Field(10, gt=1, le=MOST_CALLS, description="timed calls; the median and the spread are reported")
    batch: int = Field(1, gt=0, le=MOST_CALLS, description="samples in a call")

    @property
    def images(self) -> int:
        """Batches of whole images that are timed."""
        return max(2, self.repeats // CALLS_PER_IMAGE_TIMED)


def _unless_default(dumped: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """`dumped` without the settings that are what `defaults` says."""
    return {key: value for key, value in dumped.items() if key not in defaults or value != defaults[key]}
