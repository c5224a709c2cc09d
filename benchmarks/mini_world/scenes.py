"""The builders' pictures: drawn once, kept as plain arrays, both worlds side by side."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import count, islice
from multiprocessing import Pool
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from aptp_bench.core.threads import processors
from aptp_bench.data import scenes

SPLITS = {
    "train": (1_001, 64_000),
    "more": (1_001, 256_000),  # the same and others: for the autoencoder and the U-Net, which see millions
    "val": (2_001, 4_096),
}  # (seed, scenes of each world); no dataset the harness serves uses these seeds
PORTRAITS = {"train": (1_001, 24_000), "val": (2_001, 1_024)}  # (seed, portraits): what the unconditional model learns
Job = tuple[str, int, int]  # world, seed, index


@dataclass(frozen=True)
class Scenes:
    """images: uint8 [n, 32, 32, 3]; labels: int64 [n, 9], LABELS and what else tells a scene; captions: every phrasing of each."""

    images: Tensor
    labels: Tensor
    captions: list[list[str]]

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def device(self) -> torch.device:
        """Where the pictures lie."""
        return self.images.device

    def to(self, device: torch.device) -> Scenes:
        """With its pictures on a device; the rest is read on the CPU."""
        return replace(self, images=self.images.to(device))

    def pixels(self, index: Tensor) -> Tensor:
        """Pictures as float [n, 3, 32, 32] in [-1, 1]; the index lies where the pictures do."""
        return self.images[index].permute(0, 3, 1, 2).float() / 127.5 - 1


# Classes of each label. The last three are of the first companion and the first word, and have a class for none.
LABELS = {
    "subject": len(scenes.SUBJECTS),
    "setting": len(scenes.SETTINGS),
    "colour": len(scenes.COLOURS),
    "count": 3,
    "composition": len(scenes.COMPOSITIONS),
    "partner": len(scenes.SUBJECTS) + 1,
    "partner_colour": len(scenes.COLOURS) + 1,
    "word": len(scenes.WORDS) + 1,
}


def gather(split: str, work: Path, number: int | None = None) -> Scenes:
    """The pictures of a split, drawn at the first call and read from `work` afterwards.

    number: scenes of each world, as many as the split has if None.
    """
    seed, all_of_them = SPLITS[split]
    # the two worlds alternate, so that any stretch of the array holds both
    jobs = ((world, seed, index) for index in range(number or all_of_them) for world in ("coco", "cc3m"))
    return _kept(work / "scenes" / split, jobs)


def portraits(split: str, work: Path, number: int | None = None) -> Scenes:
    """The first portraits of cc3m under a split's seed, kept as `gather` keeps its pictures. number: how many, all if None."""
    seed, all_of_them = PORTRAITS[split]
    every = (("cc3m", seed, index) for index in count())
    jobs = islice((job for job in every if scenes.sample(*job).composition == "portrait"), number or all_of_them)
    return _kept(work / "portraits" / split, jobs)


def _kept(folder: Path, jobs: Iterable[Job]) -> Scenes:
    if not (folder / "captions.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with Pool(processors()) as pool:
            drawn = pool.map(_one, list(jobs), chunksize=500)
        np.save(folder / "images.npy", np.stack([d[0] for d in drawn]))
        np.save(folder / "labels.npy", np.array([d[1] for d in drawn], dtype=np.int64))
        (folder / "captions.json").write_text(json.dumps([d[2] for d in drawn]), encoding="utf-8")
    captions = json.loads((folder / "captions.json").read_text(encoding="utf-8"))
    images, labels = (np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("images", "labels"))
    return Scenes(torch.from_numpy(images), torch.from_numpy(labels), captions)


def _one(job: Job) -> tuple[np.ndarray, list[int], list[str]]:
    scene = scenes.sample(*job)
    return scenes.draw(scene), labels_of(scene), scenes.captions(scene)


def labels_of(scene: scenes.Scene) -> list[int]:
    """The class of each label, and a number that only scenes alike in companions, words and variant share."""
    partner = next(iter(scene.companions), None)
    rest = repr((scene.companions, scene.word, scene.variant, scene.flip and bool(scene.companions)))
    return [
        scenes.SUBJECTS.index(scene.subject),
        scenes.SETTINGS.index(scene.setting),
        scenes.COLOURS.index(scene.colour),
        scene.count - 1,
        scenes.COMPOSITIONS.index(scene.composition),
        0 if partner is None else 1 + scenes.SUBJECTS.index(partner.subject),
        0 if partner is None else 1 + scenes.COLOURS.index(partner.colour),
        1 + scenes.WORDS.index(scene.word.split()[0]) if scene.word else 0,
        crc32(rest.encode()),
    ]
