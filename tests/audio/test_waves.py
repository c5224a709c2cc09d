"""Waves: checked, cut and padded, resampled."""

from __future__ import annotations

import numpy as np
import pytest

from aptp_bench.audio.waves import checked, fitted, resampled
from aptp_bench.errors import DataError


def test_cut_or_followed_by_silence() -> None:
    wave = np.arange(6.0).reshape(2, 3)
    assert fitted(wave, 2).tolist() == [[0, 1], [3, 4]]
    assert fitted(wave, 4).tolist() == [[0, 1, 2, 0], [3, 4, 5, 0]]


@pytest.mark.parametrize(("rate", "to"), [(22_050, 16_000), (8_000, 16_000), (16_000, 8_000)])
def test_a_tone_at_another_rate_is_that_tone(rate: int, to: int) -> None:
    def tone(rate: int) -> np.ndarray:
        return np.sin(2 * np.pi * 1_000 * np.arange(rate) / rate).astype(np.float32)

    found = resampled(np.stack([tone(rate)] * 2), rate, to)
    assert found.shape == (2, to) and found.dtype == np.float32
    inner = slice(to // 10, -to // 10)  # the filter starts and ends in silence
    assert np.abs(found[:, inner] - tone(to)[inner]).max() < 0.01


def test_frequencies_that_the_new_rate_has_no_room_for_are_filtered_out() -> None:
    high = np.sin(2 * np.pi * 7_000 * np.arange(16_000) / 16_000)
    assert np.abs(resampled(high, 16_000, 8_000)[400:-400]).max() < 0.01


def test_the_same_rate_is_the_same_wave() -> None:
    wave = np.ones(3)
    assert resampled(wave, 8_000, 8_000) is wave


@pytest.mark.parametrize("bad", [[0.0], np.zeros(3, dtype=np.int16), np.float64(1.0), np.zeros(0), np.array([np.nan])])
def test_what_is_no_wave_is_refused(bad: object) -> None:
    with pytest.raises(DataError, match="my clip"):
        checked(bad, "my clip")
