"""Images and sounds without captions, in folders of one's own: what unconditional models learn from.

With folders train/ and val/ below the root each is a split; otherwise every n-th item, in natural order, is held out.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from pydantic import Field

from aptp_bench.audio import files as sounds
from aptp_bench.audio.mel import AUDIO_DIFFUSION
from aptp_bench.audio.waves import fitted
from aptp_bench.contracts.base import PluginConfig
from aptp_bench.contracts.dataset import DatasetPlugin
from aptp_bench.core.documents import EXECUTION
from aptp_bench.data import images, table
from aptp_bench.errors import DataError

if TYPE_CHECKING:
    import datasets


class UncaptionedFolder(DatasetPlugin):
    """Items of one folder, or of its train/ and val/."""

    world = "paper"
    captioned = False

    class Config(PluginConfig):
        """Where the files are and how they are split."""

        root: Path
        val_every: int = Field(10, ge=2, description="every n-th is held out where there is no train/ and val/")

    config: Config

    def load(self, split: str, limit: int | None = None) -> datasets.Dataset:
        """The first `limit` rows of a split. Raises DataError if there are none."""
        table.check_split(self, split)
        root, step = self.config.root, self.config.val_every
        if all((root / name).is_dir() for name in self.splits):
            found = self.items(root / split)
        else:
            found = table.every_nth(self.items(root), split, step)
        if not found:
            raise DataError(f"{root} leaves '{split}' empty; add files or lower dataset_config.val_every")
        return self.rows(found[: table.first(limit, len(found))])

    @abstractmethod
    def items(self, folder: Path) -> list[Any]:
        """What a folder holds, in natural order. Raises DataError if there is no such folder."""

    @abstractmethod
    def rows(self, found: list[Any]) -> datasets.Dataset:
        """A row each: image and an empty caption."""


class CelebAHQ(UncaptionedFolder):
    """CelebA-HQ (Karras et al. 2018, arXiv:1710.10196) as a folder of images, or any other images without captions."""

    name = "celebahq"

    class Config(UncaptionedFolder.Config):
        """Where the images are and how they are split."""

        root: Path = Field(
            Path("data/celebahq"), description="folder of images, or of train/ and val/", json_schema_extra=EXECUTION
        )

    def items(self, folder: Path) -> list[Path]:
        """The image files."""
        return images.listed(folder)

    def rows(self, found: list[Path]) -> datasets.Dataset:
        """The images as they are."""
        return table.of_files(found, [""] * len(found), f"folder {self.config.root}")


class Recordings(UncaptionedFolder):
    """Your own recordings: WAV files (16-bit, 22,050 Hz), cut into AudioDiffusion's clips of six seconds.

    Columns of `load(split)`: "image", a clip's Mel spectrogram (256x256, grey), and "caption", empty. What is left of a recording
    after its last whole clip is not used; one that is shorter than a clip is followed by silence.
    """

    name = "recordings"
    holds = "sounds"
    mel = AUDIO_DIFFUSION

    class Config(UncaptionedFolder.Config):
        """Where the recordings are and how they are split."""

        root: Path = Field(
            Path("data/recordings"),
            description="folder of WAV files, or of train/ and val/",
            json_schema_extra=EXECUTION,
        )

    def items(self, folder: Path) -> list[tuple[Path, int]]:
        """(file, first sample) of every clip."""
        size = self.mel.samples
        starts = {path: range(max(1, sounds.length(path) // size)) for path in sounds.listed(folder)}
        return [(path, number * size) for path, numbers in starts.items() for number in numbers]

    def rows(self, found: list[tuple[Path, int]]) -> datasets.Dataset:
        """Spectrograms, made when they are looked at."""
        from datasets import Dataset, DatasetInfo, Features, Value

        cells = {"image": [f"{start}:{table.stored(path)}" for path, start in found], "caption": [""] * len(found)}
        features = Features({name: Value("string") for name in cells})
        info = DatasetInfo(description=f"recordings in {self.config.root}", features=features)
        return Dataset.from_dict(cells, features=features, info=info).with_transform(self._heard)

    @classmethod
    def _heard(cls, batch: dict[str, list[Any]]) -> dict[str, Any]:
        if "image" not in batch:
            return batch
        parts = (cell.partition(":") for cell in batch["image"])
        mel = cls.mel
        waves = (fitted(sounds.read(Path(path), mel.rate, int(at), mel.samples), mel.samples) for at, _, path in parts)
        return {**batch, "image": [Image.fromarray(mel.spectrogram(wave)).convert("RGB") for wave in waves]}
