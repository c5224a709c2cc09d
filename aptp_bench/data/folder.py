"""Any folder of images with a file of captions beside them.

One of: captions.txt (a line for each image, in the order of the file names), captions.json ({file: caption}) or
captions.csv (with the header file,caption). With folders train/ and val/ below the root each is a split; otherwise
every n-th image, in the order of the names, is held out.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from aptp_bench.contracts.base import PluginConfig
from aptp_bench.contracts.dataset import DatasetPlugin
from aptp_bench.data import images, table
from aptp_bench.errors import DataError

if TYPE_CHECKING:
    import datasets

Row = tuple[Path, str]

JSON_HINT = 'write {"file.jpg": "caption", ...}'


class Folder(DatasetPlugin):
    """Your own images: a folder with captions.txt, captions.json or captions.csv."""

    name = "folder"
    world = "paper"

    class Config(PluginConfig):
        """Where the images are and how they are split."""

        root: Path = Field(Path("data/images"), description="folder with images and captions, or with train/ and val/")
        val_every: int = Field(10, ge=2, description="every n-th image is held out where there is no train/ and val/")

    config: Config

    def load(self, split: str, limit: int | None = None) -> datasets.Dataset:
        """The first `limit` rows of a split. Raises DataError if images and captions do not match."""
        table.check_split(self, split)
        found = self._rows(split)
        if not found:
            raise DataError(f"{self.config.root} leaves '{split}' empty; add images or lower dataset_config.val_every")
        found = found[: table.first(limit, len(found))]
        files, captions = zip(*found, strict=True) if found else ((), ())
        return table.of_files(files, captions, f"folder {self.config.root}")

    def _rows(self, split: str) -> list[Row]:
        root, step = self.config.root, self.config.val_every
        if all((root / name).is_dir() for name in self.splits):
            return rows(root / split)
        every = rows(root)
        held_out = every[step - 1 :: step]
        return held_out if split == "val" else [row for i, row in enumerate(every) if i % step != step - 1]


def rows(folder: Path) -> list[Row]:
    """(image file, caption) in the order of the file names. Raises DataError unless they match one to one."""
    files = images.listed(folder)
    found = [folder / name for name in READERS if (folder / name).is_file()]
    if len(found) != 1:
        have = " and ".join(path.name for path in found) or "no captions file"
        raise DataError(f"{folder} has {have}; keep exactly one of {', '.join(READERS)}")
    matched = READERS[found[0].name](found[0], files)
    blank = next((path for path, caption in matched if not caption), None)
    if blank is not None:
        raise DataError(f"{found[0]}: the caption of {blank.name} is empty; write one or remove the image")
    return matched


def _from_lines(source: Path, files: list[Path]) -> list[Row]:
    lines = [line.strip() for line in _text(source).rstrip("\n").split("\n")]
    lines = lines if lines != [""] else []
    if len(lines) != len(files):
        raise DataError(f"{source} has {len(lines)} captions for {len(files)} images; write one line for each image")
    return list(zip(files, lines, strict=True))


def _from_json(source: Path, files: list[Path]) -> list[Row]:
    try:
        captions = json.loads(_text(source))
    except ValueError as err:
        raise DataError(f"{source} is not JSON ({err}); {JSON_HINT}") from err
    if not isinstance(captions, dict) or not all(isinstance(c, str) for c in captions.values()):
        raise DataError(f"{source} must map file names to captions; {JSON_HINT}")
    return _matched(source, files, captions)


def _from_csv(source: Path, files: list[Path]) -> list[Row]:
    table_rows = list(csv.DictReader(_text(source).splitlines()))
    if not all(row.get("file") and row.get("caption") is not None for row in table_rows):
        raise DataError(f"{source} lacks a file or a caption in some row; start it with the line file,caption")
    captions = {row["file"]: row["caption"] for row in table_rows}
    if len(captions) != len(table_rows):
        raise DataError(f"{source} names a file twice; keep one caption for each image")
    return _matched(source, files, captions)


def _matched(source: Path, files: list[Path], captions: dict[str, str]) -> list[Row]:
    """Captions by file name, put beside the files; a name too many or too few is an error."""
    folder = source.parent
    named = {str(images.inside(folder, name).relative_to(folder)): text.strip() for name, text in captions.items()}
    have = {path.name for path in files}
    odd = sorted(have ^ named.keys())
    if odd:
        side = "no caption" if odd[0] in have else "no image"
        counts = f"{len(named)} captions for {len(files)} images"
        raise DataError(f"{source} has {counts}: {odd[0]} has {side}; add or remove it")
    return [(path, named[path.name]) for path in files]


def _text(source: Path) -> str:
    try:
        return source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as err:
        raise DataError(f"{source} cannot be read as UTF-8 text ({err}); save it as UTF-8") from err


READERS: dict[str, Callable[[Path, list[Path]], list[Row]]] = {
    "captions.txt": _from_lines,
    "captions.json": _from_json,
    "captions.csv": _from_csv,
}
