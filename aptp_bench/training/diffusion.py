"""What training needs of diffusion: the forward process, what the network is asked for, losses between two networks.

Symbols and equation numbers are those of APTP, arXiv:2406.12042; losses are per sample, [B], so that callers decide
how to average.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from aptp_bench.core.precision import autocast
from aptp_bench.core.settings import Blocks, Precision
from aptp_bench.errors import ConfigError
from aptp_bench.training.latents import Batch

MID = "mid"  # the mid block's name among the blocks


@dataclass(frozen=True)
class Noising:
    """The forward process of a checkpoint: `alphas` = cumulative products of 1 - beta, [T]; the kind of its prediction."""

    alphas: Tensor
    prediction: str

    @classmethod
    def of(cls, scheduler: Any) -> Noising:
        """Read off a diffusers scheduler. Raises ConfigError if it predicts neither the noise nor v."""
        prediction = scheduler.config.prediction_type
        if prediction not in ("epsilon", "v_prediction"):
            raise ConfigError(
                f"cannot train towards prediction type '{prediction}'; use a checkpoint that predicts epsilon or v"
            )
        return cls(scheduler.alphas_cumprod.float().cpu(), prediction)

    @property
    def steps(self) -> int:
        """T: number of diffusion steps."""
        return len(self.alphas)

    def add_noise(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """x_t of eq. 17 from x0, eps: [B, C, h, w] and t: [B] in 0..T-1."""
        signal, noise = self._scales(t, x0)
        return signal * x0 + noise * eps

    def target(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """What the checkpoint predicts: eps (eq. 1), or v = sqrt(alpha) eps - sqrt(1 - alpha) x0 (Salimans & Ho 2022)."""
        signal, noise = self._scales(t, x0)
        return eps if self.prediction == "epsilon" else signal * eps - noise * x0

    def snr(self, t: Tensor) -> Tensor:
        """Signal-to-noise ratio alpha / (1 - alpha) at t: [B] -> [B]."""
        alpha = self.alphas.to(t.device)[t]
        return alpha / (1.0 - alpha)

    def min_snr_weights(self, t: Tensor, gamma: float) -> Tensor:
        """Min-SNR weights (Hang et al. 2023, arXiv:2303.09556) of a loss on the prediction, t: [B] -> [B].

        min(snr, gamma) weights an error of x0; an error of eps is snr times, one of v snr + 1 times as large.
        """
        snr = self.snr(t)
        scale = snr if self.prediction == "epsilon" else snr + 1.0
        return snr.clamp(max=gamma) / scale.clamp(min=1e-8)

    def _scales(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        alpha = self.alphas.to(like.device)[t.to(like.device)].to(like.dtype)[:, None, None, None]
        return alpha.sqrt(), (1.0 - alpha).sqrt()


@dataclass(frozen=True)
class Noised:
    """A batch at drawn steps: x: x_t, target: [B, C, h, w]; t: [B]; text: [B, L, d]; weights of the denoising loss: [B]."""

    x: Tensor
    t: Tensor
    text: Tensor
    target: Tensor
    weights: Tensor


@dataclass(frozen=True)
class Draw:
    """Steps t: [B] and noise eps: [B, C, h, w] of a whole global batch, on the CPU."""

    t: Tensor
    eps: Tensor

    @classmethod
    def of(cls, noising: Noising, shape: tuple[int, ...], generator: torch.Generator) -> Draw:
        """Uniform steps and standard normal noise for latents of `shape` [B, C, h, w]."""
        t = torch.randint(noising.steps, shape[:1], generator=generator)
        return cls(t, torch.randn(shape, generator=generator))

    def apply(self, noising: Noising, batch: Batch, rows: slice, snr_gamma: float | None) -> Noised:
        """Noise `batch`, which holds rows `rows` of the global batch, on its device."""
        device = batch.latents.device
        t, eps = self.t[rows].to(device), self.eps[rows].to(device)
        weights = torch.ones(len(t), device=device) if snr_gamma is None else noising.min_snr_weights(t, snr_gamma)
        x = noising.add_noise(batch.latents, eps, t)
        return Noised(x, t, batch.text, noising.target(batch.latents, eps, t), weights)


@dataclass(frozen=True)
class Seen:
    """What one network makes of a noised batch: its prediction and the outputs of its blocks by name."""

    prediction: Tensor
    blocks: dict[str, Tensor]


@contextmanager
def recorded(unet: nn.Module, ends: Sequence[int] = ()) -> Iterator[dict[str, Tensor]]:
    """The outputs of a U-Net's blocks by name, filled by every forward pass inside; the hooks are gone afterwards.

    Down blocks are counted from the input and up blocks from the output ("up.-1" is the last), so that blocks of
    U-Nets of different depth that play the same part share a name. Where a block returns a tuple, its first entry
    counts. ends: numbers of down blocks whose last transformer is recorded too (see early_ends).
    """
    blocks = {f"down.{i}": block for i, block in enumerate(unet.down_blocks)}
    blocks |= {f"down.{i}.end": _end(unet.down_blocks[i]) for i in ends}
    blocks |= {} if unet.mid_block is None else {MID: unet.mid_block}
    blocks |= {f"up.{i - len(unet.up_blocks)}": block for i, block in enumerate(unet.up_blocks)}
    outputs: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, args: Any, output: Any) -> None:
        outputs[name] = output[0] if isinstance(output, tuple) else output

    handles = [block.register_forward_hook(partial(keep, name)) for name, block in blocks.items()]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def early_ends(student: nn.Module, teacher: nn.Module) -> tuple[int, ...]:
    """Numbers of the down blocks that have no downsampler in the student and one in the teacher.

    Where a student has fewer stages, its innermost one ends before the teacher's does, and their outputs differ in
    size. What can be compared is the output projection of the stage's last transformer (BK-SDM, arXiv:2305.15798, for
    its Tiny). Empty for networks of the same depth.
    """
    pairs = enumerate(zip(student.down_blocks, teacher.down_blocks, strict=False))
    ended = [i for i, (mine, theirs) in pairs if mine.downsamplers is None and theirs.downsamplers is not None]
    return tuple(i for i in ended if None not in (_end(student.down_blocks[i]), _end(teacher.down_blocks[i])))


def observe(unet: nn.Module, noised: Noised, precision: Precision = "float32", ends: Sequence[int] = ()) -> Seen:
    """Run a U-Net on a noised batch, by autocast in `precision`: its prediction and `recorded` outputs, float32 at least."""
    with recorded(unet, ends) as blocks, autocast(precision, noised.x.device):
        prediction = unet(noised.x, noised.t, encoder_hidden_states=noised.text).sample
    return Seen(_full(prediction), {name: _full(output) for name, output in blocks.items()})


def compared(
    student: Seen, teacher: Seen | None, noised: Noised, blocks: Blocks = "mean", mid: bool = True
) -> dict[str, Tensor]:
    """The terms of a distillation for every sample, [B] each: eqs. 1, 27 and 28; without a teacher the first alone."""
    terms = {"denoising": denoising_loss(student, noised)}
    if teacher is not None:
        terms["output"] = output_distillation(student, teacher)
        terms["blocks"] = block_distillation(student, teacher, blocks, mid)
    return terms


def denoising_loss(student: Seen, noised: Noised) -> Tensor:
    """Eq. 1 for every sample, the squared error averaged over elements, weighted by Min-SNR: [B]."""
    return noised.weights * _mse(student.prediction, noised.target)


def output_distillation(student: Seen, teacher: Seen) -> Tensor:
    """Eq. 27 for every sample, averaged over elements: [B]."""
    return _mse(student.prediction, teacher.prediction)


def block_distillation(student: Seen, teacher: Seen, blocks: Blocks = "mean", mid: bool = True) -> Tensor:
    """Eq. 28 for every sample: [B]. Blocks that both networks have in the same shape count; zero if there is none.

    blocks: "mean" over blocks of the squared error averaged over elements (the authors' code), its "sum" over blocks,
    or "norm", the sum of squared norms as printed. mid: whether the mid block counts.
    """
    both = [(student.blocks[n], teacher.blocks[n]) for n in student.blocks if n in teacher.blocks and (mid or n != MID)]
    shared = [(mine, theirs) for mine, theirs in both if mine.shape == theirs.shape]
    if not shared:
        return torch.zeros_like(student.prediction[:, 0, 0, 0])
    errors = torch.stack([_mse(mine, theirs) for mine, theirs in shared])
    if blocks == "norm":
        sizes = torch.tensor([mine[0].numel() for mine, _ in shared]).to(errors)
        return (errors * sizes[:, None]).sum(0)
    return errors.mean(0) if blocks == "mean" else errors.sum(0)


def _end(block: nn.Module) -> Any:
    """The output projection of a down block's last transformer; None if it has none."""
    transformers = getattr(block, "attentions", None)
    return getattr(transformers[-1], "proj_out", None) if transformers else None


def _mse(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().flatten(1).mean(1)


def _full(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
