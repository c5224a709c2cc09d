"""The mini world's sounds as a dataset: played when they are looked at, no files, no network.

Train and val are other seeds and share no sound.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from aptp_bench.contracts.base import PluginConfig
from aptp_bench.contracts.dataset import DatasetPlugin
from aptp_bench.data import sounds, table

if TYPE_CHECKING:
    import datasets

# The embedded networks are trained on sounds of other seeds than these (benchmarks/mini_world).
SEEDS: dict[str, int] = {"train": 0, "val": 1}


class Sounds(DatasetPlugin):
    """Mini world: drum loops, arpeggios, chords, sweeps and plucked strings, two seconds each at 8 kHz.

    Columns of `load(split)`: "audio", float32 [samples] in [-1, 1], and one a label (`sounds.LABELS`). No captions, no images.
    """

    name = "sounds"
    world = "mini"

    class Config(PluginConfig):
        """How many sounds each split holds."""

        train: int = Field(20_000, gt=0, description="training sounds")
        val: int = Field(2_000, gt=0, description="held-out sounds")

    config: Config

    @property
    def rate(self) -> int:
        """Samples a second."""
        return sounds.RATE

    def load(self, split: str, limit: int | None = None) -> datasets.Dataset:
        """The first `limit` sounds of a split. Raises DataError for an unknown split."""
        from datasets import Dataset, DatasetInfo, Features, Value

        table.check_split(self, split)
        count = table.first(limit, {"train": self.config.train, "val": self.config.val}[split])
        sampled = [sounds.sample(SEEDS[split], index) for index in range(count)]
        rows: dict[str, list[Any]] = {name: [getattr(sound, name) for sound in sampled] for name in sounds.LABELS}
        rows["audio"] = list(range(count))  # the number of the sound: 20,000 clips would be 1.3 GB
        features = Features({name: Value("int64" if name == "audio" else "string") for name in rows})
        info = DatasetInfo(description="played sounds, mini world", features=features)
        played = partial(_played, SEEDS[split])
        return Dataset.from_dict(rows, features=features, info=info).with_transform(played)


def _played(seed: int, batch: dict[str, list[Any]]) -> dict[str, Any]:
    if "audio" not in batch:
        return batch
    waves = [sounds.render(sounds.sample(seed, index)) for index in batch["audio"]]
    return {**batch, "audio": np.stack(waves) if waves else np.zeros((0, sounds.SAMPLES), dtype=np.float32)}
