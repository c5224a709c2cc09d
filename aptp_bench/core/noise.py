"""Noise as a function of (seed, index) alone: batch size, order, rank and number of processes change none of it."""

from __future__ import annotations

import hashlib
import random
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded by a hash of `parts`, so that neighbouring seeds share nothing."""
    text = ":".join(str(part) for part in parts)
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1  # manual_seed takes 63 bits
    return torch.Generator("cpu").manual_seed(number)


def expert_seed(seed: int, index: int) -> int:
    """The seed of the training of one expert. Older than `generator`, and kept: published records come from it."""
    return seed * 1000 + index


def stage_seed(seed: int, stage: str) -> int:
    """The seed of a method's named training stage, 32 bits. Older than `generator`, and kept, as `expert_seed` is."""
    return zlib.crc32(f"{stage}/{seed}".encode())


def starting_noise(seed: int, indices: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise [len(indices), *shape], float32: row i depends on (seed, indices[i]) only."""
    return torch.stack([torch.randn(shape, generator=generator("image", seed, index)) for index in indices])


@contextmanager
def draws_kept() -> Iterator[None]:
    """Whatever is drawn inside from the global generators of Python, numpy and torch, a caller's own draws go on as without."""
    python, arrays = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)
