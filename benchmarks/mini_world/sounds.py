"""The builders' sounds: played once, kept as Mel spectrograms with their labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aptp_bench.audio.mel import MINI
from aptp_bench.backbones.ear import seen
from aptp_bench.core.threads import processors
from aptp_bench.data import sounds

SPLITS = {
    "train": (1_001, 24_000),
    "val": (2_001, 2_048),
}  # (seed, sounds); no dataset that the harness serves uses these
LABELS = {name: len(classes) for name, classes in sounds.LABELS.items()}  # how many classes each label has


@dataclass(frozen=True)
class Sounds:
    """spectrograms: uint8 [n, 64, 64], the lowest band first; labels: int64 [n, 7], the classes of LABELS in their order."""

    spectrograms: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        """Where the spectrograms lie."""
        return self.spectrograms.device

    def to(self, device: torch.device) -> Sounds:
        """With its spectrograms on a device; the labels are read on the CPU."""
        return replace(self, spectrograms=self.spectrograms.to(device))

    def pixels(self, index: Tensor) -> Tensor:
        """Spectrograms as float [n, 1, 64, 64] in [-1, 1]; the index lies where they do."""
        return seen(self.spectrograms[index])


def gather(split: str, work: Path, number: int | None = None) -> Sounds:
    """The sounds of a split, played at the first call and read from `work` afterwards. number: how many, all of them if None."""
    folder = work / "sounds" / split
    if not (folder / "labels.npy").exists():
        _play_all(split, folder, number)
    found = (np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("spectrograms", "labels"))
    return Sounds(*(torch.from_numpy(each) for each in found))


def _play_all(split: str, folder: Path, number: int | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    seed, all_of_them = SPLITS[split]
    jobs = [(seed, index) for index in range(number or all_of_them)]
    with Pool(processors()) as pool:
        played = pool.map(_one, jobs, chunksize=500)
    np.save(folder / "spectrograms.npy", np.stack([picture for picture, _ in played]))
    np.save(folder / "labels.npy", np.array([labels for _, labels in played], dtype=np.int64))


def _one(job: tuple[int, int]) -> tuple[np.ndarray, list[int]]:
    sound = sounds.sample(*job)
    return MINI.spectrogram(sounds.render(sound)), labels_of(sound)


def labels_of(sound: sounds.Sound) -> list[int]:
    """The class of each label, in the order of LABELS."""
    return [classes.index(getattr(sound, name)) for name, classes in sounds.LABELS.items()]
