"""Sounds: the same everywhere, other for other seeds, inside the closed label sets, and what their labels say they are."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from aptp_bench.audio.mel import MINI
from aptp_bench.data.sounds import KINDS, LABELS, RATE, SAMPLES, Sound, render, sample
from aptp_bench.data.sounds.catalog import EVENTS, PITCHED, SHAPES_OF, TEMPOS

MANY = 600


def some(count: int = MANY, seed: int = 7) -> list[Sound]:
    return [sample(seed, i) for i in range(count)]


def plain(kind: str, **labels: str) -> Sound:
    """A sound of that kind without chance in it."""
    found = next(sound for i in range(99) if (sound := sample(0, i)).kind == kind)
    pitch = "c" if kind in PITCHED else "none"
    base = replace(found, pitch=pitch, register="middle", tempo="slow", timbre="full", brightness="plain")
    return replace(base, **{"shape": SHAPES_OF[kind][0], "detune": 0.0, "late": 0.0, "noise": 1e-3, **labels})


def spectrum(sound: Sound) -> np.ndarray:
    """Power by frequency, RATE / SAMPLES Hz apart."""
    return np.abs(np.fft.rfft(render(sound) * np.hanning(SAMPLES))) ** 2


def centre(sound: Sound) -> float:
    """The mean frequency, in Hz, weighted by size."""
    size = np.sqrt(spectrum(sound))
    return float((size * np.arange(len(size))).sum() / size.sum() * RATE / SAMPLES)


def test_equal_sounds_give_equal_samples_whatever_was_played_before() -> None:
    first = [render(sample(3, i)) for i in range(10)]
    again = [render(sample(3, i)) for i in reversed(range(10))]
    assert all(np.array_equal(a, b) for a, b in zip(first, reversed(again), strict=True))


def test_the_first_sounds_never_change() -> None:
    listing = "\n".join(repr(sample(0, i)) for i in range(200))
    assert hashlib.sha256(listing.encode()).hexdigest()[:16] == "5800b2eda2311b58"


def test_nobody_elses_random_numbers_are_touched() -> None:
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    render(sample(0, 0))
    assert np.array_equal(before, np.random.get_state()[1])


def test_clips_are_of_the_mini_worlds_length_and_their_peak_is_their_level() -> None:
    assert (MINI.rate, MINI.samples) == (RATE, SAMPLES)
    for sound in some(100):
        wave = render(sound)
        assert wave.shape == (SAMPLES,) and wave.dtype == np.float32
        assert np.abs(wave).max() == pytest.approx(sound.level, rel=1e-5)


def test_seeds_share_no_sound() -> None:
    train, val = some(seed=0), some(seed=1)
    assert len({sound.seed for sound in train} | {sound.seed for sound in val}) == 2 * MANY


def test_every_label_is_of_its_closed_set_and_every_class_occurs() -> None:
    sounds = some()
    for name, classes in LABELS.items():
        assert {getattr(sound, name) for sound in sounds} == set(classes)
    for sound in sounds:
        assert sound.shape in SHAPES_OF[sound.kind]
        assert (sound.pitch == "none") == (sound.kind not in PITCHED)


@pytest.mark.parametrize("pitch", ["c", "e", "a sharp"])
@pytest.mark.parametrize("kind", ["chord", "pluck"])
def test_the_root_sounds_at_its_pitch(kind: str, pitch: str) -> None:
    sound = plain(kind, pitch=pitch)
    power = spectrum(sound)
    root = round(sound.hertz * SAMPLES / RATE)
    near, below = power[root - 8 : root + 9].max(), power[40 : root - 30].max()
    assert near > 100 * below  # nothing of that size is lower
    assert near > 0.05 * power.max()


def test_registers_are_octaves() -> None:
    low, middle, high = (plain("pluck", register=name).hertz for name in LABELS["register"])
    assert (middle / low, high / middle) == (pytest.approx(2, rel=1e-3), pytest.approx(2, rel=1e-3))


@pytest.mark.parametrize("kind", KINDS)
def test_brighter_sounds_lie_higher(kind: str) -> None:
    dark, natural, bright = (centre(plain(kind, brightness=name)) for name in LABELS["brightness"])
    assert dark < natural < bright


@pytest.mark.parametrize("kind", ["arpeggio", "pluck"])
@pytest.mark.parametrize("tempo", TEMPOS)
def test_there_are_as_many_attacks_as_the_tempo_says(kind: str, tempo: str) -> None:
    sound = plain(kind, tempo=tempo, register="high")
    blocks = np.abs(render(sound))[: SAMPLES // 20 * 20].reshape(-1, 20).max(axis=1)  # 2.5 ms each
    loud = blocks > 0.15 * blocks.max()
    attacks = int((loud[1:] & ~loud[:-1]).sum() + loud[0])
    assert attacks == EVENTS[kind][TEMPOS.index(tempo)]


def test_sweeps_go_the_way_they_say() -> None:
    def track(shape: str) -> np.ndarray:
        picture = MINI.spectrogram(render(plain("sweep", shape=shape, timbre="pure", brightness="dark")))
        return picture.argmax(axis=0).astype(int)[4:-4]

    up, down, wave = (track(shape) for shape in SHAPES_OF["sweep"])
    assert up[-1] > up[0] + 15 and (np.diff(up) >= 0).all()
    assert down[-1] < down[0] - 15 and (np.diff(down) <= 0).all()
    assert wave[28] > max(wave[0], wave[-1]) + 15


def test_drums_of_fuller_timbre_are_noisier() -> None:
    def flatness(timbre: str) -> float:
        power = spectrum(plain("drum loop", timbre=timbre))[1_000:]
        return float(np.exp(np.log(power).mean()) / power.mean())

    assert flatness("pure") < flatness("hollow") < flatness("full")


def test_no_partial_is_folded_back() -> None:
    sound = plain("chord", register="high", pitch="a sharp", brightness="bright")
    power = spectrum(replace(sound, noise=1e-6))
    top = round(0.46 * SAMPLES)
    assert power[top:].max() < 1e-4 * power.max()
