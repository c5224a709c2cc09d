"""The mini world's sounds as a dataset: played when they are looked at, no files, no network.

Train and val are other seeds and share no sound.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from PIL import Image
from pydantic import Field

from aptp_bench.audio.mel import MINI
from aptp_bench.contracts.base import PluginConfig
from aptp_bench.contracts.dataset import DatasetPlugin
from aptp_bench.data import table

if TYPE_CHECKING:
    import datasets

# The embedded networks are trained on sounds of other seeds than these (benchmarks/mini_world).
SEEDS: dict[str, int] = {"train": 0, "val": 1}


class Sounds(DatasetPlugin):
    """Mini world: drum loops, arpeggios, chords, sweeps and plucked strings, two seconds each at 8 kHz.

    Columns of `load(split)`: "image", a sound's Mel spectrogram (64x64, grey), "caption", empty, and a label each (`sounds.LABELS`).
    """

    name = "sounds"
    world = "mini"
    captioned = False
    holds = "sounds"

    class Config(PluginConfig):
        """How many sounds each split holds."""

        train: int = Field(20_000, gt=0, description="training sounds")
        val: int = Field(2_000, gt=0, description="held-out sounds")

    config: Config

    def load(self, split: str, limit: int | None = None) -> datasets.Dataset:
        """The first `limit` sounds of a split. Raises DataError for an unknown split."""
        from datasets import Dataset, DatasetInfo, Features, Value

        from aptp_bench.data import sounds  # inside: whoever only asks for options plays nothing

        table.check_split(self, split)
        count = table.first(limit, {"train": self.config.train, "val": self.config.val}[split])
        sampled = [sounds.sample(SEEDS[split], index) for index in range(count)]
        rows: dict[str, list[Any]] = {name: [getattr(sound, name) for sound in sampled] for name in sounds.LABELS}
        rows |= {"image": list(range(count)), "caption": [""] * count}  # numbers, until they are looked at
        features = Features({name: Value("int64" if name == "image" else "string") for name in rows})
        info = DatasetInfo(description="played sounds, mini world", features=features)
        return Dataset.from_dict(rows, features=features, info=info).with_transform(partial(_played, SEEDS[split]))


def _played(seed: int, batch: dict[str, list[Any]]) -> dict[str, Any]:
    if "image" not in batch:
        return batch
    from aptp_bench.data import sounds

    waves = (sounds.render(sounds.sample(seed, index)) for index in batch["image"])
    return {**batch, "image": [Image.fromarray(MINI.spectrogram(wave)).convert("RGB") for wave in waves]}
