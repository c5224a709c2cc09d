"""Mel spectrograms as 8-bit pictures, and the way back to a wave.

The picture is the one that AudioDiffusion's models were trained on (teticio/audio-diffusion, whose class `Mel` diffusers
once carried): the power of librosa's Mel bands in decibels below the loudest, 0 at -top_db and 255 at 0. The way back finds
non-negative spectra for the bands and their phases by Griffin and Lim's iterations. Loudness and phase are not in the picture.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from aptp_bench.audio.waves import Wave, checked
from aptp_bench.core.files import write_json
from aptp_bench.errors import ConfigError, DataError, WeightsError

Picture: TypeAlias = NDArray[np.uint8]

LEAST = 1e-10  # power that counts as none, librosa's amin
TINY = np.float32(1e-20)  # power below which nothing is divided by
EM_STEPS = 100  # of the spectra behind the bands: these are met within a grey level
MOMENTUM = 0.99  # of the fast Griffin-Lim algorithm (Perraudin et al. 2013, Section 4), librosa's
PUBLIC_NAMES = {"rate": "sample_rate", "hop": "hop_length", "n_fft": "n_fft", "bands": "y_res", "frames": "x_res",
                "iterations": "n_iter"}  # fmt: skip
PEAK = 0.9  # of a wave that is made from a picture, which knows nothing of loudness


@dataclass(frozen=True)
class Mel:
    """How waves [..., samples] become pictures [..., bands, frames] and back. Raises ConfigError for sizes that cannot be.

    rate: samples a second; hop: samples from frame to frame; n_fft: samples a frame; top_db: decibels from black to white;
    iterations: of Griffin and Lim's.
    """

    rate: int
    hop: int
    n_fft: int
    bands: int
    frames: int
    top_db: float = 80.0
    iterations: int = 32

    def __post_init__(self) -> None:
        if min(self.rate, self.hop, self.bands, self.frames, self.iterations) < 1 or self.top_db <= 0:
            raise ConfigError(f"a Mel spectrogram has positive sizes, got {self}; name others")
        if self.n_fft % 2 or self.n_fft < 2 * self.hop:
            raise ConfigError(
                f"frames of {self.n_fft} samples cannot be put together again every {self.hop}; use an even n_fft of 2 hop or more"
            )

    @classmethod
    def read(cls, file: Path) -> Mel:
        """The Mel of a mel_config.json, which lies beside AudioDiffusion's weights. Raises WeightsError if it is none."""
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            sizes = {ours: int(found[theirs]) for ours, theirs in PUBLIC_NAMES.items()}
            return cls(**sizes, top_db=float(found["top_db"]))
        except (OSError, ValueError, KeyError, TypeError, ConfigError) as err:
            raise WeightsError(f"{file} is no Mel configuration ({type(err).__name__}: {err}); fetch it again") from err

    def save(self, file: Path) -> None:
        """A mel_config.json, which `read` reads."""
        sizes = {theirs: getattr(self, ours) for ours, theirs in PUBLIC_NAMES.items()}
        write_json(file, {**sizes, "top_db": self.top_db})

    @property
    def samples(self) -> int:
        """Samples of a clip, the most that give so many frames; the public format counts them so."""
        return self.frames * self.hop - 1

    @property
    def seconds(self) -> float:
        """Length of a clip."""
        return self.samples / self.rate

    def spectrogram(self, wave: Wave) -> Picture:
        """[..., samples] -> uint8 [..., bands, frames], the lowest band first; silence is 0 everywhere.

        Any length with as many frames is taken. The public format makes silence white, 0 dB below itself: we do not.
        Raises DataError for another length, for integers, and for samples that are not finite.
        """
        if 1 + checked(wave).shape[-1] // self.hop != self.frames:
            raise DataError(
                f"a wave of {wave.shape[-1]} samples does not give {self.frames} frames of {self.hop}; cut or pad it to {self.samples}"
            )
        # in double: what a processor rounds in another way must not reach a grey level, by which data are known
        power = filters(self) @ _power(_stft(wave.astype(np.float64), self.n_fft, self.hop))
        decibels = 10 * np.log10(np.maximum(power, LEAST))
        loudest = decibels.max(axis=(-2, -1), keepdims=True)
        grey = (decibels - loudest + self.top_db) * (255 / self.top_db)
        grey[np.broadcast_to(loudest <= 10 * np.log10(LEAST), grey.shape)] = 0
        return (grey.clip(0, 255) + 0.5).astype(np.uint8)

    def waveform(self, picture: Picture) -> Wave:
        """uint8 [..., bands, frames] -> float32 [..., samples] whose peak is PEAK; a black picture is silence.

        The same picture gives the same wave: phases start from fixed random numbers. Raises DataError for another shape or type.
        """
        if picture.dtype != np.uint8 or picture.shape[-2:] != (self.bands, self.frames) or not picture.size:
            raise DataError(
                f"a picture must be uint8 [..., {self.bands}, {self.frames}], got {picture.dtype} {list(picture.shape)}"
                "; make it with this Mel"
            )
        clips = picture.reshape(-1, self.bands, self.frames)
        waves = np.stack([self._wave(clip) for clip in clips])  # one at a time, which the processor's cache holds
        return waves.reshape(*picture.shape[:-2], self.samples)

    def _wave(self, picture: Picture) -> Wave:
        if not picture.any():
            return np.zeros(self.samples, dtype=np.float32)
        power = 10 ** ((picture.astype(np.float32) * (self.top_db / 255) - self.top_db) / 10)
        wave = self._with_phases(np.sqrt(spectra(filters(self), power)))
        return wave * (np.float32(PEAK) / np.abs(wave).max())

    def _with_phases(self, size: NDArray[np.floating]) -> Wave:
        """Griffin & Lim 1984 with momentum. size: of each frequency, [1 + n_fft/2, frames] -> [samples]."""
        turns = np.random.RandomState(0).uniform(size=size.shape)  # this generator is the same in every numpy
        found = size * np.exp(2j * np.pi * turns).astype(np.complex64)
        before = np.zeros_like(found)
        for _ in range(self.iterations):
            again = _stft(_istft(found, self.hop, self.samples), self.n_fft, self.hop)
            ahead = again + np.float32(MOMENTUM) * (again - before)
            found, before = ahead * (size / np.sqrt(np.maximum(_power(ahead), TINY))), again
        return _istft(found, self.hop, self.samples)


