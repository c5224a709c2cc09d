"""WAV files: 16-bit PCM, written mono.

Samples are integers / 32768, so that what is read lies in [-1, 1).
"""

from __future__ import annotations

import io
import wave as riff
from pathlib import Path
from typing import Any

import numpy as np

from aptp_bench.audio.waves import Wave, checked
from aptp_bench.core.files import write_whole
from aptp_bench.core.names import Kind
from aptp_bench.errors import DataError

FULL = 32_768  # the integer of amplitude 1
_OTHERS = ".aac .aif .aifc .aiff .au .caf .flac .m4a .mp3 .oga .ogg .opus .rf64 .snd .w64 .wave .wma"
OTHERS: frozenset[str] = frozenset(_OTHERS.split())
KIND = Kind("sounds", frozenset({".wav"}), OTHERS, "save them as WAV, 16-bit PCM", (b"RIFF",))


def write(path: Path, wave: Wave, rate: int) -> Path:
    """A wave [samples] in [-1, 1] as a file, whole or not at all. Raises DataError as `encoded` does."""
    data = encoded(wave, rate, path.name)
    return write_whole(path, lambda aside: aside.write_bytes(data))


def encoded(wave: Wave, rate: int, name: str = "a sound") -> bytes:
    """A wave [samples] in [-1, 1] as the bytes of a file: 16-bit PCM, mono, `rate` samples a second.

    Raises DataError for another shape, for samples that are not finite, and for louder ones: clipping would be another sound.
    """
    if checked(wave, name).ndim != 1 or np.abs(wave).max() > 1:
        shape = "x".join(str(size) for size in wave.shape)
        peak = float(np.abs(wave).max())
        raise DataError(f"{name} wants samples in [-1, 1], got {shape} with a peak of {peak:.3g}; scale the wave")
    stream = io.BytesIO()
    with riff.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.clip(np.rint(wave * FULL), -FULL, FULL - 1).astype("<i2").tobytes())
    return stream.getvalue()


def read(path: Path, rate: int, start: int = 0, samples: int | None = None) -> Wave:
    """float32 [samples], from the sample `start` on; several channels are averaged. samples: at most so many; all if None.

    Raises DataError naming a file that is missing, broken or of another rate.
    """
    facts, data = _opened(path, start, samples)
    if facts.framerate != rate:
        raise DataError(f"sound {path} has {facts.framerate} samples a second, not {rate}; resample it first")
    if facts.sampwidth != 2:
        raise DataError(f"sound {path} has {8 * facts.sampwidth} bits a sample, not 16; save it as 16-bit PCM")
    wanted = facts.nframes - start if samples is None else min(samples, facts.nframes - start)
    expected = wanted * facts.nchannels * 2
    if len(data) != expected or not data:
        raise DataError(f"sound {path} is broken ({len(data)} of {expected} bytes of sound); save it again")
    channels = np.frombuffer(data, dtype="<i2").reshape(-1, facts.nchannels)
    return (channels.mean(axis=1) / FULL).astype(np.float32)


def length(path: Path) -> int:
    """Samples of a channel, as the file's head says. Raises DataError naming a file that is missing or broken."""
    return int(_opened(path, 0, 0)[0].nframes)


def _opened(path: Path, start: int, samples: int | None) -> tuple[Any, bytes]:
    """What the head says, and the bytes of some samples."""
    try:
        with riff.open(str(path), "rb") as file:
            facts = file.getparams()
            file.setpos(start)
            return facts, file.readframes(facts.nframes if samples is None else samples)
    except FileNotFoundError as err:
        raise DataError(f"sound {path} is missing; restore it") from err
    except MemoryError:  # says nothing about the file
        raise
    except Exception as err:  # wave raises what its chunks bring about: EOFError, RuntimeError, struct.error
        reason = " ".join(str(err).split()) or "the file ends too early"
        raise DataError(f"sound {path} cannot be read ({reason}); save it as WAV, 16-bit PCM") from err


def listed(folder: Path) -> list[Path]:
    """The WAV files of a folder, 2.wav before 10.wav; hidden files are none of them.

    Raises DataError if there is no such folder or none in it, and for sounds that would be missed, as `Kind.files` does.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; name one of WAV files")
    found = KIND.files(folder)
    if not found:
        raise DataError(f"{folder} holds no WAV file; put the sounds there or name another folder")
    return found
