"""WAV files: what is written is read, and what is broken, of another rate or of another format is said in one line."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from aptp_bench.audio import files
from aptp_bench.audio.files import listed, read, write
from aptp_bench.errors import DataError

RATE = 8_000


def hum(samples: int = 400, peak: float = 0.8) -> np.ndarray:
    return (peak * np.sin(np.arange(samples) / 9)).astype(np.float32)


def raw(path: Path, data: bytes, channels: int = 1, width: int = 2, rate: int = RATE) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(data)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    sound = hum(peak=1.0)
    found = read(write(tmp_path / "a.wav", sound, RATE), RATE)
    assert found.dtype == np.float32 and found.shape == sound.shape
    assert np.abs(found - sound).max() <= 1 / files.FULL
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_scipy_reads_what_is_written(tmp_path: Path) -> None:
    from scipy.io import wavfile

    rate, samples = wavfile.read(write(tmp_path / "a.wav", hum(), RATE))
    assert rate == RATE and samples.dtype == np.int16
    assert np.array_equal(samples, np.rint(hum() * files.FULL))


@pytest.mark.parametrize("bad", [hum(peak=1.1), np.stack([hum(), hum()]), np.array([0.0, np.inf]), np.zeros(0)])
def test_what_would_not_come_back_is_not_written(tmp_path: Path, bad: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"a\.wav"):
        write(tmp_path / "a.wav", bad, RATE)
    assert not list(tmp_path.iterdir())


def test_channels_are_averaged(tmp_path: Path) -> None:
    pairs = np.array([[1_000, 3_000], [-200, 0]], dtype="<i2")
    found = read(raw(tmp_path / "a.wav", pairs.tobytes(), channels=2), RATE)
    assert found.tolist() == [2_000 / files.FULL, -100 / files.FULL]


def test_another_rate_is_refused_by_name_and_rate(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", hum(), 44_100)
    with pytest.raises(DataError, match=r"a\.wav has 44100 samples a second, not 8000"):
        read(path, RATE)


def test_broken_files_are_refused_in_one_line(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.wav", hum(), RATE).read_bytes()
    for name, data in {"empty": b"", "text": b"RIFF, no", "head": whole[:30], "cut": whole[:-100]}.items():
        (path := tmp_path / f"{name}.wav").write_bytes(data)
        with pytest.raises(DataError, match=rf"{name}\.wav (is broken|cannot be read)") as caught:
            read(path, RATE)
        assert "\n" not in str(caught.value)
    floats = bytearray(whole)
    floats[20] = 3  # WAVE_FORMAT_IEEE_FLOAT
    (tmp_path / "floats.wav").write_bytes(floats)
    with pytest.raises(DataError, match="save it as WAV, 16-bit PCM"):
        read(tmp_path / "floats.wav", RATE)
    with pytest.raises(DataError, match="is missing"):
        read(tmp_path / "none.wav", RATE)
    with pytest.raises(DataError, match="8 bits a sample"):
        read(raw(tmp_path / "bytes.wav", b"\x80" * 10, width=1), RATE)
    with pytest.raises(DataError, match="broken"):
        read(raw(tmp_path / "nothing.wav", b""), RATE)


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 100, 1):
        write(tmp_path / f"clip {number}.wav", np.full(5, number / 128, dtype=np.float32), RATE)
    (tmp_path / "notes.txt").write_text("not a sound")
    assert [path.name for path in listed(tmp_path)] == [f"clip {number}.wav" for number in (1, 9, 10, 100)]


def test_sounds_that_are_not_read_are_not_left_out(tmp_path: Path) -> None:
    write(tmp_path / "1.wav", hum(), RATE)
    (tmp_path / "._1.wav").write_bytes(b"what a Mac leaves")
    assert [path.name for path in listed(tmp_path)] == ["1.wav"]
    (tmp_path / "2.wav").symlink_to(tmp_path / "nowhere.wav")
    with pytest.raises(DataError, match=r"2\.wav"):
        listed(tmp_path)
    (tmp_path / "2.wav").unlink()
    (tmp_path / "3.mp3").write_bytes(b"")
    with pytest.raises(DataError, match=r"3\.mp3"):
        listed(tmp_path)


def test_a_part_of_a_file_is_read_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", hum(), RATE)
    whole = read(path, RATE)
    assert files.length(path) == len(whole)
    assert np.array_equal(read(path, RATE, 100, 50), whole[100:150])
    assert np.array_equal(read(path, RATE, 380, 50), whole[380:])
    with pytest.raises(DataError, match=r"a\.wav"):
        read(path, RATE, 500)


def test_folders_without_sounds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no WAV file"):
        listed(tmp_path)
    with pytest.raises(DataError, match="there is no folder"):
        listed(tmp_path / "none")


@pytest.mark.parametrize("chunk", [b"LIST\xfe\xff\xff\xff", b"LIST\x05\x00\x00\x00abcde"])
def test_chunks_that_lead_past_the_end_are_a_broken_file(tmp_path: Path, chunk: bytes) -> None:
    whole = files.encoded(np.zeros(100, dtype=np.float32), 8_000)
    (tmp_path / "a.wav").write_bytes(whole[:12] + chunk + whole[12:])
    for reads in (files.length, lambda path: files.read(path, 8_000)):
        with pytest.raises(DataError, match=r"a\.wav cannot be read"):
            reads(tmp_path / "a.wav")
