"""Playing a sound: float32 samples at 8 kHz, as many as the mini world's Mel spectrogram takes.

A clip takes about half a millisecond: a tone is read out of a table of one period, whatever the number of its partials.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aptp_bench.audio.mel import MINI
from aptp_bench.audio.waves import Wave
from aptp_bench.data.sounds import drums, tones
from aptp_bench.data.sounds.catalog import SHAPES
from aptp_bench.data.sounds.sound import Sound

RATE, SAMPLES = MINI.rate, MINI.samples
UNEVEN = 0.25  # how much softer than the hardest an event may be
INEXACT = 0.008  # seconds that an event may come late


@dataclass(frozen=True)
class Event:
    """Number, first sample and samples until the next one, and how hard it is played, 0.75..1."""

    number: int
    start: int
    length: int
    force: float


def render(sound: Sound) -> Wave:
    """Play a sound: float32 [SAMPLES] in [-1, 1] whose peak is its level; equal sounds give equal samples."""
    chance = np.random.RandomState(sound.seed)  # this generator is the same in every numpy
    noise = chance.uniform(-1, 1, SAMPLES).astype(np.float32)
    wave = np.zeros(SAMPLES, dtype=np.float32)
    play = PLAYERS[sound.kind](sound, noise)
    for event in _events(sound, chance):
        played = play(event)[: SAMPLES - event.start]
        wave[event.start : event.start + len(played)] += np.float32(event.force) * played
    wave += np.float32(sound.noise * np.abs(wave).max()) * noise
    return wave * np.float32(sound.level / np.abs(wave).max())


def _events(sound: Sound, chance: np.random.RandomState) -> list[Event]:
    step = (SAMPLES / RATE - sound.late) / sound.events
    delays, forces = INEXACT * chance.uniform(size=sound.events), 1 - UNEVEN * chance.uniform(size=sound.events)
    starts = [int(RATE * (sound.late + i * step + delay)) for i, delay in enumerate(delays)]
    ends = [*starts[1:], SAMPLES]
    lengths = [end - start for start, end in zip(starts, ends, strict=True)]
    return [Event(*facts) for facts in zip(range(sound.events), starts, lengths, forces.tolist(), strict=True)]


Player = Callable[[Event], Wave]


def _arpeggio(sound: Sound, noise: Wave) -> Player:
    semitones = SHAPES[sound.kind][sound.shape]

    def play(event: Event) -> Wave:
        hertz = sound.hertz * 2 ** (semitones[event.number % len(semitones)] / 12)
        note = tones.steady(hertz, event.length, sound.timbre, sound.brightness)
        return note * tones.envelope(event.length, attack=0.005, decay=0.15)

    return play


def _chord(sound: Sound, noise: Wave) -> Player:
    ratios = [2 ** (semitone / 12) for semitone in SHAPES[sound.kind][sound.shape]]

    def play(event: Event) -> Wave:
        notes = [tones.steady(sound.hertz * ratio, event.length, sound.timbre, sound.brightness) for ratio in ratios]
        return (notes[0] + notes[1] + notes[2]) * tones.envelope(event.length, attack=0.03, decay=0.9)

    return play


def _sweep(sound: Sound, noise: Wave) -> Player:
    def play(event: Event) -> Wave:
        way = np.linspace(0, 1, event.length)  # of the two octaves
        if sound.shape == "sweep wave":
            way = 1 - np.abs(2 * way - 1)
        if sound.shape == "sweep down":
            way = 1 - way
        glide = tones.moving(sound.hertz * 4**way, sound.timbre, sound.brightness)
        return glide * tones.envelope(event.length, attack=0.02, decay=3.0)

    return play


def _pluck(sound: Sound, noise: Wave) -> Player:
    semitones = SHAPES[sound.kind][sound.shape]

    def play(event: Event) -> Wave:
        hertz = sound.hertz * 2 ** (semitones[event.number % len(semitones)] / 12)
        return tones.plucked(hertz, event.length, sound.timbre, sound.brightness)

    return play


def _drum_loop(sound: Sound, noise: Wave) -> Player:
    kit = drums.Kit.of(sound, noise)
    return lambda event: kit.hit(event.number)


PLAYERS: dict[str, Callable[[Sound, Wave], Player]] = {
    "drum loop": _drum_loop,
    "arpeggio": _arpeggio,
    "chord": _chord,
    "sweep": _sweep,
    "pluck": _pluck,
}
