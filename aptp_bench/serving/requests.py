"""What a pipeline is asked for, checked: every prompt with its noise, before anything is sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from aptp_bench.core.noise import starting_noise
from aptp_bench.core.settings import MOST_GUIDANCE, SamplingConfig
from aptp_bench.errors import ConfigError


@dataclass(frozen=True)
class Request:
    """n prompts, what each image should keep away from, its starting noise [n, C, h, w], and how all are sampled."""

    prompts: Sequence[str]
    negatives: Sequence[str]
    noise: Tensor
    sampling: SamplingConfig


def texts(prompts: str | Sequence[str], count: int | None = None) -> list[str]:
    """Prompts as a list; one text stands for `count`. Raises ConfigError for none, for another number, for no texts."""
    made = [prompts] * (1 if count is None else count) if isinstance(prompts, str) else list(prompts)
    if not made:
        raise ConfigError("there is no prompt; give one text or a list of them")
    if odd := [each for each in made if not isinstance(each, str)]:
        raise ConfigError(f"a prompt is a {type(odd[0]).__name__}; give texts")
    if count is not None and len(made) != count:
        raise ConfigError(f"{len(made)} negative prompts for {count} prompts; give one, or one for each")
    return made


def sampling(steps: int, guidance: float, batch: int, exact: bool = False) -> SamplingConfig:
    """The settings; batch: prompts sampled together. Raises ConfigError for numbers that no sampler can follow."""
    if steps < 1:
        raise ConfigError(f"{steps} steps make no image; take 1 or more, e.g. 25")
    if not 0 <= guidance <= MOST_GUIDANCE:
        raise ConfigError(f"guidance {guidance} is not within 0 and {MOST_GUIDANCE:g}; take 1 for none, e.g. 7.5")
    if batch < 1:
        raise ConfigError(f"batches of {batch} prompts hold nothing; take 1 or more")
    return SamplingConfig(steps=steps, guidance=guidance, batch=batch, exact=exact)


def noise(
    count: int, shape: tuple[int, ...], seed: int, indices: Sequence[int] | None, latents: Tensor | None
) -> Tensor:
    """Starting noise [count, *shape]: the given latents, or that of (seed, index). Raises ConfigError if they do not fit."""
    if latents is not None:
        want = (count, *shape)
        if tuple(latents.shape) != want:
            raise ConfigError(f"latents are {list(latents.shape)}; these prompts and this size need {list(want)}")
        return latents
    numbers = list(range(count)) if indices is None else [int(i) for i in indices]
    if len(numbers) != count:
        raise ConfigError(f"{len(numbers)} indices for {count} prompts; give one for each, or none for 0, 1, 2, …")
    return starting_noise(seed, numbers, shape)
