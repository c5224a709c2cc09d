"""Noise as a function of (seed, index) alone: batch size, order, rank and number of processes change none of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded by a hash of `parts`, so that neighbouring seeds share nothing."""
    text = ":".join(str(part) for part in parts)
    number = (
        int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    )  # manual_seed takes 63 bits without a sign
    return torch.Generator("cpu").manual_seed(number)


def starting_noise(seed: int, indices: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise [len(indices), *shape], float32: row i depends on (seed, indices[i]) only."""
    return torch.stack([torch.randn(shape, generator=generator("image", seed, index)) for index in indices])
