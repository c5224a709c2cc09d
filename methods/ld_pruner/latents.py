"""Latents to compare networks by: the same prompts, noise and sampler for all, whatever was modified.

Not in the paper: the sampler, its steps and guidance, and that both sets start from the same noise, which lowers the
variance of scores. Steps are spaced backwards from the last ("trailing"): the usual spacing would let a sampling of
few steps begin far from pure noise (Lin et al., arXiv:2305.08891).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn

from aptp_bench.core.noise import starting_noise
from aptp_bench.methods.ld_pruner.config import LDPrunerConfig
from aptp_bench.pruning.gates import blocks
from aptp_bench.pruning.macs import ExampleInputs, count
from aptp_bench.pruning.surgery import meta_clone
from aptp_bench.pruning.unets import text_width
from aptp_bench.training.latents import Pairs, encode_text


@dataclass(frozen=True)
class Trial:
    """What the latents of some prompts are made from. noise: [P * n, C, h, w], a prompt's n generations in a row.

    text: [P * n, L, d]; with guidance [2 * P * n, L, d], the empty prompt's rows first; None for a model without text.
    scheduler: set to its steps; between two steps it keeps no state.
    """

    noise: Tensor
    text: Tensor | None
    scheduler: Any
    guidance: float
    generations: int

    @property
    def samples(self) -> int:
        """U-Net samples that `latents` takes: rows of a call times calls."""
        return self.rows * len(self.scheduler.timesteps)

    @property
    def rows(self) -> int:
        """Samples of one call; guidance doubles them."""
        return len(self.noise if self.text is None else self.text)

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
        guided = self.rows > len(x)
        given = self.scheduler.scale_model_input(torch.cat([x, x]) if guided else x, t)
        made = unet(given, t, **({} if self.text is None else {"encoder_hidden_states": self.text})).sample
        if not guided:
            return made
        empty, prompted = made.chunk(2)
        return empty + self.guidance * (prompted - empty)


def reads_text(teacher: Any) -> bool:
    """Whether the model draws what a caption says; one that does not has a single condition (Section 2.3)."""
    return text_width(teacher.unet) is not None


def trials(teacher: Any, train: Pairs, prompts: list[int], config: LDPrunerConfig, seed: int) -> list[Trial]:
    """Latents of the training captions at `prompts`, in parts of whole prompts: `config.batch` latents, or one prompt's.

    The noise of a latent depends on the seed and on its number alone. Of a model without text `prompts` are counted only.
    """
    unet, n = teacher.unet, config.generations
    size, device = unet.config.sample_size, unet.device
    shape = (unet.config.in_channels, *((size, size) if isinstance(size, int) else size))
    scheduler = DDIMScheduler.from_config(teacher.scheduler.config, clip_sample=False, timestep_spacing="trailing")
    scheduler.set_timesteps(config.steps, device=device)
    worded = reads_text(teacher)
    empty = encode_text(teacher, [""], device).float() if worded and config.guidance > 1 else None
    at_once = max(1, config.batch // n)
    made = []
    for start in range(0, len(prompts), at_once):
        part = prompts[start : start + at_once]
        noise = starting_noise(seed, range(start * n, (start + len(part)) * n), shape)
        text = train.batch(part, device).text.repeat_interleave(n, dim=0) if worded else None
        text = text if text is None or empty is None else torch.cat([empty.expand_as(text), text])
        made.append(Trial(noise.to(device), text, scheduler, config.guidance, n))
    return made


def parts(unet: nn.Module) -> dict[str, nn.Module]:
    """A U-Net's blocks, and the ResBlocks, attentions and samplers in them, by path."""
    found: dict[str, nn.Module] = {}
    for path, block in blocks(unet).items():
        rows = {f"{path}.{name}": many for name, many in block.named_children() if isinstance(many, nn.ModuleList)}
        found |= {path: block} | {f"{at}.{i}": part for at, many in rows.items() for i, part in many.named_children()}
    return found


@contextmanager
def overhearing(unet: nn.Module, answers: dict[str, Any]) -> Iterator[None]:
    """Inside, the output of each of a U-Net's parts is filed in `answers`, path -> output, as they end one after another."""
    hooks = [part.register_forward_hook(partial(_keep, answers, path)) for path, part in parts(unet).items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def known(ended: Sequence[str], before: str) -> list[str]:
    """The outermost of the parts that have ended when the one with the module `before` begins. ended: all, in their order.

    What lies in one part with `before` is not known, as far as it is not a part itself.
    """
    holder = max((path for path in ended if f"{before}.".startswith(f"{path}.")), key=len, default="")
    earlier = [path for path in takewhile(lambda path: path != holder, ended) if not path.startswith(f"{holder}.")]
    return [path for path in earlier if not any(path.startswith(f"{other}.") for other in earlier)]


@contextmanager
def answering(unet: nn.Module, answers: dict[str, Any], before: str) -> Iterator[None]:
    """Inside, the parts that end before the one with the module `before` begins give their filed outputs and compute nothing.

    Exact where inputs and these parts are those of the filed pass: what runs later cannot change what came before.
    """
    silent = {path: unet.get_submodule(path) for path in known(list(answers), before)}
    for path, part in silent.items():
        part.forward = lambda *_, output=answers[path], **__: output
    try:
        yield
    finally:
        for part in silent.values():
            del part.forward


def spared(unet: nn.Module, among: Iterable[str], inputs: ExampleInputs) -> dict[str, float]:
    """The share of a call's MACs (exact) that `answering` leaves out, by the path of the modified operator."""
    twin: Any = meta_clone(unet)
    answers: dict[str, Any] = {}
    with torch.no_grad(), overhearing(twin, answers):
        twin(**inputs)
    macs = count(unet, inputs, "exact")
    return {at: sum(macs.under(path) for path in known(list(answers), at)) / macs.total for at in among}


def _keep(answers: dict[str, Any], path: str, module: nn.Module, args: Any, output: Any) -> None:
    answers[path] = output
