"""Mel spectrograms against transformers' and, where it is installed, librosa's; and the way there and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aptp_bench.audio import mel
from aptp_bench.audio.mel import AUDIO_DIFFUSION, EM_STEPS, MINI, PEAK, Mel, filters, spectra
from aptp_bench.data.sounds import KINDS, render, sample
from aptp_bench.errors import ConfigError, DataError, WeightsError

SMALL = Mel(rate=4_000, hop=64, n_fft=256, bands=24, frames=20)
SIZES = pytest.mark.parametrize("mel", [SMALL, MINI, AUDIO_DIFFUSION])


def melody(mel: Mel) -> np.ndarray:
    """Eight notes of five partials and some noise: float32 [samples]."""
    chance, time = np.random.RandomState(0), np.arange(mel.samples) / mel.rate
    wave = 0.01 * chance.uniform(-1, 1, mel.samples)
    for i, semitone in enumerate(chance.randint(0, 24, 8)):
        since = time - i * mel.seconds / 8
        tone = sum(np.sin(2 * np.pi * k * 110 * 2 ** (semitone / 12) * since) / k for k in range(1, 6))
        wave += np.where(since >= 0, tone * np.exp(-4 * since.clip(0)), 0)
    return (0.6 * wave / np.abs(wave).max()).astype(np.float32)


def tone(mel: Mel, hertz: float) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(mel.samples) / mel.rate)


@SIZES
def test_equals_transformers(mel: Mel) -> None:
    from transformers import audio_utils as theirs

    bank = theirs.mel_filter_bank(
        1 + mel.n_fft // 2, mel.bands, 0.0, mel.rate / 2, mel.rate, norm="slaney", mel_scale="slaney"
    )
    window = theirs.window_function(mel.n_fft, "hann")
    power = theirs.spectrogram(
        melody(mel), window, mel.n_fft, mel.hop, power=2.0, pad_mode="constant", mel_filters=bank
    )
    decibels = theirs.power_to_db(power, reference=power.max(), db_range=mel.top_db)
    expected = ((decibels + mel.top_db) * 255 / mel.top_db).clip(0, 255) + 0.5
    found = mel.spectrogram(melody(mel))
    assert found.shape == (mel.bands, mel.frames) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected.astype(np.uint8)).max() <= 1


def test_equals_librosa() -> None:
    librosa = pytest.importorskip("librosa")
    mel, wave = AUDIO_DIFFUSION, melody(AUDIO_DIFFUSION)
    power = librosa.feature.melspectrogram(
        y=wave, sr=mel.rate, n_fft=mel.n_fft, hop_length=mel.hop, n_mels=mel.bands, pad_mode="constant"
    )
    decibels = librosa.power_to_db(power, ref=np.max, top_db=mel.top_db)
    expected = ((decibels + mel.top_db) * 255 / mel.top_db).clip(0, 255) + 0.5
    assert np.abs(mel.spectrogram(wave).astype(int) - expected.astype(np.uint8)).max() <= 1


def test_audio_diffusions_pictures_are_square_and_six_seconds_long() -> None:
    assert (AUDIO_DIFFUSION.samples, AUDIO_DIFFUSION.bands, AUDIO_DIFFUSION.frames) == (131_071, 256, 256)
    assert AUDIO_DIFFUSION.seconds == pytest.approx(5.944, abs=1e-3)
    assert (MINI.bands, MINI.frames, MINI.seconds) == (64, 64, pytest.approx(2.048, abs=1e-3))


@SIZES
@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
def test_a_pure_tone_is_brightest_in_the_band_around_it(mel: Mel, share: float) -> None:
    hertz = share * mel.rate
    picture = mel.spectrogram(tone(mel, hertz))[:, 2:-2]
    peaks = filters(mel).argmax(axis=1) * mel.rate / mel.n_fft  # Hz
    nearest = np.abs(peaks - hertz).argmin()
    assert (np.abs(picture.argmax(axis=0) - nearest) <= 1).all()
    assert picture.max() == 255


def test_silence_is_black_and_comes_back_silent() -> None:
    black = MINI.spectrogram(np.zeros(MINI.samples))
    assert not black.any()
    assert not MINI.waveform(black).any()
    both = MINI.spectrogram(np.stack([np.zeros(MINI.samples), tone(MINI, 440)]))
    assert not both[0].any() and both[1].max() == 255


def test_loudness_is_not_in_the_picture() -> None:
    wave = melody(MINI)
    assert np.abs(MINI.spectrogram(wave).astype(int) - MINI.spectrogram(0.25 * wave)).max() <= 1


def test_a_batch_gives_what_its_clips_give_alone() -> None:
    waves = np.stack([melody(SMALL), tone(SMALL, 500).astype(np.float32)])
    pictures = SMALL.spectrogram(waves)
    assert np.array_equal(pictures, np.stack([SMALL.spectrogram(wave) for wave in waves]))
    assert np.array_equal(SMALL.waveform(pictures), np.stack([SMALL.waveform(picture) for picture in pictures]))


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back_is_the_same_picture_nearly(kind: str) -> None:
    sounds = [sound for i in range(40) if (sound := sample(5, i)).kind == kind][:4]
    errors = []
    for sound in sounds:
        picture = MINI.spectrogram(render(sound))
        again = MINI.spectrogram(MINI.waveform(picture))
        loud = picture > 127  # within 40 dB of the loudest
        errors.append(np.abs(again.astype(int) - picture)[loud].mean())
    assert np.mean(errors) < 6  # of 255: 2 dB


def test_more_iterations_come_nearer() -> None:
    picture = MINI.spectrogram(melody(MINI))

    def error(iterations: int) -> float:
        mel = replace(MINI, iterations=iterations)
        return float(np.abs(mel.spectrogram(mel.waveform(picture)).astype(int) - picture)[picture > 127].mean())

    assert error(1) > 1.3 * error(32)


def test_the_same_picture_gives_the_same_wave_of_one_peak() -> None:
    picture = MINI.spectrogram(melody(MINI))
    state = np.random.get_state()[1].copy()
    wave = MINI.waveform(picture)
    assert np.array_equal(wave, MINI.waveform(picture))
    assert np.array_equal(state, np.random.get_state()[1])  # nobody else's random numbers are touched
    assert wave.shape == (MINI.samples,) and wave.dtype == np.float32
    assert np.abs(wave).max() == pytest.approx(PEAK, rel=1e-6)


@pytest.mark.parametrize(("n_fft", "hop"), [(256, 64), (256, 100), (128, 64)])
def test_frames_are_put_together_again_to_the_ends(n_fft: int, hop: int) -> None:
    wave = np.random.RandomState(0).uniform(-1, 1, 20 * hop - 1).astype(np.float32)
    spectrum = mel._stft(wave, n_fft, hop)
    assert spectrum.shape == (1 + n_fft // 2, 20)
    again = mel._istft(spectrum, hop, len(wave))
    whole = len(wave) - hop  # what lies beyond the last frame's middle is in one frame alone
    assert np.abs(again - wave)[:whole].max() < 1e-5
    assert again.shape == wave.shape


def test_spectra_are_not_negative_and_give_the_bands() -> None:
    bank = filters(MINI)
    wave = MINI.spectrogram(melody(MINI)).astype(np.float32)
    power = 10 ** (wave * (8 / 255) - 8)
    found = spectra(bank, power)
    assert (found >= 0).all() and found.shape == (513, 64)
    error = np.abs(10 * np.log10(bank @ found) - 10 * np.log10(power))
    assert error.mean() < 0.5 and EM_STEPS >= 30  # dB


@pytest.mark.parametrize(
    ("wave", "what"),
    [
        (np.zeros(MINI.samples + 1), "cut or pad it to 16383"),
        (np.zeros(1_000), "cut or pad"),
        (np.zeros(0), "no samples"),
        (np.full(MINI.samples, np.nan), "16383 of 16383 samples"),
        (np.zeros(MINI.samples, dtype=np.int16), "int16"),
    ],
)
def test_what_is_no_clip_is_refused(wave: np.ndarray, what: str) -> None:
    with pytest.raises(DataError, match=what):
        MINI.spectrogram(wave)


@pytest.mark.parametrize(
    "picture",
    [np.zeros((64, 64)), np.zeros((0, 64, 64), np.uint8), np.zeros((64, 63), np.uint8), np.zeros((63, 64), np.uint8)],
)
def test_what_is_no_picture_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(DataError, match="uint8"):
        MINI.waveform(picture)


def test_the_shortest_clip_of_as_many_frames_is_taken() -> None:
    assert MINI.spectrogram(melody(MINI)[: (MINI.frames - 1) * MINI.hop]).shape == (64, 64)


@pytest.mark.parametrize("wrong", [{"hop": 0}, {"n_fft": 500}, {"n_fft": 1_025}, {"top_db": 0.0}, {"frames": -1}])
def test_sizes_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        replace(MINI, **wrong)


@pytest.mark.filterwarnings("ignore:At least one mel filter")
def test_empty_bands_are_refused() -> None:
    with pytest.raises(ConfigError, match="too many"):
        filters(replace(MINI, n_fft=512, bands=400))


def test_the_configuration_beside_audio_diffusions_weights_is_read(tmp_path: Path) -> None:
    (file := tmp_path / "mel_config.json").write_text(
        '{"_class_name": "Mel", "_diffusers_version": "0.8.0", "hop_length": 512, "n_fft": 2048, "n_iter": 32,'
        ' "sample_rate": 22050, "top_db": 80, "x_res": 256, "y_res": 256}'
    )
    assert Mel.read(file) == AUDIO_DIFFUSION
    for text in ("{", "[]", '{"hop_length": 512}', file.read_text().replace("2048", "3")):
        file.write_text(text)
        with pytest.raises(WeightsError, match=r"mel_config\.json is no Mel configuration"):
            Mel.read(file)
    with pytest.raises(WeightsError):
        Mel.read(tmp_path / "none.json")


def test_a_picture_does_not_hang_on_the_rounding_of_floats() -> None:
    """Processors round sums of floats in other orders; data are known by digests of their grey levels."""
    waves = np.stack([render(sample(1, index)) for index in range(64)])
    assert waves.dtype == np.float32
    assert np.array_equal(MINI.spectrogram(waves), MINI.spectrogram(waves.astype(np.float64)))
