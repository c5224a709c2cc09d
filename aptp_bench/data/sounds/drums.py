"""A small drum kit: three drums of tones that fall and of noise that dies away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from aptp_bench.audio.mel import MINI
from aptp_bench.audio.waves import Wave
from aptp_bench.data.sounds.catalog import BEATS
from aptp_bench.data.sounds.sound import Sound

LENGTH = int(0.25 * MINI.rate)  # samples of a hit
TIME = np.arange(LENGTH) / MINI.rate  # in double: sines and exponentials of floats differ between processors
FADE = np.minimum(1, TIME[::-1] / 0.02).astype(np.float32)
NOISE_OF = {"pure": 0.15, "hollow": 0.5, "full": 1.2}  # of kick and snare, beside a tone of 1, by timbre
SILENCE = np.zeros(LENGTH, dtype=np.float32)


@dataclass(frozen=True)
class Kit:
    """Every drum's sound, float32 [LENGTH], and which is hit at each step of a bar ("": none)."""

    drums: Mapping[str, Wave]
    bar: tuple[str, ...]

    @classmethod
    def of(cls, sound: Sound, noise: Wave) -> Kit:
        """The kit of a drum loop, tuned by its register. noise: white, [n], n at least 3 LENGTH."""
        rough, pitch = NOISE_OF[sound.timbre], sound.hertz / 2
        first, second, third = (coloured(noise[i * LENGTH :][:LENGTH], sound.brightness) for i in range(3))
        kick = falling(pitch, 2.0, 0.11) + 0.4 * rough * first * fading(0.02)
        snare = 0.7 * falling(2.5 * pitch, 0.5, 0.06) + rough * second * fading(0.07)
        hat = 0.5 * np.diff(third, prepend=np.float32(0)) * fading(0.03)
        return cls({"kick": kick * FADE, "snare": snare * FADE, "hat": hat * FADE}, BEATS[sound.shape])

    def hit(self, step: int) -> Wave:
        """What sounds from that step on: float32 [LENGTH]."""
        return self.drums.get(self.bar[step % len(self.bar)], SILENCE)


def falling(hertz: float, drop: float, decay: float) -> Wave:
    """A tone that begins (1 + drop) times as high and settles at `hertz` within 30 ms; 1/e after `decay` seconds."""
    settle = 0.03
    turns = hertz * (TIME + drop * settle * (1 - np.exp(-TIME / settle)))
    return np.sin(2 * np.pi * turns).astype(np.float32) * fading(decay)


def fading(decay: float) -> Wave:
    """1/e after `decay` seconds: float32 [LENGTH]."""
    return np.exp(TIME / -decay).astype(np.float32)


def coloured(noise: Wave, brightness: str) -> Wave:
    """Noise as it is, with its upper half damped (dark), or with its lower half damped (bright): float32, as long."""
    if brightness == "plain":
        return noise
    sign = 1 if brightness == "dark" else -1
    near = noise + sign * np.roll(noise, 1)
    return np.float32(0.4) * (near + sign * np.roll(near, 1))
