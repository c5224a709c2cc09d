"""Tones: a table of one period, read at any speed, and how loud it is as time goes on."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from aptp_bench.audio.mel import MINI
from aptp_bench.audio.waves import Wave
from aptp_bench.data.sounds.catalog import BRIGHTNESSES, TIMBRES

POINTS = 2_048  # of a table; between two points the wave is a straight line
HIGHEST = 0.45 * MINI.rate  # Hz; partials above are left out, and none is folded back
RELEASE = 0.015  # seconds in which a tone is let go

# A string loses its high partials first (Karplus & Strong 1983; their loss grows with the square of the frequency):
# three groups of partials, and the seconds in which each falls to 1/e at middle c.
GROUPS: tuple[tuple[int, int, float], ...] = ((1, 2, 0.7), (3, 5, 0.25), (6, 12, 0.09))
MIDDLE = 261.63


def steady(hertz: float, length: int, timbre: str, brightness: str) -> Wave:
    """A tone of constant pitch: float32 [length], its partials' sizes summing to 1."""
    turns = (hertz / MINI.rate) * np.arange(length)
    return _read(_period(timbre, brightness, 1, _count(hertz)), turns)


def moving(hertz: NDArray[np.floating], timbre: str, brightness: str) -> Wave:
    """A tone whose frequency is hertz[i] at sample i: float32, as long. Only partials that never leave the range sound."""
    return _read(_period(timbre, brightness, 1, _count(float(hertz.max()))), np.cumsum(hertz / MINI.rate))


def plucked(hertz: float, length: int, timbre: str, brightness: str) -> Wave:
    """A plucked string: float32 [length]; the higher the pitch, the sooner it is silent."""
    turns, time = (hertz / MINI.rate) * np.arange(length), _time(length)
    wave, highest = np.zeros(length, dtype=np.float32), _count(hertz)
    for first, last, decay in GROUPS:
        if first <= highest:
            period = _period(timbre, brightness, first, min(last, highest))
            wave += _read(period, turns) * np.exp(time * (-((hertz / MIDDLE) ** 0.5) / decay)).astype(np.float32)
    return wave * envelope(length, attack=0.002, decay=1e6)


def envelope(length: int, attack: float, decay: float) -> Wave:
    """A rise in a straight line, a fall by 1/e every `decay` seconds, a release at the end: float32 [length]."""
    time = _time(length)
    whole = np.minimum(time / attack, 1) * np.exp(time / -decay) * np.minimum(time[::-1] / RELEASE, 1)
    return whole.astype(np.float32)


def _count(hertz: float) -> int:
    """How many partials of a pitch are in the range, at least one."""
    return max(1, min(max(TIMBRES["full"]), int(HIGHEST / hertz)))


@lru_cache(maxsize=1_024)
def _period(timbre: str, brightness: str, first: int, last: int) -> tuple[Wave, Wave]:
    """One period of the partials first..last, as values [POINTS] and the steps to the next ones [POINTS]."""
    sizes = {k: k ** -BRIGHTNESSES[brightness] for k in TIMBRES[timbre]}
    angle = 2 * np.pi * np.arange(POINTS + 1) / POINTS
    whole = sum((size * np.sin(k * angle) for k, size in sizes.items() if first <= k <= last), np.zeros(POINTS + 1))
    values = whole.astype(np.float32) / np.float32(sum(sizes.values()))
    return values[:-1], np.diff(values)


def _read(period: tuple[Wave, Wave], turns: NDArray[np.floating]) -> Wave:
    """The table at those turns, whose whole part does not matter."""
    place = (turns - np.floor(turns)) * POINTS
    point = place.astype(np.int32)
    np.minimum(point, POINTS - 1, out=point)  # rounding may reach the end
    values, steps = period
    return values[point] + steps[point] * (place - point).astype(np.float32)


@lru_cache(maxsize=4)
def _seconds() -> Wave:
    return np.arange(MINI.samples) / MINI.rate


def _time(length: int) -> Wave:
    """Seconds since the start: [length], length at most a clip's, in double: exponentials of floats differ between processors."""
    return _seconds()[:length]