AUDIO_DIFFUSION = Mel(rate=22_050, hop=512, n_fft=2_048, bands=256, frames=256)

# The mini world's: 64 x 64 pixels are two seconds, enough for a bar of drums. Frames overlap fourfold, as above, so that
# phases can be found; at 64 bands of 36 Hz and, above 1 kHz, 4 %, no filter is empty and most whole tones are bands apart.
MINI = Mel(rate=8_000, hop=256, n_fft=1_024, bands=64, frames=64)


@cache
def filters(mel: Mel) -> NDArray[np.float32]:
    """Slaney's triangles of area 1 over the whole range, librosa's default: [bands, 1 + n_fft/2]. Raises ConfigError."""
    from transformers.audio_utils import mel_filter_bank

    bins = 1 + mel.n_fft // 2
    found = mel_filter_bank(bins, mel.bands, 0.0, mel.rate / 2, mel.rate, norm="slaney", mel_scale="slaney").T
    if not found.any(axis=1).all():
        raise ConfigError(f"{mel.bands} bands are too many for {bins} frequencies; use fewer bands or a larger n_fft")
    return np.ascontiguousarray(found, dtype=np.float32)


def spectra(bank: NDArray[np.float32], power: NDArray[np.floating]) -> NDArray[np.floating]:
    """Non-negative power of every frequency that gives the bands' power: [bands, frames] -> [bins, frames].

    Expectation maximisation (Richardson 1972, Lucy 1974) from a flat spectrum. Least squares, librosa's way, would care for the
    loudest only; this one brings bands 80 dB below them to the same relative error.
    """
    from scipy.sparse import csr_array

    split, gather = csr_array(bank.T), csr_array(bank)  # a frequency lies in two bands
    weight = bank.sum(axis=0)[:, None]
    share = np.divide(1, weight, where=weight > 0, out=np.zeros_like(weight))
    found = share * (split @ power)
    for _ in range(EM_STEPS):
        found *= share * (split @ (power / np.maximum(gather @ found, TINY)))
    return found


def _power(spectrum: NDArray[np.complexfloating]) -> NDArray[np.floating]:
    return spectrum.real**2 + spectrum.imag**2


@cache
def _window(n_fft: int) -> NDArray[np.float32]:
    """Hann's, periodic."""
    return (0.5 - 0.5 * np.cos(2 * np.pi / n_fft * np.arange(n_fft))).astype(np.float32)


def _stft(wave: Wave, n_fft: int, hop: int) -> NDArray[np.complexfloating]:
    """Frames centred on multiples of `hop`, zeros beyond the ends: [..., n] -> [..., 1 + n_fft/2, 1 + n // hop]."""
    from scipy.fft import rfft

    padded = np.zeros((*wave.shape[:-1], wave.shape[-1] + n_fft), dtype=wave.dtype)
    padded[..., n_fft // 2 : -(n_fft // 2)] = wave
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=-1)[..., ::hop, :]
    return rfft(frames * _window(n_fft), axis=-1, overwrite_x=True).swapaxes(-1, -2)


def _istft(spectrum: NDArray[np.complexfloating], hop: int, samples: int) -> Wave:
    """The wave whose frames are nearest in squares (Griffin & Lim 1984, Eq. 6): [1 + n_fft/2, frames] -> [samples]."""
    from scipy.fft import irfft

    frames = irfft(spectrum.T, axis=-1)
    count, n_fft = frames.shape
    wave = _overlapped(frames * _window(n_fft), hop) / _overlap(count, n_fft, hop)
    return wave[n_fft // 2 : n_fft // 2 + samples]


@cache
def _overlap(count: int, n_fft: int, hop: int) -> NDArray[np.float32]:
    """The sum of the squared windows at every sample, at least TINY."""
    return np.maximum(_overlapped(np.tile(_window(n_fft) ** 2, (count, 1)), hop), TINY)


def _overlapped(frames: NDArray[np.float32], hop: int) -> NDArray[np.float32]:
    """Frames laid `hop` apart and added: [frames, n_fft] -> [samples], as many as whole hops hold."""
    count, n_fft = frames.shape
    parts = -(-n_fft // hop)
    total = np.zeros((count + parts - 1, hop), dtype=frames.dtype)
    for part in range(parts):
        piece = frames[:, part * hop : (part + 1) * hop]
        total[part : part + count, : piece.shape[1]] += piece
    return total.ravel()
