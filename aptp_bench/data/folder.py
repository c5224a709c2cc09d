"""Any folder of images with a file of captions beside them.

One of: captions.txt (a line for each image, in the order of the file names), captions.json ({file: caption}) or
captions.csv (with the header file,caption). With folders train/ and val/ below the root each is a split; otherwise
every n-th image, in the order of the names, is held out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from aptp_bench.contracts.base import PluginConfig
from aptp_bench.contracts.dataset import DatasetPlugin
from aptp_bench.core.documents import EXECUTION
from aptp_bench.data import captions, images, table
from aptp_bench.errors import DataError

if TYPE_CHECKING:
    import datasets


class Folder(DatasetPlugin):
    """Your own images: a folder with captions.txt, captions.json or captions.csv."""

    name = "folder"
    world = "paper"

    class Config(PluginConfig):
        """Where the images are and how they are split."""

        root: Path = Field(
            Path("data/images"),
            description="folder with images and captions, or with train/ and val/",
            json_schema_extra=EXECUTION,
        )
        val_every: int = Field(10, ge=2, description="every n-th image is held out where there is no train/ and val/")

    config: Config

    def load(self, split: str, limit: int | None = None) -> datasets.Dataset:
        """The first `limit` rows of a split. Raises DataError if images and captions do not match."""
        table.check_split(self, split)
        found = self._rows(split)
        if not found:
            raise DataError(f"{self.config.root} leaves '{split}' empty; add images or lower dataset_config.val_every")
        found = found[: table.first(limit, len(found))]
        files, texts = zip(*found, strict=True) if found else ((), ())
        return table.of_files(files, texts, f"folder {self.config.root}")

    def _rows(self, split: str) -> list[captions.Row]:
        root, step = self.config.root, self.config.val_every
        if all((root / name).is_dir() for name in self.splits):
            return rows(root / split)
        return table.every_nth(rows(root), split, step)


def rows(folder: Path) -> list[captions.Row]:
    """(image file, caption) in the order of the file names. Raises DataError unless they match one to one."""
    files = images.listed(folder)
    found = [folder / f"captions{suffix}" for suffix in captions.READERS if (folder / f"captions{suffix}").is_file()]
    if len(found) != 1:
        have = " and ".join(path.name for path in found) or "no captions file"
        raise DataError(f"{folder} has {have}; keep exactly one of captions{', captions'.join(captions.READERS)}")
    return captions.matched(found[0], files)
