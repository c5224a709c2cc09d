"""Latents to compare networks by: the same prompts, noise and sampler for all, whatever was modified.

Not in the paper: the sampler, its steps and guidance, and that both sets start from the same noise, which lowers the
variance of scores. Steps are spaced backwards from the last ("trailing"): the usual spacing would let a sampling of
few steps begin far from pure noise (Lin et al., arXiv:2305.08891).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from torch import Tensor, nn

from aptp_bench.core.noise import starting_noise
from aptp_bench.methods.ld_pruner.config import LDPrunerConfig
from aptp_bench.pruning.gates import blocks
from aptp_bench.training.latents import Pairs, encode_text


@dataclass(frozen=True)
class Trial:
    """What the latents of some prompts are made from. noise: [P * n, C, h, w], a prompt's n generations in a row.

    text: [P * n, L, d]; with guidance [2 * P * n, L, d], the empty prompt's rows first. scheduler: set to its steps;
    between two steps it keeps no state.
    """

    noise: Tensor
    text: Tensor
    scheduler: Any
    guidance: float
    generations: int

    @property
    def samples(self) -> int:
        """U-Net samples that `latents` takes: rows of a call times calls."""
        return len(self.text) * len(self.scheduler.timesteps)

    @torch.inference_mode()
    def latents(self, unet: nn.Module, first: AbstractContextManager[None] | None = None) -> Tensor:
        """The latents that `unet` makes: [P, n, C, h, w]. first: a context for the first step."""
        x = self.noise * self.scheduler.init_noise_sigma
        for i, t in enumerate(self.scheduler.timesteps):
            with (first or nullcontext()) if i == 0 else nullcontext():
                prediction = self._prediction(unet, x, t)
            x = self.scheduler.step(prediction, t, x).prev_sample
        return x.unflatten(0, (-1, self.generations))

    def _prediction(self, unet: nn.Module, x: Tensor, t: Tensor) -> Tensor:
        guided = len(self.text) > len(x)
        given = self.scheduler.scale_model_input(torch.cat([x, x]) if guided else x, t)
        made = unet(given, t, encoder_hidden_states=self.text).sample
        if not guided:
            return made
        empty, prompted = made.chunk(2)
        return empty + self.guidance * (prompted - empty)


def trials(
    teacher: StableDiffusionPipeline, train: Pairs, prompts: list[int], config: LDPrunerConfig, seed: int
) -> list[Trial]:
    """Latents of the training captions at `prompts`, in parts of whole prompts: `config.batch` latents, or one prompt's.

    The noise of a latent depends on the seed and on its number alone.
    """
    unet, n = teacher.unet, config.generations
    size, device = unet.config.sample_size, unet.device
    scheduler = DDIMScheduler.from_config(teacher.scheduler.config, clip_sample=False, timestep_spacing="trailing")
    scheduler.set_timesteps(config.steps, device=device)
    empty = encode_text(teacher, [""], device).float() if config.guidance > 1 else None
    at_once = max(1, config.batch // n)
    made = []
    for start in range(0, len(prompts), at_once):
        part = prompts[start : start + at_once]
        noise = starting_noise(seed, range(start * n, (start + len(part)) * n), (unet.config.in_channels, size, size))
        text = train.batch(part, device).text.repeat_interleave(n, dim=0)
        text = text if empty is None else torch.cat([empty.expand_as(text), text])
        made.append(Trial(noise.to(device), text, scheduler, config.guidance, n))
    return made


@contextmanager
def overhearing(unet: nn.Module, answers: dict[str, Any]) -> Iterator[None]:
    """Inside, the output of each of a U-Net's blocks is filed in `answers`, path -> output."""
    hooks = [block.register_forward_hook(partial(_keep, answers, path)) for path, block in blocks(unet).items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def answering(unet: nn.Module, answers: dict[str, Any], before: str) -> Iterator[None]:
    """Inside, the blocks that run before the one with the module `before` give their filed outputs and compute nothing.

    Exact where inputs and these blocks are those of the filed pass: what runs later cannot change what came before.
    """
    known = dict(takewhile(lambda block: not before.startswith(f"{block[0]}."), blocks(unet).items()))
    for path, block in known.items():
        block.forward = lambda *_, output=answers[path], **__: output
    try:
        yield
    finally:
        for block in known.values():
            del block.forward


def _keep(answers: dict[str, Any], path: str, module: nn.Module, args: Any, output: Any) -> None:
    answers[path] = output
