"""What a pipeline is asked for, checked: every prompt with its noise, before anything is sampled."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from aptp_bench.core.noise import generator as seeded
from aptp_bench.core.noise import starting_noise
from aptp_bench.core.settings import MOST_GUIDANCE, MOST_STEPS, SamplingConfig
from aptp_bench.core.texts import flaw
from aptp_bench.errors import ConfigError


@dataclass(frozen=True)
class Request:
    """n prompts, what each image should keep away from, its starting noise [n, C, h, w], and how all are sampled.

    draws: of whom a scheduler draws that draws at its steps: one generator an image, or one for the only batch. more:
    further arguments of diffusers' pipeline, such as a callback.
    """

    prompts: Sequence[str]
    negatives: Sequence[str]
    noise: Tensor
    sampling: SamplingConfig
    draws: torch.Generator | Sequence[torch.Generator]
    more: Mapping[str, Any] = field(default_factory=dict)

    def draws_of(self, at: Sequence[int]) -> torch.Generator | list[torch.Generator]:
        """Of whom the images at these positions draw."""
        return self.draws if isinstance(self.draws, torch.Generator) else [self.draws[i] for i in at]


@dataclass(frozen=True)
class Start:
    """Where images begin: latents [n, C, h, w]; or noise of a generator, or of one an image; or of seed and number.

    indices: the number of each prompt, 0, 1, 2, … unless given; copies: images of each prompt, one after another.
    """

    seed: int = 0
    indices: Sequence[int] | None = None
    latents: Tensor | None = None
    generator: torch.Generator | Sequence[torch.Generator] | None = None
    copies: int = 1

    def noise(self, prompts: int, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
        """Starting noise [prompts * copies, *shape]; of a generator on `device`, as diffusers draws it. Raises ConfigError."""
        count = prompts * self.copies
        want = (count, *shape)
        if self.latents is not None:
            if not isinstance(self.latents, Tensor) or not self.latents.is_floating_point():
                raise ConfigError(f"latents are {_kind(self.latents)}; give a tensor of floats, {list(want)}")
            if tuple(self.latents.shape) != want:
                raise ConfigError(f"latents are {list(self.latents.shape)}; this request needs {list(want)}")
            return self.latents
        if self.generator is None:
            return self._numbered(prompts, shape)
        if self.indices is not None:
            raise ConfigError("indices number the noise of a seed; leave out them or the generator")
        if isinstance(self.generator, torch.Generator):
            return randn_tensor(want, generator=self.generator, device=device, dtype=dtype)
        if not all(isinstance(each, torch.Generator) for each in _listed("generator", self.generator)):
            raise ConfigError(
                "a generator is none of torch's; give torch.Generator().manual_seed(0), or a list of such"
            )
        if len(self.generator) != count:
            raise ConfigError(f"{len(self.generator)} generators for {count} images; give one, or one for each image")
        return randn_tensor(want, generator=list(self.generator), device=device, dtype=dtype)

    def draws(self, prompts: int, batches: int) -> torch.Generator | list[torch.Generator]:
        """Of whom images draw after their first noise: as diffusers has it, or of seed, prompt number and copy alone.

        One generator for several batches, which are made in any order, is the seed of one an image. Call after `noise`.
        """
        if isinstance(self.generator, torch.Generator):
            if batches == 1:
                return self.generator
            device = self.generator.device
            start = torch.randint(2**62, (1,), generator=self.generator, device=device).item()
            return [seeded("steps", start, number) for number in range(prompts * self.copies)]
        if self.generator is not None:
            return list(self.generator)
        numbers = self._numbers(prompts)
        return [seeded("steps", self.seed, number, copy) for number in numbers for copy in range(self.copies)]

    def _numbers(self, prompts: int) -> list[int]:
        """The number of each prompt. Raises ConfigError."""
        given = range(prompts) if self.indices is None else _listed("indices", self.indices)
        numbers = [whole("an index", number) for number in given]
        if min(numbers, default=0) < 0:
            raise ConfigError(f"an index is {min(numbers)}; give 0 or more")
        if len(numbers) != prompts:
            raise ConfigError(
                f"{len(numbers)} indices for {prompts} prompts; give one for each, or none for 0, 1, 2, …"
            )
        return numbers

    def _numbered(self, prompts: int, shape: tuple[int, ...]) -> Tensor:
        """Of seed, prompt number and copy alone; the first copy's is that of a prompt with one image, as a run's is."""
        numbers = self._numbers(prompts)
        if whole("seed", self.seed) < 0:
            raise ConfigError(f"seed is {self.seed}; give 0 or more")
        first = starting_noise(self.seed, numbers, shape)
        more = [
            [torch.randn(shape, generator=seeded("image", self.seed, number, copy)) for copy in range(1, self.copies)]
            for number in numbers
        ]
        return torch.stack([noise for one, others in zip(first, more, strict=True) for noise in (one, *others)])


def repeated(texts: Sequence[str], copies: int) -> list[str]:
    """Every text so many times in a row, as images of one prompt lie. Raises ConfigError for fewer than one."""
    if (copies := whole("num_images_per_prompt", copies)) < 1:
        raise ConfigError(f"{copies} images of a prompt are none; take num_images_per_prompt=1 or more")
    return [text for text in texts for _ in range(copies)]


def texts(prompts: str | Sequence[str] | None, count: int | None = None) -> list[str]:
    """Prompts as a list; one text stands for `count`. Raises ConfigError for none, for another number, for no texts."""
    if isinstance(prompts, str):
        return texts([prompts] * (1 if count is None else count), count)
    made = [] if prompts is None else _listed("the prompt" if count is None else "the negative prompt", prompts)
    if not made:
        raise ConfigError("there is no prompt; give one text or a list of them")
    if odd := [each for each in made if not isinstance(each, str)]:
        raise ConfigError(f"a prompt is a {type(odd[0]).__name__}; give texts")
    for each in filter(None, made):
        if (wrong := flaw(each)) not in (None, "is empty"):  # an empty one asks for any image
            raise ConfigError(f"a prompt {wrong}: {each[:60]!r}; write another")
    if count is not None and len(made) != count:
        raise ConfigError(f"{len(made)} negative prompts for {count} prompts; give one, or one for each")
    return made


def sampling(steps: int, guidance: float, batch: int, exact: bool = False) -> SamplingConfig:
    """The settings; batch: prompts sampled together. Raises ConfigError for numbers that no sampler can follow."""
    steps, batch = whole("num_inference_steps", steps), whole("batch_size", batch)
    if isinstance(guidance, bool) or not isinstance(guidance, Real):
        raise ConfigError(f"guidance_scale is {guidance!r}; give a number, e.g. 7.5")
    if not 1 <= steps <= MOST_STEPS:
        raise ConfigError(f"{steps} steps are not within 1 and {MOST_STEPS}; take e.g. 25")
    if not 0 <= guidance <= MOST_GUIDANCE:
        raise ConfigError(f"guidance {guidance} is not within 0 and {MOST_GUIDANCE:g}; take 1 for none, e.g. 7.5")
    if batch < 1:
        raise ConfigError(f"batches of {batch} prompts hold nothing; take 1 or more")
    return SamplingConfig(steps=steps, guidance=float(guidance), batch=batch, exact=exact)


def whole(name: str, value: Any) -> int:
    """A whole number, numpy's and torch's too. Raises ConfigError for another kind of thing."""
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass
    raise ConfigError(f"{name} is {value!r}; give a whole number")


def _listed(name: str, given: Any) -> list[Any]:
    """What was given in a row. Raises ConfigError for one thing alone."""
    try:
        if not isinstance(given, Mapping):  # its keys alone
            return list(given)
    except TypeError:
        pass
    raise ConfigError(f"{name} is {given!r}; give a list")


def _kind(given: Any) -> str:
    return str(given.dtype) if isinstance(given, Tensor) else f"a {type(given).__name__}"
