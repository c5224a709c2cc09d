"""Waves: arrays of samples in [-1, 1] along the last axis, and what every reader of them needs."""

from __future__ import annotations

from math import gcd
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from aptp_bench.errors import DataError

Wave: TypeAlias = NDArray[np.floating]


def checked(wave: Wave, what: str = "a wave") -> Wave:
    """The wave itself, [..., samples]. Raises DataError unless it is floating point, not empty and finite."""
    if not isinstance(wave, np.ndarray) or not np.issubdtype(wave.dtype, np.floating) or wave.ndim == 0:
        got = f"{wave.dtype} {list(wave.shape)}" if isinstance(wave, np.ndarray) else type(wave).__name__
        raise DataError(f"{what} must be an array of floats [..., samples], got {got}; divide integers by their range")
    if wave.size == 0:
        raise DataError(f"{what} holds no samples; make or read it again")
    if not np.isfinite(wave).all():
        bad = int((~np.isfinite(wave)).sum())
        raise DataError(f"{bad} of {wave.size} samples of {what} are not finite; make or read it again")
    return wave


def fitted(wave: Wave, samples: int) -> Wave:
    """[..., n] -> [..., samples]: the beginning, followed by silence where the wave is shorter."""
    lacking = samples - wave.shape[-1]
    if lacking <= 0:
        return wave[..., :samples]
    return np.pad(wave, [(0, 0)] * (wave.ndim - 1) + [(0, lacking)])


def resampled(wave: Wave, rate: int, to: int) -> Wave:
    """The same sound at another rate (samples a second), through a linear-phase low-pass filter: [..., n] -> [..., ceil(n to / rate)]."""
    if rate == to:
        return wave
    from scipy.signal import resample_poly

    shared = gcd(rate, to)
    return resample_poly(wave, to // shared, rate // shared, axis=-1).astype(wave.dtype)
