"""Conceptual Captions 3M from a local folder; nothing is downloaded.

    root/train.tsv, root/val.tsv     caption<TAB>path or URL, no header; the published file names are taken too
    root/images/...                  the paths are relative to this folder

A row with a URL is looked up as images/<training|validation>/<row>_<crc32 of the URL>, with or without an image suffix:
the name that the common download script gives. Links die: rows whose image was not downloaded are left out, and the
description of the data set says how many. A row with a path must have its file.

Or in shards, as img2dataset's webdataset format and the copies on the hub have them:

    root/train/*.tar, root/val/*.tar, or root/*train*.tar, root/*val*.tar

Sharma et al., "Conceptual Captions: A Cleaned, Hypernymed, Image Alt-text Dataset", ACL 2018.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from aptp_bench.contracts.base import PluginConfig
from aptp_bench.contracts.dataset import DatasetPlugin
from aptp_bench.core.documents import EXECUTION
from aptp_bench.core.texts import flaw
from aptp_bench.data import images, shards, table
from aptp_bench.errors import DataError

if TYPE_CHECKING:
    import datasets

TABLES: dict[str, tuple[str, ...]] = {
    "train": ("train.tsv", "Train_GCC-training.tsv"),
    "val": ("val.tsv", "Validation_GCC-1.1.0-Validation.tsv"),
}
FOLDERS: dict[str, str] = {"train": "training", "val": "validation"}


class CC3M(DatasetPlugin):
    """Conceptual Captions 3M from disk: the training rows and, to judge on, its validation rows."""

    name = "cc3m-full"
    world = "paper"

    class Config(PluginConfig):
        """Where the files are."""

        root: Path = Field(
            Path("data/cc3m"),
            description="folder with train.tsv, val.tsv and images/, or with tar files of pairs",
            json_schema_extra=EXECUTION,
        )

    config: Config

    def missing(self) -> str | None:
        """Which of its files is not where its settings say: shards, or tables and a folder of images."""
        try:
            tables = [split for split in self.splits if not shards.of_split(self.config.root, (split, FOLDERS[split]))]
            for split in tables:
                _table_file(self.config.root, split)
            if tables:
                _Files(self.config.root / "images", FOLDERS[tables[0]])
        except DataError as err:
            return str(err)
        return None

    def load(self, split: str, limit: int | None = None) -> datasets.Dataset:
        """The first `limit` rows that have an image. Raises DataError for missing files and malformed lines."""
        table.check_split(self, split)
        if found := shards.of_split(self.config.root, (split, FOLDERS[split])):
            return shards.load(found, limit, f"CC3M {split} in {len(found)} shards")
        listing = _table_file(self.config.root, split)
        files = _Files(self.config.root / "images", FOLDERS[split])
        wanted = table.first(limit, 2**63)
        paths: list[Path] = []
        captions: list[str] = []
        dead = 0
        for number, caption, source in rows(listing):
            if len(paths) == wanted:
                break
            path = files.find(number, source)
            dead += path is None
            if path is not None:
                paths.append(path)
                captions.append(caption)
        if not paths and wanted:
            raise DataError(f"{files.folder} holds none of the images of '{split}'; download them there first")
        said = f"; {dead} rows left out: their links had no image on disk" if dead else ""
        return table.of_files(paths, captions, f"CC3M {split}{said}")


def rows(path: Path) -> Iterator[tuple[int, str, str]]:
    """(row number from 0, caption, path or URL) of every line. Raises DataError naming the line that has not both."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file):
                caption, tab, source = line.rstrip("\r\n").partition("\t")
                if not (tab and caption.strip() and source.strip()):
                    raise DataError(f"{path} line {number + 1}: expected caption<TAB>path or URL; fix it")
                if wrong := flaw(caption.strip()):
                    raise DataError(f"{path} line {number + 1}: its caption {wrong}; fix it, or remove the line")
                yield number, caption.strip(), source.strip()
    except (OSError, UnicodeDecodeError) as err:
        raise DataError(f"{path} cannot be read as UTF-8 text ({err}); write it again") from err


class _Files:
    """The images on disk: one listing of the folder of downloads, then look-ups in memory."""

    def __init__(self, folder: Path, downloads: str) -> None:
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder}; put CC3M's images there or set dataset_config.root")
        self.folder = folder
        target = folder / downloads
        self._downloaded: dict[str, Path] = {}
        for name in sorted(os.listdir(target)) if target.is_dir() else ():
            first = self._downloaded.setdefault(_stem(name), target / name)
            if first.name != name:
                raise DataError(f"{target} holds {first.name} and {name} for one row; remove one of them")

    def find(self, number: int, source: str) -> Path | None:
        """The file of a row; None for a URL that was not downloaded. Raises DataError for a path without a file."""
        if "://" in source:
            return self._downloaded.get(f"{number}_{zlib.crc32(source.encode())}")
        path = images.inside(self.folder, source)
        if not path.is_file():
            raise DataError(f"image {path} of row {number + 1} is missing; restore it or remove the row")
        return path


def _stem(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in images.SUFFIXES else name


def _table_file(root: Path, split: str) -> Path:
    if not root.is_dir():
        raise DataError(f"there is no folder {root}; put CC3M there or set dataset_config.root")
    found = [root / name for name in TABLES[split] if (root / name).is_file()]
    if not found:
        raise DataError(
            f"{root} holds neither {' nor '.join(TABLES[split])} nor tar files; put one there or set dataset_config.root"
        )
    return found[0]
