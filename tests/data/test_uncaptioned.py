"""Folders of images and of recordings without captions: what is a row, how splits are made, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aptp_bench.audio.files import write
from aptp_bench.audio.mel import AUDIO_DIFFUSION
from aptp_bench.data.uncaptioned import CelebAHQ, Recordings
from aptp_bench.errors import DataError

MEL = AUDIO_DIFFUSION


def pictures(folder: Path, number: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(number):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(folder / f"{i}.png")
    return folder


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, int(seconds * MEL.rate)).astype(np.float32)


def reds(rows) -> list[int]:
    return [row["image"].getpixel((0, 0))[0] for row in rows]


def test_every_nth_image_in_the_order_of_numbers_is_held_out(tmp_path: Path) -> None:
    data = CelebAHQ(root=pictures(tmp_path / "all", 12), val_every=4)
    assert reds(data.load("val")) == [3, 7, 11]
    assert reds(data.load("train")) == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    assert reds(data.load("train", 2)) == [0, 1] and set(data.load("train")["caption"]) == {""}


def test_folders_called_train_and_val_are_the_splits(tmp_path: Path) -> None:
    pictures(tmp_path / "train", 3), pictures(tmp_path / "val", 2)
    assert [len(CelebAHQ(root=tmp_path).load(split)) for split in ("train", "val")] == [3, 2]


def test_a_recording_is_cut_into_whole_clips_and_a_short_one_is_followed_by_silence(tmp_path: Path) -> None:
    long, short = noise(2.5 * MEL.seconds), noise(0.5 * MEL.seconds, seed=1)
    for split, name, wave in (("train", "1.wav", long), ("train", "2.wav", short), ("val", "a.wav", short)):
        (tmp_path / split).mkdir(exist_ok=True)
        write(tmp_path / split / name, wave, MEL.rate)
    rows = Recordings(root=tmp_path).load("train")
    found = [np.asarray(row["image"]) for row in rows]
    assert [each.shape for each in found] == [(256, 256, 3)] * 3
    exact = np.round(long * 32_768) / 32_768  # as a file keeps it
    assert np.array_equal(found[1][..., 0], MEL.spectrogram(exact[MEL.samples : 2 * MEL.samples].astype(np.float32)))
    assert not np.array_equal(found[0], found[1])
    assert found[2][:, 140:, 0].max() < found[2][:, :110, 0].max() / 2


def test_folders_that_hold_nothing_are_refused_in_one_line(tmp_path: Path) -> None:
    for data in (CelebAHQ(root=tmp_path / "none"), Recordings(root=tmp_path / "none"), Recordings(root=tmp_path)):
        with pytest.raises(DataError) as refused:
            data.load("train")
        assert "\n" not in str(refused.value)
    with pytest.raises(DataError, match="'val' empty"):
        CelebAHQ(root=pictures(tmp_path / "few", 3)).load("val")
