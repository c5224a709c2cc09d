"""WAV files: 16-bit PCM, written mono; and a folder of them as a set of sounds.

Samples are integers / 32768, so that what is read lies in [-1, 1).
"""

from __future__ import annotations

import re
import wave as riff
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aptp_bench.audio.waves import Wave, checked, fitted
from aptp_bench.core.files import sha256_of, write_whole
from aptp_bench.errors import DataError

FULL = 32_768  # the integer of amplitude 1
DIGITS = re.compile(r"(\d+)")


def write(path: Path, wave: Wave, rate: int) -> Path:
    """A wave [samples] in [-1, 1] as 16-bit PCM mono at `rate` samples a second, whole or not at all.

    Raises DataError for another shape, for samples that are not finite, and for louder ones: clipping would be another sound.
    """
    if checked(wave, path.name).ndim != 1 or np.abs(wave).max() > 1:
        shape = "x".join(str(size) for size in wave.shape)
        peak = float(np.abs(wave).max())
        raise DataError(f"{path.name} wants samples in [-1, 1], got {shape} with a peak of {peak:.3g}; scale the wave")
    data = np.clip(np.rint(wave * FULL), -FULL, FULL - 1).astype("<i2").tobytes()

    def pack(aside: Path) -> None:
        with riff.open(str(aside), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(data)

    return write_whole(path, pack)


def read(path: Path, rate: int) -> Wave:
    """float32 [samples]; several channels are averaged. Raises DataError naming a file that is missing, broken or of another rate."""
    try:
        with riff.open(str(path), "rb") as file:
            facts, data = file.getparams(), file.readframes(file.getnframes())
    except FileNotFoundError as err:
        raise DataError(f"sound {path} is missing; restore it") from err
    except (OSError, EOFError, riff.Error) as err:
        reason = " ".join(str(err).split()) or "the file ends too early"
        raise DataError(f"sound {path} cannot be read ({reason}); save it as WAV, 16-bit PCM") from err
    if facts.framerate != rate:
        raise DataError(f"sound {path} has {facts.framerate} samples a second, not {rate}; resample it first")
    if facts.sampwidth != 2:
        raise DataError(f"sound {path} has {8 * facts.sampwidth} bits a sample, not 16; save it as 16-bit PCM")
    expected = facts.nframes * facts.nchannels * 2
    if len(data) != expected or not data:
        raise DataError(f"sound {path} is broken ({len(data)} of {expected} bytes of sound); save it again")
    channels = np.frombuffer(data, dtype="<i2").reshape(-1, facts.nchannels)
    return (channels.mean(axis=1) / FULL).astype(np.float32)


def listed(folder: Path) -> list[Path]:
    """The WAV files of a folder, 2.wav before 10.wav. Raises DataError if there is no such folder or none in it."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; name one of WAV files")
    found = [path for path in folder.iterdir() if path.suffix.lower() == ".wav" and path.is_file()]
    if not found:
        raise DataError(f"{folder} holds no WAV file; put the sounds there or name another folder")
    return sorted(found, key=lambda path: natural(path.name))


def natural(name: str) -> list[tuple[int, str]]:
    """A key that orders numbers by value and letters without their case; equal only for equal names."""
    parts = DIGITS.split(name)
    key = [(int(part), "") if i % 2 else (-1, part.lower()) for i, part in enumerate(parts)]
    return [*key, (-1, name)]


@dataclass(frozen=True)
class WavFiles:
    """Sounds in files, in a fixed order, each brought to `samples`: cut, or followed by silence."""

    paths: Sequence[Path]
    rate: int
    samples: int

    @classmethod
    def of_folder(cls, folder: Path, rate: int, samples: int) -> WavFiles:
        """All of a folder in the order of `listed`. Raises DataError."""
        return cls(listed(folder), rate, samples)

    @property
    def digest(self) -> str:
        """sha256 of the files' contents in their order."""
        return sha256_of(*self.paths)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.paths)

    def read(self, indices: range) -> Wave:
        """Some of them: float32 [n, samples]. Raises DataError naming the first file that cannot be read."""
        return np.stack([fitted(read(self.paths[index], self.rate), self.samples) for index in indices])
