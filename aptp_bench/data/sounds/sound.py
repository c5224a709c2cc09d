"""One sound: everything that is known of a clip, sampled from (seed, index).

A sound's random numbers are seeded by the text "sounds/seed/index", so that splits of other seeds share no sound.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from aptp_bench.data.scenes.chance import pick
from aptp_bench.data.sounds.catalog import (
    BRIGHTNESSES,
    EVENTS,
    KINDS,
    PITCHED,
    PITCHES,
    REGISTERS,
    SHAPES_OF,
    TEMPOS,
    TIMBRES,
)


@dataclass(frozen=True)
class Sound:
    """Everything needed to play one clip. The first seven are labels: names out of `catalog.LABELS`."""

    kind: str
    pitch: str  # of the root, or "none" for drums and sweeps
    register: str
    tempo: str
    timbre: str  # which partials there are; of drums: how much of them is noise
    brightness: str
    shape: str
    detune: float  # semitones, at most a quarter either way; of a sweep: up to a fifth upwards
    late: float  # seconds before the first event, up to 0.06
    level: float  # peak, 0.4..0.9
    noise: float  # peak of the white noise beneath, as a share of the level: -60..-35 dB
    seed: int  # of the noise, and of how hard and how exactly each event is played

    @property
    def hertz(self) -> float:
        """Frequency of the root, or where a sweep begins."""
        steps = 2 * PITCHES.index(self.pitch) if self.pitch in PITCHES else 0
        return REGISTERS[self.register] * 2 ** ((steps + self.detune) / 12)

    @property
    def events(self) -> int:
        """How many steps, notes, strikes, glides or strokes the clip has."""
        return EVENTS[self.kind][TEMPOS.index(self.tempo)]


def sample(seed: int, index: int) -> Sound:
    """The sound number `index` under a seed: the same on every machine."""
    rng = random.Random(f"sounds/{seed}/{index}")
    kind = pick(rng, KINDS)
    return Sound(
        kind=kind,
        pitch=pick(rng, PITCHES) if kind in PITCHED else "none",
        register=pick(rng, tuple(REGISTERS)),
        tempo=pick(rng, TEMPOS),
        timbre=pick(rng, tuple(TIMBRES)),
        brightness=pick(rng, tuple(BRIGHTNESSES)),
        shape=pick(rng, SHAPES_OF[kind]),
        detune=7 * rng.random() if kind == "sweep" else 0.5 * (rng.random() - 0.5),
        late=0.06 * rng.random(),
        level=0.4 + 0.5 * rng.random(),
        noise=10 ** (-(35 + 25 * rng.random()) / 20),
        seed=int(rng.random() * 2**32),
    )
