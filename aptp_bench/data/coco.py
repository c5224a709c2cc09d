"""MS-COCO Captions from a local folder in the official layout.

    root/annotations/captions_train2014.json, captions_val2014.json
    root/train2014/*.jpg, root/val2014/*.jpg

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014, arXiv:1405.0312.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import BeforeValidator, Field

from aptp_bench.contracts.base import PluginConfig
from aptp_bench.contracts.dataset import DatasetPlugin
from aptp_bench.core.documents import EXECUTION
from aptp_bench.data import images, table
from aptp_bench.errors import DataError

if TYPE_CHECKING:
    import datasets

SAMPLE_SEED = 42  # the APTP authors' seed of the 30,000 evaluation captions


class Pair(NamedTuple):
    """One caption and the name of the image it describes."""

    file_name: str
    caption: str


class COCO2014(DatasetPlugin):
    """MS-COCO Captions 2014 from disk: every train caption; for val one caption each of 30,000 images."""

    name = "coco2014"
    world = "paper"

    class Config(PluginConfig):
        """Where the files are and how many validation images are drawn."""

        root: Path = Field(
            Path("data/coco"),
            description="folder with annotations/, train2014/ and val2014/",
            json_schema_extra=EXECUTION,
        )
        year: Annotated[Literal["2014", "2017"], BeforeValidator(str)] = Field(  # without quotes YAML reads a number
            "2014", description="release; the paper uses 2014"
        )
        val_images: int = Field(30_000, gt=0, description="validation images drawn; the paper uses 30,000")

    config: Config

    def load(self, split: str, limit: int | None = None) -> datasets.Dataset:
        """The first `limit` pairs of a split. Raises DataError for missing or unreadable files."""
        table.check_split(self, split)
        folder = self.config.root / f"{split}{self.config.year}"
        document = _document(self.config.root / "annotations" / f"captions_{split}{self.config.year}.json")
        rows = pairs(document) if split == "train" else evaluation_pairs(document, self.config.val_images)
        rows = rows[: table.first(limit, len(rows))]
        paths = _present(folder, rows)
        files = [paths[row.file_name] for row in rows]
        return table.of_files(files, [row.caption for row in rows], f"MS-COCO {self.config.year} {split}")


def pairs(document: dict[str, Any]) -> list[Pair]:
    """Every caption with its image, in the order of the annotation file. Raises DataError for missing fields."""
    try:
        names = {image["id"]: str(image["file_name"]) for image in document["images"]}
        found = [Pair(names[note["image_id"]], note["caption"]) for note in document["annotations"]]
    except (KeyError, TypeError) as err:
        raise DataError(f"the COCO annotations lack {err}; download the official captions file again") from err
    for row, note in zip(found, document["annotations"], strict=True):
        if not isinstance(row.caption, str) or not row.caption.strip():
            raise DataError(f"annotation {note.get('id')} of {row.file_name} has no caption; download the file again")
    return [Pair(row.file_name, row.caption.strip()) for row in found]


def first_captions(document: dict[str, Any]) -> list[Pair]:
    """The first caption of every image that has one, in the order of the file's image list."""
    first: dict[str, Pair] = {}
    for row in pairs(document):
        first.setdefault(row.file_name, row)
    return [first[image["file_name"]] for image in document["images"] if image["file_name"] in first]


def evaluation_pairs(document: dict[str, Any], count: int) -> list[Pair]:
    """`count` images drawn without replacement, each with its first caption (APTP Section 5: 30,000 of val2014).

    The draw is that of the authors' code, np.random.RandomState(42).choice. Raises DataError if there are fewer images.
    """
    rows = first_captions(document)
    if count > len(rows):
        fix = f"set dataset_config.val_images={len(rows)}"
        raise DataError(f"{count} validation images asked, the annotations have {len(rows)}; {fix}")
    chosen = np.random.RandomState(SAMPLE_SEED).choice(len(rows), count, replace=False)
    return [rows[i] for i in chosen]


def _document(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as err:
        raise DataError(f"{path} is missing; download COCO's annotations or set dataset_config.root") from err
    except (OSError, ValueError, TypeError) as err:
        raise DataError(f"{path} is not a COCO captions file ({err}); download it again") from err


def _present(folder: Path, rows: Sequence[Pair]) -> dict[str, Path]:
    """The file of every name. One listing of the folder serves instead of a look at each of 400,000 files."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; download COCO's images or set dataset_config.root")
    paths = {name: images.inside(folder, name) for name in dict.fromkeys(row.file_name for row in rows)}
    listed = set(os.listdir(folder))
    absent = [name for name in paths if name not in listed]
    if absent:
        raise DataError(f"{folder} lacks {len(absent)} of {len(paths)} images, first {absent[0]!r}; download them")
    return paths
